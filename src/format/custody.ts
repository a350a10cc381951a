/**
 * The custody log: who did what with the evidence, when, why, and how it ended. One chain per signing key and
 * host in a store; each entry is a write-once signed file that names its predecessor, so that merging two
 * stores is a union. Codec only: which entries there must be is checked in store/.
 *
 * @see store-format.md, "Custody log"
 */
import { createHash } from "node:crypto";
import { OperatorError } from "../errors.ts";
import type { ExhibitId } from "../model.ts";
import { decodeCanonicalJson, encodeCanonicalJson } from "./canonical_json.ts";
import {
  custodyHeadMember,
  FORMAT_VERSION,
  hexadecimal,
  hostMember,
  MAX_CUSTODY_HEADS,
  toolMember,
} from "./members.ts";
import {
  arrayOf,
  type Check,
  type Checked,
  digest,
  exhibitId,
  integer,
  literal,
  nullable,
  object,
  recordOf,
  text,
  time,
} from "./schema.ts";

export const MAX_CUSTODY_ENTRY_BYTES = 256 * 1024;

/** The verbs of the log. */
export const CUSTODY_ACTIONS = [
  "acquire",
  "import",
  "verify",
  "export",
  "copy",
  "encrypt",
  "decrypt",
  "recipients",
  "repair",
  "sign",
  "note",
  "timestamp",
  "correct",
] as const;

const fact: Check<string | number | boolean | null> = (value, place) => {
  if (value === null || typeof value === "boolean") return value;
  return typeof value === "number"
    ? integer(-Number.MAX_SAFE_INTEGER)(value, place)
    : text(4096)(value, place);
};

/** The fact of a result that names the correction of an exhibit: its value is the document's digest. */
export function correctionFact(exhibit: ExhibitId): string {
  return `${exhibit} correction`;
}

/** So many facts of a result one entry has. */
export const MAX_CUSTODY_FACTS = 64;

const entryDocument = object({
  action: literal(...CUSTODY_ACTIONS),
  at: time,
  chain: hexadecimal(32),
  /** AWS's clock minus the host's, where this command measured it. */
  clockSkewMs: nullable(integer(-1e15)),
  commandLine: arrayOf(text(8192), 256),
  /** The exhibits that it was about, with the commitments of their manifests. */
  exhibits: arrayOf(object({ commitment: digest, exhibit: exhibitId }), 1024),
  host: hostMember,
  /** Null: the first of its chain. */
  previous: nullable(digest),
  reason: nullable(text(4096)),
  result: object({ exitCode: integer(0, 255), facts: recordOf(fact, MAX_CUSTODY_FACTS), outcome: text(64) }),
  /** Heads of other chains in the store when this was written: they can't be cut below that unnoticed. */
  seen: arrayOf(custodyHeadMember, MAX_CUSTODY_HEADS),
  sequence: integer(0, 99_999_999),
  /** Fingerprint of the key that signs the entry: `SHA256:` and unpadded Base64. */
  signer: text(128),
  /** `id` of the store that it was written in: a chain that was copied from another one keeps its name. */
  store: hexadecimal(32),
  tool: toolMember,
  type: literal("coldcase-custody"),
  version: literal(FORMAT_VERSION),
});

export type CustodyEntry = Checked<typeof entryDocument>;
export type { CustodyHead } from "./members.ts";
export type CustodyAction = (typeof CUSTODY_ACTIONS)[number];

/** The chain of a key on a host in a store: the first 32 digits of a SHA-256 over the three. */
export function custodyChain(
  facts: { readonly signer: string; readonly hostname: string; readonly storeId: string },
): string {
  return createHash("sha256").update(
    `coldcase-custody-chain\n${facts.signer}\n${facts.hostname}\n${facts.storeId}\n`,
  )
    .digest("hex").slice(0, 32);
}

/** Canonical bytes of an entry. Throws `format` where they would not be readable again. */
export function encodeCustodyEntry(entry: CustodyEntry): Uint8Array<ArrayBuffer> {
  const bytes = encodeCanonicalJson(entry);
  decodeCustodyEntry(bytes, "new custody entry");
  return bytes;
}

/**
 * Throws `format`: an entry that begins a chain has no predecessor, every other has one; `integrity` where its
 * chain is not that of its signer, host and store.
 */
export function decodeCustodyEntry(bytes: Uint8Array, name: string): CustodyEntry {
  const entry = decodeCanonicalJson(bytes, { name, maxBytes: MAX_CUSTODY_ENTRY_BYTES, check: entryDocument });
  if ((entry.sequence === 0) !== (entry.previous === null)) {
    throw new OperatorError(
      "format",
      `Cannot read ${name}: entry ${entry.sequence} names ${entry.previous ?? "no"} predecessor`,
    );
  }
  const chain = custodyChain({
    signer: entry.signer,
    hostname: entry.host.hostname,
    storeId: entry.store,
  });
  if (entry.chain !== chain) {
    throw new OperatorError(
      "integrity",
      `Cannot accept ${name}: it says that it is of chain ${entry.chain}, its signer, host and store give ${chain}`,
    );
  }
  return entry;
}
