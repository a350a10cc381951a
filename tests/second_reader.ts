/**
 * scripts/read_store.py as a process that reads one exhibit after the other: starting Python takes longer than
 * reading a small store. The process ends when nobody writes to it any more, and is ended where it does not answer.
 * No assertions.
 */
import { fromFileUrl } from "@std/path";
import { messageOf } from "../src/errors.ts";
import { toolPath } from "./outside.ts";

const READER = fromFileUrl(new URL("../scripts/read_store.py", import.meta.url));

/** What the reader cannot do without. */
export const READER_NEEDS = ["python3", "zstd", "ssh-keygen"];

/** Calls the reader's `main` with each line's arguments; a line back says how that ended. 1: it failed itself. */
const DRIVER = `
import contextlib, importlib.util, io, json, os, sys, traceback
sys.path.insert(0, os.path.dirname(sys.argv[1]))
spec = importlib.util.spec_from_file_location("read_store", sys.argv[1])
reader = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reader)
for line in sys.stdin:
    said, code = io.StringIO(), 1
    with contextlib.redirect_stderr(said):
        try:
            code = reader.main(json.loads(line))
        except Exception:
            traceback.print_exc()
    print(json.dumps([code, said.getvalue()]), flush=True)
`;

/** A store of tests is read in less than a tenth of a second: who takes this long hangs. */
const ANSWER_MS = 120_000;

/** How one reading ended. */
export interface Reading {
  readonly code: number;
  readonly stderr: string;
}

export class SecondReader {
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  #buffered = "";
  /** Answers come in the order of questions, and name none: one is asked at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor() {
    this.#child = new Deno.Command(toolPath("python3")!, {
      args: ["-c", DRIVER, READER],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    this.#input = this.#child.stdin.getWriter();
  }

  /**
   * Reads an exhibit into the image `output`, which must not exist and stays where the reader accepts.
   *
   * @param at `identity`: the file that opens an encrypted store.
   */
  read(
    at: { readonly store: string; readonly exhibit: string; readonly identity?: string },
    output: string,
  ): Promise<Reading> {
    const reading = this.#turn.then(() => this.#read(at, output));
    this.#turn = reading.catch(() => undefined); // whoever asked is told
    return reading;
  }

  async #read(
    at: { readonly store: string; readonly exhibit: string; readonly identity?: string },
    output: string,
  ): Promise<Reading> {
    const words = [at.store, at.exhibit, output, ...(at.identity === undefined ? [] : [at.identity])];
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.kill();
    }, ANSWER_MS);
    try {
      await this.#input.write(new TextEncoder().encode(`${JSON.stringify(words)}\n`));
      while (!this.#buffered.includes("\n")) {
        const { value, done } = await this.#lines.read();
        if (done) throw new Error("the second reader ended");
        this.#buffered += value;
      }
    } catch (error) {
      const reason = isLate ? `the second reader gave no answer for ${ANSWER_MS / 1000} s` : messageOf(error);
      throw new Error(`Cannot read "${at.exhibit}" in "${at.store}": ${reason}`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
    const end = this.#buffered.indexOf("\n");
    const [code, stderr]: [number, string] = JSON.parse(this.#buffered.slice(0, end));
    this.#buffered = this.#buffered.slice(end + 1);
    return { code, stderr };
  }

  /** Ends the process at once. */
  kill(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      // It ended by itself.
      if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  async close(): Promise<void> {
    await this.#input.close();
    await this.#lines.cancel();
    await this.#child.status;
  }
}
