/**
 * Who may open a store, and what is refused by name: another writer, another tool's folder, another case,
 * another version, a file system that keeps no promise, and links that lead out of the store.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { decodeStoreFile, encodeStoreFile } from "../../src/format/store_file.ts";
import type { Disk, ExhibitId } from "../../src/model.ts";
import { type Finding, openStore, openStoreForWriting, type WriteOptions } from "../../src/store/mod.ts";
import { canMount } from "../outside.ts";
import { quickDisk } from "./faulty_disk.ts";
import {
  acquireAt,
  beginOrResume,
  COUNTS,
  evidenceFiles,
  noise,
  reading,
  SESSION,
  shapeOf,
  tableOf,
  testWorld,
  verifiedBlock,
  type Volume,
  withFolder,
} from "./fixtures.ts";

const SHAPE = shapeOf(1 << 20);
const VOLUME: Volume = new Map([[0, noise(1, 1 << 20)], [900, noise(2, 1 << 20)]]);
const ORDER = { volume: VOLUME, shape: SHAPE };

/** The error of opening for writing; fails where it opens. */
function refusal(
  root: string,
  options: WriteOptions & { readonly disk?: Disk } = {},
): Promise<OperatorError> {
  return assertRejects(() => openStoreForWriting(testWorld(options.disk), root, options), OperatorError);
}

async function opens(root: string, options: WriteOptions & { readonly disk?: Disk } = {}) {
  const store = await openStoreForWriting(testWorld(options.disk), root, options);
  store.close();
  return store;
}

Deno.test("openStoreForWriting() lets one writer in at a time, and readers always", () =>
  withFolder(async (root) => {
    const first = await openStoreForWriting(testWorld(), root);
    const error = await refusal(root);
    assertEquals([error.code, error.exitCode, error.facts["store"]], ["locked", 11, root]);
    await reading(root, async (store) => assertEquals(await store.exhibitIds(), []));
    first.close();
    await opens(root);
  }));

Deno.test("openStoreForWriting() is locked by another process until that dies", () =>
  withFolder(async (root) => {
    const module = (name: string) => JSON.stringify(new URL(`../../src/${name}`, import.meta.url).href);
    const code = `import { openStoreForWriting } from ${module("store/mod.ts")};
      import { realWorld } from ${module("world.ts")};
      await openStoreForWriting(realWorld(), ${JSON.stringify(root)});
      console.log("open");
      setInterval(() => {}, 1000);`;
    const child = new Deno.Command(Deno.execPath(), { args: ["eval", "--no-check", code], stdout: "piped" })
      .spawn();
    const lines = child.stdout.getReader();
    try {
      assertStringIncludes(new TextDecoder().decode((await lines.read()).value), "open");
      assertEquals((await refusal(root)).code, "locked");
    } finally {
      child.kill("SIGKILL");
      await child.status;
      await lines.cancel();
    }
    await opens(root);
  }));

Deno.test("openStoreForWriting() refuses folders of something else and leaves them as they are", () =>
  withFolder(async (root) => {
    Deno.writeTextFileSync(`${root}/notes.txt`, "mine");
    const error = await refusal(root);
    assertEquals(error.code, "usage");
    assertStringIncludes(error.message, "other files");
    assertEquals([...Deno.readDirSync(root)].map(({ name }) => name), ["notes.txt"]);
    assertEquals((await refusal(`${root}/notes.txt`)).code, "usage");
    await opens(`${root}/deep/store`);
    const missing = await assertRejects(() => openStore(testWorld(), `${root}/none`), OperatorError);
    assertEquals([missing.code, missing.exitCode], ["not_found", 10]);
  }));

Deno.test("openStoreForWriting() goes on with a store that was killed while it was made", () =>
  withFolder(async (root) => {
    Deno.writeTextFileSync(`${root}/lock`, "");
    Deno.mkdirSync(`${root}/tmp`);
    Deno.writeTextFileSync(`${root}/tmp/0123456789abcdef`, "half");
    await opens(root);
    assertEquals([...Deno.readDirSync(`${root}/tmp`)], []);
  }));

Deno.test("openStoreForWriting() refuses another case unless cases may mix", () =>
  withFolder(async (root) => {
    await acquireAt(root, ORDER);
    await opens(root, { case: "2026-017" });
    const error = await refusal(root, { case: "2026-018" });
    assertEquals([error.code, error.facts["storeCase"]], ["usage", "2026-017"]);
    await opens(root);
    await opens(root, { case: "2026-017" });
    assertEquals((await opens(root, { case: "2026-018", mixedCases: true })).file.mixedCases, true);
    assertEquals((await opens(root, { case: "2026-019" })).file.case, "2026-017", "mixing stays");
  }));

