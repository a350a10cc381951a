/**
 * `export`: a working copy of an exhibit: an image in files, on a block device or on stdout, with its
 * digests, its log and its map of states beside it.
 */
import { resolve } from "@std/path";
import type { Recipients } from "../cipher_age.ts";
import { ClosedOutput, type CommandContext, defineCommand, STORE_OPTIONS, wholeNumber } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import {
  DIGEST_TITLES,
  type DigestName,
  type EwfFacts,
  exportRaw,
  type ExportResult,
  IMAGE_FORMATS,
  parseDigestNames,
  type RawTarget,
  windowLogPath,
} from "../image/mod.ts";
import { serviceOf } from "../format/manifest.ts";
import { type Exhibit } from "../store/mod.ts";
import { formatCount, formatDuration, formatSize } from "../units.ts";
import { ageOutput } from "./_age_output.ts";
import { addDigests } from "./_addenda.ts";
import { caseOf, correctionNotes, recordedTexts } from "./_corrections.ts";
import { CUSTODY_OPTIONS, openKeyIfAny, withCustody } from "./_custody.ts";
import { exhibitFacts, IMAGE_DIGEST_LABEL, originMark } from "./_exhibits.ts";
import {
  filesTexts,
  type FormatOptions,
  parseSplit,
  parseWindow,
  refuseFormat,
  windowLogOf,
} from "./_export_formats.ts";
import { givenRecipients, IDENTITY_OPTIONS, openStoreWith, RECIPIENT_OPTIONS } from "./_identities.ts";

/** Of an E01: two read and four compress as fast as one thread computes MD5 (measured); more would only take memory. */
const MAX_E01_THREADS = { read: 2, compress: 4 };

