/** What an entry of the custody log has room for. */
import { assertEquals } from "@std/assert";
import { factsOfEntry } from "../../src/commands/_custody.ts";
import { MAX_CUSTODY_FACTS } from "../../src/format/custody.ts";

const manyOf = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, number) => [`ex-${number}`, number === 90 ? 20 : 0]));

Deno.test("factsOfEntry() leaves a result alone that an entry has room for", () => {
  const facts = { level: "full", ...manyOf(MAX_CUSTODY_FACTS - 1) };
  assertEquals(factsOfEntry(facts), facts);
});

Deno.test("factsOfEntry() leaves out what ended well, and says how much", () => {
  const facts = factsOfEntry({ level: "full", ...manyOf(100), wholeStore: false });
  assertEquals(Object.keys(facts).length, MAX_CUSTODY_FACTS);
  assertEquals([facts["level"], facts["ex-90"], facts["wholeStore"]], ["full", 20, false]);
  assertEquals(facts["facts left out"], 102 - (MAX_CUSTODY_FACTS - 1));
});
