/** Manifests: what fits together is given back, what does not is refused by code and place. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { encodeCanonicalJson } from "../../src/format/canonical_json.ts";
import {
  decodeManifest,
  encodeManifest,
  type Manifest,
  MAX_MANIFEST_BYTES,
  serviceOf,
} from "../../src/format/manifest.ts";
import { MAX_CUSTODY_HEADS } from "../../src/format/members.ts";
import { MAX_SET_SNAPSHOTS } from "../../src/format/snapshot_set.ts";
import type { Digest, SnapshotId } from "../../src/model.ts";
import { forRounds, pick } from "../seeded.ts";
import { assertRefused, bytesOf, digestOf, randomDigest, textOf } from "./refusals.ts";
import { manifestOf } from "./samples.ts";

const SAMPLE = manifestOf(9);

/** All paths of members in `value`: `acquisition.case.notes`. */
function memberPaths(value: unknown, path: readonly string[] = []): string[][] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
  return Object.entries(value).flatMap(([name, member]) => [
    [...path, name],
    ...memberPaths(member, [...path, name]),
  ]);
}

/** The sample with `change` applied to the object at the end of `path`. */
function changed(path: readonly string[], change: (holder: Record<string, unknown>) => void): Uint8Array {
  const copy = structuredClone(SAMPLE) as unknown as Record<string, unknown>;
  let holder = copy;
  for (const name of path) holder = holder[name] as Record<string, unknown>;
  change(holder);
  return encodeCanonicalJson(copy);
}

function refused(manifest: unknown, code: "format" | "integrity", ...parts: string[]): void {
  assertRefused(() => decodeManifest(encodeCanonicalJson(manifest), "manifest 1"), code, ...parts);
}

Deno.test("decodeManifest() gives back what encodeManifest() took, and again the same bytes", () => {
  forRounds(60, (below) => {
    const volumeSizeGib = pick(below, [1, 8, 9, 100, 1 + below(2000)]);
    const segments = Array.from({ length: Math.ceil(volumeSizeGib / 8) }, () => randomDigest(below));
    const plain = manifestOf(volumeSizeGib, segments);
    const zeroBlocks = below(plain.volume.blockCount);
    const storedBlocks = below(plain.volume.blockCount - zeroBlocks);
    const counts = {
      absentBlocks: plain.volume.blockCount - zeroBlocks - storedBlocks,
      zeroBlocks,
      storedBlocks,
      unreadableBlocks: 0,
    };
    const manifest: Manifest = { ...plain, counts, isPartial: below(2) === 0 };
    const bytes = encodeManifest(manifest);
    assertEquals(decodeManifest(bytes), manifest);
    assertEquals(encodeManifest(decodeManifest(bytes)), bytes);
  });
});

Deno.test("encodeManifest() of 64 TiB and of all that an acquisition can tell stays under 1 MiB", () => {
  const plain = manifestOf(65_536);
  const { acquisition } = plain;
  // Six bytes a character: what a service says, and what a host is called, may be nothing but such.
  const long = (length: number) => "\u0001".repeat(length);
  const told = (length: number) => "€".repeat(length);
  const device = '"'.repeat(64);
  const longest: Manifest = {
    ...plain,
    acquisition: {
      ...acquisition,
      // As much as refuseLongFacts() lets through.
      case: {
        authority: told(4096),
        case: told(256),
        evidence: told(256),
        examiner: told(256),
        notes: told(16_384),
        organization: told(256),
      },
      custodyHeads: Array.from({ length: MAX_CUSTODY_HEADS }, (_, sequence) => ({
        chain: "0".repeat(32),
        digest: digestOf("0a"),
        sequence: 99_999_999 - sequence,
      })),
      destination: { fileSystem: long(64), path: long(4096) },
      host: { hostname: long(256), operatingSystem: long(256), user: long(256) },
      parentDropped: long(4096),
      set: {
        ...acquisition.set!,
        device,
        missingVolumes: Array.from({ length: MAX_SET_SNAPSHOTS }, (_, at) => ({
          device,
          volumeId: `vol-1${String(at).padStart(16, "0")}`,
        })),
        snapshots: Array.from({ length: MAX_SET_SNAPSHOTS }, (_, at) => ({
          device,
          snapshot:
            (at === 0 ? plain.source.snapshot : `snap-f${String(at).padStart(16, "0")}`) as SnapshotId,
          volumeId: `vol-2${String(at).padStart(16, "0")}`,
        })),
      },
      snapshot: {
        ...acquisition.snapshot,
        description: long(1024),
        instance: long(64),
        kmsKeyId: long(2048),
        ownerAccount: long(64),
        storageTier: long(64),
        // As many bytes of them as noteDescription() lets through.
        tags: Object.fromEntries(Array.from({ length: 42 }, (_, tag) => [`${tag}${long(254)}`, long(256)])),
        volumeId: long(64),
      },
    },
    source: { ...serviceOf(plain.source)!, endpoint: told(2048), region: told(64) },
  };
  assertEquals(plain.segments.length, 8192);
  assert(encodeManifest(plain).length < 600_000);
  const bytes = encodeManifest(longest);
  assert(bytes.length < MAX_MANIFEST_BYTES, `${bytes.length} bytes`);
  assertEquals(decodeManifest(bytes), longest);
});

