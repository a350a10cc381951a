/**
 * Corrections of an exhibit's case: the manifest keeps its bytes, what counts is what the last one says, and anything
 * that leaves it open which one that is (a fork, a gap, a forgery, a removed one) is found by name.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { type Correction, decodeCorrection, encodeCorrection } from "../../src/format/addendum.ts";
import { correctionFact } from "../../src/format/custody.ts";
import { sha256 } from "../../src/format/digests.ts";
import type { CaseFacts } from "../../src/format/manifest.ts";
import type { SigningKey } from "../../src/keys.ts";
import type { Digest, ExhibitId } from "../../src/model.ts";
import { settleCorrections } from "../../src/store/_corrections.ts";
import type { EvidenceFinding, HeldCorrection, MadeCorrection, Store } from "../../src/store/mod.ts";
import { forRounds, pick } from "../seeded.ts";
import { EXHIBIT_ORDER as ORDER, withKeys } from "./evidence.ts";
import {
  acquireAt,
  FACTS,
  filesBelow,
  flipBit,
  LATER,
  reading,
  SNAPSHOT,
  testWorld,
  writing,
} from "./fixtures.ts";

const RECORDED = FACTS.case;

/** What else a sound correction says. */
const SOUND = {
  correctedBy: null,
  custodyHeads: [],
  exhibit: "ex-0123456789abcdef" as ExhibitId,
  host: FACTS.host,
  manifest: "01".repeat(32) as Digest,
  reason: "Typing error",
  type: "coldcase-correction",
  version: 1,
} as const;

function wish(values: Partial<CaseFacts>) {
  return {
    at: "2026-01-02T03:04:05.678Z",
    correctedBy: "B. Lead",
    host: FACTS.host,
    reason: "Typing error",
    values,
  };
}

/** Corrects at `root`. */
function correctAt(
  root: string,
  id: ExhibitId,
  by: { readonly key: SigningKey; readonly values: Partial<CaseFacts> },
): Promise<MadeCorrection | undefined> {
  return reading(
    root,
    async (store) => await store.evidence.addCorrection(await store.exhibit(id), wish(by.values), by.key),
  );
}

async function findings(root: string, id: ExhibitId, keys: readonly SigningKey[] = []): Promise<string[]> {
  return await reading(root, async (store) => {
    const found: EvidenceFinding[] = [];
    await store.evidence.check(await store.exhibit(id), { keys, onFinding: (one) => found.push(one) });
    return found.map(({ code, file }) => `${code} ${file}`);
  });
}

function factsAt(root: string, id: ExhibitId): Promise<CaseFacts> {
  return reading(root, async (store) => (await store.exhibit(id)).corrections.facts);
}

/** Writes a correction as whoever has the key could, whatever it says. */
async function plant(root: string, document: Correction, key: SigningKey): Promise<string> {
  const bytes = encodeCorrection(document);
  const stem = `exhibits/${document.exhibit}/addendum-${sha256(bytes)}`;
  Deno.writeFileSync(`${root}/${stem}.json`, bytes);
  const armor = await key.signSshsig(bytes, "coldcase-addendum@v1");
  Deno.writeFileSync(`${root}/${stem}.${key.shortFingerprint}.sshsig`, armor);
  return `${stem}.json`;
}

function withExhibit(
  body: (
    at: { root: string; id: ExhibitId; first: SigningKey; second: SigningKey; folder: string },
  ) => Promise<void>,
): Promise<void> {
  return withKeys(async (root, { first, second }, folder) => {
    const id = await acquireAt(root, { ...ORDER, facts: { key: first } });
    await body({ root, id, first, second, folder });
  });
}

