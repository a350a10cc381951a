/**
 * Carried by a portable executable and run by its launcher, once: checks what was unpacked by SHA-256, writes the
 * program's parts, makes all of it durable and gives the folder its name, so that under that name there is all or
 * nothing. It stands alone: no import but Node's, no word to the user. Exit code 3: a digest does not match.
 */
import { createHash } from "node:crypto";
import { dirname } from "node:path";

/**
 * Every part has it, so that one which was written since is newer. Not 0: tools that tidy up take that for "never".
 */
const UNPACKED_AT = new Date("2000-01-01T00:00:00Z");

/** No unpacking takes an hour. */
const LEFTOVER_AGE_MS = 60 * 60 * 1000;

function digestOf(path: string): string {
  const hash = createHash("sha256");
  const file = Deno.openSync(path);
  const buffer = new Uint8Array(1024 * 1024);
  for (let count = file.readSync(buffer); count !== null; count = file.readSync(buffer)) {
    hash.update(buffer.subarray(0, count));
  }
  file.close();
  return hash.digest("hex");
}

/** On the disk, and marked as unpacked. */
function settle(path: string): void {
  const file = Deno.openSync(path, { read: true });
  file.utimeSync(UNPACKED_AT, UNPACKED_AT);
  file.syncSync();
  file.close();
}

function writePart(path: string, text: string): void {
  Deno.writeTextFileSync(path, text);
  settle(path);
}

function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** As the launcher sees it, that found none, or a damaged one, a moment ago. */
function isIntact(home: string, names: readonly string[]): boolean {
  if (!isThere(`${home}/complete`) || !isThere(`${home}/program`)) return false;
  if ([...Deno.readDirSync(`${home}/program`)].length !== names.length) return false;
  return ["coldcase", ...names.map((name) => `program/${name}`)].every((name) =>
    isThere(`${home}/${name}`) && Deno.statSync(`${home}/${name}`).mtime!.getTime() <= UNPACKED_AT.getTime()
  );
}

/** Two may start at once: the first to give the name wins, and a damaged one makes room. */
function takeName(folder: string, home: string, names: readonly string[]): void {
  if (isThere(home)) {
    if (isIntact(home, names)) return;
    Deno.renameSync(home, `${folder}.damaged`);
    Deno.removeSync(`${folder}.damaged`, { recursive: true });
  }
  try {
    Deno.renameSync(folder, home);
  } catch (error) {
    if (!isIntact(home, names)) throw error;
  }
}

/** What starts that were killed have left; a younger one may be at work. */
function removeLeftovers(cache: string): void {
  for (const { name } of Deno.readDirSync(cache)) {
    const path = `${cache}/${name}`;
    if (name.startsWith(".new.") && path !== folder) removeOld(path);
  }
}

function removeOld(path: string): void {
  try {
    const ageMs = Date.now() - Deno.statSync(path).mtime!.getTime();
    if (ageMs > LEFTOVER_AGE_MS) Deno.removeSync(path, { recursive: true });
  } catch (error) {
    // Another start removes it at this moment, or has given its own folder its name.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

const [folder, home, runtimeDigest, programDigest] = Deno.args as [string, string, string, string];
if (
  digestOf(`${folder}/coldcase`) !== runtimeDigest || digestOf(`${folder}/program.json`) !== programDigest
) {
  Deno.exit(3);
}
const parts: Record<string, string> = JSON.parse(Deno.readTextFileSync(`${folder}/program.json`));
Deno.mkdirSync(`${folder}/program`);
for (const [name, text] of Object.entries(parts)) writePart(`${folder}/program/${name}`, text);
settle(`${folder}/coldcase`);
for (const name of ["unpack.ts", "program.json", "probe"]) Deno.removeSync(`${folder}/${name}`);
writePart(`${folder}/complete`, "");
removeLeftovers(dirname(folder));
takeName(folder, home, Object.keys(parts));
