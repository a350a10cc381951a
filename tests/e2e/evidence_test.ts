/**
 * Evidence from end to end: who signed, what the custody log says of each command, also where it failed or the
 * store can't be written to, and that a hand-over leaves both logs whole.
 */
import { assert, assertEquals, assertMatch, assertNotEquals, assertStringIncludes } from "@std/assert";
import { createHash } from "node:crypto";
import { toolPath } from "../outside.ts";
import { flipBit } from "../store/fixtures.ts";
import { FIRST, type Stage, withStage } from "./endpoint.ts";
import { writeRandomBlocks } from "./images.ts";
import { assertExit, assertRefusal, type Ended, eventOf, eventsOf, type JsonEvent } from "./program.ts";

function withSnapshot(body: (stage: Stage) => Promise<void>): Promise<void> {
  return withStage(async (folder) => {
    await writeRandomBlocks(`${folder}/disk.img`, [0, 3]);
    return { snapshots: [{ id: FIRST, path: `${folder}/disk.img` }] };
  }, body);
}

/** The same, with the snapshot acquired. */
function withExhibit(body: (stage: Stage) => Promise<void>): Promise<void> {
  return withSnapshot(async (stage) => {
    assertExit(await stage.run(["acquire", FIRST]), 0);
    await body(stage);
  });
}

/** Digests of the heads that a run told of, in order. */
function headsOf(ended: Ended): string[] {
  return [
    ...ended.stderr.matchAll(
      /^coldcase: custody log: entry \d+ of chain [0-9a-f]{32}, head ([0-9a-f]{64})$/gm,
    ),
  ]
    .map(([, head]) => head!);
}

/** What the log says, the oldest first. Fails where it is not whole. */
async function logOf(stage: Stage, store = stage.store): Promise<JsonEvent[]> {
  const ended = await stage.run(["custody", "--json", "--store", store]);
  assertExit(ended, 0);
  const entries = eventsOf(ended).filter(({ type }) => type === "entry");
  return entries.sort((a, b) => String(a["at"]) < String(b["at"]) ? -1 : 1);
}

function resultOf(entry: JsonEvent | undefined) {
  return entry!["result"] as { exitCode: number; outcome: string; facts: Record<string, unknown> };
}

/** A key of its own, and the file with its public half. */
async function makeKey(stage: Stage, name: string): Promise<{ path: string; publicFile: string }> {
  const path = `${stage.folder}/${name}.key`;
  const ended = await stage.run(["keygen", "--sign", "-o", path]);
  assertExit(ended, 0);
  const publicFile = `${path}.public`;
  Deno.writeTextFileSync(
    publicFile,
    ended.stdout.split("\n").find((line) => line.startsWith("ssh-ed25519"))! + "\n",
  );
  return { path, publicFile };
}

function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function filesOf(folder: string, ending: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => name.endsWith(ending)).sort();
}

Deno.test("acquire, verify, export, sign and copy each enter the custody log and print its head", async () => {
  await withSnapshot(async (stage) => {
    const second = await makeKey(stage, "second");
    const copy = `${stage.folder}/copy`;
    const runs: [string, string[]][] = [
      ["acquire", ["acquire", FIRST, "--reason", "order 7"]],
      ["verify", ["verify"]],
      ["export", ["export", FIRST, "-o", `${stage.folder}/out.img`]],
      ["sign", ["sign", FIRST, "--sign-key", second.path]],
      ["copy", ["copy", FIRST, "--to", copy, "--reason", "to the laboratory"]],
    ];
    const heads: string[] = [];
    for (const [action, words] of runs) {
      const ended = await stage.run(words);
      assertExit(ended, 0);
      assertEquals(headsOf(ended).length, action === "copy" ? 2 : 1, ended.stderr);
      heads.push(...headsOf(ended));
    }
    const [given, taken] = [await logOf(stage), await logOf(stage, copy)];
    assertEquals(given.map(({ action }) => action), runs.map(([action]) => action));
    assertEquals(
      given.map((entry) => [resultOf(entry).exitCode, resultOf(entry).outcome]),
      given.map(() => [0, "done"]),
    );
    assertEquals([given[0]!["reason"], given[1]!["reason"], given[4]!["reason"]], [
      "order 7",
      null,
      "to the laboratory",
    ]);
    assertEquals(given[4]!["commandLine"], runs[4]![1]);
    assert(Number.isInteger(given[0]!["clockSkewMs"]));
    const digests = new Set([...given, ...taken].map(({ digest }) => digest));
    assertEquals(heads.filter((head) => !digests.has(head)), []);
    assertEquals(digests.size, heads.length);
    // What was known when it was handed over went along; the taking side's own entry is in a chain of its own.
    assertEquals(taken.map(({ action }) => action), ["acquire", "verify", "export", "sign", "copy"]);
    assertNotEquals(taken[4]!["chain"], given[4]!["chain"]);
    for (const entry of [...given, ...taken]) assertEquals((entry["exhibits"] as unknown[]).length, 1);
    const exported = resultOf(given[2]).facts;
    const { exhibit } = eventOf(await stage.run(["info", FIRST, "--json"]), "summary");
    const folder = `exhibits/${exhibit}`;
    const [addendum, ...more] = filesOf(`${stage.store}/${folder}`, ".json").filter((name) =>
      name.startsWith("addendum")
    );
    // The log is never encrypted: it names what says the digests, and says none of contents itself.
    assertEquals([exported, more], [
      { target: `${stage.folder}/out.img`, addendum: `${folder}/${addendum}` },
      [],
    ]);
    const { digests: added } = JSON.parse(Deno.readTextFileSync(`${stage.store}/${folder}/${addendum}`));
    const sha256 = sha256Of(Deno.readFileSync(`${stage.folder}/out.img`));
    assertEquals(added, { md5: null, sha1: null, sha256 });
    const [manifest] = filesOf(`${stage.store}/${folder}`, ".json").filter((name) =>
      name.startsWith("manifest")
    );
    const manifestDigest = sha256Of(Deno.readFileSync(`${stage.store}/${folder}/${manifest}`));
    const commitment = sha256Of(new TextEncoder().encode(`coldcase-commitment-v1\n${manifestDigest}\n`));
    for (const entry of [...given, ...taken]) {
      assertEquals(entry["exhibits"], [{ commitment, exhibit }]);
      const told = JSON.stringify(entry);
      assert(!told.includes(sha256) && !told.includes(manifestDigest), told);
    }
    const receipts = [stage.store, copy].map((store) => filesOf(`${store}/receipts`, ".json"));
    assertEquals([receipts[0]!.length, receipts[1]], [1, receipts[0]]);
    for (const store of [stage.store, copy]) {
      const verified = await stage.run(["verify", "--store", store, "--json"]);
      assertExit(verified, 0);
      assertEquals((eventOf(verified, "summary")["signers"] as string[]).length, 2);
      assertEquals(headsOf(verified), [eventOf(verified, "custody")["digest"]]);
    }
  });
});

