/**
 * Encrypted evidence as its users make and read it: a host that can open nothing acquires, resumes and builds on what it
 * holds; who has an identity reads; who has none is told what was not looked at. No secret is in what is said or kept.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { makeIdentity } from "../../src/cipher_age.ts";
import { filesBelow, flipBit } from "../store/fixtures.ts";
import { BLOCKS, type Case, withCase } from "./encrypted_case.ts";
import { FIRST, SECOND } from "./endpoint.ts";
import { isSame } from "./images.ts";
import { assertExit, assertRefusal, eventOf, eventsOf, summaryOf } from "./program.ts";

/** Present in the first snapshot. */
const BAD = 4;

/** The image digest of a plain acquisition, in a store of its own. */
async function plainDigest({ stage, run }: Case, snapshot: string): Promise<string> {
  const acquired = await run(
    "acquire",
    snapshot,
    "--parent",
    "none",
    "--json",
    "-s",
    `${stage.folder}/plain`,
  );
  assertExit(acquired, 0);
  stage.getRequests();
  return summaryOf(acquired).imageDigest;
}

Deno.test("a host with recipients only acquires through kills, and what it made is what a plain host makes", () =>
  withCase(async (made) => {
    const { stage, examiner, to, run } = made;
    const expected = await plainDigest(made, FIRST);
    for (const [signal, answered] of [["SIGKILL", 5], ["SIGINT", 8]] as const) {
      const running = await stage.startHeldAfter(answered, ["acquire", FIRST, ...to, "--concurrency", "1"]);
      running.kill(signal);
      assertExit(await running.ended, signal === "SIGINT" ? 130 : 137);
      stage.release();
    }
    const journals = filesBelow(stage.store).filter((name) => name.startsWith("journal/"));
    assert(journals.length >= 3, `${journals}`);
    for (const name of journals) {
      const [folder] = /^journal\/[^/]+/.exec(name)!;
      assertEquals(Deno.statSync(`${stage.store}/${folder}`).mode! & 0o777, 0o700);
      assertEquals(Deno.statSync(`${stage.store}/${name}`).mode! & 0o777, 0o600, name);
    }
    stage.getRequests();
    const acquired = await run("acquire", FIRST, ...to, "--json");
    assertExit(acquired, 0);
    assertEquals(stage.getRequests(), BLOCKS - 8, "what SIGINT saved is not fetched again");
    assertStringIncludes(acquired.stderr, "RESUMING");
    const { imageDigest, storedBlocks, exhibit } = summaryOf(acquired);
    assertEquals(
      [imageDigest, storedBlocks],
      [expected, BLOCKS],
      "also without an identity it says what it made",
    );
    const again = await run("acquire", FIRST, ...to, "--json");
    assertExit(again, 0);
    assertEquals(stage.getRequests(), 0);
    assertEquals([summaryOf(again).exhibit, summaryOf(again)["isOpened"]], [exhibit, false]);
    assertStringIncludes(again.stderr, "encrypted and not opened; nothing to do");
    assertExit(await run("verify", "-i", examiner), 0);
  }));

Deno.test("acquire --fresh supersedes what it can't open, and the newest is what others find", () =>
  withCase(async ({ stage, examiner, to, run }) => {
    const first = summaryOf(await run("acquire", FIRST, ...to, "--json"));
    stage.getRequests();
    const fresh = await run("acquire", FIRST, ...to, "--fresh", "--json");
    assertExit(fresh, 0);
    assertEquals(stage.getRequests(), BLOCKS);
    assertEquals(summaryOf(fresh).supersedes, first.exhibit);
    assertEquals(summaryOf(fresh).imageDigest, first.imageDigest);
    for (const identity of [[], ["-i", examiner]]) {
      const found = await run("info", FIRST, "--json", ...identity);
      assertExit(found, 0);
      assertEquals(summaryOf(found).exhibit, summaryOf(fresh).exhibit);
    }
  }));

