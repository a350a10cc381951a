/**
 * Parameters as the service model of `ebs/2019-11-02` constrains them: patterns, lengths and ranges, each with the
 * `Reason` that belongs to it. Whether what they name exists is for the calls to find out.
 */
import { validationError, type ValidationReason } from "./errors.ts";

const TOKEN = /^[A-Za-z0-9+/=]{1,256}$/;
/** Upper bound of the model's `integer`. */
const MAX_INTEGER = 2 ** 31 - 1;

/** `snap-` and hexadecimal digits, at most 64 characters. */
export function snapshotIdParameter(text: string, name: string): string {
  if (/^snap-[0-9a-f]+$/.test(text) && text.length <= 64) return text;
  throw validationError(
    "INVALID_SNAPSHOT_ID",
    `Value '${
      shorten(text)
    }' at '${name}' failed to satisfy constraint: Member must satisfy regular expression ` +
      "pattern: ^snap-[0-9a-f]+$",
  );
}

/** A block or page token; `undefined` where it is not given. */
export function tokenParameter(
  text: string | undefined,
  facts: { readonly name: string; readonly reason: "INVALID_BLOCK_TOKEN" | "INVALID_PAGE_TOKEN" },
): string | undefined {
  if (text === undefined || TOKEN.test(text)) return text;
  throw validationError(
    facts.reason,
    `Value '${shorten(text)}' at '${facts.name}' failed to satisfy constraint: Member must satisfy regular ` +
      "expression pattern: ^[A-Za-z0-9+/=]+$ and have at most 256 characters",
  );
}

/** A whole number of `[min, max]`; `undefined` where it is not given. */
export function integerParameter(
  text: string | undefined,
  facts: {
    readonly name: string;
    readonly min: number;
    readonly max?: number;
    readonly reason?: ValidationReason;
  },
): number | undefined {
  if (text === undefined) return undefined;
  const max = facts.max ?? MAX_INTEGER;
  const value = /^-?\d{1,10}$/.test(text) ? Number(text) : NaN;
  if (value >= facts.min && value <= max) return value;
  throw validationError(
    facts.reason ?? "INVALID_PARAMETER_VALUE",
    `Value '${
      shorten(text)
    }' at '${facts.name}' failed to satisfy constraint: Member must be an integer from ` +
      `${facts.min} to ${max}`,
  );
}

/** Refuses a parameter that must be there. */
export function required<T>(value: T | undefined, facts: { name: string; reason: ValidationReason }): T {
  if (value !== undefined) return value;
  throw validationError(
    facts.reason,
    `Value null at '${facts.name}' failed to satisfy constraint: Member must not be null`,
  );
}

/** Error messages have at most 256 characters by the model. */
function shorten(text: string): string {
  return text.length <= 64 ? text : `${text.slice(0, 61)}...`;
}
