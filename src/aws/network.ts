/**
 * What fetch says when no answer came, in words for people. Deno's texts are those of hyper and rustls and
 * may change: what is not known here is shown as it is, cut short, and without the URLs, which hold tokens.
 */

/** What fetch's messages mean; the first that matches counts. Deno's are those of hyper and rustls. */
const NETWORK_REASONS: readonly (readonly [RegExp, string])[] = [
  [/certificate|UnknownIssuer|CertNot/i, "the server's certificate is not trusted"],
  [
    /dns error|failed to lookup|name or service not known|ENOTFOUND|EAI_AGAIN/i,
    "its name cannot be resolved",
  ],
  [/refused/i, "connection refused"],
  [/reset by peer|ECONNRESET|connection reset/i, "connection reset"],
  [/unreachable|no route/i, "network unreachable"],
  [/407|proxy auth/i, "the proxy wants a user and a password"],
  [/tunnel|proxy/i, "the proxy opened no connection"],
  [/timed? ?out|ETIMEDOUT/i, "connection timed out"],
  [/end of file|closed|incomplete|broken pipe|eof/i, "connection closed early"],
  [/tls|handshake/i, "no TLS with the server"],
];

/** What a failed fetch says, in one line without URLs; `isCertificate`: nobody trusts the server's. */
export function networkReason(thrown: unknown): { readonly reason: string; readonly isCertificate: boolean } {
  const text = chainText(thrown);
  const known = NETWORK_REASONS.find(([pattern]) => pattern.test(text));
  const isCertificate = /certificate|UnknownIssuer|CertNot/i.test(text);
  return { reason: known?.[1] ?? shortened(text), isCertificate };
}

/** Messages of a thrown value and its causes, without the URLs in them: those hold tokens. */
function chainText(thrown: unknown): string {
  const texts: string[] = [];
  for (let at = thrown, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    texts.push(at.message);
  }
  if (texts.length === 0) texts.push(String(thrown));
  return texts.join(": ").replace(/ ?(for url )?\(?\w+:\/\/[^\s)]*\)?/g, "");
}

/** One line, at most 300 characters. */
export function shortened(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= 300 ? line : `${line.slice(0, 300)}…`;
}
