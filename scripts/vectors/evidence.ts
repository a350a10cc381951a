/**
 * Vectors of what stands beside the bytes: signatures, public keys, custody log, addenda, receipts, time-stamps.
 * An SSHSIG that the program would not write is put together here, field by field.
 */
import { createHash } from "node:crypto";
import { encodeBase64 } from "@std/encoding/base64";
import { sha256 } from "../../src/format/digests.ts";
import { encodeSshArmor, joinBytes, sshString, sshUint32 } from "../../src/format/ssh_wire.ts";
import { encodeKeyBlob } from "../../src/format/verifying_key.ts";
import {
  bytesIn,
  bytesOf,
  edited,
  type Edits,
  KEY,
  nameIn,
  OTHER_KEY,
  sign,
  stemOf,
  swapped,
  textOf,
} from "./forge.ts";
import type { Files } from "./files.ts";
import { keysOf } from "./inventories.ts";
import { ACCEPTED, type Bases, beside, found, unusable, type Vector, type Verdict } from "./vector.ts";

const MANIFEST = /\/manifest-[0-9a-f]{64}\.json$/;
const SSHSIG = new RegExp(`/manifest-[0-9a-f]{64}\\.${KEY.shortFingerprint}\\.sshsig$`);
const RAW = new RegExp(`/manifest-[0-9a-f]{64}\\.${KEY.shortFingerprint}\\.ed25519$`);

/** The only signature over the manifest is not what it must be. */
function signature(
  name: string,
  about: string,
  expect: "integrity" | "format",
  change: (armor: Uint8Array, manifest: Uint8Array) => Uint8Array | Promise<Uint8Array>,
): Vector {
  return {
    name: `signature_${name}`,
    about: `of the manifest's one signature: ${about}`,
    section: "Signatures",
    file: MANIFEST,
    async make({ plain }) {
      const armor = nameIn(plain, SSHSIG);
      const manifest = bytesIn(plain, nameIn(plain, MANIFEST));
      return new Map(plain).set(armor, await change(bytesIn(plain, armor), manifest));
    },
    ...unusable("integrity"),
    expect,
    reader: expect === "format" ? 21 : 20,
  };
}

/** An SSHSIG whose fields may be anything. */
async function sshsig(message: Uint8Array, fields: {
  readonly version?: number;
  readonly keyBlob?: Uint8Array;
  readonly namespace?: string;
  readonly reserved?: string;
  readonly hash?: "sha256" | "sha512" | "sha1";
  readonly after?: Uint8Array;
} = {}): Promise<Uint8Array> {
  const { version = 1, namespace = "coldcase-manifest@v1", reserved = "", hash = "sha512" } = fields;
  const signed = joinBytes(
    bytesOf("SSHSIG"),
    sshString(namespace),
    sshString(reserved),
    sshString(hash),
    sshString(createHash(hash).update(message).digest()),
  );
  const blob = joinBytes(
    bytesOf("SSHSIG"),
    sshUint32(version),
    sshString(fields.keyBlob ?? encodeKeyBlob(KEY.publicKey)),
    sshString(namespace),
    sshString(reserved),
    sshString(hash),
    sshString(joinBytes(sshString("ssh-ed25519"), sshString(await KEY.signRaw!(signed)))),
    fields.after ?? new Uint8Array(),
  );
  return bytesOf(encodeSshArmor("SSH SIGNATURE", blob));
}

/** Base64 in lines of another length. */
function rewrapped(armor: Uint8Array): Uint8Array {
  const lines = textOf(armor).trimEnd().split("\n");
  const body = lines.slice(1, -1).join("").match(/.{1,64}/g)!;
  return bytesOf([lines[0], ...body, lines.at(-1), ""].join("\n"));
}

/** A point of order 1: R = A and S = 0 are a signature over everything. */
const SMALL_POINT = Uint8Array.of(1, ...new Uint8Array(31));

