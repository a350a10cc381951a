/**
 * Which credentials to use: a file with a session, keys of the environment, a profile, the SDK's ordinary chain; or a role
 * or an MFA session that is had for one of these (roles.ts). Each reading goes past the SDK's caches, so that a rewritten
 * file counts. Nothing but a named credentials file is read until a provider is called.
 */
import { messageOf, OperatorError } from "../errors.ts";
import { DEFAULT_CHAIN } from "./credential_words.ts";
import type { Identity, KeeperOptions, Provider } from "./credentials.ts";
import { openCredentialsFile } from "./credentials_file.ts";
import {
  type AskCode,
  checkRole,
  checkSerial,
  Exchanger,
  type RoleWish,
  type StsContext,
  type WebWish,
} from "./roles.ts";

/** How credentials are chosen, as the command line says it. */
export interface CredentialOptions {
  readonly profile?: string;
  readonly roleArn?: string;
  readonly externalId?: string;
  readonly sessionName?: string;
  readonly mfaSerial?: string;
  /** JSON with a session, in a form of AWS's tools. */
  readonly credentialsFile?: string;
  /** Asks for the code of an MFA device; without it what wants one is refused. */
  readonly askCode?: AskCode;
}

/** What the chain needs besides the choice of credentials. */
export interface ChainContext extends Omit<StsContext, "askCode"> {
  /** By AWS's clock, as far as it is known. */
  readonly nowMs: () => number;
}

type Chosen = Pick<
  KeeperOptions,
  "provider" | "source" | "baseSource" | "canRenew" | "roleStatement" | "hasMfa" | "file"
>;

/** What is said of a role's session where nobody names it. */
const SESSION_NAME = "coldcase";

/** The provider that the options and the environment choose, and what is known of it. Throws `usage`, and what is wrong with a file. */
export async function chooseProvider(options: CredentialOptions, context: ChainContext): Promise<Chosen> {
  const { roleArn, mfaSerial } = options;
  if (roleArn !== undefined) checkRole(roleArn);
  if (mfaSerial !== undefined) checkSerial(mfaSerial);
  const exchanger = new Exchanger({ ...context, askCode: options.askCode });
  const base = await chooseBase(options, { context, exchanger });
  if (roleArn !== undefined) {
    const wish = {
      RoleArn: roleArn,
      RoleSessionName: options.sessionName ?? SESSION_NAME,
      ExternalId: options.externalId,
      SerialNumber: mfaSerial,
    };
    return {
      ...base,
      provider: async () => await exchanger.assumeRole(await base.provider(), wish),
      source: `role ${roleArn}, assumed with ${base.source}`,
      baseSource: base.source,
      canRenew: base.canRenew || hasEndlessKeys(options, context),
      roleStatement: JSON.stringify({ Effect: "Allow", Action: "sts:AssumeRole", Resource: roleArn }),
      hasMfa: mfaSerial !== undefined,
    };
  }
  if (mfaSerial === undefined) return base;
  const facts = { serial: mfaSerial, source: base.source };
  return {
    ...base,
    provider: async () => await exchanger.sessionOf(await base.provider(), facts),
    source: `a session of ${base.source} and MFA device ${mfaSerial}`,
    baseSource: base.source,
    canRenew: true,
  };
}

/** Such can assume a role again and again; a session ends. */
function hasEndlessKeys({ credentialsFile }: CredentialOptions, { environment }: ChainContext): boolean {
  return credentialsFile === undefined && environment("AWS_SESSION_TOKEN") === undefined;
}

interface Surroundings {
  readonly context: ChainContext;
  readonly exchanger: Exchanger;
}

