/**
 * `ls`: what the store holds, and what is under way. A damaged exhibit is named, and the rest still listed.
 * It reads manifests only; verify reads the rest.
 */
import { resolve } from "@std/path";
import { defineCommand, formatTable, STORE_OPTIONS } from "../cli/mod.ts";
import { gravestExitCode, OperatorError } from "../errors.ts";
import { type Exhibit, type OuterExhibit } from "../store/mod.ts";
import { formatSize } from "../units.ts";
import { correctionMark, correctionNotes } from "./_corrections.ts";
import { exhibitEvent, NOT_OPENED, originMark, outerEvent, statusOf } from "./_exhibits.ts";
import { IDENTITY_OPTIONS, openStoreWith } from "./_identities.ts";

export const ls = defineCommand({
  usage: "",
  description:
    "Lists the exhibits of the store, the oldest acquisition first, and the acquisitions that are not finished.",
  options: { ...IDENTITY_OPTIONS, ...STORE_OPTIONS },
  exitCodes: {
    not_found: true,
    identity: "the identity given does not open it",
    integrity: true,
    format: true,
  },
  examples: [{ command: "coldcase ls --store ./evidence", says: "what is in there" }],
  async run(context, { options }) {
    const { out } = context;
    const store = await openStoreWith(context, options);
    try {
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
      const journals = await store.journals();
      for (const exhibit of exhibits) out.event({ type: "exhibit", ...exhibitEvent(exhibit) });
      closed.sort((a, b) => a.inventory.committedAt < b.inventory.committedAt ? -1 : 1);
      for (const exhibit of closed) out.event({ type: "exhibit", ...outerEvent(exhibit) });
      for (const head of journals) {
        out.event({
          type: "journal",
          exhibit: head.exhibit,
          snapshot: head.source.snapshot,
          createdAt: head.createdAt,
        });
      }
      if (exhibits.length + closed.length + journals.length > 0) {
        out.result(formatTable(
          [
            { title: "EXHIBIT" },
            { title: "SNAPSHOT" },
            { title: "STARTED" },
            { title: "VOLUME", align: "right" },
            {
              title: "STORED",
              align: "right",
            },
            { title: "EVIDENCE" },
            { title: "STATUS" },
          ],
          [
            ...exhibits.map(({ id, manifest, corrections }) => [
              id,
              manifest.source.snapshot,
              manifest.acquisition.startedAt.slice(0, 16).replace("T", " "),
              `${manifest.volume.volumeSizeGib} GiB`,
              formatSize(manifest.counts.storedBlocks * manifest.volume.blockSizeBytes),
              corrections.facts.evidence ?? "",
              [
                statusOf(manifest),
                ...correctionMark({ manifest, corrections }),
                originMark(manifest.source) ?? [],
              ].flat().join(", "),
            ]),
            ...closed.map(({ id, inventory }) => [
              id,
              inventory.snapshot,
              inventory.committedAt.slice(0, 16).replace("T", " "),
              "",
              "",
              "",
              NOT_OPENED,
            ]),
            ...journals.map((head) => [
              head.exhibit,
              head.source.snapshot,
              head.createdAt.slice(0, 16).replace("T", " "),
              `${head.volume.volumeSizeGib} GiB`,
              "",
              "",
              `not finished: ${head.source.kind === "aws-ebs" ? "acquire" : "import"} goes on with it`,
            ]),
          ],
        ));
      } else if (codes.length === 0) out.note(`the store ${resolve(options.store)} holds nothing`);
      for (const exhibit of exhibits) for (const text of correctionNotes(exhibit)) out.warn(text);
      for (const text of store.tolerated) out.note(text);
      return gravestExitCode(codes);
    } finally {
      store.close();
    }
  },
});