function smallOrder(): Uint8Array {
  const blob = joinBytes(
    bytesOf("SSHSIG"),
    sshUint32(1),
    sshString(encodeKeyBlob(SMALL_POINT)),
    sshString("coldcase-manifest@v1"),
    sshString(""),
    sshString("sha512"),
    sshString(joinBytes(sshString("ssh-ed25519"), sshString(joinBytes(SMALL_POINT, new Uint8Array(32))))),
  );
  return bytesOf(encodeSshArmor("SSH SIGNATURE", blob));
}

/** The small point's signature files and public key, as if it were a signer like any other. */
function smallOrderSigner({ plain }: Bases): Files {
  const blob = encodeKeyBlob(SMALL_POINT);
  const short = createHash("sha256").update(blob).digest("hex").slice(0, 16);
  const known = textOf(bytesIn(plain, `keys/${KEY.shortFingerprint}.allowed-signers`));
  const line = known.replaceAll(KEY.shortFingerprint, short).replace(/AAAA\S+/, encodeBase64(blob));
  return new Map(plain)
    .set(`keys/${short}.allowed-signers`, bytesOf(line))
    .set(`${stemOf(nameIn(plain, MANIFEST))}.${short}.sshsig`, smallOrder());
}

const DAMAGED = found("signature_damaged");

const SIGNATURES: readonly Vector[] = [
  signature("over_other_bytes", "it is over other bytes", "integrity", () => sshsig(bytesOf("other bytes"))),
  signature(
    "other_namespace",
    "it is for inventories",
    "integrity",
    (_, manifest) => sshsig(manifest, { namespace: "coldcase-inventory@v1" }),
  ),
  signature(
    "foreign_namespace",
    "it is for files of no kind",
    "integrity",
    (_, manifest) => sshsig(manifest, { namespace: "file" }),
  ),
  signature(
    "by_another_key",
    "it is by another key than its name says",
    "integrity",
    (_, manifest) => OTHER_KEY.signSshsig(manifest, "coldcase-manifest@v1"),
  ),
  signature("lines_of_64", "its lines have 64 characters, not 70", "format", rewrapped),
  signature("no_final_newline", "it has no final LF", "format", (armor) => armor.slice(0, -1)),
  signature(
    "carriage_returns",
    "its lines end in CR LF",
    "format",
    (armor) => bytesOf(textOf(armor).replaceAll("\n", "\r\n")),
  ),
  signature(
    "text_before",
    "a line stands before it",
    "format",
    (armor) => bytesOf(`Good signature\n${textOf(armor)}`),
  ),
  signature("text_after", "a line stands after it", "format", (armor) => bytesOf(`${textOf(armor)}\n`)),
  signature(
    "base64_bits",
    "bits of the last character that no byte has",
    "format",
    (armor) => {
      const text = textOf(armor);
      const last = text.charCodeAt(text.indexOf("==\n") - 1); // A, Q, g or w: the four bits behind are zeros
      return bytesOf(swapped(text, /.==\n/, `${String.fromCharCode(last + 1)}==\n`));
    },
  ),
  signature(
    "oversize",
    "it has more than 4,096 bytes",
    "format",
    (armor) => bytesOf(textOf(armor) + " ".repeat(4096)),
  ),
  signature("empty", "it has no bytes", "format", () => new Uint8Array()),
  signature("version", "its version is 2", "format", (_, manifest) => sshsig(manifest, { version: 2 })),
  signature(
    "reserved",
    "its reserved field is not empty",
    "format",
    (_, manifest) => sshsig(manifest, { reserved: "x" }),
  ),
  signature("hash", "its hash is sha1", "format", (_, manifest) => sshsig(manifest, { hash: "sha1" })),
  signature(
    "trailing_bytes",
    "bytes after its last field",
    "format",
    (_, manifest) => sshsig(manifest, { after: new Uint8Array(1) }),
  ),
  {
    ...signature("missing", "there is none", "integrity", (armor) => armor),
    make: ({ plain }) => new Map([...plain].filter(([name]) => !SSHSIG.test(name))),
  },
  {
    ...signature(
      "small_order",
      "(a second one) its key is a point of small order, with which anybody can sign",
      "format",
      (armor) => armor,
    ),
    make: smallOrderSigner,
    file: /\/manifest-[0-9a-f]{64}\.(?!d4bb7407a9b9f27f)[0-9a-f]{16}\.sshsig$/,
    ...DAMAGED,
    expect: "format",
    reader: 21,
  },
  {
    ...signature("second_does_not_hold", "(a second one) it does not hold", "integrity", (armor) => armor),
    async make({ plain, full }) {
      const files: Files = new Map([...plain, ...keysOf(full)]);
      const armor = await OTHER_KEY.signSshsig(bytesOf("other bytes"), "coldcase-manifest@v1");
      return files.set(`${stemOf(nameIn(plain, MANIFEST))}.${OTHER_KEY.shortFingerprint}.sshsig`, armor);
    },
    file: new RegExp(`/manifest-[0-9a-f]{64}\\.${OTHER_KEY.shortFingerprint}\\.sshsig$`),
    ...DAMAGED,
  },
  {
    ...signature(
      "inventory_other_bytes",
      "of the inventory's: it is over other bytes",
      "integrity",
      (armor) => armor,
    ),
    about: "the inventory's one signature is over other bytes",
    file: /\/inventory-[0-9a-f]{64}\.txt$/,
    async make({ plain }) {
      const armor = await KEY.signSshsig(bytesOf("other bytes"), "coldcase-inventory@v1");
      return new Map(plain).set(nameIn(plain, /\/inventory-.*\.sshsig$/), armor);
    },
  },
  raw(
    "raw_other_bytes",
    "the raw signature is over other bytes",
    (bytes) => bytes.map((byte, at) => at === 0 ? byte ^ 1 : byte),
  ),
  raw("raw_short", "the raw signature has 63 bytes", (bytes) => bytes.slice(0, 63)),
  raw("raw_long", "the raw signature has 65 bytes", (bytes) => Uint8Array.of(...bytes, 0)),
  {
    ...signature(
      "sha256",
      "it is made with sha256, which a reader takes too",
      "integrity",
      (_, manifest) => sshsig(manifest, { hash: "sha256" }),
    ),
    ...ACCEPTED,
    finding: undefined as never,
    file: undefined as never,
  },
];

