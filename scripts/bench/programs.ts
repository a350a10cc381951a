/**
 * The programs that take part: where they lie, how coldcase is started as its users start it, and the
 * environment that all of them get, which has nothing of this machine's credentials. Starts none of them.
 */
import { fromFileUrl, resolve } from "@std/path";

/** A checkout of coldcase, or an executable made from one. */
export interface Build {
  readonly name: string;
  /** The words before the command. */
  readonly argv: readonly string[];
}

export const CHECKOUT = fromFileUrl(new URL("../../", import.meta.url)).replace(/\/$/, "");

/** This checkout, started as `deno task coldcase` does. */
export function ownBuild(): Build {
  return { name: "coldcase", argv: denoWords(`${CHECKOUT}/main.ts`) };
}

/** `path` is a main.ts, whose own deno.json says its permissions, or an executable. */
export function otherBuild(path: string): Build {
  const absolute = resolve(path);
  return { name: "other build", argv: absolute.endsWith(".ts") ? denoWords(absolute) : [absolute] };
}

function denoWords(main: string): string[] {
  const config: { tasks: { coldcase: string } } = JSON.parse(
    Deno.readTextFileSync(main.replace(/main\.ts$/, "deno.json")),
  );
  const words = config.tasks.coldcase.split(" ").slice(1);
  return [Deno.execPath(), ...words.map((word) => word === "main.ts" ? main : word)];
}

/** Where a program lies, undefined where it does not; looks where distributions and cargo put them, too. */
export function toolPath(name: string): string | undefined {
  const home = Deno.env.get("HOME");
  const cargo = home === undefined ? [] : [`${home}/.cargo/bin`];
  const folders = [...(Deno.env.get("PATH") ?? "").split(":"), "/usr/sbin", "/sbin", ...cargo];
  return folders.filter((folder) => folder !== "").map((folder) => `${folder}/${name}`).find(isFile);
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}

/** The environment without credentials, proxies and settings of one's own; keys that any endpoint takes. */
export function environmentFor(
  place: { readonly endpoint: string; readonly folder: string },
): Record<string, string> {
  const foreign = /^(AWS|COLDCASE|DENO_(?!DIR)|SSH_AUTH_SOCK)|_proxy$/i;
  const own = Object.entries(Deno.env.toObject()).filter(([name]) => !foreign.test(name));
  return {
    ...Object.fromEntries(own),
    AWS_ENDPOINT_URL: place.endpoint,
    AWS_REGION: "eu-central-1",
    AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE",
    AWS_SECRET_ACCESS_KEY: "example",
    AWS_EC2_METADATA_DISABLED: "true",
    AWS_CONFIG_FILE: `${place.folder}/none`,
    AWS_SHARED_CREDENTIALS_FILE: `${place.folder}/none`,
    XDG_CONFIG_HOME: `${place.folder}/config`,
  };
}
