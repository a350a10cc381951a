/**
 * No secret that the program is given comes out again: not on stdout or stderr, with -v and --json too, not in messages
 * of failures, not in a store, its journal and its log, not beside an exported image.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { filesBelow } from "../store/fixtures.ts";
import { FIRST, type Stage, withStage } from "./endpoint.ts";
import { writeRandomBlocks } from "./images.ts";
import { assertExit, assertRefusal, type Ended } from "./program.ts";

const SECRET_KEY = "wJalrXUtnFEMIverysecretEXAMPLEKEY";
const TOKEN = "session-token-of-somebody";
const PASSPHRASE = "correct horse battery staple";
const CREDENTIALS = { accessKeyId: "ASIAIOSFODNN7EXAMPLE", secretAccessKey: SECRET_KEY, sessionToken: TOKEN };

/** All that the program said, and all that lies in the folder but for the files that hold the secrets. */
class Watch {
  readonly secrets: string[] = [SECRET_KEY, TOKEN, PASSPHRASE];
  #said = "";

  constructor(readonly stage: Stage) {}

  async run(args: readonly string[], options: Parameters<Stage["run"]>[1] = {}): Promise<Ended> {
    const ended = await this.stage.run([...args, "-v"], options);
    this.#said += `${ended.stdout}\n${ended.stderr}\n`;
    return ended;
  }