function raw(name: string, about: string, change: (bytes: Uint8Array) => Uint8Array): Vector {
  return {
    name: `signature_${name}`,
    about,
    section: "Signatures",
    make({ plain }) {
      const file = nameIn(plain, RAW);
      return new Map(plain).set(file, change(bytesIn(plain, file)));
    },
    file: MANIFEST,
    ...unusable("integrity"),
    reader: 0,
    reason: "read_store.py checks SSHSIGs only, by ssh-keygen",
  };
}

/** Something of the full store is changed that only verify looks at. */
function aside(
  name: string,
  about: string,
  rest: Verdict & {
    readonly section: string;
    readonly pattern: RegExp;
    change(files: Files, name: string): void | Promise<void>;
    readonly names?: (files: Files, bases: Bases) => string;
  },
): Vector {
  const { pattern, change, names, section, ...verdict } = rest;
  const firstOf = (files: Files) => {
    const found = [...files.keys()].find((candidate) => pattern.test(candidate));
    if (found === undefined) throw new Error(`${name}: no file matches ${pattern}`);
    return found;
  };
  return {
    name,
    about,
    section,
    async make({ full }) {
      const files: Files = new Map(full);
      await change(files, firstOf(files));
      return files;
    },
    file: names ?? ((_, { full }) => firstOf(full)),
    ...verdict,
  };
}

const flip = (files: Files, name: string) =>
  void files.set(
    name,
    bytesIn(files, name).map((byte, at, { length }) => at === length >> 1 ? byte ^ 1 : byte),
  );
