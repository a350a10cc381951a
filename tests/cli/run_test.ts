/**
 * Transcripts of whole runs with commands made for the purpose: what reaches stdout, what stderr, and the exit
 * code, for success, every kind of failure, signals and a reader that went away.
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ClosedOutput, type CommandEntry, defineCommand, run, STORE_OPTIONS } from "../../src/cli/mod.ts";
import { OperatorError } from "../../src/errors.ts";
import { entry, stage } from "./fakes.ts";

const broken = new OperatorError("access", 'Cannot read "snap-1": denied,\n\x1b[2Jexpected kms:Decrypt', {
  hints: ["coldcase policy prints what is needed"],
  facts: { permission: "kms:Decrypt" },
  cause: new Error("403"),
});

const COMMANDS: readonly CommandEntry[] = [
  { ...entry("acquire"), synonyms: ["download", "backup"] },
  entry("export"),
  entry("fail", () => Promise.reject(broken)),
  entry("crash", () => Promise.reject(new TypeError("x is not a function"))),
  entry("three", () => Promise.resolve(3)),
  entry("speak", (context) => {
    context.out.result("a result\n");
    context.out.note("a note");
    context.out.warn("a warning");
    context.out.detail("a detail");
    context.out.event({ type: "summary", storedBytes: 5, name: "\u202Ex" });
    return Promise.resolve(0);
  }),
];

/** Exit code, stdout and stderr of a command line. */
async function transcript(line: string, options: Parameters<typeof stage>[1] = {}) {
  const { run, terminal } = stage(COMMANDS, options);
  const exitCode = await run(line);
  return [exitCode, terminal.stdout.text, terminal.stderr.text];
}

const LIST_HINT = "coldcase: hint: coldcase -h lists the commands\n";

Deno.test("run() separates the result from all else", async () => {
  assertEquals(await transcript("speak"), [
    0,
    "a result\n",
    "coldcase: a note\ncoldcase: warning: a warning\n",
  ]);
  assertEquals(await transcript("speak -q"), [0, "a result\n", "coldcase: warning: a warning\n"]);
  assertStringIncludes(String((await transcript("speak -v"))[2]), "coldcase: a detail\n");
});

Deno.test("run() with --json puts objects on stdout and texts for people on stderr", async () => {
  assertEquals(await transcript("speak --json"), [
    0,
    '{"type":"summary","storedBytes":5,"name":"\\u202ex"}\n',
    "coldcase: a note\ncoldcase: warning: a warning\n",
  ]);
});

Deno.test("run() shows an operator's error with its hints and exit code", async () => {
  const shown = 'coldcase: error: Cannot read "snap-1": denied,\\n\\x1b[2Jexpected kms:Decrypt\n' +
    "coldcase: hint: coldcase policy prints what is needed\n";
  assertEquals(await transcript("fail"), [13, "", shown]);
  assertEquals((await transcript("fail -v"))[2], `${shown}coldcase: cause: Error: 403\n`);
  const [exitCode, stdout] = await transcript("fail --json");
  assertEquals([exitCode, JSON.parse(String(stdout))], [13, {
    type: "error",
    code: "access",
    message: broken.message,
    hints: broken.hints,
    facts: broken.facts,
  }]);
});

Deno.test("run() takes a permission that Deno withholds for a wrong call, not for a bug", async () => {
  const refuse = () => {
    throw new Deno.errors.NotCapable('Requires env access to "X", run again with the --allow-env flag');
  };
  const { program, terminal } = stage([entry("ask", (context) => {
    context.world.environment("X");
    return Promise.resolve(0);
  })]);
  const bare = { ...program, world: { ...program.world, environment: refuse } };
  assertEquals(await run(["--version"], bare), 0);
  assertEquals(await run(["ask"], bare), 2);
  assertEquals(
    terminal.stderr.text,
    'coldcase: error: Cannot go on: Requires env access to "X", run again with the --allow-env flag\n' +
      "coldcase: hint: start it as deno task coldcase does, with the permissions that README names\n",
  );
});

Deno.test("run() calls anything else a bug and shows its stack with -v only", async () => {
  assertEquals(await transcript("crash"), [
    1,
    "",
    "coldcase: error: Cannot go on: TypeError: x is not a function\n" +
    "coldcase: hint: this is a bug in coldcase 9.8.7: please report it, with what the same command says with -v\n",
  ]);
  assertMatch(String((await transcript("crash -v"))[2]), /coldcase: {5}at /);
});

