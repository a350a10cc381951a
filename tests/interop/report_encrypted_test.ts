/**
 * The report of an encrypted exhibit: the commands that it prints run in a shell, with age and an identity, and find
 * damage; what nobody opened for it is not told as if it were not there.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { makeIdentity, type NewIdentity } from "../../src/cipher_age.ts";
import { encodeIdentityFile } from "../../src/cipher_age_files.ts";
import { acquireAt, filesBelow, flipBit, noise, shapeOf, withFolder } from "../store/fixtures.ts";
import { assertExit, coldcase, type Ended, eventOf } from "../e2e/program.ts";
import { outside, toolPath } from "../outside.ts";

const BLOCK = 1 << 18;
const ORDER = { volume: new Map([[0, noise(1, BLOCK)], [9, noise(2, BLOCK)]]), shape: shapeOf(BLOCK) };

/** A store with an exhibit that was exported, for Alice and, but for the addendum, for Bob. */
function withReported(
  body: (made: {
    readonly store: string;
    readonly addendum: string;
    keyOf(name: "alice" | "bob"): string;
    run(...args: readonly string[]): Promise<Ended>;
  }) => Promise<void>,
): Promise<void> {
  return withFolder(async (folder) => {
    const [alice, bob]: [NewIdentity, NewIdentity] = [
      await makeIdentity("x25519"),
      await makeIdentity("x25519"),
    ];
    const keyOf = (name: string) => `${folder}/${name}.age`;
    for (const [name, identity] of Object.entries({ alice, bob })) {
      Deno.writeTextFileSync(keyOf(name), encodeIdentityFile(identity, { atMs: 0 }), { mode: 0o600 });
    }
    const store = `${folder}/store`;
    const recipients = { contents: [alice.recipient], lineage: null };
    const id = await acquireAt(store, ORDER, { recipients });
    const run = ([verb, ...args]: readonly string[]) => coldcase([verb!, id, "-s", store, ...args]);
    const added = await coldcase([
      "recipients",
      "add",
      id,
      "-s",
      store,
      "-r",
      bob.recipient,
      "-i",
      keyOf("alice"),
    ]);
    assertExit(added, 0);
    assertExit(await run(["export", "-i", keyOf("alice"), "-o", `${folder}/image`]), 0);
    const addendum = filesBelow(store).find((name) => /\/addendum-.*\.age$/.test(name))!;
    await body({ store, addendum, keyOf, run: (...args) => run(args) });
  }, { onDisk: true });
}

/** Runs the block of commands in a report. */
async function runPrinted(markdown: string, cwd: string, env: Record<string, string>) {
  const commands = /```sh\n([\s\S]*?)```/.exec(markdown)![1]!;
  const { success, stdout, stderr } = await new Deno.Command(toolPath("sh")!, {
    args: ["-c", commands],
    cwd,
    env,
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { success, said: text(stdout) + text(stderr) };
}

outside(
  "the commands that a report of an encrypted exhibit prints run with age, and fail on damage",
  ["sh", "sha256sum", "ssh-keygen", "openssl", "jq", "age"],
  () =>
    withReported(async ({ store, keyOf, run }) => {
      const report = await run("report", "-i", keyOf("alice"));
      assertExit(report, 0);
      const env = { KEY: keyOf("alice"), TMPDIR: `${store}/..` };
      const good = await runPrinted(report.stdout, store, env);
      assert(good.success, good.said);
      for (const kind of ["manifest", "inventory", "addendum", "custody"]) {
        assertStringIncludes(good.said, `Good "coldcase-${kind}@v1" signature`);
      }
      // Manifest, inventory and addendum.
      assertEquals(good.said.match(/Signature Verified Successfully/g)?.length, 3, good.said);
      assert(
        !filesBelow(`${store}/..`).some((name) => name.startsWith("tmp.")),
        "what was opened is left behind",
      );
      const none = await runPrinted(report.stdout, store, { ...env, KEY: "" });
      assert(!none.success && none.said.includes("identity file"), none.said);
      for (const start of ["packs/", "segments/", "exhibits/"]) {
        const file = `${store}/${
          filesBelow(store).find((name) => name.startsWith(start) && name.endsWith(".age"))
        }`;
        flipBit(file, 150);
        assert(!(await runPrinted(report.stdout, store, env)).success, file);
        flipBit(file, 150);
      }
      assert((await runPrinted(report.stdout, store, env)).success);
    }),
);

Deno.test("a report by somebody who can't open an addendum says so, not that no digest was computed", () =>
  withReported(async ({ addendum, keyOf, run }) => {
    const whole = await run("report", "-i", keyOf("alice"));
    assert(!whole.stdout.includes("NOT COMPUTED") && !whole.stdout.includes("NOT KNOWN"), whole.stdout);
    const ended = await run("report", "-i", keyOf("bob"));
    assertExit(ended, 0);
    for (const text of ["ADDENDA THAT NO IDENTITY GIVEN OPENS: 1", "NOT KNOWN", addendum]) {
      assertStringIncludes(ended.stdout, text);
    }
    assert(!ended.stdout.includes("NOT COMPUTED"), ended.stdout);
    const data = eventOf(await run("report", "-i", keyOf("bob"), "--json"), "report");
    assertEquals((data["unopenedAddenda"] as unknown[]).length, 1);
    // What it says of digests is not known to verify either.
    const verified = await run("verify", "-i", keyOf("bob"));
    assertExit(verified, 12);
    assertStringIncludes(verified.stderr, addendum);
    assertStringIncludes(verified.stdout, "NOT ALL VERIFIED");
  }));
