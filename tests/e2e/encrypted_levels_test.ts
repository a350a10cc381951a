/**
 * How far an identity reaches: a lineage's to the digests, that of somebody who lacks headers to what it opens, nobody's
 * to the outside. Each command does what can be done, says in its output, its exit code and the custody log what was not,
 * and where it refuses, its hint works when it is followed.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { filesBelow, flipBit } from "../store/fixtures.ts";
import { BLOCKS, type Case, withCase } from "./encrypted_case.ts";
import { FIRST, SECOND } from "./endpoint.ts";
import { assertExit, assertRefusal, type Ended, eventOf, eventsOf, summaryOf } from "./program.ts";

/** What the newest entry of the custody log says of its result. */
async function loggedBy({ run }: Case, ...store: readonly string[]) {
  const entry = eventOf(await run("custody", "--json", ...store), "entry");
  return entry["result"] as { readonly exitCode: number; readonly facts: Record<string, unknown> };
}

const packsOf = (store: string) => filesBelow(store).filter((name) => name.startsWith("packs/"));

Deno.test("a lineage's identity shows and verifies all but contents, says so, and is logged as that", () =>
  withCase(async (made) => {
    const { stage, lineage, to, run } = made;
    const { exhibit, imageDigest } = summaryOf(
      await run("acquire", FIRST, ...to, "--lineage-key", lineage, "--json"),
    );
    const packs = packsOf(stage.store).length;
    const key = ["-i", lineage];
    const info = await run("info", FIRST, ...key);
    assertExit(info, 0);
    for (const text of [imageDigest, `${BLOCKS} blocks`, "not opened"]) {
      assertStringIncludes(info.stdout, text);
    }
    const shown = summaryOf(await run("info", FIRST, ...key, "--json"));
    assertEquals([shown.imageDigest, shown["isOpened"], shown["contents"]], [imageDigest, true, null]);

    const verified = await run("verify", ...key);
    assertExit(verified, 0);
    assertStringIncludes(verified.stdout, "DIGESTS ONLY");
    assertStringIncludes(
      verified.stdout,
      `NOT checked: the contents of ${BLOCKS} of ${BLOCKS} stored blocks`,
    );
    assert(!verified.stdout.includes("VERIFIED"), verified.stdout);
    assertStringIncludes(verified.stderr, "contents were NOT verified");
    assertEquals((await loggedBy(made)).facts, { level: "digests", [exhibit]: 0 });
    const said = summaryOf(await run("verify", ...key, "--quick", "--json"));
    assertEquals([said["level"], said["packsRead"], said["uncheckedBlocks"]], ["digests, quick", 0, BLOCKS]);
    assertEquals((await loggedBy(made)).facts["level"], "digests, quick");
    assertExit(await run("verify", "--quick"), 0);
    assertEquals((await loggedBy(made)).facts["level"], "outer, quick");
    const whole = summaryOf(await run("verify", ...key, "--json"));
    assertEquals([whole["packsRead"], whole["unopenedPacks"], whole["findings"]], [packs, packs, 0]);
    // What the service says of each block is compared with digests.
    const compared = await run("verify", ...key, "--against-source");
    assertExit(compared, 0);
    assertStringIncludes(compared.stdout, `EQUAL, ${BLOCKS} blocks compared`);

    const image = `${stage.folder}/out.img`;
    for (
      const args of [
        ["verify", "--content"],
        ["verify", FIRST, "--read-back", `${stage.folder}/first.img`],
        ["export", FIRST, "-o", image],
        ["decrypt", "--to", `${stage.folder}/opened`],
      ]
    ) {
      assertRefusal(await run(...args, ...key), {
        exitCode: 12,
        names: ["this identity opens digests, no contents", exhibit],
        hints: ["lineage", "-i FILE"],
      });
    }
    assert(
      !filesBelow(stage.folder).some((name) => /^(out\.img|opened)/.test(name)),
      "something was written",
    );

    flipBit(`${stage.store}/${packsOf(stage.store)[0]}`, 300_000);
    assertRefusal(await run("verify", ...key), { exitCode: 20, names: [packsOf(stage.store)[0]!] });
  }));

