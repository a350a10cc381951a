/**
 * The other side of an acquisition record: a store's documents read as plain files, what the endpoint logged, and
 * what the host's own tools say of it. Types come from the format, values never: nothing of the program is asked.
 */
import { assert, assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import type { Description, Session, SessionEvent, UnreadableDocument } from "../../src/format/documents.ts";
import type { Manifest } from "../../src/format/manifest.ts";
import type { RequestEntry } from "../../src/simulate/mod.ts";

/** A document, and the digest of its file's bytes. */
interface Document<T> {
  readonly digest: string;
  readonly value: T;
}

/** All that a store says of how an exhibit was acquired. */
export interface StoredRecord {
  readonly manifest: Document<Manifest>;
  readonly sessions: readonly Session[];
  readonly unreadable: UnreadableDocument["entries"];
  readonly description: Description | undefined;
}

export function sha256Of(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function readDocument<T>(path: string): Document<T> {
  const bytes = Deno.readFileSync(path);
  return { digest: sha256Of(bytes), value: JSON.parse(new TextDecoder().decode(bytes)) as T };
}

/** Reads what lies in the store of an exhibit; each document is held against the digest that names it. */
export function readRecord(store: string, exhibit: string): StoredRecord {
  const folder = `${store}/exhibits/${exhibit}`;
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) =>
    /^manifest-[0-9a-f]{64}\.json$/.test(name)
  );
  assertEquals(names.length, 1, "manifests of an exhibit");
  const manifest = readDocument<Manifest>(`${folder}/${names[0]}`);
  assertEquals(names[0], `manifest-${manifest.digest}.json`);
  const { documents } = manifest.value.acquisition;
  const read = <T>(digest: string): T => {
    const document = readDocument<T>(`${store}/documents/${digest}.json`);
    assertEquals(document.digest, digest);
    return document.value;
  };
  return {
    manifest,
    sessions: read<{ sessions: Session[] }>(documents.sessions).sessions,
    unreadable: documents.unreadable === null ? [] : read<UnreadableDocument>(documents.unreadable).entries,
    description: documents.description === null ? undefined : read(documents.description),
  };
}

/** The newest entry of a store's custody log: a test's store has one chain. */
export function custodyHead(store: string): { chain: string; digest: string; sequence: number } {
  const [chain, ...others] = [...Deno.readDirSync(`${store}/custody`)].map(({ name }) => name);
  assertEquals(others, []);
  const entries = [...Deno.readDirSync(`${store}/custody/${chain}`)].map(({ name }) => name)
    .filter((name) => name.endsWith(".json")).sort();
  const bytes = Deno.readFileSync(`${store}/custody/${chain}/${entries.at(-1)}`);
  return { chain: chain!, digest: sha256Of(bytes), sequence: entries.length - 1 };
}

/** What a tool of the host prints, without the newline. */
export async function said(program: string, ...args: string[]): Promise<string> {
  const { success, stdout } = await new Deno.Command(program, { args, stdin: "null" }).output();
  assertEquals(success, true, `${program} ${args.join(" ")}`);
  return new TextDecoder().decode(stdout).trim();
}

/** The host by its own tools. */
export async function hostByTools(): Promise<{ hostname: string; operatingSystem: string; user: string }> {
  const kernel = `${(await said("uname", "-s")).toLowerCase()} ${await said("uname", "-r", "-m")}`;
  return { hostname: await said("uname", "-n"), operatingSystem: kernel, user: await said("whoami") };
}

const EBS_CALLS = new Set<unknown>(["ListSnapshotBlocks", "ListChangedBlocks", "GetSnapshotBlock"]);

function isThrottled({ errorType }: RequestEntry): boolean {
  return errorType === "RequestThrottledException" || errorType === "ThrottlingException";
}

export function hasFailed({ status, fault }: RequestEntry): boolean {
  return status < 200 || status > 299 || fault !== undefined;
}

function isSameThing(a: RequestEntry, b: RequestEntry): boolean {
  return a.call === b.call && a.snapshot === b.snapshot && a.index === b.index;
}

/**
 * The requests that the program can know of. What is refused on a connection that was kept, before any answer, the
 * runtime's HTTP client may send again by itself (hyper does so once): neither counted nor told.
 */
export function knownOf(entries: readonly RequestEntry[], { events }: Session): readonly RequestEntry[] {
  const told = events.filter(({ kind, requestId }) => kind === "failed_request" && requestId === null).length;
  let unknown = entries.filter(({ fault }) => fault === "refuse").length - told;
  assert(unknown >= 0, `${told} requests are told of as never answered`);
  return entries.filter(({ fault }) => fault !== "refuse" || unknown-- <= 0);
}

/** A session's counts, from what the endpoint logged of it. */
export function countsOf(entries: readonly RequestEntry[]) {
  const ebs = entries.filter(({ call }) => EBS_CALLS.has(call));
  const gets = ebs.filter(({ call }) => call === "GetSnapshotBlock");
  const answered = ebs.filter(({ status }) => status !== 0);
  return {
    fetchedBlocks: gets.filter((entry) => !hasFailed(entry)).length,
    firstRequestId: answered[0]?.requestId ?? null,
    getRequests: gets.length,
    lastRequestId: answered.at(-1)?.requestId ?? null,
    listRequests: ebs.length - gets.length,
    otherRequests: entries.length - ebs.length,
    receivedBytes: entries.reduce((sum, { bytesSent }) => sum + bytesSent, 0),
    retries: entries.filter((entry, position) =>
      hasFailed(entry) && !isThrottled(entry) &&
      entries.slice(position + 1).some((later) => isSameThing(entry, later))
    ).length,
    throttles: entries.filter(isThrottled).length,
  };
}

type ToldFailure = Pick<SessionEvent, "kind" | "requestId"> & { readonly of: string };

/** Each failed request as the record must name it; one whose connection was refused never had an id to tell. */
export function failuresOf(entries: readonly RequestEntry[]): ToldFailure[] {
  return entries.filter(hasFailed).map((entry): ToldFailure => ({
    kind: isThrottled(entry) ? "throttle" : "failed_request",
    of: entry.call === "GetSnapshotBlock" ? `${entry.call} of block ${entry.index}` : `${entry.call}`,
    requestId: entry.status === 0 ? null : entry.requestId,
  })).sort(byText);
}

/** What a session tells of failed requests, in the same form. */
export function toldFailures({ events }: Session): ToldFailure[] {
  const failures = events.filter(({ kind }) => kind === "failed_request" || kind === "throttle");
  return failures.map(({ kind, requestId, detail }): ToldFailure => ({
    kind,
    of: detail.split(": ")[0]!,
    requestId,
  })).sort(byText);
}

function byText(a: unknown, b: unknown): number {
  const [one, other] = [JSON.stringify(a), JSON.stringify(b)];
  return one < other ? -1 : one > other ? 1 : 0;
}
