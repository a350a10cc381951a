/**
 * What `sources` is asked for, from the command line: ids of instances, volumes and snapshots, and tags. Pure. A word that
 * is no id is refused with what it may have been meant as; whether there is such a thing is for the search
 * (_sources_search.ts) to find out.
 */
import { type Filter, isInstanceId, isVolumeId } from "../aws/sources.ts";
import { OperatorError } from "../errors.ts";
import { isSnapshotId } from "../units.ts";

/** What was asked for. */
export type Wanted =
  | { readonly kind: "all" }
  | { readonly kind: "instance" | "volume" | "snapshot"; readonly id: string };

/** Throws `usage` for what is no id. */
export function parseWanted(text: string): Wanted & { readonly id: string } {
  if (isInstanceId(text)) return { kind: "instance", id: text };
  if (isVolumeId(text)) return { kind: "volume", id: text };
  if (isSnapshotId(text)) return { kind: "snapshot", id: text };
  throw new OperatorError(
    "usage",
    `Cannot read id "${shown(text)}": expected i-, vol- or snap- and 8 to 17 hexadecimal digits`,
    {
      hints: [
        /^(?:i|vol|snap)-[0-9A-F]+$/i.test(text)
          ? "Ids are written in lower case, and whole: 8 or 17 digits."
          : "A name is a tag: coldcase sources --tag Name=NAME",
      ],
    },
  );
}

/** As it stands in a message: a whole file given by mistake is none. */
function shown(text: string): string {
  return text.length <= 100 ? text : `${text.slice(0, 100)}…`;
}

/** `K=V` as a filter. Throws `usage`. */
export function parseTag(text: string): { readonly key: string; readonly value: string } {
  const equals = text.indexOf("=");
  if (equals < 1) {
    throw new OperatorError("usage", `Cannot read tag "${shown(text)}": expected KEY=VALUE`, {
      hints: ["* stands for anything: --tag 'KEY=*' finds all that have the key."],
    });
  }
  return { key: text.slice(0, equals), value: text.slice(equals + 1) };
}

/** The same key several times: any of its values; several keys: all of them. */
export function tagFilters(tags: readonly ReturnType<typeof parseTag>[]): Filter[] {
  return [...Map.groupBy(tags, ({ key }) => key)].map(([key, given]) => ({
    name: `tag:${key}`,
    values: given.map(({ value }) => value),
  }));
}
