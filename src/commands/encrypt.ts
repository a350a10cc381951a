/**
 * `encrypt`: an encrypted copy of exhibits of a plain store, in another store. Says beforehand what the custody log,
 * which stays in the clear, tells of their contents.
 */
import { resolve } from "@std/path";
import { type CommandContext, defineCommand, STORE_OPTIONS } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import { type CustodyCheck, type Exhibit, openStore, type Store } from "../store/mod.ts";
import { ENCRYPTION_OPTIONS, encryptionOf, IDENTITY_OPTIONS } from "./_identities.ts";
import { targetPath, transcode, TRANSCODE_OPTIONS } from "./_transcode.ts";

/** Entries of the log that are named one by one. */
const MAX_NAMED = 5;

export const encrypt = defineCommand({
  usage: "[EXHIBIT…]",
  description:
    `Encrypts exhibits of a plain store into another store, which is made where it is missing; all of them where none is named. The plain store stays as it is.

Every block is checked on the way: a damaged exhibit is refused, by file, record and block. The manifest's bytes and all signatures over it stay; the inventory is a new one. It needs recipients only, no identity. Run again, it goes on where it stopped; what exhibits share is one file.

The custody log travels along and is never encrypted. What of it tells a digest of contents is named.`,
  options: {
    ...ENCRYPTION_OPTIONS,
    "passphrase-file": IDENTITY_OPTIONS["passphrase-file"],
    ...TRANSCODE_OPTIONS,
    ...STORE_OPTIONS,
  },
  exitCodes: { not_found: true, locked: true, identity: true, storage: true, integrity: true, format: true },
  examples: [
    { command: "coldcase encrypt --to encrypted -R team.txt", says: "the whole store, to a team's keys" },
    {
      command: "coldcase encrypt snap-0123456789abcdef0 --to /mnt/usb/evidence -r age1…",
      says: "one exhibit",
    },
  ],
  async run(context, { args, options }) {
    const to = targetPath("encrypt", options);
    const encryption = await encryptionOf(context, { ...options, identity: [] });
    if (!encryption.recipients) {
      throw new OperatorError("usage", "Cannot encrypt: no recipient was given", {
        hints: ["Give -r RECIPIENT, -R FILE or --passphrase; `coldcase keygen -o FILE` makes an identity."],
      });
    }
    const from = await openStore(context.world, resolve(options.store));
    try {
      return await transcode(context, {
        action: "encrypt",
        references: args,
        options: { ...options, to },
        from,
        encryption,
        beforeWriting: (exhibits) => warnOfDigests(context, from, exhibits),
      });
    } finally {
      from.close();
    }
  },
});

type Entry = Parameters<Parameters<Store["evidence"]["checkCustody"]>[1]>[0];

/** Entries cannot be left out or changed: they are chained and signed. So who encrypts hears what they tell. */
async function warnOfDigests(
  { out }: CommandContext,
  from: Store,
  exhibits: readonly Exhibit[],
): Promise<void> {
  const known = exhibits.flatMap(({ manifest }) =>
    [manifest.imageDigest, manifest.parent?.imageDigest].filter((digest) => digest !== undefined)
  );
  const telling: string[] = [];
  const check: CustodyCheck = await from.evidence.checkCustody([], (entry) => {
    const digest = digestIn(entry, known);
    if (digest !== undefined) {
      telling.push(`entry ${entry.sequence} of chain ${entry.chain} (${entry.action}) has ${digest}`);
    }
  });
  for (const text of telling.slice(0, MAX_NAMED)) {
    out.warn(`the custody log stays readable, and tells a digest: ${text}`);
  }
  if (telling.length > MAX_NAMED) {
    out.warn(`and so do ${telling.length - MAX_NAMED} more of ${check.entries} entries`);
  }
}

/** What an entry tells that may be a digest of contents: the start of an image digest anywhere, or what looks like any digest. */
function digestIn(entry: Entry, known: readonly string[]): string | undefined {
  const { facts } = entry.result;
  // Those two are of files that are as public as the log.
  const told = Object.entries(facts).filter(([name]) => name !== "addendum" && name !== "token");
  const texts = [entry.reason ?? "", ...told.map(([, value]) => String(value))];
  const tokensOf = (text: string) => text.match(/\b[0-9a-f]{6,64}\b/g) ?? [];
  const isStart = (token: string) => known.some((digest) => digest.startsWith(token));
  return [...entry.commandLine, ...texts].flatMap(tokensOf).find(isStart) ??
    texts.flatMap(tokensOf).find((token) => [32, 40, 64].includes(token.length) && !isStoreId(told, token));
}

function isStoreId(told: readonly (readonly [string, unknown])[], token: string): boolean {
  return told.some(([name, value]) => (name === "fromStore" || name === "toStore") && value === token);
}
