/**
 * A case for whole runs with encryption: two snapshots of one volume at an endpoint, identities in files beside the store,
 * and the promise, kept at the end of each, that no secret was told or kept.
 */
import { assert } from "@std/assert";
import { makeIdentity, type NewIdentity } from "../../src/cipher_age.ts";
import { encodeIdentityFile } from "../../src/cipher_age_files.ts";
import { filesBelow } from "../store/fixtures.ts";
import { FIRST, SECOND, type Stage, withStage } from "./endpoint.ts";
import { every, writeRandomBlocks } from "./images.ts";
import type { Ended } from "./program.ts";

/** Blocks of the first snapshot, all stored. */
export const BLOCKS = 20;

export interface Case {
  readonly stage: Stage;
  /** Paths of identity files. */
  readonly examiner: string;
  readonly second: string;
  readonly lineage: string;
  readonly stranger: string;
  /** `-r …` of examiner and second. */
  readonly to: readonly string[];
  readonly identities: Readonly<Record<"examiner" | "second" | "lineage" | "stranger", NewIdentity>>;
  run(...args: readonly string[]): Promise<Ended>;
}

/** Two snapshots of one volume, the second with three blocks changed; identity files beside the store. */
export function withCase(body: (made: Case) => Promise<void>): Promise<void> {
  const said: string[] = [];
  return withStage(async (folder) => {
    const [first, second] = [`${folder}/first.img`, `${folder}/second.img`];
    await writeRandomBlocks(first, every(2, { from: 0, count: BLOCKS }));
    await writeRandomBlocks(second, [2, 6, 900], first);
    return {
      snapshots: [
        { id: FIRST, path: first, volumeId: "vol-1" },
        { id: SECOND, path: second, volumeId: "vol-1" },
      ],
    };
  }, async (stage) => {
    const [examiner, second, lineage, stranger] = await Promise.all(
      [1, 2, 3, 4].map(() => makeIdentity("x25519")),
    ) as [NewIdentity, NewIdentity, NewIdentity, NewIdentity];
    const identities = { examiner, second, lineage, stranger };
    const path = (name: string) => `${stage.folder}/${name}.age`;
    for (const [name, identity] of Object.entries(identities)) {
      Deno.writeTextFileSync(path(name), encodeIdentityFile(identity, { atMs: 0 }), { mode: 0o600 });
    }
    const run = async (...args: readonly string[]) => {
      const ended = await stage.run(args);
      said.push(ended.stdout, ended.stderr);
      return ended;
    };
    await body({
      stage,
      examiner: path("examiner"),
      second: path("second"),
      lineage: path("lineage"),
      stranger: path("stranger"),
      to: ["-r", examiner.recipient, "-r", second.recipient],
      identities,
      run,
    });
    const kept = filesBelow(stage.folder).filter((name) => !name.includes(".img") && !name.endsWith(".age"))
      .map((name) => new TextDecoder("latin1").decode(Deno.readFileSync(`${stage.folder}/${name}`)));
    for (const { secret } of Object.values(identities)) {
      assert(
        [...said, ...kept].every((text) => !text.includes(secret.slice(-20))),
        "a secret was told or kept",
      );
    }
  });
}
