/**
 * Who may open an age file, and what opens it: recipients make headers, identities open them. Checks every key
 * before it is used. The library does the cryptography of headers; it is loaded when the first key is. No
 * message and no fact has a secret in it, nor any text that might be one.
 *
 * @see https://age-encryption.org/v1, "Native recipient types"
 */
import type { Decrypter } from "age-encryption";
import { Buffer } from "node:buffer";
import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import { type AgeHeader, decodeAgeHeader } from "./cipher_age_header.ts";
import { AGE_FILE_KEY_BYTES, AGE_NONCE_BYTES, AGE_TAG_BYTES } from "./cipher_age_chunks.ts";
import { messageOf, OperatorError } from "./errors.ts";

/** Recipients of one file: their stanzas fit the header that a reader takes. */
export const MAX_RECIPIENTS = 32;

/** What the library has after the header of an empty file: nonce, and the tag of an empty chunk. */
const EMPTY_PAYLOAD_BYTES = AGE_NONCE_BYTES + AGE_TAG_BYTES;

const RECIPIENTS_HINT =
  "recipients are age1… (X25519), age1pq1… (post-quantum), age1tag1… and age1tagpq1… (hardware keys)";

function library(): Promise<typeof import("age-encryption")> {
  return import("age-encryption");
}

/** A recipient as somebody gave it. */
export interface GivenRecipient {
  /** `age1…`. */
  readonly text: string;
  /** Where it was given, for messages: `-r`, `"team.txt", line 3`. */
  readonly place: string;
}

/** A header, and the file key that it wraps: for one file alone. */
export interface NewAgeHeader {
  readonly bytes: Uint8Array;
  /** 16 bytes, a secret. */
  readonly fileKey: Uint8Array;
}

/** Those who may open what is written: 1 to 32, each once, in the order given, never post-quantum ones with others. */
export class Recipients {
  /** `age1…` each. */
  readonly list: readonly string[];

  private constructor(list: readonly string[]) {
    this.list = list;
  }

  /**
   * Checks recipients, by making a header for them that is thrown away.
   * Throws `usage` where there is none or more than 32, one is malformed or of a kind that is not supported, or
   * they must not be mixed.
   */
  static async of(given: readonly GivenRecipient[]): Promise<Recipients> {
    const { Encrypter } = await library();
    for (const { text, place } of given) {
      checkKind(text, place);
      try {
        const trial = new Encrypter();
        trial.addRecipient(text);
        await trial.encrypt(new Uint8Array(0));
      } catch (error) {
        throw refusedRecipient(place, `"${text.slice(0, 100)}" is malformed`, { cause: error });
      }
    }
    const list = [...new Set(given.map(({ text }) => text))];
    if (list.length === 0 || list.length > MAX_RECIPIENTS) {
      throw new OperatorError(
        "usage",
        `Cannot encrypt: ${list.length} recipients were given, expected 1 to ${MAX_RECIPIENTS}`,
      );
    }
    checkMixture(given);
    return new Recipients(list);
  }

  /** Only one can open it: worth a warning, since who loses that identity loses the evidence. */
  get isSingle(): boolean {
    return this.list.length === 1;
  }

  get isPostQuantum(): boolean {
    return isPostQuantum(this.list[0]!);
  }

  /** A fresh file key, wrapped for all of them. */
  async newHeader(): Promise<NewAgeHeader> {
    let fileKey: Uint8Array | undefined;
    // The library shows its file key to recipients only: this one takes a copy, and adds no stanza.
    const bytes = await this.#makeHeader((key) => void (fileKey = key.slice()));
    if (fileKey?.length !== AGE_FILE_KEY_BYTES) throw new Error(`a file key of ${fileKey?.length} bytes`);
    return { bytes, fileKey };
  }

  /**
   * Another header for a file that there is: its file key, wrapped for all of them. Before the payload of that file it
   * makes an age file as good as the old one.
   *
   * @param fileKey 16 bytes, of `Identities.openHeader()`. Not kept.
   */
  async headerFor(fileKey: Uint8Array): Promise<Uint8Array> {
    if (fileKey.length !== AGE_FILE_KEY_BYTES) throw new Error(`a file key of ${fileKey.length} bytes`);
    // The library makes a file key for each header and hands one array of it to all recipients, in order: who comes
    // first can put another in its place. The MAC tells whether that still holds.
    const bytes = await this.#makeHeader((key) => key.set(fileKey));
    if (!hasMacOf(bytes, fileKey)) throw new Error("an age header with another file key than was given");
    return bytes;
  }

