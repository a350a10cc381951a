/**
 * Stores to be repaired: a plain or an encrypted one with two segments and several packs, another copy of it, ways to damage
 * it, and what a repair makes of it. No assertions.
 */
import { Identities, makeIdentity } from "../../src/cipher_age.ts";
import { encodeIdentityFile } from "../../src/cipher_age_files.ts";
import { PACK_HEADER_BYTES, RECORD_HEADER_BYTES } from "../../src/format/pack.ts";
import type { SigningKey } from "../../src/keys.ts";
import type { ExhibitId, World } from "../../src/model.ts";
import {
  type EvidenceFinding,
  type Finding,
  openStore,
  openStoreForWriting,
  type Refetch,
  type RepairedExhibit,
  type RepairStep,
  type Store,
} from "../../src/store/mod.ts";
import { TEST_KEY } from "../signing_key.ts";
import {
  acquire,
  filesBelow,
  flipBit,
  noise,
  pattern,
  shapeOf,
  tableOfExhibit,
  testWorld,
  type Volume,
} from "./fixtures.ts";

export const BLOCK = 1 << 16;
export const SHAPE = shapeOf(BLOCK, 2);
export const VOLUME: Volume = new Map<number, Uint8Array | "unreadable">([
  [0, noise(1, BLOCK)],
  [1, noise(1, BLOCK)],
  [2, pattern(2, BLOCK)],
  [3, noise(5, BLOCK)],
  [5, "unreadable"],
  [7, new Uint8Array(BLOCK)],
  [16_384, noise(3, BLOCK)],
  [32_767, noise(4, BLOCK)],
]);

export type Mode = "plain" | "encrypted";

const EXAMINER = await makeIdentity("x25519");
const LINEAGE = await makeIdentity("x25519");
const DIGESTS = await Identities.of([{ secret: LINEAGE.secret, place: "test" }]);
const OPENS = await Identities.of([{ secret: EXAMINER.secret, place: "test" }]);