Deno.test("StoreEvidence.addCorrection() leaves the manifest's bytes, and what it says counts from then on", () =>
  withExhibit(async ({ root, id, first, second }) => {
    const before = filesBelow(root).map((name) => [name, sha256(Deno.readFileSync(`${root}/${name}`))]);
    const made = await correctAt(root, id, { key: second, values: { case: "2026-018", evidence: null } });
    assertEquals(made!.document.before, RECORDED);
    assertEquals(made!.document.after, { ...RECORDED, case: "2026-018", evidence: null });
    assertEquals(made!.digest, sha256(Deno.readFileSync(`${root}/${made!.file}`)));
    for (const [name, digest] of before) assertEquals(sha256(Deno.readFileSync(`${root}/${name}`)), digest);
    await reading(root, async (store) => {
      const { corrections, manifest } = await store.exhibit(id);
      assertEquals(manifest.acquisition.case, RECORDED);
      assertEquals(corrections.recorded, RECORDED);
      assertEquals(corrections.facts, made!.document.after);
      assertEquals(corrections.all.map(({ signatures }) => signatures[0]!.key.fingerprint), [
        second.fingerprint,
      ]);
    });
    assertEquals(await findings(root, id), []);
    assertEquals(await findings(root, id, [first, second]), []);
  }));

Deno.test("StoreEvidence.addCorrection() follows the one before, whatever the clock says, and writes nothing twice", () =>
  withExhibit(async ({ root, id, first }) => {
    const made = await correctAt(root, id, { key: first, values: { case: "2026-018" } });
    const world = testWorld();
    const early = await reading(root, async (store) => {
      const facts = { ...wish({ case: "2026-019" }), at: "2020-01-01T00:00:00.000Z" };
      return await store.evidence.addCorrection(await store.exhibit(id), facts, first);
    }, world);
    assertEquals(early!.document.previous, [made!.digest]);
    assertEquals(early!.document.before.case, "2026-018");
    assertEquals((await factsAt(root, id)).case, "2026-019");
    const files = filesBelow(root).length;
    assertEquals(await correctAt(root, id, { key: first, values: { case: "2026-019" } }), undefined);
    assertEquals(filesBelow(root).length, files);
    const back = await correctAt(root, id, { key: first, values: { case: RECORDED.case } });
    assertEquals(back!.document.previous, [early!.digest]);
    assertEquals(await factsAt(root, id), RECORDED);
    assertEquals(await findings(root, id), []);
  }));

Deno.test("StoreEvidence.addCorrection() of a stale exhibit still follows what is there", () =>
  withExhibit(async ({ root, id, first, second }) => {
    await reading(root, async (store) => {
      const stale = await store.exhibit(id);
      const [one, two] = await Promise.all([
        store.evidence.addCorrection(stale, wish({ case: "2026-018" }), first),
        store.evidence.addCorrection(stale, wish({ evidence: "8" }), second),
      ]);
      const [earlier, later] = one!.document.previous.length === 0 ? [one!, two!] : [two!, one!];
      assertEquals(later.document.previous, [earlier.digest]);
      assertEquals(later.document.after, { ...RECORDED, case: "2026-018", evidence: "8" });
    });
    assertEquals(await findings(root, id), []);
  }));

Deno.test("Store.find() takes an evidence number as corrected first, and tells where it was another one", () =>
  withExhibit(async ({ root, id, first }) => {
    const facts = { key: first, case: { ...RECORDED, evidence: "2" } };
    const other = await acquireAt(root, { ...ORDER, snapshot: LATER, facts });
    await correctAt(root, id, { key: first, values: { evidence: "2" } });
    await correctAt(root, other, { key: first, values: { evidence: "3" } });
    await reading(root, async (store) => {
      assertEquals((await store.find("2")).id, id);
      assertEquals((await store.find("3")).id, other);
      assertEquals(store.tolerated, []);
      assertEquals((await store.find("1")).id, id);
      assertEquals(store.tolerated, [`Evidence number "1" of ${id} was corrected: it is "2" now`]);
      await assertRejects(() => store.find("4"), OperatorError, "does not hold it");
    });
    await correctAt(root, other, { key: first, values: { evidence: null } });
    await reading(root, async (store) => {
      assertEquals((await store.find("3")).id, other);
      assertEquals(store.tolerated, [`Evidence number "3" of ${other} was corrected: it is none now`]);
    });
  }));

