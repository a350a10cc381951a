/**
 * `repair --refetch` in trouble: lost blocks are read again through links, strangers, a service and credentials that fail; what
 * it ends with is whole, or the same command makes it so.
 */
import { assert, assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import { BLOCKS, FIRST, MINUTE_MS, type TroubleStage, withTrouble } from "./stage.ts";

/** An acquired exhibit that has lost its packs. */
async function loseBlocks(stage: TroubleStage): Promise<void> {
  assertEquals((await stage.acquire(FIRST)).exitCode, 0);
  for (const file of packsOf(stage.store)) Deno.removeSync(file);
  assertEquals((await stage.run("verify")).exitCode, 20);
}

function packsOf(folder: string, isBelowPacks = false): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) => {
    const path = `${folder}/${name}`;
    if (isDirectory) return packsOf(path, isBelowPacks || name === "packs");
    return isBelowPacks ? [path] : [];
  });
}

async function requireWhole(stage: TroubleStage): Promise<void> {
  const verified = await stage.run("verify", "--against-source");
  assertEquals(verified.exitCode, 0, verified.stderr);
}

/** What goes wrong after some blocks, and is over after minutes. */
const TROUBLES: Readonly<Record<string, (stage: TroubleStage) => Promise<void>>> = {
  async "a link that is down"({ line, clock }) {
    await line.set("closed");
    await clock.passed(6 * MINUTE_MS);
    await line.set("open");
  },
  async "a captive portal"({ line, clock }) {
    await line.set({ stranger: { status: 200, body: "<html>Log in</html>" } });
    await clock.passed(6 * MINUTE_MS);
    await line.set("open");
  },
  async "a service that fails"({ simulator, clock }) {
    simulator.setFaults("error500:0.3,short:0.2,flip@GetSnapshotBlock:0.1,throttle:0.2");
    await clock.passed(3 * MINUTE_MS);
    simulator.setFaults("");
  },
};

for (const [name, trouble] of Object.entries(TROUBLES)) {
  Deno.test(`repair --refetch goes on through ${name}`, () =>
    withTrouble({}, async (stage) => {
      await loseBlocks(stage);
      const before = stage.servedBlocks;
      stage.after(stage.blockRequests + 12, () => trouble(stage));
      const told = await stage.run("repair", FIRST, "--refetch");
      assertEquals(told.exitCode, 0, told.stderr);
      const summary = told.events.find(({ type }) => type === "summary");
      assertEquals(summary?.["refetchedBlocks"], BLOCKS);
      if (name !== "a service that fails") {
        assertStringIncludes(told.stderr, "waiting for");
        const lost = stage.line.lostRequests;
        assert(stage.servedBlocks - before <= BLOCKS + lost, "what was read is not read again");
      }
      await requireWhole(stage);
    }));
}

Deno.test("repair --refetch whose credentials end keeps what it has, and goes on with others", () =>
  withTrouble({}, async (stage) => {
    await loseBlocks(stage);
    const useKeys = (number: number) => {
      const set = stage.freshCredentials(number, 15);
      Object.assign(stage.variables, {
        AWS_ACCESS_KEY_ID: set.accessKeyId,
        AWS_SECRET_ACCESS_KEY: set.secretAccessKey,
        AWS_SESSION_TOKEN: set.sessionToken,
      });
    };
    useKeys(1);
    stage.after(stage.blockRequests + 12, () => stage.clock.pass(16 * MINUTE_MS));
    const ended = await stage.run("repair", FIRST, "--refetch");
    assertEquals(ended.exitCode, 13, ended.stderr);
    useKeys(2);
    const before = stage.servedBlocks;
    const told = await stage.run("repair", FIRST, "--refetch");
    assertEquals(told.exitCode, 0, told.stderr);
    // What was under way when they ended came for nothing.
    assertLess(stage.servedBlocks - before, BLOCKS, "what was had is kept");
    await requireWhole(stage);
  }));
