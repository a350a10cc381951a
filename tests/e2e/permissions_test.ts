/**
 * Least privilege: what Deno lets the program do is what README says, each of it is needed by something, and a command
 * that was not given what it needs says so by name. Reading a store from elsewhere needs next to nothing.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import config from "../../deno.json" with { type: "json" };
import { permissions } from "../../scripts/build/permissions.ts";
import { FIRST, type Stage, withStage } from "./endpoint.ts";
import { writeRandomBlocks } from "./images.ts";
import { assertExit, assertRefusal } from "./program.ts";

const CHECKOUT = fromFileUrl(new URL("../../", import.meta.url));
const GRANTED = ["--allow-read", "--allow-write", "--allow-net", "--allow-env", "--allow-sys"];
const without = (...flags: readonly string[]) => GRANTED.filter((flag) => !flags.includes(flag));

function withSnapshot(body: (stage: Stage) => Promise<void>): Promise<void> {
  return withStage(async (folder) => {
    await writeRandomBlocks(`${folder}/disk.img`, [0, 3]);
    return { snapshots: [{ id: FIRST, path: `${folder}/disk.img` }] };
  }, body);
}

function flagsOf(task: string): string[] {
  return task.split(" ").filter((word) => word.startsWith("--allow") || word === "-A");
}

Deno.test("the tasks give read, write, net, env and sys, one of them also /bin/sh, and no command asks for more", () => {
  const { coldcase, demo, "coldcase:process": process } = config.tasks;
  for (const task of [coldcase, demo, process]) assert(task.includes(" --no-prompt "));
  assertEquals(flagsOf(coldcase), GRANTED);
  assertEquals(flagsOf(demo), GRANTED);
  assertEquals(flagsOf(process), [...GRANTED, "--allow-run=/bin/sh"]);
});

Deno.test("an executable may do no more than the task, of the system's facts seven, and commands do with that", async () => {
  const sys = "--allow-sys=hostname,osRelease,uid,gid,userInfo,statfs,homedir";
  const built = permissions({ credentialProcess: false });
  assertEquals(built, ["--no-prompt", ...without("--allow-sys"), sys]);
  assertEquals(permissions({ credentialProcess: true }), [...built, "--allow-run=/bin/sh"]);
  await withSnapshot(async (stage) => {
    const commands = [
      ["plan", FIRST],
      ["acquire", FIRST],
      ["verify", "--against-source"],
      ["export", FIRST, "-o", `${stage.folder}/out.img`],
      ["copy", FIRST, "--to", `${stage.folder}/copy`],
      ["report", FIRST],
      ["repair", "--refetch"],
    ];
    for (const command of commands) assertExit(await stage.run(command, { permissions: built }), 0);
  });
});

Deno.test("all that needs no network works without --allow-net", async () => {
  await withSnapshot(async (stage) => {
    assertExit(await stage.run(["acquire", FIRST]), 0);
    const { folder } = stage;
    const granted = without("--allow-net");
    const commands = [
      ["ls"],
      ["info", FIRST],
      ["verify"],
      ["export", FIRST, "-o", `${folder}/out.img`],
      ["verify", FIRST, "--read-back", `${folder}/out.img`],
      ["custody"],
      ["custody", "--append", "seal 4711 broken"],
      ["report", FIRST],
      ["sign", FIRST],
      ["copy", FIRST, "--to", `${folder}/copy`],
      ["repair", "--from", `${folder}/copy`],
      ["keygen", "-o", `${folder}/key.age`],
      ["keygen", "--sign", "-o", `${folder}/key`],
    ];
    for (const command of commands) assertExit(await stage.run(command, { permissions: granted }), 0);
    const recipient = /age1\w+/.exec(Deno.readTextFileSync(`${folder}/key.age`))![0];
    const encrypted = ["--to", `${folder}/encrypted`];
    assertExit(await stage.run(["encrypt", ...encrypted, "-r", recipient], { permissions: granted }), 0);
    assertExit(await stage.run(["recipients", "-s", `${folder}/encrypted`], { permissions: granted }), 0);
    const decrypted = ["-i", `${folder}/key.age`, "--to", `${folder}/plain`];
    assertExit(
      await stage.run(["decrypt", "-s", `${folder}/encrypted`, ...decrypted], { permissions: granted }),
      0,
    );
  });
});

Deno.test("what needs the network says at once that it may not use it", async () => {
  await withSnapshot(async (stage) => {
    assertExit(await stage.run(["acquire", FIRST]), 0);
    const granted = without("--allow-net");
    const commands = [
      ["plan", FIRST, "-s", `${stage.folder}/new`],
      ["acquire", FIRST, "-s", `${stage.folder}/new`],
      ["verify", "--against-source"],
      ["timestamp", FIRST, "--tsa", "http://127.0.0.1:9999/"],
      ["sources"],
      ["simulate"],
    ];
    stage.getRequests();
    for (const command of commands) {
      assertRefusal(await stage.run(command, { permissions: granted }), {
        exitCode: 2,
        names: ["--allow-net"],
      });
    }
    assertEquals(stage.getRequests(), 0);
  });
});

Deno.test("reading needs no --allow-write; what writes says that it may not", async () => {
  await withSnapshot(async (stage) => {
    assertExit(await stage.run(["acquire", FIRST]), 0);
    const granted = without("--allow-write");
    for (const command of [["ls"], ["info", FIRST], ["verify"], ["custody"], ["report", FIRST]]) {
      assertExit(await stage.run(command, { permissions: granted }), 0);
    }
    const { folder } = stage;
    const writing = [
      [15, ["acquire", FIRST, "-s", `${folder}/new`]],
      [2, ["export", FIRST, "-o", `${folder}/out.img`]],
      [15, ["copy", FIRST, "--to", `${folder}/copy`]],
    ] as const;
    for (const [exitCode, command] of writing) {
      assertRefusal(await stage.run(command, { permissions: granted }), {
        exitCode,
        names: ["--allow-write"],
      });
    }
  });
});

Deno.test("without --allow-read, --allow-env or --allow-sys commands end and name it, and --help works", async () => {
  await withSnapshot(async (stage) => {
    assertExit(await stage.run(["acquire", FIRST]), 0);
    const cases = [
      ["--allow-read", 15, ["verify"]],
      ["--allow-env", 2, ["verify"]],
      ["--allow-sys", 2, ["verify"]],
      ["--allow-sys", 2, ["acquire", FIRST, "-s", `${stage.folder}/new`]],
    ] as const;
    for (const [flag, exitCode, command] of cases) {
      const granted = without(flag);
      assertRefusal(await stage.run(command, { permissions: granted }), { exitCode, names: [flag] });
      assertExit(await stage.run(["--help"], { permissions: granted }), 0);
    }
  });
});

Deno.test("a store from elsewhere is verified with leave to read it and nothing else, and exported into one folder", async () => {
  await withSnapshot(async (stage) => {
    assertExit(await stage.run(["acquire", FIRST]), 0);
    const [store, out] = [await Deno.realPath(stage.store), `${await Deno.realPath(stage.folder)}/out`];
    const reading = ["--allow-env", "--allow-sys", `--allow-read=${CHECKOUT},${store}`];
    for (const command of [["ls"], ["info", FIRST], ["verify"], ["custody"], ["report", FIRST]]) {
      const ended = await stage.run([...command, "-s", store], { permissions: reading });
      assertExit(ended, 0);
    }
    Deno.mkdirSync(out);
    const exporting = ["--allow-env", "--allow-sys", `--allow-read=${CHECKOUT},${store},${out}`];
    const exported = await stage.run(["export", FIRST, "-s", store, "-o", `${out}/disk.img`], {
      permissions: [...exporting, `--allow-write=${out}`],
    });
    assertExit(exported, 0);
    // Without a key in its reach nothing enters the custody log, which is said.
    assertStringIncludes(exported.stderr, "not entered into the custody log");
    assertEquals([...Deno.readDirSync(out)].map(({ name }) => name).sort(), [
      "disk.img",
      "disk.img.log",
      "disk.img.map.json",
    ]);
  });
});
