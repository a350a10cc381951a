/**
 * An image's windows against the log of their digests (window_log.ts, or dcfldd's own): which of them differ. The log
 * is read as a stream beside the image, line by line; what is no such log is refused with the line.
 */
import { OperatorError } from "../errors.ts";
import type { Disk, DiskFile } from "../model.ts";
import {
  DIGEST_HEX_LENGTHS,
  DIGEST_NAMES,
  type DigestName,
  type WindowDigests,
  WindowedDigests,
} from "./digests.ts";
import { type ByteRange, RangeList } from "./ranges.ts";
import { windowLogPath, windowLogsOf } from "./window_log.ts";

const READ_BYTES = 64 * 1024;
/** Two numbers and the longest digest. */
const MAX_LINE_BYTES = 128;

/** Windows of one digest that differ from its log. */
export interface DifferingWindows {
  readonly name: DigestName;
  /** Neighbours merged, ascending, the first 1,000. */
  readonly ranges: readonly ByteRange[];
  readonly rangeCount: number;
}

export interface WindowFindings {
  readonly differing: readonly DifferingWindows[];
  /** What each log says of the whole. */
  readonly totals: Readonly<Partial<Record<DigestName, string>>>;
}

/** Takes an image's bytes in order, and compares its windows with all logs at `base`. */
export class WindowCheck {
  readonly #checks: LogCheck[] = [];

  /** Throws `format` for a log that is none. */
  constructor(disk: Disk, base: string) {
    const there = windowLogsOf(disk, base);
    try {
      for (const name of DIGEST_NAMES) {
        const path = windowLogPath(base, name);
        if (there.includes(path)) this.#checks.push(new LogCheck(disk, { name, path }));
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get names(): readonly DigestName[] {
    return this.#checks.map(({ name }) => name);
  }

  update(bytes: Uint8Array): void {
    for (const check of this.#checks) check.update(bytes);
  }

  /** Ends it. `isWhole`: the image has as many bytes as it should, so the logs must end where it does. */
  finish(isWhole: boolean): WindowFindings {
    const totals = this.#checks.map((check) => [check.name, check.finish(isWhole)] as const);
    const differing = this.#checks.map(({ name, differing: { listed, count } }) => ({
      name,
      ranges: listed,
      rangeCount: count,
    }));
    return { differing, totals: Object.fromEntries(totals.filter(([, total]) => total !== undefined)) };
  }

  close(): void {
    for (const check of this.#checks) check.close();
  }
}

class LogCheck {
  readonly name: DigestName;
  readonly differing = new RangeList();
  readonly #log: WindowLogReader;
  readonly #windows: WindowedDigests;

  constructor(disk: Disk, of: { readonly name: DigestName; readonly path: string }) {
    this.name = of.name;
    this.#log = new WindowLogReader(disk.open(of.path, "read"), of);
    try {
      const onWindow = (window: WindowDigests) => this.#compare(window);
      this.#windows = new WindowedDigests([of.name], { windowBytes: this.#log.windowBytes, onWindow });
    } catch (error) {
      this.close();
      throw error;
    }
  }

  update(bytes: Uint8Array): void {
    this.#windows.update(bytes);
  }

  finish(isWhole: boolean): string | undefined {
    this.#windows.finish();
    return isWhole ? this.#log.total() : undefined;
  }

  close(): void {
    this.#log.close();
  }

  #compare({ offsetBytes, lengthBytes, digests }: WindowDigests): void {
    const line = this.#log.next();
    // Going on would hash an image in windows as small as a hostile first line says.
    if (!line) throw this.#log.ended(offsetBytes);
    if (line.endBytes === offsetBytes + lengthBytes && line.digest === digests[this.name]) return;
    this.differing.add({ offsetBytes, lengthBytes });
  }
}

interface WindowLine {
  readonly endBytes: number;
  readonly digest: string;
}

/** The lines of one log, each once. Throws `format` with the line's number. */
export class WindowLogReader {
  /** Of every window but the last. */
  readonly windowBytes: number;
  readonly #file: DiskFile;
  readonly #path: string;
  readonly #name: DigestName;
  readonly #window: RegExp;
  #buffer = "";
  #offset = 0;
  #lineNumber = 0;
  #nextStart = 0;
  #isEnded = false;
  #ahead: WindowLine | undefined;

