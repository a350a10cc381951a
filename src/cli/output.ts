/**
 * All that a command says. stdout carries the result only; notes, warnings, progress and errors go to
 * stderr, so that a pipe gets clean data. With `--json` stdout carries objects instead, one a line, each with a `type`
 * (`progress`, `finding`, `summary`, `error`, …), and texts for people still go to stderr.
 *
 * Texts are sanitized here once more, line feeds kept: a command can't repaint a terminal by forgetting.
 * Values from outside need `sanitize()` where the text is made (tables do it), or they could fake a line.
 * A reader that went away (`| head`) is no failure: text for it is dropped, `openBinary()`'s writer throws `ClosedOutput`.
 */
import { OperatorError } from "../errors.ts";
import type { Clock } from "../model.ts";
import { Progress, type ProgressFacts } from "./progress.ts";
import { type Asking, ClosedOutput, type Terminal, type TextStream } from "./terminal.ts";
import { jsonLine, sanitize, sanitizeLines } from "./text.ts";

/** A JSON object of the output; times, sizes and money carry their unit in their names. */
export type OutputEvent = Readonly<{ type: string } & Record<string, unknown>>;

export interface OutputOptions {
  readonly terminal: Terminal;
  readonly clock: Clock;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly progress: boolean;
  readonly color: "auto" | "always" | "never";
  /** The store that the command line names, as it is to be typed again; not given: it names none. */
  readonly store?: string | undefined;
  readonly environment: (name: string) => string | undefined;
}

/** SGR sequences, the only escape sequences that are ever written beside those of the progress line. */
const STYLES = { error: "\x1b[1;31m", warning: "\x1b[1;33m", hint: "\x1b[36m", none: "" } as const;
const RESET = "\x1b[0m";

export class Output {
  readonly json: boolean;
  readonly verbose: boolean;
  readonly #options: OutputOptions;
  readonly #color: boolean;
  readonly #redraws: boolean;
  #progress: Progress | undefined;
  /** What a person is being asked. */
  #question: string | undefined;
  /** True once stdout carries bytes: an event among them would be one of them. */
  #isBinary = false;
  #resultFailure: Error | undefined;

  constructor(options: OutputOptions) {
    const { stderr } = options.terminal;
    const dumb = options.environment("TERM") === "dumb";
    this.#options = options;
    this.json = options.json;
    this.verbose = options.verbose;
    this.#redraws = stderr.isTerminal && !dumb;
    // https://no-color.org: any value but the empty one; a flag is the stronger wish.
    const auto = this.#redraws && options.environment("NO_COLOR") === undefined;
    this.#color = options.color === "always" || (options.color === "auto" && auto);
  }

  /** Columns for a text that is broken to fit: the terminal's where stdout is one, else 80. */
  get columns(): number {
    return this.#options.terminal.stdout.columns() ?? 80;
  }

  /** Asks the person at the terminal for a secret; `undefined` where there is nobody to ask. */
  get askSecret(): Asking | undefined {
    return this.#asking(this.#options.terminal.askSecret);
  }

  /** Asks the person at the terminal for an answer that is shown; `undefined` where there is nobody to ask. */
  get askAnswer(): Asking | undefined {
    return this.#asking(this.#options.terminal.askAnswer);
  }

  /** No progress is drawn over a question, and what is said meanwhile leaves it standing below. */
  #asking(ask: Asking | undefined): Asking | undefined {
    return ask && (async (question, signal) => {
      this.#question = sanitize(question);
      this.#progress?.hold();
      try {
        return await ask(this.#question, signal);
      } finally {
        this.#question = undefined;
        this.#progress?.release();
      }
    });
  }

  /** The result, to stdout as it is, line feeds included. Nothing with `--json`. */
  result(text: string): void {
    if (!this.json) this.plain(text);
  }

  /** As `result()`, also with `--json`: for texts that have no other form, such as help. */
  plain(text: string): void {
    this.#write(this.#options.terminal.stdout, sanitizeLines(text));
  }

  /** An object, to stdout (to stderr where that carries bytes) as one line of JSON. Nothing without `--json`. */
  event(event: OutputEvent): void {
    const { stdout, stderr } = this.#options.terminal;
    if (this.json) this.#write(this.#isBinary ? stderr : stdout, jsonLine(event));
  }

