/**
 * What is recorded of a case, from end to end: where neither flag nor variable says it, a warning; where it was recorded
 * wrongly, a correction that every command shows with what was recorded, that copies take along, and that stock tools check.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { outside } from "../outside.ts";
import { filesBelow, flipBit } from "../store/fixtures.ts";
import { FIRST, SECOND, type Stage, withStage } from "./endpoint.ts";
import { writeRandomBlocks } from "./images.ts";
import { assertExit, assertRefusal, type Ended, eventOf, eventsOf } from "./program.ts";

const EXAMINER = { env: { COLDCASE_EXAMINER: "E. Environment" } };

function withSnapshots(body: (stage: Stage) => Promise<void>): Promise<void> {
  return withStage(async (folder) => {
    await writeRandomBlocks(`${folder}/disk.img`, [0, 3]);
    const path = `${folder}/disk.img`;
    return { snapshots: [{ id: FIRST, path }, { id: SECOND, path }] };
  }, body);
}

/** The same, with the first one acquired as number 7 of case 2026-114. */
function withExhibit(body: (stage: Stage) => Promise<void>): Promise<void> {
  return withSnapshots(async (stage) => {
    const said = ["--case", "2026-114", "--evidence", "7", "--examiner", "A. Examiner"];
    assertExit(await stage.run(["acquire", FIRST, ...said]), 0);
    await body(stage);
  });
}

async function correct(stage: Stage, ...args: string[]): Promise<Ended> {
  const ended = await stage.run(["correct", ...args, "--reason", "Typing error"], EXAMINER);
  assertExit(ended, 0);
  return ended;
}

function warnings({ stderr }: Ended): string[] {
  return stderr.split("\n").filter((line) => line.startsWith("coldcase: warning: no "));
}

const caseOf = (stage: Stage) => JSON.parse(Deno.readTextFileSync(`${stage.store}/store.json`)).case;

Deno.test("acquire warns of a case and an examiner that nobody named, and takes them from the environment", () =>
  withSnapshots(async (stage) => {
    const silent = await stage.run(["acquire", FIRST]);
    assertExit(silent, 0);
    assertEquals(warnings(silent), [
      "coldcase: warning: no --case, no COLDCASE_CASE: the record will not say which case this belongs to",
      "coldcase: warning: no --examiner, no COLDCASE_EXAMINER: the record will not say who did this",
    ]);
    const env = { ...EXAMINER.env, COLDCASE_CASE: "2026-200" };
    const told = await stage.run(["acquire", SECOND], { env });
    assertExit(told, 0);
    assertEquals(warnings(told), []);
    const info = eventOf(await stage.run(["info", SECOND, "--json"]), "summary");
    const facts = info["caseFacts"] as Record<string, unknown>;
    assertEquals([facts["case"], facts["examiner"], info["corrections"]], [
      "2026-200",
      "E. Environment",
      null,
    ]);
  }));

Deno.test("the custody log and the addenda say who was at work, as the environment says it, or --examiner", () =>
  withExhibit(async (stage) => {
    const image = `${stage.folder}/out.img`;
    assertExit(await stage.run(["export", FIRST, "-o", image], EXAMINER), 0);
    assertExit(await stage.run(["verify", FIRST, "--quick"]), 0);
    const log = eventsOf(await stage.run(["custody", "--json"])).filter(({ type }) => type === "entry");
    const said = log.map((
      { action, result },
    ) => [action, (result as { facts: Record<string, unknown> }).facts["examiner"]]);
    assertEquals(said, [["acquire", "A. Examiner"], ["export", "E. Environment"], ["verify", undefined]]);
    const [addendum] = filesBelow(stage.store).filter((name) => /\/addendum-.*\.json$/.test(name));
    assertEquals(JSON.parse(Deno.readTextFileSync(`${stage.store}/${addendum}`)).examiner, "E. Environment");
    const long = { env: { COLDCASE_EXAMINER: "x".repeat(257) } };
    assertRefusal(await stage.run(["verify"], long), { exitCode: 2, names: ["COLDCASE_EXAMINER", "257"] });
  }));

