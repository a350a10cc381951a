/**
 * The SDK's signed request as fetch takes it, and what can be told of an answer by looking at it. Pure.
 * What was signed must arrive unchanged: same path, same query, same signed headers.
 */

/** What the SDK hands over: `HttpRequest` of Smithy, as far as it is used here. */
export interface SdkRequest {
  readonly method: string;
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | string[] | null>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** As the SDK signed it: RFC 3986's unreserved characters stay, everything else is percent-encoded. */
export function urlOf(request: SdkRequest): URL {
  const encode = (text: string) =>
    encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  const pairs: string[] = [];
  for (const [name, value] of Object.entries(request.query ?? {})) {
    if (value === null) pairs.push(encode(name));
    else for (const one of [value].flat()) pairs.push(`${encode(name)}=${encode(one)}`);
  }
  const port = request.port === undefined ? "" : `:${request.port}`;
  const query = pairs.length === 0 ? "" : `?${pairs.join("&")}`;
  return new URL(`${request.protocol}//${request.hostname}${port}${request.path}${query}`);
}

/** Headers as signed, but for those that fetch makes itself. */
export function headersOf(request: SdkRequest): Record<string, string> {
  // fetch makes both from the URL and the body, equal to what was signed.
  const { host: _host, "content-length": _length, ...headers } = request.headers;
  // A block must arrive as it is: what a proxy compresses would be a different length than declared.
  return { ...headers, "accept-encoding": "identity" };
}

/** Whether somebody else answered: no call of ours is ever answered with HTML. */
export function isHtml(body: Uint8Array): boolean {
  const start = new TextDecoder().decode(body.subarray(0, 1024)).trimStart().toLowerCase();
  // XHTML begins as EC2's and STS's XML does.
  return start.startsWith("<") && (start.startsWith("<!doctype html") || start.includes("<html"));
}

/** Host of a Location header, so that no query of it (which may hold a token) is shown. */
export function hostOf(location: string | undefined): string {
  if (location === undefined) return "nowhere";
  return URL.canParse(location) ? new URL(location).host : "another path";
}
