/**
 * Completions in the shells themselves, at a terminal that `script` makes: a command line is typed with Tab keys in it
 * and entered, and what the shell then runs is what it has completed. `coldcase` is a function there that prints its
 * arguments.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { completionScript, type Shell, SHELLS } from "../../src/cli/mod.ts";
import { COMMANDS } from "../../src/commands/mod.ts";
import { outside, toolPath } from "../outside.ts";
import { withFolder } from "../store/fixtures.ts";

/** What is typed, Tab as `\t`, and the arguments that come of it. */
const LINES: readonly (readonly [typed: string, completed: string])[] = [
  ["veri\t", "verify"],
  ["acquire --evid\t 7", "acquire --evidence 7"],
  ["verify --quic\t --verify-k\t some-key", "verify --quick --verify-key some-key"],
  ["report --format m\t", "report --format md"],
  ["keygen -o some-f\t", "keygen -o some-file.age"],
  ["acquire --store some-d\t", "acquire --store some-dir/"],
  ["recipients a\t", "recipients add"],
  ["completions fi\t", "completions fish"],
  ["help expo\t", "help export"],
  ["export --format=r\t -q", "export --format=raw -q"],
];

/** How a shell is started with nothing of the user's, and what it is told first. */
const STARTS: Readonly<Record<"bash" | "zsh", { readonly command: string; readonly first: string }>> = {
  bash: { command: "bash --norc --noprofile -i", first: `coldcase() { printf 'RAN[%s]\\n' "$*"; }` },
  zsh: {
    command: "zsh -f -i",
    first: `autoload -Uz compinit; compinit -D -u; coldcase() { printf 'RAN[%s]\\n' "$*" }`,
  },
};

for (const shell of ["bash", "zsh"] as const) {
  outside(
    `${shell} completes commands, options and values`,
    ["script", shell],
    () =>
      withFolder(async (folder) => {
        Deno.mkdirSync(`${folder}/some-dir`);
        Deno.writeTextFileSync(`${folder}/some-file.age`, "");
        Deno.writeTextFileSync(`${folder}/completions`, await completionScript(shell, COMMANDS));
        const { command, first } = STARTS[shell];
        const typed = [
          `${first}; source ./completions`,
          ...LINES.map(([line]) => `coldcase ${line}`),
          "exit",
        ];
        const shown = await typeInto(command, folder, typed.map((line) => `${line}\n`));
        const ran = [...shown.matchAll(/RAN\[(?!%s)([^\]]*)\]/g)].map(([, words]) =>
          words?.replace(/\/$/, "")
        );
        assertEquals(ran, LINES.map(([, completed]) => completed.replace(/\/$/, "")), shown);
      }),
  );
}

outside("fish completes commands, options and values", ["fish"], () =>
  withFolder(async (folder) => {
    Deno.mkdirSync(`${folder}/some-dir`);
    Deno.writeTextFileSync(`${folder}/some-file.age`, "");
    Deno.writeTextFileSync(`${folder}/completions`, await completionScript("fish", COMMANDS));
    const lines = LINES.map(([typed, completed]) => ({ typed: upToLastTab(typed), completed }));
    const asked = lines.map(({ typed }) => `echo ASKED; complete -C 'coldcase ${typed}'`).join("\n");
    const { stdout, success } = await new Deno.Command(toolPath("fish")!, {
      args: ["--no-config", "-c", `source ./completions\n${asked}`],
      cwd: folder,
      env: { HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder },
    }).output();
    assert(success);
    const answers = new TextDecoder().decode(stdout).split("ASKED\n").slice(1);
    for (const [at, { typed, completed }] of lines.entries()) {
      const [only, ...others] = answers[at]!.trimEnd().split("\n").map((line) => line.split("\t")[0]!);
      assertEquals(others, [], typed);
      assert(completed.split(" ").includes(only!), `${typed}: ${only}`);
    }
  }));

Deno.test("each shell's completions name every command and option", async () => {
  const visible = await Promise.all(COMMANDS.map(async ({ name, load }) => {
    const { options } = await load();
    return { name, options: Object.entries(options).flatMap(([long, { hidden }]) => hidden ? [] : [long]) };
  }));
  for (const shell of SHELLS) {
    const script = await completionScript(shell, COMMANDS);
    for (const { name, options } of visible) {
      assertStringIncludes(script, name, shell);
      for (const option of options) {
        assertStringIncludes(script, optionIn(shell, option), `${shell}: ${name}`);
      }
    }
  }
});

function optionIn(shell: Shell, option: string): string {
  return shell === "fish" ? `-l ${option} ` : `--${option}`;
}

function upToLastTab(line: string): string {
  return line.slice(0, line.lastIndexOf("\t")).replaceAll("\t", "");
}

/** Types lines into a program at a terminal, each after the one before was run. What the terminal showed comes back. */
async function typeInto(command: string, cwd: string, lines: readonly string[]): Promise<string> {
  const child = new Deno.Command(toolPath("script")!, {
    args: ["-q", "-e", "-c", command, "/dev/null"],
    cwd,
    // A shell between would forget the prompt.
    env: { HOME: cwd, PS1: "READY> ", TERM: "dumb", HISTFILE: "", SHELL: "/bin/sh" },
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const writer = child.stdin.getWriter();
  const left = [...lines];
  let shown = "";
  let answered = 0;
  for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
    shown += part;
    for (; shown.split("READY> ").length - 1 > answered && left.length > 0; answered++) {
      await writer.write(new TextEncoder().encode(left.shift()));
    }
  }
  await writer.close().catch((error) => assertEquals(error.name, "BrokenPipe"));
  await child.status;
  return shown;
}
