/**
 * Vectors of corrections: addenda that say otherwise what a manifest recorded of its case. Each is written and signed here
 * as whoever has a key could; which one counts, and what is wrong between them, is for readers to find.
 */
import { canonicalize } from "@std/json/canonicalize";
import { sha256 } from "../../src/format/digests.ts";
import type { Files } from "./files.ts";
import {
  bytesIn,
  bytesOf,
  edited,
  type Edits,
  EXHIBIT,
  FOLDER,
  KEY,
  nameIn,
  OTHER_KEY,
  sign,
  textOf,
} from "./forge.ts";
import { ACCEPTED, type Bases, beside, type Vector } from "./vector.ts";

const MANIFEST = /\/manifest-[0-9a-f]{64}\.json$/;
const WHAT = "corrections";

interface Planted {
  readonly name: string;
  readonly digest: string;
  readonly after: Readonly<Record<string, string | null>>;
}

interface PlantOptions {
  /** What it makes of the case. */
  readonly values: Readonly<Record<string, string | null>>;
  readonly follows?: readonly Planted[];
  /** Of the document, whatever they make of it. */
  readonly edits?: Edits;
  readonly key?: typeof KEY;
  readonly isUnsigned?: boolean;
}

/** Writes a correction; sound, where nothing else is asked for. */
async function plant(files: Files, options: PlantOptions): Promise<Planted> {
  const { values, follows = [], edits = {}, key = KEY } = options;
  const manifest = bytesIn(files, nameIn(files, MANIFEST));
  const { acquisition } = JSON.parse(textOf(manifest));
  const before = follows.length === 1 ? follows[0]!.after : acquisition.case;
  const after = { ...before, ...values };
  const sound = bytesOf(canonicalize({
    after,
    at: "2026-01-02T03:06:00.000Z",
    before,
    correctedBy: "B. Lead",
    custodyHeads: [],
    exhibit: EXHIBIT,
    host: acquisition.host,
    manifest: sha256(manifest),
    previous: follows.map(({ digest }) => digest).sort(),
    reason: "Typing error",
    type: "coldcase-correction",
    version: 1,
  }));
  const bytes = edited(sound, edits);
  const digest = sha256(bytes);
  const name = `${FOLDER}/addendum-${digest}.json`;
  files.set(name, bytes);
  if (!options.isUnsigned) await sign(files, name, { namespace: "coldcase-addendum@v1", key });
  return { name, digest, after };
}

const CASE = { case: "2026-018" };
const NUMBER = { evidence: "8" };

/** One that is sound, and another one after it that is not. */
function bad(
  name: string,
  about: string,
  edits: Edits,
  more: Partial<PlantOptions> & { readonly expect?: "format" } = {},
): Vector {
  const { expect, ...options } = more;
  const make = async ({ full }: Bases) => {
    const files: Files = new Map(full);
    const first = await plant(files, { values: CASE });
    const second = await plant(files, { values: NUMBER, follows: [first], edits, ...options });
    return { files, second };
  };
  return {
    name: `correction_${name}`,
    about,
    section: "Corrections",
    make: async (bases) => (await make(bases)).files,
    // Which of the two it is only its digest says: the sound one is the same in every vector.
    file: (files, { full }) => lastPlanted(files, full),
    ...beside("addendum_damaged", WHAT, expect),
  };
}

/** The addendum that neither the base has nor every vector of `bad()`. */
function lastPlanted(files: Files, full: Files): string {
  const planted = [...files.keys()].filter((name) =>
    /\/addendum-[0-9a-f]{64}\.json$/.test(name) && !full.has(name)
  );
  return planted.at(-1)!;
}

async function forked(full: Files): Promise<{ readonly files: Files; readonly both: readonly Planted[] }> {
  const files: Files = new Map(full);
  const both = [await plant(files, { values: CASE }), await plant(files, { values: { case: "2026-019" } })];
  return { files, both };
}

const REMOVED = (files: Files, { name }: Planted) => {
  for (const one of [...files.keys()]) if (one.startsWith(name.replace(".json", ""))) files.delete(one);
};

export const CORRECTION_VECTORS: readonly Vector[] = [
  {
    name: "accepted_corrected",
    about: "case and evidence number were corrected by two keys, one correction after the other",
    section: "Corrections",
    async make({ full }) {
      const files: Files = new Map(full);
      const first = await plant(files, { values: CASE });
      await plant(files, { values: NUMBER, follows: [first], key: OTHER_KEY });
      return files;
    },
    ...ACCEPTED,
  },
  {
    name: "accepted_correction_after_fork",
    about: "two corrections that did not know of each other, and a third one that follows both",
    section: "Corrections",
    async make({ full }) {
      const { files, both } = await forked(full);
      await plant(files, { values: CASE, follows: both });
      return files;
    },
    ...ACCEPTED,
  },
  {
    name: "correction_forked",
    about: "two corrections that did not know of each other",
    section: "Corrections",
    make: async ({ full }) => (await forked(full)).files,
    file: (files, { full }) =>
      [...files.keys()].filter((name) => /\/addendum-[0-9a-f]{64}\.json$/.test(name) && !full.has(name))
        .sort()[1]!,
    ...beside("correction_forked", WHAT),
  },
  {
    name: "correction_gap",
    about: "the correction that another one follows is gone",
    section: "Corrections",
    async make({ full }) {
      const files: Files = new Map(full);
      const first = await plant(files, { values: CASE });
      await plant(files, { values: NUMBER, follows: [first] });
      REMOVED(files, first);
      return files;
    },
    file: (files, { full }) => lastPlanted(files, full),
    ...beside("correction_missing", WHAT),
  },
  bad("of_another_exhibit", "a signed correction of another exhibit", { exhibit: "ex-000000000000002b" }),
  bad("of_another_manifest", "a signed correction of another manifest", { manifest: "5".repeat(64) }),
  bad("of_another_past", "it says that another value counted before", { "before.case": "2025-001" }),
  bad("unsigned", "a correction that nobody signed", {}, { isUnsigned: true }),
  bad("of_nothing", "what it corrects is as it was", {}, { values: {}, expect: "format" }),
  bad("no_reason", "no reason", { reason: "" }, { expect: "format" }),
  bad("follows_one_twice", "the correction that it follows, twice", {
    previous: ["5".repeat(64), "5".repeat(64)],
  }, { expect: "format" }),
  bad("not_sorted", "the corrections that it follows, in another order", {
    previous: ["6".repeat(64), "5".repeat(64)],
  }, { expect: "format" }),
  bad("long_case", "a case of 257 characters", { "after.case": "x".repeat(257) }, { expect: "format" }),
  bad("unknown_member", "a member that is not in the table", { colour: "red" }, { expect: "format" }),
  bad("version_future", "a version from the future", { version: 2 }, { expect: "format" }),
];
