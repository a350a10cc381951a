/**
 * A pack on its way into a store of the other mode: its bytes as they are, each record's block checked before the
 * record goes on; and where one is damaged, which record and which blocks of the volume that costs.
 *
 * @see store-format.md, "Pack"
 */
import { isFault, messageOf, OperatorError } from "../errors.ts";
import { type FooterEntry, PACK_HEADER_BYTES, RECORD_HEADER_BYTES } from "../format/pack.ts";
import { segmentCount } from "../format/segment.ts";
import { type Digest, type ObjectName, SEGMENT_BLOCKS } from "../model.ts";
import type { Contents } from "./_contents.ts";
import type { Exhibit } from "./_exhibit.ts";
import { memoryFile } from "./_memory_file.ts";
import {
  type OpenPack,
  openRecord,
  readEntries,
  readExactly,
  readFooter,
  walkRecords,
} from "./_pack_reader.ts";

/** Ranges of blocks that a message names. */
const MAX_RANGES = 8;

/**
 * All bytes of a pack in order, a record at a time, none before its block's digest matched.
 * Throws `integrity` or `format` for a damaged pack, at the first damage.
 */
export function* checkedPieces(pack: OpenPack, blockBytes: number): Iterable<Uint8Array> {
  const entries = readFooter(pack);
  yield readExactly(pack, { offset: 0, length: PACK_HEADER_BYTES });
  let end = PACK_HEADER_BYTES;
  for (const entry of entries) yield checkedRecord(pack, entry, blockBytes);
  const last = entries.at(-1);
  if (last) end = last.offset + RECORD_HEADER_BYTES + last.storedBytes;
  yield readExactly(pack, { offset: end, length: pack.sizeBytes - end });
}

function checkedRecord(pack: OpenPack, entry: FooterEntry, blockBytes: number): Uint8Array {
  const length = RECORD_HEADER_BYTES + entry.storedBytes;
  const record = readExactly(pack, { offset: entry.offset, length });
  openRecord(record, { ...entry, name: pack.name, blockBytes });
  return record;
}

/** A pack that was found damaged, as its file lies. */
export interface DamagedPack {
  readonly name: ObjectName;
  readonly stored: Uint8Array;
  readonly verb: string;
  readonly exhibit: Exhibit;
  readonly contents: Contents;
}

/** The error that names file, first damaged record, and all blocks of the exhibit that its damaged records hold. */
export async function damageIn(damaged: DamagedPack, fault: OperatorError): Promise<OperatorError> {
  const { name, verb, exhibit } = damaged;
  const records = await badRecords(damaged);
  const first = records[0];
  const digests = new Set(records.map(({ digest }) => digest));
  const ranges = digests.size > 0 ? await blocksWith(exhibit, digests) : [];
  const { blockSizeBytes } = exhibit.shape;
  const texts = ranges.slice(0, MAX_RANGES).map(({ firstBlock, blockCount }) => {
    const [start, end] = [firstBlock, firstBlock + blockCount];
    const blocks = blockCount === 1 ? `block ${start}` : `blocks ${start} to ${end - 1}`;
    return `${blocks} (bytes ${start * blockSizeBytes} to ${end * blockSizeBytes - 1} of the volume)`;
  });
  if (ranges.length > MAX_RANGES) texts.push(`${ranges.length - MAX_RANGES} more ranges`);
  const what = first ? `record ${first.record} at byte ${first.offset}: ${first.message}` : messageOf(fault);
  const lost = texts.length > 0 ? `; damaged records hold ${texts.join(", ")}` : "";
  const range = ranges[0];
  return new OperatorError(
    "integrity",
    `Cannot ${verb} "${exhibit.id}": "${name}" is damaged: ${what}${lost}`,
    {
      cause: fault,
      facts: {
        ...fault.facts,
        exhibit: exhibit.id,
        file: name,
        ...(first && { record: first.record, recordOffsetBytes: first.offset }),
        ...(range && {
          firstBlock: range.firstBlock,
          blockCount: range.blockCount,
          volumeOffsetBytes: range.firstBlock * blockSizeBytes,
          volumeLengthBytes: range.blockCount * blockSizeBytes,
        }),
      },
      hints: [`Run "coldcase verify ${exhibit.id}" to learn the whole damage.`],
    },
  );
}

interface BadRecord extends FooterEntry {
  readonly record: number;
  readonly message: string;
}

async function badRecords({ name, stored, exhibit, contents }: DamagedPack): Promise<BadRecord[]> {
  const bad: BadRecord[] = [];
  try {
    const file = await contents.decrypted(name, memoryFile(stored));
    const pack: OpenPack = { name, file, sizeBytes: file.sizeBytes() };
    for (const [record, entry] of entriesOf(pack).entries()) {
      try {
        checkedRecord(pack, entry, exhibit.shape.blockSizeBytes);
      } catch (error) {
        if (!isFault(error)) throw error;
        bad.push({ ...entry, record, message: error.message });
      }
    }
  } catch (error) {
    if (!isFault(error)) throw error; // it can't be opened at all: which is what the caller knows
  }
  return bad;
}

/** The entries of a pack that is damaged: by its footer, or else by the records' headers. */
export function entriesOf(pack: OpenPack): FooterEntry[] {
  try {
    return readEntries(pack);
  } catch (error) {
    if (!isFault(error)) throw error;
    return walkRecords(pack);
  }
}

/** Where in the volume blocks with these digests are. */
async function blocksWith(
  exhibit: Exhibit,
  digests: ReadonlySet<Digest>,
): Promise<{ readonly firstBlock: number; readonly blockCount: number }[]> {
  const ranges: { firstBlock: number; blockCount: number }[] = [];
  for (let position = 0; position < segmentCount(exhibit.shape); position++) {
    for (const [at, { digest }] of (await exhibit.segment(position)).entries()) {
      if (digest === undefined || !digests.has(digest)) continue;
      const block = position * SEGMENT_BLOCKS + at;
      const last = ranges.at(-1);
      if (last && last.firstBlock + last.blockCount === block) last.blockCount++;
      else ranges.push({ firstBlock: block, blockCount: 1 });
    }
  }
  return ranges;
}