/** Two copies of a store that were corrected apart, put together in the first. */
async function fork(
  at: { readonly root: string; readonly id: ExhibitId; readonly first: SigningKey; readonly folder: string },
): Promise<MadeCorrection[]> {
  const { root, id, first, folder } = at;
  const copy = `${folder}/copy`;
  await new Deno.Command("cp", { args: ["-a", root, copy] }).output();
  const here = await correctAt(root, id, { key: first, values: { case: "2026-018" } });
  const there = await correctAt(copy, id, { key: first, values: { case: "2026-019" } });
  for (const name of filesBelow(copy).filter((name) => name.startsWith("exhibits/"))) {
    Deno.copyFileSync(`${copy}/${name}`, `${root}/${name}`);
  }
  return [here!, there!].sort((a, b) => a.digest < b.digest ? -1 : 1);
}

Deno.test("Corrections of two copies that did not know of each other are a fork, settled by the next one", () =>
  withExhibit(async (at) => {
    const { root, id, first } = at;
    const both = await fork(at);
    const second = both.map(({ file }) => file).sort()[1];
    assertEquals(await findings(root, id), [`correction_forked ${second}`]);
    assertEquals(await factsAt(root, id), RECORDED);
    await reading(root, async (store) => assertEquals((await store.find("1")).id, id));
    const settled = await correctAt(root, id, { key: first, values: { case: "2026-019" } });
    assertEquals(settled!.document.previous, both.map(({ digest }) => digest));
    assertEquals(settled!.document.before, RECORDED);
    assertEquals([await findings(root, id), (await factsAt(root, id)).case], [[], "2026-019"]);
  }));

Deno.test("A fork is settled for what was recorded, too", () =>
  withExhibit(async (at) => {
    await fork(at);
    const settled = await correctAt(at.root, at.id, { key: at.first, values: { case: RECORDED.case } });
    assertEquals([settled!.document.before, settled!.document.after], [RECORDED, RECORDED]);
    assertEquals([await findings(at.root, at.id), await factsAt(at.root, at.id)], [[], RECORDED]);
  }));

Deno.test("StoreEvidence.check() finds a correction that was changed in any byte, and an exhibit opens without it", () =>
  withExhibit(async ({ root, id, first }) => {
    const { file } = (await correctAt(root, id, { key: first, values: { case: "2026-018" } }))!;
    const signature = filesBelow(root).find((name) => /\/addendum-.*\.sshsig$/.test(name))!;
    for (const changed of [file, signature]) {
      const path = `${root}/${changed}`;
      for (let offset = 0; offset < Deno.statSync(path).size; offset += 23) {
        flipBit(path, offset, offset % 8);
        assertEquals(await findings(root, id), [`addendum_damaged ${file}`], `${changed} byte ${offset}`);
        await reading(root, async (store) => {
          const { corrections } = await store.exhibit(id);
          assertEquals([corrections.facts, corrections.unread.length], [RECORDED, 1]);
        });
        flipBit(path, offset, offset % 8);
      }
    }
    assertEquals(await findings(root, id), []);
  }));

Deno.test("StoreEvidence.check() finds a correction whose predecessor is not there; it counts", () =>
  withExhibit(async ({ root, id, first }) => {
    const gone = (await correctAt(root, id, { key: first, values: { case: "2026-018" } }))!;
    const { file } = (await correctAt(root, id, { key: first, values: { evidence: "8" } }))!;
    for (const name of filesBelow(root)) {
      if (name.startsWith(gone.file.replace(".json", ""))) Deno.removeSync(`${root}/${name}`);
    }
    assertEquals(await findings(root, id), [`correction_missing ${file}`]);
    assertEquals(await factsAt(root, id), { ...RECORDED, case: "2026-018", evidence: "8" });
  }));

