/**
 * Whether every stored block of an exhibit is held by a record that was found good. Packs are told of first, then
 * segments in order. Where packs were not opened, a block that no other holds may lie in one of them: that is
 * counted, and neither good nor a finding.
 *
 * @see store-format.md, "Verification"
 */
import type { Segment } from "../format/segment.ts";
import type { Digest } from "../model.ts";
import type { Exhibit } from "./_exhibit.ts";
import type { Finding } from "./_findings.ts";
import { KnownRecords } from "./_known_records.ts";

type Fault = Pick<Finding, "code" | "file" | "message">;

/** Records of one pack. */
type PackRecords = Parameters<KnownRecords["addPack"]>[0];

/** Neighbours with one fault are one finding. */
interface FaultRun {
  readonly fault: Fault;
  readonly firstBlock: number;
  blockCount: number;
}

export class BlockCheck {
  /** Digests whose record was found good (or, where data is not read, is listed by a good footer). */
  readonly #good: KnownRecords;
  readonly #bad: KnownRecords;
  readonly #exhibit: Exhibit;
  readonly #report: (finding: Finding) => void;
  #uncheckedBlocks = 0;

  /** @param options.isBlind Nothing that is known of contents may reach a disk. */
  constructor(
    exhibit: Exhibit,
    options: { readonly isBlind: boolean; readonly report: (finding: Finding) => void },
  ) {
    this.#exhibit = exhibit;
    this.#report = options.report;
    this.#good = new KnownRecords(options);
    this.#bad = new KnownRecords(options);
  }

  addGood(records: PackRecords): void {
    this.#good.addPack(records);
  }

  addBad(records: PackRecords): void {
    this.#bad.addPack(records);
  }

  /** Whether a good record holds the block. */
  holds(digest: Digest): boolean {
    return this.#good.packOf(digest) !== undefined;
  }

  /** Blocks of segments that were not opened: which they are is not known. */
  addUnchecked(count: number): void {
    this.#uncheckedBlocks += count;
  }

  /** Stored blocks that no opened pack holds, where others were not opened; and those of unopened segments. */
  get uncheckedBlocks(): number {
    return this.#uncheckedBlocks;
  }

  check(segment: Segment, firstBlock: number, { hasUnopenedPacks }: { hasUnopenedPacks: boolean }): void {
    let run: FaultRun | undefined;
    for (let position = 0; position < segment.length; position++) {
      const { digest } = segment[position]!;
      const fault = digest && !this.#good.packOf(digest)
        ? this.#faultOf(digest, hasUnopenedPacks)
        : undefined;
      const block = firstBlock + position;
      const isNext = fault && run && run.firstBlock + run.blockCount === block &&
        run.fault.file === fault.file && run.fault.code === fault.code;
      if (isNext) {
        run!.blockCount++;
        continue;
      }
      if (run) this.report(run.fault, run);
      run = fault && { fault, firstBlock: block, blockCount: 1 };
    }
    if (run) this.report(run.fault, run);
  }

  /** `undefined` where it may lie in a pack that was not opened, which is counted. */
  #faultOf(digest: Digest, hasUnopenedPacks: boolean): Fault | undefined {
    const file = this.#bad.packOf(digest);
    if (file) return { code: "block_damaged", file, message: `held by damaged records of "${file}"` };
    if (hasUnopenedPacks) {
      this.#uncheckedBlocks++;
      return undefined;
    }
    return {
      code: "block_missing",
      file: this.#exhibit.inventoryFile,
      message: "held by no good record of the exhibit's packs",
    };
  }

  /** Reports a fault of a range of the volume. */
  report(
    fault: Fault,
    { firstBlock, blockCount }: { readonly firstBlock: number; readonly blockCount: number },
  ): void {
    const { blockSizeBytes } = this.#exhibit.shape;
    const volumeOffsetBytes = firstBlock * blockSizeBytes;
    const volumeLengthBytes = blockCount * blockSizeBytes;
    const lastByte = volumeOffsetBytes + volumeLengthBytes - 1;
    const blocks = blockCount === 1
      ? `Block ${firstBlock}`
      : `Blocks ${firstBlock} to ${firstBlock + blockCount - 1}`;
    this.#report({
      ...fault,
      firstBlock,
      blockCount,
      volumeOffsetBytes,
      volumeLengthBytes,
      message: `${blocks} (bytes ${volumeOffsetBytes} to ${lastByte} of the volume): ${fault.message}`,
    });
  }

  close(): void {
    this.#good.close();
    this.#bad.close();
  }
}
