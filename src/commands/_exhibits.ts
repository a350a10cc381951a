/**
 * How commands show an exhibit: the same words and numbers in `acquire`, `ls`, `info` and the log of an
 * export.
 */
import {
  type FolderFacts,
  folderOf,
  type Manifest,
  serviceOf,
  type SourceFacts,
} from "../format/manifest.ts";
import { describeSet } from "../format/snapshot_set.ts";
import type { Exhibit, OuterExhibit } from "../store/mod.ts";
import { formatCount, formatSize } from "../units.ts";
import { caseFactsText, type CaseOf, caseOf, correctionsEvent } from "./_corrections.ts";

/** Nobody shall take it for the digest of a file (design: image digest). */
export const IMAGE_DIGEST_LABEL = "image root (Merkle, not a file's SHA-256)";

/** Shown wherever such an exhibit is. */
export const NOT_FROM_AWS = "NOT ACQUIRED FROM AWS";

/** Shown wherever such an exhibit is. */
export const IMPORTED = "IMPORTED, NOT ACQUIRED BY COLDCASE";

/** What of an exhibit's origin must be said wherever it is shown; `undefined`: it came from AWS. */
export function originMark(source: SourceFacts): string | undefined {
  const service = serviceOf(source);
  return service ? service.isAws ? undefined : NOT_FROM_AWS : IMPORTED;
}

/** The same with where it came from instead. */
export function originText(source: SourceFacts): string | undefined {
  const mark = originMark(source);
  const folder = folderOf(source);
  if (mark === undefined) return undefined;
  return folder
    ? `${mark}: Snapshot-4n6ir-Imager made the folder ${folder.folder}`
    : `${mark} but from ${serviceOf(source)?.endpoint}`;
}

/** What nobody can know of what was imported. */
export const UNKNOWN_OF_IMPORT =
  "who acquired it, when, and from which Region; which blocks the snapshot had; whether AWS's checksums matched";

/** 3 where some of the volume is not known, else 0. */
export function exitCodeOf({ counts, isPartial }: Manifest): 0 | 3 {
  return counts.unreadableBlocks > 0 || isPartial ? 3 : 0;
}

/** `complete`, or what it lacks. */
export function statusOf({ counts, isPartial }: Manifest): string {
  const unreadable = `${formatCount(counts.unreadableBlocks)} unreadable`;
  return isPartial
    ? `PARTIAL, ${unreadable}`
    : counts.unreadableBlocks > 0
    ? `INCOMPLETE, ${unreadable}`
    : "complete";
}

/** `1,204 blocks (602 MiB)`. */
export function blocksText(blocks: number, blockSizeBytes: number): string {
  return `${formatCount(blocks)} ${blocks === 1 ? "block" : "blocks"} (${
    formatSize(blocks * blockSizeBytes)
  })`;
}

/** The members that every JSON object about an exhibit has. */
export function exhibitEvent(exhibit: Pick<Exhibit, "id" | "manifest"> & CaseOf) {
  const { manifest } = exhibit;
  const facts = caseOf(exhibit);
  const service = serviceOf(manifest.source);
  return {
    exhibit: exhibit.id,
    snapshot: manifest.source.snapshot,
    region: service?.region ?? null,
    endpoint: service?.endpoint ?? null,
    isAws: service?.isAws ?? false,
    import: folderOf(manifest.source) ?? null,
    imageDigest: manifest.imageDigest,
    volumeSizeGib: manifest.volume.volumeSizeGib,
    blockSizeBytes: manifest.volume.blockSizeBytes,
    blockCount: manifest.volume.blockCount,
    ...manifest.counts,
    isPartial: manifest.isPartial,
    parent: manifest.parent?.exhibit ?? null,
    supersedes: manifest.supersedes,
    case: facts.case,
    evidence: facts.evidence,
    corrections: correctionsEvent(exhibit),
    set: manifest.acquisition.set,
    startedAt: manifest.acquisition.startedAt,
    endedAt: manifest.acquisition.endedAt,
  };
}

/** Said of an exhibit that nothing was given to open. */
export const NOT_OPENED = "encrypted, not opened";

/** What is known of an exhibit that was not opened, for programs: the same members, null where they are not known. */
export function outerEvent({ id, inventory }: OuterExhibit) {
  const unknown = {
    region: null,
    endpoint: null,
    isAws: null,
    import: null,
    imageDigest: null,
    volumeSizeGib: null,
    blockSizeBytes: null,
    blockCount: null,
    absentBlocks: null,
    storedBlocks: null,
    unreadableBlocks: null,
    zeroBlocks: null,
    isPartial: null,
    supersedes: null,
    case: null,
    evidence: null,
    corrections: null,
    set: null,
    startedAt: null,
    endedAt: null,
  } satisfies Partial<Record<keyof ReturnType<typeof exhibitEvent>, null>>;
  return {
    exhibit: id,
    snapshot: inventory.snapshot,
    ...unknown,
    parent: inventory.parent,
    committedAt: inventory.committedAt,
    isEncrypted: true,
    isOpened: false,
    files: inventory.files.length,
    storedBytes: sizeOf(inventory),
  };
}

