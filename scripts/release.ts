/**
 * `deno task release --sign-key KEY`: the executables of a commit in a new folder, their bill of materials, SHA256SUMS
 * over all of it, and signatures that `ssh-keygen -Y verify` checks. Publishes nothing, and signs nothing where anything
 * is missing. The key stays where it is: a file outside the checkout, or an agent.
 */
import { join, resolve } from "@std/path";
import { parseArgs } from "node:util";
import config from "../deno.json" with { type: "json" };
import { encodePublicKeyLine, RELEASE_NAMESPACE } from "../src/format/verifying_key.ts";
import { openSigningKey, type SigningKey } from "../src/keys.ts";
import { realWorld } from "../src/world.ts";
import { CHECKOUT, makeExecutables, UsageFailure, wantedTargets } from "./build/executables.ts";
import { readBuild } from "./build/program.ts";
import { billOfMaterials } from "./build/sbom.ts";
import { SUMS, writeSums } from "./build/sums.ts";

const USAGE = `deno task release --sign-key KEY [--target TARGET]... [--portable] [--modified] [--out DIR]

  --sign-key KEY    a private key file, or the public half of a key that ssh-agent holds
  --target TARGET   as for deno task compile; default: all of them and the portable one
  --portable        the portable executable of this machine's platform
  --modified        also where the sources differ from the commit; the executables say so
  --out DIR         a new folder; default: dist/release-VERSION
`;

export const BILL = "sbom.cdx.json";
/** Whom `ssh-keygen -Y verify -I` asks for. */
export const SIGNER = "coldcase-release";

async function release(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      "sign-key": { type: "string" },
      target: { type: "string", multiple: true, default: [] },
      portable: { type: "boolean", default: false },
      modified: { type: "boolean", default: false },
      out: { type: "string", default: `dist/release-${config.version}` },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return say(USAGE);
  const source = values["sign-key"];
  if (source === undefined) {
    throw new UsageFailure("Cannot release without --sign-key: sums that nobody signed");
  }
  const { commit, isModified } = await readBuild(CHECKOUT);
  if (isModified && !values.modified) {
    throw new UsageFailure(`Cannot release commit ${commit}: the sources differ from it`);
  }
  const { key } = await openSigningKey(realWorld(), { source });
  const folder = resolve(values.out);
  await makeEmpty(folder);
  const { build, names, missing } = await makeExecutables({
    targets: wantedTargets(values.target, values.portable),
    isPortable: values.portable || values.target.length === 0,
    credentialProcess: false,
    folder,
  });
  for (const message of missing) complain(message);
  if (missing.length > 0) return 1;
  const bill = { checkout: CHECKOUT, build, release: config.version, folder, executables: names };
  await Deno.writeTextFile(join(folder, BILL), await billOfMaterials(bill));
  const sums = await writeSums(folder, [BILL]);
  for (const name of [SUMS, BILL]) await signFile(join(folder, name), key);
  return say(`${folder}\n${sums.join("\n")}\n\n${howToVerify(key)}`);
}

async function makeEmpty(folder: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  if ([...Deno.readDirSync(folder)].length > 0) {
    throw new UsageFailure(`Cannot release into "${folder}": it is not empty, expected a new folder`);
  }
}

/** `NAME.sig`, beside it. */
async function signFile(path: string, key: SigningKey): Promise<void> {
  await Deno.writeFile(`${path}.sig`, await key.signSshsig(await Deno.readFile(path), RELEASE_NAMESPACE));
}

function howToVerify(key: SigningKey): string {
  return `Signed by ${key.fingerprint}. To be published apart from the files, as allowed_signers:
  ${SIGNER} namespaces="${RELEASE_NAMESPACE}" ${encodePublicKeyLine(key).trim()}
Who has that line checks with:
  ssh-keygen -Y verify -f allowed_signers -I ${SIGNER} -n ${RELEASE_NAMESPACE} -s ${SUMS}.sig < ${SUMS}
  sha256sum -c ${SUMS}
`;
}

function say(text: string): number {
  Deno.stdout.writeSync(new TextEncoder().encode(text));
  return 0;
}

function complain(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${text}\n`));
}

if (import.meta.main) {
  try {
    Deno.exit(await release(Deno.args));
  } catch (error) {
    const isUsage = error instanceof UsageFailure ||
      (error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS"));
    if (!isUsage) throw error;
    complain(`${(error as Error).message}\n\n${USAGE}`);
    Deno.exit(2);
  }
}