Deno.test("correct refuses what says nothing, gives no reason, or is not clear", () =>
  withExhibit(async (stage) => {
    const refused: [string[], string[]][] = [
      [["7", "--reason", "x"], ["nothing was given"]],
      [["7", "--case", "1"], ["no reason"]],
      [["7", "--case", "1", "--clear", "case", "--reason", "x"], ["--case", "--clear"]],
      [["7", FIRST, "--evidence", "8", "--reason", "x"], ["several exhibits"]],
      [["7", "--clear", "device", "--reason", "x"], ["device"]],
      [["7", "--case", "x".repeat(257), "--reason", "x"], ["case", "256"]],
      [["7", "--case", "1", "--reason", "x".repeat(4097)], ["reason", "4097"]],
    ];
    for (const [args, names] of refused) {
      assertRefusal(await stage.run(["correct", ...args]), { exitCode: 2, names });
    }
    assertEquals(filesBelow(stage.store).filter((name) => name.includes("addendum")), []);
  }));

Deno.test("correct fills nothing but --by from the environment", () =>
  withExhibit(async (stage) => {
    const env = { COLDCASE_EXAMINER: "E. Environment", COLDCASE_CASE: "2026-999" };
    assertExit(await stage.run(["correct", "7", "--notes", "n", "--reason", "x"], { env }), 0);
    const { caseFacts } = eventOf(await stage.run(["info", "7", "--json"]), "summary") as unknown as {
      caseFacts: Record<string, unknown>;
    };
    assertEquals([caseFacts["case"], caseFacts["examiner"], caseFacts["notes"]], [
      "2026-114",
      "A. Examiner",
      "n",
    ]);
    const silent = await stage.run(["correct", "7", "--notes", "m", "--reason", "x"]);
    assertEquals(warnings(silent).length, 1, silent.stderr);
  }));

Deno.test("a correction is shown everywhere, with what was recorded, and the exhibit is found by it", () =>
  withExhibit(async (stage) => {
    const manifest = () => filesBelow(stage.store).filter((name) => name.includes("/manifest-"));
    const before = manifest();
    const made = eventOf(
      await stage.run([
        "correct",
        "7",
        "--case",
        "2026-115",
        "--evidence",
        "8",
        "--reason",
        "Typing error",
        "--json",
      ], EXAMINER),
      "summary",
    );
    assertEquals([made["case"], made["evidence"]], ["2026-115", "8"]);
    assertEquals(manifest(), before);
    const ls = await stage.run(["ls"]);
    assertMatch(ls.stdout, / 8 +complete, corrected: case, evidence number/);
    const info = (await stage.run(["info", "8"])).stdout;
    assertMatch(info, /^case +2026-115 \(corrected; recorded: 2026-114\)$/m);
    assertMatch(info, /^evidence number +8 \(corrected; recorded: 7\)$/m);
    assertMatch(info, /^examiner +A\. Examiner$/m);
    assertMatch(info, /^corrections +1, the last at \S+ by E\. Environment, signed by SHA256:/m);
    const old = await stage.run(["info", "7"]);
    assertExit(old, 0);
    assertStringIncludes(old.stderr, 'was corrected: it is "8" now');
    const report = (await stage.run(["report", "8"])).stdout;
    assertMatch(report, /^\| Case \| 2026-115 \*\*CORRECTED\*\*, recorded: 2026-114 \| \[\d+\], \[1\] \|$/m);
    assertMatch(report, /^\| \S+Z \| evidence number \| 7 \| 8 \| Typing error \| E\. Environment, /m);
    assertMatch(report, /this exhibit correction [0-9a-f]{64}/);
    const json = JSON.parse((await stage.run(["report", "8", "--format", "json"])).stdout);
    assertEquals(json.caseFacts.case, "2026-115");
    assertEquals(json.manifest.acquisition.case.case, "2026-114");
    assertEquals(json.correctionDocuments[0].reason, "Typing error");
    const image = `${stage.folder}/out`;
    assertExit(await stage.run(["export", "8", "-o", `${image}.E01`, "--format", "e01"]), 0);
    assertMatch(
      Deno.readTextFileSync(`${image}.E01.log`),
      /^ {2}case +2026-115 \(corrected; recorded: 2026-114\)$/m,
    );
    assertExit(await stage.run(["verify"]), 0);
  }));

