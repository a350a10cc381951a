/**
 * `snapshot create`: a set of snapshots of all volumes of an instance, taken at one moment. The only command that writes
 * to the account: it says what it will do, lets EC2 say whether it may, and asks. It opens no store and is not logged:
 * what it made is in CloudTrail, in the snapshots' tags, and in the record of who acquires them.
 */
import { Buffer } from "node:buffer";
import type { MadeSet, SetRequest, SnapshotMaker } from "../aws/snapshot_create.ts";
import {
  CASE_TAG,
  deviceTags,
  EXAMINER_TAG,
  INSTANCE_TAG,
  MAX_TAG_VALUE_LENGTH,
  SET_TAG,
} from "../aws/set_tags.ts";
import { type Attachment, type AttachmentAnswer, isInstanceId } from "../aws/sources.ts";
import { AWS_OPTIONS, type CommandContext, defineCommand, formatTable } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import { formatSize, GIB } from "../units.ts";
import { connectionOptions, SourceWatch } from "./_aws.ts";
import { CASE_OPTIONS, warnOfMissing } from "./_case.ts";

/** Somebody sits before it. */
const PATIENCE = { firstAnswerWithinMs: 10_000, giveUpAfterMs: 120_000 } as const;

/** EC2's bounds. */
const MAX_TAGS = 50;
const MAX_TAG_KEY_LENGTH = 128;
const MAX_DESCRIPTION_LENGTH = 255;

const COLUMNS = ["SNAPSHOT", "VOLUME", "DEVICE", "SIZE", "START"].map((title) => ({ title }));

export const snapshot = defineCommand({
  usage: "create INSTANCE",
  argumentChoices: ["create"],
  description:
    `"snapshot create" takes snapshots of all volumes of an instance at one moment (EC2 CreateSnapshots), so that they fit together: as after a power failure, with nothing of memory, caches or instance stores. The instance goes on running.

It is the only command that changes something in the account: it makes snapshots, which AWS charges for until somebody deletes them, and tags them with case, examiner, instance and devices. It first says what it will do, lets EC2 say whether it may, and asks. Without a terminal it needs --yes.

The snapshots are pending at first; acquire --instance with --wait acquires them when they are completed. What it needs beside the rights to acquire: ec2:CreateSnapshots, and ec2:CreateTags for what it makes.`,
  options: {
    case: CASE_OPTIONS.case,
    examiner: { ...CASE_OPTIONS.examiner, summary: "who has them taken" },
    description: { value: "TEXT", summary: "description; default: the case and the instance" },
    tag: { value: "KEY=VALUE", repeatable: true, parse: parseTag, summary: "another tag for each snapshot" },
    "dry-run": { summary: "say what would be done, ask EC2 whether it may, and end" },
    yes: { short: "y", summary: "take them without asking" },
    ...AWS_OPTIONS,
  },
  exitCodes: {
    done: "they were begun; with --dry-run: they could be",
    not_found: "EC2 does not know the instance, or it has no volumes",
    access: "no credentials, or EC2 does not allow it",
    source: "no answer; it is said whether anything was made",
  },
  examples: [
    {
      command: "coldcase snapshot create i-0123456789abcdef0 --case 2026-114 --dry-run",
      says: "what would be done, and whether it may be",
    },
    {
      command: "coldcase snapshot create i-0123456789abcdef0 --case 2026-114 --yes",
      says: "does it, and does not ask",
    },
  ],
  async run(context, { args: [verb, instance], options }) {
    const { out, signal } = context;
    checkArguments(verb, instance!);
    if (!options["dry-run"] && !options.yes) requirePerson(context);
    warnOfMissing(context, { ...options, made: "the snapshots" });
    const { SnapshotMaker } = await import("../aws/snapshot_create.ts");
    const watch = new SourceWatch(context);
    const maker = await SnapshotMaker.open(connectionOptions(context, options, watch, PATIENCE));
    try {
      const attached = await maker.attachments(instance!, signal);
      refuseVolumeless(instance!, attached);
      const request = setRequest(instance!, attached.attachments, options);
      await announce(context, maker, { request, attached });
      await maker.rehearse(request, signal);
      out.note("EC2 allows it: it was asked with DryRun, and nothing was made");
      if (options["dry-run"]) {
        out.event({ type: "summary", ...about(maker, request), isDryRun: true, snapshots: [] });
        return 0;
      }
      if (!options.yes) await confirm(context, maker, { request, attached });
      const made = await maker.create(request, signal);
      show(context, maker, { request, attached, made });
      return 0;
    } finally {
      maker.close();
    }
  },
});

