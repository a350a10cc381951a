/**
 * Signatures and keys against the programs that others have: ssh-keygen and openssl check what coldcase signed,
 * coldcase checks what ssh-keygen signed, and takes its keys, with a passphrase and out of ssh-agent.
 */
import { assert, assertEquals, assertNotMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { type ErrorCode, OperatorError } from "../../src/errors.ts";
import {
  decodeVerifyingKeys,
  encodeAllowedSigner,
  encodePublicKeyLine,
  encodeSpkiPem,
  principalOf,
  SIGNATURE_NAMESPACES,
  type SignatureNamespace,
  type VerifyingKey,
} from "../../src/format/verifying_key.ts";
import {
  type KeyRequest,
  type KeyWorld,
  openSigningKey,
  type SigningKey,
  verifySshsig,
} from "../../src/keys.ts";
import { MAX_AGENT_MESSAGE_BYTES, signByAgent } from "../../src/keys_agent.ts";
import { realClock, realRandomness } from "../../src/world.ts";
import { coldcase } from "../e2e/program.ts";
import { outside, toolPath } from "../outside.ts";

const MANIFEST = "coldcase-manifest@v1";
const MESSAGE = new TextEncoder().encode(`{"exhibit":"ex-0123456789abcdef"}\n`);

interface Desk {
  readonly folder: string;
  path(name: string): string;
  /** Opens a key with what `environment` holds. */
  open(request: KeyRequest): ReturnType<typeof openSigningKey>;
  readonly environment: Record<string, string>;
}

/** A folder with nobody's keys in it, gone afterwards. */
async function atDesk(act: (desk: Desk) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const environment: Record<string, string> = { XDG_CONFIG_HOME: join(folder, "config") };
  const world: KeyWorld = {
    clock: realClock,
    randomness: realRandomness,
    environment: (name) => environment[name],
  };
  const path = (name: string) => join(folder, name);
  try {
    await act({ folder, path, environment, open: (request) => openSigningKey(world, request) });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

interface Answer {
  readonly success: boolean;
  /** stdout and stderr. */
  readonly said: string;
}

async function tool(
  program: string,
  args: readonly string[],
  options: { readonly input?: Uint8Array; readonly env?: Record<string, string> } = {},
): Promise<Answer> {
  const child = new Deno.Command(toolPath(program)!, {
    args: [...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    env: { ...options.env },
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(options.input ?? new Uint8Array(0));
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  return { success, said: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

/** A key file that ssh-keygen made, and its public half. */
async function sshKeygen(desk: Desk, name: string, ...args: string[]): Promise<VerifyingKey | undefined> {
  const { success, said } = await tool("ssh-keygen", ["-q", "-f", desk.path(name), "-C", name, ...args]);
  assert(success, said);
  const text = await Deno.readTextFile(desk.path(`${name}.pub`));
  return text.startsWith("ssh-ed25519") ? decodeVerifyingKeys(text, name)[0] : undefined;
}

const PLAIN = ["-t", "ed25519", "-N", ""];

/** `ssh-keygen -Y verify`, with an allowed_signers file that lists `key` alone. */
async function sshVerify(
  desk: Desk,
  armor: Uint8Array,
  facts: { readonly key: VerifyingKey; readonly namespace: string; readonly message?: Uint8Array },
): Promise<Answer> {
  await Deno.writeTextFile(desk.path("allowed_signers"), `${encodeAllowedSigner(facts.key)}\n`);
  await Deno.writeFile(desk.path("signature"), armor);
  const args = ["-Y", "verify", "-f", desk.path("allowed_signers"), "-I", principalOf(facts.key)];
  return await tool("ssh-keygen", [...args, "-n", facts.namespace, "-s", desk.path("signature")], {
    input: facts.message ?? MESSAGE,
  });
}

async function rejection(code: ErrorCode, act: () => Promise<unknown>): Promise<OperatorError> {
  const error = await assertRejects(act, OperatorError);
  assertEquals(error.code, code, error.message);
  return error;
}

outside(
  "ssh-keygen -Y verify accepts what coldcase's own key signed, and nothing else",
  ["ssh-keygen"],
  async () => {
    await atDesk(async (desk) => {
      const { key } = await desk.open({ source: undefined });
      for (const namespace of SIGNATURE_NAMESPACES) {
        const armor = await key.signSshsig(MESSAGE, namespace);
        const good = await sshVerify(desk, armor, { key, namespace });
        assert(good.success, good.said);
        assertStringIncludes(good.said, key.fingerprint);
      }
      const armor = await key.signSshsig(MESSAGE, MANIFEST);
      const other = MESSAGE.slice();
      other[3]! ^= 1;
      assert(!(await sshVerify(desk, armor, { key, namespace: MANIFEST, message: other })).success);
      assert(!(await sshVerify(desk, armor, { key, namespace: "coldcase-custody@v1" })).success);
      assert(!(await sshVerify(desk, armor, { key, namespace: "file" })).success);
    });
  },
);

outside("ssh-keygen uses a key file that coldcase made, and names it alike", ["ssh-keygen"], async () => {
  await atDesk(async (desk) => {
    const { key, path } = await desk.open({ source: undefined });
    const listed = await tool("ssh-keygen", ["-l", "-f", path!]);
    assertStringIncludes(listed.said, `256 ${key.fingerprint} coldcase signing key, made `);
    const publicLine = await tool("ssh-keygen", ["-y", "-f", path!]);
    assertStringIncludes(publicLine.said, encodePublicKeyLine(key));
    const signed = await tool("ssh-keygen", ["-Y", "sign", "-q", "-f", path!, "-n", MANIFEST], {
      input: MESSAGE,
    });
    assertEquals(signed.said, new TextDecoder().decode(await key.signSshsig(MESSAGE, MANIFEST)));
  });
});

outside("ssh-keygen gives coldcase's key a passphrase, and it stays coldcase's", ["ssh-keygen"], async () => {
  await atDesk(async (desk) => {
    const { key, path } = await desk.open({ source: undefined });
    const changed = await tool("ssh-keygen", ["-p", "-q", "-P", "", "-N", "correct horse", "-f", path!]);
    assert(changed.success, changed.said);
    const again = await desk.open({
      source: undefined,
      askPassphrase: () => Promise.resolve("correct horse"),
    });
    assertEquals([again.key.fingerprint, again.key.origin, again.isNew], [
      key.fingerprint,
      "coldcase",
      false,
    ]);
  });
});

outside(
  "verifySshsig() accepts what ssh-keygen -Y sign wrote, with sha512 and sha256",
  ["ssh-keygen"],
  async () => {
    await atDesk(async (desk) => {
      const key = await sshKeygen(desk, "id", ...PLAIN);
      for (const hash of ["sha512", "sha256"]) {
        const args = ["-Y", "sign", "-q", "-f", desk.path("id"), "-n", MANIFEST, "-O", `hashalg=${hash}`];
        const { said } = await tool("ssh-keygen", args, { input: MESSAGE });
        const armor = new TextEncoder().encode(said);
        assertEquals(verifySshsig(MESSAGE, armor, MANIFEST).fingerprint, key!.fingerprint);
        const wrong = () => Promise.resolve().then(() => verifySshsig(MESSAGE, armor, "coldcase-receipt@v1"));
        await rejection("integrity", wrong);
      }
    });
  },
);

outside(
  "verifySshsig() refuses a signature of ssh-keygen by an RSA key, naming its kind",
  ["ssh-keygen"],
  async () => {
    await atDesk(async (desk) => {
      await sshKeygen(desk, "rsa", "-t", "rsa", "-b", "2048", "-N", "");
      const args = ["-Y", "sign", "-q", "-f", desk.path("rsa"), "-n", MANIFEST];
      const { said } = await tool("ssh-keygen", args, { input: MESSAGE });
      const verify = () =>
        Promise.resolve().then(() => verifySshsig(MESSAGE, new TextEncoder().encode(said), MANIFEST));
      assertStringIncludes((await rejection("format", verify)).message, `"ssh-rsa"`);
    });
  },
);

outside(
  "openSigningKey() takes OpenSSH's Ed25519 files, and lets them sign no raw bytes",
  ["ssh-keygen"],
  async () => {
    await atDesk(async (desk) => {
      const made = await sshKeygen(desk, "id", ...PLAIN);
      const { key, warnings } = await desk.open({ source: desk.path("id") });
      assertEquals([key.fingerprint, key.origin, key.signRaw], [made!.fingerprint, "openssh", undefined]);
      assertEquals(warnings, []);
      const armor = await key.signSshsig(MESSAGE, MANIFEST);
      const { success, said } = await sshVerify(desk, armor, { key, namespace: MANIFEST });
      assert(success, said);
    });
  },
);

outside("openSigningKey() asks for a passphrase, once, and tells a wrong one", ["ssh-keygen"], async () => {
  await atDesk(async (desk) => {
    const secret = "pass phräse";
    for (const cipher of ["aes256-ctr", "aes256-cbc"]) {
      const name = `id-${cipher}`;
      const made = await sshKeygen(desk, name, "-t", "ed25519", "-N", secret, "-a", "4", "-Z", cipher);
      const questions: string[] = [];
      const request = (answer: string | undefined): KeyRequest => ({
        source: desk.path(name),
        askPassphrase: (question) => {
          questions.push(question);
          return Promise.resolve(answer);
        },
      });
      assertEquals((await desk.open(request(secret))).key.fingerprint, made!.fingerprint);
      assertEquals(questions.length, 1);
      assertStringIncludes(questions[0]!, desk.path(name));
      for (const wrong of ["wrong horse", `${secret} `, ""]) {
        const error = await rejection("identity", () => desk.open(request(wrong)));
        assertStringIncludes(error.message, "passphrase is wrong");
        if (wrong !== "") {
          assertNotMatch(JSON.stringify([error.message, error.hints, error.facts]), /wrong horse|phräse/);
        }
      }
      await rejection("identity", () => desk.open(request(undefined)));
      await rejection("identity", () => desk.open({ source: desk.path(name) }));
    }
  });
});

outside(
  "openSigningKey() refuses RSA, ECDSA and unknown ciphers, naming what it wants",
  ["ssh-keygen"],
  async () => {
    await atDesk(async (desk) => {
      await sshKeygen(desk, "rsa", "-t", "rsa", "-b", "2048", "-N", "");
      await sshKeygen(desk, "pem", "-t", "rsa", "-b", "2048", "-N", "", "-m", "PEM");
      await sshKeygen(desk, "ecdsa", "-t", "ecdsa", "-N", "");
      await sshKeygen(desk, "gcm", "-t", "ed25519", "-N", "secret", "-Z", "aes256-gcm@openssh.com");
      for (
        const [source, wanted] of [["rsa", `"ssh-rsa"`], ["pem", `"RSA PRIVATE KEY"`], [
          "ecdsa",
          `"ecdsa-sha2-`,
        ]]
      ) {
        const error = await rejection("usage", () => desk.open({ source: desk.path(source!) }));
        assertStringIncludes(error.message, wanted!);
        assertStringIncludes(error.message, "ssh-ed25519");
      }
      assertStringIncludes(
        (await rejection("usage", () => desk.open({ source: desk.path("rsa.pub") }))).message,
        "Ed25519",
      );
      assertStringIncludes(
        (await rejection("usage", () => desk.open({ source: desk.path("gcm") }))).message,
        "aes256-gcm@openssh.com",
      );
    });
  },
);

/** Starts an agent of our own and ends it, by its process id, whatever happens. */
async function withAgent(desk: Desk, act: (socket: string) => Promise<void>): Promise<void> {
  const socket = desk.path("agent.socket");
  const { said } = await tool("ssh-agent", ["-s", "-a", socket]);
  const pid = Number(/SSH_AGENT_PID=(\d+)/.exec(said)?.[1]);
  assert(Number.isSafeInteger(pid) && pid > 1, said);
  try {
    desk.environment["SSH_AUTH_SOCK"] = socket;
    await act(socket);
  } finally {
    Deno.kill(pid, "SIGTERM");
  }
}

const AGENT = ["ssh-keygen", "ssh-agent", "ssh-add"];

async function sshAdd(socket: string, ...args: string[]): Promise<void> {
  const { success, said } = await tool("ssh-add", ["-q", ...args], { env: { SSH_AUTH_SOCK: socket } });
  assert(success, said);
}

outside("openSigningKey() signs by ssh-agent, given a .pub file or a fingerprint", AGENT, async () => {
  await atDesk(async (desk) => {
    await sshKeygen(desk, "rsa", "-t", "rsa", "-b", "2048", "-N", "");
    const made = await sshKeygen(desk, "id", ...PLAIN);
    const other = await sshKeygen(desk, "other", ...PLAIN);
    await withAgent(desk, async (socket) => {
      await rejection("identity", () => desk.open({ source: desk.path("id.pub") }));
      await sshAdd(socket, desk.path("rsa"), desk.path("id"));
      for (const source of [desk.path("id.pub"), made!.fingerprint]) {
        const { key, path } = await desk.open({ source });
        assertEquals([key.fingerprint, key.origin, key.comment], [made!.fingerprint, "agent", "id"]);
        assertEquals([key.signRaw, path], [undefined, undefined]);
        // Longer than any message to an agent: SSHSIG signs its digest.
        const message = new Uint8Array(2 * MAX_AGENT_MESSAGE_BYTES).fill(1);
        const armor = await key.signSshsig(message, MANIFEST);
        const { success, said } = await sshVerify(desk, armor, { key, namespace: MANIFEST, message });
        assert(success, said);
      }
      const error = await rejection("identity", () => desk.open({ source: other!.fingerprint }));
      assertStringIncludes(error.message, "holds 1 Ed25519 keys, but not this one");
    });
    await rejection("identity", () => desk.open({ source: made!.fingerprint }));
  });
});

outside(
  "signByAgent() refuses what no agent takes, and says so when it refuses or is gone",
  AGENT,
  async () => {
    await atDesk(async (desk) => {
      const made = await sshKeygen(desk, "id", ...PLAIN);
      await withAgent(desk, async (socket) => {
        await sshAdd(socket, desk.path("id"));
        const options = { socket, key: made! };
        const most = MAX_AGENT_MESSAGE_BYTES - 1000;
        assertEquals((await signByAgent(new Uint8Array(most), options)).length, 64);
        const error = await rejection(
          "usage",
          () => signByAgent(new Uint8Array(MAX_AGENT_MESSAGE_BYTES), options),
        );
        assertStringIncludes(error.message, "at most 262144");
        const { key } = await desk.open({ source: made!.fingerprint });
        await sshAdd(socket, "-D");
        assertStringIncludes((await rejection("identity", () => sign(key))).message, "it refuses");
        const stopped = AbortSignal.abort(new OperatorError("interrupted", "Cannot go on: stopped"));
        await rejection("interrupted", () => key.signSshsig(MESSAGE, MANIFEST, { signal: stopped }));
      });
      assertStringIncludes(
        (await rejection(
          "identity",
          () => signByAgent(MESSAGE, { socket: desk.path("agent.socket"), key: made! }),
        ))
          .message,
        "Cannot ask ssh-agent",
      );
    });
  },
);

const sign = (key: SigningKey, namespace: SignatureNamespace = MANIFEST) =>
  key.signSshsig(MESSAGE, namespace);

Deno.test("openSigningKey() leaves an agent that answers nonsense, or nothing until it is stopped", async () => {
  await atDesk(async (desk) => {
    const socket = desk.path("nonsense.socket");
    desk.environment["SSH_AUTH_SOCK"] = socket;
    const answers: (Uint8Array | undefined)[] = [
      Uint8Array.of(0, 0, 0, 0),
      Uint8Array.of(0x7f, 0xff, 0xff, 0xff),
      Uint8Array.of(0, 0, 0, 9, 12, 0, 0, 0, 1),
      Uint8Array.of(0, 0, 0, 5, 12, 0, 0, 0, 1),
      undefined,
    ];
    const listener = Deno.listen({ transport: "unix", path: socket });
    const open: Deno.Conn[] = [];
    const serving = (async () => {
      for await (const connection of listener) {
        open.push(connection);
        await connection.read(new Uint8Array(100));
        const answer = answers[open.length - 1];
        if (answer === undefined) continue;
        await connection.write(answer);
        connection.close();
      }
    })();
    const source = `SHA256:${"A".repeat(43)}`;
    await rejection("format", () => desk.open({ source }));
    await rejection("format", () => desk.open({ source }));
    await rejection("identity", () => desk.open({ source }));
    await rejection("format", () => desk.open({ source }));
    const stop = new AbortController();
    const waiting = rejection("interrupted", () => desk.open({ source, signal: stop.signal }));
    setTimeout(() => stop.abort(new OperatorError("interrupted", "Cannot go on: stopped")), 50);
    await waiting;
    open.at(-1)!.close();
    listener.close();
    await serving;
  });
});

outside("openssl pkeyutl accepts coldcase's raw signatures, and no changed bytes", ["openssl"], async () => {
  await atDesk(async (desk) => {
    const { key } = await desk.open({ source: undefined });
    await Deno.writeTextFile(desk.path("key.pem"), encodeSpkiPem(key));
    await Deno.writeFile(desk.path("signature"), await key.signRaw!(MESSAGE));
    const check = async (message: Uint8Array) => {
      await Deno.writeFile(desk.path("message"), message);
      const args = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", desk.path("key.pem")];
      return await tool("openssl", [
        ...args,
        "-in",
        desk.path("message"),
        "-sigfile",
        desk.path("signature"),
      ]);
    };
    const good = await check(MESSAGE);
    assert(good.success, good.said);
    const changed = MESSAGE.slice();
    changed[0]! ^= 1;
    assert(!(await check(changed)).success);
  });
});

outside(
  "keygen --sign makes a key that ssh-keygen reads, prints it, and replaces none",
  ["ssh-keygen"],
  async () => {
    await atDesk(async (desk) => {
      const env = { XDG_CONFIG_HOME: desk.path("config") };
      const path = desk.path("examiner.key");
      const made = await coldcase(["keygen", "--sign", "-o", path], { env });
      assertEquals(made.exitCode, 0, made.stderr);
      const [fingerprint, line] = made.stdout.split("\n");
      assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
      assertStringIncludes((await tool("ssh-keygen", ["-y", "-f", path])).said, line!);
      assertStringIncludes((await tool("ssh-keygen", ["-l", "-f", path])).said, fingerprint!);
      const before = await Deno.readTextFile(path);
      const again = await coldcase(["keygen", "--sign", "-o", path], { env });
      assertEquals([again.exitCode, again.stdout], [2, ""]);
      assertStringIncludes(again.stderr, "there is a file of that name");
      assertEquals(await Deno.readTextFile(path), before);
      assertEquals((await coldcase(["keygen", "--sign"], { env })).exitCode, 0);
      assertEquals(Deno.statSync(join(desk.path("config"), "coldcase", "signing_key")).mode! & 0o777, 0o600);
      assertEquals((await coldcase(["keygen", "--sign", "--pq"], { env })).exitCode, 2);
      assertEquals((await coldcase(["keygen", "--sign", "-o", "-"], { env })).exitCode, 2);
    });
  },
);

outside(
  "an agent is reached with the permissions of `deno task coldcase`, and no others",
  AGENT,
  async () => {
    await atDesk(async (desk) => {
      await sshKeygen(desk, "id", ...PLAIN);
      await withAgent(desk, async (socket) => {
        await sshAdd(socket, desk.path("id"));
        const module = new URL("../../src/keys.ts", import.meta.url).href;
        await Deno.writeTextFile(
          desk.path("probe.ts"),
          `import { openSigningKey } from ${JSON.stringify(module)};
const environment = (name) => Deno.env.get(name);
const { key } = await openSigningKey({ environment }, { source: ${JSON.stringify(desk.path("id.pub"))} });
console.log(key.origin, (await key.signSshsig(new Uint8Array(1), "${MANIFEST}")).length > 200);
`,
        );
        const config = new URL("../../deno.json", import.meta.url).pathname;
        const { default: { tasks } } = await import("../../deno.json", { with: { type: "json" } });
        const permissions = tasks.coldcase.split(" ").filter((word) => word.startsWith("--"));
        const args = ["run", "--no-check", "--config", config, ...permissions, desk.path("probe.ts")];
        const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
          args,
          env: { SSH_AUTH_SOCK: socket },
        })
          .output();
        assertEquals(new TextDecoder().decode(stdout), "agent true\n", new TextDecoder().decode(stderr));
      });
    });
  },
);