outside(
  "an E01 of a corrected exhibit has the corrected values, and says what was recorded",
  ["ewfinfo"],
  () =>
    withExhibit(async (stage) => {
      await correct(stage, "7", "--case", "2026-115");
      const image = `${stage.folder}/out.E01`;
      assertExit(await stage.run(["export", "7", "-o", image, "--format", "e01"]), 0);
      const { stdout } = await new Deno.Command("ewfinfo", { args: [image] }).output();
      const told = new TextDecoder().decode(stdout);
      assertMatch(told, /Case number:\s+2026-115/);
      assertMatch(told, /Description:.*case corrected, recorded: 2026-114/);
    }),
);

Deno.test("a store is of another case when all its exhibits are, and is acquired into for it then", () =>
  withExhibit(async (stage) => {
    const other = ["--case", "2026-115", "--examiner", "A. Examiner"];
    assertRefusal(await stage.run(["acquire", SECOND, ...other]), {
      exitCode: 2,
      names: ['holds case "2026-114"'],
      hints: ["coldcase correct"],
    });
    assertExit(await stage.run(["acquire", SECOND, "--case", "2026-114", "--examiner", "A. Examiner"]), 0);
    const first = await correct(stage, FIRST, "--case", "2026-115");
    assertStringIncludes(first.stderr, 'stays one of case "2026-114": 1 of its exhibits');
    assertEquals(caseOf(stage), "2026-114");
    const second = await correct(stage, SECOND, "--case", "2026-115");
    assertStringIncludes(second.stderr, 'the store is of case "2026-115" now');
    assertEquals(caseOf(stage), "2026-115");
    assertExit(await stage.run(["acquire", SECOND, "--fresh", ...other]), 0);
    assertRefusal(await stage.run(["acquire", SECOND, "--fresh", "--case", "2026-114"]), {
      exitCode: 2,
      names: ['holds case "2026-115"'],
    });
    assertExit(await stage.run(["verify", "--quick"]), 0);
  }));

Deno.test("correct of several exhibits says the same of each, and again does nothing", () =>
  withExhibit(async (stage) => {
    assertExit(await stage.run(["acquire", SECOND, "--case", "2026-114"]), 0);
    await correct(stage, FIRST, SECOND, "--authority", "Order 7");
    const exhibits = eventsOf(await stage.run(["ls", "--json"])).filter(({ type }) => type === "exhibit");
    assertEquals(exhibits.map(({ corrections }) => (corrections as { count: number }).count), [1, 1]);
    const files = () => filesBelow(stage.store).filter((name) => !name.startsWith("custody/")).length;
    const before = files();
    const again = await correct(stage, FIRST, SECOND, "--authority", "Order 7");
    assertEquals(again.stderr.match(/is so already/g)?.length, 2);
    assertEquals(files(), before);
  }));

Deno.test("acquire says what the record of a held exhibit says otherwise, and does not take it in", () =>
  withExhibit(async (stage) => {
    const same = await stage.run([
      "acquire",
      FIRST,
      "--case",
      "2026-114",
      "--evidence",
      "7",
      "--examiner",
      "Else",
    ]);
    assertEquals(same.stderr.match(/stays so/g), null);
    const other = await stage.run(["acquire", FIRST, "--case", "2026-114", "--evidence", "8"]);
    assertExit(other, 0);
    assertMatch(
      other.stderr,
      /warning: the record of ex-\w+ says evidence number 7, not 8, and stays so: "coldcase correct/,
    );
    await correct(stage, FIRST, "--evidence", "8");
    const right = await stage.run(["acquire", FIRST, "--case", "2026-114", "--evidence", "8"]);
    assertEquals(right.stderr.match(/stays so/g), null);
  }));

