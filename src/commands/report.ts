/**
 * `report`: one exhibit for the case file, as Markdown or JSON, every statement with the file that it comes from.
 * It is not entered into the custody log: it reads no evidence out and writes nothing.
 */
import { defineCommand, jsonLine, STORE_OPTIONS } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import { gatherReport } from "./_report.ts";
import { reportMarkdown } from "./_report_markdown.ts";
import { verifyingKeys } from "./_verifying_keys.ts";
import { IDENTITY_OPTIONS, openStoreWith } from "./_identities.ts";

export const report = defineCommand({
  usage: "EXHIBIT",
  description:
    `Writes to stdout what the store says of one exhibit: case, source, counts, unreadable places, digests, acquisition, lineage, signatures and custody, each statement with the file that it comes from; what was checked for it, what was not, and what it does not claim; and the commands with which others check it without coldcase.

It checks documents, signatures and the custody log. It reads no block data: verify does, and the report shows the verifications that the custody log names.`,
  options: {
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
    identity: "nothing given opens the exhibit",
    not_found: true,
    integrity: "something does not match; the report says what",
    format: true,
  },
  examples: [
    { command: "coldcase report snap-0123456789abcdef0 > report.md", says: "for the case file" },
    { command: "coldcase report 7 --verify-key examiner.pub", says: "with a signer that you vouch for" },
  ],
  async run(context, { args, options }) {
    const { out, world } = context;
    const keys = verifyingKeys(world.disk, options["verify-key"]);
    const store = await openStoreWith(context, options);
    try {
      const data = await gatherReport(store, await store.find(args[0]), keys);
      const event = { type: "report", ...data };
      if (out.json) out.event(event);
      else if (options.format === "json") out.plain(jsonLine(event));
      else out.result(reportMarkdown(data));
      for (const { message } of data.findings) out.error(new OperatorError("integrity", message));
      return data.findings.length === 0 ? 0 : 20;
    } finally {
      store.close();
    }
  },
});
