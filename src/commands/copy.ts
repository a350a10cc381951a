/**
 * `copy`: exhibits into another store: just what they need, verified on the way, taken up again when run
 * again.
 */
import { resolve } from "@std/path";
import { type CommandContext, defineCommand, STORE_OPTIONS } from "../cli/mod.ts";
import { gravestExitCode, OperatorError } from "../errors.ts";
import { type Exhibit, openStore, openStoreForWriting, type Store } from "../store/mod.ts";
import { formatSize } from "../units.ts";
import { exhibitEvent } from "./_exhibits.ts";

export const copy = defineCommand({
  usage: "EXHIBIT…",
  description:
    `Copies exhibits into another store, which is made where it is missing. Only the files that they need are copied, each compared with its SHA-256 on the way. Run again, it goes on where it stopped.`,
  options: {
    to: { value: "STORE", summary: "the store to copy into" },
    "mixed-cases": { summary: "allow several cases in that store" },
    "unsafe-filesystem": { summary: "accept a file system that keeps no promises" },
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
    const from = await openStore(world, path);
    let to: Store | undefined;
    try {
      const exhibits: Exhibit[] = [];
      for (const reference of args) exhibits.push(await from.find(reference));
      to = await openStoreForWriting(world, targetPath, {
        case: from.file.case ?? undefined,
        mixedCases: options["mixed-cases"],
        unsafeFileSystem: options["unsafe-filesystem"],
      });
      const codes: number[] = [];
      for (const [position, exhibit] of exhibits.entries()) {
        const number = { number: position + 1, count: exhibits.length };
        codes.push(await copyOne(context, { from, to, exhibit, number }));
      }
      for (const text of from.tolerated) out.note(text);
      return gravestExitCode(codes);
    } finally {
      from.close();
      to?.close();
    }
  },
});

async function copyOne(
  { out, signal }: CommandContext,
  job: {
    readonly from: Store;
    readonly to: Store;
    readonly exhibit: Exhibit;
    readonly number: { readonly number: number; readonly count: number };
  },
): Promise<number> {
  const { from, to, exhibit } = job;
  const progress = out.progress({
    label: `copy ${exhibit.manifest.source.snapshot}`,
    unit: "bytes",
    done: 0,
    ...job.number,
  });
  try {
    const summary = await from.copyTo(to, exhibit, {
      signal,
      onProgress: ({ doneBytes, totalBytes }) => progress.update({ done: doneBytes, total: totalBytes }),
    });
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
