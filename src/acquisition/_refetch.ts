/**
 * Reads lost blocks of an exhibit from the service again. What it serves now is offered to whoever knows the block's digest;
 * a block that is another one by now, or is not listed any more, is told and stays lost.
 */
import { OperatorError } from "../errors.ts";
import type { BlockSource, Digest, ListedBlock, VerifiedBlock } from "../model.ts";
import type { Exhibit } from "../store/mod.ts";
import { blocksUnderWay, forEachConcurrently } from "./_pool.ts";
import type { Spending } from "./_spending.ts";

/** From a page's end to the next lost block: beyond so many blocks a new listing costs less than going on. */
const RELIST_BEYOND_BLOCKS = 20_000;

export interface RefetchInput {
  readonly source: BlockSource;
  readonly spending: Spending;
  readonly signal: AbortSignal;
  readonly exhibit: Exhibit;
  /** In ascending order. */
  lost(): AsyncIterable<{ readonly index: number; readonly digest: Digest }>;
  /** False where it is another block. */
  take(index: number, block: VerifiedBlock): Promise<boolean>;
  /** Told of each block that was not had. */
  onRefused(refused: { readonly blockIndex: number; readonly message: string }): void;
  onProgress?(done: { readonly triedBlocks: number }): void;
}

/** Throws as the source does: `access`, `source`, `not_found`; `budget`. */
export async function refetchBlocks(input: RefetchInput): Promise<void> {
  const { source, exhibit, signal, spending } = input;
  const { shape } = exhibit;
  const snapshot = exhibit.manifest.source.snapshot;
  let triedBlocks = 0;
  const limit = blocksUnderWay(source.maxConcurrency, shape);
  await forEachConcurrently(listedOf(input), { limit, signal }, async ({ block, digest }, itemSignal) => {
    const isOver = spending.askForBlock(shape.blockSizeBytes);
    const answer = await source.getBlock({ snapshot, block, shape }, { signal: itemSignal }).finally(isOver);
    const blockIndex = block.index;
    if (answer.kind === "unreadable") {
      input.onRefused({ blockIndex, message: `the service could not serve it: ${answer.detail}` });
    } else if (!await input.take(blockIndex, answer)) {
      const message = `the exhibit holds ${digest}, the service now serves ${answer.digest}: not taken`;
      input.onRefused({ blockIndex, message });
    }
    input.onProgress?.({ triedBlocks: ++triedBlocks });
  });
}

interface Listed {
  readonly block: ListedBlock;
  readonly digest: Digest;
}

/** The lost blocks that the service lists. Where the next one is far it is listed anew from there. */
async function* listedOf(input: RefetchInput): AsyncIterable<Listed> {
  const { source, exhibit, signal } = input;
  const snapshot = exhibit.manifest.source.snapshot;
  const lost = input.lost()[Symbol.asyncIterator]();
  let next = await lost.next();
  const refuseNext = async () => {
    input.onRefused({ blockIndex: next.value.index, message: "the service does not list it" });
    next = await lost.next();
  };
  while (!next.done) {
    let isFar = false;
    for await (const page of source.listBlocks(snapshot, { signal, startingBlock: next.value.index })) {
      refuseOtherVolume(exhibit, page.shape);
      for (const block of page.blocks) {
        while (!next.done && next.value.index < block.index) await refuseNext();
        if (next.done) return;
        if (next.value.index !== block.index) continue;
        yield { block, digest: next.value.digest };
        next = await lost.next();
      }
      if (next.done) return;
      const last = page.blocks.at(-1);
      isFar = last !== undefined && next.value.index - last.index > RELIST_BEYOND_BLOCKS;
      if (isFar) break;
    }
    // The listing came to its end before it.
    while (!isFar && !next.done) await refuseNext();
  }
}

function refuseOtherVolume({ shape, manifest }: Exhibit, page: Exhibit["shape"]): void {
  if (page.blockCount === shape.blockCount && page.blockSizeBytes === shape.blockSizeBytes) return;
  throw new OperatorError(
    "source",
    `Cannot read blocks of "${manifest.source.snapshot}" again: the service says ${page.blockCount} blocks of ` +
      `${page.blockSizeBytes} bytes, the exhibit has ${shape.blockCount} of ${shape.blockSizeBytes}`,
  );
}
