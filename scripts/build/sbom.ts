/**
 * The bill of materials of a release, as CycloneDX 1.6 JSON: every npm package of deno.lock with the digest that the
 * lock holds it to, Deno, and the executables. Written out here and not by CycloneDX's library: one more package to trust
 * with a release, of 7 MB, for what is two tables. The same release gives the same bytes.
 *
 * @see https://cyclonedx.org/docs/1.6/json/
 */
import { Buffer } from "node:buffer";
import { join } from "@std/path";
import { type Build, versionOf } from "../../src/build.ts";
import { fileDigest, outputOf } from "./files.ts";
import { sha256 } from "./program.ts";

export interface BillOptions {
  readonly checkout: string;
  readonly build: Build & { readonly committedAt: number };
  /** `0.1.0`. */
  readonly release: string;
  /** Where the executables lie, and their names. */
  readonly folder: string;
  readonly executables: readonly string[];
}

interface Reference {
  readonly ref: string;
  readonly dependsOn: readonly string[];
}

/** What `deno info --json` says of a package. */
interface PackageInfo {
  readonly name: string;
  readonly version: string;
  /** Ids: `name@version`. */
  readonly dependencies: readonly string[];
  /** The folder that it lies in. */
  readonly localPath: string;
}

interface ProgramInfo {
  readonly npmPackages: Readonly<Record<string, PackageInfo>>;
  readonly modules: readonly { readonly kind?: string; readonly npmPackage?: string }[];
}

export async function billOfMaterials(options: BillOptions): Promise<string> {
  const { checkout, build, release } = options;
  const version = versionOf(release, build);
  const info: ProgramInfo = JSON.parse(
    await outputOf(Deno.execPath(), { args: ["info", "--json", "main.ts"], cwd: checkout }),
  );
  const lock: { npm: Record<string, { integrity: string }> } = JSON.parse(
    await Deno.readTextFile(join(checkout, "deno.lock")),
  );
  const own = info.modules.flatMap(({ kind, npmPackage }) =>
    kind === "npm" && npmPackage ? [npmPackage] : []
  );
  const needed = closure(own, info);
  const packages = await Promise.all(
    Object.keys(lock.npm).sort().map((id) =>
      packageComponent(id, { info, integrity: lock.npm[id]!.integrity, isNeeded: needed.has(id) })
    ),
  );
  const deno = denoComponent();
  const bill = {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      timestamp: new Date(build.committedAt * 1000).toISOString(),
      component: await ownComponent(options, version),
    },
    components: [deno, ...packages],
    dependencies: dependencies(version, { info, lock, own, deno: deno["bom-ref"] }),
  };
  const { bomFormat, specVersion, ...rest } = bill;
  const serialNumber = uuidOf(JSON.stringify(bill));
  return `${JSON.stringify({ bomFormat, specVersion, serialNumber, ...rest }, null, 2)}\n`;
}

function closure(roots: readonly string[], info: ProgramInfo): Set<string> {
  const found = new Set<string>();
  const visit = (id: string) => {
    if (found.has(id)) return;
    found.add(id);
    for (const next of info.npmPackages[id]?.dependencies ?? []) visit(next);
  };
  for (const root of roots) visit(root);
  return found;
}

async function ownComponent({ build, folder, executables }: BillOptions, version: string) {
  return {
    type: "application",
    "bom-ref": `coldcase@${version}`,
    name: "coldcase",
    version,
    licenses: [{ license: { id: "MIT" } }],
    ...(build.commit === undefined ? {} : { properties: [{ name: "coldcase:commit", value: build.commit }] }),
    components: await Promise.all(
      [...executables].sort().map(async (name) => ({
        type: "file",
        "bom-ref": `file:${name}`,
        name,
        hashes: [{ alg: "SHA-256", content: await fileDigest(join(folder, name)) }],
      })),
    ),
  };
}

/** Its executable's digest differs between platforms; those of what is built from it are there. */
function denoComponent() {
  const version = Deno.version.deno;
  const purl = `pkg:github/denoland/deno@v${version}`;
  return {
    type: "platform",
    "bom-ref": purl,
    name: "deno",
    version,
    description: `JavaScript runtime, with V8 ${Deno.version.v8}`,
    scope: "required",
    licenses: [{ license: { id: "MIT" } }],
    purl,
  };
}

async function packageComponent(
  id: string,
  { info, integrity, isNeeded }: {
    readonly info: ProgramInfo;
    readonly integrity: string;
    readonly isNeeded: boolean;
  },
) {
  const found = info.npmPackages[id];
  if (found === undefined) throw new Error(`Cannot list "${id}" of deno.lock: Deno does not know it`);
  const { name, version, localPath } = found;
  const [group, ownName] = name.startsWith("@") ? name.split("/") as [string, string] : [undefined, name];
  const match = /^sha512-([A-Za-z0-9+/]{86}==)$/.exec(integrity);
  if (!match) {
    throw new Error(`Cannot list "${id}": its digest in deno.lock is "${integrity}", expected sha512`);
  }
  return {
    type: "library",
    "bom-ref": purlOf(found),
    ...(group === undefined ? {} : { group }),
    name: ownName,
    version,
    // Only tests use the others: no executable carries them.
    scope: isNeeded ? "required" : "excluded",
    hashes: [{ alg: "SHA-512", content: Buffer.from(match[1]!, "base64").toString("hex") }],
    ...await licenseOf(localPath),
    purl: purlOf(found),
  };
}

/** @see https://github.com/package-url/purl-spec, type npm: the scope's @ is written %40. */
function purlOf({ name, version }: Pick<PackageInfo, "name" | "version">): string {
  return `pkg:npm/${name.replace(/^@/, "%40")}@${version}`;
}

/** As the package declares it; nothing where it doesn't. */
async function licenseOf(folder: string) {
  const { license }: { license?: unknown } = JSON.parse(
    await Deno.readTextFile(join(folder, "package.json")),
  );
  if (typeof license !== "string" || license === "") return {};
  return { licenses: [/[ ()]/.test(license) ? { expression: license } : { license: { id: license } }] };
}

function dependencies(
  version: string,
  { info, lock, own, deno }: {
    readonly info: ProgramInfo;
    readonly lock: { readonly npm: Readonly<Record<string, unknown>> };
    readonly own: readonly string[];
    readonly deno: string;
  },
): Reference[] {
  const refs = (ids: readonly string[]) =>
    [...new Set(ids)].map((id) => purlOf(info.npmPackages[id]!)).sort();
  return [
    { ref: `coldcase@${version}`, dependsOn: [deno, ...refs(own)] },
    ...Object.keys(lock.npm).sort().map((id) => ({
      ref: purlOf(info.npmPackages[id]!),
      dependsOn: refs(info.npmPackages[id]!.dependencies),
    })),
  ];
}

/** A version 8 UUID (RFC 9562, §5.8) of a digest: the same bill has the same number. */
function uuidOf(text: string): string {
  const hex = sha256(text);
  const variant = (8 + parseInt(hex[16]!, 16) % 4).toString(16);
  const parts = [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, variant + hex.slice(17, 20)];
  return `urn:uuid:${[...parts, hex.slice(20, 32)].join("-")}`;
}
