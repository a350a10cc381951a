/**
 * Credentials for other ones, at STS: a role assumed, a session of a user's own keys, a role for a web identity's token. The
 * SDK's profile chain comes here, too, so that all of them go to one endpoint, tell how they came about, and ask the person
 * for the code of an MFA device in one way: at the moment when it is needed, three times at most.
 *
 * A code is held until AWS has answered, and nowhere else: in no option, variable, message or record.
 *
 * @see https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
 */
import { OperatorError } from "../errors.ts";
import type { Identity } from "./credentials.ts";
import { customEndpoint } from "./endpoint.ts";
import { serviceAnswer } from "./errors.ts";
import type { FetchHandler } from "./handler.ts";
import { shortened } from "./network.ts";
import { sdkSettings } from "./place.ts";
import type { Environment } from "./proxy.ts";

/** Asks the person; `undefined` where they give up. */
export type AskCode = (question: string) => Promise<string | undefined>;

/** One exchange of credentials, as far as it may be told. */
export interface Exchange {
  readonly how: "AssumeRole" | "AssumeRoleWithWebIdentity" | "GetSessionToken";
  readonly roleArn: string | undefined;
  readonly sessionName: string | undefined;
  /** Who one is with them, where STS said it. */
  readonly arn: string | undefined;
  /** The MFA device whose code was given. */
  readonly mfaSerial: string | undefined;
  /** RFC 3339. */
  readonly expiresAt: string | undefined;
}

/** What the exchanges need. */
export interface StsContext {
  readonly environment: Environment;
  readonly region: string;
  readonly handler: FetchHandler;
  /** Set where nothing may reach AWS itself. */
  readonly endpointUrl: string | undefined;
  /** AWS's clock minus ours, once measured. */
  readonly skewMs: () => number | undefined;
  /** Where nobody can be asked it is not there. */
  readonly askCode: AskCode | undefined;
}

/** The members of AssumeRole's request that the SDK's profiles and our options fill. */
export interface RoleWish {
  readonly RoleArn: string;
  readonly RoleSessionName: string;
  readonly ExternalId?: string | undefined;
  readonly DurationSeconds?: number | undefined;
  readonly SerialNumber?: string | undefined;
}

/** The same for a web identity. */
export interface WebWish extends RoleWish {
  readonly WebIdentityToken: string;
}

/** STS's answer. */
interface Granted {
  readonly Credentials?: {
    readonly AccessKeyId: string | undefined;
    readonly SecretAccessKey: string | undefined;
    readonly SessionToken: string | undefined;
    readonly Expiration: Date | undefined;
  } | undefined;
  readonly AssumedRoleUser?: { readonly Arn: string | undefined } | undefined;
}

const MAX_CODES = 3;

/** STS's own pattern. @see https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html */
const SERIAL = /^[\w+=/:,.@-]{9,256}$/;

/** Throws `usage` for what can be the name of no MFA device. */
export function checkSerial(serial: string): void {
  if (SERIAL.test(serial)) return;
  throw new OperatorError(
    "usage",
    `Cannot use MFA device "${serial}": expected its ARN, arn:aws:iam::ACCOUNT:mfa/NAME, or a serial number`,
    { hints: ["aws iam list-mfa-devices shows it."] },
  );
}

/** Throws `usage` for what is no ARN of a role. */
export function checkRole(role: string): void {
  if (/^arn:[a-z-]+:iam::\d{12}:role\/[\w+=,.@/-]+$/.test(role)) return;
  throw new OperatorError(
    "usage",
    `Cannot assume role "${role}": expected its ARN, arn:aws:iam::ACCOUNT:role/NAME`,
    { hints: ["aws iam get-role --role-name NAME shows it."] },
  );
}

/** Exchanges credentials at STS. */
export class Exchanger {
  readonly #context: StsContext;
  /** A code that AWS has not answered yet: the network failed, not the code. */
  #unanswered: { readonly serial: string; readonly code: string } | undefined;