  /** What a person may like to know, to stderr. Nothing with `-q`. */
  note(text: string): void {
    if (!this.#options.quiet) this.#line("", text, "none");
  }

  /** A note with `-v` only. */
  detail(text: string): void {
    if (this.verbose) this.#line("", text, "none");
  }

  /** What a person must know, one line to stderr, also with `-q`. */
  warn(text: string): void {
    this.#line("warning", sanitize(text), "warning");
  }

  /**
   * The one way in which an error is shown: `coldcase: error: …`, its hints, and with `-v` its causes; with
   * `--json` also as an object of type `error`. For a command that goes on after it, such as with the next snapshot.
   */
  error(error: OperatorError): void {
    const { code, message, facts } = error;
    const hints = error.hints.map((hint) => this.#ofStore(hint));
    // A line each: a name with a line feed in it must not look like a second error.
    this.#line("error", sanitize(message), "error");
    for (const hint of hints) this.#line("hint", sanitize(hint), "hint");
    if (this.verbose) { for (const cause of causesOf(error)) this.#line("cause", sanitize(cause), "none"); }
    this.event({ type: "error", code, message, hints, facts });
  }

  /** What to do next where there is no error, or after several: one line to stderr, also with `-q`. */
  hint(text: string): void {
    this.#line("hint", sanitize(this.#ofStore(text)), "hint");
  }

  /**
   * A command in double quotes is about this store, and is to work as it stands: it gets the store that was named. (One
   * in backticks is about no store, or another one.)
   */
  #ofStore(hint: string): string {
    const { store } = this.#options;
    if (store === undefined) return hint;
    const word = /^[\w@%+=:,./-]+$/.test(store) ? store : `'${store.replaceAll("'", "'\\''")}'`;
    return hint.replace(/"(coldcase [^"]*)"/g, (_, command) => `"${command} -s ${word}"`);
  }

  /**
   * A writer of bytes to stdout that waits as the reader needs; events go to stderr from then on. Throws `usage` where stdout is a terminal; the
   * writer throws `ClosedOutput`, which `run()` takes for success.
   */
  openBinary(): (bytes: Uint8Array) => Promise<void> {
    if (this.#options.terminal.stdout.isTerminal) {
      throw new OperatorError(
        "usage",
        "Cannot write binary data to stdout: it is a terminal, expected a pipe or file",
        {
          hints: ["add | and a command, or > FILE"],
        },
      );
    }
    this.#isBinary = true;
    return (bytes) => this.#options.terminal.writeBinary(bytes);
  }

  /**
   * Shows progress until its `end()`, on stderr or with `--json` as events; keeps silent with `-q` or
   * `--no-progress`. One at a time: a second one ends the first.
   */
  progress(facts: ProgressFacts): Progress {
    this.#progress?.end();
    const { terminal, clock, quiet, progress } = this.#options;
    const silent = quiet || !progress;
    const mode = silent ? "silent" : this.json ? "events" : this.#redraws ? "redrawn" : "lines";
    this.#progress = new Progress({
      mode,
      clock,
      columns: () => terminal.stderr.columns() ?? 80,
      write: (text) => void terminal.stderr.write(text),
      event: (event) => this.event(event),
    }, facts);
    return this.#progress;
  }

  /** Why some of the result did not reach stdout; undefined where all did, or its reader had enough of it. */
  get resultFailure(): Error | undefined {
    return this.#resultFailure;
  }

  /** Ends what is still shown; called when the command is over, however it ended. */
  close(): void {
    this.#progress?.end();
  }

  #line(label: string, text: string, style: keyof typeof STYLES): void {
    const start = STYLES[style];
    const styled = label === ""
      ? ""
      : this.#color && start !== ""
      ? `${start}${label}:${RESET} `
      : `${label}: `;
    const lines = sanitizeLines(text).split("\n");
    this.#write(this.#options.terminal.stderr, lines.map((line) => `coldcase: ${styled}${line}\n`).join(""));
  }

  /** The progress line is wiped before, and drawn again after, whatever else reaches the screen. */
  #write(stream: TextStream, text: string): void {
    this.#progress?.hide();
    const isAside = this.#question !== undefined && stream.isTerminal;
    const failure = stream.write(isAside ? `\n${text}${this.#question}` : text);
    const isResult = stream === this.#options.terminal.stdout;
    // Nobody is left to be told of a failure of stderr.
    if (isResult && failure && !(failure instanceof ClosedOutput)) this.#resultFailure ??= failure;
    this.#progress?.show();
  }
}

function causesOf(error: Error): string[] {
  const causes: string[] = [];
  for (let cause = error.cause; cause !== undefined && causes.length < 8;) {
    causes.push(cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause));
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return causes;
}
