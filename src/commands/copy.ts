/**
 * `copy`: exhibits into another store: just what they need, verified on the way, taken up again when run
 * again.
 */
import { resolve } from "@std/path";
import { type CommandContext, defineCommand, STORE_OPTIONS } from "../cli/mod.ts";
import { gravestExitCode, OperatorError } from "../errors.ts";
import { FORMAT_VERSION } from "../format/members.ts";
import type { SigningKey } from "../keys.ts";
import { type CopySummary, type Exhibit, openStore, openStoreForWriting, type Store } from "../store/mod.ts";
import { formatSize, formatTime } from "../units.ts";
import { CUSTODY_OPTIONS, openKey, withCustody } from "./_custody.ts";
import { exhibitEvent } from "./_exhibits.ts";

export const copy = defineCommand({
  usage: "EXHIBIT…",
  description:
    `Copies exhibits into another store, which is made where it is missing. Only the files that they need are copied, each compared with its SHA-256 on the way. Run again, it goes on where it stopped.`,
  options: {
    to: { value: "STORE", summary: "the store to copy into" },
    "mixed-cases": { summary: "allow several cases in that store" },
    "unsafe-filesystem": { summary: "accept a file system that keeps no promises" },
    ...CUSTODY_OPTIONS,
    ...STORE_OPTIONS,
  },
  exitCodes: { not_found: true, locked: true, storage: true, integrity: true, format: true },
  examples: [{
    command: "coldcase copy snap-0123456789abcdef0 --to /mnt/handover/evidence",
    says: "hand an exhibit over",
  }],
  async run(context, { args, options }) {
    const { out, world } = context;
    if (options.to === undefined) {
      throw new OperatorError("usage", "Cannot copy: no target was named", { hints: ["Give --to STORE."] });
    }
    const [path, targetPath] = [resolve(options.store), resolve(options.to)];
    if (path === targetPath) throw new OperatorError("usage", `Cannot copy "${path}" into itself`);
    const key = await openKey(context, options["sign-key"]);
    const from = await openStore(world, path);
    let to: Store | undefined;
    try {
      const exhibits: Exhibit[] = [];
      for (const reference of args) exhibits.push(await from.find(reference));
      const target = to = await openStoreForWriting(world, targetPath, {
        case: from.file.case ?? undefined,
        mixedCases: options["mixed-cases"],
        unsafeFileSystem: options["unsafe-filesystem"],
      });
      // Both sides enter the hand-over, each into its own chain; the receipts name the heads before it.
      return await withCustody(
        context,
        { store: from, key, action: "copy", options },
        (outgoing) =>
          withCustody(context, { store: target, key, action: "copy", options }, async (incoming) => {
            for (const note of [outgoing, incoming]) {
              note.tell("from", path);
              note.tell("to", targetPath);
            }
            const codes: number[] = [];
            for (const [position, exhibit] of exhibits.entries()) {
              const number = { number: position + 1, count: exhibits.length };
              outgoing.about(exhibit);
              incoming.about(exhibit);
              const job = { from, to: target, exhibit, number, key, reason: options.reason ?? null };
              codes.push(await copyOne(context, job));
            }
            for (const text of from.tolerated) out.note(text);
            return gravestExitCode(codes);
          }),
      );
    } finally {
      from.close();
      to?.close();
    }
  },
});

/** The same receipt into both stores; one that cannot be written to goes without, which is said. */
async function writeReceipts(
  { out, world }: CommandContext,
  job: CopyJob,
  summary: CopySummary,
): Promise<void> {
  const { from, to, exhibit, key, reason } = job;
  const receipt = {
    at: formatTime(world.clock.nowMs()),
    bytes: summary.copiedBytes + summary.heldBytes,
    // Those of the giving side: its log travels along, so they are in both stores.
    custodyHeads: await from.evidence.custodyHeads(),
    exhibit: exhibit.id,
    files: summary.files,
    from: from.file.id,
    inventory: summary.inventoryDigest,
    commitment: exhibit.inventory.commitment,
    reason,
    to: to.file.id,
    type: "coldcase-receipt",
    version: FORMAT_VERSION,
  } as const;
  await to.evidence.putReceipt(receipt, key);
  try {
    await from.evidence.putReceipt(receipt, key);
  } catch (error) {
    if (!(error instanceof OperatorError) || error.code !== "storage") throw error;
    out.warn(`no receipt in ${from.path}, which cannot be written to: ${error.message}`);
  }
}

interface CopyJob {
  readonly from: Store;
  readonly to: Store;
  readonly exhibit: Exhibit;
  readonly number: { readonly number: number; readonly count: number };
  readonly key: SigningKey;
  readonly reason: string | null;
}

async function copyOne(context: CommandContext, job: CopyJob): Promise<number> {
  const { out, signal } = context;
  const { from, to, exhibit, key } = job;
  const progress = out.progress({
    label: `copy ${exhibit.manifest.source.snapshot}`,
    unit: "bytes",
    done: 0,
    ...job.number,
  });
  try {
    const summary = await from.copyTo(to, exhibit, {
      key,
      signal,
      onProgress: ({ doneBytes, totalBytes }) => progress.update({ done: doneBytes, total: totalBytes }),
    });
    await writeReceipts(context, job, summary);
    progress.end();
    out.result(
      `${exhibit.id}  ${exhibit.manifest.source.snapshot}  copied to ${to.path}: ${
        formatSize(summary.copiedBytes)
      } written, ${formatSize(summary.heldBytes)} held already\n`,
    );
    out.event({ type: "summary", ...exhibitEvent(exhibit), to: to.path, ...summary });
    return 0;
  } catch (error) {
    if (!(error instanceof OperatorError) || error.code !== "integrity") throw error;
    progress.end();
    out.error(error);
    return error.exitCode;
  } finally {
    progress.end();
  }
}
