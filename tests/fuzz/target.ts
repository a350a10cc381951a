/**
 * What is fuzzed: a parser of bytes that come from outside, with samples of what it takes and the laws that bind
 * it. A parser gives or refuses with one of the codes that it documents; what a canonical one gives is written
 * as it was read; and no input makes it take more memory than its target says. No targets here.
 */
import type { ErrorCode } from "../../src/errors.ts";

/** What an input is made of: decides which damage makes sense. */
export type InputKind = "bytes" | "text" | "json";

export interface Target {
  readonly name: string;
  readonly kind: InputKind;
  /** Each is given. Some hundred bytes to some KiB. */
  readonly samples: readonly Uint8Array[];
  /** Inputs that broke a law once. */
  readonly regressions?: readonly Uint8Array[];
  /** Share of all inputs; 1 where not given. Slow parsers have less. */
  readonly weight?: number;
  /** How the parser may refuse; `format` and `integrity` where not given, none: it never refuses. */
  readonly codes?: readonly ErrorCode[];
  /** Typed arrays and buffers that one input may take, 16 MiB where not given. */
  readonly maxMemoryMib?: number;
  /** Puts right what guards the bytes (CRC, digest), so that damage gets past it. */
  readonly mend?: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array;
  /**
   * Reads an input; gives it as it is written again, `undefined` where there is no encoder for it. Throws an
   * ordinary Error where what it gives breaks a law of its own.
   */
  readonly parse: (bytes: Uint8Array<ArrayBuffer>) => Parsed | Promise<Parsed>;
}

type Parsed = Uint8Array | undefined | void;

/** Throws where a law of a target's own does not hold. */
export function law(holds: boolean, what: string): void {
  if (!holds) throw new Error(`broken law: ${what}`);
}
