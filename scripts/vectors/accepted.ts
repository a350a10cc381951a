/**
 * Vectors that must be accepted: rare but right stores, that a reader which is too strict would refuse. What
 * is wrong with the others is in the files beside this one.
 */
import { canonicalize } from "@std/json/canonicalize";
import { encodeStoreFile } from "../../src/format/store_file.ts";
import { FORMAT_VERSION } from "../../src/format/members.ts";
import {
  bytesIn,
  bytesOf,
  edited,
  type Edits,
  EXHIBIT,
  FOLDER_SOURCE,
  forge,
  type Forgery,
  INSTANCE_SET,
  nameIn,
  OTHER_KEY,
  sign,
  swapped,
  textOf,
} from "./forge.ts";
import type { Files } from "./files.ts";
import { keysOf } from "./inventories.ts";
import { ACCEPTED, type Vector } from "./vector.ts";

function accepted(name: string, about: string, section: string, make: Vector["make"]): Vector {
  return { name: `accepted_${name}`, about, section, make, ...ACCEPTED };
}

const segmentOf = (...runs: unknown[]) =>
  bytesOf(canonicalize({ runs, type: "coldcase-segment", version: FORMAT_VERSION }));

/** An exhibit without a stored or unreadable block. */
function without(
  blocks: { readonly segments: Uint8Array[]; readonly absent: number; readonly zero: number },
  edits: Edits = {},
): Forgery {
  const counts = {
    absentBlocks: blocks.absent,
    storedBlocks: 0,
    unreadableBlocks: 0,
    zeroBlocks: blocks.zero,
  };
  return {
    packs: () => [],
    segments: () => blocks.segments,
    documents: { unreadable: null },
    manifestWithImageDigest: { counts, ...edits },
  };
}

const ABSENT = segmentOf({ blocks: 16_384, state: "absent" });
const ZERO = segmentOf({ blocks: 16_384, state: "zero" });

/** Adds files that no inventory names. */
const beside = (more: Readonly<Record<string, string>>): Vector["make"] => ({ plain }) =>
  new Map([...plain, ...Object.entries(more).map(([name, text]) => [name, bytesOf(text)] as const)]);

