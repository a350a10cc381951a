/**
 * `repair` of one exhibit as people see it: what is damaged and what will be done, before it is done; what came of it; and
 * what is damaged still.
 */
import type { CommandContext } from "../cli/mod.ts";
import { gravestExitCode, isFault, OperatorError } from "../errors.ts";
import type { SigningKey } from "../keys.ts";
import type { ExhibitId } from "../model.ts";
import type {
  Refetch,
  RepairedExhibit,
  RepairStep,
  RepairSummary,
  Store,
  StoreRepair,
} from "../store/mod.ts";
import { formatCount } from "../units.ts";
import type { CustodyNote } from "./_custody.ts";
import { findingsOf } from "./_findings.ts";

/** Of what repairing looks at: signatures, tokens and the custody log are verify's. */
const SOUND = "files and blocks are sound, nothing to do";

const OTHER_COPY_HINT =
  'Run "coldcase repair --from STORE" to take what is lacking from another copy of the exhibit, or with --refetch to read its blocks from AWS again.';

/** Steps that are shown one by one. */
const SHOWN_STEPS = 1000;

export interface Repairing {
  readonly store: Store;
  readonly mending: StoreRepair;
  /** `undefined`: nothing is changed. */
  readonly key: SigningKey | undefined;
  readonly note: CustodyNote | undefined;
  readonly refetch: ((note: CustodyNote | undefined) => Refetch) | undefined;
}

interface Which {
  readonly id: ExhibitId;
  readonly number: { readonly number: number; readonly count: number };
}

/** Gives its exit code. A fault of this exhibit keeps nobody from the others. */
export async function repairOne(context: CommandContext, job: Repairing, which: Which): Promise<number> {
  const { out } = context;
  try {
    return await repairShown(context, job, which);
  } catch (error) {
    const isOfExhibit = isFault(error) && (error.code === "integrity" || error.code === "format") ||
      error instanceof OperatorError && error.code === "identity";
    if (!isOfExhibit) throw error;
    out.error(error);
    job.note?.tell(which.id, error.exitCode);
    return error.exitCode;
  }
}

async function repairShown(context: CommandContext, job: Repairing, { id, number }: Which): Promise<number> {
  const { out, signal } = context;
  const { key, note, mending } = job;
  const progress = out.progress({ label: `repair ${id}`, unit: "bytes", done: 0, ...number });
  const findings = findingsOf(context, id);
  let damaged = 0;
  try {
    const repaired = await mending.exhibit(id, {
      key,
      signal,
      refetch: job.refetch?.(note),
      onSteps(steps, lost) {
        damaged += steps.length + lost.lostBlocks;
        showSteps(context, { id, isDryRun: key === undefined }, { steps, ...lost });
      },
      onFinding: (finding) => findings.onFinding(finding),
      onProgress: ({ readBytes, totalBytes }) => progress.update({ done: readBytes, total: totalBytes }),
    });
    progress.end();
    if (repaired.exhibit) note?.about(repaired.exhibit);
    const code = await showResult(context, { ...job, id, damaged }, repaired);
    note?.tell(id, code);
    return code;
  } finally {
    progress.end();
    findings.end();
  }
}

const REMEDIES: Readonly<Record<RepairStep["remedy"], string>> = {
  copy: "a sound one is taken from the other copy",
  salvage: "its good records go into new packs",
  rebuild: "it is made anew, and what there is of it goes to quarantine",
  set_aside: "it goes to quarantine",
  none: "no sound copy is known",
};

function showSteps(
  { out }: CommandContext,
  { id, isDryRun }: { readonly id: ExhibitId; readonly isDryRun: boolean },
  { steps, lostBlocks, lostBlocksInCopy }: {
    readonly steps: readonly RepairStep[];
    readonly lostBlocks: number;
    readonly lostBlocksInCopy: number;
  },
): void {
  const when = isDryRun ? "would be done" : "will be done";
  out.note(`${id}: what ${when}`);
  for (const { file, state, remedy, goodRecords, badRecords } of steps.slice(0, SHOWN_STEPS)) {
    out.event({ type: "step", exhibit: id, file, state, remedy, goodRecords, badRecords });
    const records = goodRecords === undefined
      ? ""
      : ` (${formatCount(goodRecords)} records good, ${formatCount(badRecords ?? 0)} damaged)`;
    out.note(`  "${file}" is ${state}${records}: ${REMEDIES[remedy]}`);
  }
  if (steps.length > SHOWN_STEPS) out.note(`  and ${formatCount(steps.length - SHOWN_STEPS)} more files`);
  if (lostBlocks === 0) return;
  out.event({ type: "lost", exhibit: id, lostBlocks, lostBlocksInCopy });
  const inCopy = lostBlocksInCopy > 0
    ? `; the other copy seems to have ${formatCount(lostBlocksInCopy)}`
    : "";
  const blocks = lostBlocks === 1 ? "1 block is" : `${formatCount(lostBlocks)} blocks are`;
  out.note(`  ${blocks} in no good record of its packs${inCopy}`);
}

