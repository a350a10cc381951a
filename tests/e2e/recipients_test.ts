/**
 * `recipients` as its users run it: who can open a store is listed without an identity, others are added with one, the
 * custody log has it, and whatever is refused leaves the store as it was.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Identities, makeIdentity, type NewIdentity } from "../../src/cipher_age.ts";
import { encodeIdentityFile } from "../../src/cipher_age_files.ts";
import type { ExhibitId } from "../../src/model.ts";
import { openStore } from "../../src/store/mod.ts";
import {
  acquireAt,
  filesBelow,
  LATER,
  noise,
  pattern,
  shapeOf,
  SNAPSHOT,
  tableOf,
  tableOfExhibit,
  testWorld,
  type Volume,
  withFolder,
} from "../store/fixtures.ts";
import { assertExit, assertRefusal, coldcase, type Ended, eventOf, eventsOf } from "./program.ts";

const BLOCK = 1 << 18;
const VOLUME: Volume = new Map([[0, noise(1, BLOCK)], [1, pattern(2, BLOCK)], [4095, noise(3, BLOCK)]]);
const ORDER = { volume: VOLUME, shape: shapeOf(BLOCK) };

interface Case {
  readonly folder: string;
  readonly alice: NewIdentity;
  readonly bob: NewIdentity;
  readonly exhibits: readonly [ExhibitId, ExhibitId];
  run(...args: readonly string[]): Promise<Ended>;
}

/** A store with two exhibits for Alice; `alice.age` and `bob.age` beside it. */
function withStore(body: (made: Case) => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    const [alice, bob] = [await makeIdentity("x25519"), await makeIdentity("x25519")];
    for (const [name, identity] of Object.entries({ alice, bob })) {
      const text = encodeIdentityFile(identity, { atMs: 0 });
      Deno.writeTextFileSync(`${folder}/${name}.age`, text, { mode: 0o600 });
    }
    const recipients = { contents: [alice.recipient], lineage: null };
    const path = `${folder}/store`;
    const first = await acquireAt(path, ORDER, { recipients });
    const second = await acquireAt(path, { ...ORDER, snapshot: LATER }, {
      recipients,
      world: testWorld(undefined, 2),
    });
    const run = (...args: readonly string[]) =>
      coldcase(["recipients", ...args, "-s", path], { cwd: folder });
    await body({ folder, alice, bob, exhibits: [first, second], run });
  }, { onDisk: true });
}

/** What every file of evidence holds, as one text. */
function evidenceOf(folder: string): string {
  const names = filesBelow(`${folder}/store`).filter((name) => !/^(custody|keys|cache|lock)/.test(name));
  return names.map((name) => `${name} ${Deno.readFileSync(`${folder}/store/${name}`).join()}`).join("\n");
}

async function canRead({ folder }: Case, identity: NewIdentity, id: ExhibitId): Promise<boolean> {
  const identities = await Identities.of([{ secret: identity.secret, place: "test" }]);
  const store = await openStore(testWorld(undefined, 3), `${folder}/store`, { identities });
  try {
    const exhibit = await store.exhibit(id).catch(() => undefined);
    if (!exhibit) return false;
    assertEquals(await tableOfExhibit(exhibit), tableOf(VOLUME));
    return true;
  } finally {
    store.close();
  }
}

Deno.test("recipients add lets others open the whole store, and what is written from then on", () =>
  withStore(async (made) => {
    const { alice, bob, exhibits, run } = made;
    const added = await run("add", "-r", bob.recipient, "-i", "alice.age", "--reason", "joins the case");
    assertExit(added, 0);
    for (const id of exhibits) assertStringIncludes(added.stdout, `${id}  snap-`);
    assertStringIncludes(added.stdout, "what is written from now on will be for them too");
    assertStringIncludes(added.stderr, "nothing was taken from anybody");
    for (const identity of [alice, bob]) {
      for (const id of exhibits) assert(await canRead(made, identity, id), `${id}`);
    }
    const again = await run("add", "-r", bob.recipient, "-i", "bob.age", "--json");
    assertExit(again, 0);
    for (const event of eventsOf(again).filter(({ type }) => type === "summary")) {
      assertEquals([event["addedHeaders"], event["headersFiles"]], [0, []]);
    }
    assertEquals(eventOf(again, "recipients_extended")["isExtended"], false);
    const log = await coldcase(["custody", "-s", `${made.folder}/store`]);
    assertExit(log, 0);
    for (const text of ["recipients", bob.recipient, "joins the case", exhibits[0]]) {
      assertStringIncludes(log.stdout, text);
    }
    const verified = await coldcase(["recipients", "-s", `${made.folder}/store`, "--json"]);
    assertEquals(eventOf(verified, "recipients")["contents"], [alice.recipient, bob.recipient]);
  }));