/** As much as is known of an exhibit, opened or not. */
export function eventOf(exhibit: OuterExhibit | Exhibit) {
  return "manifest" in exhibit ? exhibitEvent(exhibit) : outerEvent(exhibit);
}

/** The same for people, in reading order. */
export function outerFacts({ id, inventory, inventoryCheck }: OuterExhibit): [string, string][] {
  return [
    ["exhibit", id],
    ["status", `${NOT_OPENED}: -i FILE shows the rest`],
    ["snapshot", inventory.snapshot],
    ...(inventory.parent ? [["built on", inventory.parent] as [string, string]] : []),
    ["committed", inventory.committedAt],
    ["files", `${formatCount(inventory.files.length)}, ${formatSize(sizeOf(inventory))}`],
    ...inventoryCheck.held.map(({ key }): [string, string] => ["inventory signed by", key.fingerprint]),
  ];
}

/** One line. */
export function outerText({ id, inventory }: OuterExhibit): string {
  return `${id}  ${inventory.snapshot}  ${NOT_OPENED}\n`;
}

function sizeOf({ files }: OuterExhibit["inventory"]): number {
  return files.reduce((sum, file) => sum + file.sizeBytes, 0);
}

/** Labels and values for people, in reading order. */
export function exhibitFacts(exhibit: Exhibit): [string, string][] {
  const { manifest } = exhibit;
  const { source, volume, counts, acquisition, parent } = manifest;
  const { blockSizeBytes } = volume;
  const folder = folderOf(source);
  const facts: [string, string | null][] = [
    ["source", originText(source) ?? null],
    ["not known", folder ? UNKNOWN_OF_IMPORT : null],
    ["exhibit", exhibit.id],
    ["status", statusOf(manifest)],
    ["snapshot", `${source.snapshot}${folder ? "" : ` in ${serviceOf(source)?.region}`}`],
    ["volume", `${acquisition.snapshot.volumeId ?? "id not known"}, ${volume.volumeSizeGib} GiB`],
    ["device", acquisition.set?.device ?? null],
    ["of", acquisition.set && describeSet(acquisition.set)],
    ["snapshot started", acquisition.snapshot.startedAt],
    ["owner account", acquisition.snapshot.ownerAccount],
    ["KMS key", acquisition.snapshot.kmsKeyId],
    ...caseFactsText(exhibit),
    ["blocks stored", blocksText(counts.storedBlocks, blockSizeBytes)],
    ["blocks zero", blocksText(counts.zeroBlocks, blockSizeBytes)],
    ["blocks absent", blocksText(counts.absentBlocks, blockSizeBytes)],
    ["blocks unreadable", blocksText(counts.unreadableBlocks, blockSizeBytes)],
    [IMAGE_DIGEST_LABEL, manifest.imageDigest],
    ["files of blocks", folder ? filesText(folder) : null],
    [
      folder ? "imported" : "acquired",
      `${acquisition.startedAt} to ${acquisition.endedAt}, ${sessionsText(acquisition.sessions)}`,
    ],
    [folder ? "read" : "fetched", blocksText(acquisition.fetchedBlocks, blockSizeBytes)],
    ["taken over", parent ? takenOverText(manifest) : null],
    ["built on nothing", acquisition.parentDropped],
    ["supersedes", manifest.supersedes],
  ];
  return facts.filter((fact): fact is [string, string] => fact[1] !== null);
}

function filesText({ blockFiles, otherBlockFiles, layout }: FolderFacts): string {
  const others = otherBlockFiles === 0 ? "" : `; ${formatCount(otherBlockFiles)} of other snapshots left out`;
  return `${formatCount(blockFiles)}, ${layout}${others}`;
}

function sessionsText(count: number): string {
  return count === 1 ? "one session" : `${count} sessions`;
}

function takenOverText({ acquisition, volume, parent }: Manifest): string {
  return `${blocksText(acquisition.takenOverBlocks, volume.blockSizeBytes)} from ${parent?.exhibit}, ` +
    `unchanged by AWS's statement, read at the earliest ${
      acquisition.takenOverReadSince ?? "at an unknown time"
    }`;
}
