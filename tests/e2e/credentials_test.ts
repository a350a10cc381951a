/**
 * Credentials of the real process: none, refused, expired before and on the way; a file that somebody rewrites
 * while the program waits. And what AWS denies with good ones: permissions, keys, foreign snapshots.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { SimulatorOptions } from "../../src/simulate/mod.ts";
import { FIRST, type Stage, withStage } from "./endpoint.ts";
import { every, isSame, writeRandomBlocks } from "./images.ts";
import { assertExit, assertRefusal } from "./program.ts";
import { remainingBlocks } from "./whole_run.ts";

const BLOCKS = 30;
const OLD = { accessKeyId: "AKIAOLDEXAMPLE", secretAccessKey: "old-secret-example" };
const FRESH = {
  accessKeyId: "ASIAFRESHEXAMPLE",
  secretAccessKey: "fresh-secret-example",
  sessionToken: "token",
};

function withSnapshot(options: SimulatorOptions, body: (stage: Stage) => Promise<void>): Promise<void> {
  return withStage(async (folder) => {
    await writeRandomBlocks(`${folder}/disk.img`, every(2, { from: 0, count: BLOCKS }));
    const snapshots = [{ id: FIRST, path: `${folder}/disk.img`, kmsKeyId: "arn:aws:kms:us-east-1:1:key/k" }];
    return { credentials: [OLD], snapshots, ...options };
  }, body);
}

const inEnvironment = (set: typeof OLD | typeof FRESH) => ({
  AWS_ACCESS_KEY_ID: set.accessKeyId,
  AWS_SECRET_ACCESS_KEY: set.secretAccessKey,
  AWS_SESSION_TOKEN: "sessionToken" in set ? set.sessionToken : "",
});

Deno.test("acquire ends where keys of the environment expire midway, and goes on with new ones", async () => {
  await withSnapshot({ faults: "expire-credentials:after=20" }, async (stage) => {
    const expired = await stage.run(["acquire", FIRST, "--concurrency", "1"]);
    const hints = ["cannot renew themselves", "run the same command again"];
    assertRefusal(expired, { exitCode: 13, names: [FIRST], hints });
    assert(!expired.stderr.includes(OLD.secretAccessKey));
    const refused = stage.simulator.requests.of("GetSnapshotBlock").byErrorType;
    assertEquals(Object.keys(refused), ["ExpiredTokenException"]);
    stage.simulator.setFaults("");
    stage.simulator.setCredentials([FRESH]);
    const remaining = await remainingBlocks(stage, FIRST, BLOCKS);
    assert(remaining > 0 && remaining < BLOCKS, `${remaining} remain`);
    stage.getRequests();
    assertExit(await stage.run(["acquire", FIRST], { env: inEnvironment(FRESH) }), 0);
    assertEquals(stage.getRequests(), remaining);
    const sessions = Deno.readTextFileSync(findSessions(stage.store));
    assert(!sessions.includes(FRESH.secretAccessKey) && !sessions.includes(OLD.secretAccessKey));
  });
});

Deno.test("acquire carries on by itself with a credentials file that is rewritten", async () => {
  await withSnapshot({ faults: "expire-credentials:after=15" }, async (stage) => {
    const file = `${stage.folder}/credentials`;
    const write = (set: typeof OLD) =>
      Deno.writeTextFileSync(
        file,
        `[default]\naws_access_key_id = ${set.accessKeyId}\naws_secret_access_key = ${set.secretAccessKey}\n` +
          ("sessionToken" in set ? `aws_session_token = ${set.sessionToken}\n` : ""),
      );
    write(OLD);
    const expired = stage.request(({ errorType }) => errorType === "ExpiredTokenException");
    const running = stage.start(["acquire", FIRST, "--concurrency", "2"], {
      env: { ...inEnvironment({ accessKeyId: "", secretAccessKey: "" }), AWS_SHARED_CREDENTIALS_FILE: file },
    });
    await expired;
    // Whoever logs in again knows nothing of the program that waits.
    await running.says("waiting for fresh credentials");
    stage.simulator.addCredentials(FRESH);
    write(FRESH);
    const ended = await running.ended;
    assertExit(ended, 0);
    assertStringIncludes(ended.stderr, "going on after");
    const image = `${stage.folder}/out.img`;
    assertExit(await stage.run(["export", FIRST, "-o", image, "--digests", "none"]), 0);
    assert(isSame(`${stage.folder}/disk.img`, image));
    assertStringIncludes(Deno.readTextFileSync(findSessions(stage.store)), '"credentialChanges":1');
  });
});

Deno.test("plan and acquire say what is wrong with credentials", async () => {
  await withSnapshot({}, async (stage) => {
    const none = { env: inEnvironment({ accessKeyId: "", secretAccessKey: "" }) };
    const wrong = { env: inEnvironment({ ...OLD, secretAccessKey: "another" }) };
    const unknown = { env: inEnvironment({ ...OLD, accessKeyId: "AKIAUNKNOWN" }) };
    for (const command of ["plan", "acquire"]) {
      assertRefusal(await stage.run([command, FIRST], none), {
        exitCode: 13,
        names: ["credentials"],
        hints: ["AWS_ACCESS_KEY_ID", "--profile"],
      });
      for (const environment of [wrong, unknown]) {
        assertRefusal(await stage.run([command, FIRST], environment), {
          exitCode: 13,
          names: [],
          hints: ["set fresh ones"],
        });
      }
    }
    stage.simulator.expireCredentials();
    assertRefusal(await stage.run(["acquire", FIRST]), {
      exitCode: 13,
      names: ["expired"],
      hints: ["cannot renew themselves"],
    });
    assertEquals(stage.getRequests(), 0);
    assertStringIncludes((await stage.run(["ls"])).stderr, "holds nothing");
  });
});

Deno.test("plan and acquire name the permission that is missing", async () => {
  await withSnapshot({}, async (stage) => {
    const { simulator } = stage;
    for (const action of ["ebs:GetSnapshotBlock", "ebs:ListSnapshotBlocks"]) {
      simulator.deny(action);
      for (const command of ["plan", "acquire"]) {
        assertRefusal(await stage.run([command, FIRST]), {
          exitCode: 13,
          names: [FIRST, action],
          hints: [`"Action":"${action}"`],
        });
      }
      simulator.allow(action);
    }
    simulator.updateSnapshot(FIRST, { kmsDenied: true });
    for (const command of ["plan", "acquire"]) {
      assertRefusal(await stage.run([command, FIRST]), {
        exitCode: 13,
        names: [FIRST, "kms:Decrypt"],
        hints: ['"Action":["kms:Decrypt"]', "kms:ViaService", "key's policy"],
      });
    }
    simulator.updateSnapshot(FIRST, { kmsDenied: false, ownerId: "999999999999" });
    assertRefusal(await stage.run(["acquire", FIRST]), {
      exitCode: 13,
      names: [FIRST, "has not shared it"],
      hints: ["modify-snapshot-attribute", `--user-ids ${simulator.account}`],
    });
    simulator.updateSnapshot(FIRST, { ownerId: simulator.account });
    simulator.deny("ec2:DescribeSnapshots", "sts:GetCallerIdentity");
    assertExit(await stage.run(["acquire", FIRST]), 0);
  });
});

/** The record of an acquisition's sessions: the one exhibit's. */
function findSessions(store: string): string {
  const names = [...Deno.readDirSync(`${store}/documents`)].map(({ name }) => `${store}/documents/${name}`);
  const sessions = names.filter((path) => Deno.readTextFileSync(path).includes('"coldcase-sessions"'));
  assertEquals(sessions.length, 1);
  return sessions[0]!;
}

Deno.test("acquire takes a profile's credential_process where it may start it, and says how where it may not", async () => {
  await withSnapshot({}, async (stage) => {
    const [script, config] = [`${stage.folder}/credentials.sh`, `${stage.folder}/config`];
    const answer = { Version: 1, AccessKeyId: OLD.accessKeyId, SecretAccessKey: OLD.secretAccessKey };
    Deno.writeTextFileSync(script, `#!/bin/sh\necho '${JSON.stringify(answer)}'\n`, { mode: 0o755 });
    Deno.writeTextFileSync(
      config,
      `[profile external]\ncredential_process = ${script}\nregion = us-east-1\n`,
    );
    const env = { AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "", AWS_CONFIG_FILE: config };
    const args = ["acquire", FIRST, "--profile", "external"];
    const refused = await stage.run(args, { env });
    assertRefusal(refused, { exitCode: 13, names: ["external"], hints: ["deno task coldcase:process"] });
    const permissions = ["read", "write", "net", "env", "sys", "run=/bin/sh"].map((name) =>
      `--allow-${name}`
    );
    assertExit(await stage.run(args, { env, permissions }), 0);
  });
});
