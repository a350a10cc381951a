/**
 * What the commands that speak to AWS share: opening the source as the options say, and watching what it
 * tells on the way. The SDK is loaded here and nowhere earlier.
 */
import type { ConnectionOptions } from "../aws/connection.ts";
import type { AwsSource } from "../aws/source.ts";
import type { CommandContext, Progress } from "../cli/mod.ts";
import { MAX_SESSION_EVENTS, type SessionEvent } from "../format/documents.ts";
import type { Clock, SourceEvent } from "../model.ts";
import { exists, permissionWarnings } from "../keys.ts";
import { formatDuration, formatTime } from "../units.ts";

/** Values of `AWS_OPTIONS`. */
export interface AwsOptionValues {
  readonly region: string | undefined;
  readonly profile: string | undefined;
  readonly "role-arn": string | undefined;
  readonly "external-id": string | undefined;
  readonly "session-name": string | undefined;
  readonly "mfa-serial": string | undefined;
  readonly "credentials-file": string | undefined;
  readonly "endpoint-url": string | undefined;
}

/** Of a session's events so many at most are failed requests and throttles: on a bad day the others are told too. */
const MAX_FAILURE_EVENTS = MAX_SESSION_EVENTS - 100;

/** Follows a source's events: shows them, and keeps what the record needs, session by session. */
export class SourceWatch {
  readonly #out: CommandContext["out"];
  #progress: Progress | undefined;
  readonly #clock: Clock;
  #events: SessionEvent[] = [];
  #failureCount = 0;
  #otherCount = 0;
  #leftOut = 0;
  #credentialChanges = 0;
  /** Those in use, in words. */
  #credentials: string | undefined;
  #waitingFor: string | undefined;

  constructor({ out, world }: Pick<CommandContext, "out"> & { readonly world: { readonly clock: Clock } }) {
    this.#out = out;
    this.#clock = world.clock;
  }

  /** The session of another snapshot begins: what was not taken belongs to none. */
  beginSession(): void {
    this.#events = [];
    this.#failureCount =
      this.#otherCount =
      this.#leftOut =
      this.#credentialChanges =
        0;
    if (this.#credentials !== undefined) this.#record("credentials", this.#credentials, undefined);
  }

  /** Events for the record since the last call; at most a thousand of a session. */
  takeEvents(): readonly SessionEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  get eventsLeftOut(): number {
    return this.#leftOut;
  }

  #record(kind: SessionEvent["kind"], detail: string, requestId: string | undefined): void {
    const isFailure = kind === "failed_request" || kind === "throttle";
    const isKept = isFailure
      ? ++this.#failureCount <= MAX_FAILURE_EVENTS
      : ++this.#otherCount <= MAX_SESSION_EVENTS - MAX_FAILURE_EVENTS;
    if (!isKept) return void this.#leftOut++;
    const at = formatTime(this.#clock.nowMs());
    this.#events.push({
      at,
      detail: detail.slice(0, 1024).toWellFormed(),
      kind,
      requestId: requestId?.slice(0, 256).toWellFormed() ?? null,
    });
  }

  /** Times that the credentials changed in this session. */
  get credentialChanges(): number {
    return this.#credentialChanges;
  }

  /** Shows waits in this progress from now on. */
  showIn(progress: Progress): void {
    this.#progress = progress;
  }

  onEvent(event: SourceEvent): void {
    switch (event.type) {
      case "waiting":
        if (this.#waitingFor !== event.waitingFor) {
          this.#out.note(`waiting for ${event.waitingFor}`);
          this.#out.event({
            type: "waiting",
            waitingFor: event.waitingFor,
            since: formatTime(event.sinceMs),
          });
          this.#record("wait", event.waitingFor, undefined);
        }
        this.#waitingFor = event.waitingFor;
        this.#progress?.update({ waitingFor: event.waitingFor });
        break;
      case "recovered":
        this.#out.note(`going on after ${formatDuration(event.waitedMs)}`);
        this.#out.event({ type: "recovered", waitedMs: event.waitedMs });
        this.#waitingFor = undefined;
        this.#progress?.update({ waitingFor: undefined });
        break;
      case "credentials":
        if (this.#credentials !== undefined) this.#credentialChanges++;
        this.#credentials = `${event.accessKeyId}, until ${event.expiresAt ?? "no end known"}`;
        this.#record("credentials", this.#credentials, undefined);
        this.#out.detail(
          `credentials ${event.accessKeyId}${event.expiresAt ? `, until ${event.expiresAt}` : ""}`,
        );
        break;
      case "failed":
        this.#record("failed_request", `${requestOf(event)}: ${event.reason}`, event.requestId);
        break;
      case "retry":
        this.#out.detail(`${event.call}: ${event.reason}; again in ${formatDuration(event.delayMs)}`);
        break;
      case "throttle":
        this.#record("throttle", requestOf(event), event.requestId);
        this.#out.detail(`${event.call}: throttled, slowing down`);
        break;
      case "relisted":
        this.#out.detail(`listing again from block ${event.fromBlock}: ${event.reason}`);
        break;
      case "clock_skew":
        this.#record("clock_skew", `${event.skewMs} ms`, undefined);
        this.#out.warn(skewText(event.skewMs));
        this.#out.event({ type: "clock_skew", skewMs: event.skewMs });
        break;
      case "first_request":
        this.#out.detail(`first request ${event.requestId}`);
        break;
    }
  }
}

