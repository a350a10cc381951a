/**
 * Age files and keys against the programs that others have: age opens what coldcase wrote and the other way
 * round, at the edges of chunks; age-keygen takes identities that `coldcase keygen` made.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { Buffer } from "node:buffer";
import {
  decryptAge,
  encryptAge,
  Identities,
  makeIdentity,
  openAge,
  Recipients,
} from "../../src/cipher_age.ts";
import { encodeIdentityFile, encryptIdentityFile, openIdentityFiles } from "../../src/cipher_age_files.ts";
import { realDisk, realRandomness } from "../../src/world.ts";
import { coldcase, type Ended } from "../e2e/program.ts";
import { outside, toolPath } from "../outside.ts";
import { randomBytes, seededBelow } from "../seeded.ts";

const SIZES = [0, 1, 65_535, 65_536, 65_537, 131_072, 1_000_003];

/** A folder that is gone afterwards. */
async function inFolder(act: (path: (name: string) => string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await act((name) => join(folder, name));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function tool(program: string, ...args: readonly string[]): Promise<Ended> {
  const { code, stdout, stderr } = await new Deno.Command(toolPath(program)!, {
    args: [...args],
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { exitCode: code, stdout: text(stdout), stderr: text(stderr) };
}

/** Runs a tool that must succeed. */
async function done(program: string, ...args: readonly string[]): Promise<string> {
  const ended = await tool(program, ...args);
  assertEquals(ended.exitCode, 0, `${program} ${args.join(" ")}: ${ended.stderr}`);
  return ended.stdout;
}

function assertSame(path: string, expected: Uint8Array): void {
  assertEquals(Buffer.compare(Deno.readFileSync(path), expected), 0, `${path} has other bytes`);
}

/**
 * `age` with a terminal, which it asks for passphrases on: `script` makes one, the answers are typed ahead. What
 * the terminal shows comes back.
 */
async function onTerminal(command: string, answers: readonly string[]): Promise<Ended> {
  const child = new Deno.Command(toolPath("script")!, {
    args: ["-q", "-e", "-c", command, "/dev/null"],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  const reader = child.stdout.getReader();
  let said = "";
  let answered = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    said += new TextDecoder().decode(part.value);
    // Typed ahead it would be lost: age empties the terminal's input before it asks.
    while (answered < answers.length && said.split("passphrase").length > answered + 1) {
      await writer.write(new TextEncoder().encode(`${answers[answered++]}\n`));
    }
  }
  await writer.close().catch((error) => assertEquals(error.name, "BrokenPipe"));
  const { code } = await child.status;
  await child.stderr.cancel();
  return { exitCode: code, stdout: said, stderr: "" };
}

outside("age opens what coldcase encrypted, for each of two recipients", ["age"], async () => {
  const below = seededBelow(1);
  const [alice, bob] = [await makeIdentity("x25519"), await makeIdentity("x25519")];
  const given = [alice, bob].map(({ recipient }) => ({ text: recipient, place: "here" }));
  const recipients = await Recipients.of(given);
  await inFolder(async (path) => {
    for (const [name, identity] of Object.entries({ alice, bob })) {
      Deno.writeTextFileSync(path(name), encodeIdentityFile(identity, { atMs: 0 }));
    }
    for (const size of SIZES) {
      const plaintext = randomBytes(below, size);
      const file = await encryptAge(plaintext, { recipients, randomness: realRandomness });
      Deno.writeFileSync(path("file.age"), file);
      for (const name of ["alice", "bob"]) {
        // To stdout: with -o age 1.1 makes no file for an empty plaintext.
        const args = ["-d", "-i", path(name), path("file.age")];
        const { success, stdout, stderr } = await new Deno.Command(toolPath("age")!, { args }).output();
        assert(success, new TextDecoder().decode(stderr));
        assertEquals(Buffer.compare(stdout, plaintext), 0);
      }
      Deno.writeFileSync(path("file.age"), file.slice(0, -1));
      assert(
        (await tool("age", "-d", "-i", path("bob"), "-o", path("cut"), path("file.age"))).exitCode !== 0,
      );
    }
  });
});

outside("coldcase opens what age encrypted, binary and armored, and reads it anywhere", ["age"], async () => {
  const below = seededBelow(2);
  const identity = await makeIdentity("x25519");
  const identities = await Identities.of([{ secret: identity.secret, place: "here" }]);
  const other = await makeIdentity("x25519");
  const to = ["-r", other.recipient, "-r", identity.recipient];
  await inFolder(async (path) => {
    for (const size of SIZES) {
      const plaintext = randomBytes(below, size);
      Deno.writeFileSync(path("plain"), plaintext);
      await done("age", ...to, "-o", path("file.age"), path("plain"));
      await done("age", ...to, "--armor", "-o", path("file.asc"), path("plain"));
      for (const name of ["file.age", "file.asc"]) {
        const options = { identities, name, maxBytes: size, acceptsArmor: true };
        const opened = await decryptAge(Deno.readFileSync(path(name)), options);
        assertEquals(Buffer.compare(opened, plaintext), 0);
      }
      const reader = await openAge(realDisk.open(path("file.age"), "read"), { identities, name: "file.age" });
      for (let read = 0; read < 20; read++) {
        const into = new Uint8Array(below(100_000));
        const offset = below(size + 1);
        const expected = plaintext.subarray(offset, offset + into.length);
        assertEquals(reader.read(into, offset), expected.length);
        assertEquals(Buffer.compare(into.subarray(0, expected.length), expected), 0);
      }
      reader.close();
    }
  });
});

outside(
  "age opens the identity file that a passphrase protects, and takes what is in it",
  ["age", "script"],
  async () => {
    const identity = await makeIdentity("x25519");
    const file = await encryptIdentityFile(identity, {
      passphrase: "open sesame",
      madeAtMs: 0,
      workFactor: 10,
    });
    await inFolder(async (path) => {
      Deno.writeFileSync(path("key.age"), file);
      Deno.writeTextFileSync(path("plain"), "evidence\n");
      await done("age", "-r", identity.recipient, "-o", path("file.age"), path("plain"));
      const opened = await onTerminal(`age -d -o ${path("key")} ${path("key.age")}`, ["open sesame"]);
      assertEquals(opened.exitCode, 0, opened.stdout);
      assertEquals(Deno.readTextFileSync(path("key")), encodeIdentityFile(identity, { atMs: 0 }));
      assertEquals(await done("age", "-d", "-i", path("key"), path("file.age")), "evidence\n");
      const direct = `age -d -i ${path("key.age")} -o ${path("direct")} ${path("file.age")}`;
      const read = await onTerminal(direct, ["open sesame"]);
      assertEquals(read.exitCode, 0, read.stdout);
      assertSame(path("direct"), new TextEncoder().encode("evidence\n"));
    });
  },
);

outside(
  "coldcase opens identity files that age protected with a passphrase",
  ["age", "age-keygen", "script"],
  async () => {
    await inFolder(async (path) => {
      await done("age-keygen", "-o", path("key"));
      const recipient = (await done("age-keygen", "-y", path("key"))).trim();
      for (const [name, armor] of [["key.age", ""], ["key.asc", "--armor"]] as const) {
        const command = `age -p ${armor} -o ${path(name)} ${path("key")}`;
        const made = await onTerminal(command, ["open sesame", "open sesame"]);
        assertEquals(made.exitCode, 0, made.stdout);
        const { identities } = await openIdentityFiles([path(name)], { passphrase: "open sesame" });
        assertEquals(identities.recipients, [recipient]);
      }
      const { identities, warnings } = await openIdentityFiles([path("key")]);
      assertEquals(identities.recipients, [recipient]);
      assertEquals(warnings, []);
    });
  },
);

outside("age and age-keygen take the identity that coldcase keygen made", ["age", "age-keygen"], async () => {
  await inFolder(async (path) => {
    const made = await coldcase(["keygen", "-o", path("examiner.age")]);
    assertEquals([made.exitCode, made.stdout], [0, ""]);
    const recipient = (await done("age-keygen", "-y", path("examiner.age"))).trim();
    assertStringIncludes(made.stderr, `Public key: ${recipient}\n`);
    const text = Deno.readTextFileSync(path("examiner.age"));
    const form =
      /^# created: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n# public key: (age1\S{58})\nAGE-SECRET-KEY-1\S{58}\n$/;
    assertMatch(text, form);
    assertEquals(form.exec(text)?.[1], recipient);
    assertEquals(Deno.statSync(path("examiner.age")).mode! & 0o777, 0o600);
    Deno.writeTextFileSync(path("plain"), "evidence\n");
    await done("age", "-r", recipient, "-o", path("file.age"), path("plain"));
    assertEquals(await done("age", "-d", "-i", path("examiner.age"), path("file.age")), "evidence\n");
  });
});

Deno.test("coldcase keygen never overwrites, keeps out of stores, and prints no secret as JSON", async () => {
  await inFolder(async (path) => {
    Deno.writeTextFileSync(path("there.age"), "something else");
    const there = await coldcase(["keygen", "-o", path("there.age")]);
    assertEquals(there.exitCode, 2);
    assertStringIncludes(there.stderr, "there is a file of that name");
    assertEquals(Deno.readTextFileSync(path("there.age")), "something else");
    Deno.mkdirSync(path("store/keys"), { recursive: true });
    Deno.writeTextFileSync(path("store/store.json"), "{}");
    const inStore = await coldcase(["keygen", "-o", path("store/keys/me.age")]);
    assertEquals(inStore.exitCode, 2);
    assertStringIncludes(inStore.stderr, "it would lie in the store");
    const json = await coldcase(["keygen", "--json"]);
    assertEquals(json.exitCode, 2);
    assert(!json.stdout.includes("AGE-SECRET-KEY"));
    const file = await coldcase(["keygen", "--json", "-o", path("me.age")]);
    assertEquals(file.exitCode, 0);
    const event = JSON.parse(file.stdout);
    assertEquals([event.type, event.kind, event.path], ["key", "age", path("me.age")]);
    assertStringIncludes(Deno.readTextFileSync(path("me.age")), `# public key: ${event.recipient}\n`);
    assert(!(file.stdout + file.stderr).includes("AGE-SECRET-KEY"));
    assertEquals([...Deno.readDirSync(path("."))].map(({ name }) => name).sort(), [
      "me.age",
      "store",
      "there.age",
    ]);
  });
});

Deno.test("coldcase keygen without -o prints the identity, --pq a post-quantum one", async () => {
  for (const [args, secret] of [[[], "AGE-SECRET-KEY-1"], [["--pq"], "AGE-SECRET-KEY-PQ-1"]] as const) {
    const made = await coldcase(["keygen", ...args]);
    assertEquals(made.exitCode, 0);
    const [created, recipient, identity, end] = made.stdout.split("\n");
    assertMatch(created!, /^# created: /);
    assert(identity!.startsWith(secret));
    assertEquals(end, "");
    const { recipients } = await Identities.of([{ secret: identity!, place: "stdout" }]);
    assertEquals(recipient, `# public key: ${recipients[0]}`);
    assertStringIncludes(made.stderr, `Public key: ${recipients[0]}\n`);
  }
});
