/**
 * `import`: a folder that Snapshot-4n6ir-Imager made, as an exhibit of the store. The folder is read in imager/, the loop
 * is in acquisition/. What it makes is marked as imported wherever it is shown.
 */
import { resolve } from "@std/path";
import { importFolder, type ImportInput } from "../acquisition/mod.ts";
import { readPassphraseFile } from "../cipher_age_files.ts";
import { type CommandContext, defineCommand, STORE_OPTIONS, wholeNumber } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import { MAX_UNREADABLE_ENTRIES } from "../format/documents.ts";
import { BlockFolder, FernetKey, findFolder, type ImagerFolder } from "../imager/mod.ts";
import { type CommittedExhibit, openStoreForWriting } from "../store/mod.ts";
import { formatCount, formatSize } from "../units.ts";
import { showExhibit } from "./_acquire_shown.ts";
import { CASE_OPTIONS, caseFacts, warnOfMissing } from "./_case.ts";
import { CUSTODY_OPTIONS, openKey, withCustody } from "./_custody.ts";
import { blocksText, exitCodeOf, IMPORTED } from "./_exhibits.ts";
import {
  ENCRYPTION_OPTIONS,
  encryptionOf,
  IDENTITY_OPTIONS,
  tellOtherRecipients,
  warnOfSingleRecipient,
} from "./_identities.ts";
import { heldAlready, heldUnopened, tellHeld, tellUnopened } from "./_import_held.ts";

/** Findings shown one by one; the record has more. */
const SHOWN_FINDINGS = 20;

export const importCommand = defineCommand({
  usage: "DIR",
  description:
    `Takes over a folder that Snapshot-4n6ir-Imager made, as an exhibit of the store. The folder is only read.

DIR is the folder with the files of blocks (snap-…, snap-…_compressed, snap-…_encrypted), or one that holds just one of those. Every file is decrypted, decompressed and held against the SHA-256 in its name before it counts.

The exhibit is shown as ${IMPORTED} everywhere: no checksum of AWS was compared, and who acquired it and when is not known. A block without a file is unreadable, not absent, because nobody knows whether the snapshot had it; so an import of a volume that was never written in full ends with 3. While the snapshot exists, "coldcase verify --against-source" compares the exhibit with AWS. No acquisition builds on it.

Damaged, empty and doubled files, symbolic links and files of other snapshots are told one by one, and the exit code is 20; what is sound is imported. Run the same command again after any interruption: it goes on where it stopped.`,
  options: {
    "password-file": { value: "FILE", summary: "of …_encrypted: its password, one line" },
    "salt-file": { value: "FILE", summary: "of …_encrypted: its salt, one line" },
    ...CASE_OPTIONS,
    evidence: { value: "NUMBER", summary: "evidence number" },
    examiner: { ...CASE_OPTIONS.examiner, summary: "who imports" },
    "max-unreadable": {
      value: "N",
      parse: wholeNumber({ min: 0, max: MAX_UNREADABLE_ENTRIES }),
      default: "64",
      summary: "commit with at most so many damaged or doubled blocks",
    },
    workers: {
      value: "N",
      parse: wholeNumber({ min: 0, max: 64 }),
      summary: "threads that pack blocks; default: as many as cores, up to 8",
    },
    fresh: { summary: "start anew; what was begun is set aside" },
    "mixed-cases": { summary: "allow several cases in this store" },
    "unsafe-filesystem": { summary: "accept a file system that keeps no promises" },
    ...ENCRYPTION_OPTIONS,
    ...CUSTODY_OPTIONS,
    ...IDENTITY_OPTIONS,
    ...STORE_OPTIONS,
  },
  exitCodes: {
    incomplete: "imported; of some blocks there is no file",
    not_found: "DIR holds no such folder, or the folder no block",
    locked: true,
    identity: "password and salt open nothing, or the signing key or an identity can't be opened",
    source: "the folder changed while it was read",
    storage: true,
    integrity: "files are damaged, doubled or of other snapshots; what is sound was imported",
    format: true,
  },
  examples: [
    {
      command: "coldcase import ./snap-0123456789abcdef0 --case 2026-114",
      says: "files of blocks as they are",
    },
    {
      command: "coldcase import old --password-file pw.txt --salt-file salt.txt",
      says: "the only one in the folder old: gzip files in Fernet tokens",
    },
  ],
  async run(context, { args, options }) {
    const { out, world } = context;
    warnOfMissing(context, options);
    const folder = findFolder(world.disk, resolve(args[0]));
    const fernet = fernetKey(context, folder, options);
    out.note(`reading the names in ${folder.path}`);
    const blocks = new BlockFolder(folder, { disk: world.disk, key: fernet });
    blocks.refuseWrongPassword();
    const encryption = await encryptionOf(context, options);
    const key = await openKey(context, options["sign-key"]);
    const path = resolve(options.store);
    const store = await openStoreForWriting(world, path, {
      case: options.case,
      mixedCases: options["mixed-cases"],
      unsafeFileSystem: options["unsafe-filesystem"],
      workers: options.workers ?? Math.min(8, world.host.cpuCount),
      ...encryption,
    });
    try {
      out.note(`store ${path} (${store.fileSystem}, ${formatSize(store.freeBytes)} free)`);
      warnOfSingleRecipient(context, store);
      await tellOtherRecipients(context, store, encryption);
      const { examiner = null } = options;
      const { hostname, operatingSystem, user } = world.host;
      const host = { hostname, operatingSystem, user };
      const destination = { fileSystem: store.fileSystem, path };
      return await withCustody(context, { store, key, action: "import", options }, async (note) => {
        note.tell("folder", folder.path);
        const { tool } = note;
        const facts = { ...caseFacts(options), evidence: options.evidence ?? null };
        const { commandLine } = context;
        const session = {
          commandLine,
          credentialSource: null,
          destination,
          examiner,
          host,
          proxy: null,
          tool,
        };
        const commitFacts = { case: facts, destination, unsafeFileSystem: store.isUnsafe, host, tool, key };
        const base = {
          store,
          folder: blocks,
          clock: world.clock,
          signal: context.signal,
          fresh: options.fresh,
        };
        const more = { maxUnreadable: options["max-unreadable"], session, commitFacts };
        const closed = options.fresh ? undefined : await heldUnopened(store, blocks);
        if (closed) return tellUnopened(context, closed, note.about);
        const held = options.fresh ? undefined : await heldAlready(store, blocks);
        if (held) return tellHeld(context, held, note.about);
        const imported = await importShown({ ...base, ...more }, context);
        note.about(imported.exhibit);
        note.tell("findings", imported.findings);
        showExhibit(out, imported.exhibit);
        for (const text of store.tolerated) out.note(text);
        return imported.findings > 0 ? 20 : exitCodeOf(imported.exhibit.manifest);
      });
    } finally {
      store.close();
    }
  },
});

