/**
 * Runs of an acquisition as the tests make them: a store in a temporary folder, the fake source, inputs that are
 * plain but for what a test changes, and an exhibit as a table that can be compared. No assertions of its own.
 */
import {
  type AcquireInput,
  acquireSnapshot,
  type PreparedFacts,
  Spending,
} from "../../src/acquisition/mod.ts";
import type { BlockSource, SnapshotId, World } from "../../src/model.ts";
import { EXAMPLE_PRICES } from "../../src/plan.ts";
import { type Exhibit, openStoreForWriting, type Store } from "../../src/store/mod.ts";
import { readAgain } from "../second_reading.ts";
import { TEST_KEY } from "../signing_key.ts";
import { realWorld } from "../../src/world.ts";

const HOST = { hostname: "collector-1", operatingSystem: "linux 6.8.0 x86_64", user: "examiner" };
const DESTINATION = { fileSystem: "ext4", path: "evidence" };
const TOOL = { digest: null, name: "coldcase", runtime: "test", version: "0.1.0" } as const;

/** Runs `body` with a new folder that is removed afterwards. */
export async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "coldcase-acquisition-" });
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Opens (or makes) the store in `folder`, and closes it after `body`. */
export async function inStore<T>(
  folder: string,
  body: (store: Store) => Promise<T>,
  world: World = realWorld(),
): Promise<T> {
  const store = await openStoreForWriting(world, `${folder}/store`);
  try {
    return await body(store);
  } finally {
    store.close();
  }
}

export async function withStore(body: (store: Store, folder: string) => Promise<void>): Promise<void> {
  await withFolder((folder) => inStore(folder, (store) => body(store, folder)));
}

export type Changes = Partial<AcquireInput> & { readonly budgetUsd?: number };

/** An input for one session. */
export function inputFor(
  known: { readonly store: Store; readonly source: BlockSource; readonly snapshot: SnapshotId },
  { budgetUsd, ...changes }: Changes = {},
): AcquireInput {
  return {
    ...known,
    clock: realWorld().clock,
    signal: new AbortController().signal,
    parent: undefined,
    fresh: false,
    retryUnreadable: false,
    maxUnreadable: 64,
    concurrency: undefined,
    spending: new Spending({ source: known.source, prices: EXAMPLE_PRICES, isInRegion: false, budgetUsd }),
    session: {
      commandLine: ["coldcase", "acquire", known.snapshot],
      credentialSource: null,
      destination: DESTINATION,
      examiner: null,
      host: HOST,
      proxy: null,
      tool: TOOL,
    },
    commitFacts: {
      case: { authority: null, case: null, evidence: null, examiner: null, notes: null, organization: null },
      destination: DESTINATION,
      unsafeFileSystem: false,
      host: HOST,
      key: TEST_KEY,
      tool: TOOL,
    },
    credentialChanges: () => 0,
    takeEvents: () => [],
    eventsLeftOut: () => 0,
    ...changes,
  };
}

/** A committed acquisition, which a second reader has read too, and what was told before its first block. */
export interface Acquired {
  readonly exhibit: Exhibit;
  readonly prepared: PreparedFacts;
}

export async function acquire(
  store: Store,
  source: BlockSource,
  snapshot: SnapshotId,
  changes: Changes = {},
): Promise<Acquired> {
  let prepared: PreparedFacts | undefined;
  const onPrepared = (facts: PreparedFacts) => {
    // The tally goes on growing with the walks that follow: keep what was said.
    prepared = { ...facts, tally: { ...facts.tally } };
    changes.onPrepared?.(facts);
  };
  const { id } = await acquireSnapshot(inputFor({ store, source, snapshot }, { ...changes, onPrepared }));
  await readAgain(store.path, id);
  return { exhibit: await store.exhibit(id), prepared: prepared! };
}

/** All blocks that are not absent: a number for one that is stored (or 0 for zero), else its state. */
export async function tableOf(exhibit: Exhibit): Promise<Record<number, number | "unreadable">> {
  const table: Record<number, number | "unreadable"> = {};
  for await (const { state, firstBlock, blockCount } of exhibit.runs()) {
    if (state === "absent") continue;
    for (let index = firstBlock; index < firstBlock + blockCount; index++) {
      if (state === "stored") {
        const bytes = await exhibit.readBlock(index);
        table[index] = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
      } else table[index] = state === "zero" ? 0 : "unreadable";
    }
  }
  return table;
}

export function ascending(indexes: Iterable<number>): number[] {
  return [...indexes].sort((a, b) => a - b);
}