Deno.test("StoreEvidence.check() finds a forged correction: another past, another exhibit, another manifest, nobody's", () =>
  withExhibit(async ({ root, id, first, second }) => {
    const { file } = (await correctAt(root, id, { key: first, values: { case: "2026-018" } }))!;
    const sound = decodeCorrection(Deno.readFileSync(`${root}/${file}`), "sound");
    const other = await acquireAt(root, { ...ORDER, snapshot: LATER, facts: { key: first } });
    const digest = sha256(Deno.readFileSync(`${root}/${file}`));
    const forged: Partial<Correction>[] = [
      { before: { ...RECORDED, case: "2025-001" } },
      { before: RECORDED, previous: [digest] },
      { exhibit: other },
      { manifest: "00".repeat(32) as Digest },
    ];
    for (const edit of forged) {
      const document = { ...sound, after: { ...RECORDED, case: "2026-666" }, ...edit };
      const planted = await plant(root, document, second);
      const target = document.exhibit;
      assertEquals(await findings(root, target), [`addendum_damaged ${planted}`], JSON.stringify(edit));
      assertEquals((await factsAt(root, id)).case, "2026-018");
      assertEquals((await factsAt(root, other)).case, RECORDED.case);
      for (const name of filesBelow(root)) {
        if (name.startsWith(planted.replace(".json", ""))) Deno.removeSync(`${root}/${name}`);
      }
    }
    const signature = filesBelow(root).find((name) => /\/addendum-.*\.sshsig$/.test(name))!;
    Deno.removeSync(`${root}/${signature}`);
    assertEquals(await findings(root, id), [`addendum_damaged ${file}`]);
    assertEquals(await factsAt(root, id), RECORDED);
  }));

Deno.test("StoreEvidence.check() finds a correction by a key that was not given, unless one that was signed it, too", () =>
  withExhibit(async ({ root, id, first, second }) => {
    const { file } = (await correctAt(root, id, { key: second, values: { case: "2026-018" } }))!;
    const signature = `${file.replace(".json", "")}.${second.shortFingerprint}.sshsig`;
    assertEquals(await findings(root, id), []);
    assertEquals(await findings(root, id, [first]), [`signer_not_allowed ${signature}`]);
    await plant(root, decodeCorrection(Deno.readFileSync(`${root}/${file}`), "same"), first);
    assertEquals(await findings(root, id, [first]), []);
  }));

Deno.test("StoreEvidence.check() misses a correction that the custody log names", () =>
  withExhibit(async ({ root, id, first }) => {
    const made = (await correctAt(root, id, { key: first, values: { case: "2026-018" } }))!;
    const head = await reading(root, async (store) =>
      await store.evidence.logCustody({
        action: "correct",
        clockSkewMs: null,
        commandLine: ["correct"],
        exhibits: [],
        host: FACTS.host,
        reason: "Typing error",
        result: { exitCode: 0, facts: { [correctionFact(id)]: made.digest }, outcome: "done" },
      }, { key: first, tool: FACTS.tool }));
    assertEquals(await findings(root, id), []);
    for (const name of filesBelow(root)) {
      if (name.startsWith(made.file.replace(".json", ""))) Deno.removeSync(`${root}/${name}`);
    }
    const entry = filesBelow(root).find((name) => name.endsWith(`${head.digest}.json`));
    assertEquals(await findings(root, id), [`correction_missing ${entry}`]);
  }));