  /** Owns `file` from now on, also where it throws. */
  constructor(file: DiskFile, of: { readonly name: DigestName; readonly path: string }) {
    this.#file = file;
    this.#path = of.path;
    this.#name = of.name;
    this.#window = new RegExp(`^(\\d{1,15}) - (\\d{1,15}): ([0-9a-f]{${DIGEST_HEX_LENGTHS[of.name]}})$`);
    try {
      const first = this.#read();
      if (!first) throw this.#damaged("it has no window");
      this.#ahead = first;
      this.windowBytes = first.endBytes;
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** `undefined` after the last. */
  next(): WindowLine | undefined {
    const line = this.#ahead ?? this.#read();
    this.#ahead = undefined;
    return line;
  }

  /** After the last window: the digest of the whole. */
  total(): string {
    if (this.next()) throw this.#damaged("windows go on after the image's end");
    const match = /^Total \(([a-z0-9]{1,16})\): ([0-9a-f]{32,64})$/.exec(this.#line() ?? "");
    if (match?.[1] !== this.#name || match[2]!.length !== DIGEST_HEX_LENGTHS[this.#name]) {
      throw this.#damaged(`expected "Total (${this.#name}): …"`);
    }
    if (this.#line() !== undefined) throw this.#damaged("lines follow its total");
    return match[2]!;
  }

  ended(offsetBytes: number): OperatorError {
    return this.#damaged(`it ends at byte ${offsetBytes}, the image does not`);
  }

  close(): void {
    this.#file.close();
  }

  #read(): WindowLine | undefined {
    if (this.#isEnded) return undefined;
    const text = this.#line();
    // dcfldd has an empty line before the total.
    if (text === "") {
      this.#isEnded = true;
      return undefined;
    }
    const match = this.#window.exec(text ?? "");
    if (!match) throw this.#damaged(`expected "START - END: digest", or the total after an empty line`);
    const [start, endBytes] = [Number(match[1]), Number(match[2])];
    const isLast = this.windowBytes !== undefined && endBytes - start < this.windowBytes;
    const isSized = this.windowBytes === undefined || isLast || endBytes - start === this.windowBytes;
    if (start !== this.#nextStart || endBytes <= start || !isSized) {
      throw this.#damaged(`a window of bytes ${start} to ${endBytes}, expected one from ${this.#nextStart}`);
    }
    // Nothing can follow a window that is shorter.
    this.#nextStart = isLast ? -1 : endBytes;
    return { endBytes, digest: match[3]! };
  }

  #line(): string | undefined {
    let end = this.#buffer.indexOf("\n");
    if (end < 0) {
      const bytes = new Uint8Array(READ_BYTES);
      const count = this.#file.read(bytes, this.#offset);
      this.#offset += count;
      this.#buffer += new TextDecoder("latin1").decode(bytes.subarray(0, count));
      end = this.#buffer.indexOf("\n");
      if (end < 0 && this.#buffer === "") return undefined;
    }
    this.#lineNumber++;
    if (end < 0 || end > MAX_LINE_BYTES) throw this.#damaged("it does not end");
    const line = this.#buffer.slice(0, end);
    this.#buffer = this.#buffer.slice(end + 1);
    return line;
  }

  #damaged(what: string): OperatorError {
    return new OperatorError(
      "format",
      `Cannot read digest log "${this.#path}", line ${Math.max(1, this.#lineNumber)}: ${what}`,
      { facts: { path: this.#path, line: this.#lineNumber } },
    );
  }
}
