/**
 * ObjectStorage in a local directory: every object is written beside its place, made durable, renamed into
 * it, and its folder made durable. What is there and damaged is moved to quarantine, never overwritten and
 * never deleted. Symbolic links are refused: a store's contents reach nothing outside it.
 *
 * @see store-format.md, "Order of writes"
 */
import { encodeHex } from "@std/encoding/hex";
import { OperatorError } from "../errors.ts";
import { Sha256, sha256 } from "../format/digests.ts";
import type {
  Digest,
  Disk,
  DiskFile,
  ObjectName,
  ObjectStorage,
  Randomness,
  StoredObject,
} from "../model.ts";
import { DAMAGE_HINT } from "./_checked.ts";
import { QUARANTINE_FOLDER, TEMPORARY_FOLDER } from "./_layout.ts";

const COPY_BUFFER_BYTES = 1024 * 1024;

export class LocalStorage implements ObjectStorage {
  readonly #disk: Disk;
  readonly #root: string;
  readonly #randomness: Randomness;
  /** Folders that were seen or made, and made durable, by this process. */
  readonly #folders = new Set<string>();

  constructor(options: { readonly disk: Disk; readonly root: string; readonly randomness: Randomness }) {
    this.#disk = options.disk;
    this.#root = options.root;
    this.#randomness = options.randomness;
  }

  /** Absolute path of an object or folder of this storage. */
  pathOf(name: ObjectName): string {
    return `${this.#root}/${name}`;
  }

  async put(name: ObjectName, bytes: Uint8Array): Promise<void> {
    if (await this.holds(name, sha256(bytes))) return;
    await this.replace(name, bytes);
  }

  /**
   * Like `put`, but takes the place of what is there: for `store.json` and the journal's head only.
   *
   * @param options `isPrivate`: only its owner may read it.
   */
  async replace(
    name: ObjectName,
    bytes: Uint8Array,
    options: { readonly isPrivate?: boolean } = {},
  ): Promise<void> {
    const temporary = await this.#temporaryPath();
    const file = this.#disk.open(temporary, options.isPrivate ? "create_private" : "create");
    try {
      file.write(bytes, 0);
      await file.sync();
    } finally {
      file.close();
    }
    await this.#moveIntoPlace(temporary, name);
  }

  async putFile(name: ObjectName, file: { readonly path: string; readonly digest: Digest }): Promise<void> {
    if (await this.holds(name, file.digest)) this.#disk.remove(file.path);
    else await this.#moveIntoPlace(file.path, name);
  }

  /**
   * Puts an object whose name follows from its bytes, which come piece by piece. `isNew`: false where it was there
   * already, whole and sound. Where making a piece fails nothing is put.
   */
  async putPieces(
    pieces: Iterable<Uint8Array>,
    nameOf: (digest: Digest) => ObjectName,
  ): Promise<StoredObject & { readonly isNew: boolean }> {
    const path = await this.#temporaryPath();
    const file = this.#disk.open(path, "create");
    const hash = new Sha256();
    let sizeBytes = 0;
    try {
      for (const piece of pieces) {
        file.write(piece, sizeBytes);
        hash.update(piece);
        sizeBytes += piece.length;
      }
      await file.sync();
    } finally {
      file.close();
    }
    const digest = hash.digest();
    const name = nameOf(digest);
    const isNew = !await this.holds(name, digest);
    if (isNew) await this.#moveIntoPlace(path, name);
    else this.#disk.remove(path);
    return { name, sizeBytes, isNew };
  }

  // deno-lint-ignore require-await -- local reads are synchronous, other storages' are not
  async read(
    name: ObjectName,
    range: { readonly offset: number; readonly length: number },
  ): Promise<Uint8Array> {
    const file = this.open(name);
    try {
      // Callers ask for the most that they accept: no more memory than the file has is made for them.
      const bytes = new Uint8Array(Math.max(0, Math.min(range.length, file.sizeBytes() - range.offset)));
      return bytes.subarray(0, file.read(bytes, range.offset));
    } finally {
      file.close();
    }
  }

