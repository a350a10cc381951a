/**
 * What the service says of a snapshot, in the words of the record: cut to what the record holds, and with the
 * instance where the service's own description names one.
 *
 * @see store-format.md, "Manifest"
 */
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

/** At most so many tags as EBS allows. */
function tagsOf({ tags }: SnapshotDescription): Record<string, string> {
  return Object.fromEntries(
    Object.entries(tags).slice(0, 64).map(([name, value]) => [cut(name, 256), cut(value, 256)]),
  );
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
