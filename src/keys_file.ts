/**
 * Private key files on disk: where coldcase's own lies, how a new one is made, how any is read. A file is
 * written once, complete or not at all, for its owner alone, and never over another one. Knows the format no
 * further than `keys_openssh.ts` offers it, and signs nothing.
 */
import { dirname, isAbsolute, join, resolve } from "@std/path";
import { Buffer } from "node:buffer";
import { messageOf, OperatorError } from "./errors.ts";
import type { VerifyingKey } from "./format/verifying_key.ts";
import { encodeOpensshKey, keyOfSeed } from "./keys_openssh.ts";
import type { Randomness, World } from "./model.ts";

/** What of the world keys need. */
export type KeyWorld = Pick<World, "clock" | "environment" | "randomness">;

/** How the comment of a key file begins by which coldcase knows its own keys, wherever they lie. */
export const OWN_COMMENT = "coldcase signing key";

/** A key file of Ed25519 has about 400 bytes; more than this is none. */
const MAX_KEY_FILE_BYTES = 64 * 1024;

/** The folder of the user's configuration. Throws `usage` where the environment does not say. */
export function configurationFolder(
  environment: World["environment"],
  operatingSystem: string = Deno.build.os,
): string {
  const home = environment("HOME");
  const xdg = environment("XDG_CONFIG_HOME");
  const appData = environment("APPDATA");
  if (operatingSystem === "windows" && appData !== undefined) return join(appData, "coldcase");
  // The XDG specification has relative paths ignored.
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, "coldcase");
  if (home !== undefined && operatingSystem === "darwin") {
    return join(home, "Library", "Application Support", "coldcase");
  }
  if (home !== undefined && operatingSystem !== "windows") return join(home, ".config", "coldcase");
  const variable = operatingSystem === "windows" ? "APPDATA" : "HOME";
  throw new OperatorError("usage", `Cannot find the configuration folder: ${variable} is not set`, {
    hints: ["name a signing key with --sign-key"],
  });
}

/** Where coldcase's own key lies. */
export function ownKeyPath(environment: World["environment"]): string {
  return join(configurationFolder(environment), "signing_key");
}

/**
 * Makes a key and writes its file. Throws as `writeSecretFile()` does.
 */
export async function makeKeyFile(world: KeyWorld, path: string): Promise<VerifyingKey> {
  const seed = world.randomness.bytes(32);
  const check = new DataView(world.randomness.bytes(4).slice().buffer).getUint32(0);
  const made = new Date(world.clock.nowMs()).toISOString().slice(0, 10);
  const text = encodeOpensshKey(seed, { comment: `${OWN_COMMENT}, made ${made}`, check });
  const { verifying } = keyOfSeed(seed);
  seed.fill(0);
  await writeSecretFile(path, { text, noun: "signing key", randomness: world.randomness });
  return verifying;
}

/** What is written to a file that only its owner may read. */
export interface SecretFile {
  readonly text: string;
  /** What the file holds, for messages: `signing key`. */
  readonly noun: string;
  readonly randomness: Randomness;
}

/**
 * Writes a secret to a new file: complete or not at all, mode 0600, durable, and never over another file.
 *
 * Throws `usage` where there is a file of that name, or where the folder is inside a store: an exhibit must not
 * travel with the key that signed it or opens it. `storage` where it can't be written.
 */
export async function writeSecretFile(path: string, secret: SecretFile): Promise<void> {
  const full = resolve(path);
  const store = enclosingStore(full);
  if (store !== undefined) {
    throw new OperatorError(
      "usage",
      `Cannot make ${secret.noun} "${full}": it would lie in the store "${store}", expected a place outside`,
    );
  }
  try {
    await writeOnce(full, secret);
  } catch (error) {
    if (error instanceof OperatorError) throw error;
    throw new OperatorError("storage", `Cannot make ${secret.noun} "${full}": ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Writes beside and links into place: a link, unlike a renaming, never replaces a file. */
async function writeOnce(path: string, { text, noun, randomness }: SecretFile): Promise<void> {
  const beside = `${path}.${Buffer.from(randomness.bytes(8)).toString("hex")}.tmp`;
  Deno.mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const file = Deno.openSync(beside, { write: true, createNew: true, mode: 0o600 });
  try {
    const bytes = new TextEncoder().encode(text);
    for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
    await file.sync();
    linkOnce({ from: beside, to: path, noun });
  } finally {
    file.close();
    Deno.removeSync(beside);
  }
  if (Deno.build.os !== "windows") await syncFolder(dirname(path));
}

function linkOnce(link: { readonly from: string; readonly to: string; readonly noun: string }): void {
  try {
    Deno.linkSync(link.from, link.to);
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    throw new OperatorError("usage", `Cannot make ${link.noun} "${link.to}": there is a file of that name`, {
      hints: ["a key is never overwritten: give another name, or move the file away"],
      cause: error,
    });
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = Deno.openSync(path, { read: true });
  try {
    await folder.sync();
  } finally {
    folder.close();
  }
}

/** The store that a path lies in: the nearest folder above it with a `store.json`. */
function enclosingStore(path: string): string | undefined {
  for (let folder = dirname(path);; folder = dirname(folder)) {
    if (exists(join(folder, "store.json"))) return folder;
    if (folder === dirname(folder)) return undefined;
  }
}

export function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw new OperatorError("storage", `Cannot look for "${path}": ${messageOf(error)}`, { cause: error });
  }
}

/** Text of a key file. Throws `not_found`, `usage` for what is no small file, `storage`. */
export function readKeyFile(path: string): string {
  try {
    const stat = Deno.statSync(path);
    if (!stat.isFile || stat.size > MAX_KEY_FILE_BYTES) {
      throw new OperatorError(
        "usage",
        `Cannot read key file "${path}": ${stat.isFile ? `it has ${stat.size} bytes` : "it is no file"}, ` +
          `expected a file of at most ${MAX_KEY_FILE_BYTES} bytes`,
      );
    }
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof OperatorError) throw error;
    const code = error instanceof Deno.errors.NotFound ? "not_found" : "storage";
    throw new OperatorError(code, `Cannot read key file "${path}": ${messageOf(error)}`, { cause: error });
  }
}

/** Sentences about a secret's file that is not its owner's alone. `noun`: what it is called. */
export function permissionWarnings(path: string, noun = "private key file"): string[] {
  const mode = Deno.statSync(path).mode;
  if (Deno.build.os === "windows" || mode === null || (mode & 0o077) === 0) return [];
  return [
    `others may use the ${noun} "${path}": its mode is ${(mode & 0o777).toString(8).padStart(4, "0")}, ` +
    "expected 0600",
  ];
}
