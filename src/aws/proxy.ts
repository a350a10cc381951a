/**
 * Which way a request takes out of this host: the proxy that the environment names for a URL, and the
 * certificate authorities to trust beside the built-in ones. Reads environment variables and CA files only;
 * opens no connection. Deno would read the proxy variables too, but from the process only and without
 * telling which one it used, and the acquisition record names the proxy.
 */
import { messageOf, OperatorError } from "../errors.ts";

/** Reads an environment variable; `undefined` where unset or empty. */
export type Environment = (name: string) => string | undefined;

/** A proxy, its password kept apart from what may be shown. */
export interface Proxy {
  /** URL without user and password: fit for messages and records. */
  readonly url: string;
  readonly basicAuth: { readonly username: string; readonly password: string } | undefined;
}

/**
 * The proxy for `url`, or `undefined` where the connection is direct: HTTPS_PROXY or HTTP_PROXY by the
 * URL's scheme, then ALL_PROXY; lower-case names win, as in curl. NO_PROXY exempts.
 * Throws `usage` where the variable's value is no URL.
 */
export function proxyFor(url: URL, environment: Environment): Proxy | undefined {
  const either = (name: string) => environment(name.toLowerCase()) ?? environment(name);
  const exempt = either("NO_PROXY");
  if (exempt !== undefined && isExempt(url, exempt)) return undefined;
  const name = url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  const value = either(name) ?? either("ALL_PROXY");
  return value === undefined ? undefined : parseProxy(value, name);
}

function parseProxy(value: string, name: string): Proxy {
  // A bare "host:port" is what many people write; curl takes it as http.
  const text = value.includes("://") ? value : `http://${value}`;
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    // The value may hold a password, so it is not repeated here.
    throw new OperatorError("usage", `Cannot use the proxy of ${name}: its value is no URL`, {
      hints: [`Set ${name} to a URL such as http://proxy.example:3128.`],
      cause: cause instanceof Error ? cause.name : undefined,
    });
  }
  const basicAuth = url.username === "" ? undefined : {
    username: unescaped(url.username, name),
    password: unescaped(url.password, name),
  };
  return { url: `${url.protocol}//${url.host}`, basicAuth };
}

function unescaped(text: string, name: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    throw new OperatorError(
      "usage",
      `Cannot use the proxy of ${name}: a % in its user or password is no escape`,
      {
        hints: ["Write a % of a user or password as %25."],
      },
    );
  }
}

/**
 * Whether NO_PROXY covers the URL: a comma-separated list of hosts, of domains (with or without a leading
 * dot, subdomains included), either with `:port`, or `*` for all.
 */
function isExempt(url: URL, list: string): boolean {
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  const host = url.hostname.replace(/^\[|\]$/g, "").toLowerCase();
  return list.split(",").map((entry) => entry.trim().toLowerCase()).filter((entry) => entry !== "").some(
    (entry) => {
      if (entry === "*") return true;
      const withPort = /^(.*[^:]):(\d+)$/.exec(entry);
      if (withPort && withPort[2] !== port) return false;
      const name = (withPort ? withPort[1]! : entry).replace(/^\*?\./, "").replace(/^\[|\]$/g, "");
      return host === name || host.endsWith(`.${name}`);
    },
  );
}

/**
 * PEM texts of AWS_CA_BUNDLE and NODE_EXTRA_CA_CERTS, trusted beside the built-in authorities.
 * Throws `usage` where a named file cannot be read or holds no certificate.
 */
export function extraAuthorities(environment: Environment): string[] {
  const texts: string[] = [];
  for (const name of ["AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"]) {
    const path = environment(name);
    if (path === undefined) continue;
    texts.push(readAuthorities(path, name));
  }
  return texts;
}

function readAuthorities(path: string, name: string): string {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (cause) {
    throw new OperatorError("usage", `Cannot read CA bundle "${path}" of ${name}: ${messageOf(cause)}`, {
      hints: [`Point ${name} at a readable PEM file, or unset it.`],
      cause,
    });
  }
  if (!text.includes("-----BEGIN CERTIFICATE-----")) {
    throw new OperatorError(
      "usage",
      `Cannot use CA bundle "${path}" of ${name}: it holds no certificate, expected PEM`,
    );
  }
  return text;
}
