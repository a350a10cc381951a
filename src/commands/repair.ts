/**
 * `repair`: mends a damaged store. It says what is damaged and what it will do before it does that, and leaves manifest and
 * signatures as they are; what is nowhere found stays lost, and is told by its place.
 */
import { resolve } from "@std/path";
import { AWS_OPTIONS, type CommandContext, defineCommand, STORE_OPTIONS } from "../cli/mod.ts";
import { gravestExitCode, isFault, OperatorError } from "../errors.ts";
import type { SigningKey } from "../keys.ts";
import type { ExhibitId } from "../model.ts";
import {
  type OpenOptions,
  openStore,
  openStoreForWriting,
  type Store,
  type StoreRepair,
} from "../store/mod.ts";
import { isExhibitId, parseUsd } from "../units.ts";
import { CUSTODY_OPTIONS, type CustodyNote, openKey, withCustody } from "./_custody.ts";
import { IDENTITY_OPTIONS, openIdentities } from "./_identities.ts";
import { PRICE_OPTIONS } from "./_prices.ts";
import { refetchFrom } from "./_refetch.ts";
import { type Repairing, repairOne } from "./_repair_shown.ts";

export const repair = defineCommand({
  usage: "[EXHIBIT…]",
  description:
    `Repairs a store: all exhibits, where none is named. It reads every file of them, says what is damaged and what it will do, and does it. --dry-run says it and changes nothing.

Good records of a damaged pack, and lost blocks that other packs, another copy (--from) or AWS (--refetch) still have, go into new packs, and a new inventory is signed; that takes a key that signed the manifest. Manifest and signatures stay as they are. A block counts only with the digest that the signed segments tell. The manifest, segments, side documents and signatures come from another copy only; where those are sound a damaged inventory is made anew.

What is nowhere found stays lost: it is named by the byte range of the volume, and the command ends with 20. Damaged files are moved to quarantine, none is deleted or overwritten.

A journal whose head is damaged, which keeps the store from being written to, is moved to quarantine whole. A damaged index is made anew.

Of an encrypted store it needs an identity (-i) to look into packs; without one files are taken whole from another copy.`,
  options: {
    "dry-run": { summary: "say what would be done, change nothing" },
    from: { value: "STORE", summary: "another copy, to take sound files and blocks from" },
    refetch: { summary: "read lost blocks from AWS again, for money" },
    budget: { value: "USD", parse: parseUsd, summary: "with --refetch: stop before it costs more" },
    "unsafe-filesystem": { summary: "accept a file system that keeps no promises" },
    ...PRICE_OPTIONS,
    ...CUSTODY_OPTIONS,
    ...IDENTITY_OPTIONS,
    ...STORE_OPTIONS,
    ...AWS_OPTIONS,
  },
  exitCodes: {
    budget: true,
    not_found: true,
    locked: true,
    identity: "nothing given opens what must be opened, or another key must sign",
    access: true,
    source: true,
    storage: true,
    integrity: "something is damaged still or, with --dry-run, damaged at all",
    format: true,
  },
  examples: [
    { command: "coldcase repair --dry-run", says: "what is damaged, and what would be done about it" },
    { command: "coldcase repair --from /mnt/copy/evidence", says: "with the help of another copy" },
    { command: "coldcase repair snap-0123456789abcdef0 --refetch --budget 1", says: "lost blocks from AWS" },
  ],
  async run(context, { args, options }) {
    const path = resolve(options.store);
    const from = options.from === undefined ? undefined : resolve(options.from);
    if (from === path) throw new OperatorError("usage", `Cannot repair "${path}" from itself`);
    const opening = { identities: await openIdentities(context, options) };
    const copy = from === undefined ? undefined : await openStore(context.world, from, opening);
    try {
      const refetch = options.refetch ? refetchFrom(context, options) : undefined;
      const job = { references: args, copy, refetch };
      if (options["dry-run"]) return await dryRun(context, { path, opening, job });
      const key = await openKey(context, options["sign-key"]);
      const store = await openStoreForWriting(context.world, path, {
        ...opening,
        isForRepair: true,
        unsafeFileSystem: options["unsafe-filesystem"],
      });
      try {
        return await withCustody(context, { store, key, action: "repair", options }, (note) => {
          if (from !== undefined) note.tell("from", from);
          if (copy) note.tell("fromStore", copy.file.id);
          return repairAll(context, { ...job, store, key, note });
        });
      } finally {
        store.close();
      }
    } finally {
      copy?.close();
    }
  },
});