function checkArguments(verb: string | undefined, instance: string): void {
  if (verb !== "create") {
    throw new OperatorError("usage", `Cannot "${verb}" snapshots: coldcase only creates them`, {
      hints: [
        "coldcase snapshot create i-…; to find snapshots: coldcase sources; to read them: coldcase acquire",
      ],
    });
  }
  if (isInstanceId(instance)) return;
  throw new OperatorError(
    "usage",
    `Cannot read instance "${instance}": expected i- and 8 to 17 hexadecimal digits`,
  );
}

function requirePerson({ out }: CommandContext): void {
  if (out.askAnswer) return;
  throw new OperatorError("usage", "Cannot ask before it changes something in the account: no terminal", {
    hints: ["--yes takes the snapshots without asking; --dry-run says what would be done."],
  });
}

function refuseVolumeless(instance: string, { result, instanceState, attachments }: AttachmentAnswer): void {
  // Whoever may not ask, or got no answer, may still create: EC2 says then whether there is such an instance.
  if (result === "not_permitted" || result === "failed" || attachments.length > 0) return;
  const state = result === "not_found" ? "EC2 does not know it" : `it is ${instanceState} and has no volumes`;
  throw new OperatorError("not_found", `Cannot take snapshots of "${instance}": ${state}`, {
    hints: [
      "Instances belong to one Region and account: name theirs with --region, --profile or --role-arn.",
      `Snapshots that were taken earlier: coldcase sources ${instance}`,
    ],
  });
}

interface RequestOptions {
  readonly case: string | undefined;
  readonly examiner: string | undefined;
  readonly description: string | undefined;
  readonly tag: readonly ReturnType<typeof parseTag>[];
}

/** Throws `usage` for what EC2 would not take. */
function setRequest(instance: string, devices: readonly Attachment[], options: RequestOptions): SetRequest {
  const ofCase = options.case === undefined ? "" : `case ${options.case}, `;
  const tags: Record<string, string> = {
    [INSTANCE_TAG]: instance,
    ...(options.case !== undefined && { [CASE_TAG]: options.case }),
    ...(options.examiner !== undefined && { [EXAMINER_TAG]: options.examiner }),
    ...deviceTags(devices),
    ...Object.fromEntries(options.tag.map(({ key, value }) => [key, value])),
  };
  for (const [key, value] of Object.entries(tags)) {
    if (value.length <= MAX_TAG_VALUE_LENGTH) continue;
    throw refusal(`tag "${key}" has ${value.length} characters, EC2 takes ${MAX_TAG_VALUE_LENGTH}`);
  }
  const count = Object.keys(tags).length + 1;
  if (count > MAX_TAGS) throw refusal(`it would have ${count} tags, EC2 takes ${MAX_TAGS}`);
  const description = options.description ??
    `coldcase: ${ofCase}all volumes of ${instance}`.slice(0, MAX_DESCRIPTION_LENGTH);
  if (description.length > MAX_DESCRIPTION_LENGTH) {
    throw refusal(
      `its description has ${description.length} characters, EC2 takes ${MAX_DESCRIPTION_LENGTH}`,
    );
  }
  const setId = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("hex");
  return { instance, setId, description, tags };
}

function refusal(state: string): OperatorError {
  return new OperatorError("usage", `Cannot describe the set: ${state}`);
}

/** `KEY=VALUE`. Throws `usage`. */
function parseTag(text: string): { readonly key: string; readonly value: string } {
  const equals = text.indexOf("=");
  const key = text.slice(0, Math.max(0, equals));
  const state = equals < 1
    ? "expected KEY=VALUE"
    : /^(?:aws|coldcase):/i.test(key)
    ? `keys that begin with ${key.split(":")[0]}: are not for others`
    : key.length > MAX_TAG_KEY_LENGTH
    ? `a key has at most ${MAX_TAG_KEY_LENGTH} characters`
    : undefined;
  if (state === undefined) return { key, value: text.slice(equals + 1) };
  throw new OperatorError("usage", `Cannot read tag "${text.slice(0, 100)}": ${state}`);
}