Deno.test("acquire and correct warn of an evidence number that another snapshot has, and take it", () =>
  withExhibit(async (stage) => {
    const warning = (snapshot: string, other: string) =>
      new RegExp(
        `warning: evidence number 7 of ${snapshot} is that of ex-\\w+ \\(${other}\\), too: "coldcase correct`,
      );
    const first = await stage.run(["acquire", SECOND, "--case", "2026-114", "--evidence", "7"]);
    assertExit(first, 0);
    assertMatch(first.stderr, warning(SECOND, FIRST));
    assertEquals((await correct(stage, SECOND, "--evidence", "8")).stderr.match(/is that of/g), null);
    assertMatch((await correct(stage, SECOND, "--evidence", "7")).stderr, warning(SECOND, FIRST));
    const twice = ["--evidence", `${FIRST}=7`, "--evidence", `${SECOND}=7`];
    const both = await stage.run(["acquire", FIRST, SECOND, "--case", "2026-114", ...twice]);
    assertMatch(both.stderr, new RegExp(`evidence number 7 is given twice, to ${FIRST} and to ${SECOND}`));
  }));

Deno.test("verify names a key that corrected the case and did not sign the exhibit", () =>
  withExhibit(async (stage) => {
    const [key, publicFile] = [`${stage.folder}/second.key`, `${stage.folder}/second.pub`];
    const made = await stage.run(["keygen", "--sign", "-o", key]);
    Deno.writeTextFileSync(publicFile, /^ssh-ed25519 .*$/m.exec(made.stdout)![0]);
    await correct(stage, "7", "--case", "2026-115", "--sign-key", key);
    const [fingerprint] = /SHA256:\S+/.exec(
      (await stage.run(["info", "7"])).stdout.match(/^corrections .*$/m)![0],
    )!;
    const told = (await stage.run(["verify", "--quick"])).stdout;
    assertStringIncludes(told, `case corrected by ${fingerprint}, who did not sign the exhibit: compare the`);
    const first = `${stage.folder}/first.pub`;
    const keys = filesBelow(`${stage.store}/keys`).filter((name) => name.endsWith(".pub"));
    const texts = keys.map((name) => Deno.readTextFileSync(`${stage.store}/keys/${name}`));
    const second = Deno.readTextFileSync(publicFile).split(" ")[1]!;
    Deno.writeTextFileSync(first, texts.find((text) => !text.includes(second))!);
    const refused = await stage.run(["verify", "--quick", "--verify-key", first, "--json"]);
    assertExit(refused, 20);
    const codes = eventsOf(refused).filter(({ type }) => type === "finding").map(({ code }) => code);
    assertEquals(codes, ["signer_not_allowed"]);
    assertExit(await stage.run(["verify", "--quick", "--verify-key", first, "--verify-key", publicFile]), 0);
  }));

Deno.test("encrypted corrections need an identity, and are taken along by copy, encrypt and decrypt", () =>
  withExhibit(async (stage) => {
    const identity = `${stage.folder}/key.age`;
    assertExit(await stage.run(["keygen", "-o", identity]), 0);
    const [recipient] = /age1\S+/.exec(Deno.readTextFileSync(identity))!;
    await correct(stage, "7", "--case", "2026-115");
    const [closed, copy, plain] = ["closed", "copy", "plain"].map((name) => `${stage.folder}/${name}`) as [
      string,
      string,
      string,
    ];
    assertExit(await stage.run(["encrypt", "7", "--to", closed, "-r", recipient]), 0);
    const wrong = await stage.run(["correct", FIRST, "--notes", "n", "--reason", "x", "-s", closed]);
    assertRefusal(wrong, { exitCode: 12, names: ["encrypted"] });
    const right = await stage.run([
      "correct",
      FIRST,
      "--notes",
      "n",
      "--reason",
      "x",
      "-s",
      closed,
      "-i",
      identity,
    ]);
    assertExit(right, 0);
    const addenda = filesBelow(closed).filter((name) => /\/addendum-.*\.json/.test(name));
    assert(addenda.length === 2 && addenda.every((name) => name.endsWith(".age")), addenda.join());
    assertExit(await stage.run(["copy", FIRST, "--to", copy, "-s", closed]), 0);
    assertExit(await stage.run(["decrypt", "--to", plain, "-s", copy, "-i", identity]), 0);
    for (
      const [store, ...more] of [[closed, "-i", identity], [copy, "-i", identity], [plain]] as [
        string,
        ...string[],
      ][]
    ) {
      const info = eventOf(await stage.run(["info", FIRST, "-s", store, "--json", ...more]), "summary");
      const facts = info["caseFacts"] as Record<string, unknown>;
      assertEquals([facts["case"], facts["notes"]], ["2026-115", "n"], store);
      assertExit(await stage.run(["verify", "-s", store, "--quick", ...more]), 0);
    }
    assertExit(await stage.run(["verify", "-s", copy, "--quick"]), 0);
  }));

