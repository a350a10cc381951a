/**
 * Other programs that do a row's work, or the part of it that can't be left out. Each says why it can't run on
 * this machine; a row shows that instead of numbers.
 */
import { Buffer } from "node:buffer";
import { type Attempt, changeOf } from "./attempts.ts";
import type { LaidOutBlock } from "./data.ts";
import type { Job, Measured } from "./measure.ts";
import { type Place, succeeded } from "./place.ts";
import { type Build, toolPath } from "./programs.ts";

/** Blocks that the native pipeline has under way: more brings it nothing. */
const PIPELINE_CONNECTIONS = 16;

export interface Peer {
  readonly name: string;
  /** Undefined: it can run. */
  reasonAgainst(place: Place): string | undefined;
  attempt(place: Place, build: Build): Promise<Attempt>;
}

function needs(program: string, how?: string): string | undefined {
  if (toolPath(program) !== undefined) return undefined;
  return how === undefined ? `needs ${program}` : `needs ${program} (${how})`;
}

/** A peer that runs as `argv` and only has to succeed. */
function simple(
  facts: {
    readonly name: string;
    readonly needs: readonly string[];
    /** What it writes, if anything. */
    readonly output?: string;
    argv(place: Place, output: string): readonly string[];
    readonly stdout?: Job["stdout"];
  },
): Peer {
  return {
    name: facts.name,
    reasonAgainst: () => facts.needs.map((program) => needs(program)).find((reason) => reason !== undefined),
    attempt(place) {
      const output = place.fresh(facts.output ?? "none");
      const argv = facts.argv(place, output);
      return Promise.resolve({
        job: { argv, env: place.env, stdout: facts.stdout ?? "null" },
        check: (ended) => void succeeded(argv, ended),
        leftovers: [output],
      });
    },
  };
}

/** Writes a sparse image; no sync, no digest of the whole. */
export const COLDSNAP: Peer = {
  ...simple({
    name: "coldsnap download",
    needs: ["coldsnap"],
    output: "coldsnap.img",
    argv: (place, output) => [toolPath("coldsnap")!, "download", "--no-progress", place.set.snapshot, output],
  }),
  reasonAgainst: () => needs("coldsnap", "cargo install coldsnap"),
};

/** All blocks of the set, or those that changed. */
export function pipeline(percent?: number): Peer {
  return {
    name: "native pipeline",
    reasonAgainst: ({ facts }) => "reason" in facts.pipeline ? facts.pipeline.reason : undefined,
    attempt(place) {
      const change = percent === undefined ? undefined : changeOf(place, percent);
      const { snapshot, blocks } = change ?? place.set;
      const list = place.fresh("list");
      const output = place.fresh("packs");
      Deno.writeTextFileSync(list, blocks.map((block) => listLine(snapshot, block)).join(""));
      Deno.mkdirSync(output);
      const { pipeline } = place.facts;
      const program = "path" in pipeline ? pipeline.path : "";
      const argv = [program, String(place.endpoint.port), list, output, String(PIPELINE_CONNECTIONS)];
      const check = (ended: Measured) => {
        if (succeeded(argv, ended).stdout.startsWith(`${blocks.length} blocks `)) return;
        throw new Error(`Cannot use the run: ${ended.stdout}`);
      };
      const job: Job = { argv, env: place.env, stdout: "kept" };
      return Promise.resolve({ job, check, leftovers: [list, output], blockRequests: blocks.length });
    },
  };
}

function listLine(snapshot: string, { index, checksum }: LaidOutBlock): string {
  const path = `/snapshots/${snapshot}/blocks/${index}?blockToken=token-${index}`;
  return `${path} ${Buffer.from(checksum, "base64").toString("hex")}\n`;
}

/** Compresses an image that is in memory already: no network, no digest. */
export const ZSTD: Peer = simple({
  name: "zstd -1 -T0 + sync",
  needs: ["zstd"],
  output: "out.zst",
  argv: (
    place,
    output,
  ) => ["sh", "-c", `zstd -q -1 -T0 "$1" -o "$2" && sync "$2"`, "sh", place.set.image, output],
});

/** Encrypts an image that is in memory already: no network, no digest, no compression. */
export const AGE: Peer = simple({
  name: "age + sync",
  needs: ["age"],
  output: "out.age",
  argv: (place, output) => {
    const script = `age -r "$1" -o "$3" "$2" && sync "$3"`;
    return ["sh", "-c", script, "sh", place.facts.recipient ?? "", place.set.image, output];
  },
});

export const COPY: Peer = simple({
  name: "cp --sparse=always + sync",
  needs: ["cp"],
  output: "copy.img",
  argv: (place, output) => [
    "sh",
    "-c",
    `cp --sparse=always "$1" "$2" && sync "$2"`,
    "sh",
    place.set.image,
    output,
  ],
});

/**
 * The same E01 by libewf: zlib's fastest level, the same three digests, segment files of 2 GiB, from an image that is in memory
 * already; a sync as export has.
 */
export const EWFACQUIRESTREAM: Peer = simple({
  name: "ewfacquirestream -c fast + sync",
  needs: ["ewfacquirestream"],
  output: "ewf",
  argv: (place, output) => [
    "sh",
    "-c",
    `mkdir "$2" && ewfacquirestream -q -c fast -d sha1 -d sha256 -S 2147483648 -t "$2/disk" < "$1" && sync "$2"/*`,
    "sh",
    place.set.image,
    output,
  ],
});

/** One thread, over the image. */
export const SHA256_OF_IMAGE: Peer = simple({
  name: "sha256sum of the image",
  needs: ["sha256sum"],
  argv: (place) => ["sha256sum", place.set.image],
});

/** The same by OpenSSL, which uses the processor's instructions for it where sha256sum does not. */
export const OPENSSL_OF_IMAGE: Peer = simple({
  name: "openssl sha256 of the image",
  needs: ["openssl"],
  argv: (place) => ["openssl", "dgst", "-sha256", place.set.image],
});

/** One thread, over the packs: what checks a store without coldcase. */
function digestingPacks(name: string, words: readonly string[]): Peer {
  return {
    name: `${name} of the packs`,
    reasonAgainst: () => needs(words[0]!),
    async attempt(place, build) {
      const packs = `${await place.storeOf(build)}/packs`;
      const argv = ["sh", "-c", `find "$1" -type f -print0 | xargs -0 ${words.join(" ")}`, "sh", packs];
      const job: Job = { argv, env: place.env, stdout: "null" };
      return { job, check: (ended) => void succeeded(argv, ended), leftovers: [] };
    },
  };
}

export const SHA256_OF_PACKS = digestingPacks("sha256sum", ["sha256sum"]);
export const OPENSSL_OF_PACKS = digestingPacks("openssl sha256", ["openssl", "dgst", "-sha256"]);

/** The floor under every start. */
export const EMPTY_DENO: Peer = {
  name: "deno, empty program",
  reasonAgainst: () => undefined,
  attempt(place) {
    const file = place.fresh("empty.ts");
    Deno.writeTextFileSync(file, "");
    const argv = [Deno.execPath(), "run", "--no-config", file];
    const job: Job = { argv, env: place.env, stdout: "null" };
    return Promise.resolve({ job, check: (ended) => void succeeded(argv, ended), leftovers: [file] });
  },
};
