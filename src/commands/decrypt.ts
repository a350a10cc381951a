/**
 * `decrypt`: a plain copy of exhibits of an encrypted store, in another store. Without an identity it begins nothing.
 *
 * @see store-format.md, "Encryption"
 */
import { defineCommand, STORE_OPTIONS } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import { IDENTITY_OPTIONS, openStoreWith } from "./_identities.ts";
import { refuseWithoutContents } from "./_verify_opened.ts";
import { targetPath, transcode, TRANSCODE_OPTIONS } from "./_transcode.ts";

export const decrypt = defineCommand({
  usage: "[EXHIBIT…]",
  description:
    `Decrypts exhibits of an encrypted store into another store, which is plain and made where it is missing; all of them where none is named. The encrypted store stays as it is.

Every block is checked on the way: a damaged exhibit is refused, by file, record and block. The manifest's bytes and all signatures over it stay; the inventory is a new one. Run again, it goes on where it stopped; what exhibits share is one file.`,
  options: { ...IDENTITY_OPTIONS, ...TRANSCODE_OPTIONS, ...STORE_OPTIONS },
  exitCodes: { not_found: true, locked: true, identity: true, storage: true, integrity: true, format: true },
  examples: [
    { command: "coldcase decrypt --to opened -i examiner.age", says: "the whole store" },
    {
      command: "coldcase decrypt snap-0123456789abcdef0 --to opened -i examiner.age",
      says: "one exhibit",
    },
  ],
  async run(context, { args, options }) {
    const to = targetPath("decrypt", options);
    const from = await openStoreWith(context, options);
    try {
      if (!from.isReadable) {
        throw new OperatorError("identity", `Cannot decrypt "${from.path}": no identity was given`, {
          hints: await from.access.identityHints(),
        });
      }
      return await transcode(context, {
        action: "decrypt",
        references: args,
        options: { ...options, to },
        from,
        encryption: { recipients: null },
        beforeWriting: (exhibits) => refuseWithoutContents(from, { readable: exhibits }),
      });
    } finally {
      from.close();
    }
  },
});