async function chooseBase(options: CredentialOptions, surroundings: Surroundings): Promise<Chosen> {
  const { environment } = surroundings.context;
  const { credentialsFile } = options;
  if (credentialsFile !== undefined) {
    if (options.profile !== undefined) {
      throw new OperatorError("usage", "Cannot use --profile and --credentials-file: both name credentials");
    }
    return chooseFile(credentialsFile, surroundings.context);
  }
  const accessKeyId = environment("AWS_ACCESS_KEY_ID");
  const secretAccessKey = environment("AWS_SECRET_ACCESS_KEY");
  // Keys in the environment win over AWS_PROFILE, but not over --profile, as in the AWS CLI.
  if (accessKeyId !== undefined && secretAccessKey !== undefined && options.profile === undefined) {
    const sessionToken = environment("AWS_SESSION_TOKEN");
    const expiration = environment("AWS_CREDENTIAL_EXPIRATION");
    const identity: Identity = {
      accessKeyId,
      secretAccessKey,
      ...(sessionToken === undefined ? {} : { sessionToken }),
      ...(expiration === undefined || Number.isNaN(Date.parse(expiration))
        ? {}
        : { expiration: new Date(expiration) }),
    };
    return { provider: () => Promise.resolve(identity), source: "the environment", canRenew: false };
  }
  const { profile = environment("AWS_PROFILE"), sessionName } = options;
  return await chooseProfile({ profile, sessionName }, surroundings);
}

function chooseFile(path: string, { nowMs }: ChainContext): Chosen {
  const file = openCredentialsFile(path, nowMs());
  const provider = () => {
    try {
      return Promise.resolve(file.read());
    } catch (error) {
      // In mid-run it may be half written, or gone for a moment: no reason to give up.
      return Promise.reject(new Error(messageOf(error)));
    }
  };
  const source = `file "${path}"`;
  return { provider, source, canRenew: file.isReadAgain, ...(file.isReadAgain && { file: path }) };
}

async function chooseProfile(
  { profile, sessionName }: {
    readonly profile: string | undefined;
    readonly sessionName: string | undefined;
  },
  { context, exchanger }: Surroundings,
): Promise<Chosen> {
  const { environment, region } = context;
  const { fromIni, fromNodeProviderChain } = await import("@aws-sdk/credential-providers");
  const credentialsFile = environment("AWS_SHARED_CREDENTIALS_FILE");
  const configFile = environment("AWS_CONFIG_FILE");
  // A chain of its own for each reading: the SDK's chains remember what they found, and its files.
  const provider: Provider = async () => {
    const init = {
      ignoreCache: true,
      ...(credentialsFile === undefined ? {} : { filepath: credentialsFile }),
      ...(configFile === undefined ? {} : { configFilepath: configFile }),
      clientConfig: clientConfig(context),
      // The exchanger asks, when the role is assumed; without this the SDK would give up before.
      mfaCodeProvider: () => Promise.resolve(""),
      roleAssumer: (base: Identity, wish: object) =>
        exchanger.assumeRole(base, named(wish as RoleWish, sessionName)),
      roleAssumerWithWebIdentity: (wish: object) =>
        exchanger.assumeRoleWithWebIdentity(named(wish as WebWish, sessionName)),
    };
    const caller = { callerClientConfig: { region: () => Promise.resolve(region) } };
    // Who names a profile means that one, not the instance's role where the profile has nothing.
    return profile === undefined
      ? await fromNodeProviderChain(init)(caller)
      : await fromIni({ ...init, profile })(caller);
  };
  const source = profile === undefined ? DEFAULT_CHAIN : `profile "${profile}"`;
  return { provider, source, canRenew: true };
}

/** A session is found in CloudTrail by its name: the one that was given, the profile's, and none that the SDK made up. */
function named<T extends RoleWish>(wish: T, sessionName: string | undefined): T {
  const isMadeUp = /^aws-sdk-js-[\w-]+$/.test(wish.RoleSessionName);
  return sessionName === undefined && !isMadeUp
    ? wish
    : { ...wish, RoleSessionName: sessionName ?? SESSION_NAME };
}

/**
 * For the SDK's own clients inside the chain, SSO's: our handler, so that proxies and CA bundles hold there too. Without a
 * Region: SSO has one of its own, that the profile names.
 */
function clientConfig(context: ChainContext) {
  return {
    requestHandler: context.handler,
    maxAttempts: 1,
    // These clients live for one request, too short to learn the skew themselves.
    systemClockOffset: context.skewMs() ?? 0,
    ...(context.endpointUrl === undefined ? {} : { endpoint: context.endpointUrl }),
  };
}