const gone = (files: Files, name: string) => void files.delete(name);

const KEYS: readonly Vector[] = [
  aside("key_changed_pem", "one letter of a public key in PEM", {
    section: "Signatures",
    pattern: /^keys\/d4.*\.pem$/,
    change: flip,
    ...beside("key_damaged", "keys in PEM"),
  }),
  aside("key_changed_pub", "one letter of a public key's line", {
    section: "Signatures",
    pattern: /^keys\/d4.*\.pub$/,
    change: flip,
    ...beside("key_damaged", "public key lines"),
  }),
  aside("key_missing_pem", "a signer's public key is gone", {
    section: "Signatures",
    pattern: /^keys\/9b.*\.pem$/,
    change: gone,
    ...beside("key_damaged", "keys in PEM"),
  }),
  aside("key_changed_allowed_signer", "one letter of an allowed-signers line", {
    section: "Signatures",
    pattern: /^keys\/d4.*\.allowed-signers$/,
    change: flip,
    ...beside("key_damaged", "all of such a line"),
  }),
  aside("token_changed", "one bit of a time-stamp token", {
    section: "Time-stamps",
    pattern: /\.tst$/,
    change: flip,
    ...beside("token_damaged", "time-stamps"),
  }),
];

/** Puts a signed document in the place of another. */
async function replaced(
  files: Files,
  name: string,
  by: {
    readonly edits?: Edits;
    readonly bytes?: Uint8Array;
    readonly namespace: "coldcase-addendum@v1" | "coldcase-receipt@v1" | "coldcase-custody@v1";
    readonly isUnsigned?: boolean;
    readonly key?: typeof KEY;
  },
): Promise<string> {
  const bytes = by.bytes ?? edited(bytesIn(files, name), by.edits ?? {});
  for (const one of [...files.keys()]) if (one.startsWith(stemOf(name))) files.delete(one);
  const renamed = name.replace(/[0-9a-f]{64}/, sha256(bytes));
  files.set(renamed, bytes);
  if (!by.isUnsigned) await sign(files, renamed, { namespace: by.namespace, ...(by.key && { key: by.key }) });
  return renamed;
}

const ADDENDUM = /\/addendum-[0-9a-f]{64}\.json$/;
const RECEIPT = /^receipts\/[0-9a-f]{64}\.json$/;

function added(
  kind: "addendum" | "receipt",
  name: string,
  about: string,
  edits: Edits,
  more: { readonly isUnsigned?: boolean; readonly expect?: "format" } = {},
): Vector {
  const pattern = kind === "addendum" ? ADDENDUM : RECEIPT;
  const what = kind === "addendum" ? "addenda" : "receipts";
  return aside(`${kind}_${name}`, about, {
    section: "Addenda and receipts",
    pattern,
    change: async (files, file) =>
      void await replaced(files, file, { edits, namespace: `coldcase-${kind}@v1`, ...more }),
    names: (files) => nameIn(files, pattern),
    ...beside(`${kind}_damaged`, what, more.expect),
  });
}

