/**
 * The operator's error and its exit codes are a contract with scripts: the numbers are written out again here,
 * and so is the order in which one exit code outweighs another.
 */
import { assertEquals, assertInstanceOf } from "@std/assert";
import { EXIT_CODES, gravestExitCode, messageOf, OperatorError } from "../src/errors.ts";

Deno.test("EXIT_CODES are those of the contract", () => {
  assertEquals({ ...EXIT_CODES }, {
    internal: 1,
    usage: 2,
    incomplete: 3,
    budget: 4,
    not_found: 10,
    locked: 11,
    identity: 12,
    access: 13,
    source: 14,
    storage: 15,
    integrity: 20,
    format: 21,
    interrupted: 130,
  });
});

Deno.test("gravestExitCode() follows the order 1, 20, 21, 15, 13, 14, 12, 10, 3", () => {
  const order = [1, 20, 21, 15, 13, 14, 12, 10, 3];
  assertEquals([gravestExitCode([]), gravestExitCode([0, 0]), gravestExitCode([0, 3, 0])], [0, 0, 3]);
  for (const [index, graver] of order.entries()) {
    for (const lighter of order.slice(index)) {
      assertEquals(gravestExitCode([0, lighter, graver]), graver);
      assertEquals(gravestExitCode([graver, lighter]), graver);
    }
  }
});

Deno.test("gravestExitCode() lets a code that ends a command at once win", () => {
  for (const ending of [2, 4, 11, 130]) assertEquals(gravestExitCode([20, ending, 3]), ending);
});

Deno.test("OperatorError carries code, hints, facts and cause", () => {
  const cause = new Error("403");
  const error = new OperatorError("access", "Cannot read", {
    hints: ["ask"],
    facts: { blockIndex: 5 },
    cause,
  });
  assertInstanceOf(error, Error);
  assertEquals([error.name, error.code, error.exitCode, error.message], [
    "OperatorError",
    "access",
    13,
    "Cannot read",
  ]);
  assertEquals([error.hints, error.facts, error.cause], [["ask"], { blockIndex: 5 }, cause]);
  const plain = new OperatorError("source", "Cannot list");
  assertEquals([plain.hints, plain.facts, "cause" in plain], [[], {}, false]);
});

Deno.test("messageOf() takes whatever was thrown", () => {
  assertEquals([messageOf(new Error("a")), messageOf("b"), messageOf(undefined), messageOf(null)], [
    "a",
    "b",
    "undefined",
    "null",
  ]);
});
