/**
 * The custody log of a store: appends entries to this key's and host's own chain, and checks all chains.
 * Entries are write-once: the signature first, the entry last, so that an entry that is there is signed.
 *
 * Found are edits, reordering, and anything missing before an entry that something else names (the next
 * entry, an anchor). Not findable: loss after the last anchor; whoever reports says so.
 *
 * @see store-format.md, "Custody log"
 */
import { Buffer } from "node:buffer";
import { OperatorError } from "../errors.ts";
import {
  custodyChain,
  type CustodyEntry,
  type CustodyHead,
  decodeCustodyEntry,
  encodeCustodyEntry,
  MAX_CUSTODY_ENTRY_BYTES,
  MAX_CUSTODY_FACTS,
} from "../format/custody.ts";
import { sha256 } from "../format/digests.ts";
import { FORMAT_VERSION, MAX_CUSTODY_HEADS, type ToolFacts } from "../format/members.ts";
import type { SigningKey } from "../keys.ts";
import type { Clock, Digest, Disk, ObjectName, ObjectStorage } from "../model.ts";
import { isDigest } from "../units.ts";
import { readChecked } from "./_checked.ts";
import { CUSTODY_FOLDER, CUSTODY_LOCK_FILE, custodyName } from "./_layout.ts";
import type { LocalStorage } from "./_local_storage.ts";
import { checkSignatures, putSignature } from "./_signatures.ts";

/** Entries take milliseconds; whoever holds the lock longer than this is stuck. */
const LOCK_WAIT_MS = 10_000;
const LOCK_RETRY_MS = 25;

/** What a command tells of itself. */
export type CustodyFacts = Pick<
  CustodyEntry,
  "action" | "clockSkewMs" | "commandLine" | "exhibits" | "host" | "reason" | "result"
>;

interface NamedEntry {
  readonly name: ObjectName;
  readonly sequence: number;
  readonly digest: Digest;
}

/** The entries that a chain's folder names, in order; nothing is read. */
async function* chainEntries(storage: ObjectStorage, chain: string): AsyncIterable<NamedEntry> {
  for await (const { name } of storage.list(`${CUSTODY_FOLDER}/${chain}/`)) {
    const match = /\/(\d{8})-([0-9a-f]{64})\.json$/.exec(name);
    const digest = match?.[2];
    if (match && isDigest(digest)) yield { name, sequence: Number(match[1]), digest };
  }
}

/** Names of all chains. */
async function chains(storage: ObjectStorage): Promise<string[]> {
  const names = new Set<string>();
  for await (const { name } of storage.list(`${CUSTODY_FOLDER}/`)) names.add(name.split("/")[1]!);
  return [...names].filter((name) => /^[0-9a-f]{32}$/.test(name)).sort();
}

/** The newest entry of every chain. */
export async function custodyHeads(storage: ObjectStorage): Promise<CustodyHead[]> {
  const heads: CustodyHead[] = [];
  for (const chain of await chains(storage)) {
    let last: NamedEntry | undefined;
    for await (const entry of chainEntries(storage, chain)) last = entry;
    if (last) heads.push({ chain, digest: last.digest, sequence: last.sequence });
  }
  return heads;
}

export interface CustodyParts {
  readonly storage: LocalStorage;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly storeId: string;
  readonly tool: ToolFacts;
}

/**
 * Appends an entry to the chain of this key on this host, and gives the chain's new head.
 *
 * Throws `locked` where another process holds the log for longer than ten seconds, `storage` where it can't
 * be written, `identity` where the key does not sign.
 */
export async function appendCustody(
  parts: CustodyParts,
  facts: CustodyFacts,
  key: SigningKey,
): Promise<CustodyHead> {
  const lock = await lockCustody(parts);
  try {
    const { name, bytes, head } = await nextEntry(parts, facts, key);
    await putSignature(parts.storage, { name, bytes, namespace: "coldcase-custody@v1" }, key);
    await parts.storage.put(name, bytes);
    return head;
  } finally {
    lock.release();
  }
}

