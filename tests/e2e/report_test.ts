/**
 * `report` against what happened: every number, place and request id as the simulated endpoint itself saw it, text
 * from outside that stays text, and the printed commands run by sh, which knows nothing of coldcase.
 */
import { assert, assertEquals, assertGreater, assertMatch, assertStringIncludes } from "@std/assert";
import type { ReportData } from "../../src/commands/_report.ts";
import { sha256 } from "../../src/format/digests.ts";
import type { SimulatorOptions } from "../../src/simulate/mod.ts";
import { outside, toolPath } from "../outside.ts";
import { FIRST, SECOND, type Stage, withStage } from "./endpoint.ts";
import { BLOCK_BYTES, every, writeRandomBlocks } from "./images.ts";
import { assertExit, type Ended, eventOf, summaryOf } from "./program.ts";

const BLOCKS = 10;
/** A block that the snapshot has and never gives. */
const BAD = 4;

const IMAGED = "Created by CreateImage(i-0123456789abcdef0) for ami-0123456789abcdef0";

function withSnapshots(options: SimulatorOptions, body: (stage: Stage) => Promise<void>): Promise<void> {
  return withStage(async (folder) => {
    const [first, second] = [`${folder}/disk.img`, `${folder}/later.img`];
    await writeRandomBlocks(first, every(3, { from: 1, count: BLOCKS }));
    await writeRandomBlocks(second, [7], first);
    const snapshots = [
      { id: FIRST, path: first, volumeId: "vol-1", description: IMAGED },
      { id: SECOND, path: second, volumeId: "vol-1" },
    ];
    return { ...options, snapshots };
  }, body);
}

/** Runs the program with a configuration folder of the test's own. */
function run(stage: Stage, ...args: string[]): Promise<Ended> {
  return stage.run(args, { env: { XDG_CONFIG_HOME: `${stage.folder}/config` } });
}

async function markdownOf(stage: Stage, snapshot = FIRST): Promise<string> {
  const ended = await run(stage, "report", snapshot);
  assertExit(ended, 0);
  return ended.stdout;
}

async function dataOf(stage: Stage, snapshot = FIRST): Promise<ReportData> {
  const ended = await run(stage, "report", snapshot, "--json");
  assertExit(ended, 0);
  return eventOf(ended, "report") as unknown as ReportData;
}

/** What the table says of a fact, the number of its file behind it. */
function recorded(markdown: string, what: string): string[] {
  const lines = markdown.split("\n").filter((line) => line.startsWith(`| ${what} | `));
  return lines.map((line) => line.slice(`| ${what} | `.length, -" |".length));
}

