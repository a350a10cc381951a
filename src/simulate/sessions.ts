/**
 * Sessions: roles that may be assumed, MFA devices whose codes are good once, and the credentials that STS makes of them. What
 * a request and an answer look like: sts.ts.
 *
 * @see https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_request.html
 */
import { randomBytes } from "node:crypto";
import type { SimulatorClock } from "./clock.ts";
import type { Caller, CredentialSet, KeyRing } from "./credentials.ts";
import { AwsError } from "./errors.ts";

/** A role that callers may assume. */
export interface RoleSpec {
  /** `arn:aws:iam::ACCOUNT:role/NAME`. */
  readonly arn: string;
  /** ARNs of callers that its trust policy names. Default: whoever is of its account. */
  readonly trusts?: readonly string[] | undefined;
  /** Asked for by its trust policy. */
  readonly externalId?: string | undefined;
  /** Whether its trust policy wants an MFA device. Default false. */
  readonly needsMfa?: boolean | undefined;
  /** Of a session, where the caller asks for no other. Default an hour. */
  readonly lastsMs?: number | undefined;
  /** IAM actions that its sessions may not use. */
  readonly deny?: readonly string[] | undefined;
}

/** A device of the credentials' user. Each code is taken once, in any order. */
export interface MfaDevice {
  readonly serial: string;
  readonly codes: readonly string[];
}

/** What a caller asks for. */
export interface SessionWish {
  readonly serial: string | undefined;
  readonly code: string | undefined;
  readonly durationMs: number | undefined;
}

export interface AssumeWish extends SessionWish {
  readonly roleArn: string;
  readonly sessionName: string;
  readonly externalId: string | undefined;
}

/** Credentials of a session, for the answer. */
export interface Session {
  readonly set: CredentialSet & { readonly sessionToken: string; readonly expiresAtMs: number };
  readonly arn: string;
  readonly userId: string;
}

const HOUR_MS = 3600e3;

/** Makes sessions, and adds their credentials to those that the endpoint accepts. */
export class Sessions {
  readonly #roles: readonly RoleSpec[];
  readonly #codes: ReadonlyMap<string, Set<string>>;
  readonly #keys: KeyRing;
  readonly #clock: SimulatorClock;

  constructor(options: {
    readonly roles: readonly RoleSpec[];
    readonly devices: readonly MfaDevice[];
    readonly keys: KeyRing;
    readonly clock: SimulatorClock;
  }) {
    this.#roles = options.roles;
    this.#codes = new Map(options.devices.map(({ serial, codes }) => [serial, new Set(codes)]));
    this.#keys = options.keys;
    this.#clock = options.clock;
  }

  /** Throws `AwsError` with STS's answers. */
  assume(caller: Caller, wish: AssumeWish): Session {
    // STS does not say whether it was the caller's policy or the role's.
    const refusal = denied(
      `User: ${caller.arn} is not authorized to perform: sts:AssumeRole on resource: ${wish.roleArn}`,
    );
    const role = this.#roles.find(({ arn }) => arn === wish.roleArn);
    const [, partition, account, name] =
      /^arn:([a-z-]+):iam::(\d{12}):role\/(?:.*\/)?([^/]+)$/.exec(wish.roleArn) ??
        [];
    if (!role || name === undefined) throw refusal;
    const isTrusted = role.trusts === undefined
      ? caller.account === account
      : role.trusts.includes(caller.arn);
    if (!isTrusted || role.externalId !== wish.externalId) throw refusal;
    // A trust policy that wants MFA denies without it as it denies strangers.
    if (!this.#hasShownDevice(wish) && role.needsMfa) throw refusal;
    const id = `AROA${letters(17)}`;
    return this.#make({
      arn: `arn:${partition}:sts::${account}:assumed-role/${name}/${wish.sessionName}`,
      userId: `${id}:${wish.sessionName}`,
      account: account!,
      deny: role.deny ?? [],
      durationMs: wish.durationMs ?? role.lastsMs ?? HOUR_MS,
    });
  }

  /** A session of the caller's own user. */
  own(caller: Caller, wish: SessionWish): Session {
    const isSession = this.#keys.sets.some(({ accessKeyId, sessionToken }) =>
      accessKeyId === caller.accessKeyId && sessionToken !== undefined
    );
    if (isSession) throw denied("Cannot call GetSessionToken with session credentials");
    this.#hasShownDevice(wish);
    const { arn, userId, account, deny } = caller;
    return this.#make({ arn, userId, account, deny, durationMs: wish.durationMs ?? 12 * HOUR_MS });
  }

  /** Whether a device's code was given; throws where it is not good. */
  #hasShownDevice({ serial, code }: SessionWish): boolean {
    if (serial === undefined && code === undefined) return false;
    if (serial === undefined || code === undefined) {
      throw denied(
        "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.",
      );
    }
    const codes = this.#codes.get(serial);
    if (!codes) {
      throw denied(
        "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is " +
          "valid and associated with this user.",
      );
    }
    if (!codes.delete(code)) {
      throw denied("MultiFactorAuthentication failed with invalid MFA one time pass code. ");
    }
    return true;
  }

  #make(facts: {
    readonly arn: string;
    readonly userId: string;
    readonly account: string;
    readonly deny: readonly string[];
    readonly durationMs: number;
  }): Session {
    const { durationMs, ...who } = facts;
    const set = {
      ...who,
      accessKeyId: `ASIA${letters(16)}`,
      secretAccessKey: randomBytes(30).toString("base64"),
      sessionToken: randomBytes(120).toString("base64"),
      expiresAtMs: this.#clock.nowMs() + durationMs,
    };
    this.#keys.add(set);
    return { set, arn: facts.arn, userId: facts.userId };
  }
}

function denied(message: string): AwsError {
  return new AwsError("AccessDenied", { status: 403, message });
}

function letters(count: number): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  return [...randomBytes(count)].map((byte) => alphabet[byte % alphabet.length]).join("");
}
