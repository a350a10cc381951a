/**
 * Signature Version 4 as a service checks it: header authentication of one request, from the bytes that
 * arrived. Written from AWS's description and sharing nothing with the client, so that a signing mistake on
 * either side shows.
 *
 * Not here: whose key it is and whether it may (credentials.ts), presigned URLs and chunked payloads, which
 * no client of these calls uses.
 *
 * @see https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
import { createHash, createHmac } from "node:crypto";
import { Buffer } from "node:buffer";

/** What the signature covers, as received. */
export interface SignedRequest {
  readonly method: string;
  /** Path as it stood in the request line, still percent-encoded. */
  readonly path: string;
  /** Behind the "?", still percent-encoded; empty where there is none. */
  readonly query: string;
  /** Lower-case names; the values of a repeated header in order. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly body: Uint8Array;
}

/** A parsed `Authorization` header. */
export interface Authorization {
  readonly accessKeyId: string;
  /** YYYYMMDD. */
  readonly date: string;
  readonly region: string;
  readonly service: string;
  /** Lower case, in the order given. */
  readonly signedHeaders: readonly string[];
  /** 64 lower-case hexadecimal digits. */
  readonly signature: string;
}

/** Parses the header; a text says what is wrong with it. */
export function parseAuthorization(header: string): Authorization | string {
  const [algorithm, ...rest] = header.split(" ");
  if (algorithm !== "AWS4-HMAC-SHA256") return "Unsupported AWS 'algorithm'";
  const fields = new Map(
    rest.join(" ").split(",").map((field): [string, string] => {
      const at = field.indexOf("=");
      return [field.slice(0, at).trim(), field.slice(at + 1).trim()];
    }),
  );
  for (const name of ["Credential", "Signature", "SignedHeaders"]) {
    if (!fields.get(name)) return `Authorization header requires '${name}' parameter.`;
  }
  const scope = fields.get("Credential")!.split("/");
  if (scope.length !== 5 || scope[4] !== "aws4_request" || !/^\d{8}$/.test(scope[1]!)) {
    return "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term";
  }
  const signature = fields.get("Signature")!;
  if (!/^[0-9a-f]{64}$/.test(signature)) return "Signature must be 64 hexadecimal digits";
  return {
    accessKeyId: scope[0]!,
    date: scope[1]!,
    region: scope[2]!,
    service: scope[3]!,
    signedHeaders: fields.get("SignedHeaders")!.split(";"),
    signature,
  };
}

/** SHA-256 in hexadecimal. */
export function sha256Hex(data: Uint8Array | string): string {
  return createHash("sha256").update(data).digest("hex");
}

/** The canonical request of SigV4, for any service but S3: each path segment is encoded twice. */
export function canonicalRequest(
  request: SignedRequest,
  facts: { readonly signedHeaders: readonly string[]; readonly payloadHash: string },
): string {
  const headers = facts.signedHeaders.map((name) =>
    `${name}:${
      (request.headers.get(name) ?? []).map((value) => value.trim().replace(/ +/g, " ")).join(",")
    }\n`
  );
  return [
    request.method,
    canonicalPath(request.path),
    canonicalQuery(request.query),
    headers.join(""),
    facts.signedHeaders.join(";"),
    facts.payloadHash,
  ].join("\n");
}

/** The signature in hexadecimal. `time` is `x-amz-date` (YYYYMMDD'T'HHMMSS'Z'). */
export function signatureOf(
  canonical: string,
  facts: {
    readonly secretAccessKey: string;
    readonly time: string;
    readonly date: string;
    readonly region: string;
    readonly service: string;
  },
): string {
  const scope = `${facts.date}/${facts.region}/${facts.service}/aws4_request`;
  const toSign = `AWS4-HMAC-SHA256\n${facts.time}\n${scope}\n${sha256Hex(canonical)}`;
  let key: Uint8Array = Buffer.from(`AWS4${facts.secretAccessKey}`);
  for (const part of [facts.date, facts.region, facts.service, "aws4_request"]) {
    key = createHmac("sha256", key).update(part).digest();
  }
  return createHmac("sha256", key).update(toSign).digest("hex");
}

function canonicalPath(path: string): string {
  // Dot segments are resolved first (RFC 3986 §5.2.4), then what is there, "%" included, is encoded again.
  const kept: string[] = [];
  const segments = path.split("/").slice(1);
  segments.forEach((segment, position) => {
    const isLast = position === segments.length - 1;
    if (segment === "..") kept.pop();
    if (segment === "." || segment === ".." || segment === "") {
      if (isLast) kept.push("");
      return;
    }
    kept.push(encodeStrictly(segment));
  });
  return `/${kept.join("/")}`;
}

/** Sorted by encoded name, then encoded value. A "+" that is not encoded means a space, as AWS reads it. */
export function canonicalQuery(query: string): string {
  return parseQuery(query)
    .map(([name, value]): [string, string] => [encodeStrictly(name), encodeStrictly(value)])
    .sort(([nameA, valueA], [nameB, valueB]) => compare(nameA, nameB) || compare(valueA, valueB))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}

/** Decoded names and values in the order given. Sequences that are no UTF-8 are kept as they stand. */
export function parseQuery(query: string): [string, string][] {
  return query.split("&").filter((pair) => pair !== "").map((pair) => {
    const at = pair.indexOf("=");
    return at < 0 ? [decode(pair), ""] : [decode(pair.slice(0, at)), decode(pair.slice(at + 1))];
  });
}

/** Percent-decoding; `undefined` would hide what was signed, so broken sequences stay. */
export function decode(text: string): string {
  const spaced = text.replaceAll("+", " ");
  try {
    return decodeURIComponent(spaced);
  } catch (error) {
    if (error instanceof URIError) return spaced;
    throw error;
  }
}

/** RFC 3986: all but the unreserved characters. */
function encodeStrictly(text: string): string {
  return encodeURIComponent(text.toWellFormed())
    .replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
