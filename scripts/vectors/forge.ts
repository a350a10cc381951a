/**
 * Takes the exhibit of a small store apart, lets any part be changed, and puts it together again so that every
 * digest and every signature around the changed part fits: a fault behind a valid signature is then the only
 * fault. Nothing here checks anything.
 */
import { canonicalize } from "@std/json/canonicalize";
import { commitmentOf, sha256 } from "../../src/format/digests.ts";
import type { SignatureNamespace } from "../../src/format/verifying_key.ts";
import type { SigningKey } from "../../src/keys.ts";
import { realDisk } from "../../src/world.ts";
import { exampleKey, fixedWorld, otherKey } from "../example_store.ts";
import type { Files } from "./files.ts";

export const EXHIBIT = "ex-000000000000002a";
export const FOLDER = `exhibits/${EXHIBIT}`;

const WORLD = fixedWorld(realDisk);
/** Signs the example. */
export const KEY: SigningKey = await exampleKey(WORLD);
/** Somebody else's. */
export const OTHER_KEY: SigningKey = await otherKey(WORLD);

const TEXT_ENCODER = new TextEncoder();

export function bytesOf(text: string): Uint8Array {
  return TEXT_ENCODER.encode(text);
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Path of a member (`acquisition.case.notes`, `segments.0`) → its new value; `undefined` takes it out. */
export type Edits = Readonly<Record<string, unknown>>;

/** The document `bytes` with some members changed, canonical again; what it then says is not looked at. */
export function edited(bytes: Uint8Array, edits: Edits): Uint8Array {
  const document: unknown = JSON.parse(textOf(bytes));
  for (const [path, value] of Object.entries(edits)) {
    const steps = path.split(".");
    const last = steps.pop()!;
    const owner = steps.reduce((at, step) => (at as Record<string, unknown>)[step], document);
    if (value === undefined) delete (owner as Record<string, unknown>)[last];
    else (owner as Record<string, unknown>)[last] = value;
  }
  return bytesOf(canonicalize(document));
}

/** A text with the first `from`, which must be there, replaced. */
export function swapped(text: string, from: string | RegExp, to: string): string {
  let isThere = false;
  const changed = text.replace(from, () => {
    isThere = true;
    return to;
  });
  if (!isThere) throw new Error(`Cannot find ${from} in ${text.slice(0, 200)}`);
  return changed;
}

/** The one name that matches. */
export function nameIn(files: Files, pattern: RegExp): string {
  const names = [...files.keys()].filter((name) => pattern.test(name));
  if (names.length !== 1) throw new Error(`${names.length} files match ${pattern}`);
  return names[0]!;
}

/** The bytes of a file that is no link. */
export function bytesIn(files: Files, name: string): Uint8Array {
  const entry = files.get(name);
  if (!(entry instanceof Uint8Array)) throw new Error(`no file ${name}`);
  return entry;
}

/** What stands before the ending of a signed file's name. */
export function stemOf(name: string): string {
  return name.replace(/\.(json|txt)$/, "");
}

/** Adds the signature files of a key over a file, as coldcase writes them. */
export async function sign(
  files: Files,
  name: string,
  options: { readonly namespace: SignatureNamespace; readonly key?: SigningKey; readonly bytes?: Uint8Array },
): Promise<void> {
  const { namespace, key = KEY, bytes = bytesIn(files, name) } = options;
  const stem = `${stemOf(name)}.${key.shortFingerprint}`;
  files.set(`${stem}.ed25519`, await key.signRaw!(bytes));
  files.set(`${stem}.sshsig`, await key.signSshsig(bytes, namespace));
}

export type DocumentKind = "description" | "sessions" | "unreadable";

/** What is changed, in the order in which it is applied. Each gets the part as it is. */
export interface Forgery {
  packs?(packs: Uint8Array[]): Uint8Array[];
  /** One a segment of the volume, in order. */
  segments?(segments: Uint8Array[]): Uint8Array[];
  documents?: Partial<Record<DocumentKind, ((document: Uint8Array) => Uint8Array) | null>>;
  /** Members; digests of segments, documents and image are right before this. */
  manifest?: Edits;
  /** The same where the image digest shall be that of the changed members. */
  manifestWithImageDigest?: Edits;
  manifestBytes?(bytes: Uint8Array): Uint8Array;
  /** `SIZE NAME` lines of the inventory. */
  lines?(lines: string[]): string[];
  inventory?(text: string): string | Uint8Array;
  readonly manifestKeys?: readonly SigningKey[];
  readonly inventoryKeys?: readonly SigningKey[];
}

/** A set that the example's exhibit may be of. */
export const INSTANCE_SET = {
  device: "/dev/xvda",
  instance: "i-0123456789abcdef0",
  knownBy: "start_time",
  missingVolumes: [{ device: "/dev/sdg", volumeId: "vol-0123456789abcdef2" }],
  snapshots: [
    { device: "/dev/xvda", snapshot: "snap-0123456789abcdef0", volumeId: "vol-0123456789abcdef0" },
    { device: "/dev/sdf", snapshot: "snap-0123456789abcdef1", volumeId: "vol-0123456789abcdef1" },
  ],
  startedAt: "2026-01-01T00:00:00.000Z",
} as const;

/** The source of an exhibit that was imported. */
export const FOLDER_SOURCE = {
  blockFiles: 192,
  folder: "/cases/114/snap-0123456789abcdef0",
  kind: "snapshot-4n6ir-imager",
  layout: "compressed",
  otherBlockFiles: 0,
  snapshot: "snap-0123456789abcdef0",
} as const;

/** The store with its exhibit taken apart and put together again. */
export async function forge(files: Files, forgery: Forgery): Promise<Files> {
  const parts = takeApart(files);
  const put = (name: string, bytes: Uint8Array) => {
    parts.rest.set(name, bytes);
    parts.needed.set(name, bytes.length);
    return bytes;
  };
  for (const pack of forgery.packs?.(parts.packs) ?? parts.packs) {
    const digest = sha256(pack);
    put(`packs/${digest.slice(0, 2)}/${digest}.pack`, pack);
  }
  const segments = forgery.segments?.(parts.segments) ?? parts.segments;
  for (const segment of segments) {
    const digest = sha256(segment);
    put(`segments/${digest.slice(0, 2)}/${digest}.json`, segment);
  }
  const edits: Record<string, unknown> = { segments: segments.map((segment) => sha256(segment)) };
  for (const [kind, bytes] of parts.documents) {
    const change = forgery.documents?.[kind];
    const document = change === null ? null : change ? change(bytes) : bytes;
    edits[`acquisition.documents.${kind}`] = document && sha256(document);
    if (document) put(`documents/${sha256(document)}.json`, document);
  }
  const before = edited(parts.manifest, { ...edits, ...forgery.manifestWithImageDigest });
  const whole = withResult(
    edited(before, { imageDigest: imageDigestOf(before), ...forgery.manifest }),
    forgery,
  );
  const manifest = forgery.manifestBytes?.(whole) ?? whole;
  const manifestName = `${FOLDER}/manifest-${sha256(manifest)}.json`;
  put(manifestName, manifest);
  const lines = [...parts.needed].map(([name, size]) => `${size} ${name}`).sort(byName);
  const kept = forgery.lines?.(lines) ?? lines;
  const named = swapped(parts.inventoryHead, /^manifest .*$/m, `manifest ${sha256(manifest)}`);
  const head = swapped(named, /^commitment .*$/m, `commitment ${commitmentOf(sha256(manifest))}`);
  const text = [swapped(`${head} `, /files \d+ $/, `files ${kept.length}`), ...kept, ""].join("\n");
  const changed = forgery.inventory?.(text) ?? text;
  const inventory = typeof changed === "string" ? bytesOf(changed) : changed;
  const inventoryName = `${FOLDER}/inventory-${sha256(inventory)}.txt`;
  parts.rest.set(inventoryName, inventory);
  for (const key of forgery.manifestKeys ?? [KEY]) {
    await sign(parts.rest, manifestName, { namespace: "coldcase-manifest@v1", key });
  }
  for (const key of forgery.inventoryKeys ?? [KEY]) {
    await sign(parts.rest, inventoryName, { namespace: "coldcase-inventory@v1", key });
  }
  return parts.rest;
}

/** What the manifest says of its verification follows from its counts, unless that is what is forged. */
function withResult(manifest: Uint8Array, { manifest: edits = {} }: Forgery): Uint8Array {
  const { acquisition, counts } = JSON.parse(textOf(manifest));
  const isForged = Object.keys(edits).some((path) => path.startsWith("acquisition.verification"));
  if (isForged || !acquisition?.verification || typeof counts?.unreadableBlocks !== "number") return manifest;
  const result = counts.unreadableBlocks > 0 ? "some_unreadable" : "all_matched";
  return edited(manifest, { "acquisition.verification.result": result });
}

function byName(a: string, b: string): number {
  const [first, second] = [a, b].map((line) => line.slice(line.indexOf(" ") + 1));
  return first! < second! ? -1 : 1;
}

function imageDigestOf(manifest: Uint8Array): string {
  const { volume, segments, segmentBlocks } = JSON.parse(textOf(manifest));
  const lines = [
    "coldcase-image-v1",
    `${volume.blockSizeBytes} ${volume.blockCount} ${segmentBlocks}`,
    ...segments,
    "",
  ];
  return sha256(bytesOf(lines.join("\n")));
}

interface Parts {
  readonly packs: Uint8Array[];
  readonly segments: Uint8Array[];
  readonly documents: readonly (readonly [DocumentKind, Uint8Array])[];
  readonly manifest: Uint8Array;
  readonly inventoryHead: string;
  /** Files that are none of the above. */
  readonly rest: Files;
  /** Names and sizes for the new inventory. */
  readonly needed: Map<string, number>;
}

function takeApart(files: Files): Parts {
  const rest: Files = new Map(files);
  const take = (name: string) => {
    const bytes = bytesIn(files, name);
    rest.delete(name);
    return bytes;
  };
  const manifestName = nameIn(files, /\/manifest-[0-9a-f]{64}\.json$/);
  const inventoryName = nameIn(files, /\/inventory-[0-9a-f]{64}\.txt$/);
  for (const name of files.keys()) {
    if (name.startsWith(`${stemOf(manifestName)}.`) || name.startsWith(`${stemOf(inventoryName)}.`)) {
      rest.delete(name);
    }
  }
  const manifest = bytesIn(files, manifestName);
  const known: {
    segments: string[];
    acquisition: { documents: Record<DocumentKind, string | null> };
  } = JSON.parse(textOf(manifest));
  const kinds = ["description", "sessions", "unreadable"] as const;
  return {
    packs: [...files.keys()].filter((name) => name.startsWith("packs/")).map(take),
    segments: known.segments.map((digest) => take(`segments/${digest.slice(0, 2)}/${digest}.json`)),
    documents: kinds.flatMap((kind) => {
      const digest = known.acquisition.documents[kind];
      return digest ? [[kind, take(`documents/${digest}.json`)] as const] : [];
    }),
    manifest,
    inventoryHead: textOf(bytesIn(files, inventoryName)).split("\n").slice(0, 9).join("\n"),
    rest,
    needed: new Map(),
  };
}
