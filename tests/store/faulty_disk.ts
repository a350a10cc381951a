/**
 * Disks that do what real ones do at the worst moment: refuse a write, refuse every write, or die with the
 * host, so that what was never made durable is gone. Operations that change something are counted, so that a
 * test can fail each of them in turn. All rest on the real disk, without its slow syncs.
 */
import type { Disk, DiskFile, OpenMode } from "../../src/model.ts";
import { realDisk } from "../../src/world.ts";

/**
 * No test writes so much into a file: a loop without an end fails here, before it fills the memory or the disk
 * that the tests' folders are in.
 */
const MAX_WRITTEN_BYTES = 256 * 1024 * 1024;

function refuseRunaway(path: string, writtenBytes: number): void {
  if (writtenBytes > MAX_WRITTEN_BYTES) throw new Error(`runaway write of ${writtenBytes} bytes to ${path}`);
}

/** The real disk, but nothing is made durable: for tests that lose no power. */
export const quickDisk: Disk = {
  ...realDisk,
  open(path, mode) {
    const file = realDisk.open(path, mode);
    let writtenBytes = 0;
    return {
      read: (into, offset) => file.read(into, offset),
      write(bytes, offset) {
        refuseRunaway(path, writtenBytes += bytes.length);
        file.write(bytes, offset);
      },
      sync: () => Promise.resolve(),
      truncate: (sizeBytes) => file.truncate(sizeBytes),
      sizeBytes: () => file.sizeBytes(),
      close: () => file.close(),
    };
  },
  syncDirectory: () => Promise.resolve(),
};

/** What goes wrong at operation `at` (from 1). */
export type Fault =
  /** The operation fails with this code; with `forGood` so do all that follow it. */
  | { readonly at: number; readonly code: "ENOSPC" | "EIO"; readonly forGood: boolean }
  /** The process dies: nothing happens any more. With `losesUnsynced` the host dies with it. */
  | { readonly at: number; readonly crash: true; readonly losesUnsynced: boolean };

/** Thrown by every operation after a crash: the test's own, so that nothing takes it for a disk's error. */
export class Crashed extends Error {}

export class FaultyDisk implements Disk {
  /** Operations that changed something, or tried to, one line each: for messages. */
  readonly operations: string[] = [];
  readonly #fault: Fault | undefined;
  readonly #openFiles = new Set<FaultyFile>();
  /** Bytes as they were at the last sync, of files written since. */
  readonly #unsynced = new Map<string, Uint8Array | undefined>();
  #isDead = false;

  constructor(fault?: Fault) {
    this.#fault = fault;
  }

  get hasCrashed(): boolean {
    return this.#isDead;
  }

  /** Counts one operation and fails it where it is its turn; `torn`: what a crash still does of it. */
  step(operation: string, torn?: () => void): void {
    if (this.#isDead) throw new Crashed("the process is dead");
    this.operations.push(operation);
    const fault = this.#fault;
    if (!fault) return;
    const at = this.operations.length;
    if ("crash" in fault) {
      if (at < fault.at) return;
      torn?.();
      this.#die(fault.losesUnsynced);
      throw new Crashed(`the process died at operation ${at}, ${operation}`);
    }
    if (fault.forGood ? at < fault.at : at !== fault.at) return;
    torn?.();
    const text = fault.code === "ENOSPC" ? "No space left on device (os error 28)" : "Input/output error";
    throw Object.assign(new Error(`${fault.code}: ${text}`), { code: fault.code });
  }

  /** Closes what a dead process left open. */
  release(): void {
    for (const file of this.#openFiles) file.close();
  }

  noteChange(path: string): void {
    if (!this.#tracksSyncs() || this.#unsynced.has(path)) return;
    this.#unsynced.set(path, realDisk.stat(path) ? Deno.readFileSync(path) : undefined);
  }

  noteSync(path: string): void {
    this.#unsynced.delete(path);
  }

  noteClosed(file: FaultyFile): void {
    this.#openFiles.delete(file);
  }

  open(path: string, mode: OpenMode): DiskFile {
    if (mode === "create" || mode === "create_private") {
      this.step(`create ${path}`);
      this.noteChange(path);
    } else if (this.#isDead) throw new Crashed("the process is dead");
    const file = new FaultyFile(this, realDisk.open(path, mode), path);
    this.#openFiles.add(file);
    return file;
  }

  rename(from: string, to: string): void {
    this.step(`rename to ${to}`);
    realDisk.rename(from, to);
    if (!this.#unsynced.has(from)) return;
    this.#unsynced.set(to, this.#unsynced.get(from));
    this.#unsynced.delete(from);
  }

  makeDirectory(path: string): void {
    this.step(`mkdir ${path}`);
    realDisk.makeDirectory(path);
  }

  list(path: string): string[] {
    return realDisk.list(path);
  }

  stat(path: string) {
    return realDisk.stat(path);
  }

  remove(path: string): void {
    this.step(`remove ${path}`);
    realDisk.remove(path);
    this.#unsynced.delete(path);
  }

  // deno-lint-ignore require-await -- as the real one
  async syncDirectory(path: string): Promise<void> {
    this.step(`sync folder ${path}`);
  }

  tryLock(path: string): { release(): void } | undefined {
    return realDisk.tryLock(path);
  }

  freeBytes(path: string): number {
    return realDisk.freeBytes(path);
  }

  fileSystemType(path: string): string {
    return realDisk.fileSystemType(path);
  }

  #tracksSyncs(): boolean {
    return this.#fault !== undefined && "crash" in this.#fault && this.#fault.losesUnsynced;
  }

  /** Data that was never made durable is gone: files have again what they had at their last sync. */
  #die(losesUnsynced: boolean): void {
    this.#isDead = true;
    if (!losesUnsynced) return;
    for (const [path, bytes] of this.#unsynced) {
      if (realDisk.stat(path)) Deno.writeFileSync(path, bytes ?? new Uint8Array(0));
    }
  }
}

class FaultyFile implements DiskFile {
  readonly #disk: FaultyDisk;
  readonly #file: DiskFile;
  readonly #path: string;
  #isOpen = true;
  #writtenBytes = 0;

  constructor(disk: FaultyDisk, file: DiskFile, path: string) {
    this.#disk = disk;
    this.#file = file;
    this.#path = path;
  }

  read(into: Uint8Array, offset: number): number {
    return this.#file.read(into, offset);
  }

  /** What fails half-way has written half: disks that fill up do so too. */
  write(bytes: Uint8Array, offset: number): void {
    refuseRunaway(this.#path, this.#writtenBytes += bytes.length);
    if (!this.#disk.hasCrashed) this.#disk.noteChange(this.#path);
    const half = bytes.subarray(0, bytes.length >> 1);
    this.#disk.step(`write ${bytes.length} bytes to ${this.#path}`, () => this.#file.write(half, offset));
    this.#file.write(bytes, offset);
  }

  // deno-lint-ignore require-await -- as the real one
  async sync(): Promise<void> {
    this.#disk.step(`sync ${this.#path}`);
    this.#disk.noteSync(this.#path);
  }

  truncate(sizeBytes: number): void {
    if (!this.#disk.hasCrashed) this.#disk.noteChange(this.#path);
    this.#disk.step(`resize ${this.#path}`);
    this.#file.truncate(sizeBytes);
  }

  sizeBytes(): number {
    return this.#file.sizeBytes();
  }

  /** Closing twice is a fault of the caller: another file may have the number by then. */
  close(): void {
    if (!this.#isOpen) throw new Error(`closed twice: ${this.#path}`);
    this.#isOpen = false;
    this.#disk.noteClosed(this);
    this.#file.close();
  }
}
