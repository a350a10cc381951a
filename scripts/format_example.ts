/**
 * Makes the worked example of store-format.md by running the real store on a volume of six blocks, with a
 * fixed clock, fixed randomness and a fixed signing key, and prints it as Markdown. `--update` writes it into the document, between
 * its two markers; a test compares the two, so that the document can't rot.
 *
 * `--keep DIR` leaves the finished store there, to try the document's commands on. It says nothing that the
 * store does not say; the words around the bytes are the document's.
 */
import { canonicalize } from "@std/json/canonicalize";
import { fromFileUrl } from "@std/path";
import { sha256 } from "../src/format/digests.ts";
import type { SessionEvent } from "../src/format/documents.ts";
import { SLOT_BYTES } from "../src/format/journal.ts";
import {
  decodePackFooter,
  decodePackTrailer,
  decodeRecordHeader,
  FOOTER_ENTRY_BYTES,
  PACK_HEADER_BYTES,
  PACK_TRAILER_BYTES,
  RECORD_HEADER_BYTES,
} from "../src/format/pack.ts";
import { openSigningKey, type SigningKey } from "../src/keys.ts";
import { encodeOpensshKey } from "../src/keys_openssh.ts";
import type {
  Clock,
  Digest,
  Disk,
  Randomness,
  SnapshotId,
  UnreadableBlock,
  VerifiedBlock,
  World,
} from "../src/model.ts";
import type { Acquisition, CommitFacts } from "../src/store/mod.ts";
import { openStoreForWriting } from "../src/store/mod.ts";
import { volumeShape } from "../src/units.ts";
import { realDisk } from "../src/world.ts";

export const DOCUMENT = fromFileUrl(new URL("../store-format.md", import.meta.url));
/** What the example stands between in the document. */
export const MARKERS = [
  "<!-- example: made by scripts/format_example.ts -->",
  "<!-- example ends -->",
] as const;

const BLOCK_BYTES = 512;
const HOST = { hostname: "collector-1", operatingSystem: "linux 6.8.0 x86_64", user: "examiner" };
const TEXT_ENCODER = new TextEncoder();

/** Bytes that no codec makes smaller, the same in every run. */
function noise(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 32) {
    const digest = sha256(TEXT_ENCODER.encode(`noise ${at / 32}`));
    bytes.set(Uint8Array.fromHex(digest).subarray(0, length - at), at);
  }
  return bytes;
}

const NOISE = noise(BLOCK_BYTES);
const TEXT = TEXT_ENCODER.encode(
  "The quick brown fox jumps over the lazy dog.\n".repeat(12).slice(0, BLOCK_BYTES),
);

/** What the source gives: block index → bytes; block 7 cannot be read. */
export const EXAMPLE_BLOCKS: ReadonlyMap<number, Uint8Array> = new Map([
  [0, NOISE],
  [1, TEXT],
  [2, new Uint8Array(BLOCK_BYTES)],
  [4, NOISE],
  [16384, TEXT],
]);
const UNREADABLE_INDEX = 7;
const UNREADABLE: UnreadableBlock = {
  kind: "unreadable",
  reason: "checksum",
  detail: "digest is not what was declared, 5 times",
  attempts: 5,
  requestIds: ["00000000-0000-4000-8000-000000000007"],
};

const TOOL = {
  digest: sha256(TEXT_ENCODER.encode("the program")),
  name: "coldcase",
  runtime: "Deno 2.9.6 (x86_64-unknown-linux-gnu)",
  version: "0.1.0",
} as const;

const FACTS: Omit<CommitFacts, "key"> = {
  case: {
    authority: null,
    case: "2026-017",
    evidence: "2026-017-1",
    examiner: "A. Examiner",
    notes: null,
    organization: null,
  },
  destination: { fileSystem: "ext4", path: "/cases/2026-017/evidence" },
  unsafeFileSystem: false,
  host: HOST,
  tool: TOOL,
  snapshot: {
    completedAt: "2026-01-01T00:10:00.000Z",
    description: null,
    encrypted: false,
    kmsKeyId: null,
    ownerAccount: "111122223333",
    startedAt: "2026-01-01T00:00:00.000Z",
    storageTier: "standard",
    tags: { Name: "web-1 root" },
    volumeId: "vol-0123456789abcdef0",
  },
  description: {
    answer: { SnapshotId: "snap-0123456789abcdef0", VolumeSize: 1 },
    receivedAt: "2026-01-02T03:04:05.000Z",
  },
  isPartial: false,
  rest: "absent",
};

