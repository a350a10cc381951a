/**
 * Measures one whole process: wall time, CPU time and peak memory, as the kernel counted them. Judges no result
 * and repeats nothing.
 *
 * Deno does not tell what a child used, so a few lines of Python stand between: they start the program, wait
 * for it, and read getrusage(RUSAGE_CHILDREN). The clock runs there, so that Python's own start is not in the
 * time; its memory before exec makes a floor of some 10 MiB under the peak.
 */
import { toolPath } from "./programs.ts";
import type { Sample } from "./statistics.ts";

const ACCOUNTANT = `
import json, os, resource, signal, subprocess, sys, time
def cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
def machine():
    with open("/proc/stat") as file:
        user, nice, system, idle, iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
before, busy = cpu(), machine()
begin = time.monotonic()
child = subprocess.Popen(sys.argv[2:], start_new_session=True)
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, lambda *_: os.killpg(child.pid, signal.SIGKILL))
code = child.wait()
wall = time.monotonic() - begin
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
with open(sys.argv[1], "w") as file:
    json.dump({"code": code, "wall": wall, "cpu": cpu() - before, "kib": peak, "machine": machine() - busy}, file)
`;

export interface Job {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Where stdout goes: kept, or to /dev/null. */
  readonly stdout: "kept" | "null";
}

export interface Measured extends Sample {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The accountant at work, of whom there is one at most. */
let running: Deno.ChildProcess | undefined;
let isStopped = false;

/** Ends the program under way with all that it started; no other begins, and no `measure` returns any more. */
export async function stopMeasuring(): Promise<void> {
  isStopped = true;
  if (running === undefined) return;
  running.kill("SIGTERM");
  await running.status;
}

/** Runs `job` once what earlier ones wrote is on the disk. `folder` is for a small file. Throws where it can't be started. */
export async function measure(job: Job, folder: string): Promise<Measured> {
  const python = toolPath("python3");
  if (python === undefined) {
    throw new Error("Cannot measure: python3 is not found, expected it for the accounting of CPU and memory");
  }
  await new Deno.Command("sync").output();
  const report = `${folder}/usage.json`;
  await neverIfStopped();
  const child = running = new Deno.Command(python, {
    args: ["-c", ACCOUNTANT, report, ...job.argv],
    clearEnv: true,
    env: { ...job.env },
    stdin: "null",
    stdout: job.stdout === "kept" ? "piped" : "null",
    stderr: "piped",
  }).spawn();
  const output = await child.output();
  running = undefined;
  await neverIfStopped();
  const stderr = new TextDecoder().decode(output.stderr);
  if (!output.success) throw new Error(`Cannot measure ${job.argv.join(" ")}: ${stderr}`);
  const used: { code: number; wall: number; cpu: number; kib: number; machine: number } = JSON.parse(
    Deno.readTextFileSync(report),
  );
  Deno.removeSync(report);
  return {
    exitCode: used.code,
    wallSeconds: used.wall,
    cpuSeconds: used.cpu,
    othersCpuSeconds: Math.max(0, used.machine - used.cpu),
    peakMemoryBytes: used.kib * 1024,
    stdout: job.stdout === "kept" ? new TextDecoder().decode(output.stdout) : "",
    stderr,
  };
}

/** Whoever stopped it is about to end this process. */
function neverIfStopped(): Promise<void> {
  return isStopped ? new Promise(() => undefined) : Promise.resolve();
}