  /** `onFileKey` gets the library's own file key, before anybody wraps it. */
  async #makeHeader(onFileKey: (fileKey: Uint8Array) => void): Promise<Uint8Array> {
    const { Encrypter } = await library();
    const encrypter = new Encrypter();
    let seen = "";
    const watch = (look: (fileKey: Uint8Array) => void) =>
      encrypter.addRecipient({
        wrapFileKey(fileKey) {
          look(fileKey);
          return [];
        },
      });
    watch((fileKey) => {
      onFileKey(fileKey);
      seen = fileKey.join();
    });
    for (const recipient of this.list) encrypter.addRecipient(recipient);
    // What the first one saw or wrote is what all others wrapped.
    watch((fileKey) => {
      if (fileKey.join() !== seen) throw new Error("recipients of one age header got different file keys");
    });
    const file = await encrypter.encrypt(new Uint8Array(0));
    const bytes = file.slice(0, file.length - EMPTY_PAYLOAD_BYTES);
    const header = decodeAgeHeader(bytes, "new header");
    if (header.bytes.length !== bytes.length || header.stanzaTypes.length !== this.list.length) {
      throw new Error(`age header of ${bytes.length} bytes with ${header.stanzaTypes.length} stanzas`);
    }
    return bytes;
  }
}

/** Length of a header's last line behind `---`: a blank, the MAC in 43 characters, a line feed. */
const MAC_CHARACTERS = 45;

/**
 * Whether a header was made by somebody who had this file key, and not changed since. Not whether its recipients can
 * open it: only they can tell.
 *
 * @param header Well-formed, as `decodeAgeHeader()` gives it.
 * @see https://age-encryption.org/v1, "Header MAC"
 */
export function hasMacOf(header: Uint8Array, fileKey: Uint8Array): boolean {
  const key = Buffer.from(hkdfSync("sha256", fileKey, new Uint8Array(0), "header", 32));
  const end = header.length - MAC_CHARACTERS;
  const expected = createHmac("sha256", key).update(header.subarray(0, end)).digest();
  key.fill(0);
  const stated = Buffer.from(Buffer.from(header.subarray(end)).toString("latin1").trim(), "base64");
  return stated.length === expected.length && timingSafeEqual(stated, expected);
}

function isPostQuantum(recipient: string): boolean {
  return /^age1(?:tag)?pq1/.test(recipient);
}

function refusedRecipient(
  place: string,
  state: string,
  details: { readonly hints?: readonly string[]; readonly cause?: unknown } = {},
): OperatorError {
  return new OperatorError("usage", `Cannot encrypt to the recipient of ${place}: ${state}`, {
    hints: [RECIPIENTS_HINT],
    ...details,
  });
}

/** Refuses what is no recipient of a supported kind, without repeating what might be a secret. */
function checkKind(text: string, place: string): void {
  if (looksSecret(text)) {
    throw refusedRecipient(place, "it is a secret key, expected a recipient", {
      hints: [
        "`age-keygen -y FILE` prints an identity's recipient",
        "whoever saw that secret key can use it",
      ],
    });
  }
  if (/^(?:ssh-|ecdsa-|sk-)/.test(text)) {
    throw refusedRecipient(place, "SSH keys are not supported, expected an age recipient", {
      hints: ["`coldcase keygen -o FILE` makes an age identity and names its recipient", RECIPIENTS_HINT],
    });
  }
  if (!text.startsWith("age1")) throw refusedRecipient(place, "it is no age recipient");
  // The data part of bech32 has no "1": what comes before the last one is the kind.
  const kind = text.slice(0, text.lastIndexOf("1"));
  if (!["age", "age1pq", "age1tag", "age1tagpq"].includes(kind)) {
    throw refusedRecipient(place, `"${kind.slice(0, 40)}1…" is for a plugin of age, expected one without`);
  }
}

/** @see https://age-encryption.org/v1: one recipient without post-quantum security would take it from all. */
function checkMixture(given: readonly GivenRecipient[]): void {
  const [first] = given;
  const other = given.find(({ text }) => isPostQuantum(text) !== isPostQuantum(first!.text));
  if (other === undefined) return;
  const [quantum, classic] = isPostQuantum(other.text) ? [other, first!] : [first!, other];
  throw new OperatorError(
    "usage",
    `Cannot encrypt to the recipients of ${quantum.place} and ${classic.place}: the first is post-quantum, the second ` +
      "is not, and age never mixes them",
    { hints: ["`coldcase keygen --pq` makes a post-quantum identity"] },
  );
}

/** Whether a text may be a secret key, or a part of one. */
export function looksSecret(text: string): boolean {
  return /AGE-(?:SECRET-KEY|PLUGIN)|PRIVATE KEY/i.test(text);
}

/** An identity that was made just now. */
export interface NewIdentity {
  /** `AGE-SECRET-KEY-…`. */
  readonly secret: string;
  /** `age1…`. */
  readonly recipient: string;
}

