/**
 * The real outside: this host's clock, randomness and local file systems. No policy: every error is the
 * platform's own. Nothing here knows what a store or an image is.
 */
import * as fs from "node:fs";
import * as os from "node:os";
import { executablePath } from "./build.ts";
import type { Clock, Disk, DiskFile, FileStat, HostFacts, OpenMode, Randomness, World } from "./model.ts";

/** The real world. Reads the environment and the host's facts when asked, not before. */
export function realWorld(): World {
  return {
    clock: realClock,
    randomness: realRandomness,
    disk: realDisk,
    get host() {
      return hostFacts();
    },
    environment: (name) => Deno.env.get(name) || undefined,
  };
}

export const realClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep(ms, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, ms);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  },
};

export const realRandomness: Randomness = {
  bytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
  fraction: () => Math.random(),
};

/** Open flags of `node:fs`, whose positional reads are the fast ones in Deno (measured), and modes of what is made. */
const OPEN_FLAGS = {
  read: ["r"],
  create: ["wx+"],
  create_private: ["wx+", 0o600],
  update: ["r+"],
} as const satisfies Record<OpenMode, readonly [flags: string, mode?: number]>;

class RealFile implements DiskFile {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  read(into: Uint8Array, offset: number): number {
    let done = 0;
    while (done < into.length) {
      const count = fs.readSync(this.#descriptor, into, done, into.length - done, offset + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  write(bytes: Uint8Array, offset: number): void {
    let done = 0;
    while (done < bytes.length) {
      done += fs.writeSync(this.#descriptor, bytes, done, bytes.length - done, offset + done);
    }
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) =>
      fs.fdatasync(this.#descriptor, (error) => error ? reject(error) : resolve())
    );
  }

  truncate(sizeBytes: number): void {
    fs.ftruncateSync(this.#descriptor, sizeBytes);
  }

  sizeBytes(): number {
    return fs.fstatSync(this.#descriptor).size;
  }

  close(): void {
    fs.closeSync(this.#descriptor);
  }
}

export const realDisk: Disk = {
  open(path, mode) {
    const [flags, permissions] = OPEN_FLAGS[mode];
    return new RealFile(fs.openSync(path, flags, permissions));
  },
  rename: (from, to) => Deno.renameSync(from, to),
  makeDirectory: (path, options) => Deno.mkdirSync(path, { recursive: true, ...options }),
  list: (path) => [...Deno.readDirSync(path)].map((entry) => entry.name),
  stat: statOf,
  remove: (path) => Deno.removeSync(path),
  async syncDirectory(path) {
    const directory = Deno.openSync(path, { read: true });
    try {
      await directory.sync();
    } finally {
      directory.close();
    }
  },
  tryLock(path) {
    const file = Deno.openSync(path, { read: true, write: true, create: true });
    let held = false;
    try {
      held = file.tryLockSync(true);
    } finally {
      if (!held) file.close();
    }
    return held ? { release: () => file.close() } : undefined;
  },
  freeBytes(path) {
    const facts = fs.statfsSync(path);
    return facts.bavail * facts.bsize;
  },
  fileSystemType: (path) => FILE_SYSTEM_NAMES[fs.statfsSync(path).type] ?? "unknown",
};

function statOf(path: string): FileStat | undefined {
  try {
    const facts = Deno.lstatSync(path);
    const kind = facts.isFile
      ? "file"
      : facts.isDirectory
      ? "directory"
      : facts.isSymlink
      ? "symlink"
      : facts.isBlockDevice || facts.isCharDevice
      ? "device"
      : "other";
    return { kind, sizeBytes: facts.size };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
}

/** `f_type` values of statfs(2), from Linux's `linux/magic.h`. */
const FILE_SYSTEM_NAMES: Readonly<Record<number, string>> = {
  0xef53: "ext4",
  0x01021994: "tmpfs",
  0x58465342: "xfs",
  0x9123683e: "btrfs",
  0x2fc12fc1: "zfs",
  0x6969: "nfs",
  0xff534d42: "cifs",
  0xfe534d42: "smb2",
  0x4d44: "vfat",
  0x2011bab0: "exfat",
  0x5346544e: "ntfs",
  0x65735546: "fuse",
  0x794c7630: "overlayfs",
  0xf2f52010: "f2fs",
  0x01021997: "9p",
};

/** As the system has it: anybody can say anything in USER. */
function userName(): string {
  try {
    return os.userInfo().username;
  } catch (error) {
    // A user id that no account has, as in a container.
    const uid = Deno.uid();
    if (uid === null) throw error;
    return `uid ${uid}`;
  }
}

function hostFacts(): HostFacts {
  return {
    hostname: Deno.hostname(),
    user: userName(),
    operatingSystem: `${Deno.build.os} ${Deno.osRelease()} ${Deno.build.arch}`,
    cpuCount: navigator.hardwareConcurrency,
    processId: Deno.pid,
    runtime: `Deno ${Deno.version.deno} (${Deno.build.target})`,
    programPath: executablePath(),
  };
}
