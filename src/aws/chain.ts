/**
 * Which credentials to use: keys of the environment, a profile, the SDK's ordinary chain, or a role assumed
 * with one of these. Each reading goes past the SDK's caches, so that a rewritten file counts. Nothing is
 * read until a provider is called.
 */
import type { Identity, KeeperOptions, Provider } from "./credentials.ts";
import type { FetchHandler } from "./handler.ts";
import type { Environment } from "./proxy.ts";

/** How credentials are chosen, as the command line says it. */
export interface CredentialOptions {
  readonly profile?: string;
  readonly roleArn?: string;
  readonly externalId?: string;
  readonly sessionName?: string;
  readonly mfaSerial?: string;
  /** Asks for the code of an MFA device; without it a role that wants one is refused. */
  readonly mfaCode?: (serial: string) => Promise<string>;
}

/** What the chain needs besides the choice of credentials. */
export interface ChainContext {
  readonly environment: Environment;
  readonly region: string;
  readonly handler: FetchHandler;
  /** Set where nothing may reach AWS itself: STS and SSO are then asked there. */
  readonly endpointUrl: string | undefined;
  /** AWS's clock minus ours, once measured. */
  readonly skewMs: () => number | undefined;
}

/** The provider that the options and the environment choose, and what is known of it. */
export async function chooseProvider(
  options: CredentialOptions,
  context: ChainContext,
): Promise<Pick<KeeperOptions, "provider" | "source" | "canRenew" | "roleStatement">> {
  const base = await chooseBase(options, context);
  if (options.roleArn === undefined) return base;
  const role = options.roleArn;
  const { fromTemporaryCredentials } = await import("@aws-sdk/credential-providers");
  const provider: Provider = async () => {
    const masterCredentials = await base.provider();
    return await fromTemporaryCredentials({
      masterCredentials,
      params: {
        RoleArn: role,
        RoleSessionName: options.sessionName ?? "coldcase",
        ...(options.externalId === undefined ? {} : { ExternalId: options.externalId }),
        ...(options.mfaSerial === undefined ? {} : { SerialNumber: options.mfaSerial }),
      },
      ...(options.mfaCode === undefined ? {} : { mfaCodeProvider: options.mfaCode }),
      clientConfig: clientConfig(context),
    })();
  };
  return {
    provider,
    source: `role ${role}, assumed with ${base.source}`,
    // Long-term keys in the environment can assume the role again and again; a session there ends.
    canRenew: base.canRenew || context.environment("AWS_SESSION_TOKEN") === undefined,
    roleStatement: JSON.stringify({ Effect: "Allow", Action: "sts:AssumeRole", Resource: role }),
  };
}

async function chooseBase(
  options: CredentialOptions,
  context: ChainContext,
): Promise<Pick<KeeperOptions, "provider" | "source" | "canRenew">> {
  const { environment } = context;
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
  const profile = options.profile ?? environment("AWS_PROFILE");
  const { fromIni, fromNodeProviderChain } = await import("@aws-sdk/credential-providers");
  const credentialsFile = environment("AWS_SHARED_CREDENTIALS_FILE");
  const configFile = environment("AWS_CONFIG_FILE");
  // A chain of its own for each reading: the SDK's chains remember what they found, and its files.
  const provider: Provider = () => {
    const init = {
      ignoreCache: true,
      ...(credentialsFile === undefined ? {} : { filepath: credentialsFile }),
      ...(configFile === undefined ? {} : { configFilepath: configFile }),
      ...(options.mfaCode === undefined ? {} : { mfaCodeProvider: options.mfaCode }),
      clientConfig: clientConfig(context),
    };
    // Who names a profile means that one, not the instance's role where the profile has nothing.
    return profile === undefined ? fromNodeProviderChain(init)() : fromIni({ ...init, profile })();
  };
  return {
    provider,
    source: profile === undefined ? "the default credential chain" : `profile "${profile}"`,
    canRenew: true,
  };
}

/** For the STS and SSO clients inside the chain: our handler, so that proxies and CA bundles hold there too. */
function clientConfig(context: ChainContext) {
  return {
    region: context.region,
    requestHandler: context.handler,
    maxAttempts: 1,
    // These clients live for one request, too short to learn the skew themselves.
    systemClockOffset: context.skewMs() ?? 0,
    ...(context.endpointUrl === undefined ? {} : { endpoint: context.endpointUrl }),
  };
}
