/**
 * Text as a terminal shows it: made safe, measured, cut, wrapped, set in columns. Pure.
 *
 * What comes from AWS, a disk or the command line may hold escape sequences that repaint a terminal or
 * right-to-left overrides that disguise a name. `sanitize()` turns every such character into a visible
 * escape. It is no encoding: a backslash stays one, so the result can't be turned back.
 */

/** Controls (C0, C1, DEL), format characters (bidi, zero-width, tags), line separators, lone surrogates. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

function visibleEscape(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (character === "\n") return "\\n";
  if (character === "\t") return "\\t";
  if (character === "\r") return "\\r";
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
  return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, "0")}`;
}

/**
 * One value from outside, safe inside a line of ours: line breaks and tabs are escaped too.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(sanitize("web\x1b[2J\u202Egpj.exe\n"), "web\\x1b[2J\\u202egpj.exe\\n");
 * ```
 */
export function sanitize(text: string): string {
  return text.replace(UNSAFE, visibleEscape);
}

/** As `sanitize()`, but line feeds stay: for a whole text of several lines, whose values were sanitized before. */
export function sanitizeLines(text: string): string {
  return text.replace(UNSAFE, (character) => character === "\n" ? character : visibleEscape(character));
}

/** One JSON line without what a terminal would act on; parses to the same value. */
export function jsonLine(value: unknown): string {
  const escaped = JSON.stringify(value).replace(UNSAFE, (character) =>
    Array.from(
      { length: character.length },
      (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`,
    ).join(""));
  return `${escaped}\n`;
}

/** Scripts and symbols that terminals show two columns wide: Unicode's East_Asian_Width W and F, by block. */
const WIDE = new RegExp(
  "[\\u1100-\\u115f\\u2e80-\\u303e\\u3041-\\ua4cf\\ua960-\\ua97c\\uac00-\\ud7a3\\uf900-\\ufaff\\ufe30-\\ufe6f" +
    "\\uff01-\\uff60\\uffe0-\\uffe6\\u{16fe0}-\\u{18d08}\\u{1b000}-\\u{1b2fb}\\u{20000}-\\u{3fffd}" +
    "\\p{Emoji_Presentation}]",
  "u",
);

/** Columns that sanitized text takes on a terminal; combining marks take none. (`@std/cli`'s npm build lacks its table.) */
export function textWidth(text: string): number {
  // deno-lint-ignore no-control-regex
  if (/^[\x00-\x7f]*$/.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += /\p{M}/u.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return width;
}

/** The longest beginning of `text` that takes at most `columns`; where something is cut, its last column is `…`. */
export function cutToWidth(text: string, columns: number): string {
  if (textWidth(text) <= columns) return text;
  let width = 1;
  let kept = "";
  for (const character of text) {
    width += textWidth(character);
    if (width > columns) break;
    kept += character;
  }
  return columns > 0 ? `${kept}…` : "";
}

/** `text` filled with spaces to `columns`, at its end or (`right`) before it. Never cut. */
export function padToWidth(text: string, columns: number, align: "left" | "right" = "left"): string {
  const fill = " ".repeat(Math.max(0, columns - textWidth(text)));
  return align === "right" ? fill + text : text + fill;
}

/** Breaks `text` at spaces into lines of at most `columns`; a longer word stays whole on a line of its own. */
export function wrapText(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/).filter((part) => part !== "")) {
    if (line !== "" && textWidth(line) + 1 + textWidth(word) > columns) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  if (line !== "") lines.push(line);
  return lines;
}

/** A column of `formatTable()`. */
export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

/**
 * Rows under their titles, two spaces between columns, as wide as the widest cell; every cell is sanitized.
 * Nothing is cut, so that ids can be copied. Ends with a line feed; no trailing spaces.
 */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const cells = [columns.map((column) => column.title), ...rows.map((row) => row.map(sanitize))];
  const widths = columns.map((_, index) => Math.max(...cells.map((row) => textWidth(row[index] ?? ""))));
  return cells.map((row) =>
    columns.map((column, index) => padToWidth(row[index] ?? "", widths[index] ?? 0, column.align))
      .join("  ").trimEnd() + "\n"
  ).join("");
}

/** `name  value` lines with the values in one column; values sanitized, `undefined` ones left out. */
export function formatFacts(facts: readonly (readonly [name: string, value: string | undefined])[]): string {
  const given = facts.filter(([, value]) => value !== undefined);
  const width = Math.max(0, ...given.map(([name]) => textWidth(name)));
  return given.map(([name, value]) => `${padToWidth(name, width)}  ${sanitize(value ?? "")}`.trimEnd() + "\n")
    .join("");
}