outside(
  "ssh-keygen verifies a correction's signature, and none over other bytes",
  ["ssh-keygen"],
  () =>
    withExhibit(async (stage) => {
      await correct(stage, "7", "--case", "2026-115");
      const [file] = filesBelow(stage.store).filter((name) => /\/addendum-.*\.json$/.test(name));
      const [signature] = filesBelow(stage.store).filter((name) => /\/addendum-.*\.sshsig$/.test(name));
      const [, short] = /\.([0-9a-f]{16})\.sshsig$/.exec(signature!)!;
      const verified = async (bytes: Uint8Array<ArrayBuffer>) => {
        const child = new Deno.Command("ssh-keygen", {
          args: ["-Y", "verify", "-f", `keys/${short}.allowed-signers`, "-I", `coldcase-${short}`]
            .concat(["-n", "coldcase-addendum@v1", "-s", signature!]),
          cwd: stage.store,
          stdin: "piped",
          stdout: "null",
          stderr: "null",
        }).spawn();
        const input = child.stdin.getWriter();
        await input.write(bytes);
        await input.close();
        return (await child.status).success;
      };
      const bytes = Deno.readFileSync(`${stage.store}/${file}`);
      assert(await verified(bytes));
      bytes[bytes.length >> 1]! ^= 1;
      assertEquals(await verified(bytes), false);
    }),
);

Deno.test("what is corrected reaches no terminal and no report as it was: no escape, no line of its own", () =>
  withExhibit(async (stage) => {
    const hostile = "8\ncoldcase: error: forged\n\x1b[2J\u202e| x |\n# Heading";
    const made = await stage.run([
      "correct",
      "7",
      "--evidence",
      hostile,
      "--notes",
      hostile,
      "--reason",
      hostile,
    ]);
    assertExit(made, 0);
    const runs = [made];
    for (const args of [["ls"], ["info", "7"], ["report", "7"], ["verify", "--quick"], ["custody"]]) {
      runs.push(await stage.run(args));
    }
    runs.push(await stage.run(["correct", FIRST, "--evidence", "9", "--reason", "y"]));
    for (const { exitCode, stdout, stderr } of runs) {
      assertEquals(exitCode, 0, stderr);
      for (const text of [stdout, stderr]) {
        const isHarmless = !["\x1b", "\u202e"].some((character) => text.includes(character)) &&
          !/^coldcase: error: forged|^# Heading/m.test(text);
        assert(isHarmless, text);
      }
    }
  }));

