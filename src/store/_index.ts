/**
 * The index: block digest → pack and offset. A cache in SQLite, rebuilt from the packs' footers at any
 * time; damaged or gone, it is made anew and nothing is lost. Whoever uses an answer checks it against the
 * record itself. SQLite reaches the disk by its own way: the index is not evidence.
 *
 * @see store-format.md, "Caches"
 */
import { createHmac, randomBytes } from "node:crypto";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { decodeHex } from "@std/encoding/hex";
import type { FooterEntry } from "../format/pack.ts";
import type { Digest, ObjectName, StoredObject } from "../model.ts";

/** Where a block lies, as far as the index knows. */
export interface BlockPlace {
  readonly pack: ObjectName;
  readonly packBytes: number;
  /** Of the record's header. */
  readonly offset: number;
  readonly storedBytes: number;
}

/** Changes with the tables: another number is another cache, and the file is made anew. */
const INDEX_VERSION = 1;

/** 64 MiB of page cache: the most memory that the index takes. */
const CACHE_KIB = 64 * 1024;

const TABLES = `
  CREATE TABLE IF NOT EXISTS packs (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, bytes INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS blocks (
    digest BLOB PRIMARY KEY, pack INTEGER NOT NULL, offset INTEGER NOT NULL, stored INTEGER NOT NULL
  ) WITHOUT ROWID;
`;

/** What SQLite keeps of `TABLES`: once asked of a database of ours, then remembered. */
let ownSchema: string | undefined;

/**
 * A store that somebody hands over can have any database in this place: a view in place of a table may never end, and
 * no signal reaches a thread that SQLite computes in.
 */
function refuseForeignSchema(database: DatabaseSync): void {
  if (ownSchema === undefined) {
    const own = new DatabaseSync(":memory:");
    own.exec(TABLES);
    ownSchema = schemaOf(own);
    own.close();
  }
  if (schemaOf(database) !== ownSchema) throw new Error("index has other tables than its own");
}

function schemaOf(database: DatabaseSync): string {
  // One more than there are: more need not be read.
  const rows = database.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name LIMIT 4");
  return JSON.stringify(rows.all());
}

export class Index {
  readonly #database: DatabaseSync;
  readonly #select: StatementSync;
  readonly #insertBlock: StatementSync;
  readonly #insertPack: StatementSync;
  readonly #selectPack: StatementSync;
  /** Of a temporary one: digests are in it as what this key makes of them, so that none reaches the disk. */
  #blindingKey: Uint8Array | undefined;
  #isTemporary = false;
  readonly #isReadOnly: boolean;
  /** Packs that an index which is only read does not know yet. */
  #additions: Index | undefined;
  #temporaryPath: string | undefined;

  /**
   * @param path A file, made where it is missing. With `readOnly` it must be there, and stays as it is.
   * Throws the platform's error where the file is damaged or cannot be used.
   */
  constructor(path: string, options: { readonly readOnly?: boolean } = {}) {
    this.#isReadOnly = options.readOnly ?? false;
    this.#database = new DatabaseSync(path, { readOnly: this.#isReadOnly });
    try {
      // Nothing is lost with the index, so it need not be durable; a torn file is found and made anew.
      this.#database.exec(
        `PRAGMA busy_timeout = 10000; PRAGMA synchronous = OFF; PRAGMA cache_size = -${CACHE_KIB};`,
      );
      const version = this.#database.prepare("PRAGMA user_version").get()?.["user_version"];
      const isUsable = version === INDEX_VERSION || (version === 0 && !this.#isReadOnly);
      if (!isUsable) throw new Error(`index has version ${version}`);
      if (version === 0) this.#database.exec(TABLES);
      refuseForeignSchema(this.#database);
      if (version === 0) this.#database.exec(`PRAGMA user_version = ${INDEX_VERSION}`);
      this.#select = this.#database.prepare(
        "SELECT name, bytes, offset, stored FROM blocks JOIN packs ON packs.id = blocks.pack WHERE digest = ?",
      );
      this.#insertPack = this.#database.prepare("INSERT OR REPLACE INTO packs (name, bytes) VALUES (?, ?)");
      this.#insertBlock = this.#database.prepare(
        "INSERT OR REPLACE INTO blocks (digest, pack, offset, stored) VALUES (?, ?, ?, ?)",
      );
      this.#selectPack = this.#database.prepare("SELECT bytes FROM packs WHERE name = ?");
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /**
   * One that is gone at the end: in the host's folder for such files or, where that takes none, in memory.
   * (SQLite's own temporary database, "", asks Deno for all permissions.)
   *
   * @param options `isBlind`: for an encrypted store, whose digests must not reach a disk in the clear.
   */
  static temporary(options: { readonly isBlind?: boolean } = {}): Index {
    const index = Index.#temporaryAt();
    if (options.isBlind) index.#blindingKey = randomBytes(32);
    return index;
  }

  static #temporaryAt(): Index {
    let path: string;
    try {
      path = Deno.makeTempFileSync({ prefix: "coldcase-index-" });
    } catch (_) {
      path = ":memory:";
    }
    const index = new Index(path);
    index.#isTemporary = true;
    if (path === ":memory:") return index;
    index.#temporaryPath = path;
    try {
      index.#database.exec("PRAGMA journal_mode = MEMORY");
      Deno.removeSync(path);
      index.#temporaryPath = undefined;
    } catch (error) {
      // Windows removes no open file: `close` does.
      if (Deno.build.os !== "windows") throw error;
    }
    return index;
  }

