/**
 * The code of an MFA device, asked for at a terminal: at the start, after one that AWS does not take, and in mid-run when
 * the session ends, while a progress line is on the screen. What is typed is never shown.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { every, writeRandomBlocks } from "../e2e/images.ts";
import { outside, toolPath } from "../outside.ts";
import { filesBelow } from "../store/fixtures.ts";
import { type Desks, SNAPSHOT, withDesks } from "./desk.ts";
import { Screen } from "./screen.ts";

const TOOLS = ["bash", "openssl", "tmux"];
const DEVICE = "arn:aws:iam::123456789012:mfa/examiner";
const ROLE = "arn:aws:iam::123456789012:role/responder";
const CODES = ["246801", "135792"];
const ENDPOINT = {
  roles: [{ arn: ROLE, needsMfa: true }],
  mfaDevices: [{ serial: DEVICE, codes: CODES }],
};
const WITH_ROLE = `--role-arn ${ROLE} --mfa-serial ${DEVICE}`;
const ACQUIRE = `coldcase acquire ${SNAPSHOT} --case 2026-114 --concurrency 2 ${WITH_ROLE}`;
const UNDER_WAY = new RegExp(`^acquire ${SNAPSHOT} +\\d+ % {2}`);

/** At a terminal where nobody could read the codes afterwards. */
async function atTerminal(
  act: (screen: Screen, desks: Desks, desk: string) => Promise<void>,
): Promise<void> {
  await withDesks(async (desks) => {
    const desk = await desks.desk("empty");
    await Screen.with(desks, { desk, columns: 100, rows: 30 }, async (screen) => {
      await act(screen, desks, desk);
      const sent = screen.sent();
      for (const code of [...CODES, "999999"]) assert(!sent.includes(code), "a code was shown");
    });
  }, ENDPOINT);
}

/** The last line is the question, with nothing after it. */
const asked = (lines: readonly string[]) =>
  new RegExp(`Code of MFA device ${DEVICE}: $`).test(lines.at(-1) ?? "");

function assertNoProgress(lines: readonly string[]): void {
  assertEquals(lines.filter((line) => UNDER_WAY.test(line)), []);
}

/** Begins an acquisition, and lets its session end on the way. */
async function untilSessionEnds(screen: Screen, { simulator, image }: Desks): Promise<string[]> {
  const path = `${image}.slow`;
  await writeRandomBlocks(path, every(10, { from: 0, count: 30 }));
  await simulator.addSnapshot({ id: SNAPSHOT, path });
  simulator.setFaults("bandwidth=2MiB/s");
  await screen.begin(`(echo $BASHPID > shell; ${ACQUIRE})`);
  await screen.until(asked, "the first question");
  await screen.press(CODES[0]!, "Enter");
  await screen.shows(UNDER_WAY);
  simulator.expireCredentials(simulator.credentials.at(-1)!.accessKeyId);
  return await screen.until(
    (lines) => asked(lines) && lines.some((line) => /waiting for the code/.test(line)),
    "a question in mid-run",
  );
}

outside(
  "whoami asks for the code, again after a wrong one, and tells who became whom",
  TOOLS,
  () =>
    atTerminal(async (screen) => {
      await screen.begin(`coldcase whoami ${WITH_ROLE}`);
      await screen.until(asked, "the question");
      await screen.press("999999", "Enter");
      const again = await screen.until(
        (lines) => asked(lines) && lines.some((line) => line.includes("Not taken")),
        "the question again",
      );
      assertMatch(
        again.join(""),
        /Not taken \(MultiFactorAuthentication failed with invalid MFA one time pass code\)/,
      );
      await screen.press(CODES[0]!, "Enter");
      const { exitCode, lines } = await screen.ended();
      assertEquals(exitCode, 0);
      const shown = lines.join("\n");
      assertMatch(shown, /^caller +arn:aws:sts::123456789012:assumed-role\/responder\/coldcase$/m);
      assertMatch(shown, /^first +arn:aws:iam::123456789012:user\/examiner$/m);
      assertMatch(
        lines.join(""),
        new RegExp(`role +${ROLE} as coldcase, with MFA device ${DEVICE}, until 2`),
      );
      assertMatch(lines.join(""), /renewed with another code/);
    }),
);

outside(
  "when the session ends the run waits for the next code, without a progress line over the question",
  TOOLS,
  () =>
    atTerminal(async (screen, desks, desk) => {
      const question = await untilSessionEnds(screen, desks);
      assertNoProgress(question);
      const { simulator } = desks;
      simulator.setFaults("");
      await screen.press(CODES[1]!, "Enter");
      const { exitCode, lines } = await screen.ended();
      assertEquals(exitCode, 0, lines.join("\n"));
      assertNoProgress(lines);
      assertMatch(lines.join("\n"), /^coldcase: going on after /m);
      assertMatch(lines.join("\n"), /^ex-[0-9a-f]{16} {2}snap-\w+ {2}complete/m);
      assertEquals(simulator.requests.count("AssumeRole"), 2);
      for (
        const name of filesBelow(`${desk}/evidence`).filter((name) => /^(documents|custody)\//.test(name))
      ) {
        const text = Deno.readTextFileSync(`${desk}/evidence/${name}`);
        // Within a digest six digits are nobody's code.
        for (const code of CODES) assert(!new RegExp(`\\b${code}\\b`).test(text), `a code is in ${name}`);
      }
    }),
);

outside(
  "Ctrl-C at the question saves what was recorded, and the terminal is as it was",
  TOOLS,
  () =>
    atTerminal(async (screen, desks) => {
      await untilSessionEnds(screen, desks);
      await screen.press("C-c");
      const { exitCode, lines } = await screen.ended();
      assertEquals(exitCode, 130, lines.join("\n"));
      assertNoProgress(lines);
      assertEquals(lines.at(-1)!, "coldcase: hint: run the same command again");
      assertMatch(
        (await screen.run("stty -a | tr ';' '\\n' | grep -o ' echo .*'")).lines.join(" "),
        / echo /,
      );
      desks.simulator.setFaults("");
      await screen.begin(ACQUIRE);
      await screen.until(asked, "the question of the next session");
      await screen.press(CODES[1]!, "Enter");
      const resumed = await screen.ended();
      assertEquals(resumed.exitCode, 0);
      assertMatch(resumed.lines.join("\n"), /: RESUMING as ex-/);
    }),
);

outside(
  "a signal does not wait for an answer",
  [...TOOLS, "pgrep"],
  () =>
    atTerminal(async (screen, desks, desk) => {
      await untilSessionEnds(screen, desks);
      const shell = Deno.readTextFileSync(`${desk}/shell`).trim();
      const found = await new Deno.Command(toolPath("pgrep")!, { args: ["-P", shell] }).output();
      Deno.kill(Number(new TextDecoder().decode(found.stdout)), "SIGTERM");
      const { exitCode, lines } = await screen.ended();
      assertEquals(exitCode, 130, lines.join("\n"));
      assertMatch(lines.at(-1)!, /^coldcase: hint: run the same command again to go on$/);
    }),
);
