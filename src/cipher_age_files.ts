/**
 * Files that people give for age: lists of recipients, identities, passphrases; and the texts of new identities.
 * Asks for passphrases by the way it is given, prints nothing, and lets no line of a secret file into a message.
 *
 * @see https://github.com/FiloSottile/age: `age-keygen`, "RECIPIENTS AND IDENTITIES"
 */
import { Buffer } from "node:buffer";
import {
  decodeAgeHeader,
  decryptAge,
  type GivenIdentity,
  type GivenRecipient,
  Identities,
  looksArmored,
  looksLikeAge,
  MAX_AGE_HEADER_BYTES,
  type NewIdentity,
} from "./cipher_age.ts";
import { messageOf, OperatorError } from "./errors.ts";
import { permissionWarnings } from "./keys_file.ts";

/** More than any such file has. */
const MAX_FILE_BYTES = 1024 * 1024;

/** 2^18 rounds, as age: about a second and 256 MiB for each guess. */
const SCRYPT_WORK_FACTOR = 18;

/** Asks the person at the terminal; `undefined`: they gave up. */
export type AskPassphrase = (question: string) => Promise<string | undefined>;

/** Bytes of a small file. Throws `not_found`, `usage` for what is no small file, `storage`. */
function readSmallFile(path: string, noun: string): Uint8Array {
  const refuse = (code: "usage" | "not_found" | "storage", state: string, cause?: unknown) =>
    new OperatorError(code, `Cannot read ${noun} "${path}": ${state}`, { cause });
  try {
    const stat = Deno.statSync(path);
    // A pipe, as from a shell's <(…), has no size and is as good.
    if (stat.isDirectory || stat.size > MAX_FILE_BYTES) {
      const state = stat.isDirectory ? "it is a directory" : `it has ${stat.size} bytes`;
      throw refuse("usage", `${state}, expected a file of at most ${MAX_FILE_BYTES} bytes`);
    }
    return Deno.readFileSync(path);
  } catch (error) {
    if (error instanceof OperatorError) throw error;
    const code = error instanceof Deno.errors.NotFound ? "not_found" : "storage";
    throw refuse(code, messageOf(error), error);
  }
}

/** Lines that say something, with the places where they are: not empty, no comment. */
function linesOf(bytes: Uint8Array, path: string): { readonly text: string; readonly place: string }[] {
  return Buffer.from(bytes).toString("utf8").split("\n")
    .map((line, index) => ({ text: line.trim(), place: `"${path}", line ${index + 1}` }))
    .filter(({ text }) => text !== "" && !text.startsWith("#"));
}

/**
 * The recipients of a file: one a line, `#` comments. They are checked by `Recipients.of()`.
 * Throws `usage` where there is none, `not_found`, `storage`.
 */
export function readRecipientsFile(path: string): GivenRecipient[] {
  const recipients = linesOf(readSmallFile(path, "recipients file"), path);
  if (recipients.length > 0) return recipients;
  throw new OperatorError(
    "usage",
    `Cannot read recipients file "${path}": it has no recipient, expected one a line`,
  );
}

/**
 * The passphrase of a file: its first line.
 * Throws `usage` where that is empty or not all, `not_found`, `storage`.
 */
export function readPassphraseFile(
  path: string,
): { readonly passphrase: string; readonly warnings: string[] } {
  const text = Buffer.from(readSmallFile(path, "passphrase file")).toString("utf8");
  const [, passphrase] = /^([^\r\n]+)\r?\n?$/.exec(text) ?? [];
  if (passphrase === undefined) {
    const state = text === "" ? "it is empty" : "it has an empty line or several lines";
    throw new OperatorError("usage", `Cannot read passphrase file "${path}": ${state}, expected one line`);
  }
  return { passphrase, warnings: permissionWarnings(path, "passphrase file") };
}

/** A passphrase for something new, asked for twice. Throws `usage` where they differ or there is none. */
export async function askNewPassphrase(ask: AskPassphrase, purpose: string): Promise<string> {
  const passphrase = await ask(`Passphrase for ${purpose}: `);
  if (!passphrase) {
    throw new OperatorError("usage", `Cannot protect ${purpose}: no passphrase was given, expected one`);
  }
  if (await ask("The same again: ") === passphrase) return passphrase;
  throw new OperatorError(
    "usage",
    `Cannot protect ${purpose}: the two passphrases differ, expected the same twice`,
  );
}

export interface IdentityFilesOptions {
  /** For files that a passphrase protects; `undefined`: there is nobody to ask. */
  readonly askPassphrase?: AskPassphrase | undefined;
  /** Tried before anybody is asked: from `readPassphraseFile()`. */
  readonly passphrase?: string | undefined;
}

/** Identities, and what their user must hear. */
export interface OpenedIdentities {
  readonly identities: Identities;
  /** Recipients of the identities of each file, in the order of the paths. */
  readonly recipientsOf: ReadonlyMap<string, readonly string[]>;
  /** Sentences: files that others can read. */
  readonly warnings: readonly string[];
}

/**
 * The identities of files, each as age-keygen writes it, or such a file encrypted with a passphrase by age.
 *
 * Throws `not_found`, `usage` for a file without identities or of another kind, `identity` where a passphrase
 * is wrong or missing, `format` and `integrity` where an encrypted file is damaged, `storage`.
 */
