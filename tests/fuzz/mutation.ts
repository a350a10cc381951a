/**
 * Seeded damage to valid inputs: of bytes (flips, numbers at their edges, cuts, repetitions, pieces of other samples)
 * and of JSON documents (members gone, doubled, of another type, far too many, far too deep). The same seed gives the same
 * inputs on every host. Knows no parser.
 */
import { canonicalize } from "@std/json/canonicalize";
import { type Below, pick } from "../seeded.ts";
import { bytesOf, textOf } from "../format/refusals.ts";
import type { InputKind } from "./target.ts";

/** Inputs do not grow beyond this: they are printed whole. */
export const MAX_INPUT_BYTES = 64 * 1024;

/** Where arithmetic goes wrong: around the limits of 7, 8, 16, 31, 32, 53 and 64 bits. */
const EDGES: readonly bigint[] = [7n, 8n, 15n, 16n, 24n, 31n, 32n, 40n, 53n, 63n, 64n]
  .flatMap((bits) => [2n ** bits - 1n, 2n ** bits, 2n ** bits + 1n])
  .concat([0n, 1n, 2n, 512n, 4096n, 524_288n]);

/** What means something to one parser or another. */
const SNIPPETS: readonly string[] = [
  ...["null", "{}", "[", "]", "}", '"', ",", ":", "0", "-1", "-0", "1e999", "1.5", "NaN", "true"],
  ...[
    "\\ud800",
    "\ud83d\ude00",
    "__proto__",
    "constructor",
    "toString",
    "\n",
    "\r\n",
    "\t",
    " ",
    "\0",
    "../",
  ],
  ...[
    "/",
    "\\",
    "\ufeff",
    "=",
    "==",
    "#",
    "-----BEGIN ",
    "-----END ",
    "-----\n",
    "ssh-ed25519 ",
    "-> X25519 ",
  ],
  ...[
    "--- ",
    "age1",
    "AGE-SECRET-KEY-1",
    "<",
    ">",
    "</",
    "<a>",
    "&#0;",
    "&a;",
    "<![CDATA[",
    "<!--",
    "<?xml?>",
  ],
  ...[
    '<!DOCTYPE a [<!ENTITY a "aaaaaaaa">]>',
    "<html",
    "EFI PART",
    "\x55\xaa",
    "\x1b[2J",
    "\u202e",
    "%",
    "KiB",
  ],
];

/** An input made of `samples` by one or several pieces of damage. */
export function mutate(
  below: Below,
  from: { readonly samples: readonly Uint8Array[]; readonly kind: InputKind },
): Uint8Array<ArrayBuffer> {
  let bytes = new Uint8Array(pick(below, from.samples));
  if (from.kind === "json" && below(3) > 0) {
    const damaged = damagedJson(below, bytes);
    // What grew too long is damaged in another way: cut off, it would be no JSON.
    if (damaged.length <= MAX_INPUT_BYTES) bytes = damaged;
    if (bytes === damaged && below(4) > 0) return bytes;
  }
  do bytes = damagedBytes(below, bytes, pick(below, from.samples)); while (below(3) === 0);
  return bytes.subarray(0, MAX_INPUT_BYTES).slice();
}

type Damage = (below: Below, bytes: Uint8Array<ArrayBuffer>, other: Uint8Array) => Uint8Array<ArrayBuffer>;

const DAMAGES: readonly Damage[] = [
  flipBit,
  // Digits and letters of a document: another number, another name.
  (below, bytes) => withByte(bytes, below(bytes.length), (byte) => byte ^ 1),
  (below, bytes) =>
    withByte(bytes, below(bytes.length), () => pick(below, [0, 1, 0x7f, 0x80, 0xff, below(256)])),
  (below, bytes) => bytes.slice(0, below(bytes.length + 1)),
  (below, bytes) => replaced(below, bytes, () => []),
  (below, bytes) => replaced(below, bytes, (piece) => [piece, piece]),
  (below, bytes) => replaced(below, bytes, (piece) => [piece.map(() => below(256))]),
  (below, bytes, other) =>
    joined(bytes.subarray(0, below(bytes.length + 1)), other.subarray(below(other.length + 1))),
  (below, bytes, other) => replaced(below, bytes, (piece) => [piece, pieceOf(below, other)]),
  (below, bytes) => replaced(below, bytes, (piece) => [bytesOf(pick(below, SNIPPETS)), piece]),
  (below, bytes) => replaced(below, bytes, () => [bytesOf(pick(below, SNIPPETS))]),
  (below, bytes) => replaced(below, bytes, (piece) => [edgeBytes(below), piece]),
  overwrittenByEdge,
  otherDecimal,
  repetition,
  (below, bytes) => joined(bytes, pieceOf(below, bytes)),
];