  assertSecret(except: readonly string[]): void {
    for (const secret of this.secrets) assertEquals(this.#said.includes(secret), false, "it was printed");
    const { folder } = this.stage;
    const files = filesBelow(folder).filter((name) => !except.includes(name) && !name.endsWith(".img"));
    assert(files.length > 20);
    for (const name of files) {
      const text = new TextDecoder("latin1").decode(Deno.readFileSync(`${folder}/${name}`));
      for (const secret of this.secrets) assertEquals(text.includes(secret), false, name);
    }
  }
}

Deno.test("no secret comes out in what is said, recorded or logged", async () => {
  await withStage(async (folder) => {
    await writeRandomBlocks(`${folder}/disk.img`, [0, 3, 9]);
    return { credentials: [CREDENTIALS], snapshots: [{ id: FIRST, path: `${folder}/disk.img` }] };
  }, async (stage) => {
    const watch = new Watch(stage);
    const { folder, simulator } = stage;
    Deno.writeTextFileSync(`${folder}/passphrase`, `${PASSPHRASE}\n`, { mode: 0o600 });
    assertExit(await watch.run(["keygen", "-o", `${folder}/key.age`]), 0);
    const identity = Deno.readTextFileSync(`${folder}/key.age`);
    watch.secrets.push(/AGE-SECRET-KEY-\w+/.exec(identity)![0]);
    assertExit(await watch.run(["keygen", "--sign", "-o", `${folder}/signing`]), 0);
    watch.secrets.push(Deno.readTextFileSync(`${folder}/signing`).split("\n")[2]!);
    const recipient = /age1\w+/.exec(identity)![0];
    const key = ["--sign-key", `${folder}/signing`];
    const open = ["-i", `${folder}/key.age`];

    assertExit(await watch.run(["plan", FIRST, "--json"]), 0);
    assertExit(await watch.run(["acquire", FIRST, ...key]), 0);
    assertExit(await watch.run(["verify", "--against-source", "--json", ...key]), 0);
    const encrypted = ["-s", `${folder}/encrypted`];
    const kept = ["--passphrase-file", `${folder}/passphrase`];
    assertExit(
      await watch.run(["acquire", FIRST, ...encrypted, "-r", recipient, "--passphrase", ...kept, "--json"]),
      0,
    );
    assertExit(await watch.run(["verify", "--content", ...encrypted, ...open, "--json"]), 0);
    assertExit(await watch.run(["export", FIRST, ...encrypted, ...open, "-o", `${folder}/out.img`]), 0);
    assertExit(await watch.run(["custody", "--json"]), 0);
    assertExit(await watch.run(["report", FIRST, ...encrypted, ...open]), 0);

    // What fails is told with its causes.
    const fresh = ["-s", `${folder}/fresh`];
    simulator.setFaults("reset:0.3,error500:0.3");
    await watch.run(["acquire", FIRST, ...fresh]);
    simulator.setFaults("");
    simulator.deny("ebs:GetSnapshotBlock");
    assertExit(await watch.run(["acquire", FIRST, "--fresh", ...fresh, "--json"]), 13);
    simulator.expireCredentials();
    assertExit(await watch.run(["acquire", FIRST, ...fresh, "--json"]), 13);
    watch.assertSecret(["passphrase", "key.age", "signing"]);
  });
});

Deno.test("nothing of a credentials file comes out, whatever is wrong with it, and what it has opens the store's record", async () => {
  await withStage(async (folder) => {
    await writeRandomBlocks(`${folder}/disk.img`, [0, 3, 9]);
    return {
      credentials: [CREDENTIALS],
      roles: [{ arn: "arn:aws:iam::123456789012:role/responder" }],
      snapshots: [{ id: FIRST, path: `${folder}/disk.img` }],
    };
  }, async (stage) => {
    const watch = new Watch(stage);
    const file = `${stage.folder}/session.json`;
    const env = { AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "", AWS_SESSION_TOKEN: "" };
    const { accessKeyId, secretAccessKey, sessionToken } = CREDENTIALS;
    const session = {
      AccessKeyId: accessKeyId,
      SecretAccessKey: secretAccessKey,
      SessionToken: sessionToken,
    };
    const write = (text: string) => Deno.writeTextFileSync(file, text, { mode: 0o600 });
    const use = ["--credentials-file", file];
    for (
      const [exitCode, text] of [
        [2, JSON.stringify(session).slice(0, -3)],
        [2, `[default]\naws_secret_access_key = ${SECRET_KEY}\naws_session_token = ${TOKEN}\n`],
        [2, JSON.stringify({ ...session, SessionToken: `${TOKEN} ` })],
        [2, JSON.stringify({ ...session, Expiration: TOKEN })],
        [13, JSON.stringify({ ...session, Expiration: "2020-01-01T00:00:00Z" })],
        [13, JSON.stringify({ ...session, AccessKeyId: "ASIASOMEBODYELSE0000" })],
      ] as const
    ) {
      write(text);
      assertExit(await watch.run(["whoami", "--json", ...use], { env }), exitCode);
    }
    write(JSON.stringify({ Credentials: session }));
    Deno.chmodSync(file, 0o644);
    const warned = await watch.run(["acquire", FIRST, ...use], { env });
    assertExit(warned, 0);
    assertStringIncludes(warned.stderr, `others may use the credentials file "${file}": its mode is 0644`);
    const role = ["--role-arn", "arn:aws:iam::123456789012:role/responder"];
    assertExit(await watch.run(["acquire", FIRST, "--fresh", "--json", ...use, ...role], { env }), 0);
    for (const set of stage.simulator.credentials) {
      if (set.sessionToken !== undefined) watch.secrets.push(set.secretAccessKey, set.sessionToken);
    }
    assert(watch.secrets.length > 6, "the role's session is among them");
    assertExit(await watch.run(["report", FIRST]), 0);
    watch.assertSecret(["session.json"]);
    const documents = filesBelow(`${stage.store}/documents`).map((name) =>
      Deno.readTextFileSync(`${stage.store}/documents/${name}`)
    );
    const told = `role ${role[1]}, assumed with file`;
    assert(
      documents.some((text) => text.includes(told) && text.includes(", which is arn:aws:")),
      "who became whom",
    );
  });
});

Deno.test("a password in a URL, or where an option takes none, is refused without being shown or recorded", async () => {
  await withStage(async (folder) => {
    await writeRandomBlocks(`${folder}/disk.img`, [0]);
    return { snapshots: [{ id: FIRST, path: `${folder}/disk.img` }] };
  }, async (stage) => {
    assertExit(await stage.run(["acquire", FIRST]), 0);
    const before = filesBelow(stage.store).filter((name) => name.startsWith("custody/"));
    const commands = [
      ["timestamp", FIRST, "--tsa", "http://me:hidden@tsa.example/"],
      ["timestamp", FIRST, "--tsa", "http://:hidden@tsa.example/"],
      ["verify", FIRST, "--against-source", "--endpoint-url", "http://me:hidden@ebs.example/"],
      ["acquire", FIRST, "--fresh", "--endpoint-url", "me:hidden@[ebs"],
      ["acquire", FIRST, "--passphrase=hidden"],
    ];
    for (const command of commands) {
      const ended = await stage.run([...command, "-v", "--json"]);
      assertRefusal(ended, { exitCode: 2, names: [] });
      assert(!`${ended.stdout}${ended.stderr}`.includes("hidden"), ended.stderr);
    }
    const entries = filesBelow(stage.store).filter((name) => name.startsWith("custody/"));
    for (const name of entries.filter((name) => !before.includes(name))) {
      assert(!Deno.readTextFileSync(`${stage.store}/${name}`).includes("hidden"), name);
    }
  });
});