Deno.test("without a lineage key the next acquisition is full and says why; with one it is incremental", () =>
  withCase(async (made) => {
    const { stage, examiner, lineage, to, run } = made;
    const expected = await plainDigest(made, SECOND);
    const changed = 3;
    const withKey = [...to, "--lineage-key", lineage];
    assertExit(await run("acquire", FIRST, ...withKey), 0);
    stage.getRequests();
    const planned = eventOf(await run("plan", SECOND, "--no-canary", "--json", "-i", lineage), "plan");
    assertEquals(planned["fetchBlocks"], changed);
    const incremental = await run("acquire", SECOND, ...withKey, "--json");
    assertExit(incremental, 0);
    assertEquals(stage.getRequests(), changed);
    assertEquals(summaryOf(incremental).imageDigest, expected);
    assertExit(await run("verify", "-i", examiner), 0);
    // The same without: in a store that has no lineage.
    const other = ["-s", `${stage.folder}/other`];
    assertExit(await run("acquire", FIRST, ...to, ...other), 0);
    stage.getRequests();
    const full = await run("acquire", SECOND, ...to, ...other, "--json");
    assertExit(full, 0);
    assertEquals(stage.getRequests(), BLOCKS + 1, "block 900 is new");
    assertEquals([summaryOf(full).imageDigest, summaryOf(full).parent], [expected, null]);
    const why = "nothing was given to open its exhibits with";
    assertStringIncludes(full.stderr, why);
    const shown = summaryOf(await run("info", SECOND, "-i", examiner, "--json", ...other));
    assertStringIncludes(String((shown["acquisition"] as { parentDropped: string }).parentDropped), why);
    assertStringIncludes((await run("info", FIRST, "--blocks", "-i", lineage)).stdout, "stored");
  }));

Deno.test("acquire --retry-unreadable needs an identity, of the lineage at least", () =>
  withCase(async ({ stage, lineage, to, run }) => {
    const withKey = [...to, "--lineage-key", lineage];
    stage.fault = (index) => index === BAD ? "flip" : undefined;
    const incomplete = await run("acquire", FIRST, ...withKey, "--json");
    assertExit(incomplete, 3);
    assertEquals(summaryOf(incomplete).unreadableBlocks, 1);
    stage.fault = () => undefined;
    stage.getRequests();
    const refused = await run("acquire", FIRST, ...to, "--retry-unreadable");
    assertExit(refused, 2); // the store has a lineage, which was not given
    assertStringIncludes(refused.stderr, "--lineage-key FILE");
    const retried = await run("acquire", FIRST, ...withKey, "--retry-unreadable", "--json");
    assertExit(retried, 0);
    assertEquals([stage.getRequests(), summaryOf(retried).unreadableBlocks], [1, 0]);
    const other = ["-s", `${stage.folder}/other`];
    assertExit(await run("acquire", FIRST, ...to, ...other), 0);
    const closed = await run("acquire", FIRST, ...to, "--retry-unreadable", ...other);
    assertRefusal(closed, { exitCode: 12, names: ["encrypted"], hints: ["-i FILE"] });
  }));

Deno.test("verify without an identity checks the outer level and says so; damage it finds; --content needs one", () =>
  withCase(async ({ stage, examiner, stranger, to, run }) => {
    const { exhibit } = summaryOf(await run("acquire", FIRST, ...to, "--json"));
    const outer = await run("verify");
    assertExit(outer, 0);
    assertStringIncludes(outer.stdout, "OUTER LEVEL ONLY");
    assertStringIncludes(outer.stderr, "NOT verified");
    const said = summaryOf(await run("verify", FIRST, "--json"));
    assertEquals([said["level"], said["isOpened"], said["findings"]], ["outer", false, 0]);
    for (const asked of [["--content"], ["--against-source"], ["--read-back", "x.img"]]) {
      const refused = await run("verify", exhibit, ...asked);
      assertRefusal(refused, { exitCode: 12, names: [asked[0]!, "encrypted"], hints: ["-i FILE"] });
    }
    assertRefusal(await run("verify", "-i", stranger), {
      exitCode: 12,
      names: ["the one identity does not fit", "2 recipients (X25519)"],
      hints: ["-i FILE"],
    });
    const whole = await run("verify", "-i", stranger, "-i", examiner, "--content", "--json");
    assertExit(whole, 0);
    assertEquals(summaryOf(whole)["storedBlocks"], BLOCKS);
    const pack = filesBelow(stage.store).find((name) => name.startsWith("packs/"))!;
    flipBit(`${stage.store}/${pack}`, 300_000);
    const names = [pack];
    assertRefusal(await run("verify"), { exitCode: 20, names });
    const found = await run("verify", "-i", examiner, "--json");
    assertRefusal(found, { exitCode: 20, names: [pack, "chunk 4", "of the volume"] });
    const findings = eventsOf(found).filter(({ type }) => type === "finding");
    assert(findings.some((finding) => typeof finding["firstBlock"] === "number"), JSON.stringify(findings));
  }));

