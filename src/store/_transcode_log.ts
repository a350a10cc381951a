/**
 * Which file of another store became which file of this one: what an encryption needs to go on where it was killed, and
 * to write no file twice that two exhibits share, for each encryption of the same bytes gives another file. A cache: where it is lost,
 * files are written once more. It lies in the clear and tells nothing: what a file was made of stands in it under a key
 * that only the manifest has.
 *
 * @see store-format.md, "Caches"
 */
import { createHmac } from "node:crypto";
import { decodeHex } from "@std/encoding/hex";
import type { Digest, Disk, DiskFile, ExhibitId, ObjectName, StoredObject } from "../model.ts";
import { isExhibitId } from "../units.ts";
import type { ContentKind } from "./_contents.ts";
import { logLines } from "./_journal_log.ts";
import { CACHE_FOLDER, parseName } from "./_layout.ts";
import type { LocalStorage } from "./_local_storage.ts";

/** What a file was made of. */
export interface TranscodeSource {
  readonly kind: ContentKind | "pack";
  /** Of a pack the digest of its file, of a document that of what is in it. */
  readonly digest: Digest;
}

interface Where {
  readonly storage: LocalStorage;
  readonly disk: Disk;
}

/** Whose log it is. */
export interface TranscodeOwner {
  readonly exhibit: ExhibitId;
  /** Of the exhibit's manifest: 32 hexadecimal digits. */
  readonly nonce: string;
}

const FILE_NAME = /^transcoded-(.*)\.log$/;

function logName(exhibit: ExhibitId): ObjectName {
  return `${CACHE_FOLDER}/transcoded-${exhibit}.log`;
}

/** Exhibits that have such a log in this store. */
export function transcodedExhibits({ storage, disk }: Where): ExhibitId[] {
  return disk.list(storage.pathOf(CACHE_FOLDER)).map((name) => FILE_NAME.exec(name)?.[1])
    .filter((id): id is ExhibitId => id !== undefined && isExhibitId(id)).sort();
}

export class TranscodeLog {
  readonly #key: Uint8Array;
  readonly #file: DiskFile;
  readonly #known = new Map<string, StoredObject>();
  #sizeBytes = 0;

  private constructor(file: DiskFile, nonce: string) {
    this.#file = file;
    this.#key = decodeHex(nonce);
  }

  #read(): this {
    try {
      for (const { bytes, end } of logLines(this.#file)) {
        const entry = bytes && this.#decode(new TextDecoder().decode(bytes));
        if (entry) this.#known.set(entry.tag, entry.file);
        this.#sizeBytes = end; // what a crash tore is written over
      }
      return this;
    } catch (error) {
      this.#file.close();
      throw error;
    }
  }

  /** For reading what another exhibit's encryption did. The log is there. */
  static view({ storage, disk }: Where, { exhibit, nonce }: TranscodeOwner): TranscodeLog {
    return new TranscodeLog(disk.open(storage.pathOf(logName(exhibit)), "read"), nonce).#read();
  }

  /** For going on, or starting. The store is open for writing. */
  static async open({ storage, disk }: Where, { exhibit, nonce }: TranscodeOwner): Promise<TranscodeLog> {
    const name = logName(exhibit);
    const path = storage.pathOf(name);
    await storage.makeFolder(CACHE_FOLDER);
    const kind = disk.stat(path)?.kind;
    if (kind !== undefined && kind !== "file") await storage.quarantine(name);
    const log = new TranscodeLog(disk.open(path, kind === "file" ? "update" : "create_private"), nonce)
      .#read();
    try {
      log.#file.truncate(log.#sizeBytes);
      await disk.syncDirectory(storage.pathOf(CACHE_FOLDER));
      return log;
    } catch (error) {
      log.close();
      throw error;
    }
  }

  /** The file that was made of it; whether it is there still, and whole, is not known. */
  find(source: TranscodeSource): StoredObject | undefined {
    const file = this.#known.get(this.#tagOf(source));
    return file && parseName(file.name)?.kind === source.kind ? file : undefined;
  }

  /** Durable when it returns, and so is `file` when it is called. */
  async append(source: TranscodeSource, file: StoredObject): Promise<void> {
    const body = `${this.#tagOf(source)} ${file.sizeBytes} ${file.name}`;
    const line = new TextEncoder().encode(`${body} ${this.#macOf("line", body)}\n`);
    this.#file.write(line, this.#sizeBytes);
    await this.#file.sync();
    this.#sizeBytes += line.length;
  }

  close(): void {
    this.#file.close();
  }

  /** `undefined` for a line that nobody wrote who had the manifest: damaged, or made to mislead. */
  #decode(line: string): { readonly tag: string; readonly file: StoredObject } | undefined {
    const [, body, tag, sizeBytes, name, mac] =
      /^(([0-9a-f]{64}) (\d{1,15}) (\S{1,200})) ([0-9a-f]{64})$/.exec(line) ?? [];
    if (body === undefined || this.#macOf("line", body) !== mac) return undefined;
    return { tag: tag!, file: { name: name!, sizeBytes: Number(sizeBytes) } };
  }

  #tagOf({ kind, digest }: TranscodeSource): string {
    return this.#macOf("source", `${kind} ${digest}`);
  }

  #macOf(what: "source" | "line", text: string): string {
    return createHmac("sha256", this.#key).update(`coldcase-transcoded-${what}-v1\n${text}\n`).digest("hex");
  }
}
