/**
 * A line that a person types at a terminal: a passphrase, without its being shown, or an answer. The question goes where
 * the caller says, which is never stdout: that may be the image, or JSON. Of a secret no character is echoed, and none is
 * shown in its place.
 *
 * The standard library's `promptSecret` asks on stdout, and reads so that no signal is noticed until the line's end.
 */
import { OperatorError } from "../errors.ts";

/** What a person types on. */
export interface Keyboard {
  /** Raw: each key comes at once, as it is, also Ctrl-C; and is not shown. */
  setRaw(isRaw: boolean): void;
  /** Bytes that were typed; null: there is nobody any more. */
  read(into: Uint8Array): Promise<number | null>;
}

/** Takes a shown character away. */
const ERASE = "\b \b";

/** More than any passphrase has. */
const MAX_BYTES = 4096;

const CTRL_C = 0x03;
const CTRL_D = 0x04;
const BACKSPACE = 0x08;
const LINE_FEED = 0x0a;
const RETURN = 0x0d;
const CTRL_U = 0x15;
const ESCAPE = 0x1b;
const DELETE = 0x7f;

/**
 * The line; `undefined` where the person gave up (Ctrl-D on an empty line) or left. Throws `interrupted` at Ctrl-C,
 * `usage` for a line of more than 4,096 bytes.
 */
export async function askSecret(
  keyboard: Keyboard,
  question: string,
  write: (text: string) => void,
): Promise<string | undefined> {
  return await ask(keyboard, question, { write, echo: () => {} });
}

/** As `askSecret()`, and what is typed is shown. */
export async function askAnswer(
  keyboard: Keyboard,
  question: string,
  write: (text: string) => void,
): Promise<string | undefined> {
  return await ask(keyboard, question, { write, echo: write });
}

interface Screen {
  readonly write: (text: string) => void;
  /** Shows what was typed. */
  readonly echo: (text: string) => void;
}

async function ask(keyboard: Keyboard, question: string, screen: Screen): Promise<string | undefined> {
  // Before the question: what a quick answer types is not to be shown before it.
  keyboard.setRaw(true);
  try {
    screen.write(question);
    return await readLine(keyboard, screen.echo);
  } finally {
    keyboard.setRaw(false);
    screen.write("\n");
  }
}

async function readLine(
  keyboard: Keyboard,
  echo: (text: string) => void,
): Promise<string | undefined> {
  const decoder = new TextDecoder();
  const line: number[] = [];
  const text = () => new TextDecoder().decode(new Uint8Array(line));
  // Byte by byte: what was typed ahead is for the next question.
  const key = new Uint8Array(1);
  for (;;) {
    const count = await keyboard.read(key);
    const [byte] = key;
    if (count === null || count === 0) return line.length === 0 ? undefined : text();
    if (byte === LINE_FEED || byte === RETURN) return text();
    if (byte === CTRL_D && line.length === 0) return undefined;
    if (byte === CTRL_C) {
      throw new OperatorError("interrupted", "Cannot finish: stopped by Ctrl-C at a question", {
        hints: ["run the same command again"],
      });
    }
    if (byte === CTRL_U) {
      echo(ERASE.repeat(text().length));
      line.length = 0;
    } else if (byte === BACKSPACE || byte === DELETE) {
      if (line.length > 0) echo(ERASE);
      dropCharacter(line);
    } else if (byte === ESCAPE || byte! >= 0x20) {
      line.push(byte!);
      // A sequence that moves the cursor is shown as nothing: an answer has none.
      if (byte !== ESCAPE) echo(decoder.decode(key, { stream: true }));
    }
    if (line.length > MAX_BYTES) {
      throw new OperatorError("usage", `Cannot take a line of more than ${MAX_BYTES} bytes`);
    }
  }
}

/** The last character, with all bytes that UTF-8 makes of it. */
function dropCharacter(line: number[]): void {
  let dropped = line.pop();
  while (dropped !== undefined && (dropped & 0xc0) === 0x80) dropped = line.pop();
}
