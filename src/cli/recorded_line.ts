/**
 * The command line as it may be recorded: the record of an acquisition and the custody log keep it for good, and
 * others read them. What is a secret by its form is left out. It does not find secrets without one: there is no
 * option that takes any.
 */

/** Options whose value is a URL, also where it is written without a scheme. */
const URL_OPTIONS = ["--endpoint-url", "--tsa"];

/**
 * `words` without users and passwords of URLs and without age identities, all else as it was typed.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(recordedLine(["plan", "--endpoint-url=http://me:pw@host/"]), ["plan", "--endpoint-url=http://…@host/"]);
 * ```
 */
export function recordedLine(words: readonly string[]): string[] {
  return words.map((word, at) => {
    const isUrl = URL_OPTIONS.includes(words[at - 1] ?? "") ||
      URL_OPTIONS.some((option) => word.startsWith(`${option}=`));
    const url = isUrl ? /(^|=|\/\/)(?!\w+:\/\/)[^\/=]*@/ : /(\/\/)[^\s\/@]*@/g;
    return word.replace(url, "$1…@").replace(/AGE-SECRET-KEY-[\w-]+/gi, "AGE-SECRET-KEY-…");
  });
}
