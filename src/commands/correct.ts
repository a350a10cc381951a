/**
 * `correct`: sets right what was recorded wrongly of an exhibit's case, as a signed addendum. The manifest stays as it was
 * signed, and so does every correction before; what is shown from then on is the new value, with the old one beside it.
 */
import { resolve } from "@std/path";
import { refuseLongFacts } from "../acquisition/mod.ts";
import { type CommandContext, defineCommand, sanitize, STORE_OPTIONS } from "../cli/mod.ts";
import { gravestExitCode, OperatorError } from "../errors.ts";
import { correctionFact } from "../format/custody.ts";
import type { CaseFacts } from "../format/manifest.ts";
import type { SigningKey } from "../keys.ts";
import { type Exhibit, type OpenOptions, openStore, openStoreForWriting, type Store } from "../store/mod.ts";
import { formatCount, formatTime } from "../units.ts";
import { CASE_OPTIONS } from "./_case.ts";
import { CASE_TITLES, changesText, correctionNotes } from "./_corrections.ts";
import { CUSTODY_OPTIONS, type CustodyNote, openKey, withCustody } from "./_custody.ts";
import { usedNumberNotes } from "./_evidence_numbers.ts";
import { exhibitEvent } from "./_exhibits.ts";
import { findGroup, groupWish } from "./_groups.ts";
import { IDENTITY_OPTIONS, openIdentities } from "./_identities.ts";

const MEMBERS = Object.keys(CASE_TITLES) as (keyof CaseFacts)[];

export const correct = defineCommand({
  usage: "EXHIBIT…",
  description:
    `Corrects what was recorded of an exhibit's case: a signed addendum says the new value, the old one, who corrects, when and why. The manifest is never changed.

An instance's id in place of EXHIBIT means all exhibits of that instance. The flags are what should have been recorded: --examiner is who acquired, --by is who corrects. No environment variable fills them; COLDCASE_EXAMINER fills --by.

From then on every command shows the corrected value with the recorded one beside it, and an exhibit is found by its corrected evidence number. A correction can be corrected. Two that were made in two copies of a store, not knowing of each other, disagree when the copies meet: "verify" tells it, what was recorded is shown, and the next correction settles it.

Where --case leaves all exhibits of a store in one case that is not the store's, the store is of that case from then on.`,
  options: {
    case: { value: "CASE", summary: "the right case" },
    evidence: { value: "NUMBER", summary: "the right evidence number; for one EXHIBIT" },
    examiner: { value: "NAME", summary: "who acquired" },
    organization: CASE_OPTIONS.organization,
    authority: CASE_OPTIONS.authority,
    notes: CASE_OPTIONS.notes,
    clear: {
      value: "WHAT",
      repeatable: true,
      choices: MEMBERS,
      summary: "take a value away",
    },
    by: { value: "NAME", environment: CASE_OPTIONS.examiner.environment, summary: "who corrects" },
    ...CUSTODY_OPTIONS,
    reason: { value: "TEXT", summary: "why; must be given", section: "Store" },
    ...IDENTITY_OPTIONS,
    ...STORE_OPTIONS,
  },
  exitCodes: {
    not_found: true,
    locked: true,
    identity: "nothing given opens the exhibit, or the key can't be opened",
    storage: true,
    integrity: true,
    format: true,
  },
  examples: [
    {
      command: "coldcase correct 7 --case 2026-115 --reason 'Typing error'",
      says: "the case number was wrong",
    },
    {
      command: "coldcase correct 7 --evidence 8 --by 'B. Lead' --reason '7 is a laptop'",
      says: "the evidence number was; found as 8 from now on",
    },
  ],
  async run(context, { args, options }) {
    const { out } = context;
    const { by, reason, ...others } = options;
    const values = valuesOf(others);
    refuseIncomplete({ values, reason, count: args.length });
    if (by === undefined) {
      out.warn("no --by, no COLDCASE_EXAMINER: the correction will not say who made it");
    }
    const identities = await openIdentities(context, options);
    const key = await openKey(context, options["sign-key"]);
    const path = resolve(options.store);
    const store = await openStore(context.world, path, { identities });
    try {
      const log = { ...options, examiner: by };
      return await withCustody(context, { store, key, action: "correct", options: log }, async (note) => {
        const wish = { values, reason: reason!, correctedBy: by ?? null, key };
        const { exhibits, codes } = await exhibitsOf(context, store, args);
        refuseIncomplete({ values, reason, count: exhibits.length });
        for (const exhibit of exhibits) {
          refuseLongFacts({ ...exhibit.corrections.facts, ...values });
          note.about(exhibit);
        }
        if (values.evidence && exhibits[0]) {
          const given = new Map([[exhibits[0].manifest.source.snapshot, values.evidence]]);
          for (const text of await usedNumberNotes(store, given)) out.warn(text);
        }
        for (const exhibit of exhibits) await correctOne(context, { store, exhibit, wish, note });
        for (const text of store.tolerated) out.note(text);
        if (options.case !== undefined) {
          await settleLabel(context, { store, caseName: options.case, open: { identities }, note });
        }
        return gravestExitCode(codes);
      });
    } finally {
      store.close();
    }
  },
});