function damagedBytes(
  below: Below,
  bytes: Uint8Array<ArrayBuffer>,
  other: Uint8Array,
): Uint8Array<ArrayBuffer> {
  return pick(below, DAMAGES)(below, bytes, other);
}

function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function withByte(
  bytes: Uint8Array<ArrayBuffer>,
  at: number,
  change: (byte: number) => number,
): Uint8Array<ArrayBuffer> {
  const copy = bytes.slice();
  if (at < copy.length) copy[at] = change(copy[at]!);
  return copy;
}

function flipBit(below: Below, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return withByte(bytes, below(bytes.length), (byte) => byte ^ 1 << below(8));
}

function pieceOf(below: Below, bytes: Uint8Array): Uint8Array {
  const at = below(bytes.length + 1);
  return bytes.subarray(at, at + 1 + below(pick(below, [1, 4, 40, 400])));
}

/** `bytes` with one piece replaced. */
function replaced(
  below: Below,
  bytes: Uint8Array<ArrayBuffer>,
  by: (piece: Uint8Array) => readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  const at = below(bytes.length + 1);
  const end = Math.min(bytes.length, at + 1 + below(pick(below, [1, 4, 40])));
  return joined(bytes.subarray(0, at), ...by(bytes.subarray(at, end)), bytes.subarray(end));
}

/** A number of 1, 2, 4 or 8 bytes, in either order. */
function edgeBytes(below: Below): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  const isLittle = below(2) === 0;
  view.setBigUint64(0, BigInt.asUintN(64, pick(below, EDGES)), isLittle);
  const length = pick(below, [1, 2, 4, 8]);
  return isLittle ? bytes.subarray(0, length) : bytes.subarray(8 - length);
}

function overwrittenByEdge(below: Below, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const number = edgeBytes(below);
  if (bytes.length < number.length) return bytes;
  const copy = bytes.slice();
  copy.set(number, below(bytes.length - number.length + 1));
  return copy;
}

