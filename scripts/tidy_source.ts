/**
 * Views of a TypeScript text with comments, or comments and strings, blanked out, so that a rule about code
 * does not trip over prose. Lengths and line breaks are kept: an offset means the same in all of them.
 *
 * A scanner, not a parser: regular expression literals are told from divisions by what stands before them.
 */

/** What may stand before a regular expression literal: an operator, an opening, a comma, or a keyword. */
const BEFORE_REGEXP = /(?:^|[=(,:[!&|?{};+*%<>~^-]|\breturn|\btypeof|\bcase|\bof|\bin)\s*$/;

/** `code`: without comments. `bare`: also without the contents of strings, templates, regular expressions. */
export function blank(text: string): { code: string; bare: string } {
  const code = [...text.split("")];
  const bare = [...code];
  /** Open `${` of templates, each with the depth of braces inside it. */
  const holes: number[] = [];
  const wipe = (view: string[], from: number, to: number) => {
    for (let at = from; at < to; at++) if (view[at] !== "\n") view[at] = " ";
  };
  for (let at = 0; at < text.length;) {
    const end = endOfToken(text, at, holes);
    const kind = end.kind;
    if (kind === "comment") wipe(code, at, end.at);
    if (kind === "comment") wipe(bare, at, end.at);
    if (kind === "string") wipe(bare, at + 1, end.at - 1);
    at = end.at;
  }
  return { code: code.join(""), bare: bare.join("") };
}

interface TokenEnd {
  readonly at: number;
  readonly kind: "comment" | "string" | "other";
}

function endOfToken(text: string, at: number, holes: number[]): TokenEnd {
  const character = text[at];
  if (text.startsWith("//", at)) return { at: indexOr(text, "\n", at), kind: "comment" };
  if (text.startsWith("/*", at)) return { at: indexOr(text, "*/", at + 2) + 2, kind: "comment" };
  if (character === '"' || character === "'") {
    return { at: endOfQuoted(text, at + 1, character), kind: "string" };
  }
  if (character === "`") return endOfTemplate(text, at + 1, holes);
  if (character === "/" && BEFORE_REGEXP.test(text.slice(Math.max(0, at - 20), at))) {
    return { at: endOfRegExp(text, at + 1), kind: "string" };
  }
  const depth = holes.at(-1);
  if (depth !== undefined && character === "{") holes[holes.length - 1] = depth + 1;
  if (depth !== undefined && character === "}") {
    if (depth === 0) {
      holes.pop();
      return endOfTemplate(text, at + 1, holes);
    }
    holes[holes.length - 1] = depth - 1;
  }
  return { at: at + 1, kind: "other" };
}

function indexOr(text: string, what: string, from: number): number {
  const at = text.indexOf(what, from);
  return at < 0 ? text.length : at;
}

/** Up to and including the quote; a string in one line only, so that a mistake ends with its line. */
function endOfQuoted(text: string, from: number, quote: string): number {
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === quote || text[at] === "\n") return at + 1;
  }
  return text.length;
}

/** Up to and including the back quote, or the `${` that interrupts the template. */
function endOfTemplate(text: string, from: number, holes: number[]): TokenEnd {
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "`") return { at: at + 1, kind: "string" };
    else if (text.startsWith("${", at)) {
      holes.push(0);
      return { at: at + 2, kind: "string" };
    }
  }
  return { at: text.length, kind: "string" };
}

function endOfRegExp(text: string, from: number): number {
  let inClass = false;
  for (let at = from; at < text.length; at++) {
    const character = text[at];
    if (character === "\\") at++;
    else if (character === "[") inClass = true;
    else if (character === "]") inClass = false;
    else if (character === "\n" || (character === "/" && !inClass)) return at + 1;
  }
  return text.length;
}

/** The line of an offset, from 1. */
export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}
