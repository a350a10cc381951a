/**
 * Credentials that end every fifteen minutes: of a file that somebody rewrites, of a program that gives the next ones, of a
 * role; and such that can't renew themselves, which end the run, saved. Whatever happens, no block is asked for again.
 */
import { assert, assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import { sessionsOf } from "./records.ts";
import {
  assertToldOf,
  assertWhole,
  BLOCKS,
  CONCURRENCY,
  FIRST,
  MINUTE_MS,
  NO_KEYS,
  SECOND,
  type TroubleStage,
  withTrouble,
} from "./stage.ts";

/** Requests for blocks that were refused for their credentials. */
function refusedRequests({ simulator }: TroubleStage): number {
  return simulator.requests.of("GetSnapshotBlock").byErrorType["ExpiredTokenException"] ?? 0;
}

Deno.test("acquire goes on with each set of a file that is rewritten every fifteen minutes, late", () =>
  withTrouble({}, async (stage) => {
    const renew = stage.useCredentialsFile({ minutes: 15 });
    for (const afterBlocks of [8, 20, 34]) {
      stage.after(afterBlocks, async () => {
        stage.clock.pass(16 * MINUTE_MS);
        await stage.clock.passed(90_000);
        renew();
      });
    }
    const told = await stage.acquire(FIRST);
    await assertWhole(stage, told);
    assertToldOf(told, "fresh credentials from the default credential chain");
    const [session] = sessionsOf(stage.store);
    assertEquals(session!.credentialChanges, 3);
    // Each block that waits asks once, and then looks for others, not again.
    assert(refusedRequests(stage) <= 3 * 4 * 4, `${refusedRequests(stage)} refused`);
    const text = told.stderr + JSON.stringify(told.events) + JSON.stringify(sessionsOf(stage.store));
    assert(!text.includes("secret-of-") && !text.includes("session-1"));
  }));

/** A program of a profile that gives credentials of fifteen minutes; the next ones in the last minute only. */
function useProcess(stage: TroubleStage): { starts(): number } {
  const [script, answer, log] = ["script.sh", "answer", "log"].map((name) => `${stage.folder}/${name}`);
  let number = 0;
  const renew = () => {
    const { expiresAtMs, ...set } = stage.freshCredentials(++number, 15);
    const json = {
      Version: 1,
      AccessKeyId: set.accessKeyId,
      SecretAccessKey: set.secretAccessKey,
      SessionToken: set.sessionToken,
      Expiration: new Date(expiresAtMs).toISOString(),
    };
    Deno.writeTextFileSync(answer!, JSON.stringify(json));
    stage.clock.passed(14 * MINUTE_MS).then(renew);
  };
  renew();
  Deno.writeTextFileSync(script!, `#!/bin/sh\necho started >> ${log}\ncat ${answer}\n`, { mode: 0o755 });
  Deno.writeTextFileSync(`${stage.folder}/config`, `[profile case]\ncredential_process = ${script}\n`);
  Object.assign(stage.variables, NO_KEYS, { AWS_PROFILE: "case", AWS_CONFIG_FILE: `${stage.folder}/config` });
  return { starts: () => Deno.readTextFileSync(log!).split("\n").length - 1 };
}

Deno.test("acquire renews the credentials of a program in time, and starts it seldom", () =>
  withTrouble({}, async (stage) => {
    const program = useProcess(stage);
    // Half of the blocks come in the last five minutes of a set, for most of which the program has no other one.
    const schedule = [[8, 11], [20, 14.3], [24, 15.2], [28, 25.5], [40, 28.3], [44, 29.2]] as const;
    for (const [afterBlocks, minutes] of schedule) {
      stage.after(
        afterBlocks,
        () => stage.clock.pass(Math.max(0, minutes * MINUTE_MS - stage.clock.monotonicMs())),
      );
    }
    const told = await stage.acquire(FIRST);
    await assertWhole(stage, told);
    assert(sessionsOf(stage.store)[0]!.credentialChanges >= 1);
    assertLess(program.starts(), 20, "a look ahead, and not one for each block");
    // Those under way while time leapt over a set's end.
    assert(refusedRequests(stage) <= 2 * 4, `${refusedRequests(stage)} refused`);
    assert(!told.stderr.includes("waiting"), told.stderr);
  }));

const ROLE = "arn:aws:iam::123456789012:role/responder";

Deno.test("acquire gets the next session of a role by itself, before the one in use ends", () =>
  withTrouble({ roles: [{ arn: ROLE, lastsMs: 15 * MINUTE_MS }] }, async (stage) => {
    for (const afterBlocks of [8, 20, 34]) stage.after(afterBlocks, () => stage.clock.pass(11 * MINUTE_MS));
    const told = await stage.acquire(FIRST, "--role-arn", ROLE);
    await assertWhole(stage, told);
    assertEquals(refusedRequests(stage), 0);
    assert(!told.stderr.includes("waiting"), told.stderr);
    const [session] = sessionsOf(stage.store);
    assert(session!.credentialChanges >= 2, `${session!.credentialChanges} changes`);
    assertEquals(
      session!.credentialSource,
      `role ${ROLE}, assumed with the environment, which is arn:aws:iam::123456789012:user/examiner`,
    );
  }));

Deno.test("acquire goes on with a session's JSON that is rewritten after it has ended", () =>
  withTrouble({}, async (stage) => {
    const path = `${stage.folder}/session.json`;
    const write = (number: number) => {
      const { expiresAtMs, ...set } = stage.freshCredentials(number, 15);
      const Credentials = {
        AccessKeyId: set.accessKeyId,
        SecretAccessKey: set.secretAccessKey,
        SessionToken: set.sessionToken,
        Expiration: new Date(expiresAtMs).toISOString(),
      };
      Deno.writeTextFileSync(path, JSON.stringify({ Credentials }), { mode: 0o600 });
    };
    write(1);
    Object.assign(stage.variables, NO_KEYS);
    stage.after(20, async () => {
      stage.clock.pass(16 * MINUTE_MS);
      await stage.clock.passed(60_000);
      // The shell empties the file before the command fills it.
      Deno.writeTextFileSync(path, "");
      await stage.clock.passed(60_000);
      write(2);
    });
    const told = await stage.acquire(FIRST, "--credentials-file", path);
    await assertWhole(stage, told);
    assertToldOf(told, `fresh credentials from file "${path}"`);
    assertEquals(sessionsOf(stage.store)[0]!.credentialChanges, 1);
    const text = told.stderr + JSON.stringify(told.events) + JSON.stringify(sessionsOf(stage.store));
    assert(!text.includes("secret-of-") && !text.includes("session-1"));
  }));

Deno.test("acquire waits for the credentials of the next snapshot, too", () =>
  withTrouble({}, async (stage) => {
    const renew = stage.useCredentialsFile({ minutes: 15 });
    stage.after(BLOCKS, async () => {
      stage.clock.pass(16 * MINUTE_MS);
      await stage.clock.passed(5 * MINUTE_MS);
      renew();
    });
    const told = await stage.acquire(FIRST, SECOND);
    assertEquals(told.exitCode, 0, told.stderr);
    assertToldOf(told, "fresh credentials");
    assertEquals(stage.servedBlocks, 2 * BLOCKS);
  }));

Deno.test("acquire ends saved where credentials can't renew themselves, and goes on with new ones each time", () =>
  withTrouble({}, async (stage) => {
    const exits: number[] = [];
    for (let session = 1; session <= 4; session++) {
      const set = stage.freshCredentials(session, 15);
      Object.assign(stage.variables, {
        AWS_ACCESS_KEY_ID: set.accessKeyId,
        AWS_SECRET_ACCESS_KEY: set.secretAccessKey,
        AWS_SESSION_TOKEN: set.sessionToken,
      });
      if (session < 4) stage.after(session * 12, () => stage.clock.pass(16 * MINUTE_MS));
      const told = await stage.acquire(FIRST);
      exits.push(told.exitCode);
      if (session === 4) await assertWhole(stage, told);
      else {
        assertStringIncludes(told.stderr, "cannot renew themselves");
        assertStringIncludes(told.stderr, "run the same command again");
        assert(!told.stderr.includes("waiting for"), "nobody would answer");
      }
    }
    assertEquals(exits, [13, 13, 13, 0]);
    // Those alone that were under way when a session ended.
    assert(stage.servedBlocks <= BLOCKS + 3 * CONCURRENCY, `${stage.servedBlocks} blocks served`);
    const outcomes = sessionsOf(stage.store).map(({ outcome }) => outcome);
    assertEquals(outcomes.slice(0, 3), ["access", "access", "access"]);
  }));

Deno.test("acquire gives up on credentials that nobody renews after --give-up-after", () =>
  withTrouble({}, async (stage) => {
    const renew = stage.useCredentialsFile({ minutes: 15 });
    stage.after(20, () => stage.clock.pass(16 * MINUTE_MS));
    const ended = await stage.acquire(FIRST, "--give-up-after", "40m");
    assertEquals(ended.exitCode, 13, ended.stderr);
    assertStringIncludes(ended.stderr, "waiting for fresh credentials");
    assert(stage.clock.monotonicMs() > 40 * MINUTE_MS);
    // Forty minutes of four blocks that wait: some requests, and not one every few seconds.
    assertLess(refusedRequests(stage), 300);
    renew();
    await assertWhole(stage, await stage.acquire(FIRST));
  }));