/** Those that were named, each once, and of each instance all; exit codes of those of which nobody knows whose they are. */
async function exhibitsOf(
  context: CommandContext,
  store: Store,
  references: readonly string[],
): Promise<{ readonly exhibits: readonly Exhibit[]; readonly codes: readonly number[] }> {
  const wish = groupWish(references, { case: undefined });
  const group = wish && await findGroup(context, store, wish);
  const exhibits = new Map((group?.exhibits ?? []).map((exhibit) => [exhibit.id, exhibit]));
  for (const reference of references) {
    if (wish?.instances.includes(reference)) continue;
    const exhibit = await store.find(reference);
    exhibits.set(exhibit.id, exhibit);
  }
  return { exhibits: [...exhibits.values()], codes: group?.codes ?? [] };
}

/** What is to be otherwise. Throws `usage` where a value is both given and taken away. */
function valuesOf(
  options: { readonly [K in keyof CaseFacts]: string | undefined } & { readonly clear: readonly string[] },
): Partial<CaseFacts> {
  const values: Partial<Record<keyof CaseFacts, string | null>> = {};
  for (const member of MEMBERS) {
    const value = options[member];
    const isCleared = options.clear.includes(member);
    if (isCleared && value !== undefined) {
      throw new OperatorError(
        "usage",
        `Cannot correct: --${member} and --clear ${member} exclude each other`,
      );
    }
    if (isCleared) values[member] = null;
    else if (value !== undefined) values[member] = value;
  }
  return values;
}

/** Throws `usage`. */
function refuseIncomplete(
  { values, reason, count }: {
    readonly values: Partial<CaseFacts>;
    readonly reason: string | undefined;
    readonly count: number;
  },
): void {
  const refuse = (fault: string, hint: string) => {
    throw new OperatorError("usage", `Cannot correct: ${fault}`, { hints: [hint] });
  };
  if (Object.keys(values).length === 0) {
    refuse(
      "nothing was given that should have been recorded",
      `Give one of ${MEMBERS.map((one) => `--${one}`).join(", ")}, or --clear.`,
    );
  }
  if (reason === undefined) {
    refuse("no reason was given", "Give --reason TEXT: it stands beside the old value.");
  }
  if (count > 1 && values.evidence) {
    refuse("one evidence number was given for several exhibits", "Correct evidence numbers one by one.");
  }
  if (reason !== undefined && reason.length > 4096) {
    refuse(`the reason has ${reason.length} characters, expected at most 4,096`, "Say it in fewer words.");
  }
}

interface Wish {
  readonly values: Partial<CaseFacts>;
  readonly reason: string;
  readonly correctedBy: string | null;
  readonly key: SigningKey;
}

async function correctOne(
  { out, world }: CommandContext,
  { store, exhibit, wish, note }: {
    readonly store: Store;
    readonly exhibit: Exhibit;
    readonly wish: Wish;
    readonly note: CustodyNote;
  },
): Promise<void> {
  const { key, ...said } = wish;
  const { hostname, operatingSystem, user } = world.host;
  const { snapshot } = exhibit.manifest.source;
  for (const text of exhibit.corrections.unread.length > 0 ? correctionNotes(exhibit) : []) out.warn(text);
  const made = await store.evidence.addCorrection(exhibit, {
    ...said,
    at: formatTime(world.clock.nowMs()),
    host: { hostname, operatingSystem, user },
  }, key);
  const event = {
    type: "summary",
    ...exhibitEvent(await store.exhibit(exhibit.id)),
    correctionFile: made?.file ?? null,
    correction: made?.document ?? null,
    signer: key.fingerprint,
  };
  out.event(event);
  if (!made) {
    out.note(`${exhibit.id} (${snapshot}): is so already; nothing to do`);
    return;
  }
  note.tell(correctionFact(exhibit.id), made.digest);
  const { before, after, previous } = made.document;
  const settled = previous.length > 1 ? `, settling ${formatCount(previous.length)} that disagreed` : "";
  const lines = changesText(before, after).map((text) => `  ${sanitize(text)}\n`);
  out.result(
    `${exhibit.id}  ${snapshot}  corrected${settled}, signed by ${key.fingerprint}\n${lines.join("")}`,
  );
}

/**
 * A store is of one case. What it says of itself is a label, and follows where all exhibits are of another one: then the
 * next acquisition of the right case is not refused. Whoever writes to the store at the moment keeps it as it is.
 */
async function settleLabel(
  { out, world }: CommandContext,
  { store, caseName, open, note }: {
    readonly store: Store;
    readonly caseName: string;
    readonly open: OpenOptions;
    readonly note: CustodyNote;
  },
): Promise<void> {
  const { path, file: { case: label, mixedCases } } = store;
  if (label === null || label === caseName) return;
  try {
    const writable = await openStoreForWriting(world, path, { ...open, unsafeFileSystem: true });
    try {
      const others = (await writable.exhibits()).filter(({ corrections }) =>
        corrections.facts.case !== caseName
      );
      if (others.length > 0) {
        out.note(
          `the store stays one of case "${label}": ${
            formatCount(others.length)
          } of its exhibits are not of ` +
            `"${caseName}"${mixedCases ? "" : `, and acquiring for that takes --mixed-cases`}`,
        );
        return;
      }
      await writable.relabel(caseName);
    } finally {
      writable.close();
    }
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    out.warn(`the store stays one of case "${label}", run this again later: ${error.message}`);
    return;
  }
  note.tell("storeCase", caseName);
  out.note(sanitize(`the store is of case "${caseName}" now, as all its exhibits are; it was of "${label}"`));
}
