/**
 * README is true: its command reference is that of the program, and its commands, typed at a desk where what they name
 * lies, do what they say. A block of commands says in a comment above it what lies on the desk, or why it isn't tried.
 */
import { assert, assertEquals } from "@std/assert";
import { partsOf, referenceRows } from "../../scripts/reference.ts";
import { outside } from "../outside.ts";
import { type Laid, withDesks } from "./desk.ts";

const README = Deno.readTextFileSync(new URL("../../README.md", import.meta.url));

/** A block of commands and what stands above it. */
const BLOCK = /(?:<!-- (at a desk: (\S+)|not tried: [^>]+) -->\n\n)?```sh\n([\s\S]*?)```/g;

Deno.test("README's command reference is made from the commands' tables", async () => {
  assertEquals(partsOf(README).rows, await referenceRows());
});

Deno.test("each block of commands in README is tried, or says why not", () => {
  for (const [block, said] of README.matchAll(BLOCK)) assert(said !== undefined, block);
});

outside("the demo prints what README says, but for its numbers", ["bash"], () =>
  withDesks(async (desks) => {
    const { exitCode, stdout, stderr } = await desks.try("coldcase demo", await desks.desk("empty"));
    assertEquals(exitCode, 0, stderr);
    const said = README.match(/<!-- what demo prints -->\n\n```text\n([\s\S]*?)```/)?.[1] ?? "";
    const lines = (text: string) => text.split("\n").map((line) => line.replace(/\d+(\.\d+)?/g, "N").trim());
    const [, printed = ""] = stdout.split("no AWS account is used.\n\n");
    assertEquals(lines(said), lines(printed.replace(/That took .*\n/, "")));
  }));

outside(
  "the commands of README do what they say",
  ["age", "bash", "grep", "openssl", "python3", "py:cryptography", "ssh-keygen"],
  () =>
    withDesks(async (desks) => {
      const failures: string[] = [];
      let blocks = 0;
      for (const [, , laid, commands = ""] of README.matchAll(BLOCK)) {
        if (laid === undefined) continue;
        blocks++;
        const tried = await desks.try(commands, await desks.desk(laid as Laid));
        if (tried.exitCode !== 0) failures.push(`${commands}exit ${tried.exitCode}\n${tried.stderr}`);
      }
      assert(blocks >= 3, `${blocks} blocks`);
      assertEquals(failures, []);
    }),
);
