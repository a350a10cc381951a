/**
 * Exhibits into another store, as `copy`, `encrypt` and `decrypt` share it: one after the other, one failure not
 * stopping the others, with an entry in the custody logs of both stores and one receipt in both.
 */
import type { CommandContext } from "../cli/mod.ts";
import { gravestExitCode, OperatorError } from "../errors.ts";
import { FORMAT_VERSION } from "../format/members.ts";
import type { SigningKey } from "../keys.ts";
import type { World } from "../model.ts";
import {
  type CopyOptions,
  type CopySummary,
  type Exhibit,
  openStore,
  type OuterExhibit,
  type Store,
} from "../store/mod.ts";
import { formatSize, formatTime } from "../units.ts";
import { type CustodyNote, withCustody } from "./_custody.ts";
import { eventOf } from "./_exhibits.ts";

/** What is handed over, and how: opened exhibits, or encrypted ones as they are. */
export interface HandOver<E extends OuterExhibit = Exhibit> {
  readonly action: "copy" | "encrypt" | "decrypt";
  readonly from: Store;
  /** Open for writing. */
  readonly to: Store;
  readonly exhibits: readonly E[];
  readonly key: SigningKey;
  readonly options: {
    readonly reason: string | undefined;
    readonly "sign-key": string | undefined;
    readonly "custody-out": string | undefined;
  };
  /** Writes one exhibit into the other store. */
  write(exhibit: E, options: CopyOptions): Promise<CopySummary>;
}

/** `copied`, as the result's line says it. */
const DONE = { copy: "copied to", encrypt: "encrypted into", decrypt: "decrypted into" } as const;

/** Does it, both sides noting it: each in its own chain. Gives the exit code. */
export async function handOver<E extends OuterExhibit>(
  context: CommandContext,
  job: HandOver<E>,
): Promise<number> {
  const { from, to, key, action, options } = job;
  return await withCustody(
    context,
    { store: from, key, action, options },
    (outgoing) =>
      withCustody(context, { store: to, key, action, options }, async (incoming) => {
        for (const note of [outgoing, incoming]) {
          note.tell("from", from.path);
          note.tell("to", to.path);
          note.tell("fromStore", from.file.id);
          note.tell("toStore", to.file.id);
        }
        const code = await handOverAll(context, job, [outgoing, incoming]);
        for (const text of from.tolerated) context.out.note(text);
        return code;
      }),
  );
}

async function handOverAll<E extends OuterExhibit>(
  context: CommandContext,
  job: HandOver<E>,
  notes: readonly CustodyNote[],
): Promise<number> {
  const codes: number[] = [];
  for (const [position, exhibit] of job.exhibits.entries()) {
    for (const note of notes) note.about(exhibit);
    const number = { number: position + 1, count: job.exhibits.length };
    codes.push(await handOverOne(context, job, { exhibit, number }));
  }
  return gravestExitCode(codes);
}

async function handOverOne<E extends OuterExhibit>(
  context: CommandContext,
  job: HandOver<E>,
  { exhibit, number }: {
    readonly exhibit: E;
    readonly number: { readonly number: number; readonly count: number };
  },
): Promise<number> {
  const { out, signal } = context;
  const { to, action, key } = job;
  const { snapshot } = exhibit.inventory;
  const progress = out.progress({ label: `${action} ${snapshot}`, unit: "bytes", done: 0, ...number });
  try {
    const summary = await job.write(exhibit, {
      key,
      signal,
      onProgress: ({ doneBytes, totalBytes }) => progress.update({ done: doneBytes, total: totalBytes }),
    });
    await writeReceipts(context, job, { exhibit, summary });
    progress.end();
    out.result(
      `${exhibit.id}  ${snapshot}  ${DONE[action]} ${to.path}: ${formatSize(summary.copiedBytes)} written, ${
        formatSize(summary.heldBytes)
      } held already\n`,
    );
    out.event({ type: "summary", ...eventOf(exhibit), to: to.path, ...summary });
    return 0;
  } catch (error) {
    const isOfExhibit = error instanceof OperatorError &&
      (error.code === "integrity" || (error.code === "format" && action !== "copy"));
    if (!isOfExhibit) throw error;
    progress.end();
    out.error(error);
    return error.exitCode;
  } finally {
    progress.end();
  }
}

/**
 * The same receipt into both stores; one that cannot be written to goes without, which is said. Where the other store
 * has one of this inventory already, it was handed over before.
 */
async function writeReceipts(
  { out, world }: CommandContext,
  { from, to, key, options }: Pick<HandOver, "from" | "to" | "key" | "options">,
  { exhibit, summary }: { readonly exhibit: OuterExhibit; readonly summary: CopySummary },
): Promise<void> {
  const isKnown = (await to.evidence.receipts(exhibit, () => undefined)).some(({ document }) =>
    document.inventory === summary.inventoryDigest && document.from === from.file.id &&
    document.to === to.file.id
  );
  if (isKnown && summary.copiedBytes === 0) return;
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
    reason: options.reason ?? null,
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

/** How the store at `path` is, before anything is written to it; `undefined`: there is none yet. */
export async function modeOf(world: World, path: string): Promise<Store["file"]["mode"] | undefined> {
  try {
    const store = await openStore(world, path);
    store.close();
    return store.file.mode;
  } catch (error) {
    if (!(error instanceof OperatorError) || error.code !== "not_found") throw error;
    return undefined;
  }
}