  /**
   * Takes an object over from another storage's open file, its SHA-256 computed on the way. Gives the bytes
   * that were copied: none where it was there already, whole and sound.
   *
   * Throws `integrity` where what was read has another digest, or goes on after `sizeBytes`.
   */
  async takeOver(
    name: ObjectName,
    from: { readonly file: DiskFile; readonly digest: Digest; readonly sizeBytes: number },
  ): Promise<number> {
    if (await this.holds(name, from.digest)) return 0;
    const { path, copiedBytes } = await this.#copyAside(name, from);
    await this.#moveIntoPlace(path, name);
    return copiedBytes;
  }

  /**
   * Takes an object over in place of one that is missing or damaged. What is there goes to quarantine only when the
   * sound one is durable beside it; `setAside`: where it is now.
   *
   * Throws `integrity` as `takeOver` does; then nothing was moved.
   */
  async restore(
    name: ObjectName,
    from: { readonly file: DiskFile; readonly digest: Digest; readonly sizeBytes: number },
  ): Promise<{ readonly setAside: string | undefined }> {
    const { path } = await this.#copyAside(name, from);
    const isThere = this.#disk.stat(this.pathOf(name)) !== undefined;
    const setAside = isThere ? await this.quarantine(name) : undefined;
    await this.#moveIntoPlace(path, name);
    return { setAside };
  }

