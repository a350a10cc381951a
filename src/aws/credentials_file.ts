/**
 * `--credentials-file`: the JSON with credentials that AWS's own tools print. `aws sts get-session-token` and `assume-role`
 * put them into `Credentials`; `aws configure export-credentials` and a credential_process write them flat, with a version.
 * The file is read again each time credentials are asked for, so that whoever rewrites it renews them. A pipe is read once.
 *
 * No message of this file holds anything of what is in the file.
 *
 * @see https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
 */
import { messageOf, OperatorError } from "../errors.ts";
import type { Identity } from "./credentials.ts";

/** The longest session token known has some 2 KiB. */
export const MAX_CREDENTIALS_FILE_BYTES = 64 * 1024;

/** How the session in such a file is made anew. */
export const SESSION_COMMAND = "aws sts get-session-token --serial-number DEVICE --token-code CODE";

/** What `openCredentialsFile()` found. */
export interface CredentialsFile {
  /** Whether a reading can bring others: not of a pipe. */
  readonly isReadAgain: boolean;
  /** The credentials that the file has now. Throws `not_found`, `usage`, `storage`. */
  read(): Identity;
}

/** Reads the file a first time. Throws `not_found`, `usage` for what it is not, `storage`; `access` for what is over. */
export function openCredentialsFile(path: string, nowMs: number): CredentialsFile {
  const isFile = readable(path, () => Deno.statSync(path)).isFile;
  const first = readOnce(path);
  if (first.expiration !== undefined && first.expiration.getTime() <= nowMs) {
    throw new OperatorError(
      "access",
      `Cannot use the credentials in "${path}": they ended at ${first.expiration.toISOString()}`,
      {
        hints: [`Write fresh ones there: ${SESSION_COMMAND} > ${shellWord(path)}`],
        facts: { credentials: `file "${path}"`, expiresAt: first.expiration.toISOString() },
      },
    );
  }
  return { isReadAgain: isFile, read: () => isFile ? readOnce(path) : first };
}

/** A path as a shell takes it. */
export function shellWord(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

function readOnce(path: string): Identity {
  const text = readable(path, () => new TextDecoder().decode(bytesOf(path)));
  try {
    return parseCredentials(text);
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    throw new OperatorError(error.code, `Cannot take credentials from "${path}": ${error.message}`, {
      hints: [
        `Expected is what this prints: ${SESSION_COMMAND} (or aws sts assume-role, aws configure export-credentials)`,
      ],
    });
  }
}

function readable<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof OperatorError) throw error;
    const code = error instanceof Deno.errors.NotFound ? "not_found" : "storage";
    throw new OperatorError(code, `Cannot read credentials file "${path}": ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** All bytes of a file or pipe, never more than the limit. */
function bytesOf(path: string): Uint8Array {
  const file = Deno.openSync(path);
  try {
    const held = new Uint8Array(MAX_CREDENTIALS_FILE_BYTES + 1);
    let length = 0;
    while (length < held.length) {
      const count = file.readSync(held.subarray(length));
      if (count === null) return held.subarray(0, length);
      length += count;
    }
  } finally {
    file.close();
  }
  throw new OperatorError(
    "usage",
    `Cannot read credentials file "${path}": it has more than ${MAX_CREDENTIALS_FILE_BYTES} bytes`,
  );
}

/** What AWS calls the members; STS nests them. */
const NAMES = ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"] as const;

/** The credentials in one JSON document. Throws `usage`, in a message that repeats nothing of it. */
export function parseCredentials(text: string): Identity {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    // V8's message shows a piece of the text.
    if (error instanceof SyntaxError) throw new OperatorError("usage", "it is no JSON");
    throw error;
  }
  const outer = objectOf(document, "it");
  const { Version } = outer;
  if (Version !== undefined && Version !== 1) {
    throw new OperatorError("usage", "its Version is not 1, the only one known");
  }
  const members = outer.Credentials === undefined ? outer : objectOf(outer.Credentials, "its Credentials");
  const [accessKeyId, secretAccessKey, sessionToken, expires] = NAMES.map((name) => textOf(members, name));
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    throw new OperatorError("usage", "it has no AccessKeyId or no SecretAccessKey");
  }
  if (!/^\w{16,128}$/.test(accessKeyId)) throw new OperatorError("usage", "its AccessKeyId is none");
  const expiration = expires === undefined ? undefined : new Date(expires);
  if (expiration !== undefined && Number.isNaN(expiration.getTime())) {
    throw new OperatorError("usage", "its Expiration is no time");
  }
  return {
    accessKeyId,
    secretAccessKey,
    ...(sessionToken === undefined ? {} : { sessionToken }),
    ...(expiration === undefined ? {} : { expiration }),
  };
}

function objectOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw new OperatorError("usage", `${what} is no JSON object`);
}

/** A header is made of it: what a header can't hold is refused. */
function textOf(members: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = members[name] ?? undefined;
  if (value === undefined) return undefined;
  if (typeof value === "string" && /^[\x21-\x7e]+$/.test(value)) return value;
  throw new OperatorError("usage", `its ${name} is no text without blanks`);
}
