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
  return parseCredentials(readable(path, () => new TextDecoder().decode(bytesOf(path))), path);
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
export function parseCredentials(text: string, path: string): Identity {
  const outer = objectOf(jsonOf(text, path), { path, what: "it" });
  const { Version } = outer;
  if (Version !== undefined && Version !== 1) throw refusal(path, "its Version is not 1, the only one known");
  const nested = outer.Credentials;
  const members = nested === undefined ? outer : objectOf(nested, { path, what: "its Credentials" });
  const [accessKeyId, secretAccessKey, sessionToken, expires] = NAMES.map((name) =>
    textOf(members[name] ?? undefined, { path, what: name })
  );
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    throw refusal(path, "it has no AccessKeyId or no SecretAccessKey");
  }
  if (!/^\w{16,128}$/.test(accessKeyId)) throw refusal(path, "its AccessKeyId is none");
  const expiration = expires === undefined ? undefined : new Date(expires);
  if (expiration !== undefined && Number.isNaN(expiration.getTime())) {
    throw refusal(path, "its Expiration is no time");
  }
  return {
    accessKeyId,
    secretAccessKey,
    ...(sessionToken === undefined ? {} : { sessionToken }),
    ...(expiration === undefined ? {} : { expiration }),
  };
}

interface Place {
  readonly path: string;
  readonly what: string;
}

function jsonOf(text: string, path: string): unknown {
  // A shell makes it before the command that was to fill it fails.
  if (text.trim() === "") throw refusal(path, "it is empty");
  try {
    return JSON.parse(text);
  } catch (error) {
    // V8's message shows a piece of the text: it is no cause that may be told.
    if (error instanceof SyntaxError) throw refusal(path, "it is no JSON");
    throw error;
  }
}

function objectOf(value: unknown, { path, what }: Place): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw refusal(path, `${what} is no JSON object`);
}

/** A header is made of it: what a header can't hold is refused. */
function textOf(value: unknown, { path, what }: Place): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "string" && /^[\x21-\x7e]+$/.test(value)) return value;
  throw refusal(path, `its ${what} is no text without blanks`);
}

function refusal(path: string, problem: string): OperatorError {
  return new OperatorError("usage", `Cannot take credentials from "${path}": ${problem}`, {
    hints: [
      `Expected is what this prints: ${SESSION_COMMAND} (or aws sts assume-role, aws configure export-credentials)`,
    ],
  });
}
