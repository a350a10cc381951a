/**
 * Text that would repaint a terminal, disguise a name or fake a line of ours, from everywhere that text comes from: the
 * service, the volume, names of files in the store, the command line. Nothing that is printed, for people or for
 * programs, and no export log holds it as it was; what was recorded does.
 */
import { assert, assertEquals } from "@std/assert";
import { errorAnswer, type Script, serve } from "../aws/fakes.ts";
import { FIRST, type Stage, withStage } from "./endpoint.ts";
import { assertExit, coldcase, type Ended } from "./program.ts";
import { withFolder } from "./outside_server.ts";

const HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202egpj\u009b31m\u2066\u200b\nFORGED\r\nFORGED";
/** What a terminal acts on, line feeds apart. */
const UNSAFE = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

function assertHarmless(text: string, what: string): void {
  assertEquals(UNSAFE.exec(text)?.[0], undefined, `${what}: ${JSON.stringify(text)}`);
  const forged = text.split("\n").filter((line) => /^\W*(coldcase: (\w+: )?)?FORGED/.test(line));
  assertEquals(forged, [], what);
}

async function runHarmless(
  run: (args: readonly string[]) => Promise<Ended>,
  args: readonly string[],
  exitCode?: number,
): Promise<Ended> {
  let last: Ended | undefined;
  for (const how of [[], ["--json", "-v"]]) {
    last = await run([...args, ...how]);
    if (exitCode !== undefined) assertExit(last, exitCode);
    assertHarmless(last.stdout, `stdout of ${args} ${how}`);
    assertHarmless(last.stderr, `stderr of ${args} ${how}`);
  }
  return last!;
}

/** Swap space whose label is an escape sequence. */
function hostileVolume(): Uint8Array {
  const bytes = new Uint8Array(512 * 1024);
  const view = new DataView(bytes.buffer);
  view.setUint32(1024, 1, true);
  view.setUint32(1028, 100, true);
  bytes.fill(7, 1036, 1052);
  bytes.set(new TextEncoder().encode("\x1b[2J\nFORGED\x9b"), 1052);
  bytes.set(new TextEncoder().encode("SWAPSPACE2"), 4086);
  return bytes;
}

function withHostileSnapshot(body: (stage: Stage) => Promise<void>): Promise<void> {
  return withStage((folder) => {
    Deno.writeFileSync(`${folder}/disk.img`, hostileVolume());
    const tags = { Name: HOSTILE, [`key ${HOSTILE}`]: "value" };
    return { snapshots: [{ id: FIRST, path: `${folder}/disk.img`, description: HOSTILE, tags }] };
  }, body);
}

Deno.test("text of the service, the volume and the command line reaches no terminal as it was", async () => {
  await withHostileSnapshot(async (stage) => {
    const run = (args: readonly string[]) => stage.run(args);
    const about = ["--case", HOSTILE, "--examiner", HOSTILE, "--notes", HOSTILE, "--organization", HOSTILE];
    await runHarmless(run, ["plan", FIRST], 0);
    await runHarmless(run, ["acquire", FIRST, ...about, "--evidence", HOSTILE], 0);
    const documents = [...Deno.readDirSync(`${stage.store}/documents`)]
      .map(({ name }) => Deno.readTextFileSync(`${stage.store}/documents/${name}`)).join("");
    assert(documents.includes("FORGED"), "the description is on the record");
    await runHarmless(run, ["custody", "--append", HOSTILE], 0);
    const image = `${stage.folder}/out.img`;
    await runHarmless(run, ["export", FIRST, "-o", image, "--overwrite", "--reason", HOSTILE], 0);
    assertHarmless(Deno.readTextFileSync(`${image}.log`), "the export's log");
    for (const args of [["ls"], ["info", FIRST], ["verify"], ["custody"], ["report", FIRST]]) {
      const ended = await runHarmless(run, [...args], 0);
      if (args[0] !== "verify" && args[0] !== "ls") {
        assert(ended.stdout.includes("FORGED"), `${args}: it is shown`);
      }
    }
    await runHarmless(run, ["info", HOSTILE]);
    await runHarmless(run, ["verify", "-s", `${stage.folder}/${HOSTILE}`]);
    await runHarmless(run, [HOSTILE]);
    await runHarmless(run, ["ls", `--${HOSTILE}`]);
  });
});

Deno.test("names of files in a store reach no terminal as they were", async () => {
  await withHostileSnapshot(async (stage) => {
    assertExit(await stage.run(["acquire", FIRST]), 0);
    const name = HOSTILE.replaceAll("/", "");
    for (
      const folder of [
        "exhibits",
        "journal",
        "packs",
        "packs/00",
        "segments",
        "custody",
        "tmp",
        "receipts",
        "keys",
      ]
    ) {
      Deno.mkdirSync(`${stage.store}/${folder}/${name}`, { recursive: true });
      Deno.writeTextFileSync(`${stage.store}/${folder}/${name}.pack`, "nothing");
    }
    const copy = `${stage.folder}/copy`;
    const run = (args: readonly string[]) => stage.run(args);
    for (
      const args of [["ls"], ["info", FIRST], ["verify"], ["custody"], ["copy", FIRST, "--to", copy], [
        "repair",
      ]]
    ) await runHarmless(run, args);
    Deno.symlinkSync("elsewhere", `${stage.store}/${name}`);
    const refused = await runHarmless(run, ["verify"], 21);
    assert(refused.stdout.includes("symlink"), refused.stdout);
  });
});

const ANSWERS: Readonly<Record<string, Script>> = {
  "an error": () =>
    errorAnswer(400, "ValidationException", {
      message: HOSTILE,
      reason: HOSTILE,
      headers: { "x-amzn-RequestId": "id\x9b31m" },
    }),
  "an error of a strange type": () => Response.json({ __type: HOSTILE, message: HOSTILE }, { status: 418 }),
  "a refusal": () =>
    errorAnswer(403, "AccessDeniedException", { message: `KMS ${HOSTILE}`, reason: HOSTILE }),
  "a page": () => Response.json({ Blocks: HOSTILE, NextToken: HOSTILE, VolumeSize: HOSTILE }),
};

for (const [what, answer] of Object.entries(ANSWERS)) {
  Deno.test(`the words of an endpoint that answers with ${what} reach no terminal as they were`, () =>
    withFolder(async (folder) => {
      const server = serve(answer);
      const none = `${folder}/none`;
      const env = {
        AWS_ENDPOINT_URL: server.url,
        AWS_REGION: "eu-central-1",
        AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE",
        AWS_SECRET_ACCESS_KEY: "example",
        AWS_CONFIG_FILE: none,
        AWS_SHARED_CREDENTIALS_FILE: none,
        COLDCASE_STORE: `${folder}/evidence`,
      };
      try {
        // A page that makes no sense is asked for again and again.
        for (const command of what === "a page" ? ["plan"] : ["plan", "acquire"]) {
          const ended = await runHarmless((args) => coldcase(args, { env }), [command, FIRST]);
          assert([10, 13, 14].includes(ended.exitCode), `exit ${ended.exitCode}\n${ended.stderr}`);
        }
      } finally {
        await server.close();
      }
    }));
}