/** The entry that would come next in the chain of this key on this host. Nothing is written. */
export async function nextEntry(
  parts: CustodyParts,
  facts: CustodyFacts,
  key: SigningKey,
): Promise<{ readonly name: ObjectName; readonly bytes: Uint8Array; readonly head: CustodyHead }> {
  const { hostname } = facts.host;
  const chain = custodyChain({ signer: key.fingerprint, hostname, storeId: parts.storeId });
  const heads = await custodyHeads(parts.storage);
  const own = heads.find((head) => head.chain === chain);
  const whole: CustodyEntry = {
    ...facts,
    result: withFewFacts(facts.result),
    at: new Date(parts.clock.nowMs()).toISOString(),
    chain,
    previous: own?.digest ?? null,
    seen: heads.filter((head) => head.chain !== chain).slice(0, MAX_CUSTODY_HEADS),
    sequence: own ? own.sequence + 1 : 0,
    signer: key.fingerprint,
    store: parts.storeId,
    tool: parts.tool,
    type: "coldcase-custody",
    version: FORMAT_VERSION,
  };
  const isTooLong = Buffer.byteLength(JSON.stringify(whole)) > MAX_CUSTODY_ENTRY_BYTES;
  const bytes = encodeCustodyEntry(isTooLong ? shortened(whole) : whole);
  const digest = sha256(bytes);
  return {
    name: custodyName(chain, whole.sequence, digest),
    bytes,
    head: { chain, digest, sequence: whole.sequence },
  };
}

/** A command about a hundred snapshots has a fact of each: the entry has what it takes, and says how many it lacks. */
function withFewFacts(result: CustodyEntry["result"]): CustodyEntry["result"] {
  const facts = Object.entries(result.facts);
  if (facts.length <= MAX_CUSTODY_FACTS) return result;
  const kept = facts.slice(0, MAX_CUSTODY_FACTS - 1);
  return { ...result, facts: { ...Object.fromEntries(kept), factsLeftOut: facts.length - kept.length } };
}

/** An entry that is too long for its file, in a form that never is: better a short entry than none. */
function shortened(entry: CustodyEntry): CustodyEntry {
  const cut = (text: string) => text.slice(0, 256).toWellFormed();
  const facts = Object.entries(entry.result.facts)
    .map(([name, value]) => [name, typeof value === "string" ? cut(value) : value] as const);
  return {
    ...entry,
    commandLine: [...entry.commandLine.slice(0, 15).map(cut), "…"],
    exhibits: entry.exhibits.slice(0, 256),
    result: { ...entry.result, facts: Object.fromEntries(facts) },
    seen: entry.seen.slice(0, 256),
  };
}

/** The lock under which the log, and what must not be written twice at once, goes on. Throws `locked`, after ten seconds. */
export async function lockCustody(
  { storage, disk, clock }: Omit<CustodyParts, "storeId" | "tool">,
): Promise<{ release(): void }> {
  const start = clock.monotonicMs();
  for (;;) {
    const lock = disk.tryLock(storage.pathOf(CUSTODY_LOCK_FILE));
    if (lock) return lock;
    if (clock.monotonicMs() - start > LOCK_WAIT_MS) {
      throw new OperatorError(
        "locked",
        "Cannot write to the custody log: another process has held it for ten seconds",
      );
    }
    await clock.sleep(LOCK_RETRY_MS);
  }
}

/** Something of the log that is not as it must be. */
export interface CustodyFault {
  readonly code: "custody_damaged" | "custody_missing" | "custody_forked";
  readonly file: ObjectName;
  readonly message: string;
}

export interface CustodyCheck {
  readonly entries: number;
  readonly heads: readonly CustodyHead[];
  readonly faults: readonly CustodyFault[];
}

/** Gets a good entry, its digest and the file that holds it. */
export type OnCustodyEntry = (entry: CustodyEntry, digest: Digest, file: ObjectName) => void;

/**
 * Checks all chains, each entry's name, form, signature and predecessor, and that everything is there that
 * an anchor names.
 *
 * @param anchors Heads that manifests, addenda, receipts or the operator name; those in entries are added.
 * @param onEntry Gets every good entry, chain by chain, the oldest first.
 */