/** What opens the tokens; `undefined` where there are none. Throws `usage` where what is given does not fit. */
function fernetKey(
  { out }: CommandContext,
  folder: ImagerFolder,
  options: Readonly<Record<"password-file" | "salt-file", string | undefined>>,
): FernetKey | undefined {
  const { "password-file": passwordFile, "salt-file": saltFile } = options;
  if (folder.layout !== "encrypted") {
    if (passwordFile === undefined && saltFile === undefined) return undefined;
    throw new OperatorError(
      "usage",
      `Cannot use a password: "${folder.path}" is ${folder.layout}, not encrypted`,
      {
        hints: ["Leave --password-file and --salt-file out, or name the folder …_encrypted."],
      },
    );
  }
  if (passwordFile === undefined || saltFile === undefined) {
    throw new OperatorError(
      "usage",
      `Cannot open "${folder.path}": its files are encrypted, expected --password-file and --salt-file`,
      { hints: ["Each file holds one line: what --password and --salt of Snapshot-4n6ir-Imager were."] },
    );
  }
  const password = readPassphraseFile(passwordFile);
  const salt = readPassphraseFile(saltFile);
  for (const warning of password.warnings) out.warn(warning);
  return FernetKey.derive({ password: password.passphrase, salt: salt.passphrase });
}

/** Imports with progress on stderr. */
async function importShown(
  input: Omit<ImportInput, "onPrepared" | "onProgress" | "onFinding">,
  { out }: CommandContext,
): Promise<{ readonly exhibit: CommittedExhibit; readonly findings: number }> {
  const { folder } = input;
  const { blockCount, otherNames, otherBlockFiles, shape } = folder.facts;
  const size = (blocks: number) => blocksText(blocks, shape.blockSizeBytes);
  const label = `import ${folder.snapshot}`;
  const total = blockCount * shape.blockSizeBytes;
  const progress = out.progress({ label, unit: "bytes", done: 0, total });
  let heldBlocks = 0;
  let findings = 0;
  try {
    const exhibit = await importFolder({
      ...input,
      onPrepared(facts) {
        heldBlocks = facts.heldBlocks;
        const how = facts.isResumed ? "RESUMING" : "NEW";
        out.note(`${folder.snapshot}: ${how} as ${facts.exhibit}, volume of ${shape.volumeSizeGib} GiB`);
        out.note(`${IMPORTED}: from ${folder.folder.path} (${folder.folder.layout})`);
        out.note(`  have a file ${size(blockCount)}`);
        if (facts.isResumed) out.note(`  held        ${size(heldBlocks)}`);
        out.note(
          `  no file     ${size(shape.blockCount - blockCount)}: whether the snapshot has them is not known`,
        );
        if (otherNames > 0) {
          out.note(`  left out    ${formatCount(otherNames)} files that are named otherwise`);
        }
      },
      onProgress: ({ readBlocks }) =>
        progress.update({ done: (heldBlocks + readBlocks) * shape.blockSizeBytes }),
      onFinding(message) {
        findings++;
        if (findings <= SHOWN_FINDINGS) out.warn(message);
        out.event({ type: "finding", code: "import", snapshot: folder.snapshot, message });
      },
    });
    if (findings > SHOWN_FINDINGS) out.warn(`and ${formatCount(findings - SHOWN_FINDINGS)} more findings`);
    const told = folder.facts.told.length;
    return { exhibit, findings: findings - told + otherBlockFiles };
  } catch (error) {
    if (!(error instanceof OperatorError) || !["storage", "interrupted"].includes(error.code)) throw error;
    const message = error.code === "interrupted"
      ? `Interrupted while importing "${folder.snapshot}"`
      : error.message;
    const again = "What was recorded is saved: run the same command again to go on.";
    throw new OperatorError(error.code, message, { ...error, hints: [...error.hints, again], cause: error });
  } finally {
    progress.end();
  }
}
