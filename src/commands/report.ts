/**
 * `report`: one exhibit, or those of an instance or a case together, for the case file, as Markdown or JSON, every
 * statement with the file that it comes from. It is not entered into the custody log: it reads no evidence out and writes
 * nothing.
 */
import { type CommandContext, defineCommand, jsonLine, type OutputEvent, STORE_OPTIONS } from "../cli/mod.ts";
import { gravestExitCode, OperatorError } from "../errors.ts";
import type { VerifyingKey } from "../format/verifying_key.ts";
import type { Store } from "../store/mod.ts";
import { findGroup, type Group, GROUP_OPTIONS, groupWish, incompleteSets } from "./_groups.ts";
import { gatherReport, type ReportData } from "./_report.ts";
import { groupMarkdown, groupReport } from "./_report_group.ts";
import { reportMarkdown } from "./_report_markdown.ts";
import { verifyingKeys } from "./_verifying_keys.ts";
import { IDENTITY_OPTIONS, openStoreWith } from "./_identities.ts";

export const report = defineCommand({
  usage: "[EXHIBIT]",
  description:
    `Writes to stdout what the store says of one exhibit: case, source, counts, unreadable places, digests, acquisition, lineage, signatures and custody, each statement with the file that it comes from; what was checked for it, what was not, and what it does not claim; and the commands with which others check it without coldcase.

It checks documents, signatures and the custody log. It reads no block data: verify does, and the report shows the verifications that the custody log names.

With an instance's id in place of EXHIBIT it is one document on all exhibits of that instance: each set of its snapshots, by device, what of it is not held, then a report on each. With --case it is one on all exhibits of a case.`,
  options: {
    ...GROUP_OPTIONS,
    format: {
      value: "FORMAT",
      choices: ["md", "json"],
      default: "md",
      summary: "Markdown, or one JSON object as with --json",
    },
    "verify-key": {
      value: "FILE",
      repeatable: true,
      summary: "who may have signed; any other signer fails",
      details: "A public key, an allowed_signers file, or a PEM. Without it the signer is told, not judged.",
    },
    ...IDENTITY_OPTIONS,
    ...STORE_OPTIONS,
  },
  exitCodes: {
    incomplete: "a snapshot of an instance's set is not held",
    identity: "nothing given opens the exhibit",
    not_found: true,
    integrity: "something does not match; the report says what",
    format: true,
  },
  examples: [
    { command: "coldcase report snap-0123456789abcdef0 > report.md", says: "for the case file" },
    { command: "coldcase report 7 --verify-key examiner.pub", says: "with a signer that you vouch for" },
    { command: "coldcase report --case 2026-114 > case.md", says: "all exhibits of a case, in one document" },
  ],
  async run(context, { args, options }) {
    const { out, world } = context;
    const wish = groupWish(args.filter((reference) => reference !== undefined), options);
    const [reference] = args;
    if (!wish && reference === undefined) {
      throw new OperatorError("usage", "Cannot report: EXHIBIT is missing", {
        hints: ["Name an exhibit, an instance, or a case with --case."],
      });
    }
    const keys = verifyingKeys(world.disk, options["verify-key"]);
    const store = await openStoreWith(context, options);
    try {
      const isJson = options.format === "json";
      if (wish) {
        return await reportGroup(context, { store, keys, isJson }, await findGroup(context, store, wish));
      }
      const data = await gatherReport(store, await store.find(reference!), keys);
      print(context, { type: "report", ...data }, { isJson, text: () => reportMarkdown(data) });
      for (const text of store.tolerated) out.note(text);
      return tellFindings(context, [data]);
    } finally {
      store.close();
    }
  },
});

/** One document: as text, or as an object. */
function print(
  { out }: CommandContext,
  event: OutputEvent,
  { isJson, text }: { readonly isJson: boolean; text(): string },
): void {
  if (out.json) out.event(event);
  else if (isJson) out.plain(jsonLine(event));
  else out.result(text());
}

function tellFindings({ out }: CommandContext, reports: readonly ReportData[]): 0 | 20 {
  const findings = reports.flatMap((data) => data.findings);
  // What is wrong with the store is found with each exhibit, and told once.
  for (const message of new Set(findings.map((finding) => finding.message))) {
    out.error(new OperatorError("integrity", message));
  }
  return findings.length === 0 ? 0 : 20;
}

async function reportGroup(
  context: CommandContext,
  from: { readonly store: Store; readonly keys: readonly VerifyingKey[]; readonly isJson: boolean },
  group: Group,
): Promise<number> {
  const { store, keys, isJson } = from;
  const reports: ReportData[] = [];
  for (const exhibit of group.exhibits) {
    context.signal.throwIfAborted();
    reports.push(await gatherReport(store, exhibit, keys));
  }
  print(context, groupReport(group, reports), { isJson, text: () => groupMarkdown(group, reports) });
  const incomplete = incompleteSets("report on", group);
  if (incomplete) context.out.error(incomplete);
  return gravestExitCode([...group.codes, tellFindings(context, reports), incomplete ? 3 : 0]);
}
