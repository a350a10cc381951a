/**
 * Runs a scenario again and again, and lets another operation of its disk fail each time: an operator's error of the
 * right code or a completed run, a store in which all that is visible is whole, nothing left open, and a second run that
 * completes. Scenarios are those of tests/crash.
 */
import { OperatorError } from "../../src/errors.ts";
import { CrashDisk, FileNode, FolderNode } from "../crash/crash_disk.ts";
import type { Scenario } from "../crash/explore.ts";
import { type Fault, FaultDisk, type FaultName, FAULTS } from "./fault_disk.ts";

export interface FaultCounts {
  readonly faults: number;
  readonly violations: readonly string[];
}

/** More are of one cause, mostly. */
const MAX_VIOLATIONS = 8;
/**
 * Names of encrypted files are random: where two begin alike, a run makes one folder fewer than the one that was counted. So many
 * operations of one folder: looked for, made, synced, each twice at most.
 */
const FOLDER_OPERATIONS = 6;
const promise = () => undefined;

function copyOf(folder: FolderNode): FolderNode {
  const copy = new FolderNode();
  for (const [name, node] of folder.entries) {
    copy.entries.set(name, node.kind === "file" ? new FileNode(node.content.copy()) : copyOf(node));
  }
  return copy;
}

/**
 * @param options `stride`: of so many operations one fails, with another fault than the one before; 1: each, with every fault
 * that can happen to it.
 */
export async function failEach(
  scenario: Scenario,
  options: { readonly stride: number; readonly offset: number },
): Promise<FaultCounts> {
  const prepared = new CrashDisk();
  await scenario.prepare(prepared);
  const whole = new CrashDisk(copyOf(prepared.root));
  await scenario.run({ disk: whole, seed: 1, promise });
  const essence = await scenario.essence(whole);
  const violations: string[] = [];
  let faults = 0;
  for (const [number, name] of FAULTS.entries()) {
    const counted = new FaultDisk(new CrashDisk(copyOf(prepared.root)), undefined, name);
    await scenario.run({ disk: counted, seed: 1, promise });
    const first = 1 + (options.offset + number) % options.stride;
    for (let at = first; at <= counted.count && violations.length < MAX_VIOLATIONS; at += options.stride) {
      for (const isForGood of [false, true]) {
        const fault = { at, name, isForGood };
        const met = await meet(scenario, { root: copyOf(prepared.root), fault, essence });
        if (met.isTooLate) continue;
        faults++;
        if (met.violation !== undefined) {
          violations.push(`${scenario.name}, ${JSON.stringify(fault)}: ${met.violation}`);
        }
      }
    }
  }
  return { faults, violations };
}

interface Met {
  /** The run ended a few operations before that of the fault. */
  readonly isTooLate: boolean;
  /** What is wrong with how the fault was met; `undefined`: nothing. */
  readonly violation: string | undefined;
}

async function meet(
  scenario: Scenario,
  { root, fault, essence }: {
    readonly root: FolderNode;
    readonly fault: Fault;
    readonly essence: string;
  },
): Promise<Met> {
  const disk = new FaultDisk(new CrashDisk(root), fault);
  const error = await scenario.run({ disk, seed: 1, promise }).then(() => undefined, (thrown) => thrown);
  const isTooLate = disk.failed === undefined && error === undefined &&
    disk.count >= fault.at - FOLDER_OPERATIONS;
  const violation = isTooLate
    ? undefined
    : await violationOf(scenario, { disk, root, fault, error, essence });
  return { isTooLate, violation };
}

async function violationOf(
  scenario: Scenario,
  { disk, root, fault, error, essence }: {
    readonly disk: FaultDisk;
    readonly root: FolderNode;
    readonly fault: Fault;
    readonly error: unknown;
    readonly essence: string;
  },
): Promise<string | undefined> {
  const said = `at ${disk.failed}`;
  if (disk.failed === undefined) return "it did not happen";
  if (error !== undefined && !isRight(error, fault.name)) return `${said}: came out as ${describe(error)}`;
  if (disk.held.length > 0) return `${said}: left open: ${disk.held}`;
  try {
    const after = new CrashDisk(root);
    await scenario.look(after);
    if (error === undefined) await requireEssence(scenario, { disk: after, essence });
    await scenario.run({ disk: after, seed: 2, promise });
    await requireEssence(scenario, { disk: after, essence });
    return undefined;
  } catch (thrown) {
    return `${said} (${error === undefined ? "completed" : describe(error)}): afterwards ${describe(thrown)}`;
  }
}

async function requireEssence(
  scenario: Scenario,
  { disk, essence }: { readonly disk: CrashDisk; readonly essence: string },
): Promise<void> {
  const found = await scenario.essence(disk);
  if (found !== essence) throw new Error(`${found}\nis not\n${essence}`);
}

const CODES: Readonly<Record<FaultName, string>> = {
  EIO: "EIO",
  ENOSPC: "ENOSPC",
  EROFS: "EROFS",
  short: "ENOSPC",
};

/** Exit code 15, what the platform said, and what to do. */
function isRight(error: unknown, name: FaultName): boolean {
  if (!(error instanceof OperatorError) || error.code !== "storage") return false;
  return error.message.includes(CODES[name]) && error.hints.length > 0;
}

function describe(error: unknown): string {
  if (error instanceof OperatorError) {
    return `${error.code}: ${error.message} [${error.hints}]\n${error.stack}`;
  }
  return error instanceof Error ? error.stack ?? error.message : String(error);
}

/** Tells the counts; throws where there was a violation. */
export async function failEachOf(
  scenarios: readonly (readonly [Scenario, stride: number])[],
): Promise<void> {
  const seed = Number(Deno.env.get("COLDCASE_SEED") ?? Date.now() % 2 ** 32);
  const violations: string[] = [];
  for (const [scenario, stride] of scenarios) {
    const found = await failEach(scenario, { stride, offset: seed % stride });
    // deno-lint-ignore no-console
    console.log(
      `${scenario.name}: ${found.faults} faults, ${found.violations.length} violations, COLDCASE_SEED=${seed}`,
    );
    violations.push(...found.violations);
  }
  if (violations.length > 0) throw new Error(violations.join("\n\n"));
}
