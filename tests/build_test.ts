/** What a build says of itself, and that a source checkout claims no executable. */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { BUILD, EXECUTABLE_VARIABLE, executablePath, sourceLine, versionOf } from "../src/build.ts";
import { executableDigest } from "../src/commands/_tool.ts";
import { OperatorError } from "../src/errors.ts";
import { realDisk, realWorld } from "../src/world.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";

Deno.test("versionOf() is the release, of a build with its commit as a semantic version has it", () => {
  assertEquals(versionOf("0.1.0", undefined), "0.1.0");
  assertEquals(versionOf("0.1.0", { commit: undefined, isModified: false }), "0.1.0");
  assertEquals(versionOf("0.1.0", { commit: COMMIT, isModified: false }), "0.1.0+0123456789ab");
  assertEquals(versionOf("0.1.0", { commit: COMMIT, isModified: true }), "0.1.0+0123456789ab.modified");
  assertMatch(
    versionOf("0.1.0", { commit: COMMIT, isModified: true }),
    /^\d+\.\d+\.\d+\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*$/,
  );
});

Deno.test("sourceLine() names the whole commit, what is not in it, and what nobody knows", () => {
  assertEquals(sourceLine({ commit: COMMIT, isModified: false }), `commit ${COMMIT}`);
  assertEquals(sourceLine({ commit: COMMIT, isModified: true }), `commit ${COMMIT}, modified`);
  assertEquals(sourceLine({ commit: undefined, isModified: false }), "commit not known to the build");
  assertMatch(sourceLine(undefined), /^runs from its source/);
});

Deno.test("executablePath() of a source checkout is none, whatever the environment says", () => {
  const before = Deno.env.get(EXECUTABLE_VARIABLE);
  Deno.env.set(EXECUTABLE_VARIABLE, "/usr/bin/true");
  try {
    assertEquals([BUILD, executablePath()], [undefined, undefined]);
    assertEquals(executablePath({ commit: COMMIT, isModified: false }), "/usr/bin/true");
    assertEquals(executableDigest(realWorld()), undefined);
  } finally {
    if (before === undefined) Deno.env.delete(EXECUTABLE_VARIABLE);
    else Deno.env.set(EXECUTABLE_VARIABLE, before);
  }
});

Deno.test("executableDigest() is the file's SHA-256, and refuses one that is gone", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/coldcase`;
    const world = { disk: realDisk, host: { ...realWorld().host, programPath: path } };
    const error = assertThrows(
      () => executableDigest(world),
      OperatorError,
      `Cannot read the executable "${path}"`,
    );
    assertEquals([error.code, error.hints.length], ["storage", 1]);
    await Deno.writeFile(path, new Uint8Array(3 * 1024 * 1024 + 1).fill(7));
    const { stdout } = await new Deno.Command("sha256sum", { args: [path] }).output();
    const digest = executableDigest(world);
    assert(digest !== undefined);
    assertEquals(digest, new TextDecoder().decode(stdout).slice(0, 64));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
