/**
 * The credentials in use: held, read again before they expire and when AWS refuses them, one reading at a
 * time. Whether they can renew themselves is known here; what to do when they cannot is retry.ts's business.
 * Secrets stay inside the SDK's objects: no message, event or fact of this file holds one.
 */
import { messageOf, OperatorError } from "../errors.ts";
import type { Clock, SourceEvent } from "../model.ts";
import { sourceText } from "./credential_words.ts";
import type { Exchange } from "./roles.ts";
import { BrokenAnswer, Trouble } from "./trouble.ts";

/** How credentials came from others. */
export interface Lineage {
  /** The first ones; `undefined` for a token that is none of AWS's. */
  readonly base: Identity | undefined;
  /** First to last. */
  readonly exchanges: readonly Exchange[];
}

/** What the SDK calls `AwsCredentialIdentity`, as far as it is used here. */
export interface Identity {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
  /** The SDK's note of where they come from (feature ids of its user agent). */
  readonly $source?: Readonly<Record<string, string>>;
  /** Where they were had for others. */
  readonly lineage?: Lineage;
}

/** Gets credentials afresh, past every cache. */
export type Provider = () => Promise<Identity>;

/** What it takes to get newer ones: nothing does; they do it themselves; a file to be rewritten; the code of an MFA device. */
export type Renewal = "none" | "itself" | "file" | "code";

/** What may be said about the credentials in use. */
export interface CredentialFacts {
  /** `the environment`, `profile "x"`, `role arn:…, assumed with profile "x"`, `the instance's role`, … */
  readonly source: string;
  readonly accessKeyId: string;
  /** RFC 3339; `undefined` where they do not say. */
  readonly expiresAt: string | undefined;
  /** Whether reading them again can bring newer ones. */
  readonly canRenew: boolean;
  readonly renewal: Renewal;
  /** How they came from others, first to last. */
  readonly exchanges: readonly Exchange[];
}

/** A failure on the way to credentials, with the provider's own error as its cause. */
export class CredentialsFailure extends Error {
  override readonly name = "CredentialsFailure";
  /** The IAM statement that would allow the role to be assumed, where one is to be assumed. */
  readonly roleStatement: string | undefined;
  /** Where they were to come from. */
  readonly source: string;
  /** Whether the code of an MFA device was given. */
  readonly hasMfa: boolean;

  constructor(
    message: string,
    facts: {
      readonly cause: unknown;
      readonly source: string;
      readonly roleStatement?: string | undefined;
      readonly hasMfa?: boolean | undefined;
    },
  ) {
    super(message, { cause: facts.cause });
    this.source = facts.source;
    this.roleStatement = facts.roleStatement;
    this.hasMfa = facts.hasMfa ?? false;
  }

  /** Whether the provider could not be reached, as opposed to having nothing to give. */
  get isConnectionTrouble(): boolean {
    const { cause } = this;
    return cause instanceof Trouble || cause instanceof BrokenAnswer || cause instanceof TypeError;
  }
}

/** The SDK renews five minutes early, too: a request under way must not outlive its credentials. */
const RENEW_BEFORE_MS = 5 * 60_000;

/** How often refused credentials are looked for again. */
const LOOK_EVERY_MS = 4_000;

/** The same for those that still do: a look may start a program, or ask a service, before each block otherwise. */
const LOOK_AHEAD_EVERY_MS = 30_000;

export interface KeeperOptions {
  readonly provider: Provider;
  readonly clock: Clock;
  readonly onEvent: (event: SourceEvent) => void;
  /** AWS's clock minus ours: expirations are by AWS's. */
  readonly skewMs: () => number;
  /** Where they come from, when the SDK does not say it more exactly. */
  readonly source: string;
  /** The same of those that others are had for. Default: `source`. */
  readonly baseSource?: string;
  /** False where `provider` can only ever give the same. */
  readonly canRenew: boolean;
  /** A file that is read again. */
  readonly file?: string;
  readonly roleStatement?: string | undefined;
  /** Whether the options name an MFA device. */
  readonly hasMfa?: boolean | undefined;
}

/** Holds the credentials in use; one reading at a time, however many requests ask. */
export class CredentialKeeper {
  readonly #options: KeeperOptions;
  #identity: Identity | undefined;
  #generation = 0;
  #lookedMs = -Infinity;
  #reading: Promise<boolean> | undefined;
  /** What the person at the terminal could not do, or would not: they are not asked for it again. */
  #refusal: OperatorError | undefined;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** Goes up with every change of credentials: which ones a failed request was signed with. */
  get generation(): number {
    return this.#generation;
  }

  get canRenew(): boolean {
    return this.#options.canRenew;
  }

  get source(): string {
    const { source, baseSource = source } = this.#options;
    return this.#identity === undefined ? source : sourceText(baseSource, this.#identity);
  }

  get file(): string | undefined {
    return this.#options.file;
  }

