/**
 * Where a row's runs happen: a folder on the disk that is measured, the data, the endpoint that serves it, and
 * the stores that other runs start from. Owns its folder, and removes what is in it.
 */
import type { DataSet } from "./data.ts";
import { measure, type Measured } from "./measure.ts";
import { type Build, environmentFor } from "./programs.ts";
import type { Endpoint } from "./serving.ts";

export interface PlaceFacts {
  /** On the disk that is measured. */
  readonly folder: string;
  readonly set: DataSet | undefined;
  readonly endpoint: Endpoint | undefined;
  readonly acquireOptions: readonly string[];
  /** The native pipeline's program, or why there is none. */
  readonly pipeline: { readonly path: string } | { readonly reason: string };
  /** Of an identity that was made for this run; undefined where the program makes none. */
  readonly recipient: string | undefined;
}

export class Place {
  readonly folder: string;
  readonly facts: PlaceFacts;
  readonly env: Readonly<Record<string, string>>;
  readonly #stores = new Map<string, string>();
  #numbers = 0;

  constructor(facts: PlaceFacts) {
    this.facts = facts;
    this.folder = facts.folder;
    // Nothing listens on port 9: what needs no endpoint asks for none.
    this.env = environmentFor({
      endpoint: facts.endpoint?.url ?? "http://127.0.0.1:9",
      folder: facts.folder,
    });
    Deno.mkdirSync(facts.folder, { recursive: true });
  }

  get set(): DataSet {
    if (this.facts.set === undefined) throw new Error("the row has no data");
    return this.facts.set;
  }

  get endpoint(): Endpoint {
    if (this.facts.endpoint === undefined) throw new Error("the row has no endpoint");
    return this.facts.endpoint;
  }

  /** A path that nothing is at yet. */
  fresh(name: string): string {
    return `${this.folder}/${++this.#numbers}-${name}`;
  }

  /** The words before the command. Below /dev, as in /dev/shm, Deno takes nothing less than all permissions. */
  wordsOf(build: Build): string[] {
    if (!this.folder.startsWith("/dev/")) return [...build.argv];
    const words = build.argv.map((word) => word === "--allow-read" ? "--allow-all" : word);
    return words.filter((word) => word === "--allow-all" || !/^--allow-/.test(word));
  }

  /** A store that holds the set, acquired by `build`; made once, not to be changed. */
  async storeOf(build: Build): Promise<string> {
    const known = this.#stores.get(build.name);
    if (known !== undefined) return known;
    const store = this.fresh("prepared");
    await this.run([
      ...this.wordsOf(build),
      "acquire",
      this.set.snapshot,
      "-s",
      store,
      "--case",
      "bench",
      "-q",
    ]);
    this.#stores.set(build.name, store);
    return store;
  }

  /** Runs a program that has to succeed, not measured. */
  async run(argv: readonly string[]): Promise<Measured> {
    return succeeded(argv, await measure({ argv, env: this.env, stdout: "kept" }, this.folder));
  }

  clear(): void {
    remove(this.folder);
  }
}

/** A file or folder that may be gone already: not each run makes all that it may leave behind. */
export function remove(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** `ended`; throws with what it said where it failed. */
export function succeeded(argv: readonly string[], ended: Measured): Measured {
  if (ended.exitCode === 0) return ended;
  throw new Error(`Cannot go on: ${argv.join(" ")} ended with ${ended.exitCode}: ${ended.stderr.trim()}`);
}
