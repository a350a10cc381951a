/**
 * `sign`: adds a signature to an exhibit: an examiner, a witness, the laboratory that received it. Manifest and
 * inventory are signed as they are stored; nothing else changes.
 */
import { defineCommand, STORE_OPTIONS } from "../cli/mod.ts";
import { CUSTODY_OPTIONS, openKey, withCustody } from "./_custody.ts";
import { IDENTITY_OPTIONS, openStoreWith } from "./_identities.ts";

export const sign = defineCommand({
  usage: "EXHIBIT",
  description:
    `Adds your signature to an exhibit, beside those that it has. Its manifest and inventory are read, checked and signed exactly as they are stored.

Others check it with "ssh-keygen -Y verify"; "coldcase info EXHIBIT --json" names the files.`,
  options: { ...CUSTODY_OPTIONS, ...IDENTITY_OPTIONS, ...STORE_OPTIONS },
  exitCodes: {
    not_found: true,
    identity: "the key can't be opened",
    storage: true,
    integrity: true,
    format: true,
  },
  examples: [
    {
      command: "coldcase sign snap-0123456789abcdef0 --sign-key ~/.ssh/id_ed25519",
      says: "with a key of your own",
    },
  ],
  async run(context, { args, options }) {
    const { out } = context;
    const key = await openKey(context, options["sign-key"]);
    const store = await openStoreWith(context, options);
    try {
      return await withCustody(context, { store, key, action: "sign", options }, async (note) => {
        const exhibit = await store.find(args[0]);
        note.about(exhibit);
        await store.evidence.sign(exhibit, key);
        out.result(`${exhibit.id}  ${exhibit.manifest.source.snapshot}  signed by ${key.fingerprint}\n`);
        out.event({ type: "summary", exhibit: exhibit.id, signer: key.fingerprint });
        return 0;
      });
    } finally {
      store.close();
    }
  },
});