  /** Whose credentials these were had for; `undefined` where they are the first, or nothing was read yet. */
  get base(): Identity | undefined {
    return this.#identity?.lineage?.base;
  }

  /** Credentials to sign with. Throws `CredentialsFailure` where there are none. */
  async current(): Promise<Identity> {
    const held = this.#identity;
    if (held === undefined) {
      await this.#read();
      return this.#held();
    }
    const leftMs = this.#leftMs(held);
    if (leftMs <= 0 && this.#reading !== undefined) {
      await this.#reading;
      return this.#held();
    }
    // Nobody is asked for a code before it is needed: work would stand still until they have typed it.
    if (leftMs > 0 && deviceOf(held) !== undefined) return held;
    const everyMs = leftMs > 0 ? LOOK_AHEAD_EVERY_MS : LOOK_EVERY_MS;
    if (leftMs >= RENEW_BEFORE_MS || !this.canRenew || !this.#isTimeToLook(everyMs)) return held;
    try {
      await this.#read();
    } catch (failure) {
      // Not yet expired: the old ones do, and the next request asks again.
      if (leftMs <= 0) throw failure;
    }
    return this.#held();
  }

  /**
   * Reads the credentials again after a request signed with those of `generation` was refused.
   * True where there are others now. Throws `CredentialsFailure`.
   */
  async renew(generation: number): Promise<boolean> {
    if (generation !== this.#generation) return true;
    // Dozens of blocks wait together: one look every few seconds is enough for all of them.
    if (this.#reading === undefined && !this.#isTimeToLook(LOOK_EVERY_MS)) return false;
    return await this.#read();
  }

  /** True at most once in so long. */
  #isTimeToLook(everyMs: number): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#lookedMs < everyMs) return false;
    this.#lookedMs = nowMs;
    return true;
  }

  /** `undefined` before the first reading. */
  facts(): CredentialFacts | undefined {
    const held = this.#identity;
    if (held === undefined) return undefined;
    return {
      source: this.source,
      accessKeyId: held.accessKeyId,
      expiresAt: held.expiration?.toISOString(),
      canRenew: this.canRenew,
      renewal: this.#renewal(held),
      exchanges: held.lineage?.exchanges ?? [],
    };
  }

  #renewal(held: Identity): Renewal {
    if (!this.canRenew) return "none";
    if (deviceOf(held) !== undefined) return "code";
    return this.file === undefined ? "itself" : "file";
  }

  #leftMs(identity: Identity): number {
    if (identity.expiration === undefined) return Infinity;
    return identity.expiration.getTime() - (this.#options.clock.nowMs() + this.#options.skewMs());
  }

  #held(): Identity {
    const held = this.#identity;
    if (held === undefined) throw new Error("credentials were read, but none are held");
    return held;
  }

  #read(): Promise<boolean> {
    this.#reading ??= this.#readOnce().finally(() => this.#reading = undefined);
    return this.#reading;
  }

  /** Gets others from the provider, and tells of it where somebody has to do something for that in mid-run. */
  async #provided(): Promise<Identity> {
    if (this.#refusal !== undefined) throw this.#refusal;
    const { provider, clock, onEvent } = this.#options;
    const device = this.#identity && deviceOf(this.#identity);
    if (device === undefined) return await provider();
    const sinceMs = clock.nowMs();
    onEvent({
      type: "waiting",
      waitingFor: `the code of MFA device ${device}`,
      sinceMs: Math.round(sinceMs),
    });
    const found = await provider();
    onEvent({ type: "recovered", waitedMs: Math.round(clock.nowMs() - sinceMs) });
    return found;
  }

  async #readOnce(): Promise<boolean> {
    let found: Identity;
    try {
      found = await this.#provided();
    } catch (cause) {
      if (cause instanceof OperatorError) throw this.#refusal = cause;
      throw new CredentialsFailure(
        `no credentials from ${this.source}: ${withoutUrls(messageOf(cause))}`,
        {
          cause,
          source: this.source,
          roleStatement: this.#options.roleStatement,
          hasMfa: this.#options.hasMfa,
        },
      );
    }
    const held = this.#identity;
    const isSame = held !== undefined && held.accessKeyId === found.accessKeyId &&
      held.secretAccessKey === found.secretAccessKey && held.sessionToken === found.sessionToken;
    this.#identity = found;
    if (isSame) return false;
    this.#generation++;
    this.#options.onEvent({
      type: "credentials",
      accessKeyId: found.accessKeyId,
      expiresAt: found.expiration?.toISOString(),
    });
    return true;
  }
}

/** The MFA device whose code they took. */
function deviceOf({ lineage }: Identity): string | undefined {
  return lineage?.exchanges.find(({ mfaSerial }) => mfaSerial !== undefined)?.mfaSerial;
}

function withoutUrls(text: string): string {
  const line = text.replace(/ ?\(?https?:\/\/[^\s)]*\)?/g, "").replace(/\s+/g, " ").trim();
  return line.length <= 300 ? line : `${line.slice(0, 300)}…`;
}
