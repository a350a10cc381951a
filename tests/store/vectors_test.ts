/**
 * The test vectors of store-format.md: the committed ones are what scripts/vectors.ts writes today, and coldcase
 * and scripts/read_store.py say of each what its header says. Where the format was changed on purpose,
 * `deno run -A scripts/vectors.ts --update` writes them anew.
 */
import { assert, assertEquals } from "@std/assert";
import { outdatedVectors, VECTORS_FOLDER } from "../../scripts/vectors.ts";
import { decodeVector } from "../../scripts/vectors/vector.ts";
import { outside } from "../outside.ts";
import { READER_NEEDS, SecondReader } from "../second_reader.ts";
import { withFolder } from "./fixtures.ts";
import { names, verdictOf } from "./verdict.ts";

const NAMES = [...Deno.readDirSync(VECTORS_FOLDER)].map(({ name }) => name).sort();
const EXITS: Readonly<Record<string, readonly string[]>> = {
  ok: ["0"],
  not_found: ["10"],
  integrity: ["20"],
  // Where verify can go on, what is malformed is a finding, and those end with 20.
  format: ["20", "21"],
};

function read(name: string) {
  return decodeVector(Deno.readFileSync(VECTORS_FOLDER + name), name);
}

/** Unpacks with the stock tool, as a stranger would. */
async function unpack(archive: Uint8Array, folder: string): Promise<void> {
  Deno.mkdirSync(folder);
  const child = new Deno.Command("tar", { args: ["xz", "-C", folder], stdin: "piped" }).spawn();
  const input = child.stdin.getWriter();
  await input.write(archive);
  await input.close();
  assertEquals((await child.status).code, 0);
}

/** The exhibit that every vector is about. */
const EXHIBIT = "ex-000000000000002a";

function exhibitOf(name: string): string {
  return name === "manifest_in_another_folder" ? "ex-00000000000000ff" : EXHIBIT;
}

Deno.test("scripts/vectors.ts writes the vectors that are committed", async () => {
  assertEquals(await outdatedVectors(), []);
  assert(NAMES.length >= 90);
});

Deno.test("store-format.md has the headings that vectors cite, and each vector a whole header", () => {
  const document = Deno.readTextFileSync(new URL("../../store-format.md", import.meta.url));
  const headings = new Set([...document.matchAll(/^##+ (.+)$/gm)].map((match) => match[1]));
  for (const name of NAMES) {
    const { header } = read(name);
    const known = ["about", "section", "expect", "exit", "finding", "file", "reader", "reason"];
    assertEquals([...header.keys()], known.filter((member) => header.has(member)), name);
    assert(headings.has(header.get("section")!), `${name}: no heading "${header.get("section")}"`);
    assert(EXITS[header.get("expect")!]?.includes(header.get("exit")!), name);
    const isAccepted = (exit: string) => header.get(exit) === "0";
    assertEquals(header.has("reason"), isAccepted("exit") !== isAccepted("reader"), `${name}: a reason`);
    const mustName = header.has("finding") && name !== "inventories_of_two_manifests";
    assert(header.has("file") || !mustName, `${name}: no file`);
  }
});

Deno.test("verify says of each vector what its header says", () =>
  withFolder(async (folder) => {
    const wrong: string[] = [];
    for (const name of NAMES) {
      const { header, archive } = read(name);
      const root = `${folder}/${name}`;
      await unpack(archive, root);
      const verdict = await verdictOf(root, { exhibit: exhibitOf(name) });
      Deno.removeSync(root, { recursive: true });
      const said = JSON.stringify(verdict);
      const [finding, file] = [header.get("finding"), header.get("file")];
      const own = verdict.said.filter(({ code }) => finding === undefined || code === finding);
      if (verdict.exitCode !== Number(header.get("exit"))) wrong.push(`${name}: exit ${said}`);
      else if (finding !== undefined && own.length === 0) wrong.push(`${name}: not ${finding}: ${said}`);
      else if (file !== undefined && !names({ ...verdict, said: own }, file)) {
        wrong.push(`${name}: not ${file}: ${said}`);
      }
    }
    assertEquals(wrong, []);
  }));

outside(
  "read_store.py says of each vector what its header says",
  READER_NEEDS,
  () =>
    withFolder(async (folder) => {
      const wrong: string[] = [];
      const reader = new SecondReader();
      for (const name of NAMES) {
        const { header, archive } = read(name);
        const store = `${folder}/${name}`;
        await unpack(archive, store);
        const image = `${folder}/image`;
        const { code, stderr } = await reader.read({ store, exhibit: exhibitOf(name) }, image);
        Deno.removeSync(store, { recursive: true });
        if (code === 0) Deno.removeSync(image);
        if (code !== Number(header.get("reader"))) {
          wrong.push(`${name}: ${code}, not ${header.get("reader")}: ${stderr}`);
        }
      }
      await reader.close();
      assertEquals(wrong, []);
    }),
);