/** Adds somebody to all, while a file is cut short: they get no header for that. */
async function addWithout(
  made: Case,
  file: string,
  args: readonly string[],
): Promise<Ended> {
  const bytes = Deno.readFileSync(file);
  Deno.truncateSync(file, 100);
  const added = await made.run("recipients", "add", ...args, "-i", made.examiner);
  Deno.writeFileSync(file, bytes);
  return added;
}

Deno.test("verify goes on over what an added recipient can't open, ends with 12, and counts it", () =>
  withCase(async (made) => {
    const { stage, stranger, examiner, to, identities, run } = made;
    const first = summaryOf(await run("acquire", FIRST, ...to, "--parent", "none", "--json")).exhibit;
    const [pack] = packsOf(stage.store);
    const added = await addWithout(made, `${stage.store}/${pack}`, ["-r", identities.stranger.recipient]);
    assertExit(added, 20);
    const ended = await run("verify", "-i", stranger, "--json");
    const names = ["1 files are not opened", "1 packs", pack!];
    assertRefusal(ended, { exitCode: 12, names, hints: ["recipients add"] });
    const said = summaryOf(ended);
    assertEquals([said["level"], said["unopenedPacks"], said["firstUnopened"]], ["partial", 1, pack]);
    assertEquals([said["findings"], Number(said["uncheckedBlocks"]) > 0], [0, true]);
    const shown = await run("verify", "-i", stranger);
    assertStringIncludes(shown.stdout, "NOT ALL VERIFIED");
    const { exitCode, facts } = await loggedBy(made);
    assertEquals([exitCode, facts["level"], facts[first]], [12, "partial", 12]);
    // What was written since is theirs from the start: the entry tells the lower level, and where it was higher.
    const fresh = await run("acquire", SECOND, ...to, "--parent", "none", "--json");
    const second = summaryOf(fresh).exhibit;
    const mixed = await run("verify", "-i", stranger, "--json");
    assertExit(mixed, 12);
    const levels = eventsOf(mixed).filter(({ type }) => type === "summary").map(({ exhibit, level }) => [
      exhibit,
      level,
    ]);
    assertEquals(levels.sort(), [[first, "partial"], [second, "full"]].sort());
    assertEquals((await loggedBy(made)).facts[`level of ${second}`], "full");
    // The hint works.
    assertExit(
      await run("recipients", "add", "-r", identities.stranger.recipient, "-i", examiner),
      0,
    );
    assertExit(await run("verify", "-i", stranger, "--content"), 0);
    // Damage is graver than what can't be opened.
    flipBit(`${stage.store}/${pack}`, 300_000);
    assertRefusal(await run("verify", "-i", stranger), { exitCode: 20, names: [pack!] });
  }));

Deno.test("who was added to one exhibit finds it by its snapshot, and of the other one the outside is verified", () =>
  withCase(async (made) => {
    const { stranger, examiner, to, identities, run } = made;
    const first = summaryOf(await run("acquire", FIRST, ...to, "--json")).exhibit;
    const second = summaryOf(await run("acquire", SECOND, ...to, "--json")).exhibit;
    assertExit(
      await run("recipients", "add", FIRST, "-r", identities.stranger.recipient, "-i", examiner),
      0,
    );
    assertExit(await run("verify", FIRST, "-i", stranger, "--content"), 0);
    assertEquals(summaryOf(await run("info", FIRST, "-i", stranger, "--json")).exhibit, first);
    const all = await run("verify", "-i", stranger, "--json");
    assertRefusal(all, { exitCode: 12, names: [second, "does not fit"] });
    const levels = eventsOf(all).filter(({ type }) => type === "summary")
      .map(({ exhibit, level, isOpened }) => [exhibit, level, isOpened ?? true]);
    assertEquals(levels.sort(), [[first, "full", true], [second, "outer", false]].sort());
    const { facts } = await loggedBy(made);
    assertEquals([facts["level"], facts[`level of ${first}`], facts[second]], ["outer", "full", 12]);
    assertRefusal(await run("verify", SECOND, "-i", stranger), { exitCode: 12, names: [second] });
    const listed = await run("ls", "-i", stranger);
    assertRefusal(listed, { exitCode: 12, names: [second] });
    assertMatch(listed.stdout, new RegExp(`${first} .* complete`));
    assertMatch(listed.stdout, new RegExp(`${second} .* encrypted, not opened`));
  }));