/** Files of a store by their names, and the exhibit. */
export interface Made {
  readonly mode: Mode;
  readonly id: ExhibitId;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** How a store of a mode is opened. */
export function opening(mode: Mode): { readonly identities?: Identities } {
  return mode === "encrypted" ? { identities: OPENS } : {};
}

/** The file of the identity that opens encrypted ones, for other programs. */
export function writeIdentity(path: string): void {
  Deno.writeTextFileSync(path, encodeIdentityFile(EXAMINER, { atMs: 0 }), { mode: 0o600 });
}

/** Acquires the volume at `path` and keeps its files. */
export async function make(path: string, mode: Mode): Promise<Made> {
  const recipients = { contents: [EXAMINER.recipient], lineage: [LINEAGE.recipient] };
  const store = await openStoreForWriting(testWorld(), path, {
    ...opening(mode),
    ...(mode === "encrypted" && { recipients }),
  });
  try {
    const id = await acquire(store, { volume: VOLUME, shape: SHAPE, flushEvery: 3 });
    return { mode, id, files: readAll(path) };
  } finally {
    store.close();
  }
}

export function readAll(path: string): Map<string, Uint8Array> {
  return new Map(filesBelow(path).map((name) => [name, Deno.readFileSync(`${path}/${name}`)]));
}

/** Puts a store where there is none, or another one. */
export function put(path: string, files: ReadonlyMap<string, Uint8Array>): void {
  Deno.removeSync(path, { recursive: true });
  for (const [name, bytes] of files) {
    Deno.mkdirSync(`${path}/${name}`.replace(/\/[^/]*$/, ""), { recursive: true });
    Deno.writeFileSync(`${path}/${name}`, bytes);
  }
}

/** The names that match, sorted. */
export function named(path: string, pattern: RegExp): string[] {
  return filesBelow(path).filter((name) => pattern.test(name) && !name.startsWith("quarantine/"));
}

/** The pack with most bytes: it has several records. */
export function largestPack(path: string): string {
  const size = (name: string) => Deno.statSync(`${path}/${name}`).size;
  return named(path, /^packs\//).sort((a, b) => size(b) - size(a))[0]!;
}

/** Damage, by its name: what is done to the store at a path. */
export const DAMAGES: Readonly<Record<string, (path: string) => void>> = {
  "a flipped bit in a record": (path) => flip(path, largestPack(path), 200),
  "a flipped bit in a record's header": (path) => flip(path, largestPack(path), 30),
  "a flipped bit in a footer": (path) => flip(path, largestPack(path), -60),
  "a truncated pack": (path) => cut(path, largestPack(path), 0.6),
  "a missing pack": (path) => Deno.removeSync(`${path}/${largestPack(path)}`),
  "a missing segment": (path) => Deno.removeSync(`${path}/${named(path, /^segments\//)[0]}`),
  "a damaged segment": (path) => flip(path, named(path, /^segments\//)[1]!, -40),
  "a damaged document": (path) => flip(path, named(path, /^documents\//)[0]!, -40),
  "a damaged manifest": (path) => flip(path, named(path, /\/manifest-.*\.json(\.age)?$/)[0]!, -40),
  "a missing manifest": (path) =>
    Deno.removeSync(`${path}/${named(path, /\/manifest-.*\.json(\.age)?$/)[0]}`),
  "a damaged inventory": (path) => flip(path, named(path, /\/inventory-.*\.txt$/)[0]!, 40),
  "a missing inventory": (path) => Deno.removeSync(`${path}/${named(path, /\/inventory-.*\.txt$/)[0]}`),
};

/** @param offset Of the contents; of an age file it is far enough from its header. Negative: from the end. */
export function flip(path: string, name: string, offset: number): void {
  const { size } = Deno.statSync(`${path}/${name}`);
  const isAge = name.endsWith(".age");
  const start = isAge ? 1024 : PACK_HEADER_BYTES + RECORD_HEADER_BYTES;
  const isPack = name.startsWith("packs/");
  flipBit(
    `${path}/${name}`,
    offset < 0 ? size + offset : isPack && offset >= 100 ? start + offset : offset + (isAge ? 1024 : 0),
  );
}

export function cut(path: string, name: string, part: number): void {
  Deno.truncateSync(`${path}/${name}`, Math.floor(Deno.statSync(`${path}/${name}`).size * part));
}

export interface Repairs {
  readonly copy?: string;
  readonly world?: World;
  readonly key?: SigningKey;
  readonly refetch?: Refetch;
  /** Changes nothing. */
  readonly isDryRun?: boolean;
  /** Nothing is given to open with, or what opens digests only. */
  readonly opens?: "nothing" | "digests";
}

export interface Repaired extends RepairedExhibit {
  readonly steps: readonly RepairStep[];
  readonly findings: readonly Finding[];
  readonly moved: readonly string[];
}

/** The whole of a repair, as the command has it. */
export async function repair(path: string, { mode, id }: Made, how: Repairs = {}): Promise<Repaired> {
  const world = how.world ?? testWorld(undefined, 7);
  const open = how.opens === "nothing"
    ? {}
    : how.opens === "digests"
    ? { identities: DIGESTS }
    : opening(mode);
  const copy = how.copy === undefined ? undefined : await openStore(testWorld(), how.copy, open);
  let store: Store | undefined;
  try {
    store = how.isDryRun
      ? await openStore(world, path, open)
      : await openStoreForWriting(world, path, { ...open, isForRepair: true });
    const mending = store.repair(copy);
    if (!how.isDryRun) await store.tidyUp();
    const steps: RepairStep[] = [];
    const findings: Finding[] = [];
    const { signal } = new AbortController();
    const repaired = await mending.exhibit(id, {
      key: how.isDryRun ? undefined : how.key ?? TEST_KEY,
      signal,
      refetch: how.refetch,
      onSteps: (some) => steps.push(...some),
      onFinding: (finding) => findings.push(finding),
    });
    const moved: string[] = [];
    for (const pack of how.isDryRun ? [] : await mending.unneededPacks(signal)) {
      moved.push(await mending.setAside(pack));
    }
    if (moved.length > 0) await mending.rebuildIndex();
    return { ...repaired, steps, findings, moved };
  } finally {
    store?.close();
    copy?.close();
  }
}

/** What verify finds of everything, evidence beside the bytes included; or the error that keeps it from that. */
export async function allFindings(path: string, { mode, id }: Made): Promise<(Finding | EvidenceFinding)[]> {
  const store = await openStore(testWorld(), path, opening(mode));
  try {
    const exhibit = await store.exhibit(id);
    const findings: (Finding | EvidenceFinding)[] = [];
    const onFinding = (finding: Finding | EvidenceFinding) => findings.push(finding);
    const { signal } = new AbortController();
    const summary = await store.verify(exhibit, { level: "full", signal, onFinding });
    if (summary.unopenedFiles > 0) throw new Error(`${summary.firstUnopened} was not opened`);
    await store.evidence.check(exhibit, { keys: [], onFinding });
    return findings;
  } finally {
    store.close();
  }
}

/** Digest of each block that can be read, in the store at `path`. */
export async function tableAt(path: string, { mode, id }: Made) {
  const store = await openStore(testWorld(), path, opening(mode));
  try {
    return await tableOfExhibit(await store.exhibit(id));
  } finally {
    store.close();
  }
}
