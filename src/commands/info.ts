/**
 * `info`: one exhibit: source, counts, digests, lineage, files, and what the volume looks like (partitions
 * and file systems). Reads a few dozen blocks for the latter; judges nothing.
 */
import { resolve } from "@std/path";
import {
  type CommandContext,
  defineCommand,
  formatFacts,
  formatTable,
  sanitize,
  STORE_OPTIONS,
} from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import { FILE_SYSTEM_TITLES, type FileSystem, inspectVolume, type VolumeContents } from "../image/mod.ts";
import { type Exhibit, type OuterExhibit, type Store } from "../store/mod.ts";
import { formatSize } from "../units.ts";
import { correctionNotes } from "./_corrections.ts";
import { exhibitEvent, exhibitFacts, outerEvent, outerFacts } from "./_exhibits.ts";
import { IDENTITY_OPTIONS, openStoreWith } from "./_identities.ts";

/** Unreadable ranges shown to people; `--json` and the exhibit's document have all. */
const SHOWN_RANGES = 20;

export const info = defineCommand({
  usage: "EXHIBIT",
  description:
    `Shows one exhibit: its source, counts, digests and lineage, the files that hold it, and the partition table and file systems found in the image.

Of an encrypted store it shows what is opened: without an identity ids, times and sizes; with a lineage's all but partitions and file systems.

EXHIBIT is an exhibit id, an evidence number, the start of an image digest, or a snapshot id (its newest exhibit).`,
  options: {
    blocks: { summary: "list the runs of blocks by state" },
    ...IDENTITY_OPTIONS,
    ...STORE_OPTIONS,
  },
  exitCodes: { identity: "nothing given opens the exhibit", not_found: true, integrity: true, format: true },
  examples: [{ command: "coldcase info snap-0123456789abcdef0", says: "the newest exhibit of a snapshot" }],
  async run(context, { args, options }) {
    const { out } = context;
    const path = resolve(options.store);
    const store = await openStoreWith(context, options);
    try {
      if (!store.isReadable && !options.blocks) {
        showUnopened(context, { store, exhibit: await store.findOuter(args[0]) }, path);
        // The last one is what the status says.
        for (const hint of (await store.access.identityHints()).slice(0, -1)) out.note(hint);
        return 0;
      }
      const exhibit = await store.find(args[0]);
      if (options.blocks) await showRuns(context, exhibit);
      else await showAll(context, { store, exhibit }, path);
      for (const text of correctionNotes(exhibit)) out.warn(text);
      for (const text of store.tolerated) out.note(text);
      return 0;
    } finally {
      store.close();
    }
  },
});

/** Paths with which others check the first signature, so that a script needs no knowledge of the layout. */
function signingFiles(store: Store, exhibit: Exhibit, storePath: string) {
  const files = store.evidence.signatureFiles(exhibit);
  const path = (name: string) => `${storePath}/${name}`;
  return {
    signatureFile: path(files.signatureFile),
    ed25519SignatureFile: files.ed25519SignatureFile === null ? null : path(files.ed25519SignatureFile),
    verifyingKeyFile: path(files.verifyingKeyFile),
    allowedSignersFile: path(files.allowedSignersFile),
    principal: files.principal,
  };
}

/** The same members as of an opened exhibit, null where they are not known. */
function showUnopened(
  { out }: CommandContext,
  { store, exhibit }: { readonly store: Store; readonly exhibit: OuterExhibit },
  storePath: string,
): void {
  const path = (name: string) => `${storePath}/${name}`;
  const { key } = exhibit.inventoryCheck.held[0]!;
  const { verifyingKeyFile, allowedSignersFile, principal } = store.evidence.keyFiles(key);
  const files: [string, string][] = [
    ["manifest file", path(exhibit.manifestFile)],
    ["inventory file", path(exhibit.inventoryFile)],
  ];
  out.result(formatFacts([...outerFacts(exhibit), ...files]));
  out.event({
    type: "summary",
    ...outerEvent(exhibit),
    store: storePath,
    manifestFile: path(exhibit.manifestFile),
    mapFile: exhibit.mapFile === undefined ? null : path(exhibit.mapFile),
    inventoryFile: path(exhibit.inventoryFile),
    signatureFile: null,
    ed25519SignatureFile: null,
    verifyingKeyFile: path(verifyingKeyFile),
    allowedSignersFile: path(allowedSignersFile),
    principal,
    signers: exhibit.inventoryCheck.held.map(({ key }) => key.fingerprint),
    acquisition: null,
    caseFacts: null,
    unreadable: null,
    contents: null,
  });
}

async function showRuns({ out, signal }: CommandContext, exhibit: Exhibit): Promise<void> {
  const { blockSizeBytes } = exhibit.shape;
  for await (const run of exhibit.runs()) {
    signal.throwIfAborted();
    const offsetBytes = run.firstBlock * blockSizeBytes;
    const lengthBytes = run.blockCount * blockSizeBytes;
    out.result(
      `${run.state.padEnd(10)}  blocks ${run.firstBlock} to ${
        run.firstBlock + run.blockCount - 1
      }  bytes ${offsetBytes} to ${offsetBytes + lengthBytes - 1}\n`,
    );
    out.event({ type: "run", ...run, offsetBytes, lengthBytes });
  }
}

