/**
 * `recipients`: who can open an encrypted store. `recipients add` lets others open it too, by new headers beside the
 * files; nothing that is there changes, and nobody loses anything.
 */
import { resolve } from "@std/path";
import { type CommandContext, defineCommand, STORE_OPTIONS } from "../cli/mod.ts";
import { gravestExitCode, isFault, OperatorError } from "../errors.ts";
import type { SigningKey } from "../keys.ts";
import {
  type Exhibit,
  type ExhibitAccess,
  type NewRecipients,
  openStore,
  openStoreForWriting,
  type OuterExhibit,
  type Store,
} from "../store/mod.ts";
import { formatCount } from "../units.ts";
import { givenRecipients, IDENTITY_OPTIONS, openIdentities } from "./_identities.ts";
import { CUSTODY_OPTIONS, type CustodyNote, openKey, withCustody } from "./_custody.ts";

/** What somebody might type who wants to take access away. */
const REMOVING = ["remove", "rm", "delete", "revoke"];

export const recipients = defineCommand({
  usage: "[add] [EXHIBIT…]",
  argumentChoices: ["add"],
  description:
    `Says who can open the files of an encrypted store: for whom is what is written from now on, and who was added to which exhibit. It needs no identity. The headers of age files name nobody, so of those that an exhibit was written with only number and kind are known.

"recipients add" lets others open what is there, too. Each file's key is encrypted to them in a new header; the headers are published in signed files beside the exhibit. It needs an identity that opens the files (-i). Files, inventory and signatures stay as they are, and age alone can read by the new headers: store-format.md has the recipe.

Where no exhibit is named, it adds them to all, and to the store's own list: what is written from then on is for them as well. With exhibits named, to these only.

It takes nothing from anybody. Who could open a file can open it for ever, and so can who was added.`,
  options: {
    recipient: {
      short: "r",
      value: "RECIPIENT",
      repeatable: true,
      summary: "add: who shall open it too, age1…",
    },
    "recipients-file": {
      short: "R",
      value: "FILE",
      repeatable: true,
      summary: "add: the same, one a line",
    },
    lineage: {
      summary: "add: digests only, no contents",
      details: "They can open manifests, segments and documents, but no pack.",
    },
    identity: { short: "i", value: "FILE", repeatable: true, summary: "add: identity that opens the files" },
    "passphrase-file": IDENTITY_OPTIONS["passphrase-file"],
    ...CUSTODY_OPTIONS,
    ...STORE_OPTIONS,
  },
  exitCodes: {
    not_found: true,
    locked: true,
    identity: true,
    storage: true,
    integrity: "a file is missing or damaged and got no header; the others did",
    format: true,
  },
  examples: [
    { command: "coldcase recipients", says: "who can open what" },
    { command: "coldcase recipients add -r age1… -i examiner.age", says: "one more for the whole store" },
    {
      command: "coldcase recipients add snap-0123456789abcdef0 -R team.txt -i examiner.age",
      says: "several for one exhibit",
    },
  ],
  async run(context, { args, options }) {
    const [verb, ...others] = args;
    if (verb !== "add") {
      refuseOtherVerbs(verb, [...options.recipient, ...options["recipients-file"]].length > 0);
      return await list(context, { path: resolve(options.store), references: args });
    }
    const recipients = await givenRecipients(options);
    if (!recipients) throw refusal("usage", "none was given, expected -r RECIPIENT or -R FILE");
    const identities = await openIdentities(context, options);
    const path = resolve(options.store);
    // Opening for writing makes a store where there is none.
    await refuseAbsent(context, path, { hasIdentity: identities !== undefined });
    const added: NewRecipients = { recipients, opens: options.lineage ? "lineage" : "contents" };
    const key = await openKey(context, options["sign-key"]);
    const store = await openStoreForWriting(context.world, path, { identities });
    try {
      return await withCustody(
        context,
        { store, key, action: "recipients", options },
        (note) => add(context, { store, key, added, references: others, note }),
      );
    } finally {
      store.close();
    }
  },
});