/** A number in digits becomes another one: of an edge, or of many digits. */
function otherDecimal(below: Below, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const start = below(bytes.length + 1);
  let at = start;
  while (at < bytes.length && !isDigit(bytes[at]!)) at++;
  let end = at;
  while (end < bytes.length && isDigit(bytes[end]!)) end++;
  const number = below(8) === 0 ? "9".repeat(1 + below(400)) : String(pick(below, EDGES));
  return joined(bytes.subarray(0, at), bytesOf(number), bytes.subarray(end));
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

/** One byte, or a few, again and again: what makes a pattern, a recursion or a list take too long. */
function repetition(below: Below, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const piece = below(2) === 0 ? bytesOf(pick(below, SNIPPETS)) : pieceOf(below, bytes).subarray(0, 8);
  const count = pick(below, [10, 300, 1000, 4000]) + below(10);
  const at = below(bytes.length + 1);
  // The end is kept: a repetition that is cut off is refused early.
  const room = Math.max(0, MAX_INPUT_BYTES - bytes.length);
  const many = joined(...Array.from({ length: count }, () => piece)).subarray(0, room);
  return joined(bytes.subarray(0, at), many, bytes.subarray(at));
}

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** A place in a document: a member or an element. */
interface Place {
  readonly parent: Json[] | { [name: string]: Json };
  readonly key: string | number;
}

const HUGE_NUMBERS: readonly number[] = [
  0,
  -1,
  1.5,
  1e308,
  5e-324,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  2 ** 53 - 1,
  -(2 ** 53),
  1e21,
];
/** Replaced in the text by what no value in memory should be. */
const MARK = "@@deep@@";

/** The document with one or a few members changed; most often still canonical, so that it gets as far as its checks. */
function damagedJson(below: Below, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const root: { document: Json } = { document: JSON.parse(textOf(bytes)) };
  // Lists in lists grow by a thousand with each step.
  const isSmall = () => (JSON.stringify(root.document) ?? "").length < MAX_INPUT_BYTES;
  do changeMember(below, placesOf(root), root); while (below(3) === 0 && isSmall());
  const text = below(5) === 0 ? JSON.stringify(root.document) : canonicalize(root.document);
  return bytesOf(withDepth(below, below(12) === 0 ? withMemberTwice(below, text ?? "null") : text ?? "null"));
}

function placesOf(value: Json): Place[] {
  if (typeof value !== "object" || value === null) return [];
  const keys = Array.isArray(value) ? value.keys().toArray() : Object.keys(value);
  return keys.flatMap((key): Place[] => [
    { parent: value, key },
    ...placesOf((value as Record<string | number, Json>)[key]!),
  ]);
}

function changeMember(below: Below, places: readonly Place[], root: { document: Json }): void {
  const { parent, key } = places.length === 0 ? { parent: root, key: "document" } : pick(below, places);
  const members = parent as Record<string | number, Json>;
  const old = members[key]!;
  switch (below(8)) {
    case 0:
      if (Array.isArray(parent)) parent.splice(Number(key), 1);
      else delete members[key];
      return;
    case 1: // A member that nobody knows, under a name that may mean something to the language.
      if (Array.isArray(parent)) parent.splice(Number(key), 0, structuredClone(old));
      else {define(
          parent,
          pick(below, ["other", "__proto__", "constructor", "length", "", "x".repeat(300)]),
          old,
        );}
      return;
    case 2: {
      const from = pick(below, places.length === 0 ? [{ parent: root, key: "document" }] : places);
      members[key] = structuredClone((from.parent as Record<string | number, Json>)[from.key]!);
      return;
    }
    case 3:
      members[key] = pick<Json>(below, [null, true, false, "", "x", [], {}, [[]], 0, MARK]);
      return;
    case 4:
      members[key] = pick(below, HUGE_NUMBERS);
      return;
    case 5:
      members[key] = Array.from({
        length: pick(below, (JSON.stringify(old) ?? "").length > 100 ? [2] : [2, 33, 65, 1025]),
      }, () => old);
      return;
    default:
      members[key] = otherScalar(below, old);
  }
}

/** Also for `__proto__`, which an assignment would take for something else. */
function define(object: { [name: string]: Json }, name: string, value: Json): void {
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
}

/** A near neighbour of a number or a text. */
function otherScalar(below: Below, old: Json): Json {
  if (typeof old === "number") return old + pick(below, [-1, 1, 0.5, 512, -512]);
  if (typeof old !== "string") return pick<Json>(below, [null, "x", 1]);
  const at = below(old.length + 1);
  switch (below(5)) {
    case 0:
      return old.slice(0, at);
    case 1:
      return old.slice(0, at) + pick(below, SNIPPETS) + old.slice(at);
    case 2:
      return old.repeat(pick(below, [2, 20, 200]));
    case 3:
      return old.slice(0, at) + pick(below, ["\ud800", "\udc00", "\u0000", "\u202e", "A", "0", "f"]) +
        old.slice(at + 1);
    default:
      return String(pick(below, EDGES));
  }
}

/** The first member after some place a second time, as no encoder writes it. */
function withMemberTwice(below: Below, text: string): string {
  const at = text.indexOf("{", below(text.length));
  const member = /^\{("[^"]*":(?:"[^"]*"|[\w.+-]+))[,}]/.exec(text.slice(at))?.[1];
  return member === undefined ? text : `${text.slice(0, at + 1)}${member},${text.slice(at + 1)}`;
}

function withDepth(below: Below, text: string): string {
  const depth = pick(below, [1, 100, 5000, 12_000]);
  const [open, close] = pick(below, [["[", "]"], ['{"a":', "}"]] as const);
  return text.replace(`"${MARK}"`, () => `${open.repeat(depth)}0${close.repeat(depth)}`);
}