/** The same in the report: `skewMs` is AWS's clock minus this host's. */
function skewText(skewMs: number): string {
  const amount = formatDuration(Math.abs(skewMs));
  if (Math.abs(skewMs) < 60_000) return `this host's clock agrees with AWS's again, to ${amount}`;
  const direction = skewMs > 0 ? "behind" : "ahead of";
  return `this host's clock is ${amount} ${direction} AWS's: corrected for requests, noted in the record`;
}

/** What failed: the call, and of which block. */
function requestOf(event: { readonly call: string; readonly blockIndex: number | undefined }): string {
  return event.blockIndex === undefined ? event.call : `${event.call} of block ${event.blockIndex}`;
}

type Tuning = Pick<
  ConnectionOptions,
  "buffers" | "firstAnswerWithinMs" | "giveUpAfterMs" | "maxConcurrency" | "rate"
>;

/** Opens the source. Throws `usage` for options that cannot be used. */
export async function openAws(
  context: CommandContext,
  options: AwsOptionValues,
  watch: SourceWatch,
  tuning: { readonly [K in keyof Tuning]: Tuning[K] | undefined } = {},
): Promise<AwsSource> {
  const { openSource } = await import("../aws/source.ts");
  return await openSource(connectionOptions(context, options, watch, tuning));
}

/** Where the credentials come from, and who had the first ones: for the record, at most 1,024 characters. */
export async function credentialText(source: AwsSource): Promise<string> {
  const { source: text } = await source.credentials();
  const base = await source.baseIdentity();
  return (base === undefined ? text : `${text}, which is ${base.arn}`).slice(0, 1024);
}

/** The way to AWS that the command line chooses. */
export function connectionOptions(
  { world, out, signal }: CommandContext,
  options: AwsOptionValues,
  watch: SourceWatch,
  tuning: { readonly [K in keyof Tuning]: Tuning[K] | undefined } = {},
): ConnectionOptions {
  const { askSecret } = out;
  const file = options["credentials-file"];
  if (file !== undefined && exists(file)) {
    for (const warning of permissionWarnings(file, "credentials file")) out.warn(warning);
  }
  return {
    ...withoutUndefined({
      region: options.region,
      profile: options.profile,
      roleArn: options["role-arn"],
      externalId: options["external-id"],
      sessionName: options["session-name"],
      mfaSerial: options["mfa-serial"],
      credentialsFile: file,
      askCode: askSecret && ((question: string) => askSecret(question, signal)),
      endpointUrl: options["endpoint-url"],
      ...tuning,
    }),
    clock: world.clock,
    randomness: world.randomness,
    environment: (name) => world.environment(name),
    onEvent: (event) => watch.onEvent(event),
  };
}

/** The members that have a value: an option that was not given is not there at all. */
function withoutUndefined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