Deno.test("openStoreForWriting() takes another case while the store holds nothing", () =>
  withFolder(async (root) => {
    await opens(root, { case: "2026-170" });
    assertEquals(
      (await opens(root, { case: "2026-017" })).file.case,
      "2026-017",
      "the first was never acquired for",
    );
    assertEquals((await opens(root)).file.case, "2026-017", "a command without a case changes nothing");
    const store = await openStoreForWriting(testWorld(), root, { case: "2026-017" });
    await beginOrResume(store, ORDER);
    store.close();
    const error = await refusal(root, { case: "2026-018" });
    assertEquals(
      [error.code, error.facts["storeCase"]],
      ["usage", "2026-017"],
      "what was begun is of its case",
    );
  }));

Deno.test("openStore() and openStoreForWriting() name versions and features that they do not know", () =>
  withFolder(async (root) => {
    await opens(root);
    const path = `${root}/store.json`;
    const original = Deno.readTextFileSync(path);
    const edits: [string, string, RegExp][] = [
      ['"readVersion":1', '"readVersion":7', /version 7/],
      ['"features":[]', '"features":["mirrors"]', /"mirrors"/],
      ['"type":"coldcase-store"', '"type":"other-store"', /other-store/],
    ];
    for (const [from, to, message] of edits) {
      Deno.writeTextFileSync(path, original.replace(from, to));
      for (
        const attempt of [() => openStore(testWorld(), root), () => openStoreForWriting(testWorld(), root)]
      ) {
        const error = await assertRejects(attempt, OperatorError);
        assertEquals(error.code, "format");
        assert(message.test(error.message), error.message);
      }
    }
    const file = { ...decodeStoreFile(new TextEncoder().encode(original), "store.json"), writeVersion: 3 };
    const text = new TextDecoder().decode(encodeStoreFile(file));
    Deno.writeTextFileSync(path, text);
    await reading(root, async (store) => assertEquals(await store.exhibitIds(), []));
    const error = await refusal(root);
    assertEquals(error.code, "format");
    assertStringIncludes(error.message, "version 3");
    assertEquals(Deno.readTextFileSync(path), text, "and it is not made older");
  }));

Deno.test("openStore() and openStoreForWriting() refuse a store.json with any one bit flipped, and leave it", () =>
  withFolder(async (root) => {
    await opens(root, { case: "2026-017" });
    const path = `${root}/store.json`;
    const original = Deno.readFileSync(path);
    for (let bit = 0; bit < 8 * original.length; bit++) {
      const flipped = original.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      Deno.writeFileSync(path, flipped);
      const attempts = [() => openStore(testWorld(), root), () => openStoreForWriting(testWorld(), root)];
      // Each costs a probe of the file system where it writes: of those, every seventh.
      for (const attempt of bit % 7 === 0 ? attempts : attempts.slice(0, 1)) {
        const error = await assertRejects(attempt, OperatorError, undefined, `bit ${bit}`);
        assert(error.code === "format" || error.code === "integrity", `bit ${bit}: ${error.message}`);
        assertStringIncludes(error.message, path);
      }
      assertEquals(Deno.readFileSync(path), flipped, `bit ${bit}`);
    }
    Deno.writeFileSync(path, original);
    await opens(root, { case: "2026-017" });
  }));

Deno.test("openStoreForWriting() refuses a file system by name whose locks keep nobody out", () =>
  withFolder(async (root) => {
    const disk: Disk = {
      ...quickDisk,
      tryLock: () => ({ release: () => undefined }),
      fileSystemType: () => "nfs",
    };
    const error = await refusal(root, { disk });
    assertEquals([error.code, error.facts["fileSystem"]], ["storage", "nfs"]);
    assertStringIncludes(error.message, "locks keep nobody out");
    assertEquals((await opens(root, { disk, unsafeFileSystem: true })).isUnsafe, true);
  }));

Deno.test("openStoreForWriting() refuses a file system by name whose folders cannot be made durable", () =>
  withFolder(async (root) => {
    const disk: Disk = {
      ...quickDisk,
      syncDirectory: () => Promise.reject(Object.assign(new Error("Invalid argument"), { code: "EINVAL" })),
      fileSystemType: () => "9p",
    };
    const error = await refusal(root, { disk });
    assertEquals([error.code, error.facts["fileSystem"]], ["storage", "9p"]);
    assertStringIncludes(error.message, "made durable");
    assertEquals((await opens(`${root}/safe`)).isUnsafe, false);
    const ill: Disk = {
      ...quickDisk,
      syncDirectory: () => Promise.reject(Object.assign(new Error("Input/output error"), { code: "EIO" })),
    };
    const broken = await refusal(`${root}/broken`, { disk: ill, unsafeFileSystem: true });
    assertEquals(
      [broken.code, broken.facts["platformCode"]],
      ["storage", "EIO"],
      "that is no weakness to accept",
    );
  }));

