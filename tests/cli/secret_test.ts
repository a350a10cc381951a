/** A passphrase as it is typed: what the keys do, that nothing is shown, and that the terminal is as before. */
import { assertEquals, assertRejects } from "@std/assert";
import { askAnswer, askSecret } from "../../src/cli/secret.ts";
import { OperatorError } from "../../src/errors.ts";

/** Somebody who types `keys`, then goes away. */
function typing(keys: string) {
  const bytes = [...new TextEncoder().encode(keys)];
  const log: string[] = [];
  const keyboard = {
    setRaw: (isRaw: boolean) => void log.push(isRaw ? "raw" : "cooked"),
    read(into: Uint8Array): Promise<number | null> {
      const byte = bytes.shift();
      if (byte === undefined) return Promise.resolve(null);
      into[0] = byte;
      return Promise.resolve(1);
    },
  };
  const ask = () => askSecret(keyboard, "Passphrase: ", (text) => void log.push(text));
  const answer = () => askAnswer(keyboard, "Go on? ", (text) => void log.push(text));
  return { ask, answer, log, left: () => new TextDecoder().decode(new Uint8Array(bytes)) };
}

Deno.test("askSecret() takes a line, shows nothing of it, and leaves the next one", async () => {
  for (const end of ["\n", "\r"]) {
    const { ask, log, left } = typing(`open sesame${end}next`);
    assertEquals(await ask(), "open sesame");
    assertEquals(left(), "next");
    // Nothing is echoed from before the question is seen.
    assertEquals(log, ["raw", "Passphrase: ", "cooked", "\n"]);
  }
});

Deno.test("askSecret() knows the keys of a terminal", async () => {
  const cases: [string, string | undefined][] = [
    ["abd\x7fc\n", "abc"],
    ["schlüé\x7f\x08üssel\n", "schlüssel"],
    ["\x7f\x7fa\n", "a"],
    ["wrong\x15right\n", "right"],
    ["a\x04\x01b\n", "ab"],
    ["\n", ""],
    ["\x04", undefined],
    ["", undefined],
    ["cut off", "cut off"],
  ];
  for (const [keys, line] of cases) assertEquals(await typing(keys).ask(), line, JSON.stringify(keys));
});

Deno.test("askSecret() ends at Ctrl-C and at a line without end, with the terminal as it was", async () => {
  for (const [keys, code] of [["abc\x03", "interrupted"], ["x".repeat(5000), "usage"]] as const) {
    const { ask, log } = typing(keys);
    const error = await assertRejects(ask, OperatorError);
    assertEquals(error.code, code);
    assertEquals(log.slice(-2), ["cooked", "\n"]);
  }
});

Deno.test("askAnswer() shows what is typed, and takes back what is taken back", async () => {
  const cases: [string, string | undefined, string][] = [
    ["yes\n", "yes", "yes"],
    ["yx\x7fes\n", "yes", "yx\b \bes"],
    ["no\x15yes\n", "yes", "no\b \b\b \byes"],
    ["\x7fé\n", "é", "é"],
    ["\x1bn\n", "\x1bn", "n"],
    ["\x04", undefined, ""],
  ];
  for (const [keys, line, shown] of cases) {
    const { answer, log } = typing(keys);
    assertEquals(await answer(), line, JSON.stringify(keys));
    assertEquals(log.join(""), `rawGo on? ${shown}cooked\n`, JSON.stringify(keys));
  }
});
