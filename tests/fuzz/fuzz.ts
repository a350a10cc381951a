/**
 * Feeds damaged samples to every target and holds each to its laws: given or refused as documented, as it was read, within
 * its memory, and soon. Counts inputs and violations; a violation is printed with target, seed and the input itself,
 * and `COLDCASE_TARGET=… COLDCASE_INPUT=… deno task test tests/fuzz` runs it alone.
 */
import { assertEquals } from "@std/assert";
import { messageOf, OperatorError } from "../../src/errors.ts";
import { type Below, seededBelow } from "../seeded.ts";
import { mutate } from "./mutation.ts";
import type { Target } from "./target.ts";
import { Watchdog } from "./watchdog.ts";

/** Processor time of one input that is called a hang. The slowest honest one takes a fiftieth. */
const MAX_CPU_MS = 5000;
/** What a target may leave to the garbage collector, beside what one input takes. */
const GARBAGE_MIB = 256;
/** More are of one cause, mostly. */
const MAX_VIOLATIONS_EACH = 3;
const MIB = 1024 * 1024;

export type Outcome = "given" | "refused";

export interface Tally {
  readonly name: string;
  readonly inputs: number;
  readonly given: number;
  /** A line each. */
  readonly violations: readonly string[];
}

/** What became of an input. Throws where a law is broken. */
export async function outcomeOf(target: Target, bytes: Uint8Array): Promise<Outcome> {
  try {
    const parsed = target.parse(new Uint8Array(bytes));
    const again = parsed instanceof Promise ? await parsed : parsed;
    if (again) assertEquals(again.toHex(), bytes.toHex(), "it gives what it would not write");
    return "given";
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    const codes = target.codes ?? ["format", "integrity"];
    if (!codes.includes(error.code)) {
      throw new Error(`refused with ${error.code}, expected ${codes}`, { cause: error });
    }
    if (!error.message.startsWith("Cannot ") || error.message.length > 2000) {
      throw new Error(
        `refused with a message of ${error.message.length} characters: ${error.message.slice(0, 80)}`,
      );
    }
    return "refused";
  }
}

/** The input of a number: of a seed of its own, so that no input depends on those before it. */
export function inputOf(
  target: Target,
  place: { readonly seed: number; readonly number: number },
): Uint8Array {
  const below: Below = seededBelow(
    Math.imul(place.seed ^ nameNumber(target.name), 0x9e3779b1) + place.number * 7919,
  );
  const bytes = mutate(below, target);
  return target.mend && below(2) === 0 ? target.mend(bytes) : bytes;
}

function nameNumber(name: string): number {
  return [...name].reduce((sum, character) => Math.imul(sum, 31) + character.codePointAt(0)! | 0, 7);
}

async function fuzzTarget(
  target: Target,
  how: { readonly seed: number; readonly inputs: number; readonly watchdog: Watchdog },
): Promise<Tally> {
  const { seed, inputs, watchdog } = how;
  const violations: string[] = [];
  let given = 0;
  const peak = new PeakMemory();
  for (let number = 0; number < inputs && violations.length < MAX_VIOLATIONS_EACH; number++) {
    const bytes = inputOf(target, { seed, number });
    watchdog.watch(target.name, bytes);
    const { outcome, fault } = await judge(target, bytes);
    if (outcome === "given") given++;
    if (fault !== undefined) violations.push(violation(target, { seed, number, bytes, fault }));
  }
  watchdog.rest();
  const grownMib = peak.grownMib();
  const limitMib = GARBAGE_MIB + maxMemoryMib(target);
  if (grownMib > limitMib) {
    violations.push(`${target.name}: took ${grownMib} MiB at its peak, expected at most ${limitMib}`);
  }
  return { name: target.name, inputs, given, violations };
}