Deno.test("ls and info show what is known from outside; what must be opened exits 12, by id or by number", () =>
  withCase(async ({ stage, examiner, to, run }) => {
    const acquired = await run("acquire", FIRST, ...to, "--evidence", "7", "--case", "C-1", "--json");
    const { exhibit, imageDigest } = summaryOf(acquired);
    assertMatch((await run("ls")).stdout, new RegExp(`${exhibit}  ${FIRST}  .*encrypted, not opened`));
    const listed = eventOf(await run("ls", "--json"), "exhibit");
    assertEquals([listed["exhibit"], listed["isEncrypted"], listed["imageDigest"]], [exhibit, true, null]);
    for (const reference of [FIRST, exhibit]) {
      const info = summaryOf(await run("info", reference, "--json"));
      const opened = summaryOf(await run("info", reference, "--json", "-i", examiner));
      const missing = Object.keys(opened).filter((name) => !(name in info));
      assertEquals(missing, [], "an unopened exhibit has the same members");
      for (const name of ["exhibit", "snapshot", "manifestFile", "mapFile", "isEncrypted"]) {
        assertEquals(info[name], opened[name], name);
      }
      assertEquals([info.imageDigest, opened.imageDigest], [null, imageDigest]);
    }
    for (const reference of ["7", imageDigest.slice(0, 12)]) {
      assertEquals((await run("info", reference)).exitCode !== 0, true);
      assertEquals(summaryOf(await run("info", reference, "--json", "-i", examiner)).exhibit, exhibit);
    }
    const calls = [
      ["export", FIRST, "-o", `${stage.folder}/out.img`],
      ["report", FIRST],
      ["sign", FIRST],
      ["info", FIRST, "--blocks"],
    ];
    for (const args of calls) {
      assertRefusal(await run(...args), { exitCode: 12, names: ["encrypted"], hints: ["-i FILE"] });
      assertExit(await run(...args, "-i", examiner), 0);
    }
    assert(isSame(`${stage.folder}/first.img`, `${stage.folder}/out.img`));
    assertExit(await run("verify", FIRST, "--read-back", `${stage.folder}/out.img`, "-i", examiner), 0);
    assertExit(await run("custody"), 0);
    const log = (await run("custody")).stdout;
    assert(!log.includes(imageDigest.slice(0, 12)), "the log, which is in the clear, tells a digest");
    assertExit(await run("verify", "-i", examiner), 0);
  }));

Deno.test("copy hands encrypted exhibits over unopened, for the recipients that they have", () =>
  withCase(async ({ stage, examiner, second, to, run }) => {
    const { exhibit } = summaryOf(await run("acquire", FIRST, ...to, "--json"));
    const target = `${stage.folder}/handed`;
    assertExit(await run("copy", FIRST, "--to", target), 0);
    const again = await run("copy", exhibit, "--to", target, "--json");
    assertExit(again, 0);
    assertEquals(eventOf(again, "summary")["copiedBytes"], 0);
    for (const identity of [examiner, second]) {
      const verified = await run("verify", "-s", target, "-i", identity, "--content");
      assertExit(verified, 0);
      assertStringIncludes(verified.stdout, "VERIFIED: every byte");
    }
    const plain = `${stage.folder}/plain`;
    assertExit(await run("acquire", SECOND, "-s", plain), 0);
    assertRefusal(await run("copy", FIRST, "--to", plain), {
      exitCode: 2,
      names: ["plain"],
      hints: ["decrypt"],
    });
  }));

