/**
 * The main job as a person sees it who sits at a terminal: plan, acquire, Ctrl-C, the same command again, verify, export. Each
 * screen is read at the moment when it shows what is waited for.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { every, writeRandomBlocks } from "../e2e/images.ts";
import { outside } from "../outside.ts";
import { type Desks, SNAPSHOT, withDesks } from "./desk.ts";
import { Screen } from "./screen.ts";

const TOOLS = ["bash", "openssl", "tmux"];
const ACQUIRE = `coldcase acquire ${SNAPSHOT} --case 2026-114 --evidence 7`;
/** A progress line: what, how far, of how much. */
const UNDER_WAY = new RegExp(`^acquire ${SNAPSHOT} +\\d+ % {2}[\\d.]+ [KM]?i?B of 15 MiB`);

/** A volume of 30 blocks, over a link that lets one see it come. */
async function onSlowLink({ simulator, image }: Desks, rate: string): Promise<void> {
  const path = `${image}.slow`;
  await writeRandomBlocks(path, every(10, { from: 0, count: 30 }));
  await simulator.addSnapshot({ id: SNAPSHOT, path });
  simulator.setFaults(`bandwidth=${rate}`);
}

function assertNoProgressLeft(lines: readonly string[]): void {
  assertEquals(lines.filter((line) => /^(acquire|verify|export|count) .*(%|B)/.test(line)), []);
}

