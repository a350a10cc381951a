/**
 * Opens stores: for reading, which needs no lock and writes nothing, and for writing, which makes the store
 * where there is none. What is no store, or one that this program or case must not write to, is refused here.
 *
 * @see store-format.md, "Store file"
 */
import type { BlockBuffers } from "../buffers.ts";
import { encodeHex } from "@std/encoding/hex";
import type { Identities } from "../cipher_age.ts";
import { OperatorError } from "../errors.ts";
import { sha256 } from "../format/digests.ts";
import {
  decodeStoreFile,
  encodeStoreFile,
  MAX_STORE_FILE_BYTES,
  STORE_VERSION,
  type StoreFile,
} from "../format/store_file.ts";
import type { Disk, World } from "../model.ts";
import { formatTime } from "../units.ts";
import { guardedDisk, refuseLinks } from "./_guard.ts";
import { Contents } from "./_contents.ts";
import {
  CACHE_FOLDER,
  EXHIBITS_FOLDER,
  JOURNAL_FOLDER,
  KEYS_FOLDER,
  PACKS_FOLDER,
  STORE_FILE,
  TEMPORARY_FOLDER,
} from "./_layout.ts";
import { LocalStorage } from "./_local_storage.ts";
import { lockStore } from "./_probe.ts";
import { inlineReaders, workerReaders } from "./_pack_readers.ts";
import { inlinePackers, workerPackers } from "./_packers.ts";
import { newRecipients, type RecipientWish, refuseOtherRecipients } from "./_recipients.ts";
import { Store } from "./_store.ts";
import { Threads } from "./_threads.ts";

/** How a store is opened. */
export interface OpenOptions {
  /** What opens the files of an encrypted store; `undefined`: nothing was given. */
  readonly identities?: Identities | undefined;
  /**
   * Threads beside this one: packs are made in them in a store that is open for writing, read and checked in one that is
   * open for reading; 0, where not given: all in this one.
   */
  readonly workers?: number;
}

/** How a store is opened for writing. */
export interface WriteOptions extends OpenOptions, RecipientWish {
  /** The case whose evidence it shall hold; `undefined`: not told. */
  readonly case?: string | undefined;
  readonly mixedCases?: boolean;
  /** Get the memory of blocks back when they are held. */
  readonly buffers?: BlockBuffers;
  readonly unsafeFileSystem?: boolean;
  /** To be repaired: it must be there, and is not cleared up, for what is damaged may be in the way of that. */
  readonly isForRepair?: boolean;
}

/** Opens an existing store for reading. Throws `not_found` where there is none. */
export async function openStore(
  world: World,
  path: string,
  options: OpenOptions = {},
): Promise<Store> {
  const disk = guardedDisk(world.disk, path);
  const storage = new LocalStorage({ disk, root: path, randomness: world.randomness });
  if (disk.stat(`${path}/${STORE_FILE}`) === undefined) {
    throw noStore(path);
  }
  refuseLinksIn(disk, path);
  const file = await readStoreFile(storage);
  const contents = contentsOf(world, storage, file, options);
  const packers = inlinePackers(disk);
  const { workers = 0 } = options;
  const readers = workers > 0
    ? workerReaders(new Threads({ count: workers, root: path }))
    : inlineReaders(storage);
  const unlocked = { lock: undefined, isUnsafe: false };
  return new Store({ world, disk, storage, contents, packers, readers, path, file, ...unlocked });
}

function noStore(path: string): OperatorError {
  return new OperatorError("not_found", `Cannot open store "${path}": there is no store`, {
    hints: ["Name the store with --store DIR or COLDCASE_STORE; acquire makes one."],
    facts: { store: path },
  });
}

/**
 * Opens a store for writing, making it where there is none. One process at a time.
 *
 * Throws `locked`; `usage` for a folder of something else and for another case; `storage` for a file system
 * that keeps no promises; `format` for another version.
 */
export async function openStoreForWriting(
  world: World,
  path: string,
  options: WriteOptions = {},
): Promise<Store> {
  const disk = guardedDisk(world.disk, path);
  const storage = new LocalStorage({ disk, root: path, randomness: world.randomness });
  refuseForeignFolder(disk, path);
  const isNew = disk.stat(`${path}/${STORE_FILE}`) === undefined;
  if (isNew && options.isForRepair) throw noStore(path);
  if (!isNew) refuseLinksIn(disk, path);
  // An existing store is looked at before its lock: a wrong case or version is the better answer.
  if (!isNew) await checkWritable(storage, await readStoreFile(storage), path, options);
  else disk.makeDirectory(path);
  const { lock, isUnsafe } = await lockStore(disk, path, { allowUnsafe: options.unsafeFileSystem ?? false });
  try {
    const file = await settleStoreFile(storage, path, {
      ...options,
      now: formatTime(world.clock.nowMs()),
      newId: encodeHex(world.randomness.bytes(16)),
    });
    const contents = contentsOf(world, storage, file, options);
    const { workers = 0 } = options;
    const packers = workers > 0
      ? workerPackers(new Threads({ count: workers, root: path }), options.buffers)
      : inlinePackers(disk, options.buffers);
    // A held copy is read back now and then: not worth a thread of its own.
    const readers = inlineReaders(storage);
    const store = new Store({ world, disk, storage, contents, packers, readers, path, file, lock, isUnsafe });
    if (!options.isForRepair) await store.tidyUp();
    return store;
  } catch (error) {
    lock.release();
    throw error;
  }
}