Deno.test("the custody log says how a command failed", async () => {
  await withExhibit(async (stage) => {
    Deno.writeTextFileSync(`${stage.folder}/there`, "a file of somebody's");
    assertRefusal(await stage.run(["export", FIRST, "-o", `${stage.folder}/there`]), {
      exitCode: 2,
      names: ["there"],
    });
    assertRefusal(await stage.run(["sign", "ex-0123456789abcdef"]), {
      exitCode: 10,
      names: ["ex-0123456789abcdef"],
    });
    const { exhibit } = eventOf(await stage.run(["info", FIRST, "--json"]), "summary");
    const folder = `${stage.store}/exhibits/${exhibit}`;
    const [manifest] = filesOf(folder, ".json");
    flipBit(`${folder}/${manifest}`, 40);
    assertRefusal(await stage.run(["verify"]), { exitCode: 20, names: [manifest!] });
    flipBit(`${folder}/${manifest}`, 40);
    const results = (await logOf(stage)).map((
      entry,
    ) => [entry["action"], resultOf(entry).exitCode, resultOf(entry).outcome]);
    assertEquals(results, [
      ["acquire", 0, "done"],
      ["export", 2, "usage"],
      ["sign", 10, "not_found"],
      ["verify", 20, "integrity"],
    ]);
  });
});

Deno.test("verify tells who signed, and with --verify-key refuses whom nobody vouched for", async () => {
  await withExhibit(async (stage) => {
    const { path, publicFile } = await makeKey(stage, "second");
    const info = eventOf(await stage.run(["info", FIRST, "--json"]), "summary");
    const own = String(info["verifyingKeyFile"]);
    const unchecked = await stage.run(["verify", "--json"]);
    assertExit(unchecked, 0);
    assertEquals(eventOf(unchecked, "summary")["isAuthenticated"], false);
    assertEquals(eventOf(unchecked, "finding")["code"], "signer_unchecked");
    for (const file of [own, String(info["allowedSignersFile"])]) {
      const verified = await stage.run(["verify", "--verify-key", file, "--json"]);
      assertExit(verified, 0);
      assertEquals(eventOf(verified, "summary")["isAuthenticated"], true);
    }
    const refused = await stage.run(["verify", "--verify-key", publicFile, "--json"]);
    assertExit(refused, 20);
    assertEquals(eventOf(refused, "summary")["isAuthenticated"], false);
    const findings = eventsOf(refused).filter(({ code }) => code === "signer_not_allowed");
    assert(findings.some(({ file }) => String(info["signatureFile"]).endsWith(String(file))), refused.stdout);
    assertExit(await stage.run(["sign", FIRST, "--sign-key", path]), 0);
    assertExit(await stage.run(["verify", "--verify-key", own]), 20);
    assertExit(await stage.run(["verify", "--verify-key", own, "--verify-key", publicFile]), 0);
    const names = [`${stage.folder}/none`];
    assertRefusal(await stage.run(["verify", "--verify-key", names[0]!]), { exitCode: 2, names });
  });
});

