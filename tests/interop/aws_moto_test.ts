/**
 * Against moto, a server that no one here wrote, filled by boto3, a client that no one here wrote. Its
 * quirks (512-byte blocks, indexes as text, unsorted, HTTP 500 for unknown ids) must not matter; that it
 * never checks declared checksums makes a block that stays damaged.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { all, KEYS, open } from "../aws/fakes.ts";
import { OperatorError } from "../../src/errors.ts";
import type { SnapshotId } from "../../src/model.ts";
import { realClock } from "../../src/world.ts";
import { outside, toolPath } from "../outside.ts";

/** Makes two snapshots of one description each; block 9 of the second has a wrong checksum. */
const FILL = `
import base64, hashlib, sys
import boto3
ebs = boto3.client("ebs", region_name="eu-central-1", endpoint_url=sys.argv[1],
                   aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="x")
def snapshot(blocks, wrong=()):
    made = ebs.start_snapshot(VolumeSize=1, Description="moto", Tags=[{"Key": "case", "Value": "42"}])["SnapshotId"]
    for index in blocks:
        data = bytes([index % 251]) * 512
        declared = b"wrong" if index in wrong else data
        ebs.put_snapshot_block(SnapshotId=made, BlockIndex=index, BlockData=data, DataLength=512,
            Checksum=base64.b64encode(hashlib.sha256(declared).digest()).decode(), ChecksumAlgorithm="SHA256")
    ebs.complete_snapshot(SnapshotId=made, ChangedBlocksCount=len(blocks))
    return made
print(snapshot([300, 7, 0, 12]))
print(snapshot([7, 9], wrong=[9]))
`;

interface Moto {
  readonly url: string;
  readonly snapshots: readonly SnapshotId[];
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

async function withMoto(work: (moto: Moto) => Promise<void>): Promise<void> {
  const port = freePort();
  const python = toolPath("python3")!;
  const server = new Deno.Command(python, {
    args: ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(port)],
    stdout: "null",
    stderr: "null",
  }).spawn();
  try {
    const url = `http://127.0.0.1:${port}`;
    await untilListening(port);
    const filled = await new Deno.Command(python, { args: ["-c", FILL, url] }).output();
    assert(filled.success, new TextDecoder().decode(filled.stderr));
    const snapshots = new TextDecoder().decode(filled.stdout).trim().split("\n") as SnapshotId[];
    await work({ url, snapshots });
  } finally {
    server.kill("SIGKILL");
    await server.status;
  }
}

async function untilListening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return;
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
      await realClock.sleep(100);
    }
  }
  throw new Error("Cannot test against moto: it did not listen within 30 s");
}

outside(
  "openSource() reads what boto3 wrote into moto",
  ["python3", "py:moto", "py:boto3", "py:flask"],
  async () => {
    await withMoto(async ({ url, snapshots }) => {
      const [first, second] = snapshots as [SnapshotId, SnapshotId];
      const { source, clock } = await open(url);
      const [page, ...rest] = await all(source.listBlocks(first));
      assertEquals(rest, []);
      assertEquals(page!.shape, { blockSizeBytes: 512, volumeSizeGib: 1, blockCount: 2_097_152 });
      assertEquals(page!.blocks.map((block) => block.index), [0, 7, 12, 300]);
      for (const block of page!.blocks) {
        const got = await source.getBlock({ snapshot: first, block, shape: page!.shape });
        assert(got.kind === "verified");
        assertEquals(got.bytes, new Uint8Array(512).fill(block.index % 251));
      }
      const { description: described } = await source.describe(first);
      assertEquals([described?.state, described?.volumeSizeGib, described?.tags], ["completed", 1, {
        case: "42",
      }]);
      assertEquals((await source.callerIdentity())?.account, "123456789012");

      const [changed] = await all(source.listChangedBlocks({ first, second }));
      const changes = changed!.blocks.map(({ index, token }) => [index, token !== undefined]);
      // Moto looks at the blocks of the first only (9 is missing), and at their bytes (7 did not change).
      assertEquals(changes, [[0, false], [12, false], [300, false]]);

      const damaged = (await all(source.listBlocks(second)))[0]!.blocks.find((block) => block.index === 9)!;
      const unreadable = await source.getBlock({ snapshot: second, block: damaged, shape: page!.shape });
      assert(unreadable.kind === "unreadable");
      assertEquals([unreadable.reason, unreadable.attempts], ["checksum", 5]);

      const unknown = "snap-00000000000000000" as SnapshotId;
      const error = await assertRejects(() => all(source.listBlocks(unknown)), OperatorError);
      assertEquals(error.code, "source");
      assert(clock.monotonicMs() < 320_000);
      source.close();
    });
  },
);

outside("openSource() assumes a role of moto's STS at the same endpoint", [
  "python3",
  "py:moto",
  "py:boto3",
  "py:flask",
], async () => {
  await withMoto(async ({ url, snapshots }) => {
    const roleArn = "arn:aws:iam::123456789012:role/examiner";
    const { source, events } = await open(url, { roleArn, sessionName: "case-42", externalId: "e" });
    assertEquals((await all(source.listBlocks(snapshots[0]!))).length, 1);
    const facts = await source.credentials();
    assertEquals(facts.source, `role ${roleArn}, assumed with the environment`);
    assertEquals(facts.canRenew, true);
    assert(facts.accessKeyId !== KEYS.AWS_ACCESS_KEY_ID && facts.expiresAt !== undefined);
    assert(events.some((event) => event.type === "credentials" && event.accessKeyId === facts.accessKeyId));
    assertEquals(
      (await source.callerIdentity())?.arn,
      "arn:aws:sts::123456789012:assumed-role/examiner/case-42",
    );
    source.close();
  });
});

outside("openSource() gets a session of moto's STS for the code of a device, and a role for a web identity", [
  "python3",
  "py:moto",
  "py:boto3",
  "py:flask",
], async () => {
  await withMoto(async ({ url, snapshots }) => {
    const mfaSerial = "arn:aws:iam::123456789012:mfa/examiner";
    const questions: string[] = [];
    const askCode = (question: string) => {
      questions.push(question);
      return Promise.resolve("123456");
    };
    const own = await open(url, { mfaSerial, askCode });
    assertEquals((await all(own.source.listBlocks(snapshots[0]!))).length, 1);
    const session = await own.source.credentials();
    assertEquals([session.renewal, session.exchanges[0]?.how], ["code", "GetSessionToken"]);
    // Moto's session has the access key of AWS's documentation, as the caller here.
    assert(session.expiresAt !== undefined);
    own.source.close();
    assertEquals(questions.length, 1);

    const folder = await Deno.makeTempDir();
    const role = "arn:aws:iam::123456789012:role/pod";
    Deno.writeTextFileSync(`${folder}/token`, "a token of an identity provider");
    Deno.writeTextFileSync(
      `${folder}/config`,
      `[profile pod]\nrole_arn = ${role}\nweb_identity_token_file = ${folder}/token\nrole_session_name = case-42\n`,
    );
    const variables = { AWS_REGION: "eu-central-1", AWS_CONFIG_FILE: `${folder}/config` };
    const pod = await open(url, { profile: "pod", variables });
    const facts = await pod.source.credentials();
    assertEquals(facts.source, `role ${role}, assumed with a web identity's token (profile "pod")`);
    assertEquals(
      (await pod.source.callerIdentity())?.arn,
      "arn:aws:sts::123456789012:assumed-role/pod/case-42",
    );
    assertEquals(await pod.source.baseIdentity(), undefined);
    pod.source.close();
    await Deno.remove(folder, { recursive: true });
  });
});
