/**
 * What `sources` says where it found nothing: what was asked, what that means, and where the evidence may be instead.
 * One error for each argument; it asks EC2 at most whether a tag key is known at all.
 */
import type { AwsSource } from "../aws/source.ts";
import { OperatorError } from "../errors.ts";
import type { Outcome, Search } from "./_sources_search.ts";
import type { parseTag } from "./_sources_wanted.ts";

/** How it was searched. */
export interface Searched {
  readonly source: AwsSource;
  readonly search: Search;
  readonly tags: readonly ReturnType<typeof parseTag>[];
  readonly isShared: boolean;
}

/** The error for an argument without snapshots: `not_found`, or `access` where they may only be hidden. */
export async function nothingFound(outcome: Outcome, searched: Searched): Promise<OperatorError> {
  const { tags, isShared, source } = searched;
  if (outcome.wanted.kind === "snapshot") return noSuchSnapshot(outcome.wanted.id, source.region);
  // Volumes that could not be asked for may have what was looked for.
  const isHidden = ["not_permitted", "failed"].includes(outcome.instance?.result ?? "");
  if (tags.length > 0 && !isHidden) return await noneWithTags(outcome, searched);
  if (outcome.wanted.kind === "all") return noneAtAll(source.region, isShared);
  const { id, kind } = outcome.wanted;
  const elsewhere = elsewhereHints(source.region, isShared);
  if (kind === "volume") {
    return missing(
      `Cannot find snapshots of "${id}": ${whose(isShared)} is of that volume or names it`,
      [
        `A volume that still exists can be snapshotted: aws ec2 create-snapshot --region ${source.region} --volume-id ${id}`,
        "A deleted volume's snapshots stay, and are found by its id as long as they exist.",
        ...elsewhere,
      ],
    );
  }
  return noneOfInstance(id, outcome, { source, isShared, elsewhere });
}

function noneOfInstance(
  id: string,
  { instance }: Outcome,
  facts: { readonly source: AwsSource; readonly isShared: boolean; readonly elsewhere: readonly string[] },
): OperatorError {
  const { source, isShared, elsewhere } = facts;
  const none = `${whose(isShared)} names it in its description or tags`;
  if (instance?.result === "not_permitted") {
    return new OperatorError(
      "access",
      `Cannot find snapshots of "${id}": AWS denies ec2:DescribeInstances, so its volumes are not known, and ${none}`,
      {
        hints: [
          ...instance.refusal?.hints ?? [],
          "Without it: name the volumes, as CloudTrail's RunInstances and AttachVolume tell them: coldcase sources vol-…",
        ],
        facts: { ...instance.refusal?.facts },
      },
    );
  }
  if (instance?.result === "failed") {
    return new OperatorError(
      "source",
      `Cannot find snapshots of "${id}": EC2 gave no answer to DescribeInstances, and ${none}`,
      { hints: ["Run it again, or name the volumes: coldcase sources vol-…"] },
    );
  }
  const volumes = [...new Set(instance?.attachments.map(({ volumeId }) => volumeId))];
  if (volumes.length > 0) {
    const named = volumes.length <= 12 ? ` (${volumes.join(", ")})` : "";
    const have = `it has ${volumes.length} ${volumes.length === 1 ? "volume" : "volumes"}${named}`;
    return missing(`Cannot find snapshots of "${id}": ${have}, without any own snapshot`, [
      `Take them, of all its volumes at one moment: coldcase snapshot create ${id}`,
      ...elsewhere,
    ]);
  }
  const state = isShared
    ? "another account's instances can't be asked for"
    : instance?.result === "not_found"
    ? `EC2 knows no such instance in ${source.region}`
    : `it is ${instance?.instanceState ?? "gone"} and has no volumes any more`;
  return missing(`Cannot find snapshots of "${id}": ${state}, and ${none}`, [
    "Name its volumes, as CloudTrail's RunInstances and AttachVolume tell them: coldcase sources vol-…",
    ...elsewhere,
  ]);
}

function noSuchSnapshot(id: string, region: string): OperatorError {
  return missing(`Cannot find snapshot "${id}": EC2 shows none of that id in ${region}`, [
    `Snapshots belong to one Region: if it is not in ${region}, name its own with --region.`,
    `Where another account owns it, the owner must share it: aws ec2 modify-snapshot-attribute --region ${region} --snapshot-id ${id} --attribute createVolumePermission --operation-type add --user-ids ACCOUNT`,
    recycleBin(region),
  ]);
}

async function noneWithTags(
  outcome: Outcome,
  { search, tags, isShared, source }: Searched,
): Promise<OperatorError> {
  const unknown: string[] = [];
  for (const key of new Set(tags.map(({ key }) => key))) {
    if (!await search.hasTagKey(key)) unknown.push(key);
  }
  const wanted = tags.map(({ key, value }) => `${key}=${value}`).join(", ");
  const what = outcome.wanted.kind === "all" ? "snapshots" : `snapshots of "${outcome.wanted.id}"`;
  const why = unknown.length > 0
    ? `${whose(isShared)} has a tag "${unknown.join('" or "')}"`
    : `${whose(isShared)} has ${tags.length === 1 ? "that value" : "all of them"}`;
  return missing(`Cannot find ${what} with ${wanted}: ${why}`, [
    "EC2 tells capital letters from small ones; * and ? stand for anything: --tag 'KEY=*'",
    ...(isShared
      ? ["Tags are seen by the owner of a snapshot only: look for shared ones without --tag."]
      : [`Look without --tag, and in the right Region (${source.region}).`]),
  ]);
}

function noneAtAll(region: string, isShared: boolean): OperatorError {
  return missing(
    `Cannot find snapshots: ${region} has none that are ${isShared ? "shared with" : "of"} this account`,
    [
      ...elsewhereHints(region, isShared),
      "coldcase whoami says which account this is.",
    ],
  );
}

function elsewhereHints(region: string, isShared: boolean): string[] {
  return [
    `Snapshots belong to one Region (${region}): name another with --region.`,
    isShared
      ? "Only snapshots that name this account are looked at: the owner must share them."
      : "Where another account holds them: --shared.",
    recycleBin(region),
  ];
}

function recycleBin(region: string): string {
  return `Deleted ones may be in the Recycle Bin: aws ec2 list-snapshots-in-recycle-bin --region ${region}`;
}

function whose(isShared: boolean): string {
  return isShared ? "no shared snapshot" : "no own snapshot";
}

function missing(message: string, hints: readonly string[]): OperatorError {
  return new OperatorError("not_found", message, { hints });
}
