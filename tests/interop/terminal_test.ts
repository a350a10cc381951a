/**
 * Questions at a real terminal, which `script` makes: they go to stderr, so that a result that is piped away is whole;
 * what is typed is not shown; Ctrl-C ends them.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { makeIdentity } from "../../src/cipher_age.ts";
import { encryptIdentityFile } from "../../src/cipher_age_files.ts";
import { acquireAt, noise, shapeOf, withFolder } from "../store/fixtures.ts";
import { commandOf } from "../e2e/program.ts";
import { outside, toolPath } from "../outside.ts";

const PASSPHRASE = "open sesame";
const BLOCK = 1 << 18;
const FIRST_BLOCK = noise(1, BLOCK);

/** Types `keys` when the program asks. What the terminal showed comes back. */
async function onTerminal(
  command: string,
  keys: string,
  env: Readonly<Record<string, string>>,
): Promise<{ readonly exitCode: number; readonly shown: string }> {
  const child = new Deno.Command(toolPath("script")!, {
    args: ["-q", "-e", "-c", command, "/dev/null"],
    env,
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const writer = child.stdin.getWriter();
  let shown = "";
  let isTyped = false;
  for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
    shown += part;
    if (isTyped || !shown.includes("Passphrase")) continue;
    isTyped = true;
    await writer.write(new TextEncoder().encode(keys));
  }
  await writer.close().catch((error) => assertEquals(error.name, "BrokenPipe"));
  return { exitCode: (await child.status).code, shown };
}

outside(
  "a passphrase is asked for on stderr, not shown, and asked for once",
  ["script"],
  () =>
    withFolder(async (folder) => {
      const identity = await makeIdentity("x25519");
      const file = await encryptIdentityFile(identity, {
        passphrase: PASSPHRASE,
        madeAtMs: 0,
        workFactor: 4,
      });
      Deno.writeFileSync(`${folder}/key.age`, file, { mode: 0o600 });
      const order = { volume: new Map([[0, FIRST_BLOCK]]), shape: shapeOf(BLOCK) };
      const recipients = { contents: [identity.recipient], lineage: null };
      const id = await acquireAt(`${folder}/store`, order, { recipients });
      const program = commandOf("export", id, "-s", `${folder}/store`, "-i", `${folder}/key.age`, "-o", "-");
      const quoted = program.map((word) => `'${word}'`).join(" ");
      const env = { XDG_CONFIG_HOME: `${folder}/config` };
      const exported = await onTerminal(`${quoted} > ${folder}/image`, `${PASSPHRASE}\n`, env);
      assertEquals(exported.exitCode, 0, exported.shown);
      assertStringIncludes(exported.shown, "Passphrase of the identity file");
      assert(!exported.shown.includes(PASSPHRASE), exported.shown);
      const image = await Deno.open(`${folder}/image`);
      const start = new Uint8Array(BLOCK);
      assertEquals(await image.read(start), BLOCK);
      assertEquals(image.statSync().size, 1 << 30);
      image.close();
      assertEquals(start.join(), FIRST_BLOCK.join(), "the image begins with something else");
      const stopped = await onTerminal(`${quoted} > ${folder}/image`, "open\x03", env);
      assertEquals(stopped.exitCode, 130, stopped.shown);
      assertEquals(Deno.statSync(`${folder}/image`).size, 0);
    }, { onDisk: true }),
);