Deno.test("Store.copyTo() takes corrections along, and brings later ones when it is run again", () =>
  withExhibit(async ({ root, id, first, folder }) => {
    const copy = `${folder}/copy`;
    const copied = async () => {
      await reading(root, async (store) => {
        await writing(copy, async (target: Store) => {
          await store.copyTo(target, await store.exhibit(id), {
            key: first,
            signal: new AbortController().signal,
          });
        });
      });
      assertEquals(await findings(copy, id), []);
      return await factsAt(copy, id);
    };
    await correctAt(root, id, { key: first, values: { case: "2026-018" } });
    assertEquals((await copied()).case, "2026-018");
    await correctAt(root, id, { key: first, values: { evidence: "8" } });
    assertEquals(await copied(), { ...RECORDED, case: "2026-018", evidence: "8" });
  }));

Deno.test("StoreEvidence.addCorrection() finds room for the longest notes, twice, beside many custody heads", () =>
  withExhibit(async ({ root, id, first }) => {
    for (let at = 0; at < 1024; at++) {
      const chain = `${root}/custody/${at.toString(16).padStart(32, "0")}`;
      Deno.mkdirSync(chain, { recursive: true });
      Deno.writeTextFileSync(`${chain}/00000000-${"00".repeat(32)}.json`, "");
    }
    const long = { notes: "€".repeat(16_384), authority: "€".repeat(4096) };
    await correctAt(root, id, { key: first, values: long });
    const again = await correctAt(root, id, { key: first, values: { notes: "$€".repeat(8192) } });
    assert(again!.document.custodyHeads.length > 0);
    assertEquals((await factsAt(root, id)).authority, long.authority);
  }));

Deno.test("Store.relabel() names another case, for which it can be opened then", () =>
  withExhibit(async ({ root, id }) => {
    const label = JSON.parse(Deno.readTextFileSync(`${root}/store.json`))["case"];
    await writing(root, (store) => store.relabel("2026-018"));
    await reading(root, async (store) => {
      assertEquals([label, store.file.case], [null, "2026-018"]);
      assertEquals((await store.find(SNAPSHOT)).id, id);
    });
  }));

Deno.test("settleCorrections() comes to the same in whatever order the files are found", () => {
  forRounds(40, (below) => {
    const made: HeldCorrection[] = [];
    const { after, ...rest } = { after: RECORDED, ...SOUND };
    for (let count = 1 + below(9); count > 0; count--) {
      const [first] = pick(below, [[], made.slice(-1), made.slice(0, 1 + below(3))]).toReversed();
      const follows = first === undefined
        ? []
        : below(4) > 0
        ? [first]
        : [...new Set([first, made[below(made.length)]!])];
      const before = follows.length === 1 ? first!.document.after : after;
      const document = {
        ...rest,
        before,
        after: { ...before, evidence: String(made.length + 100) },
        at: new Date(below(1e9)).toISOString(),
        previous: follows.map(({ digest }) => digest).sort(),
      };
      const digest = sha256(encodeCorrection(document));
      made.push({ document, digest, file: `addendum-${digest}`, signatures: [] });
    }
    const sorted = settleCorrections(RECORDED, made);
    assertEquals(sorted.all.length, made.length);
    const leaves = made.filter(({ digest }) =>
      !made.some(({ document }) => document.previous.includes(digest))
    );
    assertEquals(sorted.heads.map(({ digest }) => digest), leaves.map(({ digest }) => digest).sort());
    assertEquals(sorted.facts, leaves.length === 1 ? leaves[0]!.document.after : RECORDED);
    assertEquals(sorted.faults.map(({ code }) => code), leaves.length === 1 ? [] : ["correction_forked"]);
    const shuffled = made.map((one) => ({ one, at: below(1e6) })).sort((a, b) => a.at - b.at);
    assertEquals(settleCorrections(RECORDED, shuffled.map(({ one }) => one)), sorted);
    assertEquals(settleCorrections(RECORDED, [...made, ...made]), sorted);
    for (const [at, { document }] of sorted.all.entries()) {
      const earlier = new Set<string>(sorted.all.slice(0, at).map(({ digest }) => digest));
      assert(document.previous.every((one) => earlier.has(one)), "each comes after those that it follows");
    }
  });
});