for (const [columns, rows] of [[80, 24], [120, 40]] as const) {
  outside(`the main job reads well at ${columns} x ${rows}`, TOOLS, () =>
    withDesks(async (desks) => {
      await onSlowLink(desks, "3MiB/s");
      const desk = await desks.desk("empty");
      await Screen.with(desks, { desk, columns, rows }, async (screen) => {
        const planned = await screen.run(`coldcase plan ${SNAPSHOT}`);
        assertEquals(planned.exitCode, 0);
        assertMatch(planned.lines.join("\n"), /^to fetch +30 blocks \(15 MiB\)$/m);
        assertMatch(planned.lines.join("\n"), /^cost +\$0\.00\d+ \(requests .*$/m);

        await screen.begin(ACQUIRE);
        await screen.shows(UNDER_WAY);
        const moved = await screen.shows(/ [1-9]\d? % {2}.* {2}[\d.]+ MiB\/s {2}\d+ s left/);
        assertEquals(moved.filter((line) => UNDER_WAY.test(line)).length, 1, moved.join("\n"));
        await screen.press("C-c");
        const stopped = await screen.ended();
        assertEquals(stopped.exitCode, 130);
        assertNoProgressLeft(stopped.lines);
        const words = stopped.lines.join("\n");
        assertMatch(words, /: NEW as ex-/);
        assertMatch(words, /^coldcase: {3}to fetch {3}30 blocks \(15 MiB\)$/m);
        assertMatch(words, /^coldcase: {3}cost {7}about \$0\.00\d+ \(requests .*, transfer .*\)$/m);
        assertMatch(words, /^\^?C?coldcase: stopping on Ctrl-C; once more stops at once$/m);
        assertMatch(words, new RegExp(`^coldcase: error: Interrupted while acquiring "${SNAPSHOT}"$`, "m"));
        assertMatch(
          stopped.lines.at(-1)!,
          /^coldcase: hint: What was recorded is saved: run the same command again/,
        );

        await screen.begin(ACQUIRE);
        await screen.shows(/: RESUMING as ex-/);
        desks.simulator.setFaults("");
        const resumed = await screen.ended();
        assertEquals(resumed.exitCode, 0);
        assertNoProgressLeft(resumed.lines);
        assertMatch(resumed.lines.join("\n"), /: RESUMING as ex-/);
        assertMatch(resumed.lines.join("\n"), /^coldcase: {3}held +\d+ blocks?/m);
        assertMatch(resumed.lines.join("\n"), /^ex-[0-9a-f]{16} {2}snap-\w+ {2}complete/m);

        const verified = await screen.run("coldcase verify");
        assertEquals(verified.exitCode, 0);
        assertNoProgressLeft(verified.lines);
        assertMatch(verified.lines.join(""), /VERIFIED: every byte of \d packs/);

        const exported = await screen.run("coldcase export 7 -o disk.img");
        assertEquals(exported.exitCode, 0);
        assertNoProgressLeft(exported.lines);
        assertMatch(exported.lines.join("\n"), /^ {2}SHA-256 [0-9a-f]{64}$/m);
        assert(Deno.statSync(`${desk}/disk.img`).size === 1 << 30);
      });
    }));
}

outside(
  "a second Ctrl-C stops at once, and nothing that was recorded is lost",
  TOOLS,
  () =>
    withDesks(async (desks) => {
      await onSlowLink(desks, "512KiB/s");
      const desk = await desks.desk("empty");
      await Screen.with(desks, { desk, columns: 80, rows: 24 }, async (screen) => {
        await screen.begin(ACQUIRE);
        await screen.shows(UNDER_WAY);
        await screen.press("C-c", "C-c");
        const stopped = await screen.ended();
        assertEquals(stopped.exitCode, 130);
        assertNoProgressLeft(stopped.lines);
        desks.simulator.setFaults("");
        const resumed = await screen.run(ACQUIRE);
        assertEquals(resumed.exitCode, 0, resumed.lines.join("\n"));
        assertEquals((await screen.run("coldcase verify -q")).exitCode, 0);
      });
    }),
);

/** Deno's own, which wipes its progress of loading modules from their source, on any terminal. */
const DENO_WIPE = "\x1b[0G\x1b[2K\x1b[J";
// deno-lint-ignore no-control-regex
const COLOR = /\x1b\[\d*(;\d+)*m/;

outside(
  "NO_COLOR leaves colors out, a dumb terminal gets lines, any other both colors and one line",
  TOOLS,
  () =>
    withDesks(async (desks) => {
      const seen = async (variables: Readonly<Record<string, string>>) => {
        await onSlowLink(desks, "3MiB/s");
        const desk = await desks.desk("empty");
        let sent = "";
        await Screen.with(desks, { desk, columns: 80, rows: 24, variables }, async (screen) => {
          const before = screen.sent().length;
          await screen.begin(`${ACQUIRE} -s evidence`);
          const { exitCode } = await screen.ended();
          assertEquals(exitCode, 0);
          sent = screen.sent().slice(before);
        });
        // From the program's first word: what a shell draws itself does not count.
        const told = sent.slice(sent.indexOf("coldcase: "), sent.lastIndexOf("\n"));
        return told.replaceAll(DENO_WIPE, "");
      };
      const plain = await seen({ NO_COLOR: "1", TERM: "screen" });
      assert(!COLOR.test(plain), plain);
      assert(plain.includes("\r\x1b[J"), "the progress line is not redrawn");
      const dumb = await seen({ TERM: "dumb" });
      assert(!dumb.includes("\x1b"), JSON.stringify(dumb));
      const colored = await seen({ TERM: "screen" });
      assertMatch(colored, COLOR);
      assert(colored.includes("\r\x1b[J"), "the progress line is not redrawn");
    }),
);

outside(
  "a reader that has enough is no failure",
  ["bash", "openssl", "ssh-keygen"],
  () =>
    withDesks(async (desks) => {
      const desk = await desks.desk("plain");
      for (
        const [typed, stderr] of [
          ["coldcase ls | head -n 1", ""],
          ["coldcase acquire --help | head -n 1", ""],
          ["coldcase export 7 -q -o - | head -c 1", "coldcase: warning: NOT ACQUIRED FROM AWS\n"],
        ] as const
      ) {
        const tried = await desks.try(typed, desk);
        assertEquals([tried.exitCode, tried.stderr], [0, stderr], typed);
        assert(tried.stdout.length > 0, typed);
      }
    }),
);
