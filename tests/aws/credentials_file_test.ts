/** `--credentials-file`: which documents are credentials, what is said of others, and that a rewritten file renews them. */
import {
  assert,
  assertEquals,
  assertNotMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  MAX_CREDENTIALS_FILE_BYTES,
  openCredentialsFile,
  parseCredentials,
} from "../../src/aws/credentials_file.ts";
import { OperatorError } from "../../src/errors.ts";
import { all, errorAnswer, open, serve, SNAPSHOT } from "./fakes.ts";

const MEMBERS = {
  AccessKeyId: "ASIAIOSFODNN7EXAMPLE",
  SecretAccessKey: "SECRET/of+the=session",
  SessionToken: "SECRETTOKEN==",
  Expiration: "2030-01-02T03:04:05+00:00",
};
const IDENTITY = {
  accessKeyId: MEMBERS.AccessKeyId,
  secretAccessKey: MEMBERS.SecretAccessKey,
  sessionToken: MEMBERS.SessionToken,
  expiration: new Date("2030-01-02T03:04:05Z"),
};

async function withFile(act: (path: string) => Promise<void> | void): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await act(`${folder}/session.json`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("parseCredentials() takes what AWS's tools print", () => {
  const assumed = { Credentials: MEMBERS, AssumedRoleUser: { Arn: "arn:aws:sts::1:assumed-role/r/s" } };
  assertEquals(parseCredentials(JSON.stringify(assumed, null, 4), "s.json"), IDENTITY);
  assertEquals(parseCredentials(JSON.stringify({ Credentials: MEMBERS }), "s.json"), IDENTITY);
  assertEquals(parseCredentials(JSON.stringify({ Version: 1, ...MEMBERS }), "s.json"), IDENTITY);
  const { AccessKeyId, SecretAccessKey } = MEMBERS;
  const endless = { Version: 1, AccessKeyId, SecretAccessKey, SessionToken: null };
  assertEquals(parseCredentials(JSON.stringify(endless), "s.json"), {
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
  });
});

for (
  const [what, text, said] of [
    ["an empty file", "\n", "empty"],
    ["a file of the shared configuration", "[default]\naws_secret_access_key = SECRET\n", "no JSON"],
    ["half of a document", JSON.stringify(MEMBERS).slice(0, 70), "no JSON"],
    ["a list", JSON.stringify([MEMBERS]), "no JSON object"],
    ["a list of credentials", JSON.stringify({ Credentials: [MEMBERS] }), "Credentials is no JSON object"],
    ["another version", JSON.stringify({ Version: 2, ...MEMBERS }), "Version"],
    ["no secret", JSON.stringify({ ...MEMBERS, SecretAccessKey: undefined }), "SecretAccessKey"],
    ["a key that is none", JSON.stringify({ ...MEMBERS, AccessKeyId: "SECRET" }), "AccessKeyId"],
    [
      "a token with a line feed",
      JSON.stringify({ ...MEMBERS, SessionToken: "SECRET\nX: y" }),
      "SessionToken",
    ],
    ["a number for a secret", JSON.stringify({ ...MEMBERS, SecretAccessKey: 12 }), "SecretAccessKey"],
    ["an end that is no time", JSON.stringify({ ...MEMBERS, Expiration: "SECRET" }), "Expiration"],
  ] as const
) {
  Deno.test(`parseCredentials() refuses ${what}, and repeats nothing of it`, () => {
    const error = assertThrows(() => parseCredentials(text, "s.json"), OperatorError);
    assertEquals(error.code, "usage");
    assertStringIncludes(error.message, said);
    assertNotMatch(`${error.message}${error.cause}`, /SECRET[^A]|ASIA/);
  });
}

Deno.test("openCredentialsFile() says what is wrong with a file: none, a folder, too long, over", () =>
  withFile((path) => {
    const codeOf = (nowMs = 0) => assertThrows(() => openCredentialsFile(path, nowMs), OperatorError);
    assertEquals(codeOf().code, "not_found");
    Deno.writeTextFileSync(path, " ".repeat(MAX_CREDENTIALS_FILE_BYTES + 1));
    assertEquals(codeOf().code, "usage");
    Deno.writeTextFileSync(path, JSON.stringify({ Credentials: MEMBERS }));
    const over = codeOf(Date.parse("2030-01-02T03:04:05Z"));
    assertEquals([over.code, over.facts.expiresAt], ["access", "2030-01-02T03:04:05.000Z"]);
    assertStringIncludes(over.hints[0]!, `> ${path}`);
    assertEquals(openCredentialsFile(path, 0).read(), IDENTITY);
    Deno.removeSync(path);
    Deno.mkdirSync(path);
    assertEquals(codeOf().code, "storage");
  }));

/** Credentials of somebody who may ask: the server refuses the others as expired. */
function written(path: string, accessKeyId: string): void {
  Deno.writeTextFileSync(path, JSON.stringify({ Credentials: { ...MEMBERS, AccessKeyId: accessKeyId } }));
}

Deno.test("openSource() goes on with a file that is rewritten, also where it is half written for a while", () =>
  withFile(async (path) => {
    written(path, "ASIAOLDOLDOLDOLDOLD1");
    let isOver = false;
    let refusals = 0;
    const server = serve(({ headers, action }) => {
      const isOld = headers.get("authorization")!.includes("ASIAOLD");
      if (action !== "GetSnapshotBlock" || !isOld || !isOver) return undefined;
      refusals++;
      if (refusals === 1) Deno.writeTextFileSync(path, '{"Credentials": {"AccessKey');
      if (refusals === 2) written(path, "ASIANEWNEWNEWNEWNEW1");
      return errorAnswer(403, "ExpiredTokenException");
    });
    const { source, events } = await open(server.url, { credentialsFile: path });
    const facts = await source.credentials();
    assertEquals([facts.source, facts.renewal, facts.canRenew], [`file "${path}"`, "file", true]);
    const [page] = await all(source.listBlocks(SNAPSHOT));
    isOver = true;
    const block = page!.blocks[0]!;
    const got = await source.getBlock({ snapshot: SNAPSHOT, block, shape: page!.shape });
    assertEquals(got.kind, "verified");
    const keys = events.flatMap((event) => event.type === "credentials" ? [event.accessKeyId] : []);
    assertEquals(keys, ["ASIAOLDOLDOLDOLDOLD1", "ASIANEWNEWNEWNEWNEW1"]);
    assertNotMatch(JSON.stringify(events), /SECRET/);
    source.close();
    await server.close();
  }));

Deno.test("openSource() says where to write fresh credentials when those of the file are refused", () =>
  withFile(async (path) => {
    written(path, "ASIAOLDOLDOLDOLDOLD1");
    const server = serve(() => errorAnswer(403, "ExpiredTokenException"));
    const { source } = await open(server.url, { credentialsFile: path, giveUpAfterMs: 1000 });
    const error = await assertRejects(() => all(source.listBlocks(SNAPSHOT)), OperatorError);
    assertEquals(error.code, "access");
    assertStringIncludes(error.hints[0]!, `Write fresh credentials to ${path}: aws sts get-session-token`);
    source.close();
    await server.close();
  }));

Deno.test("openSource() takes credentials from the file before those of the environment, and not beside a profile", () =>
  withFile(async (path) => {
    written(path, "ASIAFILEFILEFILEFILE");
    const { source } = await open("http://127.0.0.1:9", { credentialsFile: path });
    assertEquals((await source.credentials()).accessKeyId, "ASIAFILEFILEFILEFILE");
    source.close();
    const both = open("http://127.0.0.1:9", { credentialsFile: path, profile: "p" });
    assertEquals((await assertRejects(() => both, OperatorError)).code, "usage");
  }));

Deno.test(
  "openCredentialsFile() reads a pipe once",
  { ignore: Deno.build.os === "windows" },
  () =>
    withFile(async (path) => {
      const made = await new Deno.Command("mkfifo", { args: [path] }).output();
      assert(made.success);
      const writer = new Deno.Command("sh", {
        args: ["-c", `printf '%s' '${JSON.stringify({ Version: 1, ...MEMBERS })}' > '${path}'`],
      }).spawn();
      const file = openCredentialsFile(path, 0);
      assertEquals([file.isReadAgain, file.read(), file.read()], [false, IDENTITY, IDENTITY]);
      assert((await writer.status).success);
    }),
);
