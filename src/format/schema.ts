/**
 * Strict shapes for decoded JSON: each check takes an `unknown` and gives back the typed value or throws
 * `format` naming the place. Objects have exactly the members that they should have: an unknown member is
 * a feature of a version that we do not know, and is refused. Not a general validator: just what the
 * documents of store-format.md need.
 */
import { OperatorError } from "../errors.ts";
import type { Digest, ExhibitId, SnapshotId } from "../model.ts";
import { isDigest, isExhibitId, isInstanceId, isSnapshotId } from "../units.ts";

/** Gives `value` its type, or throws `format` with `place` (`manifest.counts.zeroBlocks`) in the message. */
export type Check<T> = (value: unknown, place: string) => T;

/** The type that a check gives. */
export type Checked<C> = C extends Check<infer T> ? T : never;

function refuse(place: string, value: unknown, wanted: string): never {
  const shown = shorten(JSON.stringify(value) ?? "nothing", 80);
  // A place ends in member names that the document chose: a megabyte of one is no message.
  throw new OperatorError("format", `Cannot read ${shorten(place, 300)}: is ${shown}, expected ${wanted}`);
}

function shorten(text: string, maxLength: number): string {
  return text.length > maxLength ? text.slice(0, maxLength - 3) + "…" : text;
}

/** An object with exactly the members of `members`. */
export function object<M extends Record<string, Check<unknown>>>(
  members: M,
): Check<{ readonly [K in keyof M]: Checked<M[K]> }> {
  const names = Object.keys(members);
  // Another tool's document, or a later version's, has other members: what it is comes before what is in it.
  const identity = ["type", "version"].filter((name) => Object.hasOwn(members, name));
  return (value, place) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      refuse(place, value, "an object");
    }
    for (const name of identity) {
      if (Object.hasOwn(value, name)) {
        members[name]!((value as Record<string, unknown>)[name], `${place}.${name}`);
      }
    }
    const unknownName = Object.keys(value).find((name) => !Object.hasOwn(members, name));
    if (unknownName !== undefined) refuse(`${place}.${unknownName}`, unknownName, "no such member");
    const given = value as Record<string, unknown>;
    const result: Record<string, unknown> = {};
    for (const name of names) {
      if (!Object.hasOwn(given, name)) refuse(`${place}.${name}`, undefined, "this member");
      result[name] = members[name]!(given[name], `${place}.${name}`);
    }
    return result as { readonly [K in keyof M]: Checked<M[K]> };
  };
}

export function arrayOf<T>(element: Check<T>, maxLength: number): Check<readonly T[]> {
  return (value, place) => {
    if (!Array.isArray(value)) refuse(place, value, "an array");
    if (value.length > maxLength) refuse(place, value.length, `at most ${maxLength} elements`);
    return value.map((item, position) => element(item, `${place}[${position}]`));
  };
}

/** Member names that the document chooses: at most 256 UTF-16 units each. */
const MAX_NAME_LENGTH = 256;

export function recordOf<T>(member: Check<T>, maxMembers: number): Check<Readonly<Record<string, T>>> {
  return (value, place) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      refuse(place, value, "an object");
    }
    const entries = Object.entries(value);
    if (entries.length > maxMembers) refuse(place, entries.length, `at most ${maxMembers} members`);
    const long = entries.find(([name]) => name.length > MAX_NAME_LENGTH)?.[0];
    if (long !== undefined) refuse(place, long, `names of at most ${MAX_NAME_LENGTH} characters`);
    return Object.fromEntries(entries.map(([name, item]) => [name, member(item, `${place}.${name}`)]));
  };
}

export function nullable<T>(check: Check<T>): Check<T | null> {
  return (value, place) => value === null ? null : check(value, place);
}

export function literal<const T extends string | number | boolean>(...allowed: readonly T[]): Check<T> {
  return (value, place) => {
    const found = allowed.find((candidate) => candidate === value);
    return found !== undefined
      ? found
      : refuse(place, value, allowed.map((item) => JSON.stringify(item)).join(" or "));
  };
}

export function integer(minimum: number, maximum = Number.MAX_SAFE_INTEGER): Check<number> {
  return (value, place) =>
    Number.isSafeInteger(value) && (value as number) >= minimum && (value as number) <= maximum
      ? value as number
      : refuse(place, value, `an integer from ${minimum} to ${maximum}`);
}

/** A text of at most `maxLength` UTF-16 units. */
export function text(maxLength = 4096): Check<string> {
  return (value, place) =>
    typeof value === "string" && value.length <= maxLength
      ? value
      : refuse(place, value, `a text of at most ${maxLength} characters`);
}

export const flag: Check<boolean> = (value, place) =>
  typeof value === "boolean" ? value : refuse(place, value, "true or false");

/** RFC 3339 in UTC with milliseconds, as `Date.toISOString` writes it. */
export const time: Check<string> = (value, place) =>
  typeof value === "string" && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value) && isOnCalendar(value)
    ? value
    : refuse(place, value, "a time such as 2026-01-02T03:04:05.678Z");

/** `Date` takes 31 April for 1 May: only what it gives back unchanged is a day. */
function isOnCalendar(text: string): boolean {
  const ms = Date.parse(text);
  return !Number.isNaN(ms) && new Date(ms).toISOString() === text;
}

export const digest: Check<Digest> = (value, place) =>
  isDigest(value) ? value : refuse(place, value, "a SHA-256 digest of 64 lower-case hexadecimal digits");

export const exhibitId: Check<ExhibitId> = (value, place) =>
  isExhibitId(value) ? value : refuse(place, value, "an exhibit id (ex- and 16 hexadecimal digits)");

export const snapshotId: Check<SnapshotId> = (value, place) =>
  typeof value === "string" && isSnapshotId(value) ? value : refuse(place, value, "a snapshot id");

/** Ids of EC2 as it has written them since 2006, and since 2016: 8 or 17 digits. */
export const volumeId: Check<string> = (value, place) =>
  typeof value === "string" && /^vol-[0-9a-f]{8,17}$/.test(value)
    ? value
    : refuse(place, value, "a volume id");

export const instanceId: Check<string> = (value, place) =>
  isInstanceId(value) ? value : refuse(place, value, "an instance id");
