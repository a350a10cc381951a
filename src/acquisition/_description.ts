/**
 * What the service says of a snapshot, in the words of the record: cut to what the record holds, and with the
 * instance where the service's own description names one.
 *
 * @see store-format.md, "Manifest"
 */
import { Buffer } from "node:buffer";
import type { SnapshotFacts } from "../format/manifest.ts";
import type { DescriptionAnswer, SnapshotDescription } from "../model.ts";
import type { Acquisition } from "../store/mod.ts";

/** The answer, and the host's time when it was there. */
export interface Described {
  readonly answer: DescriptionAnswer;
  readonly describedAt: string;
}

/** Keeps what was told with the acquisition. Where nothing was, what an earlier session was told stays. */
export async function noteDescription(
  acquisition: Acquisition,
  { answer: { description, requestId }, describedAt }: Described,
): Promise<void> {
  if (!description) return;
  await acquisition.noteDescription({
    answer: description.verbatim,
    receivedAt: describedAt,
    requestId: fitting(requestId, 256),
    snapshot: snapshotFacts(description),
  });
}

function snapshotFacts(description: SnapshotDescription): SnapshotFacts {
  return {
    completedAt: utc(description.completedAt),
    description: fitting(description.description, 1024),
    encrypted: description.encrypted ?? null,
    instance: instanceOf(description.description),
    kmsKeyId: fitting(description.kmsKeyId, 2048),
    ownerAccount: fitting(description.ownerAccount, 64),
    startedAt: utc(description.startedAt),
    storageTier: description.storageTier ?? null,
    tags: tagsOf(description),
    volumeId: fitting(description.volumeId, 64),
  };
}

/**
 * The instance of which an image was made. EC2 writes this description for the snapshots of CreateImage; anybody else
 * may write the same words, so it is what the description names and no more.
 *
 * @see https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html
 */
function instanceOf(description: string | undefined): string | null {
  const created = /^Created by CreateImage\((i-(?:[0-9a-f]{8}|[0-9a-f]{17}))\) for ami-[0-9a-f]+/;
  return created.exec(description ?? "")?.[1] ?? null;
}

/** EBS allows 50 tags, of 128 and 256 characters: 77 KB at the most. */
const MAX_TAGS = 64;
/** As JSON; a manifest has no room for more. What the service said is beside it, whole. */
const MAX_TAG_BYTES = 128 * 1024;

function tagsOf({ tags }: SnapshotDescription): Record<string, string> {
  const cutTags = Object.entries(tags).slice(0, MAX_TAGS).map((
    [name, value],
  ) => [cut(name, 256), cut(value, 256)]);
  let bytes = 2;
  const fitting = cutTags.filter((tag) => (bytes += Buffer.byteLength(JSON.stringify(tag))) <= MAX_TAG_BYTES);
  return Object.fromEntries(fitting);
}

function utc(time: string | undefined): string | null {
  return time === undefined ? null : new Date(time).toISOString();
}

function fitting(text: string | undefined, maxLength: number): string | null {
  return text === undefined ? null : cut(text, maxLength);
}

function cut(text: string, maxLength: number): string {
  return text.slice(0, maxLength).toWellFormed();
}