export const exportCommand = defineCommand({
  usage: "EXHIBIT",
  description:
    `Writes an image of an exhibit, exactly as large as the volume: raw, or with --format an E01, or a disk that a hypervisor attaches. Every block is checked on the way out.

To a file it is sparse; IMAGE.log and IMAGE.map.json lie beside it. An interrupted export is taken up by running the same command again: what is there is compared first.

With --split it is pieces, FILE.001 first, that "cat" joins; FILE.001.log has the digests of each and of all, FILE.001.map.json the map. The first gets its name last: an image that has it is whole. Pieces of two images are never mixed: what is there is refused, or all of it replaced.

--format e01 writes EWF-E01 segment files, FILE.E01 first, with the record's case number, evidence number, examiner, notes and dates, MD5 and SHA-1 (with --digests none no digests), and unreadable ranges below 2 TiB as read errors (the log and the map have all). Segment files have 2 GiB, more where the names to .EZZ need it, or --split. Run again after an interruption, it checks the segment files that are whole and goes on after them; the volume before is read again, for its digests.

--format vmdk writes a VMware disk: a descriptor, FILE.vmdk, over raw bytes in FILE-flat.vmdk, or with --split (2GiB at most) in FILE-f001.vmdk, …. --format vhd writes a fixed VHD, FILE.vhd: raw bytes and a footer of 512, for volumes of up to 2,040 GiB. Both are taken up as raw images are. Attach them read-only: a hypervisor writes to what it attaches.

--digest-window SIZE also writes digests of each SIZE bytes, one a line as dcfldd does, to IMAGE.sha256.log (IMAGE.md5.log, …); "verify --read-back" then names the windows that differ.

To a block device (always with --overwrite) holes are written as zeros, so that old bytes never survive.

With -r or -R it is one age file, which "age -d" opens: encrypted on the way, to a file that is not there yet or to stdout. Nothing plain touches the disk, no log and no map lie beside it, and it is not taken up again. Digests are of the image inside.

Blocks that could not be read are filled with zeros and listed; the exit code is 3 then.`,
  options: {
    output: { short: "o", value: "FILE", summary: "file or block device; - is stdout" },
    format: {
      value: "FORMAT",
      choices: IMAGE_FORMATS,
      default: "raw",
      summary: "raw, EWF-E01 (EnCase), or a virtual disk",
    },
    split: {
      value: "SIZE",
      parse: parseSplit,
      summary: "pieces of this size: FILE.001, FILE.002, …; segment files, extents of a VMDK",
      details:
        "A multiple of 512 bytes, at least 1 MiB, and large enough for 999 pieces (775 of an E01). Files only.",
    },
    digests: {
      value: "LIST",
      parse: parseDigestNames,
      default: "sha256",
      summary: "md5, sha1, sha256, or none",
    },
    "digest-window": {
      value: "SIZE",
      parse: parseWindow,
      summary: "digests of each SIZE bytes too, in IMAGE.sha256.log, …",
      details: "A multiple of 512 bytes. Over the volume's bytes, whatever the format.",
    },
    "digest-log": {
      value: "NAME",
      summary: "their place: NAME.sha256.log, …; default: beside the image",
      details: "Needed for stdout, for a device and with -r.",
    },
    overwrite: { summary: "replace a file, or write to a device" },
    workers: {
      value: "N",
      parse: wholeNumber({ min: 0, max: 64 }),
      summary: "threads that read blocks, and that compress an E01",
      details:
        "Default: a core less than there are, to compress as many as there are. Of an E01 at most 2 read and 4 compress: MD5 is no faster. 0: the thread that writes the image does both.",
    },
    ...RECIPIENT_OPTIONS,
    ...CUSTODY_OPTIONS,
    ...IDENTITY_OPTIONS,
    ...STORE_OPTIONS,
  },
  exitCodes: {
    identity: "nothing given opens the exhibit, or only its digests",
    incomplete: true,
    not_found: true,
    locked: true,
    storage: true,
    integrity: true,
    format: true,
  },
  examples: [
    { command: "coldcase export snap-0123456789abcdef0 -o disk.img", says: "a raw image" },
    {
      command: "coldcase export snap-0123456789abcdef0 -o disk.img --split 2GiB",
      says: "in pieces, from disk.img.001",
    },
    { command: "coldcase export snap-0123456789abcdef0 -o disk.E01 --format e01", says: "an E01" },
    { command: "coldcase export snap-0123456789abcdef0 -o - | zstd > disk.img.zst", says: "through a pipe" },
    {
      command: "coldcase export snap-0123456789abcdef0 -o disk --format vmdk",
      says: "disk.vmdk, for a hypervisor",
    },
    {
      command: "coldcase export snap-0123456789abcdef0 -o disk.img --digest-window 1MiB",
      says: "with a digest of each MiB",
    },
    {
      command: "coldcase export snap-0123456789abcdef0 -o disk.img.age -r age1…",
      says: "for somebody else's eyes",
    },
  ],
  async run(context, { args, options }) {
    const { out } = context;
    if (options.output === undefined) {
      throw new OperatorError("usage", "Cannot export: no target was named", {
        hints: ["Give -o FILE, or -o - for stdout."],
      });
    }
    const { output } = options;
    const recipients = await givenRecipients(options);
    const files: FormatOptions = {
      format: options.format,
      splitBytes: options.split,
      windowBytes: options["digest-window"],
      digestLog: options["digest-log"],
    };
    refuseFormat(
      { ...files, hasDigests: options.digests.length > 0 },
      { isStream: output === "-", isEncrypted: recipients !== undefined },
    );
    if (recipients?.isSingle) out.detail("one recipient: only that identity opens the image");
    const key = await openKeyIfAny(context, options["sign-key"]);
    const mostWorkers = options.format === "e01" ? MAX_E01_THREADS.read : Infinity;
    const workers = Math.min(mostWorkers, options.workers ?? Math.max(1, context.world.host.cpuCount - 1));
    const store = await openStoreWith(context, options, { workers });
    try {
      return await withCustody(context, { store, key, action: "export", options }, async (note) => {
        const exhibit = await store.find(args[0]);
        note.about(exhibit);
        const refusal = await store.access.contentsRefusal(exhibit);
        if (refusal) throw refusal;
        const mark = originMark(exhibit.manifest.source);
        if (mark) out.warn(mark);
        for (const text of correctionNotes(exhibit)) out.warn(text);
        const { digests, overwrite } = options;
        const result = recipients
          ? await exportEncrypted(context, exhibit, { ...files, recipients, output, digests, overwrite })
          : await exportShown(context, exhibit, {
            ...files,
            threads: Math.min(MAX_E01_THREADS.compress, options.workers ?? context.world.host.cpuCount),
            target: targetOf(context, output),
            digests,
            overwrite,
          });
        for (const text of [...result.notes, ...store.tolerated]) out.note(text);
        note.tell("target", result.path ?? "stdout");
        if (recipients) note.tell("recipients", recipients.list.map((one) => one.slice(0, 62)).join(" "));
        show(context, exhibit, result);
        const to = { store, exhibit, key, by: "export" } as const;
        const addendum = result.isClosedEarly ? undefined : await addDigests(context, to, result.digests);
        if (addendum !== undefined) note.tell("addendum", addendum);
        return result.unreadableBlocks > 0 ? 3 : 0;
      });
    } finally {
      store.close();
    }
  },
});

function targetOf({ out }: CommandContext, output: string): RawTarget {
  if (output !== "-") return { kind: "path", path: resolve(output) };
  const write = out.openBinary();
  return {
    kind: "stream",
    stream: {
      async write(bytes) {
        try {
          await write(bytes);
          return bytes.length;
        } catch (error) {
          // Nobody reads on (`| head`): the export ends quietly (a broken pipe is success).
          if (error instanceof ClosedOutput) throw new Deno.errors.BrokenPipe(error.message);
          throw error;
        }
      },
    },
  };
}

/** The image as an age file; what comes of it is told as of any file. */
async function exportEncrypted(
  context: CommandContext,
  exhibit: Exhibit,
  how: FormatOptions & {
    readonly recipients: Recipients;
    readonly output: string;
    readonly digests: DigestName[];
    readonly overwrite: boolean;
  },
): Promise<ExportResult> {
  refuseLogAsImage(how);
  const output = await ageOutput(context, how);
  const { target, path } = output;
  try {
    const result = await exportShown(context, exhibit, { ...how, target });
    if (result.isClosedEarly) {
      output.abandon();
      return result;
    }
    await output.finish();
    return path === undefined ? result : { ...result, target: "file", path };
  } catch (error) {
    output.abandon();
    throw error;
  }
}

