/**
 * What `acquire` says before its first block and after its commit, for people and for programs: what is held and what
 * remains, at what price; and what the exhibit holds. It decides nothing.
 */
import type { AcquireInput, PreparedFacts } from "../acquisition/mod.ts";
import { type CommandContext, formatTable } from "../cli/mod.ts";
import { describeSet } from "../format/snapshot_set.ts";
import { costOf, type PriceTable } from "../plan.ts";
import type { Exhibit } from "../store/mod.ts";
import { formatCount } from "../units.ts";
import type { Ended } from "./_acquire_one.ts";
import type { Target } from "./_instance.ts";
import type { CaseOf } from "./_corrections.ts";
import { blocksText, exhibitEvent, IMAGE_DIGEST_LABEL, originMark, statusOf } from "./_exhibits.ts";
import { costText, pricesText } from "./_prices.ts";
import { KNOWN_BY } from "./_sources_sets.ts";

/** What is about to happen, before the first block. */
export function announce({ out }: CommandContext, input: AcquireInput, facts: PreparedFacts): void {
  const { tally, shape, parent, parentDropped } = facts;
  const size = (blocks: number) => blocksText(blocks, shape.blockSizeBytes);
  out.note(
    `${input.snapshot}: ${facts.isResumed ? "RESUMING" : "NEW"} as ${facts.exhibit}, ` +
      `volume of ${shape.volumeSizeGib} GiB`,
  );
  if (facts.isResumed) out.note(`  held       ${size(tally.heldBlocks)}`);
  if (parent) out.note(`  taken over ${size(tally.takenOverBlocks)} from ${parent.id}`);
  out.note(`  absent     ${size(tally.absentBlocks)}`);
  out.note(`  to fetch   ${size(tally.fetchBlocks)}`);
  out.note(`  cost       about ${costText(facts.remaining)}`);
  out.note(`  ${pricesText(input.spending.prices)}`);
  if (parentDropped) out.note(`full listing, building on nothing: ${parentDropped}`);
}

/** Blocks of a GiB, each of 512 KiB as all of EBS's are. */
const BLOCKS_OF_GIB = 2048;
const BLOCKS_OF_PAGE = 10_000;

/** The snapshots of an instance before the first of them, and what all of them can cost at most. */
export function announceTargets(
  { out }: CommandContext,
  instance: string,
  targets: readonly Target[],
  { prices, isInRegion }: { readonly prices: PriceTable; readonly isInRegion: boolean },
): void {
  const set = targets[0]?.set;
  const sizes = targets.map(({ volumeSizeGib }) => volumeSizeGib);
  const gib = sizes.every((size) => size !== undefined)
    ? sizes.reduce((sum, size) => sum + size, 0)
    : undefined;
  const atMost = gib === undefined ? undefined : costOf(
    {
      listRequests: 2 * (targets.length + Math.ceil(gib * BLOCKS_OF_GIB / BLOCKS_OF_PAGE)),
      getRequests: gib * BLOCKS_OF_GIB,
      receivedBytes: gib * 2 ** 30,
    },
    prices,
    isInRegion,
  );
  if (set) out.note(`${describeSet(set)}, known by ${KNOWN_BY[set.knownBy]}:`);
  const table = formatTable(
    [{ title: "DEVICE" }, { title: "VOLUME" }, { title: "SNAPSHOT" }, { title: "SIZE", align: "right" }, {
      title: "STATE",
    }],
    targets.map((target) => [
      ...placeOf(target),
      target.snapshot,
      target.volumeSizeGib === undefined ? "" : `${target.volumeSizeGib} GiB`,
      target.state ?? "",
    ]),
  );
  for (const line of table.trimEnd().split("\n")) out.note(`  ${line}`);
  if (gib !== undefined && atMost) {
    out.note(`${formatCount(gib)} GiB in all; at most ${costText(atMost)}, if every block was ever written`);
  }
  out.event({
    type: "set",
    instance,
    knownBy: set?.knownBy ?? null,
    startedAt: set?.startedAt ?? null,
    snapshots: set?.snapshots ?? [],
    missingVolumes: set?.missingVolumes ?? null,
    volumesSizeGib: gib ?? null,
    atMostUsd: atMost?.totalUsd ?? null,
  });
}

/** Device and volume. */
function placeOf({ snapshot, set }: Target): [string, string] {
  const own = set?.snapshots.find((one) => one.snapshot === snapshot);
  return [own?.device ?? "", own?.volumeId ?? ""];
}

/** What became of each of an instance's snapshots. */
export function showEnds(
  { out }: CommandContext,
  instance: string,
  ends: readonly { readonly target: Target; readonly ended: Ended }[],
): void {
  out.result(`\n${
    formatTable(
      [{ title: "DEVICE" }, { title: "VOLUME" }, { title: "SNAPSHOT" }, { title: "EXHIBIT" }, {
        title: "STATE",
      }],
      ends.map((
        { target, ended },
      ) => [...placeOf(target), target.snapshot, ended.exhibit ?? "", ended.state]),
    )
  }`);
  out.event({
    type: "instance",
    instance,
    snapshots: ends.map(({ target, ended }) => ({
      snapshot: target.snapshot,
      device: placeOf(target)[0] || null,
      volume: placeOf(target)[1] || null,
      exhibit: ended.exhibit ?? null,
      exitCode: ended.exitCode,
      state: ended.state,
    })),
  });
  const failed = ends.filter(({ ended }) => ended.exhibit === undefined).length;
  if (failed > 0) {
    out.hint(`${failed} of ${ends.length} are not held: run the same command again to go on with them.`);
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
    `${exhibit.id}  ${source.snapshot}  ${statusOf(manifest)}${mark ? `  ${mark}` : ""}`,
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