interface Prepared {
  readonly request: SetRequest;
  readonly attached: AttachmentAnswer;
}

/** What will be done, before it is. */
async function announce(
  { out, signal }: CommandContext,
  maker: SnapshotMaker,
  { request, attached }: Prepared,
): Promise<void> {
  const caller = await maker.callerIdentity(signal);
  const as = caller === undefined ? "" : `, as ${caller.arn}`;
  out.note(`this writes to the account: snapshots of ${request.instance} in ${maker.region}${as}`);
  if (!maker.isAws) out.note(`asking ${maker.endpoint}, which is not AWS's`);
  const { attachments, instanceState } = attached;
  if (attachments.length === 0) {
    out.warn(
      "which volumes it has was not told: there will be a snapshot of each, and devices will not be tagged",
    );
  } else {
    const count = attachments.length === 1 ? "its one volume" : `each of its ${attachments.length} volumes`;
    out.note(
      `it is ${instanceState ?? "in a state that was not told"}; one snapshot of ${count}, at one moment:`,
    );
    for (const { device, volumeId } of attachments) out.note(`  ${volumeId}  ${device}`);
  }
  out.note(`described as: ${request.description}`);
  const tags = Object.entries({ ...request.tags, [SET_TAG]: request.setId });
  for (const [key, value] of tags) out.note(`  tag ${key} = ${value}`);
  out.note("AWS charges for their storage until somebody deletes them; coldcase deletes none");
}

/** Throws `interrupted` for any answer but yes. */
async function confirm(
  { out }: CommandContext,
  { region }: SnapshotMaker,
  { request, attached }: Prepared,
): Promise<void> {
  const count = attached.attachments.length;
  const what = count === 0 ? "snapshots" : count === 1 ? "a snapshot" : `${count} snapshots`;
  const answer = await out.askAnswer!(`Take ${what} of ${request.instance} in ${region}? Type yes: `);
  if (answer?.trim().toLowerCase() === "yes") return;
  throw new OperatorError(
    "interrupted",
    "Cannot take snapshots: the answer was not yes, and nothing was made",
  );
}

function about(maker: SnapshotMaker, { instance, setId, description }: SetRequest) {
  const { region, endpoint, isAws } = maker;
  return { instance, set: setId, description, region, endpoint, isAws };
}

function show(
  { out }: CommandContext,
  maker: SnapshotMaker,
  { request, attached, made }: Prepared & { readonly made: MadeSet },
): void {
  const deviceOf = new Map(attached.attachments.map(({ volumeId, device }) => [volumeId, device]));
  const rows = made.snapshots.map(({ snapshot, volumeId, volumeSizeGib, startedAt }) => [
    snapshot,
    volumeId,
    deviceOf.get(volumeId) ?? "",
    volumeSizeGib === undefined ? "" : formatSize(volumeSizeGib * GIB),
    startedAt ?? "",
  ]);
  out.result(formatTable(COLUMNS, rows));
  if (!made.wasAnswered) out.warn("the answer was lost: the set was found by its tag, and is not made twice");
  const without = attached.attachments.filter(({ volumeId }) => {
    return !made.snapshots.some((one) => one.volumeId === volumeId);
  });
  // What is found so soon after it was made need not be all of it.
  const ended = made.wasAnswered
    ? "was made"
    : `is found yet: coldcase sources --tag ${SET_TAG}=${request.setId}`;
  for (const { device, volumeId } of without) out.warn(`no snapshot of ${volumeId} (${device}) ${ended}`);
  const snapshots = made.snapshots.map((one) => ({ ...one, device: deviceOf.get(one.volumeId) ?? null }));
  const { requestId = null, wasAnswered } = made;
  out.event({
    type: "summary",
    ...about(maker, request),
    isDryRun: false,
    wasAnswered,
    requestId,
    snapshots,
  });
  out.note(`set ${request.setId}, request ${requestId ?? "id not known"}; they are pending`);
  out.hint(`To acquire them when they are completed: coldcase acquire --instance ${request.instance} --wait`);
}
