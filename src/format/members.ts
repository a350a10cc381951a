/**
 * Members that several documents share: the host, the program, a head of the custody log.
 *
 * @see store-format.md, "Conventions"
 */
import { OperatorError } from "../errors.ts";
import {
  arrayOf,
  type Check,
  type Checked,
  digest,
  integer,
  literal,
  nullable,
  object,
  text,
} from "./schema.ts";

/**
 * The version of every document, pack and inventory that this program writes, and the only one that it reads. A
 * segment's is part of the image digest: another one would need another image digest, by another name.
 */
export const FORMAT_VERSION = 1;

/** The most recipients that one file has. */
export const MAX_RECIPIENTS = 32;

const recipientList: Check<readonly string[]> = (value, place) => {
  const list = arrayOf(text(4096), MAX_RECIPIENTS)(value, place);
  if (list.length > 0) return list;
  throw new OperatorError("format", `Cannot read ${place}: is empty, expected at least one recipient`);
};

export const hostMember = object({
  hostname: text(256),
  operatingSystem: text(256),
  user: text(256),
});

/** Where a store is. */
export const destinationMember = object({ fileSystem: text(64), path: text() });

/** The program that made a record. */
export const toolMember = object({
  /** SHA-256 of the executable; null: run from its source. */
  digest: nullable(digest),
  name: literal("coldcase"),
  /** `Deno 2.9.6 (x86_64-unknown-linux-gnu)`. */
  runtime: text(256),
  version: text(64),
});

/** Who can open an encrypted store: age recipients, at least one. */
export const recipientsMember = object({
  /** Of all files. */
  contents: recipientList,
  /** Of segments, manifests, maps and documents too, but of no pack: digests without contents. Null: none. */
  lineage: nullable(recipientList),
});

/** Throws `format` where what is encrypted has no recipients, or what is plain has some. */
export function checkMode(
  { mode, recipients }: { readonly mode: "plain" | "encrypted"; readonly recipients: RecipientFacts | null },
  name: string,
): void {
  if ((mode === "encrypted") === (recipients !== null)) return;
  throw new OperatorError(
    "format",
    `Cannot read ${name}: is ${mode}, with ${recipients ? "" : "no "}recipients`,
  );
}

/** Exactly `length` lower-case hexadecimal digits. */
export function hexadecimal(length: number): Check<string> {
  return (value, place) => {
    if (typeof value === "string" && value.length === length && /^[0-9a-f]*$/.test(value)) return value;
    throw new OperatorError(
      "format",
      `Cannot read ${place}: is ${
        String(JSON.stringify(value)).slice(0, 80)
      }, expected ${length} hexadecimal digits`,
    );
  };
}

/** The newest entry of a chain of the custody log, as somebody saw it. */
export const custodyHeadMember = object({ chain: hexadecimal(32), digest, sequence: integer(0, 99_999_999) });

/** Chains that one document names at most. */
export const MAX_CUSTODY_HEADS = 1024;

export type RecipientFacts = Checked<typeof recipientsMember>;
export type ToolFacts = Checked<typeof toolMember>;
export type CustodyHead = Checked<typeof custodyHeadMember>;
