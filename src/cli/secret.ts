/**
 * A line that a person types at a terminal without its being shown: a passphrase. The question goes where the caller
 * says, which is never stdout: that may be the image, or JSON. No character is echoed, and none is shown in its place.
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
  // Before the question: what a quick answer types is not to be shown either.
  keyboard.setRaw(true);
  try {
    write(question);
    return await readLine(keyboard);
  } finally {
    keyboard.setRaw(false);
    write("\n");
  }
}

async function readLine(keyboard: Keyboard): Promise<string | undefined> {
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
    if (byte === CTRL_U) line.length = 0;
    else if (byte === BACKSPACE || byte === DELETE) dropCharacter(line);
    else if (byte === ESCAPE || byte! >= 0x20) line.push(byte!);
    if (line.length > MAX_BYTES) {
      throw new OperatorError("usage", `Cannot take a passphrase of more than ${MAX_BYTES} bytes`);
    }
  }
}

/** The last character, with all bytes that UTF-8 makes of it. */
function dropCharacter(line: number[]): void {
  let dropped = line.pop();
  while (dropped !== undefined && (dropped & 0xc0) === 0x80) dropped = line.pop();
}
