/**
 * A terminal of a given size with a shell at a desk, which tmux makes: what a person would see of a command, as text. A test
 * waits until the screen shows what it must; it never waits for a time.
 */
import { assertEquals } from "@std/assert";
import { toolPath } from "../outside.ts";
import type { Desks } from "./desk.ts";

/** Far beyond anything that is waited for here, on a machine with much else to do. */
const GIVE_UP_MS = 90_000;
const LOOK_EVERY_MS = 50;
const PROMPT = /^\[(\d+)\]\$ $/;

function filled(lines: readonly string[]): number {
  return lines.filter((line) => line !== "").length;
}

export interface ScreenOptions {
  readonly columns: number;
  readonly rows: number;
  readonly variables?: Readonly<Record<string, string>>;
}

export class Screen {
  readonly #socket: string;
  /** All that the terminal was sent. */
  readonly #log: string;

  private constructor(socket: string, log: string) {
    this.#socket = socket;
    this.#log = log;
  }

  /** Opens a terminal for `act` and closes it. */
  static async with(
    desks: Desks,
    { desk, ...options }: ScreenOptions & { readonly desk: string },
    act: (screen: Screen) => Promise<void>,
  ): Promise<void> {
    const rc = desks.rcFile(desk, options.variables);
    const screen = new Screen(`${desk}/tmux`, `${desk}/terminal.log`);
    const shell = `env -i TERM="$TERM" bash --noprofile --rcfile '${rc}' -i`;
    const size = ["-x", `${options.columns}`, "-y", `${options.rows}`];
    await screen.#tmux("-f", "/dev/null", "new-session", "-d", ...size, "-s", "desk", shell);
    try {
      await screen.#tmux("pipe-pane", "-t", "desk", `cat > '${screen.#log}'`);
      await screen.until((lines) => PROMPT.test(lines.at(-1) ?? ""), "a prompt");
      await act(screen);
    } finally {
      await screen.#tmux("kill-server");
    }
  }

  /** Types a command on an empty screen and waits for its end. Gives its exit code and the screen. */
  async run(command: string): Promise<{ readonly exitCode: number; readonly lines: string[] }> {
    await this.begin(command);
    return await this.ended();
  }

  /** Types a command on an empty screen. */
  async begin(command: string): Promise<void> {
    // A new prompt on a screen that was wiped: a dumb terminal can't be told to wipe itself.
    await this.#tmux("send-keys", "-t", "desk", "-R", "Enter");
    await this.until((lines) => filled(lines) === 1 && PROMPT.test(lines.at(-1)!), "an empty screen");
    await this.#tmux("send-keys", "-t", "desk", "-l", command);
    await this.#tmux("send-keys", "-t", "desk", "Enter");
  }

  async press(...keys: readonly string[]): Promise<void> {
    await this.#tmux("send-keys", "-t", "desk", ...keys);
  }

  /** The screen at the next prompt, without the prompts. */
  async ended(): Promise<{ readonly exitCode: number; readonly lines: string[] }> {
    const lines = await this.until(
      (shown) => filled(shown) > 1 && PROMPT.test(shown.at(-1)!),
      "the command's end",
    );
    return { exitCode: Number(PROMPT.exec(lines.at(-1)!)![1]), lines: lines.slice(0, -1) };
  }

  /** Waits until the screen is as `isThere` wants it; gives its lines. */
  async until(isThere: (lines: readonly string[]) => boolean, what: string): Promise<string[]> {
    const untilMs = performance.now() + GIVE_UP_MS;
    for (;;) {
      const lines = await this.lines();
      if (isThere(lines)) return lines;
      if (performance.now() > untilMs) {
        throw new Error(`Cannot see ${what}: the screen has\n${lines.join("\n")}`);
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }

  /** Waits for a line. */
  async shows(pattern: RegExp): Promise<string[]> {
    return await this.until((lines) => lines.some((line) => pattern.test(line)), String(pattern));
  }

  /** As wide as the terminal breaks them. The last one keeps its blanks. */
  async lines(): Promise<string[]> {
    const text = (await this.#tmux("capture-pane", "-p", "-N", "-t", "desk")).replace(/\n+$/, "");
    const lines = text.split("\n");
    return lines.map((line, at) => at < lines.length - 1 ? line.trimEnd() : line.replace(/ {2,}$/, " "));
  }

  /** All bytes that the terminal was sent so far. */
  sent(): string {
    return Deno.readTextFileSync(this.#log);
  }

  async #tmux(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await new Deno.Command(toolPath("tmux")!, {
      args: ["-S", this.#socket, ...args],
      env: { LANG: "C.UTF-8" },
    }).output();
    assertEquals(code, 0, new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout);
  }
}