Deno.test("recipients add with an exhibit opens that one only, and leaves the store's own list", () =>
  withStore(async (made) => {
    const { alice, bob, exhibits: [first, second], run, folder } = made;
    const quantum = await makeIdentity("post-quantum");
    Deno.writeTextFileSync(`${folder}/team.txt`, `# the team\n${bob.recipient}\n`);
    assertExit(await run("add", SNAPSHOT, "-R", "team.txt", "-i", "alice.age"), 0);
    assert(await canRead(made, bob, first));
    assert(!await canRead(made, bob, second));
    // Another kind of recipients has headers of its own, but no place on the store's list.
    assertExit(await run("add", first, "-r", quantum.recipient, "-i", "bob.age"), 0);
    assert(await canRead(made, quantum, first));
    assertRefusal(await run("add", "-r", quantum.recipient, "-i", "alice.age"), {
      exitCode: 2,
      names: ["post-quantum"],
      hints: ["Name the exhibits"],
    });
    const listed = await run("--json");
    assertExit(listed, 0);
    assertEquals(eventOf(listed, "recipients")["contents"], [alice.recipient]);
    const about = eventsOf(listed).filter(({ type }) => type === "exhibit_recipients");
    assertEquals(about.map(({ exhibit }) => exhibit).sort(), [first, second].sort());
    const own = about.find(({ exhibit }) => exhibit === first)!;
    const groups = own["added"] as { opens: string; recipients: string[]; files: number }[];
    assertEquals(
      groups.map((group) => group.recipients[0]).sort(),
      [bob.recipient, quantum.recipient].sort(),
    );
    assertEquals(about.find(({ exhibit }) => exhibit === second)!["added"], []);
    const shown = await run(first);
    assertStringIncludes(shown.stdout, "written for 1 recipient (X25519)");
    assert(!shown.stdout.includes(second));
    assert(shown.stdout.split("\n").every((line) => line.length < 200), "a line as long as a recipient");
  }));

Deno.test("recipients add --lineage opens digests and no contents", () =>
  withStore(async ({ bob, exhibits: [first], run }) => {
    const added = await run("add", first, "--lineage", "-r", bob.recipient, "-i", "alice.age", "--json");
    assertExit(added, 0);
    const { files, addedHeaders, opens } = eventOf(added, "summary");
    assertEquals([opens, files], ["lineage", addedHeaders]);
    // Whoever opens digests only can't give contents to anybody.
    const refused = await run("add", first, "-r", bob.recipient, "-i", "bob.age");
    assertRefusal(refused, { exitCode: 12, names: ["packs/"], hints: ["-i FILE"] });
  }));

Deno.test("recipients refuses what it can't do, with a word on what can be done, and changes nothing", () =>
  withStore(async ({ folder, bob, exhibits: [first], run }) => {
    const before = evidenceOf(folder);
    const secret = Deno.readTextFileSync(`${folder}/bob.age`).trim().split("\n").at(-1)!;
    const calls: [readonly string[], Parameters<typeof assertRefusal>[1]][] = [
      [["add", "-r", bob.recipient], { exitCode: 12, names: ["no identity"] }],
      [["add", "-r", bob.recipient, "-i", "bob.age"], { exitCode: 12, names: ["does not fit"] }],
      [["add", "-i", "alice.age"], { exitCode: 2, names: ["-r RECIPIENT"] }],
      [["add", "-r", "age1nobody", "-i", "alice.age"], { exitCode: 2, names: ["malformed"] }],
      [["add", "-r", secret, "-i", "alice.age"], { exitCode: 2, names: ["secret key"] }],
      [["add", "snap-0fffffff", "-r", bob.recipient, "-i", "alice.age"], { exitCode: 10, names: ["snap-0"] }],
      [["remove", "-r", bob.recipient], { exitCode: 2, names: ["for ever"], hints: ["another store"] }],
      [["-r", bob.recipient], { exitCode: 2, names: ["some were given"], hints: ["recipients add"] }],
      [["ex-ffffffffffffffff"], { exitCode: 10, names: ["ex-ffffffffffffffff"], hints: ["lists all"] }],
    ];
    for (const [args, expected] of calls) {
      const ended = await run(...args);
      assertRefusal(ended, expected);
      assert(!(ended.stderr + ended.stdout).includes(secret.slice(20)), "a secret was printed");
    }
    assertEquals(evidenceOf(folder), before);
    assert(!filesBelow(folder).some((name) => name.includes("headers-")));
    const log = (await coldcase(["custody", "-s", `${folder}/store`])).stdout;
    assert(!log.includes(secret.slice(20)), "a secret is in the custody log");
    // A missing store is not made, and a plain one has no recipients.
    const nowhere = [
      "recipients",
      "add",
      "-r",
      bob.recipient,
      "-i",
      `${folder}/alice.age`,
      "-s",
      `${folder}/no`,
    ];
    assertRefusal(await coldcase(nowhere), { exitCode: 10, names: ["there is no store"] });
    assert(!filesBelow(folder).some((name) => name.startsWith("no/")));
    await acquireAt(`${folder}/plain`, ORDER);
    for (const args of [["add", "-r", bob.recipient, "-i", `${folder}/alice.age`], [first], []]) {
      const ended = await coldcase(["recipients", ...args, "-s", `${folder}/plain`]);
      assertRefusal(ended, { exitCode: 2, names: ["plain"] });
    }
  }));

Deno.test("recipients add leaves out a file that does not open, tells it, and serves the others", () =>
  withStore(async (made) => {
    const { folder, bob, exhibits: [first, second], run } = made;
    const isInventory = (name: string) =>
      name.startsWith(`exhibits/${first}/inventory-`) && name.endsWith(".txt");
    const inventory = filesBelow(`${folder}/store`).find(isInventory)!;
    const pack = /^\d+ (packs\/.*)$/m.exec(Deno.readTextFileSync(`${folder}/store/${inventory}`))![1]!;
    Deno.truncateSync(`${folder}/store/${pack}`, 1000);
    const ended = await run("add", "-r", bob.recipient, "-i", "alice.age");
    assertRefusal(ended, { exitCode: 20, names: [pack] });
    assertStringIncludes(ended.stdout, "1 without one");
    assert(await canRead(made, bob, second), "the other exhibit");
  }));