/** What an input came to, and the law that it broke: one of the parser's, or the bounds of time and memory. */
export async function judge(target: Target, bytes: Uint8Array): Promise<Pick<Met, "outcome" | "fault">> {
  const met = await meet(target, bytes);
  if (met.fault !== undefined || excess(target, met) === undefined) return met;
  // What the collector did meanwhile counts as the input's: once more, it would have to happen twice.
  return { outcome: met.outcome, fault: excess(target, await meet(target, bytes)) };
}

/** What an input came to, and took. */
interface Met {
  readonly outcome: Outcome | undefined;
  /** The law that it broke. */
  readonly fault: string | undefined;
  readonly cpuMs: number;
  readonly tookMib: number;
}

async function meet(target: Target, bytes: Uint8Array): Promise<Met> {
  const heldBefore = Deno.memoryUsage().external;
  const before = process.cpuUsage();
  const [outcome, fault] = await outcomeOf(target, bytes).then(
    (outcome) => [outcome, undefined] as const,
    // What broke a law says so by its message and where it came from.
    (error) => [undefined, error instanceof Error ? textOf(error) : String(error)] as const,
  );
  const { user, system } = process.cpuUsage(before);
  const tookMib = (Deno.memoryUsage().external - heldBefore) / MIB;
  return { outcome, fault, cpuMs: (user + system) / 1000, tookMib };
}

function textOf(error: Error): string {
  return `${error.stack}\n${messageOf(error.cause ?? "")}`;
}

function maxMemoryMib(target: Target): number {
  return target.maxMemoryMib ?? 16;
}

function excess(
  target: Target,
  took: { readonly cpuMs: number; readonly tookMib: number },
): string | undefined {
  if (took.cpuMs > MAX_CPU_MS) return `took ${Math.round(took.cpuMs)} ms of the processor`;
  return took.tookMib > maxMemoryMib(target)
    ? `took ${Math.round(took.tookMib)} MiB, expected at most ${maxMemoryMib(target)}`
    : undefined;
}

function violation(
  target: Target,
  at: { readonly seed: number; readonly number: number; readonly bytes: Uint8Array; readonly fault: string },
): string {
  return `${target.name}, input ${at.number}: ${at.fault}\n` +
    `COLDCASE_SEED=${at.seed} COLDCASE_TARGET="${target.name}" COLDCASE_INPUT=${at.bytes.toHex()}`;
}

/** The most memory that the process held since this was made, as Linux tells; nothing elsewhere. */
class PeakMemory {
  readonly #beforeMib: number;

  constructor() {
    if (Deno.build.os === "linux") Deno.writeTextFileSync("/proc/self/clear_refs", "5");
    this.#beforeMib = peakMib();
  }

  grownMib(): number {
    return Math.round(peakMib() - this.#beforeMib);
  }
}

function peakMib(): number {
  if (Deno.build.os !== "linux") return 0;
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(Deno.readTextFileSync("/proc/self/status"))?.[1] ?? 0) / 1024;
}

/** At least so many inputs, shared by weight; prints the counts and throws where a law was broken. */
export async function fuzzAll(targets: readonly Target[], inputs: number): Promise<readonly Tally[]> {
  const seed = Number(Deno.env.get("COLDCASE_SEED") ?? Date.now() % 2 ** 32);
  const weights = targets.reduce((sum, { weight = 1 }) => sum + weight, 0);
  const tallies: Tally[] = [];
  using watchdog = new Watchdog();
  for (const target of targets) {
    const share = Math.ceil(inputs * (target.weight ?? 1) / weights);
    const tally = await fuzzTarget(target, { seed, inputs: share, watchdog });
    tallies.push(tally);
    say(`${tally.name}: ${share} inputs, ${tally.given} given, ${tally.violations.length} violations`);
  }
  const violations = tallies.flatMap((tally) => tally.violations);
  const total = tallies.reduce((sum, tally) => sum + tally.inputs, 0);
  say(`${total} inputs of ${targets.length} parsers, ${violations.length} violations, COLDCASE_SEED=${seed}`);
  if (violations.length > 0) throw new Error(violations.join("\n\n"));
  return tallies;
}

function say(text: string): void {
  // deno-lint-ignore no-console
  console.log(text);
}