Deno.test("decodeManifest() refuses more than 1 MiB before it parses", () => {
  const bytes = new Uint8Array(MAX_MANIFEST_BYTES + 1).fill(0x7b);
  assertRefused(() => decodeManifest(bytes), "format", "has 1048577 bytes, at most 1048576 are allowed");
});

Deno.test("decodeManifest() refuses a manifest without any one of its members, naming it", () => {
  const paths = memberPaths(SAMPLE);
  assert(paths.length > 70, `${paths.length} members`);
  for (const path of paths) {
    const bytes = changed(path.slice(0, -1), (holder) => delete holder[path.at(-1)!]);
    assertRefused(() => decodeManifest(bytes), "format", `manifest.${path.join(".")}: is nothing`);
  }
});

Deno.test("decodeManifest() refuses a member that it does not know, in each of its objects", () => {
  const objects = [
    [],
    ...memberPaths(SAMPLE).filter((path) => {
      const member = path.reduce<unknown>(
        (holder, name) => (holder as Record<string, unknown>)[name],
        SAMPLE,
      );
      // Tags are named by whoever made them.
      return typeof member === "object" && member !== null && !Array.isArray(member) &&
        path.at(-1) !== "tags";
    }),
  ];
  assert(objects.length > 10);
  for (const path of objects) {
    const bytes = changed(path, (holder) => holder["note"] = 1);
    const place = ["manifest", ...path, "note"].join(".");
    assertRefused(() => decodeManifest(bytes), "format", `${place}: is "note", expected no such member`);
  }
});

Deno.test("decodeManifest() refuses each member with a value of another type", () => {
  for (const path of memberPaths(SAMPLE)) {
    for (const value of [[null], { a: 1 }, 0.5, -1e16]) {
      const bytes = changed(path.slice(0, -1), (holder) => holder[path.at(-1)!] = value);
      assertRefused(() => decodeManifest(bytes), "format", `Cannot read manifest.${path.join(".")}`);
    }
  }
});

Deno.test("decodeManifest() takes 32 hexadecimal digits for a nonce, and a manifest of another nonce is another", () => {
  const withNonce = (nonce: unknown) => changed(["acquisition"], (holder) => holder["nonce"] = nonce);
  const digits = SAMPLE.acquisition.nonce;
  for (
    const other of ["", digits.slice(1), `${digits}0`, digits.toUpperCase(), `${digits.slice(1)}g`, 7, null]
  ) {
    assertRefused(() => decodeManifest(withNonce(other)), "format", "manifest.acquisition.nonce");
  }
  const nonce = "00".repeat(16);
  assertEquals(decodeManifest(withNonce(nonce)).acquisition.nonce, nonce);
  assertNotEquals(withNonce(nonce), encodeManifest(SAMPLE));
});

Deno.test("decodeManifest() names a version from the future, even if its members are others", () => {
  refused({ ...SAMPLE, version: 0 }, "format", "manifest 1.version: is 0, expected 1");
  refused({ ...SAMPLE, version: 2 }, "format", "manifest 1.version: is 2, expected 1");
  refused({ ...SAMPLE, version: 7, blocks: [] }, "format", "manifest 1.version: is 7, expected 1");
  refused({ type: "coldcase-manifest", version: 2 }, "format", "manifest 1.version: is 2, expected 1");
  refused({ ...SAMPLE, type: "coldcase-segment", runs: [] }, "format", "manifest 1.type");
});