  /** True where it is gone at the end. */
  get isTemporary(): boolean {
    return this.#isTemporary;
  }

  lookUp(digest: Digest): BlockPlace | undefined {
    const row = this.#select.get(this.#keyOf(digest));
    if (!row) return this.#additions?.lookUp(digest);
    return {
      pack: String(row["name"]),
      packBytes: Number(row["bytes"]),
      offset: Number(row["offset"]),
      storedBytes: Number(row["stored"]),
    };
  }

  hasPack(pack: { readonly name: ObjectName; readonly sizeBytes: number }): boolean {
    return this.#selectPack.get(pack.name)?.["bytes"] === pack.sizeBytes ||
      (this.#additions?.hasPack(pack) ?? false);
  }

  /** What SQLite finds wrong with its file; `undefined`: nothing. Reads all of it. */
  damage(): string | undefined {
    const said = String(this.#database.prepare("PRAGMA integrity_check(1)").get()?.["integrity_check"]);
    return said === "ok" ? undefined : said;
  }

  /** The packs that it knows. */
  packs(): StoredObject[] {
    return this.#database.prepare("SELECT name, bytes FROM packs").all()
      .map((row) => ({ name: String(row["name"]), sizeBytes: Number(row["bytes"]) }));
  }

  addPack(
    pack: { readonly name: ObjectName; readonly sizeBytes: number; readonly entries: readonly FooterEntry[] },
  ): void {
    if (this.#isReadOnly) {
      this.#additions ??= Index.temporary();
      return this.#additions.addPack(pack);
    }
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      const id = this.#insertPack.run(pack.name, pack.sizeBytes).lastInsertRowid;
      for (const entry of pack.entries) {
        this.#insertBlock.run(this.#keyOf(entry.digest), id, entry.offset, entry.storedBytes);
      }
      this.#database.exec("COMMIT");
    } catch (error) {
      this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  #keyOf(digest: Digest): Uint8Array {
    const bytes = decodeHex(digest);
    return this.#blindingKey ? createHmac("sha256", this.#blindingKey).update(bytes).digest() : bytes;
  }

  close(): void {
    this.#additions?.close();
    this.#database.close();
    if (this.#temporaryPath !== undefined) Deno.removeSync(this.#temporaryPath);
  }
}

/**
 * Opens the index; `damage`: why the one that was opened before is of no use, so that it is made anew.
 * `tolerate` is told of damage that is found on the way.
 */
export type MakeIndex = (damage: unknown, tolerate: (damage: unknown) => void) => Index;

/** The index at `path` for one who writes nothing; where there is none, or a damaged one, a temporary one. */
export function indexForReading(path: string, isThere: () => boolean): MakeIndex {
  return (damage, tolerate) => {
    if (damage !== undefined || !isThere()) return Index.temporary();
    try {
      return new Index(path, { readOnly: true });
    } catch (error) {
      tolerate(error);
      return Index.temporary();
    }
  };
}

/**
 * The index at `path`, for one who holds the store's lock. A damaged one is removed and made anew; where the place is of no use at all
 * (read-only media), a temporary one takes its place.
 */
export function indexAt(path: string, remove: () => void): MakeIndex {
  const open: MakeIndex = (damage, tolerate) => {
    try {
      if (damage !== undefined) remove();
      return new Index(path);
    } catch (error) {
      if (damage !== undefined) return Index.temporary();
      const index = open(error, tolerate);
      if (!index.isTemporary) tolerate(error);
      return index;
    }
  };
  return open;
}
