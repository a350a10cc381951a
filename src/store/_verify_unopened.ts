/**
 * What none of the identities opens, while an exhibit is verified: no damage, and nothing that was verified either. It is
 * counted, never left out; whoever shows the result says so.
 *
 * @see store-format.md, "Verification"
 */
import { OperatorError } from "../errors.ts";
import type { ObjectName } from "../model.ts";
import type { VerifySummary } from "./_findings.ts";
import { parseName } from "./_layout.ts";

/** Whether something could not be looked at for want of an identity. */
export function isUnopened(error: unknown): error is OperatorError {
  return error instanceof OperatorError && error.code === "identity";
}

export class UnopenedFiles {
  /** Those that several parts of an exhibit may ask for. A volume has more packs than memory should hold names of. */
  readonly #others = new Set<ObjectName>();
  #packs = 0;
  #first: ObjectName | null = null;

  /** True where `error` says that nothing opens the file: it is counted. A pack is told once. */
  take(error: unknown, file: ObjectName): boolean {
    if (!isUnopened(error)) return false;
    this.#first ??= file;
    if (parseName(file)?.kind === "pack") this.#packs++;
    else this.#others.add(file);
    return true;
  }

  get hasPacks(): boolean {
    return this.#packs > 0;
  }

  get facts(): Pick<VerifySummary, "unopenedFiles" | "unopenedPacks" | "firstUnopened"> {
    return {
      unopenedFiles: this.#packs + this.#others.size,
      unopenedPacks: this.#packs,
      firstUnopened: this.#first,
    };
  }
}