const ADDED: readonly Vector[] = [
  added("addendum", "of_another_exhibit", "a signed addendum of another exhibit", {
    exhibit: "ex-000000000000002b",
  }),
  added("addendum", "of_another_manifest", "a signed addendum of another manifest", {
    manifest: "5".repeat(64),
  }),
  added("addendum", "other_counts", "it counts other filled blocks than the manifest", {
    "filled.unreadableBlocks": 0,
  }),
  added("addendum", "other_size", "it is about a volume of another size", { volumeSizeBytes: 2 ** 31 }),
  added("addendum", "unsigned", "an addendum that nobody signed", {}, { isUnsigned: true }),
  added("addendum", "unknown_member", "a member that is not in the table", { colour: "red" }, {
    expect: "format",
  }),
  added("addendum", "version_future", "a version from the future", { version: 2 }, { expect: "format" }),
  added("addendum", "short_digest", "an MD5 of 31 digits", { "digests.md5": "0".repeat(31) }, {
    expect: "format",
  }),
  aside("addendum_changed_bit", "one bit of an addendum was flipped", {
    section: "Addenda and receipts",
    pattern: ADDENDUM,
    change: flip,
    ...beside("addendum_damaged", "addenda"),
  }),
  aside("addendum_signature_changed", "an addendum's signature does not hold", {
    section: "Addenda and receipts",
    pattern: ADDENDUM,
    change: async (files, name) =>
      void files.set(
        `${stemOf(name)}.${KEY.shortFingerprint}.sshsig`,
        await KEY.signSshsig(bytesOf("other bytes"), "coldcase-addendum@v1"),
      ),
    ...beside("addendum_damaged", "addenda"),
  }),
  aside("addendum_not_canonical", "a newline after an addendum", {
    section: "Addenda and receipts",
    pattern: ADDENDUM,
    change: async (files, name) =>
      void await replaced(files, name, {
        bytes: bytesOf(`${textOf(bytesIn(files, name))}\n`),
        namespace: "coldcase-addendum@v1",
      }),
    names: (files) => nameIn(files, ADDENDUM),
    ...beside("addendum_damaged", "addenda", "format"),
  }),
  added("receipt", "unsigned", "a receipt that nobody signed", {}, { isUnsigned: true }),
  added("receipt", "no_files", "a receipt of no files", { files: 0 }, { expect: "format" }),
  added("receipt", "version_future", "a version from the future", { version: 2 }, { expect: "format" }),
  aside("receipt_changed_bit", "one bit of a receipt was flipped", {
    section: "Addenda and receipts",
    pattern: RECEIPT,
    change: flip,
    ...beside("receipt_damaged", "receipts"),
  }),
  aside("receipt_other_namespace", "a receipt signed as an addendum", {
    section: "Addenda and receipts",
    pattern: RECEIPT,
    change: (files, name) => sign(files, name, { namespace: "coldcase-addendum@v1" }),
    ...beside("receipt_damaged", "receipts"),
  }),
];

/** Entries of the chain of the first key: 0, 1 and 2. */
const chainFile = (sequence: number) =>
  new RegExp(`^custody/25[0-9a-f]*/0000000${sequence}-[0-9a-f]{64}\\.json$`);

/** An entry and its signatures. */
function withoutEntry(files: Files, name: string): void {
  for (const one of [...files.keys()]) if (one.startsWith(stemOf(name))) files.delete(one);
}

function log(
  name: string,
  about: string,
  rest: {
    readonly at: number;
    change(files: Files, name: string): void | Promise<void>;
    readonly finding: string;
    readonly names?: (files: Files, bases: Bases) => string;
    readonly expect?: "format";
  },
): Vector {
  const { at, change, finding, names, expect } = rest;
  return aside(`custody_${name}`, about, {
    section: "Custody log",
    pattern: chainFile(at),
    change,
    ...(names && { names }),
    ...beside(finding, "the custody log", expect),
  });
}

const newest = (files: Files) => [...files.keys()].filter((name) => chainFile(2).test(name)).at(-1)!;
const rewritten =
  (edits: Edits, more: { readonly isUnsigned?: boolean; readonly key?: typeof KEY } = {}) =>
  async (files: Files, name: string) =>
    void await replaced(files, name, { edits, namespace: "coldcase-custody@v1", ...more });

