/**
 * What EC2's Describe calls have in common: lists in a form, filters with wildcards, pages, refusals. What a filter
 * compares is the calls' own.
 *
 * @see https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Filter.html
 */
import { Buffer } from "node:buffer";
import { AwsError } from "./errors.ts";

type Form = ReadonlyMap<string, string>;

/** Values of `Name.1`, `Name.2`, …, in the order of their numbers. */
export function numbered(form: Form, name: string): string[] {
  return [...form]
    .flatMap(([key, value]) => {
      const match = key.startsWith(`${name}.`) ? /^(\d+)$/.exec(key.slice(name.length + 1)) : null;
      return match ? [{ at: Number(match[1]), value }] : [];
    })
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value);
}

/** A filter's values of one thing. */
type Values<T> = (thing: T) => readonly string[];

/**
 * Filters are joined by "and", the values of one by "or"; "*" and "?" are wildcards. `valuesOf` knows the filters; for
 * another one the request is refused.
 */
export function filtersOf<T>(
  form: Form,
  valuesOf: (name: string) => Values<T> | undefined,
): ((thing: T) => boolean)[] {
  const names = [...form].filter(([key]) => /^Filter\.\d+\.Name$/.test(key));
  return names.map(([key, name]) => {
    const patterns = numbered(form, `${key.slice(0, -".Name".length)}.Value`).map(patternOf);
    const values = valuesOf(name);
    if (!values) throw refusal("InvalidParameterValue", `The filter '${name}' is invalid`);
    if (patterns.length > 200) {
      throw refusal("FilterLimitExceeded", `The maximum number of filter values is 200: '${name}'`);
    }
    return (thing) => values(thing).some((value) => patterns.some((pattern) => pattern.test(value)));
  });
}

function patternOf(text: string): RegExp {
  const escaped = text.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".");
  return new RegExp(`^${escaped}$`, "s");
}

/** The page that the form asks for, of things in the order of their ids. `set`: what EC2 calls the list of ids. */
export function pageOf<T extends { readonly id: string }>(
  found: readonly T[],
  facts: { readonly form: Form; readonly hasIds: boolean; readonly set: string },
): { page: readonly T[]; nextToken: string | undefined } {
  const wanted = facts.form.get("MaxResults");
  if (wanted === undefined) return { page: found, nextToken: undefined };
  if (facts.hasIds) {
    throw refusal(
      "InvalidParameterCombination",
      `The parameter ${facts.set} cannot be used with the parameter maxResults`,
    );
  }
  const size = Number(wanted);
  if (!Number.isInteger(size) || size < 5) {
    throw refusal(
      "InvalidParameterValue",
      `Value ( ${wanted} ) for parameter maxResults is invalid. Expecting a value greater than 5.`,
    );
  }
  // The token is the id that the page before ended with: a page is right whatever was added or removed since.
  const after = Buffer.from(facts.form.get("NextToken") ?? "", "base64").toString();
  const rest = found.filter(({ id }) => id > after);
  const page = rest.slice(0, Math.min(size, 1000));
  const last = page.at(-1);
  const nextToken = last && rest.length > page.length ? Buffer.from(last.id).toString("base64") : undefined;
  return { page, nextToken };
}

export function refusal(code: string, message: string): AwsError {
  return new AwsError(code, { status: 400, message });
}