export async function openIdentityFiles(
  paths: readonly string[],
  options: IdentityFilesOptions = {},
): Promise<OpenedIdentities> {
  const given: GivenIdentity[] = [];
  const recipientsOf = new Map<string, readonly string[]>();
  const warnings: string[] = [];
  // A file that is named twice is opened once: nobody is asked for its passphrase again.
  for (const path of new Set(paths)) {
    const bytes = readSmallFile(path, "identity file");
    const isEncrypted = looksLikeAge(bytes) || looksArmored(bytes);
    const plaintext = isEncrypted ? await openProtected(bytes, path, options) : bytes;
    const own = identitiesOf(plaintext, path);
    given.push(...own);
    recipientsOf.set(path, (await Identities.of(own)).recipients);
    if (isEncrypted) plaintext.fill(0);
    else warnings.push(...permissionWarnings(path, "identity file"));
  }
  return { identities: await Identities.of(given), recipientsOf, warnings };
}

function identitiesOf(bytes: Uint8Array, path: string): GivenIdentity[] {
  const refuse = (place: string, state: string, hints: readonly string[] = []) =>
    new OperatorError("usage", `Cannot use identity file ${place}: ${state}`, { hints });
  const lines = linesOf(bytes, path);
  for (const { text, place } of lines) {
    if (text.startsWith("AGE-SECRET-KEY-")) continue;
    if (/^-----BEGIN .*PRIVATE KEY-----/.test(text)) {
      throw refuse(place, "it is a private key of another program, expected an age identity", [
        "`coldcase keygen -o FILE` makes an age identity",
      ]);
    }
    if (text.startsWith("AGE-PLUGIN-")) {
      throw refuse(place, "it is for a plugin of age, which coldcase does not start", [
        "decrypt with age itself, or use an identity without a plugin",
      ]);
    }
    if (text.startsWith("age1")) {
      throw refuse(place, "it is a recipient, which opens nothing, expected an identity");
    }
    throw refuse(place, "it is no age identity, expected AGE-SECRET-KEY-…");
  }
  if (lines.length === 0) {
    throw refuse(`"${path}"`, "it has no identity, expected AGE-SECRET-KEY-… on a line");
  }
  return lines.map(({ text, place }) => ({ secret: text, place }));
}

async function openProtected(
  bytes: Uint8Array,
  path: string,
  options: IdentityFilesOptions,
): Promise<Uint8Array> {
  const { passphrase, askPassphrase } = options;
  const name = `identity file ${path}`;
  const isBinary = looksLikeAge(bytes);
  if (isBinary) {
    const { stanzaTypes } = decodeAgeHeader(bytes.subarray(0, MAX_AGE_HEADER_BYTES), name);
    if (!stanzaTypes.includes("scrypt")) throw notProtected(path);
  }
  const tryPassphrase = async (answer: string): Promise<Uint8Array | undefined> => {
    const identities = await Identities.of([], { passphrases: [answer] });
    const how = { identities, name, maxBytes: MAX_FILE_BYTES, acceptsArmor: !isBinary };
    return await decryptAge(bytes, how).catch((error) => {
      if (!(error instanceof OperatorError) || error.code !== "identity") throw error;
      if (!String(error.facts.recipientKinds).includes("scrypt")) throw notProtected(path);
      return undefined;
    });
  };
  const opened = passphrase === undefined ? undefined : await tryPassphrase(passphrase);
  if (opened !== undefined) return opened;
  const answer = await askPassphrase?.(`Passphrase of the identity file ${path}: `);
  const asked = answer === undefined ? undefined : await tryPassphrase(answer);
  if (asked !== undefined) return asked;
  const isWrong = passphrase !== undefined || answer !== undefined;
  throw new OperatorError(
    "identity",
    `Cannot open identity file "${path}": ` +
      (isWrong
        ? "the passphrase is wrong"
        : "it is protected by a passphrase, and there is nobody to ask for it"),
    isWrong
      ? {}
      : { hints: ["run coldcase on a terminal, or give the passphrase with --passphrase-file FILE"] },
  );
}

function notProtected(path: string): OperatorError {
  return new OperatorError(
    "usage",
    `Cannot use identity file "${path}": it is encrypted to recipients, expected a passphrase or none`,
    { hints: ["decrypt it with age first"] },
  );
}

/** The text of an identity file, as age-keygen writes it. */
export function encodeIdentityFile(
  { secret, recipient }: NewIdentity,
  made: { readonly atMs: number },
): string {
  const created = new Date(made.atMs).toISOString().replace(/\.\d+Z$/, "Z");
  return `# created: ${created}\n# public key: ${recipient}\n${secret}\n`;
}

/**
 * An identity file encrypted with a passphrase: `age -d` opens it, and `age -d -i` takes what that gives. About
 * 1.5 seconds of this thread, which is what makes guessing expensive.
 */
export async function encryptIdentityFile(
  identity: NewIdentity,
  options: {
    readonly passphrase: string;
    readonly madeAtMs: number;
    /** log2 of the rounds of scrypt; 18 where not given, less for tests only. */
    readonly workFactor?: number;
  },
): Promise<Uint8Array> {
  const { Encrypter } = await import("age-encryption");
  const encrypter = new Encrypter();
  encrypter.setPassphrase(options.passphrase);
  encrypter.setScryptWorkFactor(options.workFactor ?? SCRYPT_WORK_FACTOR);
  // Also the payload by the library, for once: with a passphrase it shows nobody the file key.
  return await encrypter.encrypt(encodeIdentityFile(identity, { atMs: options.madeAtMs }));
}
