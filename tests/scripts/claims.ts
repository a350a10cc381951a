/**
 * Reads the tables of claims in SECURITY.md and tests/nist.md: each row names the tests that show it, as
 * `file`: `name`, or says why there is none. Pure: files come as texts. Says what is wrong; decides nothing.
 */

/** A row of a table with the column "Shown by". */
export interface ClaimRow {
  readonly claim: string;
  readonly tests: readonly { readonly file: string; readonly name: string }[];
  /** What stands there in place of tests; empty where it names some. */
  readonly reason: string;
}

const REASON = /^(?:Does not apply|Not built): \S/;

/** The rows of all tables whose last column is "Shown by". */
export function claimRows(markdown: string): ClaimRow[] {
  const rows: ClaimRow[] = [];
  let isClaims = false;
  for (const line of markdown.split("\n")) {
    if (!line.startsWith("|")) isClaims = false;
    else if (/\|\s*Shown by\s*\|\s*$/.test(line)) isClaims = true;
    else if (isClaims && !/^[|\s:-]+$/.test(line)) rows.push(rowOf(line));
  }
  return rows;
}

function rowOf(line: string): ClaimRow {
  const [, claim = "", ...cells] = line.split("|").map((cell) => cell.trim());
  const shown = cells.slice(0, -1).join("|");
  const tests = [...shown.matchAll(/`(tests\/[^`]+)`: (?:``\s?(.+?)\s?``|`([^`]+)`)(?=;|$)/g)]
    .map(([, file, quoted, name]) => ({ file: file!, name: (quoted ?? name)! }));
  const isRead = shown.replace(/`(tests\/[^`]+)`: (?:``\s?.+?\s?``|`[^`]+`)(?:; |$)/g, "") === "";
  return { claim, tests: isRead ? tests : [], reason: isRead ? "" : shown };
}

/** The names of the tests of a file, as they are in its source: `${…}` where a template makes several. */
export function testNames(source: string): Set<string> {
  const calls = source.matchAll(
    /\b(?:Deno\.test|outside|outsideWithLoop)\(\s*(?:\{\s*name:\s*)?(?:`((?:[^`\\]|\\.)*)`|"((?:[^"\\]|\\.)*)")/g,
  );
  return new Set([...calls].map(([, template, text]) => (template ?? text)!.replace(/\\(.)/g, "$1")));
}

/** What is wrong with the claims of a document: rows that nothing shows, files and tests that are not there. */
export function claimProblems(markdown: string, sourceOf: (file: string) => string | undefined): string[] {
  return claimRows(markdown).flatMap(({ claim, tests, reason }): string[] => {
    if (tests.length === 0) return REASON.test(reason) ? [] : [`"${claim}": nothing shows it`];
    return tests.flatMap(({ file, name }) => {
      const source = file.endsWith("_test.ts") ? sourceOf(file) : undefined;
      if (source === undefined) return [`"${claim}": no test file ${file}`];
      return testNames(source).has(name) ? [] : [`"${claim}": ${file} has no test "${name}"`];
    });
  });
}