function contentsOf(
  { randomness }: World,
  storage: LocalStorage,
  { recipients }: StoreFile,
  { identities }: OpenOptions,
): Contents {
  return new Contents({ storage, randomness, recipients, identities });
}

async function readStoreFile(storage: LocalStorage): Promise<StoreFile> {
  return decodeStoreFile(
    await storage.read(STORE_FILE, { offset: 0, length: MAX_STORE_FILE_BYTES + 1 }),
    `"${storage.pathOf(STORE_FILE)}"`,
  );
}

/** Looks at every name, also of files that this command never reads: a later command, or SQLite, would follow a link. */
function refuseLinksIn(disk: Disk, path: string): void {
  for (const folder of [path, `${path}/${CACHE_FOLDER}`]) {
    if (disk.stat(folder) === undefined) continue;
    for (const name of disk.list(folder)) refuseLinks(disk, path, `${folder}/${name}`);
  }
}

/** A folder with other things in it is not made a store: it may be another tool's, or a typing error. */
function refuseForeignFolder(disk: Disk, path: string): void {
  const kind = disk.stat(path)?.kind;
  if (kind === undefined) return;
  if (kind !== "directory" && kind !== "symlink") {
    throw new OperatorError("usage", `Cannot use "${path}" as a store: is a ${kind}, expected a folder`);
  }
  const names = disk.list(path);
  if (names.length === 0 || names.includes(STORE_FILE)) return;
  if (names.every((name) => ["lock", TEMPORARY_FOLDER, KEYS_FOLDER].includes(name))) return; // a store that was killed while it was made
  throw new OperatorError(
    "usage",
    `Cannot use "${path}" as a store: it holds other files, and no ${STORE_FILE}`,
    {
      hints: ["Name an existing store, or a folder that is empty or not there yet."],
      facts: { store: path },
    },
  );
}

/** Throws `format` for a store that a later version writes, `usage` for another case or other recipients. */
async function checkWritable(
  storage: LocalStorage,
  file: StoreFile,
  path: string,
  options: WriteOptions,
): Promise<void> {
  if (file.writeVersion !== STORE_VERSION) {
    throw new OperatorError(
      "format",
      `Cannot write to store "${path}": it is written by version ${file.writeVersion}, this program writes version ${STORE_VERSION}`,
      {
        hints: ["Use the version of coldcase that wrote the store, or a newer one. This one can read it."],
        facts: { store: path, version: file.writeVersion },
      },
    );
  }
  await refuseOtherRecipients(storage, file, options);
  if (options.case === undefined || file.case === null || options.case === file.case) return;
  if (file.mixedCases || options.mixedCases) return;
  if (!await holdsEvidence(storage)) return;
  throw new OperatorError(
    "usage",
    `Cannot use store "${path}" for case "${options.case}": it holds case "${file.case}"`,
    {
      hints: [
        "Use a store of its own for each case, or --mixed-cases to keep both in this one.",
        `Where "${file.case}" was a mistake, "coldcase correct" sets it right, exhibit by exhibit.`,
      ],
      facts: { store: path, storeCase: file.case },
    },
  );
}

/** Else an acquisition that failed before it began would make the store one of its case for good. */
async function holdsEvidence(storage: LocalStorage): Promise<boolean> {
  for (const folder of [EXHIBITS_FOLDER, JOURNAL_FOLDER, PACKS_FOLDER]) {
    for await (const _ of storage.list(`${folder}/`)) return true;
  }
  return false;
}

/** Makes `store.json`, or brings in what the options add to it. */
async function settleStoreFile(
  storage: LocalStorage,
  path: string,
  options: WriteOptions & { readonly now: string; readonly newId: string },
): Promise<StoreFile> {
  const known = await storage.stat(STORE_FILE) ? await readStoreFile(storage) : undefined;
  if (known) await checkWritable(storage, known, path, options); // another process may have made it since
  const recipients = known ? known.recipients : await newRecipients(storage, options);
  const mixes = (known?.mixedCases ?? false) || (options.mixedCases ?? false);
  // Another case than the known one passed the check above where the store holds no evidence yet.
  const wanted = mixes ? undefined : options.case;
  const file: StoreFile = {
    case: wanted ?? known?.case ?? options.case ?? null,
    createdAt: known?.createdAt ?? options.now,
    features: [],
    id: known?.id ?? options.newId,
    mixedCases: mixes,
    mode: recipients ? "encrypted" : "plain",
    readVersion: STORE_VERSION,
    recipients,
    type: "coldcase-store",
    writeVersion: STORE_VERSION,
  };
  const bytes = encodeStoreFile(file);
  if (!known || sha256(bytes) !== sha256(encodeStoreFile(known))) await storage.replace(STORE_FILE, bytes);
  return file;
}