function refuseOtherVerbs(verb: string | undefined, hasRecipients: boolean): void {
  if (verb !== undefined && REMOVING.includes(verb)) {
    throw new OperatorError(
      "usage",
      "Cannot remove a recipient: who could open a file can open it for ever",
      {
        hints: [
          "Encrypt a copy for others, into another store, and keep this one from who must not have it.",
        ],
      },
    );
  }
  if (!hasRecipients) return;
  throw new OperatorError("usage", "Cannot list recipients: some were given", {
    hints: ['Did you mean "coldcase recipients add"?'],
  });
}

function refusal(code: "usage" | "identity", state: string, hints: readonly string[] = []): OperatorError {
  return new OperatorError(code, `Cannot add recipients: ${state}`, { hints });
}

/** A store that is not there, or an identity. */
async function refuseAbsent(
  { world }: CommandContext,
  path: string,
  { hasIdentity }: { readonly hasIdentity: boolean },
): Promise<void> {
  const store = await openStore(world, path);
  try {
    if (hasIdentity) return;
    refusePlain(store);
    const hints = ["Only who can open a file can let others open it.", ...await store.access.identityHints()];
    throw refusal("identity", "no identity was given, expected -i FILE", hints);
  } finally {
    store.close();
  }
}

interface Adding {
  readonly store: Store;
  readonly key: SigningKey;
  readonly added: NewRecipients;
  /** None: all exhibits, and what is written from now on. */
  readonly references: readonly string[];
  readonly note: CustodyNote;
}

async function add(context: CommandContext, adding: Adding): Promise<number> {
  const { out } = context;
  const { store, added, references, note } = adding;
  const isWhole = references.length === 0;
  note.tell("opens", added.opens);
  note.tell("recipients", added.recipients.list.map(shortened).join(" "));
  note.tell("wholeStore", isWhole);
  refusePlain(store);
  // Before a header is made for somebody whom the store can't have.
  const isExtended = isWhole && await store.access.isExtendedBy(added);
  const codes: number[] = [];
  const open = isWhole
    ? (await store.exhibitIds()).map((id) => () => store.exhibit(id))
    : references.map((reference) => () => store.find(reference));
  for (const [position, one] of open.entries()) {
    const number = { number: position + 1, count: open.length };
    try {
      const exhibit = await one();
      note.about(exhibit);
      codes.push(await addTo(context, adding, { exhibit, number }));
    } catch (error) {
      // Of what was named an absence ends it; one that is damaged must not keep the others from theirs.
      if (!isFault(error) || error.code === "not_found" || error.code === "usage") throw error;
      out.error(error);
      codes.push(error.exitCode);
    }
  }
  if (isWhole) {
    await store.access.extend(added);
    const state = isExtended ? "will be for them too" : "is for them already";
    out.result(`${store.path}: what is written from now on ${state}\n`);
    out.event({ type: "recipients_extended", store: store.path, isExtended });
    await tellUnfinished(context, store);
  }
  out.note("nothing was taken from anybody: who could open these files before can do so for ever");
  return gravestExitCode(codes);
}

function refusePlain({ file, path }: Store): void {
  if (file.mode === "encrypted") return;
  throw new OperatorError("usage", `Cannot add recipients to "${path}": it is plain, anybody can read it`);
}

async function addTo(
  { out, signal }: CommandContext,
  { store, key, added, note }: Adding,
  { exhibit, number }: {
    readonly exhibit: Exhibit;
    readonly number: { readonly number: number; readonly count: number };
  },
): Promise<number> {
  const { snapshot } = exhibit.manifest.source;
  const progress = out.progress({ label: `recipients of ${snapshot}`, unit: "files", done: 0, ...number });
  let faults = 0;
  try {
    const summary = await store.access.add(exhibit, {
      ...added,
      key,
      signal,
      onFault(error) {
        faults++;
        out.error(error);
      },
      onProgress: ({ doneFiles, totalFiles }) => progress.update({ done: doneFiles, total: totalFiles }),
    });
    note.tell(exhibit.id, summary.addedHeaders);
    progress.end();
    out.result(`${exhibit.id}  ${snapshot}  ${summaryText(summary, faults)}\n`);
    out.event({
      type: "summary",
      exhibit: exhibit.id,
      snapshot,
      opens: added.opens,
      recipients: added.recipients.list,
      ...summary,
      faults,
    });
  } finally {
    progress.end();
  }
  return faults === 0 ? 0 : 20;
}