Deno.test("dangerous defaults are refused out loud, and following the hint works", () =>
  withCase(async ({ stage, examiner, stranger, lineage, identities, to, run }) => {
    const plain = ["-s", `${stage.folder}/plain`];
    assertExit(await run("acquire", FIRST, ...plain), 0);
    assertRefusal(await run("acquire", SECOND, ...to, ...plain), {
      exitCode: 2,
      names: ["it is plain, and recipients were given"],
      hints: ["coldcase encrypt"],
    });
    assertExit(await run("acquire", FIRST, ...to), 0);
    const none = await run("acquire", SECOND);
    assertRefusal(none, { exitCode: 2, names: ["encrypted, and no recipient was given"] });
    const hint = /hint: Give the recipients that it has: (.*)/.exec(none.stderr)![1]!;
    assertExit(await run("acquire", SECOND, ...hint.split(" ")), 0);
    const wrong = ["-r", identities.stranger.recipient];
    assertRefusal(await run("acquire", SECOND, ...wrong), {
      exitCode: 2,
      names: [identities.examiner.recipient, identities.stranger.recipient],
      hints: ["recipients add"],
    });
    const fresh = ["-s", `${stage.folder}/never`];
    const secret = identities.stranger.secret;
    const quantum = await makeIdentity("post-quantum");
    Deno.writeTextFileSync(`${stage.folder}/phrase`, "open sesame\n", { mode: 0o600 });
    const phrase = ["--passphrase-file", `${stage.folder}/phrase`];
    const calls: [readonly string[], readonly string[]][] = [
      [["-r", secret], ["it is a secret key"]],
      [["-r", "age1nobody"], ["malformed"]],
      [["-r", "ssh-ed25519 AAAA"], ["SSH keys are not supported"]],
      [["-r", quantum.recipient, ...to], ["post-quantum", "never mixes"]],
      [["-r", quantum.recipient, "--lineage-key", lineage], ["post-quantum"]],
      [["-r", quantum.recipient, "--passphrase", ...phrase], ["post-quantum"]],
      [["--lineage-key", lineage], ["nobody was named"]],
      [["-r", identities.lineage.recipient, "--lineage-key", lineage], ["opens contents"]],
      [phrase, ["nothing asks for a passphrase"]],
      [["--passphrase"], ["no terminal"]],
      [["-r", identities.examiner.recipient, "-i", `${stage.folder}/phrase`], ["no age identity"]],
    ];
    for (const [args, names] of calls) {
      assertRefusal(await run("acquire", FIRST, ...args, ...fresh), { exitCode: 2, names });
    }
    assert(!filesBelow(stage.folder).includes("never/store.json"), "a store was made");
    const one = await run("acquire", FIRST, "-r", identities.examiner.recipient, ...fresh);
    assertExit(one, 0);
    assertStringIncludes(one.stderr, "warning: one recipient only");
    Deno.chmodSync(stranger, 0o644);
    const open = await run("verify", "-i", stranger, "-i", examiner, ...fresh);
    assertExit(open, 0);
    assertStringIncludes(open.stderr, "its mode is 0644");
  }));

Deno.test("--passphrase makes an identity that it opens; resuming and acquiring again need none", () =>
  withCase(async ({ stage, to, run }) => {
    const passphrase = "correct horse battery staple";
    const file = `${stage.folder}/phrase`;
    Deno.writeTextFileSync(file, `${passphrase}\n`, { mode: 0o600 });
    Deno.writeTextFileSync(`${stage.folder}/wrong`, "something else\n", { mode: 0o600 });
    const args = ["acquire", FIRST, "--passphrase", "--passphrase-file", file, "--concurrency", "1"];
    const running = await stage.startHeldAfter(6, args);
    running.kill("SIGINT");
    assertExit(await running.ended, 130);
    stage.release();
    stage.getRequests();
    // Nobody is asked: this host has no terminal.
    const resumed = await run("acquire", FIRST, "--passphrase");
    assertExit(resumed, 0);
    assertEquals(stage.getRequests(), BLOCKS - 6);
    assertExit(await run("acquire", SECOND, "--passphrase"), 0);
    const keys = filesBelow(stage.store).filter((name) => name.endsWith(".identity.age"));
    assertEquals(keys.length, 1);
    const identity = ["-i", `${stage.store}/${keys[0]}`];
    const verified = await run("verify", ...identity, "--passphrase-file", file, "--content");
    assertExit(verified, 0);
    assertRefusal(await run("verify", ...identity, "--passphrase-file", `${stage.folder}/wrong`), {
      exitCode: 12,
      names: ["the passphrase is wrong"],
    });
    assertRefusal(await run("verify", ...identity), { exitCode: 12, names: ["nobody to ask"] });
    const other = ["-s", `${stage.folder}/other`];
    assertExit(await run("acquire", FIRST, ...to, ...other), 0);
    assertRefusal(await run("acquire", FIRST, ...to, "--passphrase", ...other), {
      exitCode: 2,
      names: ["no passphrase opens it"],
      hints: ["Leave --passphrase out"],
    });
    for (const name of filesBelow(stage.store)) {
      const text = new TextDecoder("latin1").decode(Deno.readFileSync(`${stage.store}/${name}`));
      assert(!text.includes(passphrase), `${name} holds the passphrase`);
    }
  }));