Deno.test("custody --append adds an entry, --custody-head misses one that was cut off", async () => {
  await withExhibit(async (stage) => {
    const notes = ["Disk sealed, bag 4711", "Bag opened", "Bag closed"];
    const appended = await Promise.all(notes.map((note) => stage.run(["custody", "--append", note])));
    for (const ended of appended) assertExit(ended, 0);
    const entries = await logOf(stage);
    assertEquals(entries.slice(1).map((entry) => resultOf(entry).facts["note"]).toSorted(), notes.toSorted());
    assertEquals(entries.map(({ sequence }) => sequence).toSorted(), [0, 1, 2, 3]);
    const newest = entries.find(({ sequence }) => sequence === 3)!;
    const head = String(newest["digest"]);
    assert(appended.flatMap(headsOf).includes(head));
    assertExit(await stage.run(["custody", "--custody-head", head]), 0);
    assertRefusal(await stage.run(["custody", "--custody-head", "12"]), { exitCode: 2, names: ["12"] });
    const folder = `${stage.store}/custody/${newest["chain"]}`;
    for (const name of filesOf(folder, "").filter((name) => name.includes(head))) {
      Deno.removeSync(`${folder}/${name}`);
    }
    assertExit(await stage.run(["custody"]), 0);
    assertRefusal(await stage.run(["custody", "--custody-head", head]), { exitCode: 20, names: [head] });
    const [first] = filesOf(folder, ".json");
    flipBit(`${folder}/${first}`, 30);
    assertRefusal(await stage.run(["custody"]), { exitCode: 20, names: [first!] });
  });
});

Deno.test("info --json names the files with which others check an exhibit", async () => {
  await withExhibit(async (stage) => {
    const info = eventOf(await stage.run(["info", FIRST, "--json"]), "summary");
    const members = [
      "manifestFile",
      "signatureFile",
      "ed25519SignatureFile",
      "verifyingKeyFile",
      "allowedSignersFile",
    ];
    for (const member of [...members, "inventoryFile"]) {
      const path = String(info[member]);
      assert(path.startsWith(`${stage.store}/`) && Deno.statSync(path).size > 0, `${member}: ${path}`);
    }
    assertEquals(new Set(members.map((member) => info[member])).size, members.length);
    const manifest = JSON.parse(Deno.readTextFileSync(String(info["manifestFile"])));
    assertMatch(String(info["imageDigest"]), /^[0-9a-f]{64}$/);
    assertEquals(manifest.imageDigest, info["imageDigest"]);
    assertEquals(info["signers"], [manifest.acquisition.signer]);
    assertStringIncludes(Deno.readTextFileSync(String(info["allowedSignersFile"])), `${info["principal"]} `);
  });
});

/** Shows `folder` read-only at another place; false where this host does not allow it. */
async function mount(folder: string, at: string): Promise<boolean> {
  const [program, uid] = [toolPath("mount"), Deno.uid()];
  if (program === undefined || uid !== 0) return false;
  const run = async (...args: string[]) => (await new Deno.Command(program, { args }).output()).success;
  Deno.mkdirSync(at);
  return await run("--bind", folder, at) && await run("-o", "remount,ro,bind", at);
}

Deno.test("a store that can't be written to is read; its entry goes to --custody-out, or is missed aloud", async () => {
  await withExhibit(async (stage) => {
    const at = `${stage.folder}/read-only`;
    try {
      if (!await mount(stage.store, at)) {
        // deno-lint-ignore no-console
        console.log("skipped: read-only store: needs root and mount");
        return;
      }
      const missed = await stage.run(["verify", "--store", at]);
      assertExit(missed, 0);
      assertStringIncludes(missed.stderr, "not entered into the custody log");
      assertStringIncludes(missed.stderr, "--custody-out");
      const file = `${stage.folder}/entry.json`;
      const kept = await stage.run(["verify", "--store", at, "--custody-out", file, "--reason", "a look"]);
      assertExit(kept, 0);
      assertStringIncludes(kept.stderr, file);
      assertEquals(kept.stderr.includes("not entered"), false);
      const entry = JSON.parse(Deno.readTextFileSync(file));
      const [acquired] = await logOf(stage);
      assertEquals([entry.action, entry.reason, entry.sequence, entry.previous], [
        "verify",
        "a look",
        1,
        acquired!["digest"],
      ]);
      assertStringIncludes(Deno.readTextFileSync(`${file}.sshsig`), "BEGIN SSH SIGNATURE");
      const image = `${stage.folder}/out.img`;
      const exported = await stage.run(["export", FIRST, "--store", at, "-o", image]);
      assertExit(exported, 0);
      assertStringIncludes(exported.stderr, "not added to the exhibit");
      const copy = await stage.run(["copy", FIRST, "--store", at, "--to", `${stage.folder}/copy`]);
      assertExit(copy, 0);
      assertStringIncludes(copy.stderr, "no receipt in");
      assertEquals((await logOf(stage, `${stage.folder}/copy`)).length, 2);
      assertEquals((await logOf(stage)).length, 1);
    } finally {
      await new Deno.Command("umount", { args: [at], stdout: "null", stderr: "null" }).output();
    }
  });
});