const COUNTS = {
  clockSkewMs: 0,
  credentialChanges: 0,
  eventsLeftOut: 0,
  firstRequestId: "00000000-0000-4000-8000-000000000001",
  getRequests: 10,
  lastRequestId: "00000000-0000-4000-8000-000000000011",
  listRequests: 1,
  receivedBytes: 2560,
  retries: 4,
  throttles: 0,
};

const EVENT: SessionEvent = {
  at: "2026-01-02T03:04:05.000Z",
  detail: "block 7: digest is not what was declared",
  kind: "failed_request",
  requestId: "00000000-0000-4000-8000-000000000007",
};

const COMMAND_LINE = ["coldcase", "acquire", "snap-0123456789abcdef0"];

/** The key that signs the example: its seed is 32 times 0x2A, so that anybody can sign the same again. */
export async function exampleKey(world: World): Promise<SigningKey> {
  const folder = Deno.makeTempDirSync();
  try {
    const source = `${folder}/signing_key`;
    const text = encodeOpensshKey(new Uint8Array(32).fill(0x2a), {
      comment: "coldcase signing key, made 2026-01-02",
      check: 0,
    });
    Deno.writeTextFileSync(source, text, { mode: 0o600 });
    return (await openSigningKey(world, { source })).key;
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** A clock that stands until it is set, and bytes that count up. */
function fixedWorld(disk: Disk): World & { setTime(text: string): void; setCounter(value: number): void } {
  let timeMs = 0;
  let counter = 0;
  const clock: Clock = {
    nowMs: () => timeMs,
    monotonicMs: () => timeMs,
    sleep: () => Promise.resolve(),
  };
  const randomness: Randomness = {
    bytes: (length) => {
      counter++;
      return new Uint8Array(length).map((_, at) => at === length - 1 ? counter % 256 : 0);
    },
    fraction: () => 0,
  };
  return {
    clock,
    randomness,
    disk,
    host: { ...HOST, cpuCount: 2, processId: 1, programPath: undefined, runtime: TOOL.runtime },
    environment: () => undefined,
    setTime: (text) => {
      timeMs = Date.parse(text);
    },
    setCounter: (value) => {
      counter = value;
    },
  };
}

/** The digest of the listed indexes, as the journal notes it. */
function listingDigest(indexes: readonly number[]): Digest {
  const bytes = new DataView(new ArrayBuffer(4 * indexes.length));
  indexes.forEach((index, at) => bytes.setUint32(4 * at, index, true));
  return sha256(new Uint8Array(bytes.buffer));
}

async function acquire(acquisition: Acquisition): Promise<void> {
  const session = {
    callerAccount: "111122223333",
    callerArn: "arn:aws:iam::111122223333:user/examiner",
    commandLine: COMMAND_LINE,
    credentialSource: "profile examiner",
    examiner: "A. Examiner",
    host: HOST,
    proxy: null,
    startedAt: "2026-01-02T03:04:05.000Z",
    toolVersion: "0.1.0",
  };
  const events = [EVENT];
  await acquisition.startSession(session, { counts: () => COUNTS, takeEvents: () => events.splice(0) });
  const indexes = [...EXAMPLE_BLOCKS.keys(), UNREADABLE_INDEX].sort((a, b) => a - b);
  await acquisition.noteListing({ blocks: indexes.length, digest: listingDigest(indexes) });
  for (const index of indexes) {
    const bytes = EXAMPLE_BLOCKS.get(index);
    if (!bytes) await acquisition.putUnreadable(index, UNREADABLE);
    else {
      const block = { kind: "verified", digest: sha256(bytes), bytes: bytes.slice() };
      await acquisition.put(index, block as unknown as VerifiedBlock);
    }
  }
  await acquisition.flush();
}

/** Makes the example's store in the empty folder `root`; gives the journal as it was before the commit. */
export async function makeExampleStore(root: string): Promise<string> {
  const world = fixedWorld(realDisk);
  world.setTime("2026-01-02T03:04:05.000Z");
  const shape = volumeShape({ blockSizeBytes: BLOCK_BYTES, volumeSizeGib: 1 });
  if (typeof shape === "string") throw new Error(shape);
  const store = await openStoreForWriting(world, root, { case: "2026-017", unsafeFileSystem: true });
  try {
    world.setCounter(41);
    const acquisition = await store.begin({
      source: {
        kind: "aws-ebs",
        endpoint: "https://ebs.eu-central-1.amazonaws.com",
        isAws: true,
        region: "eu-central-1",
        snapshot: "snap-0123456789abcdef0" as SnapshotId,
      },
      shape,
      parent: undefined,
      supersedes: undefined,
    });
    await acquire(acquisition);
    const journal = showJournal(`${root}/journal/${acquisition.head.exhibit}`);
    world.setTime("2026-01-02T03:04:06.000Z");
    const key = await exampleKey(world);
    await acquisition.commit({ ...FACTS, key });
    const { id, inventory } = await store.exhibit(acquisition.head.exhibit);
    await store.evidence.logCustody({
      action: "acquire",
      clockSkewMs: 0,
      commandLine: COMMAND_LINE,
      exhibits: [{ commitment: inventory.commitment, exhibit: id }],
      host: HOST,
      reason: null,
      result: { exitCode: 0, facts: { unreadableBlocks: 1 }, outcome: "done" },
    }, { key, tool: TOOL });
    return journal;
  } finally {
    store.close();
  }
}

// ------------------------------------------------------------------------------------------ showing it

const WIDTH = 100;

function codeBlock(lines: readonly string[]): string {
  return ["```text", ...lines, "```", ""].join("\n");
}

/** A long line in pieces that do not end in a space; the continuation's indent is not part of the file. */
function wrap(text: string): string[] {
  const lines: string[] = [];
  for (let at = 0; at < text.length;) {
    const piece = text.slice(at, at + WIDTH).trimEnd();
    lines.push((at === 0 ? "" : "  ") + piece);
    at += piece.length;
  }
  return lines;
}

/** Lists stay as they are, whatever their length; a long line of a key is cut. */
function wrapWords(line: string): string[] {
  return line.includes("ssh-ed25519 ") ? wrap(line) : [line];
}

/** As `hexdump -C` shows it, from byte `start` to `end`. */
function hexLines(bytes: Uint8Array, start: number, end: number): string[] {
  const lines: string[] = [];
  for (let at = start; at < end; at += 16) {
    const row = [...bytes.subarray(at, Math.min(at + 16, end))];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0"));
    const left = hex.slice(0, 8).join(" ").padEnd(23);
    const right = hex.slice(8).join(" ").padEnd(23);
    const text = row.map((byte) => byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".").join("");
    lines.push(`${at.toString(16).padStart(8, "0")}  ${left}  ${right}  |${text}|`);
  }
  return lines;
}

function showPack(name: string, bytes: Uint8Array): string {
  const trailer = decodePackTrailer(bytes.subarray(-PACK_TRAILER_BYTES), { name, sizeBytes: bytes.length });
  const trailerOffset = bytes.length - PACK_TRAILER_BYTES;
  const footer = bytes.subarray(trailer.footerOffset, trailerOffset);
  const entries = decodePackFooter(footer, { ...trailer, name });
  const lines = ["header", ...hexLines(bytes, 0, PACK_HEADER_BYTES)];
  for (const [position, { offset, storedBytes }] of entries.entries()) {
    const start = offset + RECORD_HEADER_BYTES;
    const record = decodeRecordHeader(bytes.subarray(offset, start), { name, offset });
    lines.push(
      `record ${position}: header; ${record.codec}, ${storedBytes} bytes stored, first seen as block ${record.blockIndex}`,
      ...hexLines(bytes, offset, start),
      `record ${position}: stored bytes`,
      ...hexLines(bytes, start, start + storedBytes),
    );
  }
  for (const position of entries.keys()) {
    const start = trailer.footerOffset + position * FOOTER_ENTRY_BYTES;
    lines.push(`footer entry ${position}`, ...hexLines(bytes, start, start + FOOTER_ENTRY_BYTES));
  }
  lines.push("trailer", ...hexLines(bytes, trailerOffset, bytes.length));
  return codeBlock(lines);
}

function showJournal(folder: string): string {
  const map = Deno.readFileSync(`${folder}/blocks`);
  const recorded = [0, 1, 2, 4, UNREADABLE_INDEX, 16384];
  const slots = recorded.flatMap((index) => [
    `slot ${index}`,
    ...hexLines(map, index * SLOT_BYTES, (index + 1) * SLOT_BYTES),
  ]);
  const log = Deno.readTextFileSync(`${folder}/log`).trimEnd().split("\n");
  return [
    "`head.json`:\n",
    codeBlock(wrap(Deno.readTextFileSync(`${folder}/head.json`))),
    `\`log\` (${log.length} lines):\n`,
    codeBlock(log.flatMap(wrap)),
    `\`blocks\` (${map.length} bytes, all zeros but for these slots):\n`,
    codeBlock(slots),
  ].join("\n");
}

/** The manifest with equal neighbours in `segments` shown as one, marked `×N`; everything else as it is. */
function showManifest(text: string): string {
  const manifest: { segments: string[] } = JSON.parse(text);
  const shown: string[] = [];
  for (let at = 0; at < manifest.segments.length;) {
    let end = at + 1;
    while (manifest.segments[end] === manifest.segments[at]) end++;
    shown.push(canonicalize(manifest.segments[at]) + (end - at > 1 ? `×${end - at}` : ""));
    at = end;
  }
  const list = canonicalize(manifest.segments);
  return codeBlock(wrap(text.replace(list, `[${shown.join(",")}]`)));
}

/** Names of all files below `folder`, sorted, the cache and the empty locks left out. */
function fileNames(root: string, folder = ""): string[] {
  return [...Deno.readDirSync(`${root}/${folder}`)].flatMap(({ name, isDirectory }) =>
    isDirectory ? fileNames(root, `${folder}${name}/`) : [`${folder}${name}`]
  ).filter((name) => !name.startsWith("cache/") && !/^(custody-)?lock$/.test(name)).sort();
}

/** The example as Markdown, ending in a newline. */
export async function exampleMarkdown(root: string): Promise<string> {
  const journal = await makeExampleStore(root);
  const names = fileNames(root);
  const parts = [
    "Files and sizes:\n",
    codeBlock(names.map((name) => `${String(Deno.statSync(`${root}/${name}`).size).padStart(5)}  ${name}`)),
  ];
  for (const name of names) {
    const bytes = Deno.readFileSync(`${root}/${name}`);
    const text = new TextDecoder().decode(bytes);
    parts.push(`\`${name}\`:\n`);
    if (name.endsWith(".pack")) parts.push(showPack(name, bytes));
    else if (name.endsWith(".ed25519")) parts.push(codeBlock(hexLines(bytes, 0, bytes.length)));
    else if (/\/manifest-[0-9a-f]+\.json$/.test(name)) parts.push(showManifest(text));
    else if (!name.endsWith(".json")) parts.push(codeBlock(text.trimEnd().split("\n").flatMap(wrapWords)));
    else parts.push(codeBlock(wrap(text)));
  }
  parts.push("The journal just before the commit, which removes it:\n", journal);
  return parts.join("\n");
}

/** What stands between the markers of `document`. Throws where they are not there. */
export function exampleIn(document: string): string {
  const [begin, end] = MARKERS.map((marker) => document.indexOf(marker));
  if (begin === undefined || end === undefined || begin < 0 || end < begin) {
    throw new Error("Cannot find the example: store-format.md has no markers of it");
  }
  return document.slice(begin + MARKERS[0].length, end).trim();
}

if (import.meta.main) {
  const keep = Deno.args[0] === "--keep" ? Deno.args[1] : undefined;
  const root = keep ?? Deno.makeTempDirSync();
  try {
    const example = (await exampleMarkdown(root)).trim();
    if (Deno.args[0] === "--update") {
      const document = Deno.readTextFileSync(DOCUMENT);
      const [before, after] = [document.split(MARKERS[0])[0], document.split(MARKERS[1])[1]];
      exampleIn(document);
      Deno.writeTextFileSync(
        DOCUMENT,
        `${before}${MARKERS[0]}\n\n${example}\n\n${MARKERS[1]}${after}`,
      );
    } else await Deno.stdout.write(new TextEncoder().encode(`${example}\n`));
  } finally {
    if (keep === undefined) Deno.removeSync(root, { recursive: true });
  }
}
