/**
 * A release as its users check it: `ssh-keygen` and `sha256sum` over what `deno task release` made, and a bill of
 * materials that has what CycloneDX requires and every package of deno.lock. And what it refuses to sign.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { CHECKOUT } from "../../scripts/build/executables.ts";
import { fileDigest } from "../../scripts/build/files.ts";
import { outside } from "../outside.ts";

interface Component {
  readonly type: string;
  readonly "bom-ref": string;
  readonly name: string;
  readonly version?: string;
  readonly purl?: string;
  readonly scope?: string;
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
  readonly licenses?: readonly { readonly license?: { readonly id: string }; readonly expression?: string }[];
  readonly components?: readonly Component[];
}

interface Bill {
  readonly bomFormat: string;
  readonly specVersion: string;
  readonly serialNumber: string;
  readonly version: number;
  readonly metadata: { readonly timestamp: string; readonly component: Component };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

async function shell(line: string, cwd: string) {
  const { code, stdout, stderr } = await new Deno.Command("sh", { args: ["-c", line], cwd }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

async function release(args: readonly string[]) {
  const words = config.tasks.release.split(" ").slice(1);
  const command = new Deno.Command(Deno.execPath(), { args: [...words, ...args], cwd: CHECKOUT });
  const { code, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

outside(
  "release makes sums, a bill and signatures that stock tools check",
  ["ssh-keygen", "sha256sum"],
  async () => {
    const folder = await Deno.makeTempDir({ prefix: "coldcase-release-" });
    try {
      await shell(`ssh-keygen -q -t ed25519 -N "" -f key`, folder);
      const out = `${folder}/out`;
      const made = await release(["--sign-key", `${folder}/key`, "--portable", "--modified", "--out", out]);
      assertEquals(made.code, 0, made.stderr);
      const names = [...Deno.readDirSync(out)].map(({ name }) => name).sort();
      const portable = `coldcase-portable-${Deno.build.target}`;
      assertEquals(names, ["SHA256SUMS", "SHA256SUMS.sig", portable, "sbom.cdx.json", "sbom.cdx.json.sig"]);
      const sums = await shell("sha256sum --strict -c SHA256SUMS", out);
      assertEquals([sums.code, sums.stdout], [0, `${portable}: OK\nsbom.cdx.json: OK\n`]);
      await checkSignatures(out, made.stdout);
      await checkBill(JSON.parse(await Deno.readTextFile(`${out}/sbom.cdx.json`)), `${out}/${portable}`);
      const again = await release(["--sign-key", `${folder}/key`, "--portable", "--modified", "--out", out]);
      assertEquals(again.code, 2);
      assertStringIncludes(again.stderr, "it is not empty, expected a new folder");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

/** With the line and the command that the release itself prints. */
async function checkSignatures(out: string, printed: string): Promise<void> {
  const signer = /^ {2}(coldcase-release namespaces=.*)$/m.exec(printed)![1]!;
  const command = /^ {2}(ssh-keygen -Y verify .*)$/m.exec(printed)![1]!;
  await Deno.writeTextFile(`${out}/allowed_signers`, `${signer}\n`);
  for (const file of ["SHA256SUMS", "sbom.cdx.json"]) {
    const line = command.replaceAll("SHA256SUMS", file);
    const verified = await shell(line, out);
    assertEquals(verified.code, 0, verified.stderr);
    assertMatch(verified.stdout, /^Good "coldcase-release@v1" signature for coldcase-release /);
    assert(
      (await shell(`{ cat ${file}; echo; } > changed; ${line.replace(`< ${file}`, "< changed")}`, out)).code >
        0,
    );
    assert((await shell(line.replace("-n coldcase-release@v1", "-n file"), out)).code > 0);
  }
}

async function checkBill(bill: Bill, executable: string): Promise<void> {
  assertEquals([bill.bomFormat, bill.specVersion, bill.version], ["CycloneDX", "1.6", 1]);
  assertMatch(bill.serialNumber, /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
  assertMatch(bill.metadata.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const { component } = bill.metadata;
  assertEquals([component.type, component.name], ["application", "coldcase"]);
  assert(component.version!.startsWith(config.version));
  assertEquals(component.components![0]!.hashes, [{ alg: "SHA-256", content: await fileDigest(executable) }]);
  const deno = bill.components.find(({ name }) => name === "deno");
  assertEquals(deno?.version, Deno.version.deno);
  const libraries = new Map(
    bill.components.filter(({ type }) => type === "library").map((each) => [each.purl, each]),
  );
  const lock: { npm: Record<string, { integrity: string }> } = JSON.parse(
    await Deno.readTextFile(`${CHECKOUT}deno.lock`),
  );
  assertEquals(libraries.size, Object.keys(lock.npm).length);
  for (const [id, { integrity }] of Object.entries(lock.npm)) {
    const library = libraries.get(`pkg:npm/${id.replace(/^@/, "%40")}`);
    assert(library, `${id} is missing`);
    const bytes = Uint8Array.fromBase64(integrity.slice("sha512-".length));
    assertEquals(library.hashes, [{ alg: "SHA-512", content: bytes.toHex() }]);
    assert(library.licenses?.length === 1, `${id} has no licence`);
  }
  // The official vectors of age are for tests: no executable has them.
  const excluded = bill.components.filter(({ scope }) => scope === "excluded").map(({ name }) => name);
  assertEquals(excluded, ["cctv-age"]);
  const refs = [component, ...bill.components].map((each) => each["bom-ref"]);
  assertEquals(new Set(refs).size, refs.length);
  for (const { ref, dependsOn } of bill.dependencies) {
    for (const each of [ref, ...dependsOn]) assert(refs.includes(each), `${each} is no component`);
  }
  assert(bill.dependencies[0]!.dependsOn.length > 5);
}

Deno.test("release signs nothing without a key", async () => {
  const refused = await release(["--portable"]);
  assertEquals([refused.code, refused.stdout], [2, ""]);
  assertStringIncludes(refused.stderr, "Cannot release without --sign-key");
});
