/**
 * `whoami`: who asks AWS, with which credentials and until when, where to, by which clock, and what of what an
 * acquisition needs is allowed, as far as asking is free. It reads no snapshot and no store, and is not logged.
 */
import type { CredentialFacts } from "../aws/credentials.ts";
import type { AwsSource } from "../aws/source.ts";
import { AWS_OPTIONS, type CommandContext, defineCommand, formatFacts } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import type { CallerIdentity } from "../model.ts";
import { formatDuration, parseSnapshotId } from "../units.ts";
import { openAws, SourceWatch } from "./_aws.ts";

/** Nobody's: whoever may ask is told that there is none, whoever may not is told that. */
const NO_SNAPSHOT = parseSnapshotId("snap-00000000000000000");

/** Somebody sits before it. */
const GIVE_UP_AFTER_MS = 10_000;

/** What asking has shown. `unknown`: something else was in the way, `why`. */
interface Permission {
  readonly action: string;
  readonly state: "allowed" | "denied" | "unknown";
  readonly why: string | null;
}

export const whoami = defineCommand({
  usage: "",
  description:
    `Says who the caller is, where the credentials come from, until when they last and whether they can renew themselves, how far this host's clock is from AWS's, which endpoint is asked and through which proxy.

Of the permissions that an acquisition needs those are tried that cost nothing to try: by asking for a snapshot that nobody has. A policy that is for some snapshots only denies that, so "denied" is not the last word: plan tries them on the snapshot itself, ebs:GetSnapshotBlock and the key with it.`,
  options: { ...AWS_OPTIONS },
  exitCodes: {
    access: "no credentials, or none that AWS takes",
    source: "no answer",
  },
  examples: [
    { command: "coldcase whoami --region eu-central-1", says: "before anything else" },
    { command: "coldcase whoami --json | jq -r .account", says: "for a script" },
  ],
  async run(context, { options }) {
    const watch = new SourceWatch(context);
    const source = await openAws(context, options, watch, { giveUpAfterMs: GIVE_UP_AFTER_MS });
    try {
      const { signal } = context;
      const credentials = await source.credentials();
      const caller = await source.callerIdentity({ signal });
      // At once: where nothing answers each waits for its own end.
      const tried = await Promise.all([
        describing(source, signal),
        trying("ebs:ListSnapshotBlocks", () => source.listBlocks(NO_SNAPSHOT, { signal })),
        trying("ebs:ListChangedBlocks", () => {
          return source.listChangedBlocks({ first: NO_SNAPSHOT, second: NO_SNAPSHOT }, { signal });
        }),
      ]);
      const asking: Permission = caller
        ? { action: "sts:GetCallerIdentity", state: "allowed", why: null }
        : { action: "sts:GetCallerIdentity", state: "unknown", why: "no answer" };
      const permissions = [asking, ...tried];
      const { why } = permissions.at(-1)!;
      if (permissions.every(({ state }) => state === "unknown")) {
        throw new OperatorError(
          "source",
          `Cannot ask who the caller is: ${source.endpoint} gives no answer (${why})`,
          {
            hints: ["Check the way there: the Region, --endpoint-url, and the proxy that HTTPS_PROXY names."],
          },
        );
      }
      show(context, source, { credentials, caller, permissions });
      return 0;
    } finally {
      source.close();
    }
  },
});

async function describing(source: AwsSource, signal: AbortSignal): Promise<Permission> {
  const action = "ec2:DescribeSnapshots";
  const { result } = await source.describe(NO_SNAPSHOT, { signal });
  if (result === "failed") return { action, state: "unknown", why: "no answer" };
  return { action, state: result === "not_permitted" ? "denied" : "allowed", why: null };
}

/** What is thrown for `NO_SNAPSHOT` tells whether the action is allowed. */
async function trying(action: string, list: () => AsyncIterable<unknown>): Promise<Permission> {
  try {
    for await (const _page of list()) break;
    return { action, state: "allowed", why: null };
  } catch (error) {
    if (!(error instanceof OperatorError) || error.code === "interrupted") throw error;
    if (error.code === "not_found" || error.facts["httpStatus"] === 400) {
      return { action, state: "allowed", why: null };
    }
    if (error.facts["action"] === action) return { action, state: "denied", why: null };
    return { action, state: "unknown", why: error.message };
  }
}

interface Answers {
  readonly credentials: CredentialFacts;
  readonly caller: CallerIdentity | undefined;
  readonly permissions: readonly Permission[];
}

function show({ out, world }: CommandContext, source: AwsSource, answers: Answers): void {
  const { credentials, caller, permissions } = answers;
  const { clockSkewMs } = source.counts();
  const { region, endpoint, isAws, proxy } = source;
  const lastsMs = credentials.expiresAt === undefined
    ? undefined
    : Date.parse(credentials.expiresAt) - world.clock.nowMs();
  out.result(formatFacts([
    ["caller", caller?.arn ?? "not told: AWS did not say"],
    ["account", caller?.account],
    ["credentials", `${credentials.source}, ${credentials.accessKeyId}`],
    ["until", lastingText(credentials, lastsMs)],
    ["Region", region],
    ["endpoint", `${endpoint}${isAws ? "" : ", not AWS's"}`],
    ["proxy", proxy ?? "none"],
    ["clock", clockSkewMs === undefined ? "AWS's is not known" : clockText(clockSkewMs)],
    ...permissions.map(({ action, state, why }) =>
      [action, why === null ? state : `${state}: ${why}`] as const
    ),
  ]));
  out.event({
    type: "identity",
    account: caller?.account ?? null,
    arn: caller?.arn ?? null,
    userId: caller?.userId ?? null,
    credentials: credentials.source,
    accessKeyId: credentials.accessKeyId,
    expiresAt: credentials.expiresAt ?? null,
    lastsMs: lastsMs ?? null,
    canRenew: credentials.canRenew,
    region,
    endpoint,
    isAws,
    proxy: proxy ?? null,
    clockSkewMs: clockSkewMs ?? null,
    permissions,
  });
}

function lastingText({ expiresAt, canRenew }: CredentialFacts, lastsMs: number | undefined): string {
  const renewal = canRenew ? "can renew themselves" : "can't renew themselves";
  if (expiresAt === undefined || lastsMs === undefined) return `no end known, ${renewal}`;
  const lasting = lastsMs > 0 ? `for ${formatDuration(lastsMs)} more` : "over";
  return `${expiresAt}, ${lasting}, ${renewal}`;
}

/** @param skewMs AWS's clock minus this host's. */
function clockText(skewMs: number): string {
  const amount = formatDuration(Math.abs(skewMs));
  if (Math.abs(skewMs) < 1000) return "agrees with AWS's to a second";
  return `${amount} ${skewMs > 0 ? "behind" : "ahead of"} AWS's`;
}
