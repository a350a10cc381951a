/**
 * `ls`: what the store holds, and what is under way; or of that the exhibits of an instance, set by set, or of a case. A
 * damaged exhibit is named, and the rest still listed. It reads manifests only; verify reads the rest.
 */
import { resolve } from "@std/path";
import { type CommandContext, defineCommand, formatTable, STORE_OPTIONS } from "../cli/mod.ts";
import { gravestExitCode, OperatorError } from "../errors.ts";
import { type Exhibit, type JournalHead, type OuterExhibit, type Store } from "../store/mod.ts";
import { formatSize, isInstanceId } from "../units.ts";
import { correctionMark, correctionNotes } from "./_corrections.ts";
import { exhibitEvent, NOT_OPENED, originMark, outerEvent, statusOf } from "./_exhibits.ts";
import { findGroup, GROUP_OPTIONS, groupWish } from "./_groups.ts";
import { showGroup } from "./_groups_shown.ts";
import { IDENTITY_OPTIONS, openStoreWith } from "./_identities.ts";

export const ls = defineCommand({
  usage: "[INSTANCE…]",
  description:
    `Lists the exhibits of the store, the oldest acquisition first, and the acquisitions that are not finished.

With an instance's id it lists the exhibits of that instance, a table for each set of its snapshots, by device, and says which snapshots of a set are not held; with --case the exhibits of a case.`,
  options: { ...GROUP_OPTIONS, ...IDENTITY_OPTIONS, ...STORE_OPTIONS },
  exitCodes: {
    not_found: true,
    identity: "the identity given does not open it",
    integrity: true,
    format: true,
  },
  examples: [
    { command: "coldcase ls --store ./evidence", says: "what is in there" },
    { command: "coldcase ls --case 2026-114", says: "what of it is of a case" },
  ],
  async run(context, { args, options }) {
    const { out } = context;
    const other = args.find((reference) => !isInstanceId(reference));
    if (other !== undefined) {
      throw new OperatorError("usage", `Cannot list "${other}": it is no instance's id (i-…)`, {
        hints: ['"coldcase info EXHIBIT" shows one exhibit.'],
      });
    }
    const wish = groupWish(args, options);
    const store = await openStoreWith(context, options);
    try {
      if (wish) {
        const group = await findGroup(context, store, wish);
        showGroup(context, group, { columns: COLUMNS, rowOf: exhibitRow });
        for (const exhibit of group.exhibits) for (const text of correctionNotes(exhibit)) out.warn(text);
        for (const text of store.tolerated) out.note(text);
        return gravestExitCode(group.codes);
      }
      return await listAll(context, store, resolve(options.store));
    } finally {
      store.close();
    }
  },
});

async function listAll(context: CommandContext, store: Store, path: string): Promise<number> {
  const { out } = context;
  const exhibits: Exhibit[] = [];
  const closed: OuterExhibit[] = [];
  const codes: number[] = [];
  for (const id of await store.exhibitIds()) {
    try {
      if (store.isReadable) exhibits.push(await store.exhibit(id));
      else closed.push(await store.outerExhibit(id));
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      out.error(error);
      codes.push(error.exitCode);
      if (error.code === "identity") closed.push(await store.outerExhibit(id));
    }
  }
  exhibits.sort((a, b) => a.manifest.acquisition.startedAt < b.manifest.acquisition.startedAt ? -1 : 1);
  closed.sort((a, b) => a.inventory.committedAt < b.inventory.committedAt ? -1 : 1);
  const journals = await store.journals();
  for (const exhibit of exhibits) out.event({ type: "exhibit", ...exhibitEvent(exhibit) });
  for (const exhibit of closed) out.event({ type: "exhibit", ...outerEvent(exhibit) });
  for (const head of journals) {
    out.event({
      type: "journal",
      exhibit: head.exhibit,
      snapshot: head.source.snapshot,
      createdAt: head.createdAt,
    });
  }
  const rows = [...exhibits.map(exhibitRow), ...closed.map(closedRow), ...journals.map(journalRow)];
  if (rows.length > 0) out.result(formatTable(COLUMNS, rows));
  else if (codes.length === 0) out.note(`the store ${path} holds nothing`);
  for (const exhibit of exhibits) for (const text of correctionNotes(exhibit)) out.warn(text);
  for (const text of store.tolerated) out.note(text);
  return gravestExitCode(codes);
}

const COLUMNS = [
  { title: "EXHIBIT" },
  { title: "SNAPSHOT" },
  { title: "STARTED" },
  { title: "VOLUME", align: "right" },
  { title: "STORED", align: "right" },
  { title: "EVIDENCE" },
  { title: "STATUS" },
] as const;

function minutesOf(at: string): string {
  return at.slice(0, 16).replace("T", " ");
}

function exhibitRow({ id, manifest, corrections }: Exhibit): string[] {
  const marks = [...correctionMark({ manifest, corrections }), originMark(manifest.source) ?? []].flat();
  return [
    id,
    manifest.source.snapshot,
    minutesOf(manifest.acquisition.startedAt),
    `${manifest.volume.volumeSizeGib} GiB`,
    formatSize(manifest.counts.storedBlocks * manifest.volume.blockSizeBytes),
    corrections.facts.evidence ?? "",
    [statusOf(manifest), ...marks].join(", "),
  ];
}

function closedRow({ id, inventory }: OuterExhibit): string[] {
  return [id, inventory.snapshot, minutesOf(inventory.committedAt), "", "", "", NOT_OPENED];
}

function journalRow(head: JournalHead): string[] {
  return [
    head.exhibit,
    head.source.snapshot,
    minutesOf(head.createdAt),
    `${head.volume.volumeSizeGib} GiB`,
    "",
    "",
    `not finished: ${head.source.kind === "aws-ebs" ? "acquire" : "import"} goes on with it`,
  ];
}