Deno.test("a correction that is damaged is told where the case is shown, and what was recorded stands", () =>
  withExhibit(async (stage) => {
    await correct(stage, "7", "--case", "2026-115");
    const [file] = filesBelow(stage.store).filter((name) => /\/addendum-.*\.json$/.test(name));
    flipBit(`${stage.store}/${file}`, 60);
    for (const args of [["ls"], ["info", "7"], ["export", "7", "-o", `${stage.folder}/x.img`]]) {
      const ended = await stage.run(args);
      assertExit(ended, 0);
      assertMatch(
        ended.stderr,
        /warning: ex-\w+: an addendum is not read, it may correct the case: .*addendum-/,
      );
    }
    const { caseFacts } = eventOf(await stage.run(["info", "7", "--json"]), "summary") as unknown as {
      caseFacts: Record<string, unknown>;
    };
    assertEquals(caseFacts["case"], "2026-114");
    for (const command of ["verify", "report"]) {
      assertRefusal(await stage.run([command, "7"]), { exitCode: 20, names: [file!, "correction"] });
    }
    const again = await stage.run(["correct", "7", "--case", "2026-115", "--reason", "Typing error"]);
    assertExit(again, 0);
    assertStringIncludes(again.stderr, "an addendum is not read");
  }));

Deno.test("corrections that were made apart disagree when the copies meet, until the next one settles it", () =>
  withExhibit(async (stage) => {
    const copy = `${stage.folder}/copy`;
    assertExit(await stage.run(["copy", "7", "--to", copy]), 0);
    await correct(stage, "7", "--evidence", "8");
    await correct(stage, "7", "--evidence", "9", "-s", copy);
    assertExit(await stage.run(["copy", FIRST, "--to", copy]), 0);
    const verified = await stage.run(["verify", "-s", copy, "--quick", "--json"]);
    assertExit(verified, 20);
    const codes = eventsOf(verified).filter(({ type }) => type === "finding").map(({ code }) => code);
    assertEquals(codes, ["correction_forked", "signer_unchecked"]);
    const listed = await stage.run(["ls", "-s", copy]);
    assertMatch(listed.stdout, / 7 +complete, CORRECTIONS DISAGREE, what was recorded is shown/);
    assertStringIncludes(listed.stderr, "which of them counts can't be told");
    assertStringIncludes(listed.stderr, 'until one more "coldcase correct" settles it');
    const report = await stage.run(["report", "8", "-s", copy]);
    assertExit(report, 20);
    assertStringIncludes(report.stdout, "**CORRECTIONS DISAGREE, what was recorded is shown.**");
    const settled = await correct(stage, "9", "--evidence", "8", "-s", copy);
    assertStringIncludes(settled.stdout, "settling 2 that disagreed");
    assertExit(await stage.run(["verify", "-s", copy, "--quick"]), 0);
    assertMatch((await stage.run(["ls", "-s", copy])).stdout, / 8 +complete, corrected: evidence number/);
  }));

Deno.test("a correction that settles others keeps what they agree on, and must say what they do not", () =>
  withExhibit(async (stage) => {
    const copy = `${stage.folder}/copy`;
    await correct(stage, "7", "--case", "2026-115", "--examiner", "B. Right");
    assertExit(await stage.run(["copy", "7", "--to", copy]), 0);
    await correct(stage, "7", "--authority", "Order 7");
    await correct(stage, "7", "--authority", "Order 8", "-s", copy);
    assertExit(await stage.run(["copy", FIRST, "--to", copy]), 0);
    const files = () => filesBelow(copy).filter((name) => name.includes("/addendum-")).length;
    const before = files();
    const said = ["correct", FIRST, "--reason", "Asked the court", "-s", copy];
    const open = await stage.run([...said, "--notes", "Read again"]);
    assertExit(open, 2);
    assertMatch(
      open.stderr,
      /they disagree on authority \("Order [78]", "Order [78]"\), expected what is right/,
    );
    assertMatch(open.stderr, /hint: Say it with the rest: coldcase correct ex-\w+ --authority …; --clear/);
    assertEquals(files(), before, "nothing was settled");
    assertExit(await stage.run([...said, "--authority", "Order 9"]), 0);
    const [facts] = eventsOf(await stage.run(["info", FIRST, "-s", copy, "--json"]));
    const { authority, case: caseName, evidence, examiner } = facts!["caseFacts"] as Record<string, string>;
    assertEquals([authority, caseName, evidence, examiner], ["Order 9", "2026-115", "7", "B. Right"]);
    assertExit(await stage.run(["verify", "-s", copy, "--quick"]), 0);
  }));
