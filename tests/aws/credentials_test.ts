/** The keeper of credentials: when it reads them, how often, and what it does when a reading fails. */
import { assertEquals, assertNotMatch, assertRejects } from "@std/assert";
import {
  type CredentialFacts,
  CredentialKeeper,
  CredentialsFailure,
  type Identity,
} from "../../src/aws/credentials.ts";
import type { SourceEvent } from "../../src/model.ts";
import { all, FakeClock, open, serve, SNAPSHOT } from "./fakes.ts";

const MINUTE_MS = 60_000;

interface Kept {
  readonly keeper: CredentialKeeper;
  readonly clock: FakeClock;
  readonly events: SourceEvent[];
  readings: number;
  next: () => Promise<Identity>;
}

function keep(next: () => Promise<Identity>, facts: { skewMs?: number; canRenew?: boolean } = {}): Kept {
  const clock = new FakeClock();
  const events: SourceEvent[] = [];
  const kept: Kept = {
    clock,
    events,
    readings: 0,
    next,
    keeper: new CredentialKeeper({
      provider: () => {
        kept.readings++;
        return kept.next();
      },
      clock,
      onEvent: (event) => events.push(event),
      skewMs: () => facts.skewMs ?? 0,
      source: "a test",
      canRenew: facts.canRenew ?? true,
    }),
  };
  return kept;
}

function identity(name: string, expiresMs?: number): Identity {
  const base = { accessKeyId: name, secretAccessKey: "SECRET", sessionToken: `SECRET-${name}` };
  return expiresMs === undefined ? base : { ...base, expiration: new Date(expiresMs) };
}

Deno.test("current() reads once for many that ask, and tells it without a secret", async () => {
  const kept = keep(() => Promise.resolve(identity("A")));
  await Promise.all(Array.from({ length: 20 }, () => kept.keeper.current()));
  await kept.keeper.current();
  assertEquals(kept.readings, 1);
  assertEquals(kept.events, [{ type: "credentials", accessKeyId: "A", expiresAt: undefined }]);
  assertNotMatch(JSON.stringify([kept.events, kept.keeper.facts()]), /SECRET/);
});

Deno.test("current() renews five minutes before the end, by AWS's clock", async () => {
  const kept = keep(() => Promise.resolve(identity("A", kept.clock.nowMs() + 70 * MINUTE_MS)), {
    skewMs: 60 * MINUTE_MS,
  });
  await kept.keeper.current();
  await kept.clock.sleep(4 * MINUTE_MS);
  await kept.keeper.current();
  assertEquals(kept.readings, 1);
  await kept.clock.sleep(2 * MINUTE_MS);
  kept.next = () => Promise.resolve(identity("B", kept.clock.nowMs() + 200 * MINUTE_MS));
  assertEquals((await kept.keeper.current()).accessKeyId, "B");
  assertEquals([kept.readings, kept.keeper.generation], [2, 2]);
});

Deno.test("current() uses up credentials that cannot be renewed yet, then fails", async () => {
  const kept = keep(() => Promise.resolve(identity("A", kept.clock.nowMs() + 4 * MINUTE_MS)));
  await kept.keeper.current();
  kept.next = () =>
    Promise.reject(new Error("the SSO session has expired, see https://sso.example/?code=SECRET"));
  assertEquals((await kept.keeper.current()).accessKeyId, "A");
  await kept.clock.sleep(5 * MINUTE_MS);
  const failure = await assertRejects(() => kept.keeper.current(), CredentialsFailure);
  assertNotMatch(failure.message, /SECRET/);
});

Deno.test("current() does not read again what cannot change", async () => {
  const kept = keep(() => Promise.resolve(identity("A", kept.clock.nowMs() + MINUTE_MS)), {
    canRenew: false,
  });
  await kept.keeper.current();
  await kept.keeper.current();
  assertEquals(kept.readings, 1);
});

Deno.test("renew() says whether there are others now, and looks only every few seconds", async () => {
  const kept = keep(() => Promise.resolve(identity("A")));
  await kept.keeper.current();
  assertEquals(await kept.keeper.renew(1), false);
  assertEquals(await kept.keeper.renew(1), false);
  assertEquals(kept.readings, 2);
  await kept.clock.sleep(5_000);
  kept.next = () => Promise.resolve(identity("B"));
  assertEquals(await Promise.all([kept.keeper.renew(1), kept.keeper.renew(1)]), [true, true]);
  // A request that was signed with the old ones just uses the new ones.
  assertEquals(await kept.keeper.renew(1), true);
  assertEquals(kept.readings, 3);
});

async function profileFacts(
  config: string,
  profile: string,
): Promise<{ facts: CredentialFacts; signedBy: string }> {
  const folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/config`, config.replaceAll("FOLDER", folder));
  await Deno.writeTextFile(
    `${folder}/process`,
    `#!/bin/sh\necho '{"Version":1,"AccessKeyId":"AKIAPROCESS","SecretAccessKey":"SECRET","Expiration":"2099-01-01T00:00:00Z"}'\n`,
    { mode: 0o755 },
  );
  const variables = {
    AWS_REGION: "eu-central-1",
    AWS_CONFIG_FILE: `${folder}/config`,
    AWS_SHARED_CREDENTIALS_FILE: `${folder}/none`,
  };
  const server = serve();
  const { source } = await open(server.url, { variables, profile });
  await all(source.listBlocks(SNAPSHOT));
  const facts = await source.credentials();
  const signedBy = server.seen[0]!.headers.get("authorization")!;
  source.close();
  await server.close();
  await Deno.remove(folder, { recursive: true });
  return { facts, signedBy: /Credential=([^/]+)/.exec(signedBy)![1]! };
}

Deno.test("openSource() signs with a profile's credential_process, which can renew", async () => {
  const { facts, signedBy } = await profileFacts("[profile p]\ncredential_process = FOLDER/process\n", "p");
  assertEquals(signedBy, "AKIAPROCESS");
  assertEquals(facts, {
    source: `profile "p" (credential_process)`,
    accessKeyId: "AKIAPROCESS",
    expiresAt: "2099-01-01T00:00:00.000Z",
    canRenew: true,
    renewal: "itself",
    exchanges: [],
  });
});

Deno.test("openSource() takes a named profile over keys in the environment", async () => {
  const server = serve();
  const file = await Deno.makeTempFile();
  await Deno.writeTextFile(file, "[p]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = SECRET\n");
  const variables = {
    AWS_REGION: "eu-central-1",
    AWS_ACCESS_KEY_ID: "AKIAENVIRONMENT",
    AWS_SECRET_ACCESS_KEY: "SECRET",
    AWS_SHARED_CREDENTIALS_FILE: file,
    AWS_CONFIG_FILE: `${file}-none`,
    AWS_PROFILE: "p",
  };
  for (const [options, key] of [[{}, "AKIAENVIRONMENT"], [{ profile: "p" }, "AKIAPROFILE"]] as const) {
    const { source } = await open(server.url, { variables, ...options });
    assertEquals((await source.credentials()).accessKeyId, key);
    source.close();
  }
  await Deno.remove(file);
  await server.close();
});
