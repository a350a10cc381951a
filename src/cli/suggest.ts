/**
 * "Did you mean": the nearest of the words that would have been right. Says nothing where none is near,
 * because a wrong guess leads further astray than silence.
 */
import { closestString } from "@std/text/closest-string";
import { levenshteinDistance } from "@std/text/levenshtein-distance";

/**
 * A hint that names the nearest of `words`, undefined where `typed` resembles none: more than a third of its
 * letters, and more than two, differ.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(suggestion("aquire", ["acquire", "export"]), "did you mean acquire");
 * assertEquals(suggestion("frobnicate", ["acquire", "export"]), undefined);
 * ```
 */
export function suggestion(typed: string, words: readonly string[]): string | undefined {
  if (words.length === 0) return undefined;
  const completion = words.filter((word) => typed.length >= 3 && word.startsWith(typed));
  if (completion.length > 0) return `did you mean ${completion.join(" or ")}`;
  const nearest = closestString(typed, words);
  const distance = levenshteinDistance(typed.toLowerCase(), nearest.toLowerCase());
  return distance <= Math.max(2, Math.floor(typed.length / 3)) && distance < nearest.length
    ? `did you mean ${nearest}`
    : undefined;
}
