/**
 * Markdown from values that are not ours: a snapshot's tag or a note may hold anything, and must stay a value in its
 * cell: no heading, no link, no image, no HTML, no second row. Pure.
 */
import { sanitize } from "../cli/mod.ts";
import { formatCount } from "../units.ts";

/** Rows of one list; the rest is counted, and in the file that the list is from. */
export const MAX_ROWS = 100;

/** A value as text that no Markdown reader takes for markup. */
export function plain(value: string): string {
  return sanitize(value)
    .replace(/[\\`*_{}[\]<>|~&#!$@]/g, "\\$&")
    // Some readers make links of bare addresses.
    .replace(/:\/\//g, "\\://").replace(/www\./gi, (match) => `${match.slice(0, 3)}\\.`);
}

/** A value in a fixed-width font where it can be: names, digests, ids. */
export function code(value: string): string {
  return /^[\x20-\x7e]+$/.test(value) && !/[`|\\]|^ | $/.test(value) ? `\`${value}\`` : plain(value);
}

/** A value, or the word for none. */
export function orNone(value: string | null | undefined, none = "not given"): string {
  return value === null || value === undefined || value === "" ? none : plain(value);
}

/** A table; cells are Markdown already, without line feeds. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |\n`;
  return `${line(titles)}${line(titles.map(() => "---"))}${rows.map(line).join("")}\n`;
}

/** `[1], [3]`: numbers of files. */
export function from(...files: readonly (number | null)[]): string {
  return files.filter((file) => file !== null).map((file) => `[${file}]`).join(", ");
}

/** What, what the file says of it, and which file. */
export type Fact = readonly [what: string, says: string, from: string];

export function factTable(facts: readonly Fact[]): string {
  return table(["What", "Recorded", "From"], facts);
}

/** What a list of `count` left out. */
export function rest(count: number, file: number): string {
  return count <= MAX_ROWS ? "" : `And ${formatCount(count - MAX_ROWS)} more in ${from(file)}.\n\n`;
}