/** Makes an identity: X25519, which every age reads, or post-quantum, which age 1.3 and later read. */
export async function makeIdentity(kind: "x25519" | "post-quantum"): Promise<NewIdentity> {
  const { generateHybridIdentity, generateX25519Identity, identityToRecipient } = await library();
  const secret = kind === "x25519" ? await generateX25519Identity() : await generateHybridIdentity();
  return { secret, recipient: await identityToRecipient(secret) };
}

/** A secret as somebody gave it. */
export interface GivenIdentity {
  /** `AGE-SECRET-KEY-1…` or `AGE-SECRET-KEY-PQ-1…`. */
  readonly secret: string;
  /** Where it was given, for messages: `"key.txt", line 3`. */
  readonly place: string;
}

/** What opens headers. Keep it: making one costs more than opening a header with it. */
export class Identities {
  /** How many there are, passphrases included. */
  readonly count: number;
  /** Recipients of the identities, in their order; passphrases have none. */
  readonly recipients: readonly string[];
  readonly #decrypter: Decrypter;

  private constructor(decrypter: Decrypter, recipients: readonly string[], passphraseCount: number) {
    this.#decrypter = decrypter;
    this.recipients = recipients;
    this.count = recipients.length + passphraseCount;
  }

  /** Checks identities. Throws `usage` for one that is malformed. */
  static async of(
    given: readonly GivenIdentity[],
    options: { readonly passphrases?: readonly string[] } = {},
  ): Promise<Identities> {
    const { Decrypter, identityToRecipient } = await library();
    const decrypter = new Decrypter();
    const recipients: string[] = [];
    for (const { secret, place } of given) {
      // The library's messages repeat what they refuse: neither message nor cause of it may go on.
      const recipient = await identityToRecipient(secret).catch(() => undefined);
      if (recipient === undefined) throw refusedIdentity(place);
      if (recipients.includes(recipient)) continue;
      recipients.push(recipient);
      decrypter.addIdentity(secret);
    }
    const passphrases = options.passphrases ?? [];
    for (const passphrase of passphrases) decrypter.addPassphrase(passphrase);
    return new Identities(decrypter, recipients, passphrases.length);
  }

  /**
   * The file key that a header wraps, 16 bytes.
   *
   * Throws `identity` where none fits; `format` where a stanza is malformed or asks for more than 2^20 rounds of
   * scrypt; `integrity` where the header was changed after it was made.
   * @param name What the file is called in messages.
   */
  async openHeader(header: AgeHeader, name: string): Promise<Uint8Array> {
    try {
      return await this.#decrypter.decryptHeader(header.bytes);
    } catch (error) {
      throw this.#refusal(header, { name, error });
    }
  }

  /** The library's errors differ by their texts alone; the official vectors, as tests, pin them. */
  #refusal(header: AgeHeader, met: { readonly name: string; readonly error: unknown }): OperatorError {
    const { name, error } = met;
    const message = messageOf(error);
    if (message === "no identity matched any of the file's recipients") return this.#noneFits(header, name);
    if (message === "invalid header HMAC") {
      return new OperatorError(
        "integrity",
        `Cannot decrypt "${name}": its header was changed, its MAC does not match`,
        { facts: { file: name } },
      );
    }
    return new OperatorError(
      "format",
      `Cannot decrypt "${name}": its header is malformed, ${message.slice(0, 100)}`,
      {
        facts: { file: name },
      },
    );
  }

  #noneFits({ stanzaTypes }: AgeHeader, name: string): OperatorError {
    const kinds = [...new Set(stanzaTypes.map((type) => type.slice(0, 40)))].join(", ");
    const tried = this.count === 1
      ? "the one identity does not fit"
      : `none of ${this.count} identities fits`;
    const state = this.count === 0 ? "no identity was given" : tried;
    const count = stanzaTypes.length === 1 ? "1 recipient" : `${stanzaTypes.length} recipients`;
    return new OperatorError("identity", `Cannot decrypt "${name}": ${state}, it has ${count} (${kinds})`, {
      hints: [
        stanzaTypes[0] === "scrypt"
          ? "it was encrypted with a passphrase"
          : "name a file that has an identity with -i FILE",
      ],
      facts: { file: name, identities: this.count, recipients: stanzaTypes.length, recipientKinds: kinds },
    });
  }
}

function refusedIdentity(place: string): OperatorError {
  return new OperatorError("usage", `Cannot use the identity of ${place}: it is malformed`, {
    hints: ["identities are AGE-SECRET-KEY-1… (X25519) and AGE-SECRET-KEY-PQ-1… (post-quantum)"],
  });
}