Deno.test("run() passes a command's exit code on", async () => {
  assertEquals(await transcript("three"), [3, "", ""]);
});

Deno.test("run() answers an unknown command with the nearest", async () => {
  const error = (name: string) => `coldcase: error: Cannot run "${name}": coldcase has no such command\n`;
  const meant = (name: string) => `coldcase: hint: did you mean ${name}\n`;
  assertEquals(await transcript("aquire"), [2, "", error("aquire") + meant("acquire") + LIST_HINT]);
  assertEquals(await transcript("download x"), [2, "", error("download") + meant("acquire") + LIST_HINT]);
  assertEquals(await transcript("frobnicate"), [2, "", error("frobnicate") + LIST_HINT]);
  assertEquals((await transcript("help exprot"))[2], error("exprot") + meant("export") + LIST_HINT);
});

Deno.test("run() says that the command comes first", async () => {
  assertEquals(await transcript("--json acquire"), [
    2,
    '{"type":"error","code":"usage","message":"Cannot take --json: expected a command first",' +
    '"hints":["the command comes first: coldcase acquire --json …","coldcase -h lists the commands"],"facts":{}}\n',
    "coldcase: error: Cannot take --json: expected a command first\n" +
    "coldcase: hint: the command comes first: coldcase acquire --json …\n" + LIST_HINT,
  ]);
});

Deno.test("run() without arguments shows the short help on stderr, exit code 2", async () => {
  const [, help] = await transcript("-h");
  assertEquals(await transcript(""), [2, "", help]);
});

Deno.test("run() shows the version wherever it is asked for", async () => {
  for (const line of ["--version", "-V", "acquire --version", "acquire x -V"]) {
    assertEquals(await transcript(line), [0, "coldcase 9.8.7\nDeno\n", ""], line);
  }
  assertEquals(JSON.parse(String((await transcript("--version --json"))[1])).version, "9.8.7");
});

Deno.test("run() shows help without running the command", async () => {
  for (const line of ["fail -h", "fail --help", "help fail", "-h", "--help", "help", "fail --json --help"]) {
    const [exitCode, stdout, stderr] = await transcript(line);
    assertEquals([exitCode, stderr], [0, ""], line);
    assertStringIncludes(String(stdout), "Usage: coldcase ", line);
  }
});

Deno.test("run() colors labels on a terminal, unless told otherwise", async () => {
  const red = "\x1b[1;31merror:\x1b[0m";
  const isRed = async (line: string, options: Parameters<typeof stage>[1]) =>
    String((await transcript(line, options))[2]).includes(red);
  assertEquals(await isRed("fail", { isTerminal: true }), true);
  assertEquals(await isRed("fail", { isTerminal: false }), false);
  assertEquals(await isRed("fail", { isTerminal: true, environment: { NO_COLOR: "1" } }), false);
  assertEquals(await isRed("fail", { isTerminal: true, environment: { TERM: "dumb" } }), false);
  assertEquals(await isRed("fail --color never", { isTerminal: true }), false);
  assertEquals(
    await isRed("fail --color=always", { isTerminal: false, environment: { NO_COLOR: "1" } }),
    true,
  );
});

Deno.test("run() lets a command end itself on the first signal", async () => {
  let saved = false;
  const patient = entry("wait", async ({ signal }) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    saved = true;
    throw signal.reason;
  });
  const { run, interrupts, terminal } = stage([patient]);
  const running = run("wait");
  await settle();
  interrupts.send("SIGINT");
  assertEquals(await running, 130);
  assertEquals([saved, interrupts.exits, interrupts.listenerCount], [true, [], 0]);
  assertEquals(
    terminal.stderr.text,
    "coldcase: stopping on Ctrl-C; once more stops at once\n" +
      "coldcase: error: Cannot finish: stopped by Ctrl-C\n" +
      "coldcase: hint: run the same command again to go on\n",
  );
});

