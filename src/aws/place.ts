/**
 * Which Region and endpoint an acquisition talks to, resolved by the SDK's own rules without sending
 * anything, and the settings that all our SDK clients share. endpoint.ts holds the rules that are ours.
 */
import { OperatorError } from "../errors.ts";
import { namedRegion, noRegion } from "./endpoint.ts";
import type { Environment } from "./proxy.ts";
import { Trouble } from "./trouble.ts";
import type { SdkRequest } from "./wire.ts";

export interface Place {
  readonly region: string;
  /** Scheme, host and port. */
  readonly endpoint: string;
}

export interface PlaceOptions {
  readonly environment: Environment;
  readonly region?: string | undefined;
  readonly profile?: string | undefined;
  /** Custom endpoint of EBS, `undefined` for the SDK's default. */
  readonly endpointUrl: string | undefined;
}

/** The settings that all our SDK clients share. */
export function sdkSettings(options: {
  readonly environment: Environment;
  readonly region: string;
  readonly endpointUrl: string | undefined;
  readonly profile?: string | undefined;
}) {
  const { environment, endpointUrl, profile } = options;
  const flag = (name: string) => environment(name)?.toLowerCase() === "true" ? true : undefined;
  const fips = flag("AWS_USE_FIPS_ENDPOINT");
  const dualStack = flag("AWS_USE_DUALSTACK_ENDPOINT");
  return {
    region: options.region,
    maxAttempts: 1,
    ...(profile === undefined ? {} : { profile }),
    // The SDK refuses these beside a custom endpoint, which already says where to go.
    ...(endpointUrl !== undefined
      ? { endpoint: endpointUrl, useFipsEndpoint: false, useDualstackEndpoint: false }
      : {
        ...(fips === undefined ? {} : { useFipsEndpoint: fips }),
        ...(dualStack === undefined ? {} : { useDualstackEndpoint: dualStack }),
      }),
  };
}

/**
 * The Region and the endpoint that the SDK would use, without sending anything: the profile's Region,
 * `endpoint_url`, FIPS and dual-stack settings are the SDK's to resolve. Throws `usage`.
 */
export async function resolvePlace(options: PlaceOptions): Promise<Place> {
  const { EBSClient, ListSnapshotBlocksCommand } = await import("@aws-sdk/client-ebs");
  const { environment, endpointUrl, profile } = options;
  const region = namedRegion(options) ?? await profileRegion(profile ?? environment("AWS_PROFILE"));
  let endpoint: string | undefined;
  const client = new EBSClient({
    ...sdkSettings({ environment, region, endpointUrl, profile }),
    credentials: { accessKeyId: "none", secretAccessKey: "none" },
    requestHandler: {
      handle(request: SdkRequest) {
        const port = request.port === undefined ? "" : `:${request.port}`;
        endpoint = new URL(`${request.protocol}//${request.hostname}${port}`).origin;
        return Promise.reject(new Trouble("discarded", "the endpoint is known"));
      },
    },
  });
  try {
    await client.send(new ListSnapshotBlocksCommand({ SnapshotId: "snap-00000000" }));
  } catch (thrown) {
    if (endpoint === undefined) {
      const message = thrown instanceof Error ? thrown.message : String(thrown);
      throw new OperatorError("usage", `Cannot choose an endpoint for Region "${region}": ${message}`, {
        cause: thrown,
      });
    }
  } finally {
    client.destroy();
  }
  if (endpoint === undefined) throw new Error("the SDK sent nothing");
  return { region, endpoint };
}

async function profileRegion(profile: string | undefined): Promise<string> {
  const { EBSClient } = await import("@aws-sdk/client-ebs");
  const client = new EBSClient(profile === undefined ? {} : { profile });
  try {
    return await client.config.region();
  } catch (cause) {
    // A variable that is set to nothing counts as not set here; the SDK reads it as a Region of no letters.
    const message = cause instanceof Error ? cause.message : "";
    if (/region is missing|^Region not accepted: region=""/i.test(message)) throw noRegion();
    if (message.startsWith("Region not accepted")) {
      throw new OperatorError(
        "usage",
        `Cannot use the Region of ${profile ? `profile "${profile}"` : "the profile"}: ${message}`,
        { cause },
      );
    }
    throw cause;
  } finally {
    client.destroy();
  }
}
