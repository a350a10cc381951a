/**
 * The credentials in use: held, read again before they expire and when AWS refuses them, one reading at a
 * time. Whether they can renew themselves is known here; what to do when they cannot is retry.ts's business.
 * Secrets stay inside the SDK's objects: no message, event or fact of this file holds one.
 */
import { messageOf, OperatorError } from "../errors.ts";
import type { Clock, SourceEvent } from "../model.ts";
import { BrokenAnswer, Trouble } from "./trouble.ts";

/** What the SDK calls `AwsCredentialIdentity`, as far as it is used here. */
export interface Identity {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
  /** The SDK's note of where they come from (feature ids of its user agent). */
  readonly $source?: Readonly<Record<string, string>>;
}

/** Gets credentials afresh, past every cache. */
export type Provider = () => Promise<Identity>;

/** What may be said about the credentials in use. */
export interface CredentialFacts {
  /** `the environment`, `profile "x"`, `role arn:…`, `the instance's role`, … */
  readonly source: string;
  readonly accessKeyId: string;
  /** RFC 3339; `undefined` where they do not say. */
  readonly expiresAt: string | undefined;
  /** Whether reading them again can bring newer ones. */
  readonly canRenew: boolean;
}

/** A failure on the way to credentials, with the provider's own error as its cause. */
export class CredentialsFailure extends Error {
  override readonly name = "CredentialsFailure";
  /** The IAM statement that would allow the role to be assumed, where one is to be assumed. */
  readonly roleStatement: string | undefined;

  constructor(
    message: string,
    facts: { readonly cause: unknown; readonly roleStatement?: string | undefined },
  ) {
    super(message, { cause: facts.cause });
    this.roleStatement = facts.roleStatement;
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
  /** False where `provider` can only ever give the same. */
  readonly canRenew: boolean;
  readonly roleStatement?: string | undefined;
}

/** Holds the credentials in use; one reading at a time, however many requests ask. */
export class CredentialKeeper {
  readonly #options: KeeperOptions;
  #identity: Identity | undefined;
  #generation = 0;
  #lookedMs = -Infinity;
  #reading: Promise<boolean> | undefined;

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
    return this.#options.source;
  }

  /** Credentials to sign with. Throws `CredentialsFailure` where there are none. */
  async current(): Promise<Identity> {
    const held = this.#identity;
    if (held === undefined) {
      await this.#read();
      return this.#held();
    }
    const leftMs = this.#leftMs(held);
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
      source: this.#options.source,
      accessKeyId: held.accessKeyId,
      expiresAt: held.expiration?.toISOString(),
      canRenew: this.canRenew,
    };
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

  async #readOnce(): Promise<boolean> {
    let found: Identity;
    try {
      found = await this.#options.provider();
    } catch (cause) {
      if (cause instanceof OperatorError) throw cause;
      throw new CredentialsFailure(
        `no credentials from ${this.#options.source}: ${withoutUrls(messageOf(cause))}`,
        { cause, roleStatement: this.#options.roleStatement },
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

/** The error for credentials that are refused and bring nothing newer. */
export function credentialsRefused(facts: {
  readonly what: string;
  readonly reason: string;
  readonly keeper: CredentialKeeper;
  readonly profile: string | undefined;
}): OperatorError {
  const { what, reason, keeper } = facts;
  const again = "Then run the same command again: it resumes.";
  const hints = reason.includes("--allow-run")
    ? [
      "The profile's credential_process may not be started: run it as deno task coldcase:process …, or build with deno task compile --credential-process",
      `or start it yourself: eval "$(aws configure export-credentials --profile ${
        facts.profile ?? "default"
      } --format env)"`,
    ]
    : keeper.facts() === undefined
    ? [
      "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), or name a profile with --profile.",
      ...(facts.profile === undefined ? [] : [
        "These are the profiles that there are: aws configure list-profiles",
        `For an SSO profile: aws sso login --profile ${facts.profile}`,
      ]),
    ]
    : keeper.canRenew
    ? [`Renew ${keeper.source}, for SSO with: aws sso login. ${again}`]
    : [`Credentials from ${keeper.source} cannot renew themselves: set fresh ones. ${again}`];
  return new OperatorError("access", `Cannot ${what}: ${reason}`, {
    hints,
    facts: { credentials: keeper.source, canRenew: keeper.canRenew },
  });
}

function withoutUrls(text: string): string {
  const line = text.replace(/ ?\(?https?:\/\/[^\s)]*\)?/g, "").replace(/\s+/g, " ").trim();
  return line.length <= 300 ? line : `${line.slice(0, 300)}…`;
}
