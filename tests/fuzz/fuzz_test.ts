/**
 * Every parser of bytes from outside gets damaged inputs, 60,000 in all, another 60,000 in each run, and keeps its laws
 * (target.ts). A million: tests/slow/fuzz_test.ts.
 */
import { assert, assertEquals } from "@std/assert";
import { closeAws } from "./aws.ts";
import { fuzzAll, inputOf, judge, outcomeOf } from "./fuzz.ts";
import { law, type Target } from "./target.ts";
import { TARGETS } from "./targets.ts";

const INPUTS = 60_000;

Deno.test("every parser gives its samples, and keeps its laws on inputs that broke them once", async () => {
  for (const target of TARGETS) {
    for (const bytes of target.samples) assertEquals(await outcomeOf(target, bytes), "given", target.name);
    for (const bytes of target.regressions ?? []) {
      const { fault } = await judge(target, bytes);
      assertEquals(fault, undefined, `${target.name}, ${bytes.toHex().slice(0, 2000)}`);
    }
  }
  await closeAws();
});

Deno.test("every parser keeps its laws on 60,000 damaged inputs", async () => {
  const [name, input] = [Deno.env.get("COLDCASE_TARGET"), Deno.env.get("COLDCASE_INPUT")];
  if (name !== undefined && input !== undefined) {
    const target = TARGETS.find((one) => one.name === name);
    assert(target, `no parser is called "${name}"`);
    await outcomeOf(target, Uint8Array.fromHex(input));
  } else {
    const tallies = await fuzzAll(TARGETS, INPUTS);
    const given = tallies.reduce((sum, tally) => sum + tally.given, 0);
    assert(given > INPUTS / 100, `only ${given} inputs were taken: the damage is too coarse`);
    assert(given < INPUTS / 2, `${given} inputs were taken: the damage is too fine`);
  }
  await closeAws();
});

Deno.test("the same seed makes the same inputs, and another one others", () => {
  for (const target of TARGETS) {
    const inputs = [1, 1, 2].map((seed) => inputOf(target, { seed, number: 3 }).toHex());
    assertEquals(inputs[0], inputs[1], target.name);
    const others = Array.from({ length: 20 }, (_, number) => inputOf(target, { seed: 2, number }).toHex());
    assert(new Set(others).size > 10, `${target.name} gets the same input again and again`);
  }
});

/** A parser that breaks a law at one kind of input. */
function broken(parse: Target["parse"]): Target {
  return { name: "broken", kind: "bytes", samples: [new Uint8Array(64)], parse };
}

async function violationOf(target: Target): Promise<string> {
  try {
    await fuzzAll([target], 50);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return "none";
}

Deno.test("the fuzzer tells a crash, another encoding, a law of the target's own, and memory that is taken", async () => {
  // Held, so that the collector can't hide it.
  const kept: Uint8Array[] = [];
  const cases: readonly (readonly [Target, string])[] = [
    [broken((bytes) => void new DataView(bytes.buffer).getUint32(bytes.length + 8)), "RangeError"],
    [broken((bytes) => new Uint8Array(bytes.length + 1)), "gives what it would not write"],
    [broken(() => law(false, "never")), "broken law: never"],
    [broken(() => void kept.push(new Uint8Array(64 * 1024 * 1024))), "MiB, expected at most 16"],
    [broken(() => Promise.reject(new TypeError("later"))), "TypeError: later"],
  ];
  for (const [target, part] of cases) {
    const violation = await violationOf(target);
    assert(violation.includes(part), violation.slice(0, 400));
    assert(violation.includes("COLDCASE_INPUT="), "it does not show the input");
  }
});

Deno.test("Watchdog ends a process whose input never ends, and shows the input", async () => {
  const script = `
    import { Watchdog } from ${JSON.stringify(new URL("./watchdog.ts", import.meta.url).href)};
    const watchdog = new Watchdog({ biteAfterMs: 1 });
    watchdog.watch("endless", Uint8Array.of(0xab, 0xcd));
    for (;;);`;
  const { signal, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", script],
    stdout: "null",
    stderr: "piped",
  }).output();
  assertEquals(signal, "SIGKILL");
  assertEquals(
    new TextDecoder().decode(stderr).trim(),
    'endless hangs: COLDCASE_TARGET="endless" COLDCASE_INPUT=abcd',
  );
});