Deno.test("decodeManifest() refuses a number of segments that is not its volume's", () => {
  const digests = (length: number) => new Array<Digest>(length).fill(digestOf("5e"));
  for (const length of [0, 1, 3]) {
    const parts = ["manifest 1", `has ${length} segments, its volume has 2`];
    refused({ ...SAMPLE, segments: digests(length) }, "integrity", ...parts);
  }
  refused({ ...SAMPLE, segments: digests(8193) }, "format", "manifest 1.segments", "at most 8192");
});

Deno.test("decodeManifest() refuses counts that do not sum to its volume", () => {
  const { counts } = SAMPLE;
  for (const off of [-1, 1]) {
    const absentBlocks = counts.absentBlocks + off;
    const parts = [`counts ${absentBlocks} blocks, its volume has 18432`];
    refused({ ...SAMPLE, counts: { ...counts, absentBlocks } }, "integrity", "manifest 1", ...parts);
  }
  const huge = {
    absentBlocks: 18_432,
    storedBlocks: 2 ** 53 - 1,
    unreadableBlocks: 2 ** 53 - 1,
    zeroBlocks: 0,
  };
  refused({ ...SAMPLE, counts: huge }, "integrity", "its volume has 18432");
  refused(
    { ...SAMPLE, counts: { ...counts, zeroBlocks: -1 } },
    "format",
    "manifest 1.counts.zeroBlocks: is -1",
  );
});

Deno.test("decodeManifest() refuses an image digest that is not of its segments", () => {
  refused({ ...SAMPLE, imageDigest: digestOf("00") }, "integrity", "manifest 1", `it says ${digestOf("00")}`);
  const segments = [digestOf("5e"), digestOf("5d")];
  refused({ ...SAMPLE, segments }, "integrity", "its segments give image digest");
});

Deno.test("decodeManifest() refuses volumes that cannot be or do not add up", () => {
  const volumes: [object, string][] = [
    [
      { blockCount: 18_431, blockSizeBytes: 524_288, volumeSizeGib: 9 },
      "block count is 18431, expected 18432",
    ],
    [{ blockCount: 18_432, blockSizeBytes: 524_289, volumeSizeGib: 9 }, "block size is 524289"],
    [
      { blockCount: 2 ** 27, blockSizeBytes: 262_144, volumeSizeGib: 65_536 },
      "at most 134217728 are supported",
    ],
  ];
  for (const [volume, fault] of volumes) {
    refused({ ...SAMPLE, volume }, "format", "Cannot read manifest 1.volume", fault);
  }
  const members: [string, number][] = [
    ["blockCount", 2 ** 27 + 1],
    ["blockCount", 0],
    ["blockSizeBytes", 256],
    ["blockSizeBytes", 2 ** 25],
    ["volumeSizeGib", 0],
    ["volumeSizeGib", 65_537],
  ];
  for (const [member, value] of members) {
    const volume = { ...SAMPLE.volume, [member]: value };
    refused({ ...SAMPLE, volume }, "format", `manifest 1.volume.${member}: is ${value}`);
  }
});

Deno.test("encodeManifest() refuses what decodeManifest() would not read again", () => {
  const wrong = { ...SAMPLE, imageDigest: digestOf("00") };
  assertRefused(() => encodeManifest(wrong), "integrity", "new manifest");
  const surplus = { ...SAMPLE, note: 1 } as Manifest;
  assertRefused(() => encodeManifest(surplus), "format", "new manifest.note");
});

Deno.test("decodeManifest() refuses its text with a newline, a space, or cut off", () => {
  const text = textOf(encodeManifest(SAMPLE));
  for (const other of [`${text}\n`, ` ${text}`, text.replace(":", ": "), text.slice(0, -1)]) {
    assertRefused(() => decodeManifest(bytesOf(other)), "format", "Cannot read manifest");
  }
});

