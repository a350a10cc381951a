/** Every test vector, used in every way, reaches no file outside its store: tests/store/reach_test.ts has some of them. */
import { assert, assertEquals } from "@std/assert";
import { withFolder } from "../store/fixtures.ts";
import { strayingVectors, vectorNames } from "../store/reach.ts";

Deno.test("no store of the test vectors reaches a file outside itself, nor changes while it is read", () =>
  withFolder(async (folder) => {
    const names = vectorNames();
    assert(names.length >= 320);
    assertEquals(await strayingVectors(names, folder), []);
  }));