const CUSTODY: readonly Vector[] = [
  log("changed_bit", "one bit of an entry was flipped", { at: 1, change: flip, finding: "custody_damaged" }),
  log(
    "cut_before_anchor",
    "the newest entry is gone, which nothing names, and the one before it, which a receipt names",
    {
      at: 1,
      change(files, name) {
        withoutEntry(files, name);
        withoutEntry(files, newest(files));
      },
      finding: "custody_missing",
    },
  ),
  log("hole", "an entry in the middle is gone", { at: 1, change: withoutEntry, finding: "custody_missing" }),
  log("unsigned", "an entry's signature is gone", {
    at: 2,
    change: (files, name) =>
      void [...files.keys()].filter((one) => one.startsWith(`${stemOf(name)}.`) && one !== name).forEach((
        one,
      ) => files.delete(one)),
    finding: "custody_damaged",
  }),
  log("signature_of_another_kind", "an entry signed as a receipt", {
    at: 2,
    change: (files, name) => sign(files, name, { namespace: "coldcase-receipt@v1" as "coldcase-custody@v1" }),
    finding: "custody_damaged",
  }),
  log("by_another_key", "an entry signed by another key than it names", {
    at: 2,
    change: rewritten({}, { key: OTHER_KEY }),
    finding: "custody_damaged",
    names: newest,
  }),
  log("other_signer", "an entry in a chain that is another key's", {
    at: 2,
    change: rewritten({ signer: OTHER_KEY.fingerprint }, { key: OTHER_KEY }),
    finding: "custody_damaged",
    names: newest,
  }),
  log("fraction", "a fact that is a number and no integer", {
    at: 2,
    change: rewritten({ "result.facts": { ratio: 0.5 } }),
    finding: "custody_damaged",
    names: newest,
    expect: "format",
  }),
  log("other_chain", "an entry that says that it is of another chain", {
    at: 2,
    change: rewritten({ chain: "5".repeat(32) }),
    finding: "custody_damaged",
    names: newest,
  }),
  log("other_host", "an entry of another host, in a chain that is not that host's", {
    at: 2,
    change: rewritten({ "host.hostname": "collector-2" }),
    finding: "custody_damaged",
    names: newest,
  }),
  log("other_store", "an entry of another store, in a chain that is not that store's", {
    at: 2,
    change: rewritten({ store: "5".repeat(32) }),
    finding: "custody_damaged",
    names: newest,
  }),
  log("other_sequence", "an entry that says that it has another place", {
    at: 2,
    change: rewritten({ sequence: 3 }),
    finding: "custody_damaged",
    names: newest,
  }),
  log("other_previous", "an entry that names another predecessor", {
    at: 2,
    change: rewritten({ previous: "5".repeat(64) }),
    finding: "custody_damaged",
    names: newest,
  }),
  log("previous_of_first", "a first entry with a predecessor", {
    at: 0,
    change: rewritten({ previous: "5".repeat(64) }),
    finding: "custody_damaged",
    names: (files) => [...files.keys()].find((name) => chainFile(0).test(name))!,
    expect: "format",
  }),
  log("unknown_action", "an action that is not in the table", {
    at: 2,
    change: rewritten({ action: "destroy" }),
    finding: "custody_damaged",
    names: newest,
    expect: "format",
  }),
  log("version_future", "a version from the future", {
    at: 2,
    change: rewritten({ version: 2 }),
    finding: "custody_damaged",
    names: newest,
    expect: "format",
  }),
  log("oversize", "an entry of more than 256 KiB", {
    at: 2,
    change: rewritten({
      "result.facts": Object.fromEntries(
        Array.from({ length: 64 }, (_, at) => [`fact ${at}`, "x".repeat(4096)]),
      ),
    }),
    finding: "custody_damaged",
    names: newest,
    expect: "format",
  }),
  log("forked", "two signed entries with one place", {
    at: 2,
    async change(files, name) {
      const bytes = edited(bytesIn(files, name), { reason: "another one" });
      const second = name.replace(/[0-9a-f]{64}/, sha256(bytes));
      files.set(second, bytes);
      await sign(files, second, { namespace: "coldcase-custody@v1" });
    },
    finding: "custody_forked",
    // Of the two the one that is read second, whatever their digests are.
    names: (files) => [...files.keys()].filter((name) => chainFile(2).test(name)).sort().at(-1)!,
  }),
];

export const EVIDENCE_VECTORS: readonly Vector[] = [...SIGNATURES, ...KEYS, ...ADDED, ...CUSTODY];