interface Job extends Pick<Repairing, "refetch"> {
  readonly references: readonly string[];
  readonly copy: Store | undefined;
}

async function dryRun(
  context: CommandContext,
  { path, opening, job }: { readonly path: string; readonly opening: OpenOptions; readonly job: Job },
): Promise<number> {
  const store = await openStore(context.world, path, opening);
  try {
    return await repairAll(context, { ...job, store, key: undefined, note: undefined });
  } finally {
    store.close();
  }
}

interface RepairJob extends Job {
  readonly store: Store;
  /** `undefined`: nothing is changed. */
  readonly key: SigningKey | undefined;
  readonly note: CustodyNote | undefined;
}

async function repairAll(context: CommandContext, job: RepairJob): Promise<number> {
  const { out } = context;
  const { store, key, note } = job;
  const mending = store.repair(job.copy);
  const codes = [await journals(context, job, mending)];
  const damage = await mending.indexDamage();
  if (damage !== undefined) {
    out.note(`the index is damaged: ${damage}; it ${key ? "is" : "would be"} made anew`);
    if (!key) codes.push(20);
  }
  if (key) await store.tidyUp();
  const ids = await idsOf(job, mending);
  for (const [position, id] of ids.entries()) {
    const number = { number: position + 1, count: ids.length };
    codes.push(await repairOne(context, { ...job, mending }, { id, number }));
  }
  if (ids.length === 0) out.note("the store holds no exhibit");
  const moved = await setPacksAside(context, job, mending);
  if (key && (moved > 0 || damage !== undefined)) await mending.rebuildIndex();
  note?.tell("isIndexRebuilt", moved > 0 || damage !== undefined);
  for (const text of store.tolerated) out.detail(text);
  return gravestExitCode(codes);
}

/** What keeps the store from being written to. */
async function journals({ out }: CommandContext, job: RepairJob, mending: StoreRepair): Promise<number> {
  const damaged = await mending.damagedJournals();
  for (const journal of damaged) {
    const { exhibit, message } = journal;
    out.event({ type: "step", file: `journal/${exhibit}`, state: "damaged", remedy: "set_aside" });
    out.note(
      `the journal of ${exhibit} is damaged: ${message}; it ${job.key ? "goes" : "would go"} to quarantine`,
    );
    if (!job.key) continue;
    const place = await mending.setJournalAside(journal);
    job.note?.tell(`journal ${exhibit}`, place);
    out.result(`journal/${exhibit}  moved to ${place}: what it recorded is acquired again\n`);
  }
  job.note?.tell("journalsSetAside", damaged.length);
  return damaged.length > 0 && !job.key ? 20 : 0;
}

/** Damaged packs that no inventory names, after all inventories are settled. */
async function setPacksAside(
  { out, signal }: CommandContext,
  { key, note }: RepairJob,
  mending: StoreRepair,
): Promise<number> {
  const packs = key ? await mending.unneededPacks(signal) : [];
  for (const pack of packs) {
    const place = await mending.setAside(pack);
    out.event({ type: "set_aside", file: pack, place });
    out.note(`"${pack}" is damaged, and no exhibit needs it: moved to ${place}`);
  }
  note?.tell("packsSetAside", packs.length);
  return packs.length;
}

/** Those that were named, or all that there are or were. */
async function idsOf({ store, references }: RepairJob, mending: StoreRepair): Promise<ExhibitId[]> {
  if (references.length === 0) return await mending.exhibitIds();
  const ids = new Set<ExhibitId>();
  for (const reference of references) ids.add(await idOf(store, reference));
  return [...ids];
}

async function idOf(store: Store, reference: string): Promise<ExhibitId> {
  if (isExhibitId(reference)) return reference;
  try {
    return (await (store.isReadable ? store.find(reference) : store.findOuter(reference))).id;
  } catch (error) {
    if (!isFault(error)) throw error;
    throw new OperatorError(error.code, error.message, {
      facts: error.facts,
      hints: [
        ...error.hints,
        "Name a damaged exhibit by its id, the folder in exhibits/; or none: then all are repaired.",
      ],
    });
  }
}
