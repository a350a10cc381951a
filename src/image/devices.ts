/**
 * What Linux says of a block device: how big it is and who uses it. Read from `/sys/dev/block` and
 * `/proc/self/mountinfo` (proc_pid_mountinfo(5), kernel's Documentation/ABI/stable/sysfs-block). A mount in
 * another mount namespace is not seen. It opens no device.
 */
import { OperatorError } from "../errors.ts";
import { diskFailure } from "./failures.ts";

/** The kernel counts sizes in `/sys` in 512-byte units, whatever the device's sector size. */
const SYS_SECTOR_BYTES = 512;

/** A block device at one moment. */
export interface DeviceFacts {
  readonly sizeBytes: number;
  readonly isReadOnly: boolean;
  /** Who uses it or a partition of it, a phrase each ("/dev/sdb1 is mounted on /mnt"); empty where nobody does. */
  readonly uses: readonly string[];
}

/** The host's devices. Tests give their own. */
export interface DeviceHost {
  /** `path` with all symbolic links followed. */
  resolve(path: string): string;
  /** Throws `usage` where `path` is no block device, or may not be looked at. */
  inspect(path: string): DeviceFacts;
}

export const realDeviceHost: DeviceHost = {
  resolve(path) {
    try {
      return Deno.realPathSync(path);
    } catch (error) {
      throw diskFailure("follow", path, error);
    }
  },
  inspect(path) {
    try {
      return inspectDevice(path);
    } catch (error) {
      throw diskFailure("look at device", path, error);
    }
  },
};

function inspectDevice(path: string): DeviceFacts {
  const stat = Deno.statSync(path);
  if (!stat.isBlockDevice) {
    throw new OperatorError("usage", `Cannot use "${path}": it is no block device`, {
      hints: ["Name a file or a block device, or - for standard output."],
    });
  }
  const folder = `${LINUX.sys}/dev/block/${deviceNumber(stat.rdev)}`;
  return {
    sizeBytes: Number(readLine(`${folder}/size`)) * SYS_SECTOR_BYTES,
    isReadOnly: readLine(`${folder}/ro`) !== "0",
    uses: deviceUses(path, folder),
  };
}

/** `major:minor` of a device number as Linux packs it (glibc's gnu_dev_major, gnu_dev_minor); "" where there is none. */
export function deviceNumber(packed: number | null): string {
  if (packed === null) return "";
  const [high, low] = [Math.floor(packed / 2 ** 32), packed % 2 ** 32];
  const major = ((low >>> 8) & 0xfff) + (high & ~0xfff);
  const minor = (low & 0xff) + (((low >>> 20) << 8) & 0xfff00) + (high & 0xfff) * 2 ** 20;
  return `${major}:${minor}`;
}

/** Where the kernel shows itself. Tests show it a tree of their own. */
export interface KernelRoots {
  readonly sys: string;
  readonly proc: string;
}

const LINUX: KernelRoots = { sys: "/sys", proc: "/proc" };

/** Who uses the device `path`, whose folder in sysfs is `folder`, or a partition of it. */
export function deviceUses(path: string, folder: string, roots: KernelRoots = LINUX): string[] {
  // A disk is in use where one of its partitions is.
  const parts = new Map([[readLine(`${folder}/dev`), path]]);
  for (const entry of Deno.readDirSync(folder)) {
    if (!exists(`${folder}/${entry.name}/partition`)) continue;
    parts.set(readLine(`${folder}/${entry.name}/dev`), `/dev/${entry.name}`);
  }
  const uses: string[] = [];
  for (const mount of parseMounts(Deno.readTextFileSync(`${roots.proc}/self/mountinfo`))) {
    // Btrfs and others mount under a number of their own: there the source's path tells.
    const part = parts.get(mount.device) ?? parts.get(numberOf(mount.source) ?? "");
    if (part !== undefined) uses.push(`${part} is mounted on ${mount.mountPoint}`);
  }
  for (const line of Deno.readTextFileSync(`${roots.proc}/swaps`).split("\n").slice(1)) {
    const source = unescapeOctal(line.split(/\s/)[0]!);
    const part = parts.get(numberOf(source) ?? "");
    if (part !== undefined) uses.push(`${part} is swap space`);
  }
  for (const [number, part] of parts) {
    const holders = `${roots.sys}/dev/block/${number}/holders`;
    if (!exists(holders)) continue;
    for (const holder of Deno.readDirSync(holders)) uses.push(`${part} is held by ${holder.name}`);
  }
  return uses;
}

/** One line of mountinfo. */
export interface Mount {
  /** `major:minor` of the mounted file system. */
  readonly device: string;
  readonly mountPoint: string;
  readonly source: string;
}

/** `36 35 98:0 /root /mount rw,noatime shared:1 - ext4 /dev/sda1 rw`: the fields before `-` vary in number. */
export function parseMounts(text: string): Mount[] {
  return text.split("\n").flatMap((line) => {
    const [before, after] = line.split(" - ");
    const fields = before?.split(" ") ?? [];
    const source = after?.split(" ")[1];
    if (fields.length < 6 || source === undefined) return [];
    return [{ device: fields[2]!, mountPoint: unescapeOctal(fields[4]!), source: unescapeOctal(source) }];
  });
}

/** Space, tab, newline and backslash are `\040`, `\011`, `\012` and `\134` there. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}

/** `major:minor` of a path that is a block device, else `undefined` ("tmpfs", a swap file, a path long gone). */
function numberOf(source: string): string | undefined {
  if (!source.startsWith("/") || !exists(source)) return undefined;
  const stat = Deno.statSync(source);
  return stat.isBlockDevice ? deviceNumber(stat.rdev) : undefined;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}

function readLine(path: string): string {
  return Deno.readTextFileSync(path).trim();
}