export async function checkCustody(
  storage: ObjectStorage,
  anchors: readonly CustodyHead[],
  onEntry: OnCustodyEntry = () => {},
): Promise<CustodyCheck> {
  const faults: CustodyFault[] = [];
  const heads: CustodyHead[] = [];
  const present = new Map<string, Digest>();
  const named = new Map<string, CustodyHead>(anchors.map((anchor) => [placeOf(anchor), anchor]));
  let entries = 0;
  for (const chain of await chains(storage)) {
    let before: NamedEntry | undefined;
    let signer: string | undefined;
    for await (const place of chainEntries(storage, chain)) {
      entries++;
      const entry = await readEntry(storage, place, faults);
      present.set(placeOf({ chain, ...place }), place.digest);
      if (entry) {
        for (const head of entry.seen) named.set(placeOf(head), head);
        const fault = linkFault(entry, { place, chain, before, signer });
        if (fault) faults.push({ ...fault, file: place.name });
        else onEntry(entry, place.digest, place.name);
        signer ??= entry.signer;
      }
      before = place;
    }
    if (before) heads.push({ chain, digest: before.digest, sequence: before.sequence });
  }
  for (const anchor of named.values()) {
    if (present.get(placeOf(anchor)) === anchor.digest) continue;
    const file = custodyName(anchor.chain, anchor.sequence, anchor.digest);
    faults.push({
      code: "custody_missing",
      file,
      message: `Custody entry "${file}" is missing, though something else names it`,
    });
  }
  return { entries, heads, faults };
}

/** Where an entry is in all chains: two with one place are a fork. */
function placeOf({ chain, sequence, digest }: { chain: string; sequence: number; digest: Digest }): string {
  return `${chain} ${sequence} ${digest}`;
}

async function readEntry(
  storage: ObjectStorage,
  { name }: NamedEntry,
  faults: CustodyFault[],
): Promise<CustodyEntry | undefined> {
  try {
    const bytes = await readChecked(storage, name, MAX_CUSTODY_ENTRY_BYTES);
    const entry = decodeCustodyEntry(bytes, `"${name}"`);
    const check = await checkSignatures(storage, { name, bytes, namespace: "coldcase-custody@v1" });
    const fault = check.faults[0];
    if (fault) throw fault;
    if (!check.held.some(({ key }) => key.fingerprint === entry.signer)) {
      throw new OperatorError(
        "integrity",
        `Cannot accept "${name}": it has no signature by its signer ${entry.signer}`,
      );
    }
    return entry;
  } catch (error) {
    if (!(error instanceof OperatorError) || (error.code !== "integrity" && error.code !== "format")) {
      throw error;
    }
    faults.push({ code: "custody_damaged", file: name, message: error.message });
    return undefined;
  }
}

function linkFault(
  entry: CustodyEntry,
  link: {
    readonly place: NamedEntry;
    readonly chain: string;
    readonly before: NamedEntry | undefined;
    readonly signer: string | undefined;
  },
): Pick<CustodyFault, "code" | "message"> | undefined {
  const { place, chain, before, signer } = link;
  const say = (code: CustodyFault["code"], what: string) => ({
    code,
    message: `Custody entry "${place.name}" ${what}`,
  });
  if (entry.chain !== chain) return say("custody_damaged", `says that it is of chain ${entry.chain}`);
  if (entry.sequence !== place.sequence) {
    return say("custody_damaged", `says that it is entry ${entry.sequence}`);
  }
  if (before && before.sequence === place.sequence) {
    return say("custody_forked", `is a second entry ${place.sequence} of its chain`);
  }
  if (place.sequence !== (before ? before.sequence + 1 : 0)) {
    return say("custody_missing", "has no predecessor in the store");
  }
  if (entry.previous !== (before?.digest ?? null)) {
    return say("custody_damaged", `names ${entry.previous} as its predecessor`);
  }
  if (signer !== undefined && entry.signer !== signer) {
    return say("custody_damaged", `is signed by ${entry.signer}, its chain by ${signer}`);
  }
  return undefined;
}
