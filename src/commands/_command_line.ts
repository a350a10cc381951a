/**
 * A command line as the custody log has it. The log lies in the clear in every store, also beside encrypted
 * evidence: a digest of contents that somebody typed is not in it, what it was the digest of is.
 *
 * @see store-format.md, "Encryption"
 */

/**
 * The words, each that is the start of a known digest replaced by what that is.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const known = new Map([["3f9a12".padEnd(64, "0"), "image digest of ex-1"]]);
 * assertEquals(withoutDigests(["info", "3f9a12"], known), ["info", "(image digest of ex-1)"]);
 * ```
 *
 * @param known By digest, or by what was taken for the start of one: what it is of.
 */
export function withoutDigests(words: readonly string[], known: ReadonlyMap<string, string>): string[] {
  return words.map((word) => {
    const [, option = "", start] = /^(--[a-z-]+=)?([0-9a-f]{6,64})$/.exec(word) ?? [];
    if (start === undefined) return word;
    const of = [...known].find(([digest]) => digest.startsWith(start))?.[1];
    return of === undefined ? word : `${option}(${of})`;
  });
}
