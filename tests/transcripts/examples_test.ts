/**
 * Every example of the help, typed as it stands into a shell at a desk where the files that it names lie. An example
 * that fails, or that needs what nobody told the reader, fails here.
 */
import { assert, assertEquals } from "@std/assert";
import { COMMANDS } from "../../src/commands/mod.ts";
import { outside } from "../outside.ts";
import { type Desks, type Laid, withDesks } from "./desk.ts";

/** What must lie on the desk; a plain store where nothing is said. By the start of the example. */
const DESKS: readonly (readonly [start: string, laid: Laid])[] = [
  ["plan", "empty"],
  ["acquire", "empty"],
  ["import", "imager"],
  ["keygen", "empty"],
  ["demo", "empty"],
  ["verify", "exported"],
  ["simulate", "exported"],
  ["recipients", "encrypted"],
  ["decrypt", "encrypted"],
];

/** How it ends where that is not 0: not every block of an imported folder has a file. */
const EXIT_CODES: Readonly<Record<string, number>> = { import: 3 };

/** These serve until they are stopped; that they listen is what is to be seen. */
const SERVES = /^coldcase simulate /;

/** What is wrong with an example; `undefined`: nothing. */
async function tryExample(desks: Desks, example: string): Promise<string | undefined> {
  const [, command = ""] = example.split(" ");
  const laid = DESKS.find(([start]) => command === start)?.[1] ?? "plain";
  const desk = await desks.desk(laid);
  const recipient = example.includes("age1…") ? await desks.recipient(desk) : "";
  const typed = example.replaceAll("age1…", recipient);
  const tried = await desks.try(SERVES.test(example) ? served(typed) : typed, desk);
  const said = tried.stdout + tried.stderr;
  if (tried.exitCode === (EXIT_CODES[command] ?? 0) && !/undefined|\[object/.test(said)) return undefined;
  return `${example}: exit ${tried.exitCode}\n${said}`;
}

/** Stops the server with a signal, once it says where it listens. */
function served(typed: string): string {
  return `cp disk.img a.img
set -m # its own process group, to which the signal goes
mkfifo said
${typed} > said & server=$!
while read -r line; do case $line in *http://127.0.0.1:*) kill -TERM -- -$server; break ;; esac; done < said
wait $server || [[ $? == 130 || $? == 143 ]]`;
}

outside(
  "every example of the help does what it says",
  ["bash", "openssl", "python3", "py:cryptography", "ssh-keygen", "zstd"],
  () =>
    withDesks(async (desks) => {
      const failures: string[] = [];
      let examples = 0;
      for (const { load } of COMMANDS) {
        for (const { command } of (await load()).examples) {
          examples++;
          const failure = await tryExample(desks, command);
          if (failure !== undefined) failures.push(failure);
        }
      }
      assert(examples >= COMMANDS.length);
      assertEquals(failures, []);
    }),
);