function summaryText(
  { addedHeaders, heldHeaders }: { readonly addedHeaders: number; readonly heldHeaders: number },
  faults: number,
): string {
  const without = faults === 0 ? "" : `; ${formatCount(faults)} without one, which do not open`;
  return addedHeaders === 0 && faults === 0
    ? `nothing to do: ${formatCount(heldHeaders)} headers are there`
    : `${formatCount(addedHeaders)} headers added, ${formatCount(heldHeaders)} were there${without}`;
}

async function tellUnfinished({ out }: CommandContext, store: Store): Promise<void> {
  for (const { source } of await store.journals()) {
    out.note(
      `${source.snapshot} is being acquired: what is written of it already they can't open; ` +
        "run this again when it is complete",
    );
  }
}

async function list(
  { world, out }: CommandContext,
  { path, references }: { readonly path: string; readonly references: readonly string[] },
): Promise<number> {
  const store = await openStore(world, path);
  try {
    const { contents, lineage } = store.access.lists;
    const lines = [...linesOf("for contents", contents), ...linesOf("for lineage", lineage ?? [])];
    out.result(["what is written from now on", ...lines, ""].join("\n"));
    out.event({ type: "recipients", store: store.path, contents, lineage });
    const codes: number[] = [];
    const found = new Set<string>();
    for (const id of await store.exhibitIds()) {
      try {
        const exhibit = await store.outerExhibit(id);
        const names = [id, exhibit.inventory.snapshot].filter((name) => references.includes(name));
        for (const name of names) found.add(name);
        if (references.length === 0 || names.length > 0) show(out, exhibit, await store.access.of(exhibit));
      } catch (error) {
        if (!isFault(error)) throw error;
        out.error(error);
        codes.push(error.exitCode);
      }
    }
    const lacking = references.find((name) => !found.has(name));
    if (lacking !== undefined) throw notListed(lacking, path);
    return gravestExitCode(codes);
  } finally {
    store.close();
  }
}

function notListed(reference: string, path: string): OperatorError {
  return new OperatorError(
    "not_found",
    `Cannot list recipients of "${reference}": the store "${path}" has no exhibit or snapshot of this id`,
    { hints: ['"coldcase recipients" lists all; "coldcase recipients add" adds some.'] },
  );
}

function linesOf(label: string, list: readonly string[]): string[] {
  return list.map((text) => `  ${label}  ${shortened(text)}`);
}

/** A post-quantum recipient has two thousand characters; its first ones tell it from others as well. */
function shortened(recipient: string): string {
  return recipient.length > 62 ? `${recipient.slice(0, 61)}…` : recipient;
}

function show(
  out: CommandContext["out"],
  exhibit: OuterExhibit,
  { ownKinds, added, damaged }: ExhibitAccess,
): void {
  const { snapshot } = exhibit.inventory;
  const count = ownKinds.length === 1 ? "1 recipient" : `${formatCount(ownKinds.length)} recipients`;
  const groups = groupsOf(added);
  out.result([
    `${exhibit.id}  ${snapshot}`,
    `  written for ${count} (${[...new Set(ownKinds)].join(", ")})`,
    ...groups.flatMap(({ opens, recipients, files, madeAt }) =>
      linesOf(`added ${madeAt} for ${opens}, ${formatCount(files)} files`, recipients)
    ),
    "",
  ].join("\n"));
  out.event({ type: "exhibit_recipients", exhibit: exhibit.id, snapshot, ownKinds, added: groups, damaged });
  for (const file of damaged) {
    out.warn(`"${file}" is damaged: some may lack a header; "recipients add" makes them anew`);
  }
}

/** Parts of one run are one line; of several runs for the same recipients the first is told. */
function groupsOf(parts: ExhibitAccess["added"]) {
  const groups = new Map<
    string,
    Pick<ExhibitAccess["added"][number], "opens" | "recipients" | "madeAt"> & { files: number }
  >();
  for (const { opens, recipients, madeAt, fileCount } of parts) {
    const key = [opens, ...recipients].join(" ");
    const group = groups.get(key) ?? { opens, recipients, madeAt, files: 0 };
    groups.set(key, {
      ...group,
      madeAt: madeAt < group.madeAt ? madeAt : group.madeAt,
      files: group.files + fileCount,
    });
  }
  return [...groups.values()];
}