/** Puts a link in the place of `name`, which leads to a copy of it outside the store. */
function linkOut(root: string, outside: string, name: string): void {
  const target = `${outside}/${name.replaceAll("/", "-")}`;
  Deno.renameSync(`${root}/${name}`, target);
  Deno.symlinkSync(target, `${root}/${name}`);
}

Deno.test("Exhibit refuses files and folders that are links, wherever they lead", () =>
  withFolder(async (folder) => {
    const outside = `${folder}/outside`;
    for (const part of ["file", "folder", "top"]) {
      for (const kind of ["packs", "segments", "documents", "exhibits"]) {
        const root = `${folder}/${part}-${kind}`;
        Deno.mkdirSync(`${outside}/${part}-${kind}`, { recursive: true });
        const id = await acquireAt(root, ORDER);
        const [file] = evidenceFiles(root).filter((name) => name.startsWith(`${kind}/`));
        const name = part === "file" ? file! : part === "top" ? kind : file!.slice(0, file!.lastIndexOf("/"));
        linkOut(root, `${outside}/${part}-${kind}`, name);
        const found: string[] = [];
        try {
          await reading(root, async (store) => {
            const signal = new AbortController().signal;
            const onFinding = ({ message }: Finding) => found.push(message);
            await store.verify(await store.exhibit(id), { level: "full", signal, onFinding });
          });
        } catch (error) {
          assert(error instanceof OperatorError, `${part} ${kind}: ${error}`);
          found.push(error.message);
        }
        assert(found.length > 0, `a link for the ${part} of ${kind} was followed`);
      }
    }
  }));

Deno.test("Store writes through no link: journal, index and lock of a store that came from elsewhere", () =>
  withFolder(async (folder) => {
    const victim = `${folder}/victim`;
    const text = "not yours";
    const prepare = async (name: string, place: string) => {
      const root = `${folder}/${name}`;
      const store = await openStoreForWriting(testWorld(), root);
      const acquisition = await beginOrResume(store, ORDER);
      await acquisition.startSession(SESSION, { counts: () => COUNTS, takeEvents: () => [] });
      await acquisition.put(0, verifiedBlock(noise(1, 1 << 20)));
      await acquisition.endSession("interrupted");
      store.close();
      Deno.writeTextFileSync(victim, text);
      const path = `${root}/${place.replace("EX", acquisition.head.exhibit)}`;
      if (quickDisk.stat(path)) Deno.removeSync(path);
      Deno.symlinkSync(victim, path);
      return root;
    };
    for (
      const place of [
        "journal/EX/log",
        "journal/EX/blocks",
        "journal/EX/open.pack",
        "cache/index.sqlite",
        "lock",
      ]
    ) {
      const root = await prepare(place.replaceAll("/", "-"), place);
      await acquireAt(root, ORDER).catch((error) =>
        assert(error instanceof OperatorError, `${place}: ${error}`)
      );
      assertEquals(Deno.readTextFileSync(victim), text, place);
      assertEquals(quickDisk.stat(victim)?.kind, "file");
    }
  }));

const READ_ALL = (root: string, id: ExhibitId) => {
  const module = (name: string) => JSON.stringify(new URL(name, import.meta.url).href);
  return `import { reading, tableOfExhibit } from ${module("./fixtures.ts")};
    const table = await reading(${
    JSON.stringify(root)
  }, async (store) => tableOfExhibit(await store.exhibit("${id}")));
    console.log(JSON.stringify(table));`;
};

const isMountable = canMount();
// deno-lint-ignore no-console
if (!isMountable) console.log("skipped: reading a store on read-only media: needs the right to mount");
Deno.test({
  name: "openStore() reads on read-only media, with an index, with a broken one and with none",
  ignore: !isMountable,
  fn: () =>
    withFolder(async (folder) => {
      const breakages: Record<string, (index: string) => void> = {
        whole: () => undefined,
        broken: (index) => Deno.writeTextFileSync(index, "no index"),
        none: (index) => Deno.removeSync(index),
      };
      for (const [name, breakIndex] of Object.entries(breakages)) {
        const root = `${folder}/${name}`;
        const id = await acquireAt(root, ORDER);
        breakIndex(`${root}/cache/index.sqlite`);
        const code = READ_ALL(root, id).replaceAll("'", "");
        const command = `mount --bind "${root}" "${root}" && mount -o remount,bind,ro "${root}" && ` +
          `! touch "${root}/x" 2>/dev/null && exec "${Deno.execPath()}" eval --no-check '${code}'`;
        const { stdout, stderr } = await new Deno.Command("unshare", { args: ["-m", "sh", "-c", command] })
          .output();
        const decoder = new TextDecoder();
        assertEquals(
          decoder.decode(stdout).trim(),
          JSON.stringify(tableOf(VOLUME)),
          name + decoder.decode(stderr),
        );
      }
    }),
});
