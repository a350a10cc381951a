/**
 * What is done with exhibits that is crashed: copied, encrypted, decrypted into another store; signed, added to, logged;
 * exported to an image. What a command returned of is there after any crash.
 */
import { otherKey } from "../../scripts/example_store.ts";
import { sha256 } from "../../src/format/digests.ts";
import { OperatorError } from "../../src/errors.ts";
import { exportRaw } from "../../src/image/mod.ts";
import type { BlockState } from "../../src/model.ts";
import { exportOptions, MemoryReader } from "../image/fakes.ts";
import { log } from "../store/evidence.ts";
import { FACTS, testWorld } from "../store/fixtures.ts";
import { TEST_KEY } from "../signing_key.ts";
import { acquireAll, encryptedMode, type Mode, PLAIN } from "./acquisitions.ts";
import type { CrashDisk } from "./crash_disk.ts";
import type { Run, Scenario } from "./explore.ts";
import {
  BESIDE_EVIDENCE,
  CHILD,
  essenceOf,
  inStore,
  once,
  PARENT,
  readStore,
  requireCommitted,
  requireVisibleWhole,
  requireWhole,
  SHAPE,
  STORE,
} from "./stores.ts";

export const TARGET = "/case/other";
const BOTH = [PARENT, CHILD];
const signal = new AbortController().signal;
const SECOND_KEY = await otherKey(testWorld());
const SECRET = await encryptedMode();

/** A store with a parent and its child, a second signature, an addendum and an entry of the log. */
async function prepareStore(disk: CrashDisk, mode: Mode): Promise<void> {
  disk.makeDirectory("/case");
  const run = { disk, seed: 1000, promise: () => undefined };
  await acquireAll(run, mode, BOTH);
  await addEvidence(run, mode);
}

/** The verb goes by what both stores are. */
async function handOver(run: Run, from: Mode, to: Mode): Promise<void> {
  const { disk, seed, promise } = run;
  await inStore(
    disk,
    { ...to.writing, seed, root: TARGET },
    (target) =>
      readStore(disk, { identities: from.identities }, async (store) => {
        for (const snapshot of BOTH) {
          const exhibit = (await store.newestOf(snapshot))!;
          const options = { key: TEST_KEY, signal };
          if (from.name === to.name) await store.copyTo(target, exhibit, options);
          else await store.transcodeTo(target, exhibit, options);
          promise((crashed) => requireCommitted(crashed, exhibit.id, { ...to, root: TARGET }));
        }
      }),
  );
}

function handingOver(name: string, from: Mode, to: Mode): Scenario {
  const looking = { identities: to.identities, root: TARGET };
  return {
    name,
    prepare: (disk) => prepareStore(disk, from),
    run: (run) => handOver(run, from, to),
    look: (disk) => requireWhole(disk, looking),
    essence: (disk) => essenceOf(disk, BOTH, looking),
  };
}

export const copying = handingOver("copy", PLAIN, PLAIN);
export const copyingEncrypted = handingOver("copy, encrypted", SECRET, SECRET);
export const encrypting = handingOver("encrypt", PLAIN, SECRET);
export const decrypting = handingOver("decrypt", SECRET, PLAIN);

/** Throws unless the entry is in the log. */
async function requireLogged(disk: CrashDisk, digest: string, mode: Mode): Promise<void> {
  const find = () =>
    readStore(disk, mode, async (store) => {
      const digests: string[] = [];
      const { faults } = await store.evidence.checkCustody([], (_, entry) => digests.push(entry));
      return { faults, digests };
    });
  const log = await once(disk, { root: STORE, kind: "log", leaveOut: BESIDE_EVIDENCE }, find);
  if (log?.faults.length !== 0 || !log.digests.includes(digest)) {
    throw new Error(`entry ${digest} was logged: ${JSON.stringify(log)}`);
  }
}

async function requireSigned(disk: CrashDisk, mode: Mode): Promise<void> {
  const find = () =>
    readStore(disk, mode, async (store) => {
      const { manifestCheck, inventoryCheck } = (await store.newestOf(PARENT))!;
      return [manifestCheck, inventoryCheck].map(({ held }) => held.map(({ key }) => key.fingerprint));
    });
  const signers = await once(disk, { root: STORE, kind: "signers", leaveOut: BESIDE_EVIDENCE }, find);
  if (!signers?.every((held) => held.includes(SECOND_KEY.fingerprint))) {
    throw new Error(`${PARENT} was signed, its signers are ${JSON.stringify(signers)}`);
  }
}

