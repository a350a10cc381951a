/** What the tests of signatures and custody log share: keys in a folder of their own, a small exhibit, entries. */
import { openSigningKey, type SigningKey } from "../../src/keys.ts";
import type { CustodyHead } from "../../src/format/members.ts";
import type { Store } from "../../src/store/mod.ts";
import { realClock, realRandomness } from "../../src/world.ts";
import { FACTS, type Order, pattern, shapeOf, withFolder } from "./fixtures.ts";

const BLOCK_BYTES = 1 << 20;

export const EXHIBIT_ORDER: Order = {
  volume: new Map([[0, pattern(1, BLOCK_BYTES)], [900, pattern(2, BLOCK_BYTES)]]),
  shape: shapeOf(BLOCK_BYTES),
};

/** coldcase's own key of a user whose configuration lies in `folder`. */
export async function makeKey(folder: string): Promise<SigningKey> {
  const environment = (name: string) => name === "XDG_CONFIG_HOME" ? folder : undefined;
  const world = { clock: realClock, randomness: realRandomness, environment };
  return (await openSigningKey(world, { source: undefined })).key;
}

/** Runs `body` with a place for a store and two users' keys; all is gone afterwards. */
export async function withKeys(
  body: (
    root: string,
    keys: { readonly first: SigningKey; readonly second: SigningKey },
    folder: string,
  ) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const first = await makeKey(`${folder}/first`);
    const second = await makeKey(`${folder}/second`);
    await body(`${folder}/store`, { first, second }, folder);
  });
}

/** Enters a note into a store's log. */
export async function log(
  store: Store,
  key: SigningKey,
  note: string,
  hostname = FACTS.host.hostname,
): Promise<CustodyHead> {
  return await store.evidence.logCustody({
    action: "note",
    clockSkewMs: null,
    commandLine: ["coldcase", "custody"],
    exhibits: [],
    host: { ...FACTS.host, hostname },
    reason: null,
    result: { exitCode: 0, facts: { note }, outcome: "done" },
  }, { key, tool: FACTS.tool });
}
