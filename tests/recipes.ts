/**
 * The shell recipes of store-format.md, taken out of the document as it stands: what a test runs is what a reader of the
 * page would type. Each runs in bash, in a store's root; one that goes on after another runs in the same shell.
 * No assertions.
 */
import { fromFileUrl } from "@std/path";
import { toolPath } from "./outside.ts";

const DOCUMENT = fromFileUrl(new URL("../store-format.md", import.meta.url));

interface Recipe {
  readonly code: string;
  /** The recipe whose lines were run before in the same shell. */
  readonly after: string | undefined;
}

function readRecipes(): Map<string, Recipe> {
  const marked = /^<!-- recipe: ([a-z -]+?)(?:, after: ([a-z ]+?))? -->\n\n```sh\n([\s\S]*?)^```$/gm;
  const found = Deno.readTextFileSync(DOCUMENT).matchAll(marked);
  return new Map([...found].map(([, name, after, code]) => [name!, { after, code: code! }]));
}

/** All recipes by their names. */
export const RECIPES: ReadonlyMap<string, Recipe> = readRecipes();

/** The lines of a recipe, and of those before it. Throws where the document has none of this name. */
export function recipe(name: string): string {
  const found = RECIPES.get(name);
  if (!found) throw new Error(`store-format.md has no recipe "${name}"`);
  return (found.after === undefined ? "" : recipe(found.after)) + found.code;
}

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a script in a store's root: any command that fails ends it, and so does a name that has no value. */
export async function runScript(script: string, root: string): Promise<Ran> {
  const args = ["-euc", script];
  const { code, stdout, stderr } = await new Deno.Command(toolPath("bash")!, { args, cwd: root }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/**
 * Runs a recipe as it is printed, with other values where a reader would put their own.
 *
 * @param values `block=4` in the document → what stands in its place.
 */
export async function runRecipe(
  name: string,
  root: string,
  values: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  let script = recipe(name);
  for (const [from, to] of Object.entries(values)) {
    if (!script.includes(from)) throw new Error(`recipe "${name}" has no "${from}"`);
    script = script.replace(from, () => to);
  }
  return await runScript(script, root);
}