Deno.test("decodeManifest() refuses a description that was received and is nowhere, and takes an earlier one", () => {
  const withFacts = (facts: object) => ({ ...SAMPLE, acquisition: { ...SAMPLE.acquisition, ...facts } });
  const { documents } = SAMPLE.acquisition;
  const results = ["received", "not_permitted", "not_found", "failed", "not_asked"] as const;
  for (const descriptionResult of results) {
    const kept = withFacts({ descriptionResult, documents: { ...documents, description: digestOf("5d") } });
    assertEquals(decodeManifest(encodeCanonicalJson(kept)).acquisition.descriptionResult, descriptionResult);
    const none = withFacts({ descriptionResult, documents: { ...documents, description: null } });
    if (descriptionResult === "received") refused(none, "integrity", "no document of it is named");
    else decodeManifest(encodeCanonicalJson(none));
  }
  refused(withFacts({ descriptionResult: "told" }), "format", "manifest 1.acquisition.descriptionResult");
});

/** The sample, imported. */
function importedOf(): Manifest {
  const { acquisition, ...plain } = manifestOf(9);
  const { blockCount } = plain.volume;
  return {
    ...plain,
    source: {
      blockFiles: 12,
      folder: "/cases/114/snap-0123456789abcdef0",
      kind: "snapshot-4n6ir-imager",
      layout: "plain",
      otherBlockFiles: 3,
      snapshot: plain.source.snapshot,
    },
    counts: { absentBlocks: 0, storedBlocks: 8, unreadableBlocks: blockCount - 10, zeroBlocks: 2 },
    isPartial: false,
    parent: null,
    acquisition: {
      ...acquisition,
      descriptionResult: "not_asked",
      documents: { ...acquisition.documents, description: null, unreadable: digestOf("0f") },
      listedBlocks: null,
      set: null,
      takenOverBlocks: 0,
      takenOverReadSince: null,
      verification: { ...acquisition.verification, level: "on_import", result: "some_unreadable" },
    },
  };
}

Deno.test("decodeManifest() takes an import that claims no more than anybody can know", () => {
  const manifest = importedOf();
  assertEquals(decodeManifest(encodeManifest(manifest)), manifest);
});

Deno.test("decodeManifest() refuses an import that claims what nobody can know", () => {
  const manifest = importedOf();
  const { acquisition, counts, source } = manifest;
  const claiming = (record: Partial<Manifest["acquisition"]>) => ({
    ...manifest,
    acquisition: { ...acquisition, ...record },
  });
  const parent = {
    exhibit: "ex-0000000000000001",
    imageDigest: digestOf("01"),
    manifest: digestOf("02"),
    snapshot: source.snapshot,
  };
  const moved = { ...counts, absentBlocks: 1, unreadableBlocks: counts.unreadableBlocks - 1 };
  const more = { ...counts, zeroBlocks: 5, unreadableBlocks: counts.unreadableBlocks - 3 };
  const claims: [string, unknown][] = [
    ["a checksum", claiming({ verification: { ...acquisition.verification, level: "on_arrival" } })],
    ["absent blocks", { ...manifest, counts: moved }],
    ["a listing", claiming({ listedBlocks: 10 })],
    ["a parent", { ...manifest, parent }],
    ["a parent", claiming({ takenOverBlocks: 1 })],
    ["a description", claiming({ descriptionResult: "failed" })],
    ["a description", claiming({ documents: { ...acquisition.documents, description: digestOf("03") } })],
    ["a set", claiming({ set: manifestOf(9).acquisition.set })],
    ["not tried", { ...manifest, isPartial: true }],
    ["more blocks than files", { ...manifest, counts: more }],
  ];
  for (const [claim, changed] of claims) refused(changed, "integrity", "was imported, and claims", claim);
  const acquired = manifestOf(9);
  const verification = { ...acquired.acquisition.verification, level: "on_import" };
  refused(
    { ...acquired, acquisition: { ...acquired.acquisition, verification } },
    "integrity",
    "was acquired",
  );
  // Members of the one kind are none of the other's.
  refused({ ...manifest, source: { ...source, region: "eu-central-1" } }, "format", "source.region");
  refused({ ...acquired, source: { ...acquired.source, folder: "/" } }, "format", "source.folder");
  refused({ ...manifest, source: { ...source, kind: "tar" } }, "format", "source.");
});