Deno.test("report says what the endpoint saw: counts, retries, throttles, request ids, places", async () => {
  await withSnapshots({ faults: `bad-block:${BAD}=checksum` }, async (stage) => {
    stage.fault = (index, attempt) =>
      attempt > 0 ? undefined : index === 1 ? "error500" : index === 10 ? "throttle" : undefined;
    const acquired = await run(stage, "acquire", FIRST, "--examiner", "A. Examiner", "--json");
    assertExit(acquired, 3);
    const { requests } = stage.simulator;
    const seen = requests.recent();
    const data = await dataOf(stage);
    const markdown = await markdownOf(stage);

    const { storedBlocks, zeroBlocks, absentBlocks, unreadableBlocks } = data;
    assertEquals([storedBlocks, zeroBlocks, absentBlocks, unreadableBlocks], [
      BLOCKS - 1,
      0,
      2048 - BLOCKS,
      1,
    ]);
    assertEquals(recorded(markdown, "Stored: listed, read, held"), ["9 blocks (4.5 MiB) | [1]"]);
    assertEquals(recorded(markdown, "Unreadable: listed, not read"), ["1 block (512 KiB) | [1]"]);

    const [session] = data.sessions.entries;
    const asked = requests.count("GetSnapshotBlock");
    assertEquals(session?.getRequests, asked);
    assertEquals(session?.listRequests, requests.count("ListSnapshotBlocks"));
    const { retries, throttles, clockSkewMs } = data.manifest.acquisition;
    assertEquals(throttles, requests.of("GetSnapshotBlock").byFault["throttle"]);
    // What was throttled was asked for again too, and is counted as that.
    assertEquals(retries + throttles, asked - BLOCKS);
    const others = requests.count("DescribeSnapshots") + requests.count("GetCallerIdentity");
    assertEquals(session?.otherRequests, others);
    assertEquals(recorded(markdown, "Requests since its start"), [
      `${session?.listRequests} for lists, ${asked} for blocks, ${others} to EC2 and STS | [3]`,
    ]);
    const [described] = requests.recent().filter(({ call }) => call === "DescribeSnapshots");
    const { answer, receivedAt, requestId } = data.description;
    assertEquals([requestId, data.manifest.acquisition.descriptionResult], [
      described!.requestId,
      "received",
    ]);
    assertEquals((answer as { SnapshotId: string }).SnapshotId, FIRST);
    assertEquals(recorded(markdown, "The service's own answer"), [
      `kept verbatim (DescribeSnapshots), received at ${receivedAt}, request id \`${requestId}\` | [1], [${data.description.file}]`,
    ]);
    assertEquals(recorded(markdown, "Instance that the description names"), ["i-0123456789abcdef0 | [1]"]);
    const { tool, destination, callerUserId } = session!;
    assertEquals(recorded(markdown, "Tool").map((cell) => cell.split(",")[0]), [
      `${tool.name} ${tool.version}`,
      `${tool.name} ${tool.version}`,
    ]);
    const [destinations] = recorded(markdown, "Destination, its file system");
    assert(destinations!.endsWith(`, ${destination.fileSystem} | [3]`), destinations);
    assertEquals(destination.path, stage.store);
    assertEquals(recorded(markdown, "Caller's unique id"), [`${callerUserId} | [3]`]);
    assertEquals(recorded(markdown, "Retries"), [`${retries} | [1]`]);
    assertEquals(recorded(markdown, "Throttles"), ["1 | [1]"]);
    assertEquals(recorded(markdown, "AWS's clock minus the host's")[0], `${clockSkewMs} ms | [1]`);

    const ids = (matches: (entry: typeof seen[number]) => boolean) =>
      seen.filter(matches).map(({ requestId }) => requestId);
    const [place] = data.unreadable.ranges;
    const badIds = ids(({ index, call }) => call === "GetSnapshotBlock" && index === BAD);
    assertEquals(place?.requestIds, badIds);
    assertEquals([place?.firstByte, place?.lastByte], [BAD * BLOCK_BYTES, (BAD + 1) * BLOCK_BYTES - 1]);
    assertStringIncludes(markdown, `| ${BAD * BLOCK_BYTES} | ${(BAD + 1) * BLOCK_BYTES - 1} | checksum: `);
    for (const id of badIds) assertStringIncludes(markdown, `\`${id}\``);

    const failed = ids(({ fault, call }) => call === "GetSnapshotBlock" && fault !== undefined);
    const told = session!.events.filter(({ kind }) => kind === "failed_request" || kind === "throttle");
    assertEquals(told.map(({ requestId }) => requestId).sort(), [...failed].sort());
    const ebs = ids(({ call }) => call === "GetSnapshotBlock" || call === "ListSnapshotBlocks");
    assertEquals(session?.firstRequestId, ebs[0]);
    assert(ebs.includes(session?.lastRequestId ?? ""));
    assertEquals(recorded(markdown, "First request id"), [`\`${ebs[0]}\` | [3]`]);
    assertEquals(recorded(markdown, "Examiner"), ["A. Examiner | [1]", "A. Examiner | [3]"]);
    assertGreater(data.manifest.acquisition.receivedBytes, (BLOCKS - 1) * BLOCK_BYTES);
  });
});

