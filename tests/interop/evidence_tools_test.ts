/**
 * A store that the program made, checked with what everybody has: ssh-keygen, openssl and sha256sum accept it,
 * refuse it once it was changed, and need nothing but the names that `info --json` gives.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { FIRST, type Stage, withStage } from "../e2e/endpoint.ts";
import { writeRandomBlocks } from "../e2e/images.ts";
import { assertExit, eventOf, type JsonEvent } from "../e2e/program.ts";
import { outside, toolPath } from "../outside.ts";
import { filesBelow, flipBit } from "../store/fixtures.ts";

/** Runs `body` with a snapshot acquired; `info` is what `info --json` says of it. */
async function withExhibit(
  body: (stage: Stage, info: JsonEvent) => Promise<void>,
  acquire: (stage: Stage) => Promise<readonly string[]> = () => Promise.resolve([]),
): Promise<void> {
  await withStage(async (folder) => {
    await writeRandomBlocks(`${folder}/disk.img`, [0, 3]);
    return { snapshots: [{ id: FIRST, path: `${folder}/disk.img` }] };
  }, async (stage) => {
    assertExit(await stage.run(["acquire", FIRST, ...await acquire(stage)]), 0);
    await body(stage, eventOf(await stage.run(["info", FIRST, "--json"]), "summary"));
  });
}

/** Whether a program ends with success; `input` is a file that it reads from. */
async function succeeds(
  program: string,
  args: readonly string[],
  options: { readonly input?: Uint8Array; readonly cwd?: string } = {},
): Promise<boolean> {
  const child = new Deno.Command(toolPath(program)!, {
    args: [...args],
    stdin: "piped",
    stdout: "null",
    stderr: "null",
    ...(options.cwd !== undefined && { cwd: options.cwd }),
  }).spawn();
  try {
    const writer = child.stdin.getWriter();
    await writer.write(options.input ?? new Uint8Array());
    await writer.close();
  } catch (error) {
    // A program that refuses early leaves the rest unread; its exit code says so.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
  return (await child.status).success;
}

function sshVerify(
  info: JsonEvent,
  of: { namespace: string; signature: string; file: string },
): Promise<boolean> {
  const args = ["-f", String(info["allowedSignersFile"]), "-I", String(info["principal"])];
  const input = Deno.readFileSync(of.file);
  return succeeds("ssh-keygen", ["-Y", "verify", ...args, "-n", of.namespace, "-s", of.signature], { input });
}

/** `check` passes, and fails with each of `files` changed in one bit. */
async function assertFindsChanges(files: readonly string[], check: () => Promise<boolean>): Promise<void> {
  assert(await check(), `refused ${files} unchanged`);
  for (const file of files) {
    const offset = Math.floor(Deno.statSync(file).size / 2);
    flipBit(file, offset);
    assertEquals(await check(), false, `accepted ${file} with byte ${offset} changed`);
    flipBit(file, offset);
  }
}

outside(
  "ssh-keygen -Y verify accepts manifest, inventory and custody entries, and no change",
  ["ssh-keygen"],
  async () => {
    await withExhibit(async (stage, info) => {
      assertExit(await stage.run(["custody", "--append", "sealed"]), 0);
      const documents = [
        { namespace: "coldcase-manifest@v1", file: String(info["manifestFile"]) },
        { namespace: "coldcase-inventory@v1", file: String(info["inventoryFile"]) },
        ...filesBelow(stage.store).filter((name) => /^custody\/.*\.json$/.test(name)).map((name) => ({
          namespace: "coldcase-custody@v1",
          file: `${stage.store}/${name}`,
        })),
      ];
      assertEquals(documents.length, 4);
      const short = /\.([0-9a-f]{16})\.sshsig$/.exec(String(info["signatureFile"]))![1];
      for (const { namespace, file } of documents) {
        const signature = `${file.replace(/\.(json|txt)$/, "")}.${short}.sshsig`;
        await assertFindsChanges([file, signature], () => sshVerify(info, { namespace, signature, file }));
        assertEquals(await sshVerify(info, { namespace: "coldcase-addendum@v1", signature, file }), false);
        assertEquals(
          await sshVerify({ ...info, principal: "somebody" }, { namespace, signature, file }),
          false,
        );
      }
      assertStringIncludes(
        String(info["signatureFile"]),
        String(info["manifestFile"]).replace(/\.json$/, ""),
      );
    });
  },
);

outside("openssl pkeyutl -verify -rawin accepts the raw signature of the manifest, and no change", [
  "openssl",
], async () => {
  await withExhibit(async (_, info) => {
    const [manifest, signature] = [String(info["manifestFile"]), String(info["ed25519SignatureFile"])];
    const files = ["-in", manifest, "-sigfile", signature, "-inkey", String(info["verifyingKeyFile"])];
    const check = () => succeeds("openssl", ["pkeyutl", "-verify", "-rawin", "-pubin", ...files]);
    await assertFindsChanges([manifest, signature], check);
  });
});

outside("a login key signs by SSHSIG alone: ssh-keygen accepts it, and there is no raw signature", [
  "ssh-keygen",
], async () => {
  const loginKey = async ({ folder }: Stage) => {
    const args = ["-q", "-t", "ed25519", "-N", "", "-C", "examiner", "-f", `${folder}/login`];
    assert(await succeeds("ssh-keygen", args));
    return ["--sign-key", `${folder}/login`];
  };
  await withExhibit(async (stage, info) => {
    assertEquals(info["ed25519SignatureFile"], null);
    assertEquals(filesBelow(stage.store).filter((name) => name.endsWith(".ed25519")), []);
    const [file, signature] = [String(info["manifestFile"]), String(info["signatureFile"])];
    const check = () => sshVerify(info, { namespace: "coldcase-manifest@v1", signature, file });
    await assertFindsChanges([file, signature], check);
    assertExit(await stage.run(["verify", "--verify-key", `${stage.folder}/login.pub`]), 0);
  }, loginKey);
});

outside(
  "sha256sum -c accepts the files of the inventory, and none that was changed",
  ["sha256sum"],
  async () => {
    await withExhibit(async (stage, info) => {
      const lines = Deno.readTextFileSync(String(info["inventoryFile"])).trimEnd().split("\n").slice(9);
      const names = lines.map((line) => line.split(" ")[1]!);
      assert(names.some((name) => name.endsWith(".pack")) && names.length > 3, lines.join("\n"));
      const list = names.map((name) => `${/([0-9a-f]{64})\.[a-z]+$/.exec(name)![1]}  ${name}\n`).join("");
      const options = { input: new TextEncoder().encode(list), cwd: stage.store };
      const files = names.map((name) => `${stage.store}/${name}`);
      await assertFindsChanges(files, () => succeeds("sha256sum", ["--quiet", "-c", "-"], options));
    });
  },
);