async function showResult(
  context: CommandContext,
  job: Repairing & { readonly id: ExhibitId; readonly damaged: number },
  repaired: RepairedExhibit,
): Promise<number> {
  const { out } = context;
  const { id, damaged, key } = job;
  const { summary, lacking, restoredFiles, needsIdentity } = repaired;
  for (const { file, state } of lacking) {
    out.error(new OperatorError("integrity", `${id}: "${file}" is ${state}, and no sound copy is known`));
  }
  const codes: number[] = [];
  const stillDamaged = (summary?.findings ?? 0) + lacking.length;
  if (needsIdentity) codes.push(await tellIdentity(context, job));
  const isOfIdentity = needsIdentity && lacking.every(({ file }) => file.startsWith("packs/"));
  if (stillDamaged > 0 && !(isOfIdentity && !summary)) codes.push(20);
  else if (!key && damaged > 0) codes.push(20);
  const done = doneText(restoredFiles, summary);
  const state = !key
    ? damaged > 0 ? "DAMAGED; nothing was changed" : SOUND
    : damaged === 0
    ? SOUND
    : stillDamaged > 0
    ? `DAMAGED STILL, ${formatCount(stillDamaged)} ${stillDamaged === 1 ? "finding" : "findings"}; ${done}`
    : `repaired: ${done}`;
  out.result(`${id}  ${repaired.exhibit?.inventory.snapshot ?? "-"}  ${state}\n`);
  out.event({
    type: "summary",
    exhibit: id,
    isDryRun: !key,
    damaged,
    stillDamaged,
    ...summary,
    restoredFiles,
  });
  if (stillDamaged > 0) out.hint(OTHER_COPY_HINT);
  else if (!key && damaged > 0) out.hint('Run "coldcase repair" to do it.');
  tellCustody(job, repaired);
  await tellAdded(context, job, repaired);
  return gravestExitCode(codes);
}

/** New packs are for the store's recipients, not for those who were let into an exhibit. */
async function tellAdded(
  { out }: CommandContext,
  { store, id }: Repairing & { readonly id: ExhibitId },
  { exhibit, summary }: RepairedExhibit,
): Promise<void> {
  if (store.file.mode === "plain" || !exhibit || !summary?.newPacks) return;
  if ((await store.access.of(exhibit)).added.length === 0) return;
  out.note(`who was added to ${id} lacks headers for its new packs: "coldcase recipients add" makes them`);
}

async function tellIdentity({ out }: CommandContext, { store, id }: Repairing & { readonly id: ExhibitId }) {
  const refusal = new OperatorError(
    "identity",
    `Cannot repair "${id}" further: its packs must be opened for it, and nothing given opens them`,
    { hints: await store.access.identityHints(), facts: { exhibit: id } },
  );
  out.error(refusal);
  return refusal.exitCode;
}

function doneText(restoredFiles: number, summary: RepairSummary | undefined): string {
  const { salvagedBlocks = 0, foundBlocks = 0, copiedBlocks = 0, refetchedBlocks = 0 } = summary ?? {};
  const texts = [
    `${formatCount(restoredFiles)} files restored`,
    `${formatCount(salvagedBlocks)} blocks salvaged`,
    ...(foundBlocks > 0 ? [`${formatCount(foundBlocks)} found in other packs`] : []),
    ...(copiedBlocks > 0 ? [`${formatCount(copiedBlocks)} from the other copy`] : []),
    ...(refetchedBlocks > 0 ? [`${formatCount(refetchedBlocks)} read again`] : []),
  ];
  return texts.join(", ");
}

function tellCustody(
  { note, id }: { readonly note: CustodyNote | undefined; readonly id: ExhibitId },
  { summary, restoredFiles, lacking }: RepairedExhibit,
): void {
  if (!note) return;
  const { salvagedBlocks = 0, foundBlocks = 0, copiedBlocks = 0, refetchedBlocks = 0 } = summary ?? {};
  const counts = { restoredFiles, salvagedBlocks, foundBlocks, copiedBlocks, refetchedBlocks };
  const text = Object.entries(counts).map(([name, count]) => `${name} ${count}`).join(", ");
  note.tell(`${id} repair`, `${text}, stillDamaged ${(summary?.findings ?? 0) + lacking.length}`);
  if (summary?.inventory) note.tell(`${id} inventory`, summary.inventory);
}