Deno.test("report begins with what it is not, and computes no SHA-256 that nobody computed", async () => {
  await withSnapshots({ faults: `bad-block:${BAD}=checksum` }, async (stage) => {
    const notes = "# a title\n| a | row | [link](http://example.com) <b>`code`</b> \x1b[2J\u202e";
    assertExit(await run(stage, "acquire", FIRST, "--case", "C|1", "--notes", notes), 3);
    const before = await markdownOf(stage);
    const [first, , second] = before.split("\n");
    assertMatch(first!, /^\*\*NOT ACQUIRED FROM AWS but from http/);
    assertEquals(second, "**INCOMPLETE, 1 unreadable**");
    assertStringIncludes(before, "**NOT COMPUTED**");
    assertStringIncludes(before, "image root (Merkle, not a file's SHA-256)");
    assertStringIncludes(before, "The custody log names no verification of this exhibit.");
    assertEquals(recorded(before, "Case"), ["C\\|1 | [1]"]);
    for (const markup of ["\n# a title", "<b>", "\x1b", "\u202e"]) {
      assert(!before.includes(markup), markup);
    }
    assert(!/[^\\]\]\(|[^\\]:\/\/example/.test(before), "a link");

    const image = `${stage.folder}/out.img`;
    assertExit(await run(stage, "export", FIRST, "-o", image, "--digests", "sha256"), 3);
    assertExit(await run(stage, "verify", FIRST), 0);
    const after = await markdownOf(stage);
    const digest = sha256(await Deno.readFile(image));
    assert(!after.includes("NOT COMPUTED"));
    const row = after.split("\n").find((line) => line.startsWith("| SHA-256 | "))!;
    assertStringIncludes(row, `\`${digest}\``);
    assertStringIncludes(row, "2,038 absent, 1 unreadable blocks, of 1073741824 bytes");
    assertMatch(after, /\| this exhibit: exit code 0; level full \| done \(0\) \|/);

    const json = JSON.parse((await run(stage, "report", FIRST, "--format", "json")).stdout);
    assertEquals(json.manifest.acquisition.case.notes, notes);
    assertEquals(json.addenda[0].digests.sha256, digest);
    assertEquals(json.custody.shown.map(({ action }: { action: string }) => action), [
      "acquire",
      "export",
      "verify",
    ]);
    const log = (await run(stage, "custody", "--json")).stdout;
    assert(!log.includes('"report"'), "a report is no entry of the log");
  });
});

Deno.test("report tells what may not be asked from what was not asked", async () => {
  await withSnapshots({ deny: ["ec2:DescribeSnapshots", "sts:GetCallerIdentity"] }, async (stage) => {
    assertExit(await run(stage, "acquire", FIRST), 0);
    const refused = await markdownOf(stage);
    assertMatch(recorded(refused, "Caller")[0]!, /^not told: Cannot .* \| \[3\]$/);
    assertMatch(
      recorded(refused, "The service's own answer")[0]!,
      /^not permitted: Cannot .* \| \[1\], \[3\]$/,
    );
    const action = "ec2:DescribeSnapshots";
    assertStringIncludes(recorded(refused, "The service's own answer")[0]!, action);
    assertEquals(recorded(refused, "Owner account"), ["not told | [1]"]);

    const running = await stage.startHeldAfter(2, [
      "acquire",
      SECOND,
      "--parent",
      "none",
      "--concurrency",
      "1",
    ]);
    running.kill("SIGINT");
    assertExit(await running.ended, 130);
    stage.release();
    assertExit(await run(stage, "acquire", SECOND, "--commit-partial"), 3);
    const partial = recorded(await markdownOf(stage, SECOND), "The service's own answer")[0]!;
    assertMatch(partial, /^not asked \| /);
  });
});

Deno.test("report names the parent, on whose word blocks were taken over, and each session", async () => {
  await withSnapshots({}, async (stage) => {
    const env = { XDG_CONFIG_HOME: `${stage.folder}/config` };
    const args = ["acquire", FIRST, "--concurrency", "1", "--evidence", "7"];
    const running = await stage.startHeldAfter(4, args);
    running.kill("SIGINT");
    assertExit(await running.ended, 130);
    stage.release();
    assertExit(await stage.run([...args, "--examiner", "B"], { env }), 0);
    const first = await dataOf(stage);
    assertEquals(first.sessions.entries.length, 2);
    assertStringIncludes(await markdownOf(stage), "| Interruptions | 1: interrupted | ");
    assertEquals(first.lineage, []);

    const acquired = await run(stage, "acquire", SECOND, "--json");
    assertExit(acquired, 0);
    const { parent } = summaryOf(acquired);
    assertEquals(parent, first.exhibit);
    const second = await dataOf(stage, SECOND);
    assertEquals(second.lineage.map(({ exhibit, fault }) => [exhibit, fault]), [[parent!, null]]);
    assertEquals(second.lineage[0]?.imageDigest, first.imageDigest);
    const text = await markdownOf(stage, SECOND);
    assertStringIncludes(text, "9 blocks (4.5 MiB) were taken over from");
    assertStringIncludes(text, "**not read from this snapshot**");
    const since = second.manifest.acquisition.takenOverReadSince;
    assertEquals(since, first.startedAt);
    assertStringIncludes(text, `at the earliest ${since}`);
  });
});

