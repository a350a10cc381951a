/**
 * `whoami`: who asks AWS, with which credentials and until when, where to, by which clock, and what of what an
 * acquisition needs is allowed, as far as asking is free. It reads no snapshot and no store, and is not logged.
 */
import type { CredentialFacts, Renewal } from "../aws/credentials.ts";
import type { Exchange } from "../aws/roles.ts";
import type { AwsSource } from "../aws/source.ts";
import { AWS_OPTIONS, type CommandContext, defineCommand, formatFacts } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import type { CallerIdentity } from "../model.ts";
import { formatDuration, parseSnapshotId } from "../units.ts";
import { openAws, SourceWatch } from "./_aws.ts";

/** Nobody's: whoever may ask is told that there is none, whoever may not is told that. */
const NO_SNAPSHOT = parseSnapshotId("snap-00000000000000000");
const NO_INSTANCE = "i-00000000000000000";

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
    `Says who the caller is, where the credentials come from, until when they last and what renews them, how far this host's clock is from AWS's, which endpoint is asked and through which proxy. Where a role was assumed, or a session had for the code of an MFA device, it says step by step who became whom.

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
      const base = await source.baseIdentity({ signal });
      // At once: where nothing answers each waits for its own end.
      const tried = await Promise.all([
        describing(source, signal),
        attaching(source, signal),
        trying("ebs:ListSnapshotBlocks", () => source.listBlocks(NO_SNAPSHOT, { signal })),
        trying("ebs:ListChangedBlocks", () => {
          return source.listChangedBlocks({ first: NO_SNAPSHOT, second: NO_SNAPSHOT }, { signal });
        }),
      ]);
      const asking: Permission = caller
        ? { action: "sts:GetCallerIdentity", state: "allowed", why: null }
        : { action: "sts:GetCallerIdentity", state: "unknown", why: "AWS did not say" };
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
      show(context, source, { credentials, base, caller, permissions });
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

/** What `sources` needs to get from an instance to its volumes. */
async function attaching(source: AwsSource, signal: AbortSignal): Promise<Permission> {
  const action = "ec2:DescribeInstances";
  const { result } = await source.findAttachments({ instance: NO_INSTANCE }, { signal });
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
  /** Whose credentials were had others for. */
  readonly base: CallerIdentity | undefined;
  readonly caller: CallerIdentity | undefined;
  readonly permissions: readonly Permission[];
}

function show({ out, world }: CommandContext, source: AwsSource, answers: Answers): void {
  const { credentials, base, caller, permissions } = answers;
  const { clockSkewMs } = source.counts();
  const { region, endpoint, isAws, proxy } = source;
  const lastsMs = credentials.expiresAt === undefined
    ? undefined
    : Date.parse(credentials.expiresAt) - world.clock.nowMs();
  out.result(formatFacts([
    ["caller", caller?.arn ?? "not told: AWS did not say"],
    ["account", caller?.account],
    ["credentials", `${credentials.source}, ${credentials.accessKeyId}`],
    ...chainFacts(credentials, base),
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
    renewal: credentials.renewal,
    base: base ?? null,
    chain: credentials.exchanges.map(chainEvent),
    region,
    endpoint,
    isAws,
    proxy: proxy ?? null,
    clockSkewMs: clockSkewMs ?? null,
    permissions,
  });
}

/** Who became whom, a line each. */
function chainFacts({ exchanges }: CredentialFacts, base: CallerIdentity | undefined) {
  if (exchanges.length === 0) return [];
  return [
    ["first", base?.arn ?? "not told"] as const,
    ...exchanges.map(({ how, roleArn, sessionName, mfaSerial, expiresAt }) => {
      const device = mfaSerial === undefined ? "" : `, with MFA device ${mfaSerial}`;
      const until = expiresAt === undefined ? "" : `, until ${expiresAt}`;
      return how === "GetSessionToken"
        ? ["session", `of the same user${device}${until}`] as const
        : ["role", `${roleArn} as ${sessionName}${device}${until}`] as const;
    }),
  ];
}

function chainEvent({ how, roleArn, sessionName, arn, mfaSerial, expiresAt }: Exchange) {
  return {
    how,
    roleArn: roleArn ?? null,
    sessionName: sessionName ?? null,
    arn: arn ?? null,
    mfaSerial: mfaSerial ?? null,
    expiresAt: expiresAt ?? null,
  };
}

const RENEWALS: Readonly<Record<Renewal, string>> = {
  none: "can't renew themselves",
  itself: "can renew themselves",
  file: "read again from the file",
  code: "renewed with another code",
};

function lastingText({ expiresAt, renewal }: CredentialFacts, lastsMs: number | undefined): string {
  if (expiresAt === undefined || lastsMs === undefined) return `no end known, ${RENEWALS[renewal]}`;
  const lasting = lastsMs > 0 ? `for ${formatDuration(lastsMs)} more` : "over";
  return `${expiresAt}, ${lasting}, ${RENEWALS[renewal]}`;
}

/** @param skewMs AWS's clock minus this host's. */
function clockText(skewMs: number): string {
  const amount = formatDuration(Math.abs(skewMs));
  if (Math.abs(skewMs) < 1000) return "agrees with AWS's to a second";
  return `${amount} ${skewMs > 0 ? "behind" : "ahead of"} AWS's`;
}
