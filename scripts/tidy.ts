/**
 * Checks by machine what the house rules ask of the source: who imports whom, sizes, names, and what must not
 * be in it. `tidy()` is pure, so its test can feed it bad sources; run as a program it reads the checkout.
 *
 * Reads text, not syntax trees: it relies on `deno fmt` having run, and leaves to `deno lint` what that finds.
 */
import { checkImports, checkMap } from "./tidy_imports.ts";
import { blank, lineAt } from "./tidy_source.ts";

/** One thing to change. Warnings do not fail. */
export interface Finding {
  readonly path: string;
  /** From 1; 0 for the file as a whole. */
  readonly line: number;
  readonly message: string;
  readonly warning?: true;
}

/** A file with views of its text of the same length and lines. */
export interface Source {
  /** From the checkout's root: `src/cli/mod.ts`. */
  readonly path: string;
  readonly text: string;
  /** Comments blanked. */
  readonly code: string;
  /** Comments and the contents of strings blanked. */
  readonly bare: string;
}

const WARN_LINES = 300;
const MAX_LINES = 400;
const MAX_FUNCTION_LINES = 70;
const BANNED_NAMES = ["utils", "util", "helpers", "helper", "common", "manager", "service", "misc"];

/** A pattern that must not be in `bare` text, in which files, and what to do instead. */
interface Ban {
  readonly pattern: RegExp;
  readonly where: (path: string) => boolean;
  readonly message: string;
}

const inSource = (path: string) => (path.startsWith("src/") || path === "main.ts") && !path.endsWith(".d.ts");
const anywhere = () => true;

const BANS: readonly Ban[] = [
  { pattern: /(?::|\bas|<|\|)\s*any\b/g, where: inSource, message: "`any`: say what it is, or `unknown`" },
  { pattern: /\benum\s+\w+/g, where: anywhere, message: "`enum`: use a union of strings" },
  { pattern: /\bexport\s+default\b/g, where: anywhere, message: "default export: give it a name" },
  { pattern: /\bconsole\s*\./g, where: inSource, message: "`console`: only src/cli prints, through Output" },
  {
    pattern: /\bDeno\.(?:stdout|stderr)\b|\bprocess\.std(?:out|err)\b/g,
    where: (path) => inSource(path) && path !== "src/cli/terminal.ts",
    message: "prints below the command-line layer: throw, or return what is to be said",
  },
  {
    pattern: /\bDeno\.exit\b|\bprocess\.exit\b/g,
    where: (path) => path.startsWith("src/"),
    message: "ends the process: throw an OperatorError; only main.ts exits",
  },
  {
    pattern: /\bcatch\s*(?:\([^)]*\)\s*)?\{\s*\}|\.catch\(\s*\(\w*\)\s*=>\s*\{\s*\}\s*\)/g,
    where: anywhere,
    message: "empty catch: say what was tolerated and count it",
  },
];

/** What is wrong with `files` (path from the root → text); `deno.json` among them is checked for exact versions. */
export function tidy(files: ReadonlyMap<string, string>): Finding[] {
  const findings: Finding[] = [];
  for (const [path, text] of files) {
    if (path === "deno.json") findings.push(...checkMap(text));
    if (!path.endsWith(".ts")) continue;
    const source: Source = { path, text, ...blank(text) };
    findings.push(...checkFile(source), ...checkImports(source));
  }
  return findings;
}

function checkFile(source: Source): Finding[] {
  return [
    ...checkName(source),
    ...checkSize(source),
    ...checkHeader(source),
    ...checkWords(source),
    ...BANS.filter((ban) => ban.where(source.path)).flatMap((ban) => checkBan(source, ban)),
    ...checkFunctions(source),
  ];
}

function checkName({ path }: Source): Finding[] {
  const words = path.split("/").flatMap((segment) => segment.replace(/(_test)?\.ts$/, "").split("_"));
  const banned = words.find((word) => BANNED_NAMES.includes(word));
  return banned === undefined
    ? []
    : [{ path, line: 0, message: `"${banned}" in a name: name what it holds` }];
}