/** The block of commands that a report prints. */
function commandsOf(markdown: string): string {
  return /^```sh\n([\s\S]*?)^```$/m.exec(markdown)?.[1] ?? "";
}

async function sh(commands: string, cwd: string): Promise<{ success: boolean; said: string }> {
  const command = new Deno.Command(toolPath("sh")!, { args: ["-c", commands], cwd, stdin: "null" });
  const { success, stdout, stderr } = await command.output();
  return { success, said: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

outside(
  "the commands that a report prints run, succeed, and fail on a changed pack and on a changed log",
  ["sh", "sha256sum", "ssh-keygen", "openssl", "jq"],
  async () => {
    await withSnapshots({}, async (stage) => {
      assertExit(await run(stage, "acquire", FIRST), 0);
      const witness = `${stage.folder}/witness.key`;
      assertExit(await run(stage, "keygen", "--sign", "-o", witness), 0);
      assertExit(await run(stage, "sign", FIRST, "--sign-key", witness), 0);
      assertExit(await run(stage, "export", FIRST, "-o", `${stage.folder}/out.img`), 0);
      const markdown = await markdownOf(stage);
      const commands = commandsOf(markdown);
      const good = await sh(commands, stage.store);
      assert(good.success, good.said);
      // Two keys over manifest and inventory, one over the addendum, and each entry of the log.
      assertEquals(good.said.match(/^Good "coldcase-/gm)?.length, 5 + 3, good.said);
      assertEquals(good.said.match(/Signature Verified Successfully/g)?.length, 5, good.said);
      assertEquals((markdown.match(/not authenticated: compare the fingerprint/g) ?? []).length, 4);

      for (const name of ["packs", "custody"]) {
        const path = firstFile(`${stage.store}/${name}`);
        const bytes = await Deno.readFile(path);
        await Deno.chmod(path, 0o600);
        const changed = bytes.slice();
        changed[30]! ^= 1;
        await Deno.writeFile(path, changed);
        assert(!(await sh(commands, stage.store)).success, name);
        assertEquals((await run(stage, "report", FIRST)).exitCode, name === "packs" ? 0 : 20);
        await Deno.writeFile(path, bytes);
      }

      const handedOver = `${stage.folder}/two`;
      assertExit(await run(stage, "copy", FIRST, "--to", handedOver, "--reason", "to the laboratory"), 0);
      const there = await run(stage, "report", FIRST, "--store", handedOver);
      assertExit(there, 0);
      assertMatch(there.stdout, /^Handed over at .* bytes; to the laboratory\. \[\d+\]$/m);
      const repeated = await sh(commandsOf(there.stdout), handedOver);
      assert(repeated.success, repeated.said);
    });
  },
);

/** A pack, or an entry of the custody log, wherever it lies. */
function firstFile(folder: string): string {
  const entries = [...Deno.readDirSync(folder)].sort((a, b) => a.name < b.name ? -1 : 1);
  const file = entries.find(({ isFile, name }) => isFile && /\.(pack|json)$/.test(name));
  return file ? `${folder}/${file.name}` : firstFile(`${folder}/${entries[0]!.name}`);
}

Deno.test("report --verify-key names the signer as one of those given, or fails", async () => {
  await withSnapshots({}, async (stage) => {
    assertExit(await run(stage, "acquire", FIRST), 0);
    const other = `${stage.folder}/other.key`;
    const made = await run(stage, "keygen", "--sign", "-o", other);
    const line = made.stdout.split("\n")[1]!;
    await Deno.writeTextFile(`${stage.folder}/other.pub`, `${line}\n`);
    const { files, signatures } = await dataOf(stage);
    const own = files.find(({ number }) => number === signatures[0]!.allowedSignersFile)!.file;
    const known = await run(stage, "report", FIRST, "--verify-key", `${stage.store}/${own}`);
    assertExit(known, 0);
    assertStringIncludes(known.stdout, "one of the keys given");
    const stranger = await run(stage, "report", FIRST, "--verify-key", `${stage.folder}/other.pub`);
    assertExit(stranger, 20);
    assertStringIncludes(stranger.stdout, "NONE OF THE KEYS GIVEN");
    assertStringIncludes(stranger.stdout, "**DAMAGED OR NOT AUTHENTIC, 2 findings");
    assertStringIncludes(stranger.stderr, "none of the keys that were given");
  });
});
