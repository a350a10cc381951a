/** What a command line says of identities and recipients, and what its user is asked for it. */
import { assertEquals, assertRejects } from "@std/assert";
import { makeIdentity, type NewIdentity } from "../../src/cipher_age.ts";
import { encodeIdentityFile, encryptIdentityFile } from "../../src/cipher_age_files.ts";
import { Output } from "../../src/cli/mod.ts";
import { encryptionOf } from "../../src/commands/_identities.ts";
import { OperatorError } from "../../src/errors.ts";
import { FakeClock, FakeTerminal } from "../cli/fakes.ts";
import { testWorld, withFolder } from "../store/fixtures.ts";

const PASSPHRASES: Record<string, string> = { lineage: "first one", examiner: "second one" };
const [LINEAGE, EXAMINER, OTHER] = await Promise.all(
  [1, 2, 3].map(() => makeIdentity("x25519")),
) as [NewIdentity, NewIdentity, NewIdentity];

/** A person at a terminal who knows the passphrase of each file, and counts the questions. */
async function withPerson(
  body: (made: {
    readonly path: (name: string) => string;
    readonly questions: string[];
    readonly encryption: (
      options: Partial<Parameters<typeof encryptionOf>[1]>,
    ) => ReturnType<typeof encryptionOf>;
  }) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const path = (name: string) => `${folder}/${name}.age`;
    for (const [name, identity] of Object.entries({ lineage: LINEAGE, examiner: EXAMINER })) {
      const passphrase = PASSPHRASES[name]!;
      const file = await encryptIdentityFile(identity, { passphrase, madeAtMs: 0, workFactor: 4 });
      Deno.writeFileSync(path(name), file, { mode: 0o600 });
    }
    Deno.writeTextFileSync(path("other"), encodeIdentityFile(OTHER, { atMs: 0 }), { mode: 0o600 });
    const questions: string[] = [];
    const terminal = Object.assign(new FakeTerminal({ isTerminal: true }), {
      askSecret(question: string) {
        questions.push(question);
        const name = Object.keys(PASSPHRASES).find((one) => question.includes(path(one)));
        return Promise.resolve(name && PASSPHRASES[name]);
      },
    });
    const shown = { json: false, quiet: true, verbose: false, progress: false, color: "never" } as const;
    const out = new Output({ terminal, clock: new FakeClock(), ...shown, environment: () => undefined });
    const none = {
      identity: [],
      "passphrase-file": undefined,
      recipient: [],
      "recipients-file": [],
      passphrase: false,
      "lineage-key": undefined,
    };
    const encryption = (options: Partial<Parameters<typeof encryptionOf>[1]>) =>
      encryptionOf({ out, world: testWorld() }, { ...none, ...options });
    await body({ path, questions, encryption });
  });
}

Deno.test("encryptionOf() asks for the passphrase of each identity file once", () =>
  withPerson(async ({ path, questions, encryption }) => {
    const recipient = [OTHER.recipient];
    const wanted = { contents: recipient, lineage: [LINEAGE.recipient] };
    const cases: [readonly string[], readonly string[]][] = [
      [[], ["lineage"]],
      [["other"], ["lineage"]],
      [["examiner"], ["examiner", "lineage"]],
      [["lineage"], ["lineage"]],
    ];
    for (const [identities, asked] of cases) {
      questions.length = 0;
      const { recipients, identities: opened } = await encryption({
        recipient,
        identity: identities.map(path),
        "lineage-key": path("lineage"),
      });
      assertEquals(recipients, wanted);
      assertEquals(questions.map((question) => asked.find((name) => question.includes(path(name)))), [
        ...asked,
      ]);
      assertEquals(opened!.count, new Set([...identities, "lineage"]).size);
    }
  }));

Deno.test("encryptionOf() refuses a lineage key that opens contents, wherever it was named", () =>
  withPerson(async ({ path, encryption }) => {
    const error = await assertRejects(
      () => encryption({ recipient: [LINEAGE.recipient], "lineage-key": path("lineage") }),
      OperatorError,
      "opens contents",
    );
    assertEquals(error.code, "usage");
    // To be able to open contents is no fault: it is the recipients that count.
    const { recipients } = await encryption({
      recipient: [EXAMINER.recipient],
      identity: [path("examiner")],
      "lineage-key": path("lineage"),
    });
    assertEquals(recipients, { contents: [EXAMINER.recipient], lineage: [LINEAGE.recipient] });
  }));
