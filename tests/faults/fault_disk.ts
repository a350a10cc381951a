/**
 * A disk in memory of which one operation fails, reads and looks included, or all from one on: with the platform's own
 * errors, before anything happened, or half-way through a write. A sync that fails takes with it what was written since
 * the one before, as Linux does, and is answered as if all were well when it is asked again.
 */
import type { Disk, DiskFile, OpenMode } from "../../src/model.ts";
import type { CrashDisk } from "../crash/crash_disk.ts";

/** What an operation does: a full disk and one that can only be read do not keep from reading. */
export type Kind = "read" | "change" | "write" | "sync";

/** `short`: half of a write is there, then the disk is full. */
export const FAULTS = ["EIO", "ENOSPC", "EROFS", "short"] as const;
export type FaultName = typeof FAULTS[number];

export interface Fault {
  /** Of the operations that the fault can happen to, from 1. */
  readonly at: number;
  readonly name: FaultName;
  /** False: once. */
  readonly isForGood: boolean;
}

const TEXTS: Readonly<Record<FaultName, readonly [code: string, text: string]>> = {
  EIO: ["EIO", "i/o error"],
  ENOSPC: ["ENOSPC", "no space left on device"],
  EROFS: ["EROFS", "read-only file system"],
  short: ["ENOSPC", "no space left on device"],
};

/** Whether the fault can happen to what is done. */
function canHappen(name: FaultName, kind: Kind): boolean {
  if (name === "EIO") return true;
  return name === "short" ? kind === "write" : kind !== "read";
}

export class FaultDisk implements Disk {
  readonly #disk: CrashDisk;
  readonly #fault: Fault | undefined;
  /** Operations that the fault could happen to. */
  count = 0;
  /** The operation that failed first. */
  failed: string | undefined;
  /** Paths of what was opened or locked and is still held. */
  readonly held: string[] = [];

  constructor(disk: CrashDisk, fault: Fault | undefined, readonly name: FaultName = fault?.name ?? "EIO") {
    this.#disk = disk;
    this.#fault = fault;
  }

  step(kind: Kind, text: string, half?: () => void): void {
    if (!canHappen(this.name, kind)) return;
    const at = ++this.count;
    const fault = this.#fault;
    if (!fault || (fault.isForGood ? at < fault.at : at !== fault.at)) return;
    this.failed ??= text;
    if (fault.name === "short" || kind === "sync") half?.();
    const [code, message] = TEXTS[fault.name];
    throw Object.assign(new Error(`${code}: ${message}, ${text}`), { code });
  }

  release(path: string): void {
    const position = this.held.indexOf(path);
    if (position < 0) throw new Error(`closed twice: ${path}`);
    this.held.splice(position, 1);
  }

  open(path: string, mode: OpenMode): DiskFile {
    this.step(mode.startsWith("create") ? "change" : "read", `open '${path}'`);
    const file = this.#disk.open(path, mode);
    this.held.push(path);
    return new FaultFile(this, file, path);
  }

  rename(from: string, to: string): void {
    this.step("change", `rename '${from}' -> '${to}'`);
    this.#disk.rename(from, to);
  }

  makeDirectory(path: string): void {
    this.step("change", `mkdir '${path}'`);
    this.#disk.makeDirectory(path);
  }

  list(path: string): string[] {
    this.step("read", `readdir '${path}'`);
    return this.#disk.list(path);
  }

  stat(path: string) {
    this.step("read", `lstat '${path}'`);
    return this.#disk.stat(path);
  }

  remove(path: string): void {
    this.step("change", `remove '${path}'`);
    this.#disk.remove(path);
  }

  async syncDirectory(path: string): Promise<void> {
    this.step("sync", `fsync '${path}'`);
    await this.#disk.syncDirectory(path);
  }

  tryLock(path: string): { release(): void } | undefined {
    this.step("change", `open '${path}'`);
    const lock = this.#disk.tryLock(path);
    if (!lock) return undefined;
    this.held.push(path);
    return {
      release: () => {
        this.release(path);
        lock.release();
      },
    };
  }

  freeBytes(path: string): number {
    this.step("read", `statfs '${path}'`);
    return this.#disk.freeBytes();
  }

  fileSystemType(path: string): string {
    this.step("read", `statfs '${path}'`);
    return this.#disk.fileSystemType();
  }
}

class FaultFile implements DiskFile {
  readonly #disk: FaultDisk;
  readonly #file: DiskFile;
  readonly #path: string;
  /** What the file had when it was synced last; `undefined`: nothing was written since. */
  #durable: Uint8Array | undefined;

  constructor(disk: FaultDisk, file: DiskFile, path: string) {
    this.#disk = disk;
    this.#file = file;
    this.#path = path;
  }

  read(into: Uint8Array, offset: number): number {
    this.#disk.step("read", `read '${this.#path}'`);
    return this.#file.read(into, offset);
  }

  write(bytes: Uint8Array, offset: number): void {
    const half = bytes.subarray(0, bytes.length >> 1);
    this.#keep();
    this.#disk.step("write", `write '${this.#path}'`, () => this.#file.write(half, offset));
    this.#file.write(bytes, offset);
  }

  async sync(): Promise<void> {
    this.#disk.step("sync", `fdatasync '${this.#path}'`, () => this.#lose());
    this.#durable = undefined;
    await this.#file.sync();
  }

  truncate(sizeBytes: number): void {
    this.#keep();
    this.#disk.step("change", `ftruncate '${this.#path}'`);
    this.#file.truncate(sizeBytes);
  }

  sizeBytes(): number {
    this.#disk.step("read", `fstat '${this.#path}'`);
    return this.#file.sizeBytes();
  }

  close(): void {
    this.#disk.release(this.#path);
    this.#file.close();
  }

  #keep(): void {
    if (this.#durable) return;
    this.#durable = new Uint8Array(this.#file.sizeBytes());
    this.#file.read(this.#durable, 0);
  }

  /** The page cache is marked clean, and after a while read from the disk again. */
  #lose(): void {
    if (!this.#durable) return;
    this.#file.truncate(0);
    this.#file.truncate(this.#durable.length);
    this.#file.write(this.#durable, 0);
    this.#durable = undefined;
  }
}