  constructor(context: StsContext) {
    this.#context = context;
  }

  async assumeRole(base: Identity, wish: RoleWish): Promise<Identity> {
    const { SerialNumber } = wish;
    const facts = { how: "AssumeRole", roleArn: wish.RoleArn, sessionName: wish.RoleSessionName } as const;
    const send = async (code: string | undefined) => {
      const { AssumeRoleCommand } = await import("@aws-sdk/client-sts");
      // A code that the SDK itself would have asked for is none: it asks too early, and once.
      const { TokenCode: _, ...input } = wish as RoleWish & { TokenCode?: string };
      const command = new AssumeRoleCommand({
        ...input,
        ...(code === undefined ? {} : { TokenCode: code }),
      });
      return await this.#with(base, (client) => client.send(command));
    };
    const granted = SerialNumber === undefined
      ? await send(undefined)
      : await this.#withCode(SerialNumber, wish, send);
    return identityOf(granted, base, { ...facts, mfaSerial: SerialNumber });
  }

  /** A session of the keys' own user, who has shown the MFA device. */
  async sessionOf(
    base: Identity,
    facts: { readonly serial: string; readonly source: string },
  ): Promise<Identity> {
    const { serial, source } = facts;
    if (base.sessionToken !== undefined) throw alreadySession(serial, source);
    const granted = await this.#withCode(serial, undefined, async (code) => {
      const { GetSessionTokenCommand } = await import("@aws-sdk/client-sts");
      const command = new GetSessionTokenCommand({ SerialNumber: serial, TokenCode: code });
      return await this.#with(base, (client) => client.send(command));
    });
    const none = { roleArn: undefined, sessionName: undefined };
    return identityOf(granted, base, { how: "GetSessionToken", ...none, mfaSerial: serial });
  }

  async assumeRoleWithWebIdentity(wish: WebWish): Promise<Identity> {
    const { AssumeRoleWithWebIdentityCommand } = await import("@aws-sdk/client-sts");
    const command = new AssumeRoleWithWebIdentityCommand(wish);
    const granted = await this.#with(undefined, (client) => client.send(command));
    return identityOf(granted, undefined, {
      how: "AssumeRoleWithWebIdentity",
      roleArn: wish.RoleArn,
      sessionName: wish.RoleSessionName,
      mfaSerial: undefined,
    });
  }

  async #with<T>(
    credentials: Identity | undefined,
    send: (client: import("@aws-sdk/client-sts").STSClient) => Promise<T>,
  ): Promise<T> {
    const { environment, region, handler, endpointUrl, skewMs } = this.#context;
    const { STSClient } = await import("@aws-sdk/client-sts");
    const client = new STSClient({
      ...sdkSettings({
        environment,
        region,
        endpointUrl: customEndpoint("STS", { environment }) ?? endpointUrl,
      }),
      requestHandler: handler,
      // It lives for one request, too short to learn the skew itself.
      systemClockOffset: skewMs() ?? 0,
      ...(credentials === undefined ? {} : { credentials }),
    });
    try {
      return await send(client);
    } finally {
      client.destroy();
    }
  }

  /** Sends with the code of a device; one that AWS does not take is asked for again. */
  async #withCode<T>(
    serial: string,
    role: RoleWish | undefined,
    send: (code: string) => Promise<T>,
  ): Promise<T> {
    let refusal: string | undefined;
    for (let tried = 0; tried < MAX_CODES; tried++) {
      const code = await this.#code({ serial, role, refusal });
      if (!/^\d{6}$/.test(code)) {
        refusal = "a code has 6 digits";
        continue;
      }
      try {
        const answer = await send(code);
        this.#unanswered = undefined;
        return answer;
      } catch (thrown) {
        const answer = serviceAnswer(thrown);
        const isAnswered = answer !== undefined && answer.status >= 400 && answer.status < 500;
        this.#unanswered = isAnswered ? undefined : { serial, code };
        if (!isAnswered || !/MultiFactorAuthentication failed/.test(answer.message)) throw thrown;
        refusal = shortened(answer.message).replace(/\.$/, "");
      }
    }
    throw codesRefused(serial, refusal ?? "");
  }

  async #code(
    facts: {
      readonly serial: string;
      readonly role: RoleWish | undefined;
      readonly refusal: string | undefined;
    },
  ): Promise<string> {
    const { serial, role, refusal } = facts;
    const { askCode } = this.#context;
    const kept = this.#unanswered;
    this.#unanswered = undefined;
    if (kept?.serial === serial && refusal === undefined) return kept.code;
    if (askCode === undefined) throw nobodyToAsk(serial, { role, region: this.#context.region });
    const again = refusal === undefined ? "" : `Not taken (${refusal}). Each code is good once. `;
    const typed = (await askCode(`${again}Code of MFA device ${serial}: `))?.replace(/[\s-]/g, "");
    if (typed === undefined || typed === "") throw noCode(serial);
    return typed;
  }
}

function identityOf(
  granted: Granted,
  base: Identity | undefined,
  facts: Omit<Exchange, "arn" | "expiresAt">,
): Identity {
  const { AccessKeyId, SecretAccessKey, SessionToken, Expiration } = granted.Credentials ?? {};
  if (!AccessKeyId || !SecretAccessKey) throw new Error(`STS answered ${facts.how} without credentials`);
  const exchange = {
    ...facts,
    arn: granted.AssumedRoleUser?.Arn,
    expiresAt: Expiration?.toISOString(),
  };
  return {
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    ...(SessionToken === undefined ? {} : { sessionToken: SessionToken }),
    ...(Expiration === undefined ? {} : { expiration: Expiration }),
    lineage: {
      base: base?.lineage?.base ?? base,
      exchanges: [...base?.lineage?.exchanges ?? [], exchange],
    },
  };
}

/** With the fact `credentials`, which no aside tolerates: a person has to act. */
function refused(serial: string, problem: string, hints: readonly string[]): OperatorError {
  return new OperatorError("access", `Cannot get credentials with MFA device "${serial}": ${problem}`, {
    hints,
    facts: { credentials: `MFA device ${serial}`, canRenew: false, mfaSerial: serial },
  });
}

function nobodyToAsk(
  serial: string,
  { role, region }: { readonly role: RoleWish | undefined; readonly region: string },
): OperatorError {
  const device = `--region ${region} --serial-number ${serial} --token-code CODE`;
  const command = role === undefined
    ? `aws sts get-session-token ${device}`
    : `aws sts assume-role --role-arn ${role.RoleArn} --role-session-name ${role.RoleSessionName} ` +
      `${role.ExternalId === undefined ? "" : `--external-id ${role.ExternalId} `}${device}`;
  return refused(serial, "its code is asked for at a terminal only, and there is none", [
    `Get the session beforehand, in a file of yours: (umask 077; ${command} > session.json)`,
    "Then run the same command with --credentials-file session.json instead of profile, role and MFA device.",
  ]);
}

function noCode(serial: string): OperatorError {
  return refused(serial, "no code was typed", ["Run the same command again: what was recorded is kept."]);
}

function codesRefused(serial: string, refusal: string): OperatorError {
  return refused(serial, `none of ${MAX_CODES} codes was taken (${refusal})`, [
    "Wait for the device's next code, each is good once, and run the same command again.",
    "Check that this is the caller's own device, aws iam list-mfa-devices, and that the device's clock is right.",
  ]);
}

function alreadySession(serial: string, source: string): OperatorError {
  return refused(serial, `${source} is a session already, and AWS makes one of a user's own keys only`, [
    "Leave --mfa-serial out; or name the role that the code is for with --role-arn; or give the user's own keys.",
  ]);
}
