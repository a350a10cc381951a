/**
 * What `acquire` says before its first block and after its commit, for people and for programs: what is held and what
 * remains, at what price; and what the exhibit holds. It decides nothing.
 */
import type { AcquireInput, PreparedFacts } from "../acquisition/mod.ts";
import type { CommandContext } from "../cli/mod.ts";
import type { Exhibit } from "../store/mod.ts";
import type { CaseOf } from "./_corrections.ts";
import {
  blocksText,
  exhibitEvent,
  IMAGE_DIGEST_LABEL,
  originMark,
  statusOf,
} from "./_exhibits.ts";
import { costText, pricesText } from "./_prices.ts";

/** What is about to happen, before the first block. */
export function announce(
  { out }: CommandContext,
  input: AcquireInput,
  facts: PreparedFacts,
): void {
  const { tally, shape, parent, parentDropped } = facts;
  const size = (blocks: number) => blocksText(blocks, shape.blockSizeBytes);
  out.note(
    `${input.snapshot}: ${
      facts.isResumed ? "RESUMING" : "NEW"
    } as ${facts.exhibit}, ` +
      `volume of ${shape.volumeSizeGib} GiB`,
  );
  if (facts.isResumed) out.note(`  held       ${size(tally.heldBlocks)}`);
  if (parent) {
    out.note(`  taken over ${size(tally.takenOverBlocks)} from ${parent.id}`);
  }
  out.note(`  absent     ${size(tally.absentBlocks)}`);
  out.note(`  to fetch   ${size(tally.fetchBlocks)}`);
  out.note(`  cost       about ${costText(facts.remaining)}`);
  out.note(`  ${pricesText(input.spending.prices)}`);
  if (parentDropped) {
    out.note(`full listing, building on nothing: ${parentDropped}`);
  }
}

export function showExhibit(
  out: CommandContext["out"],
  exhibit: Pick<Exhibit, "id" | "manifest"> & CaseOf,
): void {
  const { manifest } = exhibit;
  const { counts, volume, source } = manifest;
  const size = (blocks: number) => blocksText(blocks, volume.blockSizeBytes);
  const mark = originMark(source);
  const lines = [
    `${exhibit.id}  ${source.snapshot}  ${statusOf(manifest)}${
      mark ? `  ${mark}` : ""
    }`,
    `  stored     ${size(counts.storedBlocks)}`,
    `  zero       ${size(counts.zeroBlocks)}`,
    `  absent     ${size(counts.absentBlocks)}`,
    `  unreadable ${size(counts.unreadableBlocks)}`,
    `  ${IMAGE_DIGEST_LABEL}:`,
    `  ${manifest.imageDigest}`,
    `  signed by ${manifest.acquisition.signer}`,
  ];
  out.result(`${lines.join("\n")}\n`);
  out.event({ type: "summary", ...exhibitEvent(exhibit) });
}