/** The age file is written beside the logs, and would take the place of one that has its name. */
function refuseLogAsImage(
  how: FormatOptions & { readonly output: string; readonly digests: readonly DigestName[] },
): void {
  const base = windowLogOf(how)?.base;
  if (base === undefined || !how.digests.some((name) => windowLogPath(base, name) === resolve(how.output))) {
    return;
  }
  throw new OperatorError(
    "usage",
    `Cannot write digest log "${how.output}": the export's own image is called so, expected another name`,
    { hints: ["Name another with --digest-log."] },
  );
}

async function exportShown(
  { out, world, signal, version }: CommandContext,
  exhibit: Exhibit,
  how: FormatOptions & {
    readonly target: RawTarget;
    /** That compress an E01. */
    readonly threads?: number;
    readonly digests: DigestName[];
    readonly overwrite: boolean;
  },
): Promise<ExportResult> {
  const progress = out.progress({
    label: `export ${exhibit.manifest.source.snapshot}`,
    unit: "bytes",
    done: 0,
  });
  try {
    return await exportRaw(exhibit, how.target, {
      disk: world.disk,
      clock: world.clock,
      imageDigest: exhibit.manifest.imageDigest,
      exhibitFacts: exhibitFacts(exhibit).filter(([label]) => label !== IMAGE_DIGEST_LABEL),
      tool: `coldcase ${version}`,
      digests: how.digests,
      overwrite: how.overwrite,
      splitBytes: how.splitBytes,
      ewf: how.format === "e01" ? ewfFacts(exhibit) : undefined,
      threads: how.format === "e01" ? how.threads : 0,
      virtualDisk: how.format === "vmdk" || how.format === "vhd"
        ? { format: how.format, createdAt: exhibit.manifest.acquisition.startedAt }
        : undefined,
      windowLog: windowLogOf(how),
      signal,
      onWarning: (text) => out.warn(text),
      onProgress: ({ doneBytes, totalBytes }) => progress.update({ done: doneBytes, total: totalBytes }),
    });
  } finally {
    progress.end();
  }
}

/** What an E01's header says: the exhibit's record as it counts, nothing of this run. */
function ewfFacts(exhibit: Exhibit): EwfFacts {
  const { id, manifest } = exhibit;
  const { acquisition, source } = manifest;
  const facts = caseOf(exhibit);
  const mark = originMark(source);
  const place = serviceOf(source)?.region;
  return {
    caseNumber: facts.case ?? "",
    evidenceNumber: facts.evidence ?? "",
    description: [
      `EBS snapshot ${source.snapshot}${place === undefined ? "" : ` in ${place}`}`,
      `exhibit ${id}`,
      `${IMAGE_DIGEST_LABEL} ${manifest.imageDigest}`,
      ...(mark === undefined ? [] : [mark]),
      ...recordedTexts(exhibit),
    ].join("; "),
    examiner: facts.examiner ?? "",
    notes: facts.notes ?? "",
    model: "EBS volume",
    serialNumber: acquisition.snapshot.volumeId ?? "",
    version: acquisition.tool.version.split("+")[0]!,
    platform: acquisition.host.operatingSystem,
    acquiredAt: acquisition.startedAt,
  };
}

/** On stderr: stdout may be the image itself. */
function show({ out }: CommandContext, exhibit: Exhibit, result: ExportResult): void {
  const { target, path, digests } = result;
  const isStream = target === "stream";
  const say = (text: string) => isStream ? out.note(text) : out.result(`${text}\n`);
  if (result.isClosedEarly) return out.note("the reader of the pipe had enough; no digest was computed");
  say(
    `${path ?? "stdout"}: ${
      formatSize(result.volumeSizeBytes)
    } of ${exhibit.id} (${exhibit.manifest.source.snapshot}) in ${formatDuration(result.durationMs)}`,
  );
  for (const text of filesTexts(result)) say(`  ${text}`);
  for (const [name, value] of Object.entries(digests)) say(`  ${DIGEST_TITLES[name as DigestName]} ${value}`);
  if (result.excessBytes > 0) {
    say(`  ${formatSize(result.excessBytes)} of the device beyond the volume were left as they are`);
  }
  if (result.unreadableBlocks > 0) {
    out.warn(
      `${formatCount(result.unreadableBlocks)} unreadable blocks were filled with zeros: ${
        result.unreadableRanges.slice(0, 5).map((range) =>
          `bytes ${range.offsetBytes} to ${range.offsetBytes + range.lengthBytes - 1}`
        ).join(", ")
      }${result.unreadableRangeCount > 5 ? ", …" : ""}`,
    );
  }
  out.event({
    ...result,
    type: "summary",
    exhibit: exhibit.id,
    snapshot: exhibit.manifest.source.snapshot,
  });
}
