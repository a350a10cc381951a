/**
 * Reads a journal's log. What a crash tore at its end counts as never written; a bad line that whole lines
 * follow is damage: what it recorded is lost, the slots that depend on it are not, so nobody goes on from it.
 *
 * @see store-format.md, "Journal"
 */
import { OperatorError } from "../errors.ts";
import { decodeLogLine, type JournalEntry, MAX_LOG_LINE_BYTES } from "../format/journal.ts";
import type { DiskFile } from "../model.ts";

const LOG_BUFFER_BYTES = 1024 * 1024;

/** Eight digits, a blank, the JSON and the newline. */
const MAX_LINE_BYTES = MAX_LOG_LINE_BYTES + 10;

/**
 * Replays all good lines, oldest first, and gives their length: what lies beyond is a torn tail.
 *
 * Throws `integrity` where a whole line follows a bad one, `format` for a whole line that is no entry.
 */
export function replayLog(log: DiskFile, name: string, replay: (entry: JournalEntry) => void): number {
  let goodBytes = 0;
  let number = 0;
  let badLine: number | undefined;
  for (const { bytes, end } of logLines(log)) {
    number++;
    const entry = bytes && decodeLogLine(bytes, name);
    if (!entry) badLine ??= number;
    else if (badLine !== undefined) throw damagedLine(name, badLine);
    else {
      replay(entry);
      goodBytes = end;
    }
  }
  return goodBytes;
}

function damagedLine(name: string, number: number): OperatorError {
  return new OperatorError(
    "integrity",
    `Cannot resume from ${name}: line ${number} is damaged, and whole lines follow it`,
    {
      facts: { line: number },
      hints: ["The journal is kept as it is. Restore it from a copy, or start anew with --fresh."],
    },
  );
}

export interface LogLine {
  /** Without the newline; `undefined` for one that is longer than any line. */
  readonly bytes: Uint8Array | undefined;
  /** Offset of the byte after the newline. */
  readonly end: number;
}

/** Pieces that end in a newline; what follows the last one is none. */
export function* logLines(log: DiskFile): Iterable<LogLine> {
  let rest = new Uint8Array(0);
  let isTooLong = false;
  const sizeBytes = log.sizeBytes();
  for (let offset = 0; offset < sizeBytes;) {
    // Most logs are short, and stores of many acquisitions have many.
    const buffer = new Uint8Array(rest.length + Math.min(LOG_BUFFER_BYTES, sizeBytes - offset));
    buffer.set(rest);
    const got = log.read(buffer.subarray(rest.length), offset);
    if (got === 0) return;
    const filled = buffer.subarray(0, rest.length + got);
    const fileOffset = offset - rest.length;
    offset += got;
    let start = 0;
    for (let end = filled.indexOf(0x0a, rest.length); end >= 0; end = filled.indexOf(0x0a, start)) {
      yield { bytes: isTooLong ? undefined : filled.subarray(start, end), end: fileOffset + end + 1 };
      isTooLong = false;
      start = end + 1;
    }
    isTooLong ||= filled.length - start > MAX_LINE_BYTES;
    rest = isTooLong ? new Uint8Array(0) : filled.slice(start);
  }
}
