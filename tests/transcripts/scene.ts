/**
 * A situation that ends in an error, as a transcript: what is typed, the exit code, the whole of stderr, and what comes of
 * each hint when somebody does what it says. Each hint is followed at a copy of the desk as the error left it.
 *
 * What differs from run to run stands as a word in capitals (EXHIBIT, DIGEST, DESK …) in the expected text.
 */
import { assert, assertEquals } from "@std/assert";
import type { Desks, Laid } from "./desk.ts";

/** One hint, and what somebody does who takes it. */
export interface Followed {
  /** What it asks for outside of the shell. */
  readonly act?: (desks: Desks) => void | Promise<void>;
  /** What is typed then. HINTED: the command in the hint, as it stands there. */
  readonly typed: string;
  /** What its own placeholders become: `["STORE", "mnt/copy/evidence"]`. */
  readonly fills?: readonly (readonly [placeholder: string, value: string])[];
  /** Default 0. */
  readonly exitCode?: number;
}

export interface Scene {
  readonly what: string;
  readonly laid: Laid;
  /** Makes the trouble. */
  readonly trouble?: (desks: Desks) => void | Promise<void>;
  /** Ends it. */
  readonly calm?: (desks: Desks) => void | Promise<void>;
  /** Typed before, with success. */
  readonly before?: string;
  readonly typed: string;
  readonly exitCode: number;
  /** Without the line feed at its end. */
  readonly stderr: string;
  /** As many as there are hints, in their order. */
  readonly followed: readonly Followed[];
}

const HINT = /^coldcase: hint: (.*)$/gm;
/** A command of a hint: in double quotes or backticks. One with `…` in it is no whole one. */
const COMMAND = /["`](coldcase [^"`…]*)["`]/;

const VARIABLE: readonly (readonly [pattern: RegExp, word: string])[] = [
  [/http:\/\/127\.0\.0\.1:\d+/g, "ENDPOINT"],
  [/\bex-[0-9a-f]{16}\b/g, "EXHIBIT"],
  [/\bpacks\/[0-9a-f]{2}\//g, "packs/XX/"],
  [/\b[0-9a-f]{64}\b/g, "DIGEST"],
  [/\bCannot read block \d+ of/g, "Cannot read block N of"],
  [/\bBlock \d+ \(/g, "Block N ("],
  [/\bbytes \d+ to \d+ of/g, "bytes FROM to TO of"],
  [/\brecord at byte \d+ of/g, "record at byte N of"],
  [/\bchain [0-9a-f]{32}\b/g, "chain CHAIN"],
  [/\bSHA256:[\w+/]{43}/g, "FINGERPRINT"],
  [/\bage1[0-9a-z]+/g, "RECIPIENT"],
  [/\b[0-9a-f]{16}\.identity\.age/g, "KEY.identity.age"],
  [/\btmp\/[0-9a-f]{16}/g, "tmp/NAME"],
  [/\bverify [0-9a-f]{16}\b/g, "verify ROOT"],
  [/\b[\d.]+ (?:[KMGT]i)?B free/g, "SIZE free"],
  [/\bcorrected by [-\d.]+ (?:ms|s)/g, "corrected by TIME"],
  [/\bafter \d+ attempts and [\d.]+ (?:ms|s)/g, "after N attempts and TIME"],
];

/** A text with what varies as words in capitals. */
export function settled(text: string, desk: string): string {
  return VARIABLE.reduce(
    (known, [pattern, word]) => known.replace(pattern, word),
    text.replaceAll(desk, "DESK"),
  );
}

function hintsOf(stderr: string): string[] {
  return [...stderr.matchAll(HINT)].map(([, hint]) => hint!);
}

/** Plays it to the end, each hint too. */
export async function play(desks: Desks, scene: Scene): Promise<void> {
  const desk = await desks.desk(scene.laid);
  if (scene.before !== undefined) {
    const before = await desks.try(scene.before, desk);
    assertEquals(before.exitCode, 0, before.stderr);
  }
  await scene.trouble?.(desks);
  const tried = await desks.try(scene.typed, desk);
  const said = settled(tried.stderr.trimEnd(), desk);
  assertEquals(said, scene.stderr, scene.what);
  assertEquals(tried.exitCode, scene.exitCode, tried.stderr);
  const hints = hintsOf(tried.stderr);
  assertEquals(hints.length, scene.followed.length, `hints of "${scene.what}"`);
  for (const [position, followed] of scene.followed.entries()) {
    await scene.trouble?.(desks);
    await follow(desks, { desk, hint: hints[position]!, followed });
  }
  await scene.calm?.(desks);
}

async function follow(
  desks: Desks,
  { desk, hint, followed }: { readonly desk: string; readonly hint: string; readonly followed: Followed },
): Promise<void> {
  const copy = await desks.copyOf(desk);
  const [, hinted] = COMMAND.exec(hint) ?? [];
  assert(
    hinted === undefined || followed.typed.includes("HINTED"),
    `the command of this hint is not tried: ${hint}`,
  );
  let typed = followed.typed.replaceAll("HINTED", hinted ?? "false");
  for (const [placeholder, value] of followed.fills ?? []) typed = typed.replaceAll(placeholder, value);
  await followed.act?.(desks);
  const { exitCode, stderr } = await desks.try(typed.replaceAll(desk, copy), copy);
  assertEquals(exitCode, followed.exitCode ?? 0, `${hint}\n$ ${typed}\n${stderr}`);
}
