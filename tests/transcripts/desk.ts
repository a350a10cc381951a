/**
 * A desk at which examples are tried as they are written: a folder, a shell in which `coldcase` is the program, an
 * endpoint with the snapshot that all examples name, and files of the names that they use. What lies on it is made by
 * the program itself.
 */
import { assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import config from "../../deno.json" with { type: "json" };
import { type Simulator, type SimulatorOptions, startSimulator } from "../../src/simulate/mod.ts";
import { every, writeRandomBlocks } from "../e2e/images.ts";
import { withAuthority } from "../interop/authority.ts";
import { toolPath } from "../outside.ts";

/** The snapshot of all examples. */
export const SNAPSHOT = "snap-0123456789abcdef0";
/** The instance of all examples: its one volume is the snapshot's. */
const INSTANCE = "i-0123456789abcdef0";

/**
 * What lies on a desk: nothing; a plain store with exhibit 7, a copy of it, and keys; the same and the exported image; a store
 * that is encrypted for `examiner.age`; folders of Snapshot-4n6ir-Imager, one of them encrypted, in `old`.
 */
export type Laid = "empty" | "plain" | "exported" | "encrypted" | "imager";

const MAKER = fromFileUrl(new URL("../interop/imager_folder.py", import.meta.url));

/** What Python makes of a few blocks of the volume behind the endpoint. */
function imagerFolder(layout: string, into: string): string {
  const wish = {
    image: "../volume.img",
    into,
    snapshot: SNAPSHOT,
    volumeSizeGib: 1,
    blockSize: 512 * 1024,
    blocks: [0, 100, 200, 201],
    layout,
    password: "a password",
    salt: "a salt",
  };
  return `'${toolPath("python3")}' '${MAKER}' <<< '${JSON.stringify(wish)}'\n`;
}

const PLAIN = `coldcase keygen --sign -q
coldcase keygen --sign -o examiner.key -q | tail -n 1 > examiner.pub
ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519
coldcase keygen -o examiner.age -q
grep -h -o 'age1.*' examiner.age > team.txt
coldcase acquire ${SNAPSHOT} --case 2026-114 --evidence 7 --sign-key examiner.key -q
cp -r evidence mnt/copy/evidence
`;

const LAYING: Readonly<Record<Laid, string>> = {
  empty: "",
  plain: PLAIN,
  exported: `${PLAIN}coldcase export 7 -o disk.img --sign-key examiner.key -q
`,
  encrypted: `coldcase keygen --sign -q
coldcase keygen -o examiner.age -q
coldcase keygen -o deputy.age -q
grep -h -o 'age1.*' deputy.age > team.txt
coldcase acquire ${SNAPSHOT} --case 2026-114 -R <(grep -h -o 'age1.*' examiner.age) -q
`,
  imager: `${imagerFolder("plain", ".")}${imagerFolder("encrypted", "old")}
echo 'a password' > pw.txt
echo 'a salt' > salt.txt
`,
};

export interface Tried {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Desks, of which each try gets a copy of its own. */
export class Desks {
  readonly #folder: string;
  readonly #simulator: Simulator;
  readonly #authorityUrl: string;
  readonly #laid = new Map<Laid, string>();
  #copies = 0;

  constructor(folder: string, simulator: Simulator, authorityUrl: string) {
    this.#folder = folder;
    this.#simulator = simulator;
    this.#authorityUrl = authorityUrl;
  }

  /** The endpoint of all desks. */
  get simulator(): Simulator {
    return this.#simulator;
  }

  /** The volume behind the snapshot. */
  get image(): string {
    return `${this.#folder}/volume.img`;
  }

  /** A copy of a desk, as it is now. */
  async copyOf(desk: string): Promise<string> {
    const copy = `${this.#folder}/${++this.#copies}`;
    const { success } = await new Deno.Command("cp", { args: ["-a", desk, copy] }).output();
    assertEquals(success, true);
    return copy;
  }

  /** A desk of its own, as `laid` says. */
  async desk(laid: Laid): Promise<string> {
    return await this.copyOf(this.#laid.get(laid) ?? await this.#lay(laid));
  }

  /** Types `commands` into bash at a desk. Paths of the examples that are not below it are mapped into it. */
  async try(commands: string, desk: string): Promise<Tried> {
    const typed = commands.replaceAll("/mnt/", "mnt/").replaceAll("http://tsa.example/", this.#authorityUrl);
    const { code, stdout, stderr } = await new Deno.Command("bash", {
      args: ["-euo", "pipefail", "-c", `${coldcaseFunction()}${typed}`],
      cwd: desk,
      clearEnv: true,
      env: this.#environment(desk),
      stdin: "null",
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { exitCode: code, stdout: text(stdout), stderr: text(stderr) };
  }

  /** Writes the file with which an interactive bash sits at a desk. */
  rcFile(desk: string, variables: Readonly<Record<string, string>> = {}): string {
    const path = `${desk}/home/.bashrc`;
    const exported = Object.entries({ ...this.#environment(desk), ...variables })
      .map(([name, value]) => `export ${name}='${value}'\n`).join("");
    // The prompt tells how the command before it ended.
    Deno.writeTextFileSync(path, `${exported}${coldcaseFunction()}cd '${desk}'\nPS1='[$?]$ '\n`);
    return path;
  }

  /** A recipient: of `examiner.age` where the desk has one. */
  async recipient(desk: string): Promise<string> {
    const tried = await this.try("grep -h -o 'age1.*' examiner.age || coldcase keygen -o -", desk);
    const [recipient] = /age1[0-9a-z]+/.exec(tried.stdout) ?? [];
    if (recipient === undefined) throw new Error(tried.stderr);
    return recipient;
  }

  async #lay(laid: Laid): Promise<string> {
    const desk = `${this.#folder}/${laid}`;
    for (
      const folder of ["home/.ssh", "home/.zfunc", "home/.config/fish/completions", "mnt/copy", "mnt/usb"]
    ) {
      Deno.mkdirSync(`${desk}/${folder}`, { recursive: true });
    }
    Deno.mkdirSync(`${desk}/mnt/handover`);
    const tried = await this.try(LAYING[laid], desk);
    assertEquals(tried.exitCode, 0, tried.stderr);
    this.#laid.set(laid, desk);
    return desk;
  }

  #environment(desk: string): Record<string, string> {
    const { PATH = "", DENO_DIR } = Deno.env.toObject();
    const none = `${desk}/none`;
    return {
      PATH,
      // Deno's own cache must not move with HOME.
      DENO_DIR: DENO_DIR ?? `${Deno.env.get("HOME")}/.cache/deno`,
      HOME: `${desk}/home`,
      COLDCASE_EXAMINER: "A. Examiner",
      ...this.#simulator.environment(),
      AWS_CONFIG_FILE: none,
      AWS_SHARED_CREDENTIALS_FILE: none,
    };
  }
}

/** `coldcase` for a shell, as `deno task coldcase` starts it. */
function coldcaseFunction(): string {
  const main = fromFileUrl(new URL("../../main.ts", import.meta.url));
  const words = config.tasks.coldcase.split(" ").slice(1).map((word) => word === "main.ts" ? main : word);
  return `coldcase() { ${[Deno.execPath(), ...words].map((word) => `'${word}'`).join(" ")} "$@"; }\n`;
}

/** Lays desks for `act`: a volume of 1 GiB with a few written blocks, and an authority for time-stamps. */
export async function withDesks(
  act: (desks: Desks) => Promise<void>,
  endpoint: Pick<SimulatorOptions, "credentials" | "mfaDevices" | "roles"> = {},
): Promise<void> {
  await withAuthority(async (authority) => {
    const folder = await Deno.makeTempDir({ prefix: "coldcase-desk-" });
    const answering = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
      const bytes = new Uint8Array(await request.arrayBuffer());
      const answer = await authority.answer({ bytes });
      return new Response(new Uint8Array(answer), {
        headers: { "content-type": "application/timestamp-reply" },
      });
    });
    try {
      await writeRandomBlocks(`${folder}/volume.img`, every(100, { from: 0, count: 10 }));
      const simulator = await startSimulator({
        snapshots: [{ id: SNAPSHOT, path: `${folder}/volume.img` }],
        instances: [{ id: INSTANCE, volumes: { "/dev/xvda": "vol-0123456789abcdef0" } }],
        region: "eu-central-1",
        quotas: "none",
        ...endpoint,
      });
      try {
        await act(new Desks(folder, simulator, `http://127.0.0.1:${answering.addr.port}/`));
      } finally {
        await simulator.close();
      }
    } finally {
      await answering.shutdown();
      await Deno.remove(folder, { recursive: true });
    }
  });
}
