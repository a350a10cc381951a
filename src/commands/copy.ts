/**
 * `copy`: exhibits into another store: just what they need, verified on the way, taken up again when run
 * again.
 */
import { resolve } from "@std/path";
import { defineCommand, STORE_OPTIONS } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import { type Exhibit, openStoreForWriting, type OuterExhibit, type Store } from "../store/mod.ts";
import { CUSTODY_OPTIONS, openKey } from "./_custody.ts";
import { type HandOver, handOver, modeOf } from "./_hand_over.ts";
import { IDENTITY_OPTIONS, openStoreWith } from "./_identities.ts";

export const copy = defineCommand({
  usage: "EXHIBIT…",
  description:
    `Copies exhibits into another store, which is made where it is missing. Only the files that they need are copied, each compared with its SHA-256 on the way. Run again, it goes on where it stopped.

Encrypted exhibits are copied as they are, for the recipients that they have: no identity is needed. With one (-i) they are found by evidence number or image digest too, and their inventory is compared with their manifest.`,
  options: {
    to: { value: "STORE", summary: "the store to copy into" },
    "mixed-cases": { summary: "allow several cases in that store" },
    "unsafe-filesystem": { summary: "accept a file system that keeps no promises" },
    ...CUSTODY_OPTIONS,
    ...IDENTITY_OPTIONS,
    ...STORE_OPTIONS,
  },
  exitCodes: {
    not_found: true,
    locked: true,
    identity: "the identity given does not open it",
    storage: true,
    integrity: true,
    format: true,
  },
  examples: [{
    command: "coldcase copy snap-0123456789abcdef0 --to /mnt/handover/evidence",
    says: "hand an exhibit over",
  }],
  async run(context, { args, options }) {
    const { world } = context;
    if (options.to === undefined) {
      throw new OperatorError("usage", "Cannot copy: no target was named", { hints: ["Give --to STORE."] });
    }
    const [path, targetPath] = [resolve(options.store), resolve(options.to)];
    if (path === targetPath) throw new OperatorError("usage", `Cannot copy "${path}" into itself`);
    const key = await openKey(context, options["sign-key"]);
    const from = await openStoreWith(context, options);
    let to: Store | undefined;
    try {
      const exhibits: (OuterExhibit | Exhibit)[] = [];
      for (const reference of args) {
        exhibits.push(from.isReadable ? await from.find(reference) : await from.findOuter(reference));
      }
      const isNew = await modeOf(world, targetPath) === undefined;
      const target = to = await openStoreForWriting(world, targetPath, {
        case: from.file.case ?? undefined,
        mixedCases: options["mixed-cases"],
        unsafeFileSystem: options["unsafe-filesystem"],
        ...(isNew && { recipients: from.file.recipients }),
      });
      const write: HandOver<OuterExhibit>["write"] = (exhibit, how) => from.copyTo(target, exhibit, how);
      return await handOver(context, { action: "copy", from, to, exhibits, key, options, write });
    } finally {
      from.close();
      to?.close();
    }
  },
});