  async #copyAside(
    name: ObjectName,
    from: { readonly file: DiskFile; readonly digest: Digest; readonly sizeBytes: number },
  ): Promise<{ readonly path: string; readonly copiedBytes: number }> {
    const path = await this.#temporaryPath();
    const target = this.#disk.open(path, "create");
    let offset = 0;
    try {
      const hash = new Sha256();
      const buffer = new Uint8Array(COPY_BUFFER_BYTES);
      for (let length = from.file.read(buffer, 0); length > 0; length = from.file.read(buffer, offset)) {
        if (offset + length > from.sizeBytes) {
          throw new OperatorError(
            "integrity",
            `Cannot copy "${name}": has more than the ${from.sizeBytes} bytes expected`,
            { facts: { file: name } },
          );
        }
        const piece = buffer.subarray(0, length);
        target.write(piece, offset);
        hash.update(piece);
        offset += length;
      }
      const computed = hash.digest();
      if (computed !== from.digest) {
        throw new OperatorError(
          "integrity",
          `Cannot copy "${name}": its SHA-256 is ${computed}, expected ${from.digest}`,
          {
            hints: [DAMAGE_HINT],
            facts: { file: name },
          },
        );
      }
      await target.sync();
    } finally {
      target.close();
    }
    return { path, copiedBytes: offset };
  }

  /** The object as an open file, for many reads. Throws `not_found`, and `format` for a symbolic link. */
  open(name: ObjectName): DiskFile {
    if (this.#statOf(name) === undefined) {
      throw new OperatorError("not_found", `Cannot read "${name}": there is no such file in "${this.#root}"`);
    }
    return this.#disk.open(this.pathOf(name), "read");
  }

  async *list(prefix: string): AsyncIterable<StoredObject> {
    const folder = prefix.replace(/\/$/, "");
    if (this.#disk.stat(this.pathOf(folder))?.kind !== "directory") return;
    for (const entry of this.#disk.list(this.pathOf(folder)).sort()) {
      const name = `${folder}/${entry}`;
      const facts = this.#disk.stat(this.pathOf(name));
      if (facts?.kind === "directory") yield* this.list(`${name}/`);
      else if (facts?.kind === "file") yield { name, sizeBytes: facts.sizeBytes };
      // Passed over, it would hide what should be in its place: a signed inventory, an entry of the log.
      else if (facts?.kind === "symlink") refuse(name, facts.kind);
    }
  }

  // deno-lint-ignore require-await -- see read()
  async stat(name: ObjectName): Promise<StoredObject | undefined> {
    return this.#statOf(name);
  }

  #statOf(name: ObjectName): StoredObject | undefined {
    const facts = this.#disk.stat(this.pathOf(name));
    if (facts === undefined) return undefined;
    if (facts.kind !== "file") refuse(name, facts.kind);
    return { name, sizeBytes: facts.sizeBytes };
  }

  /** Moves what is at `name` out of the way, under a name that tells where it was. */
  async quarantine(name: ObjectName): Promise<string> {
    const target = `${QUARANTINE_FOLDER}/${this.#random()}-${name.replaceAll("/", "-")}`;
    await this.makeFolder(QUARANTINE_FOLDER);
    this.#disk.rename(this.pathOf(name), this.pathOf(target));
    await this.#disk.syncDirectory(this.pathOf(QUARANTINE_FOLDER));
    await this.#disk.syncDirectory(this.#parentOf(name));
    return target;
  }

  /**
   * Makes a folder and everything above it, durably.
   *
   * @param options `isPrivate`: only its owner may look into it. Of one that is there nothing changes.
   */
  async makeFolder(folder: string, options: { readonly isPrivate?: boolean } = {}): Promise<void> {
    if (this.#folders.has(folder)) return;
    const parts = folder.split("/");
    for (let depth = 1; depth <= parts.length; depth++) {
      const path = parts.slice(0, depth).join("/");
      const kind = this.#disk.stat(this.pathOf(path))?.kind;
      const isPrivate = options.isPrivate && depth === parts.length;
      if (kind === undefined) this.#disk.makeDirectory(this.pathOf(path), isPrivate ? { mode: 0o700 } : {});
      else if (kind !== "directory") {
        throw new OperatorError("format", `Cannot use folder "${path}": is a ${kind}, expected a directory`);
      }
      // Also where it was there: who made it may have died before this.
      await this.#disk.syncDirectory(this.#parentOf(path));
      this.#folders.add(path);
    }
  }

  /** SHA-256 of an object, read in pieces. */
  digestOf(name: ObjectName): Digest {
    const file = this.open(name);
    try {
      const hash = new Sha256();
      // Most files are signatures and the like, and there are many.
      const buffer = new Uint8Array(Math.min(COPY_BUFFER_BYTES, file.sizeBytes()));
      for (let offset = 0;;) {
        const length = file.read(buffer, offset);
        if (length === 0) return hash.digest();
        hash.update(buffer.subarray(0, length));
        offset += length;
      }
    } finally {
      file.close();
    }
  }

  /** Whether the object is there with these contents; a damaged one goes to quarantine and counts as not. */
  async holds(name: ObjectName, digest: Digest): Promise<boolean> {
    if (this.#statOf(name) === undefined) return false;
    if (this.digestOf(name) === digest) {
      // Its writer may have died between the rename and the sync of the folder.
      await this.#disk.syncDirectory(this.#parentOf(name));
      return true;
    }
    await this.quarantine(name);
    return false;
  }

  async #moveIntoPlace(path: string, name: ObjectName): Promise<void> {
    await this.makeFolder(name.slice(0, Math.max(0, name.lastIndexOf("/"))) || ".");
    this.#disk.rename(path, this.pathOf(name));
    await this.#disk.syncDirectory(this.#parentOf(name));
  }

  #parentOf(name: string): string {
    const slash = name.lastIndexOf("/");
    return slash < 0 ? this.#root : this.pathOf(name.slice(0, slash));
  }

  async #temporaryPath(): Promise<string> {
    await this.makeFolder(TEMPORARY_FOLDER);
    return this.pathOf(`${TEMPORARY_FOLDER}/${this.#random()}`);
  }

  #random(): string {
    return encodeHex(this.#randomness.bytes(8));
  }
}

function refuse(name: ObjectName, kind: string): never {
  throw new OperatorError("format", `Cannot read "${name}": is a ${kind}, expected a file`, {
    facts: { file: name },
  });
}
