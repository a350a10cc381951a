/**
 * Where requests go: the Region and the endpoint, from options, the environment and the SDK's own rules.
 * Nothing is sent. With a custom endpoint that is not AWS's, EC2 and STS are asked there too, so that a
 * drill can never reach the real AWS.
 */
import { OperatorError } from "../errors.ts";
import type { Environment } from "./proxy.ts";

/** Whether a URL is AWS's own, over TLS: what is acquired elsewhere is marked so. */
export function isAwsEndpoint(endpoint: string): boolean {
  const url = new URL(endpoint);
  const names = [".amazonaws.com", ".api.aws", ".amazonaws.com.cn"];
  return url.protocol === "https:" && names.some((name) => url.hostname.endsWith(name));
}

/**
 * The custom endpoint of a service, without a trailing slash: the option, AWS_ENDPOINT_URL_<SERVICE>, then
 * AWS_ENDPOINT_URL. `undefined`: the SDK's default. Throws `usage` where it is no http or https URL.
 */
export function customEndpoint(
  service: "EBS" | "EC2" | "STS",
  options: { readonly endpointUrl?: string | undefined; readonly environment: Environment },
): string | undefined {
  const { endpointUrl, environment } = options;
  const isIgnored = environment("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")?.toLowerCase() === "true";
  const configured = isIgnored
    ? undefined
    : environment(`AWS_ENDPOINT_URL_${service}`) ?? environment("AWS_ENDPOINT_URL");
  const text = endpointUrl ?? configured;
  if (text === undefined) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const hasUser = url !== undefined && (url.username !== "" || url.password !== "");
  if (url === undefined || !["http:", "https:"].includes(url.protocol) || hasUser) {
    throw new OperatorError(
      "usage",
      `Cannot use endpoint "${
        hasUser ? url.host : withoutUser(text)
      }": expected an http or https URL without a user`,
    );
  }
  return text.replace(/\/+$/, "");
}

/** What is no URL at all may still have a password in it. */
function withoutUser(text: string): string {
  return text.replace(/^(\w+:)?(\/\/)?.*@/, "$1$2");
}

/**
 * The Region that the options or the environment name. `undefined`: the profile's, if it has one.
 * Throws `usage` where it cannot be a Region: it becomes part of a host name.
 */
export function namedRegion(
  options: { readonly region?: string | undefined; readonly environment: Environment },
): string | undefined {
  const { environment } = options;
  const region = options.region ?? environment("AWS_REGION") ?? environment("AWS_DEFAULT_REGION");
  if (region !== undefined && !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(region)) {
    throw new OperatorError("usage", `Cannot use Region "${region}": expected a name such as eu-central-1`);
  }
  return region;
}

/** The error where nothing names a Region. */
export function noRegion(): OperatorError {
  return new OperatorError("usage", "Cannot choose a Region: nothing names one, one is needed", {
    hints: ["Name it with --region, with AWS_REGION, or in the profile that --profile names."],
  });
}