function checkSize({ path, text }: Source): Finding[] {
  const lines = text.split("\n").length - 1;
  if (!path.startsWith("src/") || lines <= WARN_LINES) return [];
  const message = `${lines} lines: is it two things?`;
  return [lines > MAX_LINES ? { path, line: 0, message } : { path, line: 0, message, warning: true }];
}

/** Each file opens with what it does and what it does not: two to ten lines of text; a test may need but one. */
function checkHeader({ path, text }: Source): Finding[] {
  const header = /^(?:#!.*\n)?(?:\/\*\*[\s\S]*?\*\/|(?:\/\/.*\n)+)/.exec(text)?.[0] ?? "";
  const lines = header.split("\n").filter((line) => /\w/.test(line) && !line.startsWith("#!")).length;
  if (lines >= (path.startsWith("tests/") ? 1 : 2) && lines <= 10) return [];
  const message = lines === 0 ? "no header comment" : `${lines} lines of header comment, expected 3 to 8`;
  return [{ path, line: 1, message }];
}

function checkWords({ path, text }: Source): Finding[] {
  const word = ["TO", "DO"].join("");
  const pattern = new RegExp(`\\b(?:${word}|FIX${"ME"}|XX${"X"})\\b`, "g");
  return [...text.matchAll(pattern)].map((match) => ({
    path,
    line: lineAt(text, match.index),
    message: `"${match[0]}": do it, or open an issue`,
  }));
}

function checkBan({ path, bare }: Source, ban: Ban): Finding[] {
  return [...bare.matchAll(ban.pattern)].map((match) => ({
    path,
    line: lineAt(bare, match.index),
    message: ban.message,
  }));
}

/** Lengths of functions and methods: formatted code closes one with a brace at its own indentation. */
function checkFunctions({ path, bare }: Source): Finding[] {
  if (!inSource(path)) return [];
  const lines = bare.split("\n");
  return lines.flatMap((line, index): Finding[] => {
    const start =
      /^(\s*)(?:export )?(?:async )?(?:function\b|(?:(?:static|get|set|override|async|\*) ?)*#?\w+\()/
        .exec(line);
    if (!start || /^\s*(?:if|for|while|switch|return|await|throw|catch)\b/.test(line)) return [];
    if (!/\{$/.test(line) && !/\($/.test(line)) return [];
    const end = lines.findIndex((later, at) => at > index && later === `${start[1]}}`);
    const next = lines.findIndex((later, at) =>
      at > index && /^\s*\S/.test(later) && indent(later) < indent(line)
    );
    if (end < 0 || (next >= 0 && next < end) || end - index + 1 <= MAX_FUNCTION_LINES) return [];
    return [{
      path,
      line: index + 1,
      message: `function of ${end - index + 1} lines, at most ${MAX_FUNCTION_LINES}`,
    }];
  });
}

function indent(line: string): number {
  return line.length - line.trimStart().length;
}

/** The checkout's TypeScript files and deno.json. */
export function readCheckout(root: string): Map<string, string> {
  const files = new Map([["deno.json", Deno.readTextFileSync(`${root}/deno.json`)]]);
  const visit = (folder: string) => {
    for (const entry of Deno.readDirSync(`${root}/${folder}`)) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      const isCode = entry.isFile && entry.name.endsWith(".ts");
      if (isCode) files.set(path, Deno.readTextFileSync(`${root}/${path}`));
      else if (entry.isDirectory && (folder !== "" || ["src", "tests", "scripts"].includes(entry.name))) {
        visit(path);
      }
    }
  };
  visit("");
  return files;
}

if (import.meta.main) {
  const findings = tidy(readCheckout(new URL("..", import.meta.url).pathname));
  const failures = findings.filter((finding) => !finding.warning);
  const lines = findings.map(({ path, line, message, warning }) =>
    `${path}${line > 0 ? `:${line}` : ""}: ${warning ? "warning: " : ""}${message}\n`
  );
  const verdict = failures.length === 0 ? "tidy\n" : `${failures.length} to tidy\n`;
  Deno.stdout.writeSync(new TextEncoder().encode(lines.join("") + verdict));
  Deno.exit(failures.length === 0 ? 0 : 1);
}