/** Whoever may learn digests only is shown the rest. */
async function contentsOf(
  store: Store,
  exhibit: Exhibit,
): Promise<{ readonly contents: VolumeContents | null; readonly refusal?: OperatorError }> {
  const refusal = await store.access.contentsRefusal(exhibit);
  if (refusal) return { contents: null, refusal };
  try {
    return { contents: await inspectVolume(exhibit) };
  } catch (error) {
    if (!(error instanceof OperatorError) || error.code !== "identity") throw error;
    return { contents: null, refusal: error };
  }
}

async function showAll(
  { out }: CommandContext,
  { store, exhibit }: { readonly store: Store; readonly exhibit: Exhibit },
  storePath: string,
): Promise<void> {
  const signing = signingFiles(store, exhibit, storePath);
  const { contents, refusal } = await contentsOf(store, exhibit);
  const unreadable = await exhibit.unreadable() ?? [];
  const { manifestFile, inventoryFile, inventory } = exhibit;
  const files: [string, string][] = [
    ["manifest file", `${storePath}/${manifestFile}`],
    ["inventory file", `${storePath}/${inventoryFile}`],
    ...exhibit.manifestCheck.held.map(({ key }): [string, string] => ["signed by", key.fingerprint]),
    ["signature file", signing.signatureFile],
    [
      "files",
      `${inventory.files.length}, ${
        formatSize(inventory.files.reduce((sum, file) => sum + file.sizeBytes, 0))
      }`,
    ],
  ];
  out.result(formatFacts([...exhibitFacts(exhibit), ...files]));
  const { blockSizeBytes } = exhibit.shape;
  for (const { first, blocks } of unreadable.slice(0, SHOWN_RANGES)) {
    const start = first.block * blockSizeBytes;
    out.result(
      `unreadable  bytes ${start} to ${start + blocks * blockSizeBytes - 1}: ${first.reason}, ${
        sanitize(first.detail)
      }\n`,
    );
  }
  if (unreadable.length > SHOWN_RANGES) {
    out.result(`unreadable  and ${unreadable.length - SHOWN_RANGES} more\n`);
  }
  out.result(
    contents ? contentsText(contents) : "contents    not opened: partitions and file systems are not known\n",
  );
  if (refusal) { for (const text of [refusal.message, ...refusal.hints]) out.note(text); }
  out.event({
    type: "summary",
    ...exhibitEvent(exhibit),
    store: storePath,
    manifestFile: `${storePath}/${manifestFile}`,
    inventoryFile: `${storePath}/${inventoryFile}`,
    mapFile: exhibit.mapFile === undefined ? null : `${storePath}/${exhibit.mapFile}`,
    isEncrypted: exhibit.mapFile !== undefined,
    isOpened: true,
    ...signing,
    signers: exhibit.manifestCheck.held.map(({ key }) => key.fingerprint),
    acquisition: exhibit.manifest.acquisition,
    caseFacts: exhibit.corrections.facts,
    unreadable: unreadable.map(({ first, blocks }) => ({
      offsetBytes: first.block * blockSizeBytes,
      lengthBytes: blocks * blockSizeBytes,
      ...first,
      blocks,
    })),
    contents,
  });
}

function contentsText({ table, partitions, bare, notes }: VolumeContents): string {
  const heading = table
    ? `\n${table.kind.toUpperCase()} partition table, sectors of ${table.sectorSizeBytes} bytes${
      table.id ? `, ${sanitize(table.id)}` : ""
    }\n`
    : bare
    ? `\nno partition table; the volume holds ${fileSystemText(bare)}\n`
    : "\nno partition table and no file system recognized\n";
  const rows = partitions.map((partition) => [
    String(partition.number),
    String(partition.offsetBytes),
    formatSize(partition.lengthBytes),
    partition.typeName ?? partition.typeCode,
    partition.isUnreadable
      ? "unreadable"
      : partition.contents
      ? fileSystemText(partition.contents)
      : "not recognized",
  ]);
  const listing = rows.length === 0 ? "" : formatTable(
    [
      { title: "NO", align: "right" },
      { title: "OFFSET", align: "right" },
      { title: "SIZE", align: "right" },
      { title: "TYPE" },
      {
        title: "HOLDS",
      },
    ],
    rows,
  );
  return heading + listing + notes.map((note) => `note: ${sanitize(note)}\n`).join("");
}

function fileSystemText({ kind, label, uuid }: FileSystem): string {
  return sanitize(
    [FILE_SYSTEM_TITLES[kind], label ? `"${label}"` : "", uuid ?? ""].filter((text) => text !== "").join(" "),
  );
}
