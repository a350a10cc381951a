/**
 * `custody`: shows the custody log, chain by chain, the oldest entry first, and checks it; `--append` adds an
 * entry of the operator's own words.
 */
import { resolve } from "@std/path";
import { type CommandContext, defineCommand, sanitize, STORE_OPTIONS } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import type { CustodyEntry } from "../format/custody.ts";
import type { CustodyHead } from "../format/members.ts";
import type { Digest } from "../model.ts";
import { openStore, type Store } from "../store/mod.ts";
import { isDigest } from "../units.ts";
import { CUSTODY_OPTIONS, headText, openKey, withCustody } from "./_custody.ts";

export const custody = defineCommand({
  usage: "",
  description:
    `Shows who did what with the evidence of this store, when, why, and how it ended; and checks that the log is whole: no entry changed, reordered, or missing before one that something else names.

What is missing after the last entry that anything names can't be found. Write down the head that each command prints, and give it with --custody-head: then it can.`,
  options: {
    append: { value: "TEXT", summary: "add an entry in your own words" },
    "custody-head": { value: "DIGEST", summary: "an entry that must be there" },
    ...CUSTODY_OPTIONS,
    ...STORE_OPTIONS,
  },
  exitCodes: {
    not_found: true,
    identity: "the key can't be opened",
    storage: true,
    integrity: true,
    format: true,
  },
  examples: [
    { command: "coldcase custody", says: "the log, and whether it is whole" },
    { command: "coldcase custody --append 'Disk sealed, bag 4711'", says: "an entry of your own" },
  ],
  async run(context, { options }) {
    const { world } = context;
    const { append } = options;
    const store = await openStore(world, resolve(options.store));
    try {
      if (append === undefined) return await show(context, store, options["custody-head"]);
      const key = await openKey(context, options["sign-key"]);
      return await withCustody(context, { store, key, action: "note", options }, (note) => {
        note.tell("note", append);
        return Promise.resolve(0);
      });
    } finally {
      store.close();
    }
  },
});

async function show(
  { out }: CommandContext,
  store: Store,
  expectedHead: string | undefined,
): Promise<number> {
  if (expectedHead !== undefined && !isDigest(expectedHead)) {
    throw new OperatorError(
      "usage",
      `Cannot look for custody head "${expectedHead}": expected 64 hexadecimal digits`,
    );
  }
  let isHeadThere = expectedHead === undefined;
  let chain = "";
  const { entries, heads, faults } = await store.evidence.checkCustody([], (entry, digest) => {
    if (digest === expectedHead) isHeadThere = true;
    if (entry.chain !== chain) {
      out.result(`chain ${entry.chain}, ${sanitize(entry.host.hostname)}, ${entry.signer}\n`);
    }
    chain = entry.chain;
    out.result(entryText(entry, digest));
    out.event({ ...entry, type: "entry", digest });
  });
  for (const { message, ...fault } of faults) {
    out.event({ type: "finding", ...fault, message });
    out.error(new OperatorError("integrity", message));
  }
  if (!isHeadThere) {
    const message = `no good entry of the custody log has the digest ${expectedHead}`;
    out.event({ type: "finding", code: "custody_missing", message });
    out.error(new OperatorError("integrity", message));
  }
  for (const head of heads) out.note(`custody log: ${headText(head)}`);
  if (entries === 0) out.note("the custody log is empty");
  const isWhole = faults.length === 0 && isHeadThere;
  out.event({
    type: "summary",
    entries,
    heads: heads as readonly CustodyHead[],
    findings: faults.length + (isHeadThere ? 0 : 1),
  });
  return isWhole ? 0 : 20;
}

function entryText(entry: CustodyEntry, digest: Digest): string {
  const { at, action, exhibits, result, host, reason } = entry;
  const facts = Object.entries(result.facts).map(([name, value]) => `${name} ${value}`);
  const lines = [
    `${
      String(entry.sequence).padStart(4)
    }  ${at}  ${action}  ${result.outcome} (${result.exitCode})  by ${host.user}`,
    ...exhibits.map(({ exhibit }) => `      ${exhibit}`),
    ...facts.map((fact) => `      ${fact}`),
    ...(reason === null ? [] : [`      why: ${reason}`]),
    `      ${digest}`,
  ];
  return lines.map((line) => `${sanitize(line)}\n`).join("");
}
