/**
 * Facts about the machine that numbers are worth nothing without: processor, memory, kernel, file systems, and
 * the versions of all programs that take part. Reads only; what can't be found is said to be unknown.
 */
import { toolPath } from "./programs.ts";

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly deno: string;
  /** Commit of the checkout, with `+` where files differ from it. */
  readonly commit: string;
  /** Name and first line of what it says of its version. */
  readonly tools: Readonly<Record<string, string>>;
  /** Over the last minute, when the benchmark began: others' work shows here. */
  readonly loadAtStart: number;
}

/** A file system, as the kernel names it. */
export interface Mount {
  readonly mountPoint: string;
  readonly fileSystem: string;
  readonly device: string;
}

const TOOLS: Readonly<Record<string, readonly string[]>> = {
  nginx: ["-v"],
  cc: ["--version"],
  sha256sum: ["--version"],
  cp: ["--version"],
  openssl: ["version"],
  zstd: ["--version"],
  age: ["--version"],
  python3: ["--version"],
};

export async function machineFacts(checkout: string): Promise<Machine> {
  const tools: Record<string, string> = {};
  for (const [name, args] of Object.entries(TOOLS)) {
    const path = toolPath(name);
    if (path !== undefined) tools[name] = await firstLine(path, args);
  }
  const coldsnap = toolPath("coldsnap");
  // It has no way to ask; cargo's record of installed programs has.
  if (coldsnap !== undefined) tools["coldsnap"] = coldsnapVersion(coldsnap);
  const git = toolPath("git");
  const commit = git === undefined ? "unknown" : await commitOf(git, checkout);
  return {
    processor: /^model name\s*:\s*(.*)$/m.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1] ?? "unknown",
    cores: navigator.hardwareConcurrency,
    memoryBytes: Deno.systemMemoryInfo().total,
    kernel: Deno.osRelease(),
    deno: Deno.version.deno,
    commit,
    tools,
    loadAtStart: Deno.loadavg()[0]!,
  };
}

/** The file system that `folder` lies on. */
export function mountOf(folder: string, mountInfo = Deno.readTextFileSync("/proc/self/mountinfo")): Mount {
  const path = Deno.realPathSync(folder);
  return mountFor(path, mountInfo);
}

/** The same of a path without symbolic links and a text as `/proc/self/mountinfo` has it: the longest match, the last. */
export function mountFor(path: string, mountInfo: string): Mount {
  let found: Mount = { mountPoint: "/", fileSystem: "unknown", device: "unknown" };
  for (const line of mountInfo.split("\n")) {
    // 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue (proc(5))
    const [before, after] = line.split(" - ");
    const written = before?.split(" ")[4];
    const [fileSystem, device] = after?.split(" ") ?? [];
    if (written === undefined || fileSystem === undefined || device === undefined) continue;
    const mountPoint = written.replace(/\\(\d{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)));
    const isAbove = mountPoint === "/" || path === mountPoint || path.startsWith(`${mountPoint}/`);
    if (isAbove && mountPoint.length >= found.mountPoint.length) found = { mountPoint, fileSystem, device };
  }
  return found;
}

async function firstLine(program: string, args: readonly string[]): Promise<string> {
  const output = await new Deno.Command(program, { args: [...args], stdin: "null" }).output();
  const text = new TextDecoder().decode(output.stdout) + new TextDecoder().decode(output.stderr);
  return text.trim().split("\n")[0] ?? "";
}

function coldsnapVersion(path: string): string {
  try {
    const record = Deno.readTextFileSync(path.replace(/\/bin\/coldsnap$/, "/.crates.toml"));
    return /^"coldsnap ([^ ]+) /m.exec(record)?.[1] ?? "unknown";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "unknown";
    throw error;
  }
}

async function commitOf(git: string, checkout: string): Promise<string> {
  const commit = await firstLine(git, ["-C", checkout, "rev-parse", "--short", "HEAD"]);
  const changes = await firstLine(git, ["-C", checkout, "status", "--porcelain", "--untracked-files=no"]);
  return changes === "" ? commit : `${commit}+`;
}
