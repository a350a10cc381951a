/**
 * What else is crashed: an acquisition that is begun anew although one is under way, recipients that are added to an
 * encrypted store, a time-stamp token that is put beside a signature, a case that is corrected.
 */
import { Identities, makeIdentity, Recipients } from "../../src/cipher_age.ts";
import { acquire, FACTS } from "../store/fixtures.ts";
import { TEST_KEY } from "../signing_key.ts";
import { acquireAll, encryptedMode, type Mode, PLAIN } from "./acquisitions.ts";
import type { CrashDisk } from "./crash_disk.ts";
import type { Scenario } from "./explore.ts";
import {
  essenceOf,
  inStore,
  PARENT,
  PARENT_VOLUME,
  readStore,
  requireCommitted,
  requireWhole,
  SHAPE,
  STORE,
} from "./stores.ts";

const promise = () => undefined;
const signal = new AbortController().signal;

/** The disk failed once: the journal stays. */
class Stopped extends Error {}

/** `acquire --fresh`: what was begun goes to quarantine, and nothing of it is missed. */
export const startingAnew: Scenario = {
  name: "acquire --fresh",
  async prepare(disk) {
    disk.makeDirectory("/case");
    await inStore(disk, { seed: 1000 }, async (store) => {
      let putBlocks = 0;
      const onPut = () => {
        if (++putBlocks > 3) throw new Stopped();
      };
      const order = { volume: PARENT_VOLUME, shape: SHAPE, snapshot: PARENT, flushEvery: 2, onPut };
      await acquire(store, order).catch((error) => {
        if (!(error instanceof Stopped)) throw error;
      });
    });
  },
  async run(run) {
    await inStore(run.disk, { seed: run.seed }, async (store) => {
      if (await store.newestOf(PARENT)) return;
      for (const head of await store.journals()) await store.abandon(head);
      const order = { volume: PARENT_VOLUME, shape: SHAPE, snapshot: PARENT, flushEvery: 2 };
      const id = await acquire(store, order);
      run.promise((crashed) => requireCommitted(crashed, id, PLAIN));
    });
  },
  look: (disk) => requireWhole(disk),
  essence: (disk) => essenceOf(disk, [PARENT], { mayHaveQuarantine: true }),
};

const SECRET = await encryptedMode();
const ADDED = await makeIdentity("x25519");
const ADDED_IDENTITIES = await Identities.of([{ secret: ADDED.secret, place: "test" }]);

/** `recipients add` to the whole store: who was added opens all of it, once that was returned of. */
export const addingRecipients: Scenario = {
  name: "recipients add",
  async prepare(disk) {
    disk.makeDirectory("/case");
    await acquireAll({ disk, seed: 1000, promise }, SECRET, [PARENT]);
  },
  async run(run) {
    const { identities } = SECRET;
    await inStore(run.disk, { seed: run.seed, identities }, async (store) => {
      const recipients = await Recipients.of([{ text: ADDED.recipient, place: "test" }]);
      const added = { recipients, opens: "contents" } as const;
      for (const exhibit of await store.exhibits()) {
        const onFault = (error: Error) => {
          throw error;
        };
        await store.access.add(exhibit, { ...added, key: TEST_KEY, signal, onFault });
        run.promise((crashed) => requireWhole(crashed, { identities: ADDED_IDENTITIES }));
      }
      await store.access.extend(added);
    });
  },
  look: (disk) => requireWhole(disk, SECRET),
  async essence(disk) {
    const added = await essenceOf(disk, [PARENT], { identities: ADDED_IDENTITIES });
    const first = await essenceOf(disk, [PARENT], SECRET);
    if (added !== first) throw new Error("who was added reads something else");
    return added;
  },
};

const TOKEN = Uint8Array.from({ length: 3000 }, (_, at) => at % 251);

/** `timestamp`: the token is there whole, or not at all. Whose it is, is no business of a crash. */
export const timestamping: Scenario = {
  name: "timestamp",
  async prepare(disk) {
    disk.makeDirectory("/case");
    await acquireAll({ disk, seed: 1000, promise }, PLAIN, [PARENT]);
  },
  async run(run) {
    await inStore(run.disk, { seed: run.seed }, async (store) => {
      const exhibit = (await store.newestOf(PARENT))!;
      const { signatureFile } = store.evidence.signatureFiles(exhibit);
      const file = await store.evidence.putToken(signatureFile, TOKEN);
      // deno-lint-ignore require-await -- a check may wait
      run.promise(async (crashed) => {
        if (!crashed.stat(`${STORE}/${file}`)) throw new Error(`"${file}" was put`);
      });
    });
  },
  async look(disk) {
    await readStore(disk, {}, async (store) => {
      const exhibit = (await store.newestOf(PARENT))!;
      for (const name of await store.evidence.tokens(exhibit)) {
        const { sizeBytes } = disk.stat(`${STORE}/${name}`)!;
        if (sizeBytes !== TOKEN.length) throw new Error(`"${name}" has ${sizeBytes} bytes`);
      }
    });
  },
  async essence(disk) {
    const tokens = await readStore(disk, {}, async (store) => {
      const { length } = await store.evidence.tokens((await store.newestOf(PARENT))!);
      return length > 0;
    });
    return `tokens: ${tokens}`;
  },
};

const RIGHT_CASE = "2026-018";

/** Throws unless the exhibit's case was corrected, once. */
async function requireCorrected(disk: CrashDisk, mode: Mode): Promise<void> {
  await readStore(disk, mode, async (store) => {
    const { corrections } = (await store.newestOf(PARENT))!;
    if (corrections.facts.case !== RIGHT_CASE || corrections.all.length !== 1) {
      throw new Error(`the case was corrected: ${JSON.stringify(corrections.facts)}`);
    }
  });
}

/** `correct`: it is there and signed, or not at all; run again it is made once, and the store's label follows. */
function correcting(mode: Mode): Scenario {
  return {
    name: `correct, ${mode.name}`,
    async prepare(disk) {
      disk.makeDirectory("/case");
      await inStore(disk, { ...mode.writing, seed: 999, case: "2026-017" }, async () => {});
      await acquireAll({ disk, seed: 1000, promise }, mode, [PARENT]);
    },
    async run(run) {
      await inStore(
        run.disk,
        { ...mode.writing, identities: mode.identities, seed: run.seed },
        async (store) => {
          const wish = {
            at: "2026-01-02T03:04:05.000Z",
            correctedBy: null,
            host: FACTS.host,
            reason: "Typing error",
            values: { case: RIGHT_CASE },
          };
          await store.evidence.addCorrection((await store.newestOf(PARENT))!, wish, TEST_KEY);
          run.promise((crashed) => requireCorrected(crashed, mode));
          if (store.file.case !== RIGHT_CASE) await store.relabel(RIGHT_CASE);
          run.promise((crashed) =>
            readStore(crashed, mode, (reading) => {
              if (reading.file.case === RIGHT_CASE) return Promise.resolve();
              throw new Error(`the store was of case ${RIGHT_CASE}, it says "${reading.file.case}"`);
            })
          );
        },
      );
    },
    async look(disk) {
      await requireWhole(disk, mode);
      await readStore(disk, mode, async (store) => {
        const exhibit = (await store.newestOf(PARENT))!;
        const { faults, unread } = exhibit.corrections;
        if (faults.length + unread.length > 0) throw new Error(JSON.stringify([faults, unread]));
      });
    },
    async essence(disk) {
      await requireCorrected(disk, mode);
      return await essenceOf(disk, [PARENT], mode);
    },
  };
}

export const correctingPlain = correcting(PLAIN);
export const correctingEncrypted = correcting(SECRET);