Deno.test("run() takes an AbortError after a signal for the interruption", async () => {
  const aborted = entry("wait", async ({ signal }) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    throw new DOMException("The signal has been aborted", "AbortError");
  });
  const { run, interrupts, terminal } = stage([aborted]);
  const running = run("wait -q");
  await settle();
  interrupts.send("SIGTERM");
  assertEquals(await running, 130);
  assertStringIncludes(terminal.stderr.text, "stopped by SIGTERM");
});

Deno.test("run() ends at once on the second signal", async () => {
  let release = () => {};
  const stuck = entry("wait", async () => {
    await new Promise<void>((resolve) => release = resolve);
    return 0;
  });
  const { run, interrupts } = stage([stuck]);
  const running = run("wait");
  await settle();
  interrupts.send("SIGHUP");
  assertEquals(interrupts.exits, []);
  interrupts.send("SIGINT");
  assertEquals(interrupts.exits, [130]);
  release();
  await running;
});

Deno.test("run() takes a reader that went away for success", async () => {
  const pour = entry("pour", async ({ out }) => {
    const write = out.openBinary();
    await write(new Uint8Array(3));
    return 5;
  });
  const { run, terminal } = stage([pour, ...COMMANDS]);
  terminal.stdout.failure = new ClosedOutput("gone");
  assertEquals([await run("pour"), terminal.stderr.text], [0, ""]);
  assertEquals(await run("speak -q"), 0);
});

Deno.test("run() fails where the result could not be written, and only then", async () => {
  const { run, terminal } = stage(COMMANDS);
  terminal.stdout.failure = new Error("No space left on device");
  assertEquals(await run("speak -q"), 15);
  assertEquals(
    terminal.stderr.text,
    "coldcase: warning: a warning\n" +
      "coldcase: error: Cannot write the result to stdout: No space left on device\n" +
      "coldcase: hint: nothing else was affected; run it again with another destination\n",
  );
  assertEquals([await run("--help"), await run("acquire"), await run("three"), await run("fail")], [
    15,
    0,
    3,
    13,
  ]);
  terminal.stderr.failure = new Error("Input/output error");
  terminal.stdout.failure = undefined;
  assertEquals(await run("speak"), 0);
});

Deno.test("openBinary() keeps events out of the bytes: they go to stderr", async () => {
  const pour = entry("pour", async ({ out }) => {
    out.event({ type: "before" });
    const write = out.openBinary();
    await write(new TextEncoder().encode("bytes\n"));
    out.event({ type: "summary" });
    return 0;
  });
  const { run, terminal } = stage([pour]);
  assertEquals(await run("pour --json"), 0);
  assertStringIncludes(terminal.stdout.text, '{"type":"before"}');
  assertEquals(terminal.stdout.text.includes("summary"), false);
  assertStringIncludes(terminal.stderr.text, '{"type":"summary"}');
});

Deno.test("openBinary() refuses a terminal before anything is read", async () => {
  const pour = entry("pour", ({ out }) => {
    out.openBinary();
    return Promise.resolve(0);
  });
  const { run, terminal } = stage([pour], { isTerminal: true });
  assertEquals(await run("pour"), 2);
  assertStringIncludes(terminal.stderr.text, "Cannot write binary data to stdout: it is a terminal");
});

Deno.test("run() loads only the command that was asked for", async () => {
  const unloaded: CommandEntry = {
    ...entry("heavy"),
    load: () => Promise.reject(new Error("was loaded")),
  };
  const { run } = stage([unloaded, entry("light")]);
  for (const line of ["light", "-h", "--help", "--version", "light -h"]) {
    assertEquals(await run(line), 0, line);
  }
  assertEquals(await run("heavy"), 1);
});

Deno.test("run() gives the command its line, options and environment", async () => {
  const seen: unknown[] = [];
  const look = defineCommand({
    usage: "WORD",
    description: "",
    options: { ...STORE_OPTIONS },
    examples: [],
    run(context, input) {
      seen.push(context.commandLine, context.version, input.args, input.options.store);
      return Promise.resolve(0);
    },
  });
  const { run } = stage([{ ...entry("look"), load: () => Promise.resolve(look) }], {
    environment: { COLDCASE_STORE: "/cases/7" },
  });
  assertEquals(await run("look x"), 0);
  assertEquals(seen, [["look", "x"], "9.8.7", ["x"], "/cases/7"]);
});

/** Lets what was started reach its first wait. */
function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
