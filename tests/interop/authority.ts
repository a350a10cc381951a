/** A time-stamp authority of a test's own: its root, its certificate, and `openssl ts` that answers requests. */
import { assert, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { toolPath } from "../outside.ts";

const CONFIGURATION = `[tsa]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = DIGESTS
accuracy = secs:1, millisecs:500
clock_precision_digits = 3
ess_cert_id_alg = sha256
`;

/** An authority in a folder: its own root (ca.pem), its certificate for time-stamps (tsa.pem), `openssl ts`. */
export class Authority {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async make(): Promise<void> {
    Deno.writeTextFileSync(join(this.#folder, "serial"), "01\n");
    Deno.writeTextFileSync(join(this.#folder, "extensions"), "extendedKeyUsage=critical,timeStamping\n");
    this.configure("sha256");
    const openssl = async (line: string) => {
      const { success, said } = await this.openssl(line);
      assert(success, `${line}: ${said}`);
    };
    const rsa = "-newkey rsa:2048 -nodes";
    await openssl(`req -x509 ${rsa} -keyout ca.key -out ca.pem -days 2 -subj /CN=root`);
    await openssl(`req ${rsa} -keyout tsa.key -out tsa.csr -subj /CN=authority`);
    await openssl(
      "x509 -req -in tsa.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out tsa.pem",
    );
  }

  configure(digests: string): void {
    Deno.writeTextFileSync(join(this.#folder, "tsa.cnf"), CONFIGURATION.replace("DIGESTS", digests));
  }

  write(name: string, bytes: Uint8Array): void {
    Deno.writeFileSync(join(this.#folder, name), bytes);
  }

  async openssl(line: string): Promise<{ success: boolean; said: string }> {
    const { success, stdout, stderr } = await new Deno.Command(toolPath("openssl")!, {
      args: line.split(" "),
      cwd: this.#folder,
      stdin: "null",
    }).output();
    return { success, said: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
  }

  /** What it answers to the bytes of a request. */
  async answer(request: { readonly bytes: Uint8Array }): Promise<Uint8Array> {
    this.write("request.tsq", request.bytes);
    const files = "-queryfile request.tsq -signer tsa.pem -inkey tsa.key -out answer.tsr";
    const { said } = await this.openssl(`ts -reply -config tsa.cnf -section tsa ${files}`);
    assertStringIncludes(said, "Response");
    return Deno.readFileSync(join(this.#folder, "answer.tsr"));
  }
}

export async function withAuthority(act: (authority: Authority) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const authority = new Authority(folder);
    await authority.make();
    await act(authority);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