/** Signs, adds digests, and writes to the log twice. */
async function addEvidence({ disk, seed, promise }: Run, mode: Mode): Promise<void> {
  await inStore(disk, { ...mode.writing, seed }, async (store) => {
    const exhibit = (await store.newestOf(PARENT))!;
    const { absentBlocks, unreadableBlocks } = exhibit.manifest.counts;
    const logged = await log(store, TEST_KEY, "about to sign");
    promise((crashed) => requireLogged(crashed, logged.digest, mode));
    await store.evidence.sign(exhibit, SECOND_KEY);
    promise((crashed) => requireSigned(crashed, mode));
    const addendum = await store.evidence.addAddendum(exhibit, {
      at: "2026-01-02T03:04:05.000Z",
      by: "export",
      digests: { md5: null, sha1: null, sha256: sha256(new Uint8Array(seed % 100)) },
      examiner: null,
      filled: { absentBlocks, unreadableBlocks },
      host: FACTS.host,
      volumeSizeBytes: SHAPE.blockCount * SHAPE.blockSizeBytes,
    }, TEST_KEY);
    // deno-lint-ignore require-await -- a check may wait
    promise(async (crashed) => {
      if (!crashed.stat(`${STORE}/${addendum}`)) throw new Error(`"${addendum}" was added`);
    });
    const second = await log(store, SECOND_KEY, "signed");
    promise((crashed) => requireLogged(crashed, second.digest, mode));
  });
}

export function addingEvidence(mode: Mode): Scenario {
  return {
    name: `sign, add, log, ${mode.name}`,
    async prepare(disk) {
      disk.makeDirectory("/case");
      await acquireAll({ disk, seed: 1000, promise: () => undefined }, mode, [PARENT]);
    },
    run: (run) => addEvidence(run, mode),
    look: (disk) => requireWhole(disk, mode),
    async essence(disk) {
      await requireSigned(disk, mode);
      return await essenceOf(disk, [PARENT], mode);
    },
  };
}

export const addingToPlain = addingEvidence(PLAIN);
export const addingToEncrypted = addingEvidence(SECRET);

/** Reads and checks all that there is, and writes nothing. */
export function verifying(mode: Mode): Scenario {
  return {
    name: `verify, ${mode.name}`,
    prepare: (disk) => prepareStore(disk, mode),
    run: ({ disk }) => requireVisibleWhole(disk, mode),
    look: (disk) => requireWhole(disk, mode),
    essence: (disk) => essenceOf(disk, BOTH, mode),
  };
}

export const verifyingPlain = verifying(PLAIN);
export const verifyingEncrypted = verifying(SECRET);

const IMAGE = "/case/disk.raw";
const STATES: readonly BlockState[] = [
  "absent",
  "stored",
  "stored",
  "zero",
  "unreadable",
  "stored",
  "absent",
];
const VOLUME = new MemoryReader(Array.from({ length: 35 }, (_, block) => STATES[block % STATES.length]!));

/** Throws unless the image is whole and has its log and its map. */
function requireImage(disk: CrashDisk): void {
  for (const name of [IMAGE, `${IMAGE}.log`, `${IMAGE}.map.json`]) {
    if (!disk.stat(name)) throw new Error(`${name} is missing`);
  }
  if (sha256(disk.bytes(IMAGE)) !== sha256(VOLUME.bytes)) throw new Error("the image is not the volume's");
}

/** @param old What the image's name has before, which the export replaces. */
function exportingOver(old: string | undefined): Scenario {
  const isOld = (disk: CrashDisk) => old !== undefined && disk.stat(IMAGE)?.sizeBytes === old.length;
  return {
    name: old === undefined ? "export" : "export over another image",
    async prepare(disk) {
      disk.makeDirectory("/case");
      const files = old === undefined ? [] : [IMAGE, `${IMAGE}.log`, `${IMAGE}.map.json`];
      for (const path of files) {
        const file = disk.open(path, "create");
        file.write(new TextEncoder().encode(old), 0);
        await file.sync();
      }
    },
    async run({ disk, promise }) {
      const { clock } = testWorld();
      const options = exportOptions({ disk, clock, syncEveryBytes: 4 * 512, overwrite: old !== undefined });
      await exportRaw(VOLUME, { kind: "path", path: IMAGE }, options).catch((error) => {
        // Done, by the run before.
        if (
          !(error instanceof OperatorError && error.code === "usage" &&
            /it is there already/.test(error.message))
        ) {
          throw error;
        }
      });
      // deno-lint-ignore require-await -- a check may wait
      promise(async (crashed) => requireImage(crashed));
    },
    // deno-lint-ignore require-await -- a check may wait
    async look(disk) {
      if (!disk.stat(IMAGE)) return;
      if (!isOld(disk)) return requireImage(disk);
      const beside = [`${IMAGE}.log`, `${IMAGE}.map.json`].map((path) => disk.stat(path)?.sizeBytes);
      if (beside.some((sizeBytes) => sizeBytes !== old!.length)) {
        throw new Error("an image has another's log");
      }
    },
    // deno-lint-ignore require-await -- others have to wait
    async essence(disk) {
      requireImage(disk);
      return new TextDecoder().decode(disk.bytes(`${IMAGE}.map.json`));
    },
  };
}

export const exporting = exportingOver(undefined);
export const exportingAnew = exportingOver("of something else");