export const ACCEPTED_VECTORS: readonly Vector[] = [
  accepted("example", "the worked example, in two packs", "Worked example", ({ plain }) => plain),
  accepted(
    "everything",
    "two signers, two custody chains, an addendum, a receipt, a token's place",
    "Layout",
    ({ full }) => full,
  ),
  accepted(
    "empty_volume",
    "no block was ever written: no pack, no list of unreadable blocks",
    "Segment",
    ({ plain }) =>
      forge(
        plain,
        without({ segments: Array.from({ length: 128 }, () => ABSENT), absent: 2 ** 21, zero: 0 }),
      ),
  ),
  accepted(
    "volume_of_zeros",
    "all blocks were read, and all are zeros",
    "Segment",
    ({ plain }) =>
      forge(plain, without({ segments: Array.from({ length: 128 }, () => ZERO), absent: 0, zero: 2 ** 21 })),
  ),
  accepted(
    "short_segment",
    "a volume of 8,192 blocks of 128 KiB: its only segment is a short one",
    "Segment",
    ({ plain }) => {
      const segment = segmentOf({ blocks: 8000, state: "absent" }, { blocks: 192, state: "zero" });
      const volume = { blockCount: 8192, blockSizeBytes: 2 ** 17, volumeSizeGib: 1 };
      return forge(plain, without({ segments: [segment], absent: 8000, zero: 192 }, { volume }));
    },
  ),
  accepted(
    "partial",
    "committed before every listed block had been tried",
    "Manifest",
    ({ plain }) =>
      forge(plain, {
        documents: {
          unreadable: (bytes) =>
            edited(bytes, {
              "entries.0.first.reason": "not_acquired",
              "entries.0.first.attempts": 0,
              "entries.0.first.requestIds": [],
            }),
        },
        manifest: { isPartial: true },
      }),
  ),
  accepted(
    "imported",
    "taken over from another tool's folder, which had no file of most blocks",
    "Imported exhibits",
    ({ plain }) => {
      const segment = segmentOf({ blocks: 8000, state: "unreadable" }, { blocks: 192, state: "zero" });
      const first = { attempts: 0, block: 0, detail: "no file", reason: "no_file", requestIds: [] };
      return forge(plain, {
        packs: () => [],
        segments: () => [segment],
        documents: {
          description: null,
          unreadable: (bytes) => edited(bytes, { entries: [{ blocks: 8000, first }] }),
        },
        manifestWithImageDigest: {
          counts: { absentBlocks: 0, storedBlocks: 0, unreadableBlocks: 8000, zeroBlocks: 192 },
          source: FOLDER_SOURCE,
          volume: { blockCount: 8192, blockSizeBytes: 2 ** 17, volumeSizeGib: 1 },
          "acquisition.descriptionResult": "not_asked",
          "acquisition.listedBlocks": null,
          "acquisition.verification.level": "on_import",
        },
      });
    },
  ),
  accepted(
    "incremental",
    "an exhibit with a parent that the store does not have: its bytes are not needed",
    "Manifest",
    ({ plain }) => {
      const parent = {
        exhibit: "ex-0000000000000001",
        imageDigest: "5".repeat(64),
        manifest: "6".repeat(64),
        snapshot: "snap-00000001",
      };
      return forge(plain, {
        manifest: {
          parent,
          "acquisition.takenOverBlocks": 2,
          "acquisition.takenOverReadSince": "2026-01-01T00:00:00.000Z",
        },
        inventory: (text) => swapped(text, "parent -", `parent ${parent.exhibit}`),
      });
    },
  ),
  accepted(
    "set_of_an_instance",
    "one of two snapshots of an instance, which had a third volume; the other exhibit is in another store",
    "Sets of an instance",
    ({ plain }) => forge(plain, { manifest: { "acquisition.set": INSTANCE_SET } }),
  ),
  accepted(
    "unicode",
    "text beyond ASCII, and members sorted by UTF-16 code units",
    "Conventions",
    ({ plain }) =>
      forge(plain, {
        manifest: {
          "acquisition.snapshot.tags": { "é": "\u{1F50D}", "\u{1F50D}": "\ufb33", "\ufb33": '\u0001"\\\n' },
        },
      }),
  ),
  accepted(
    "fractions_in_answer",
    "numbers of all spellings in what the service said",
    "Side documents",
    ({ plain }) =>
      forge(plain, {
        documents: {
          description: (bytes) =>
            edited(bytes, {
              "answer.Numbers": [0.1, -1.5, 1e21, 1e-7, 123456789012345680000, 0.000001, 5e-324, 2 ** 53],
            }),
        },
      }),
  ),
  accepted(
    "deep_answer",
    "objects and arrays in one another, 64 of them: no document has more",
    "Conventions",
    ({ plain }) => {
      const nested = Array.from({ length: 62 }).reduce<unknown>((inner) => [inner], 0);
      return forge(plain, {
        documents: { description: (bytes) => edited(bytes, { "answer.Tags": nested }) },
      });
    },
  ),
  accepted(
    "list_without_room",
    "a list of unreadable blocks whose last entry is of two, and of what lies between them",
    "Side documents",
    ({ plain }) =>
      forge(plain, {
        segments: ([first, ...others]) => [
          edited(first!, {
            "runs.6": { blocks: 2, state: "absent" },
            "runs.7": { blocks: 1, state: "unreadable" },
            "runs.8": { blocks: 3, state: "absent" },
            "runs.9": { blocks: 1, state: "unreadable" },
            "runs.10": { blocks: 16_369, state: "absent" },
          }),
          ...others,
        ],
        documents: {
          unreadable: (bytes) => {
            const first = { attempts: 0, block: 10, detail: "", reason: "left_out", requestIds: [] };
            return edited(bytes, { "entries.1": { blocks: 5, first } });
          },
        },
        manifestWithImageDigest: {
          "counts.absentBlocks": 2_097_144,
          "counts.unreadableBlocks": 3,
        },
      }),
  ),
  accepted(
    "no_description",
    "no session was told what the service says of the snapshot",
    "Side documents",
    ({ plain }) =>
      forge(plain, {
        documents: { description: null },
        manifest: { "acquisition.descriptionResult": "not_permitted" },
      }),
  ),
  accepted(
    "unknown_files",
    "files that no inventory names, anywhere",
    "Layout",
    beside({
      "README.txt": "for the judge\n",
      "packs/00/left-over.pack": "no pack",
      [`packs/00/${"0".repeat(64)}.pack`]: "another one that nobody names",
      [`documents/${"0".repeat(64)}.json`]: "{}",
      "quarantine/0000000000000000-x": "damaged",
      [`exhibits/${EXHIBIT}/notes.txt`]: "x",
      "exhibits/ex-00000000000000ff/manifest-draft.json": "a crash left it",
    }),
  ),
  accepted(
    "unsigned_inventory",
    "a later inventory that a crash left without a signature does not count",
    "Inventory",
    async ({ plain }) => {
      const later = await forge(plain, {
        lines: (lines) => lines.filter((line) => !line.includes(" packs/")),
        inventory: (text) => swapped(text, /^committed .*$/m, "committed 2027-01-01T00:00:00.000Z"),
      });
      const unsigned = [...later].filter(([name]) => /\/inventory-[0-9a-f]{64}\.txt$/.test(name));
      return new Map([...plain, ...unsigned]);
    },
  ),
  accepted(
    "several_inventories",
    "two inventories; the packs that only the older one names are gone",
    "Inventory",
    async ({ plain }) => {
      const older: Files = new Map([
        ...await forge(plain, {
          inventory: (text) => swapped(text, /^committed .*$/m, "committed 2026-01-01T00:00:00.000Z"),
          packs: (packs) => [...packs, bytesOf("gone by now")],
        }),
      ].filter(([, entry]) => !(entry instanceof Uint8Array) || textOf(entry) !== "gone by now"));
      return new Map([...older, ...plain]);
    },
  ),
  accepted("second_signer", "a second key signed both", "Signatures", async ({ plain, full }) => {
    const files: Files = new Map([...plain, ...keysOf(full)]);
    await sign(files, nameIn(plain, /\/manifest-[0-9a-f]{64}\.json$/), {
      namespace: "coldcase-manifest@v1",
      key: OTHER_KEY,
    });
    await sign(files, nameIn(plain, /\/inventory-[0-9a-f]{64}\.txt$/), {
      namespace: "coldcase-inventory@v1",
      key: OTHER_KEY,
    });
    return files;
  }),
  accepted(
    "login_key",
    "signed by a login key, which makes no raw signatures",
    "Signatures",
    ({ plain }) => new Map([...plain].filter(([name]) => !/^exhibits\/.*\.ed25519$/.test(name))),
  ),
  accepted(
    "no_log",
    "no custody log: nothing anchors one",
    "Custody log",
    ({ plain }) => new Map([...plain].filter(([name]) => !name.startsWith("custody/"))),
  ),
  accepted(
    "log_cut_after_anchor",
    "the newest custody entry is gone, and nothing names it: that is not findable",
    "Custody log",
    ({ full }) => {
      const newest = nameIn(full, /^custody\/25[0-9a-f]*\/00000002-[0-9a-f]{64}\.json$/).replace(".json", "");
      return new Map([...full].filter(([name]) => !name.startsWith(newest)));
    },
  ),
  accepted(
    "log_of_another_store",
    "the log of two stores put together",
    "Custody log",
    ({ plain, full }) =>
      new Map([
        ...plain,
        ...keysOf(full),
        ...[...full].filter(([name]) =>
          /^custody\/678a/.test(name) || /^custody\/25[0-9a-f]*\/0000000[01]/.test(name)
        ),
      ]),
  ),
  accepted(
    "torn_log_signature",
    "signature files of a custody entry that was never written",
    "Custody log",
    ({ full }) =>
      new Map(
        [...full].filter(([name]) => !/^custody\/25[0-9a-f]*\/00000002-[0-9a-f]{64}\.json$/.test(name)),
      ),
  ),
  accepted("store_of_no_case", "a store of which no case was told", "Store file", ({ plain }) => {
    const { digest: _, ...members } = JSON.parse(textOf(bytesIn(plain, "store.json")));
    return new Map(plain).set("store.json", encodeStoreFile({ ...members, case: null }));
  }),
];