Deno.test("hints of a store with a passphrase name its own identity, and work", () =>
  withCase(async ({ stage, to, run }) => {
    const phrase = ["--passphrase-file", `${stage.folder}/phrase`];
    Deno.writeTextFileSync(phrase[1]!, "open sesame\n", { mode: 0o600 });
    assertExit(await run("acquire", FIRST, "--passphrase", ...phrase), 0);
    const identity = filesBelow(stage.store).find((name) => name.endsWith(".identity.age"))!;
    const hintIn = (ended: Ended, pattern: RegExp) => {
      assertMatch(ended.stderr, pattern);
      return pattern.exec(ended.stderr)![1]!.split(" ");
    };
    for (const refused of [await run("acquire", SECOND), await run("acquire", SECOND, ...to)]) {
      assertExit(refused, 2);
      const given = hintIn(refused, /hint: Give the recipients that it has: (.*)/);
      assertEquals(given, ["--passphrase"]);
    }
    assertExit(await run("acquire", SECOND, "--passphrase"), 0);
    const calls = [
      ["verify", "--content"],
      ["report", FIRST],
      ["decrypt", "--to", `${stage.folder}/opened`],
      ["recipients", "add", ...to.slice(0, 2)],
    ];
    for (const args of calls) {
      const refused = await run(...args);
      assertRefusal(refused, { exitCode: 12, names: [], hints: [identity] });
      const given = hintIn(refused, /hint: Give (-i \S+\.identity\.age):/);
      assertExit(await run(...args, ...given, ...phrase), 0);
    }
    assertStringIncludes((await run("info", FIRST)).stderr, identity);
  }));

Deno.test("recipients added to a store that holds nothing yet are those of the next acquisition, which says so", () =>
  withCase(async ({ stage, examiner, second, identities, run }) => {
    const own = ["-r", identities.examiner.recipient];
    const none = "snap-0000000000000fff";
    assertExit(await run("acquire", none, ...own), 10);
    assertExit(await run("recipients", "add", "-r", identities.second.recipient, "-i", examiner), 0);
    const acquired = await run("acquire", FIRST, ...own);
    assertExit(acquired, 0);
    assertStringIncludes(acquired.stderr, `also for ${identities.second.recipient}`);
    for (const identity of [examiner, second]) {
      assertExit(await run("verify", "-i", identity, "--content"), 0);
    }
    // Nobody was added here: who is left out of a command was meant to be in it, or the store is another one.
    const other = ["-s", `${stage.folder}/other`];
    assertExit(await run("acquire", none, ...own, "-r", identities.second.recipient, ...other), 10);
    const refused = await run("acquire", FIRST, ...own, ...other);
    assertRefusal(refused, { exitCode: 2, names: [identities.second.recipient, "not given"] });
    const hint = /hint: Give the recipients that it has: (.*)/.exec(refused.stderr)![1]!;
    const followed = await run("acquire", FIRST, ...hint.split(" "), ...other);
    assertExit(followed, 0);
    assert(!followed.stderr.includes("also for"), followed.stderr);
  }));

Deno.test("copy -i finds an encrypted exhibit by what its manifest tells, and compares that with its inventory", () =>
  withCase(async (made) => {
    const { stage, examiner, lineage, stranger, to, run } = made;
    const withKey = [...to, "--lineage-key", lineage];
    const { exhibit, imageDigest } = summaryOf(
      await run("acquire", FIRST, ...withKey, "--evidence", "7", "--json"),
    );
    const target = ["--to", `${stage.folder}/handed`];
    assertExit(await run("copy", "7", ...target), 10);
    assertRefusal(await run("copy", "7", ...target, "-i", stranger), {
      exitCode: 12,
      names: ["does not fit"],
    });
    assert(!filesBelow(stage.folder).some((name) => name.startsWith("handed/")), "a store was made");
    for (const [reference, identity] of [["7", examiner], [imageDigest.slice(0, 12), lineage]] as const) {
      const copied = await run("copy", reference, ...target, "-i", identity, "--json");
      assertExit(copied, 0);
      assertEquals(summaryOf(copied).exhibit, exhibit);
    }
    const files = (store: string) =>
      filesBelow(store).filter((name) => /^(packs|segments|documents)/.test(name));
    assertEquals(files(`${stage.folder}/handed`), files(stage.store));
    assertExit(await run("verify", "-s", `${stage.folder}/handed`, "-i", examiner, "--content"), 0);
  }));
