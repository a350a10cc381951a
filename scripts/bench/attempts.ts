/**
 * What coldcase is asked to do in each row: its command line, what must be there before, what must come of it,
 * and what is removed afterwards. A run that did other work than its row says is an error, not a number.
 */
import type { Change } from "./data.ts";
import type { Job, Measured } from "./measure.ts";
import { type Place, succeeded } from "./place.ts";
import type { Build } from "./programs.ts";

/** One run that is about to be measured. */
export interface Attempt {
  readonly job: Job;
  /** Throws where the run did not do its work. */
  check(ended: Measured): void;
  /** Removed after the run. */
  readonly leftovers: readonly string[];
  /** Blocks that it must ask the endpoint for; a row of increments shows what it asked for. */
  readonly blockRequests?: number;
}

/** Makes the next run. What it prepares is not measured. */
export type AttemptMaker = (place: Place, build: Build) => Promise<Attempt>;

function job(place: Place, argv: readonly string[], stdout: Job["stdout"] = "kept"): Job {
  return { argv, env: place.env, stdout };
}

/** A full acquisition into a new store. */
export function acquiring(options: (place: Place) => readonly string[] = () => []): AttemptMaker {
  return (place, build) => {
    const store = place.fresh("store");
    const words = ["acquire", place.set.snapshot, "-s", store, "--case", "bench", "--json", "--no-progress"];
    const argv = [...place.wordsOf(build), ...words, ...place.facts.acquireOptions, ...options(place)];
    return Promise.resolve({
      job: job(place, argv),
      check: (ended) => checkStored(argv, ended, place.set.blocks.length),
      leftovers: [store],
      blockRequests: place.set.blocks.length,
    });
  };
}

/** An acquisition onto a copy of a store that holds the parent. */
export function incrementing(percent: number): AttemptMaker {
  return async (place, build) => {
    const prepared = await place.storeOf(build);
    const store = place.fresh("store");
    await place.run(["cp", "-a", prepared, store]);
    const change = changeOf(place, percent);
    const words = ["acquire", change.snapshot, "-s", store, "--case", "bench", "--json", "--no-progress"];
    const parent = ["--parent", place.set.snapshot];
    const argv = [...place.wordsOf(build), ...words, ...parent, ...place.facts.acquireOptions];
    return {
      job: job(place, argv),
      check: (ended) => checkStored(argv, ended, place.set.blocks.length),
      leftovers: [store],
      blockRequests: change.blocks.length,
    };
  };
}

export function changeOf(place: Place, percent: number): Change {
  const change = place.set.changes.find((candidate) => candidate.percent === percent);
  if (change === undefined) throw new Error(`no snapshot differs by ${percent} %`);
  return change;
}

function checkStored(argv: readonly string[], ended: Measured, expected: number): void {
  const events: { type: string; storedBlocks?: number }[] = succeeded(argv, ended).stdout.trim().split("\n")
    .map((line) => JSON.parse(line));
  const stored = events.findLast(({ type }) => type === "summary")?.storedBlocks;
  if (stored !== expected) {
    throw new Error(`Cannot use the run: it stored ${stored} blocks, expected ${expected}`);
  }
}

/** Every byte of a store. */
export const verifying: AttemptMaker = async (place, build) => {
  const argv = [...place.wordsOf(build), "verify", "-s", await place.storeOf(build), "--no-progress"];
  return { job: job(place, argv), check: (ended) => void succeeded(argv, ended), leftovers: [] };
};

/** To a file, which ends up sparse; the digest that it prints must be the original's. */
export const exportingToFile: AttemptMaker = async (place, build) => {
  const image = place.fresh("out.img");
  const store = await place.storeOf(build);
  const words = ["export", place.set.snapshot, "-s", store, "-o", image, "--no-progress"];
  const argv = [...place.wordsOf(build), ...words];
  return {
    job: job(place, argv),
    check(ended) {
      if (succeeded(argv, ended).stdout.includes(place.set.imageSha256)) return;
      throw new Error(`Cannot use the run: its image is not ${place.set.imageSha256}: ${ended.stdout}`);
    },
    leftovers: [image, `${image}.log`, `${image}.map.json`],
  };
};

/** To an E01 with its defaults: MD5, SHA-1 and SHA-256, segment files of 2 GiB. */
export const exportingToE01: AttemptMaker = async (place, build) => {
  const folder = place.fresh("e01");
  Deno.mkdirSync(folder);
  const store = await place.storeOf(build);
  const words = ["export", place.set.snapshot, "-s", store, "-o", `${folder}/disk.E01`, "--format", "e01"];
  const argv = [...place.wordsOf(build), ...words, "--no-progress"];
  return {
    job: job(place, argv),
    check(ended) {
      if (succeeded(argv, ended).stdout.includes(place.set.imageSha256)) return;
      throw new Error(`Cannot use the run: its image is not ${place.set.imageSha256}: ${ended.stdout}`);
    },
    leftovers: [folder],
  };
};

/** To stdout: straight to /dev/null, or through a pipe that somebody reads. */
export function exportingToStdout(how: "null" | "pipe"): AttemptMaker {
  return async (place, build) => {
    const store = await place.storeOf(build);
    const words = [
      ...place.wordsOf(build),
      "export",
      place.set.snapshot,
      "-s",
      store,
      "-o",
      "-",
      "--no-progress",
    ];
    const argv = how === "null" ? words : ["sh", "-c", `"$@" | cat > /dev/null`, "sh", ...words];
    return {
      job: job(place, argv, "null"),
      check(ended) {
        if (succeeded(argv, ended).stderr.includes(place.set.imageSha256)) return;
        throw new Error(`Cannot use the run: its image is not ${place.set.imageSha256}: ${ended.stderr}`);
      },
      leftovers: [],
    };
  };
}

/** Through the library, since no command reads at an offset; of another checkout, through that one's. */
export function reading(order: "random" | "sequential", bytes: (place: Place) => number): AttemptMaker {
  return async (place, build) => {
    const store = await place.storeOf(build);
    const words = place.wordsOf(build);
    const main = words.pop();
    if (!main?.endsWith("main.ts")) throw new Error("an executable has no library to read through");
    const reader = main.replace(/main\.ts$/, "scripts/bench/reader.ts");
    const argv = [...words, reader, store, place.set.snapshot, order];
    return {
      job: job(place, argv),
      check(ended) {
        const expected = `${bytes(place)} bytes read`;
        if (succeeded(argv, ended).stdout.trim() === expected) return;
        throw new Error(`Cannot use the run: expected ${expected}, it says ${ended.stdout.trim()}`);
      },
      leftovers: [],
    };
  };
}

/** With its canary, and no store. */
export const planning: AttemptMaker = (place, build) => {
  const argv = [...place.wordsOf(build), "plan", place.set.snapshot, "-s", place.fresh("none")];
  return Promise.resolve({
    job: job(place, argv),
    check: (ended) => void succeeded(argv, ended),
    leftovers: [],
    blockRequests: 1,
  });
};

export function starting(option: string): AttemptMaker {
  return (place, build) => {
    const argv = [...place.wordsOf(build), option];
    const check = (ended: Measured) => void succeeded(argv, ended);
    return Promise.resolve({ job: job(place, argv), check, leftovers: [] });
  };
}
