/**
 * The seam to whatever stands at stdin's, stdout's and stderr's other end, and the real one. It moves bytes and tells
 * facts; it does not format, color or sanitize (output.ts does). Signals and the process's end are here too,
 * because they belong to the same outside; the real listener and exit are wired in main.ts.
 */

import { messageOf, OperatorError } from "../errors.ts";
import { askAnswer, askSecret, type Keyboard } from "./secret.ts";

/** stdout was closed by its reader (`coldcase … | head`): nothing failed, there is just no one left to write to. */
export class ClosedOutput extends Error {
  override readonly name = "ClosedOutput";
}

/** One of the two output streams. */
export interface TextStream {
  readonly isTerminal: boolean;
  /** Columns of the terminal right now, so a resize is seen at the next call; undefined where there are none. */
  columns(): number | undefined;
  /**
   * Writes all of `text` before it returns. Never throws, so that a full disk or a lost connection can't break
   * what is being saved: returns what kept the text from being written, a `ClosedOutput` where its reader left.
   */
  write(text: string): Error | undefined;
}

/** Asks a question; ends with the signal's reason where that aborts before the answer. */
export type Asking = (question: string, signal?: AbortSignal) => Promise<string | undefined>;

export interface Terminal {
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  /** Asks the person for a secret, which is not shown; `undefined` where there is no person to ask. */
  readonly askSecret?: Asking | undefined;
  /** Asks the person for an answer, which is shown as it is typed. */
  readonly askAnswer?: Asking | undefined;
  /** Writes all of `bytes` to stdout, waiting as the reader needs. Throws `ClosedOutput` when it is gone. */
  writeBinary(bytes: Uint8Array): Promise<void>;
}

/** What can stop a command from outside. */
export type StopSignal = "SIGINT" | "SIGTERM" | "SIGHUP";

/** Signals of the process, and its end. */
export interface Interrupts {
  /** Calls `onSignal` at each signal until the returned function is called. */
  listen(onSignal: (signal: StopSignal) => void): () => void;
  /** Ends the process at once. */
  exitNow(exitCode: number): void;
}

/** The streams of this process. */
export function realTerminal(): Terminal {
  const hasPerson = Deno.stdin.isTerminal() && Deno.stderr.isTerminal();
  return {
    stdout: realStream(Deno.stdout),
    stderr: realStream(Deno.stderr),
    askSecret: hasPerson
      ? (question, signal) => askSecret(keyboard(signal), question, writeToStderr)
      : undefined,
    askAnswer: hasPerson
      ? (question, signal) => askAnswer(keyboard(signal), question, writeToStderr)
      : undefined,
    async writeBinary(bytes) {
      try {
        for (let done = 0; done < bytes.length;) {
          done += await Deno.stdout.write(bytes.subarray(done));
        }
      } catch (error) {
        if (error instanceof Deno.errors.BrokenPipe) throw new ClosedOutput("stdout was closed");
        throw cannotWriteResult(error);
      }
    },
  };
}

/** The error of a result that did not get out, whatever the reason is. */
export function cannotWriteResult(cause: unknown): OperatorError {
  return new OperatorError("storage", `Cannot write the result to stdout: ${messageOf(cause)}`, {
    hints: ["nothing else was affected; run it again with another destination"],
    cause,
  });
}

type ProcessStream = typeof Deno.stdout | typeof Deno.stderr;

function realStream(stream: ProcessStream): TextStream {
  const encoder = new TextEncoder();
  const isTerminal = stream.isTerminal();
  return {
    isTerminal,
    columns: () => isTerminal ? columnsNow() : undefined,
    write: (text) => writeAll(stream, encoder.encode(text)),
  };
}

/** Undefined on a terminal that does not know its size, such as a serial console (0 columns). */
function columnsNow(): number | undefined {
  try {
    return Deno.consoleSize().columns || undefined;
  } catch (error) {
    // stdin, stdout and stderr are all redirected: not a terminal after all.
    if (error instanceof Error) return undefined;
    throw error;
  }
}

const PAUSE = new Int32Array(new SharedArrayBuffer(4));

function writeAll(stream: ProcessStream, bytes: Uint8Array): Error | undefined {
  for (let done = 0; done < bytes.length;) {
    try {
      done += stream.writeSync(bytes.subarray(done));
    } catch (error) {
      if (error instanceof Deno.errors.BrokenPipe) return new ClosedOutput("the reader was closed");
      // Another process (ssh, tee) may have made the shared pipe non-blocking: its reader is slow, not gone.
      if (!(error instanceof Deno.errors.WouldBlock)) {
        return error instanceof Error ? error : new Error(String(error));
      }
      Atomics.wait(PAUSE, 0, 0, 5);
    }
  }
  return undefined;
}

function keyboard(signal: AbortSignal | undefined): Keyboard {
  return {
    setRaw: (isRaw) => Deno.stdin.setRaw(isRaw),
    read: (into) => signal === undefined ? Deno.stdin.read(into) : beforeAbort(Deno.stdin.read(into), signal),
  };
}

/** A process that is told to end does not wait for an answer first. */
async function beforeAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const stop = Promise.withResolvers<never>();
  const onAbort = () => stop.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([work, stop.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Where questions are asked, as all that is no result. */
function writeToStderr(text: string): void {
  writeAll(Deno.stderr, new TextEncoder().encode(text));
}
