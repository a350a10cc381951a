/**
 * `verify` of an encrypted store that nothing was given to open with: the outer level of each exhibit, said to be no
 * more than that. What was asked for and needs the contents is refused, never left out.
 */
import type { CommandContext } from "../cli/mod.ts";
import { gravestExitCode, OperatorError } from "../errors.ts";
import type { VerifyingKey } from "../format/verifying_key.ts";
import type { OuterExhibit, Store, VerifyOptions } from "../store/mod.ts";
import { formatCount, formatSize } from "../units.ts";
import type { CustodyNote } from "./_custody.ts";
import { outerEvent, outerText } from "./_exhibits.ts";
import { findingsOf } from "./_findings.ts";

/** How much of an exhibit was looked at, for people, programs and the custody log: never more than it was. */
export function levelText(
  reached: "asked" | "outer" | "digests" | "partial",
  level: VerifyOptions["level"],
): string {
  const asked = typeof level === "string" ? level : `${level.part}/${level.of}`;
  return reached === "asked" ? asked : asked === "full" ? reached : `${reached}, ${asked}`;
}

/** What an unopened exhibit can't answer is refused, never left out. Throws `identity`. */
export async function refuseUnopened(
  store: Store,
  options: {
    readonly content: boolean;
    readonly "against-source": boolean;
    readonly "read-back": string | undefined;
  },
): Promise<void> {
  const asked = options.content
    ? "--content"
    : options["against-source"]
    ? "--against-source"
    : options["read-back"] !== undefined
    ? "--read-back"
    : undefined;
  if (asked === undefined) return;
  throw new OperatorError(
    "identity",
    `Cannot verify with ${asked}: the store is encrypted, and nothing was given to open it with`,
    {
      hints: [
        ...await store.access.identityHints(),
        "Without an identity and without this option the outer level is verified.",
      ],
    },
  );
}

interface OuterJob {
  readonly store: Store;
  readonly level: VerifyOptions["level"];
  readonly keys: readonly VerifyingKey[];
}

interface UnopenedJob extends OuterJob {
  readonly references: readonly string[];
  readonly note: CustodyNote;
}

/** The outer level of an encrypted store. */
export async function verifyUnopened(context: CommandContext, job: UnopenedJob): Promise<number> {
  const { out } = context;
  const { store, references, note } = job;
  const find = references.length > 0
    ? references.map((reference) => () => store.findOuter(reference))
    : (await store.exhibitIds()).map((id) => () => store.outerExhibit(id));
  const codes: number[] = [];
  for (const [position, one] of find.entries()) {
    try {
      const exhibit = await one();
      note.about(exhibit);
      codes.push(
        await verifyOuterOne(context, {
          ...job,
          exhibit,
          number: { number: position + 1, count: find.length },
        }),
      );
      note.tell(exhibit.id, codes.at(-1)!);
    } catch (error) {
      if (!(error instanceof OperatorError) || (error.code !== "integrity" && error.code !== "format")) {
        throw error;
      }
      out.error(error);
      out.event({ type: "finding", code: "exhibit_unusable", message: error.message, ...error.facts });
      codes.push(error.exitCode);
    }
  }
  if (codes.length === 0) out.note("the store holds no exhibit");
  out.note("the store is encrypted and was not opened: what is in its files was NOT verified; -i FILE does");
  return gravestExitCode(codes);
}

/** One exhibit. Gives its exit code. */
export async function verifyOuterOne(
  context: CommandContext,
  job: OuterJob & {
    readonly exhibit: OuterExhibit;
    readonly number: { readonly number: number; readonly count: number };
  },
): Promise<number> {
  const { out, signal } = context;
  const { store, exhibit, level, keys } = job;
  const label = `verify ${exhibit.inventory.snapshot}`;
  const progress = out.progress({ label, unit: "bytes", done: 0, ...job.number });
  const findings = findingsOf(context, exhibit.id);
  const { onFinding } = findings;
  const summary = await store.verifyOuter(exhibit, {
    level,
    signal,
    onProgress: ({ readBytes, totalBytes }) => progress.update({ done: readBytes, total: totalBytes }),
    onFinding,
  });
  progress.end();
  const evidence = await store.evidence.check(exhibit, { keys, onFinding });
  const { count } = findings.end();
  const verdict = count === 0 ? "sound as far as it shows from outside" : `${formatCount(count)} findings`;
  out.result(
    `${outerText(exhibit)}  OUTER LEVEL ONLY: ${formatCount(summary.files)} files, ${
      formatSize(summary.readBytes)
    } read, ${formatCount(evidence.custody.entries)} custody entries: ${verdict}\n`,
  );
  out.event({
    type: "summary",
    ...outerEvent(exhibit),
    level: levelText("outer", level),
    ...summary,
    storedBlocks: null,
    uncheckedBlocks: null,
    unopenedAddenda: evidence.unopenedAddenda.length,
    findings: count,
    signers: evidence.signers.map(({ key }) => key.fingerprint),
    isAuthenticated: evidence.isAuthenticated,
    custodyEntries: evidence.custody.entries,
    custodyHeads: evidence.custody.heads,
  });
  return count === 0 ? 0 : 20;
}
