/**
 * The stock `@aws-sdk/client-ebs` with its stock request handler, and its siblings for EC2 and STS, against the
 * simulator: they retry what AWS says is worth it, recognize the rest, and see a session expire and be renewed.
 */
import { assertEquals, assertInstanceOf } from "@std/assert";
import {
  AccessDeniedException,
  CompleteSnapshotCommand,
  EBSClient,
  GetSnapshotBlockCommand,
  ListChangedBlocksCommand,
  paginateListSnapshotBlocks,
  PutSnapshotBlockCommand,
  ResourceNotFoundException,
  StartSnapshotCommand,
  ValidationException,
} from "@aws-sdk/client-ebs";
import { DescribeSnapshotsCommand, EC2Client } from "@aws-sdk/client-ec2";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { type Simulator, type SimulatorOptions, startSimulator } from "../../src/simulate/mod.ts";
import { BLOCK, KEYS, LATER, sha256Base64, SNAPSHOT, withFolder, writeImage } from "../simulate/fixtures.ts";

async function withServed(
  options: SimulatorOptions,
  body: (
    simulator: Simulator,
    config: { region: string; endpoint: string; credentials: typeof KEYS },
  ) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    writeImage(`${folder}/1.raw`, {
      blockCount: 400,
      fills: Object.fromEntries(Array.from({ length: 300 }, (_, i) => [i, i % 255 + 1])),
    });
    writeImage(`${folder}/2.raw`, { blockCount: 400, fills: { 0: 77, 350: 5 } });
    const simulator = await startSimulator({
      credentials: [KEYS],
      blockSizeBytes: BLOCK,
      snapshots: [
        {
          id: SNAPSHOT,
          path: `${folder}/1.raw`,
          volumeId: "vol-0a",
          kmsKeyId: "arn:aws:kms:us-east-1:123456789012:key/k",
        },
        { id: LATER, path: `${folder}/2.raw`, volumeId: "vol-0a" },
      ],
      uploadDirectory: folder,
      ...options,
    });
    try {
      await body(simulator, { region: simulator.region, endpoint: simulator.url, credentials: KEYS });
    } finally {
      await simulator.close();
    }
  });
}

async function refusal(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new Error("Cannot see a refusal: the call succeeded");
}

Deno.test("startSimulator() serves the SDK's paginator and blocks, which retry failures by themselves", async () => {
  await withServed(
    { faults: "error500:0.1,error503:0.1,throttle:0.1,empty-page:0.2", seed: 3 },
    async (simulator, config) => {
      const client = new EBSClient({ ...config, maxAttempts: 12, retryStrategy: fastRetries });
      try {
        const indexes: number[] = [];
        for await (
          const page of paginateListSnapshotBlocks({ client, pageSize: 100 }, { SnapshotId: SNAPSHOT })
        ) {
          for (const { BlockIndex, BlockToken } of page.Blocks ?? []) {
            const answer = await client.send(
              new GetSnapshotBlockCommand({ SnapshotId: SNAPSHOT, BlockIndex, BlockToken }),
            );
            const bytes = await answer.BlockData!.transformToByteArray();
            assertEquals(answer.Checksum, sha256Base64(bytes));
            assertEquals(bytes, new Uint8Array(BLOCK).fill(BlockIndex! % 255 + 1));
            indexes.push(BlockIndex!);
          }
        }
        assertEquals(indexes, Array.from({ length: 300 }, (_, index) => index));
        assertEquals(simulator.requests.of("GetSnapshotBlock").succeeded, 300);
      } finally {
        client.destroy();
      }
    },
  );
});

Deno.test("startSimulator() answers errors that the SDK recognizes, with their reasons", async () => {
  await withServed(
    { deny: ["sts:GetCallerIdentity", "ec2:DescribeSnapshots"] },
    async (simulator, config) => {
      const client = new EBSClient(config);
      const get = new GetSnapshotBlockCommand({ SnapshotId: SNAPSHOT, BlockIndex: 0, BlockToken: "AAAA" });
      try {
        const unknown = await refusal(
          client.send(
            new ListChangedBlocksCommand({ FirstSnapshotId: SNAPSHOT, SecondSnapshotId: "snap-1" }),
          ),
        );
        assertInstanceOf(unknown, ResourceNotFoundException);
        assertEquals(unknown.Reason, "SNAPSHOT_NOT_FOUND");
        const token = await refusal(client.send(get));
        assertInstanceOf(token, ValidationException);
        assertEquals(token.Reason, "INVALID_BLOCK_TOKEN");
        simulator.updateSnapshot(SNAPSHOT, { kmsDenied: true });
        const key = await refusal(client.send(get));
        assertInstanceOf(key, AccessDeniedException);
        assertEquals(key.Reason, "DEPENDENCY_ACCESS_DENIED");
        simulator.deny("ebs:GetSnapshotBlock");
        const iam = await refusal(client.send(get));
        assertInstanceOf(iam, AccessDeniedException);
        assertEquals(iam.Reason, undefined);
      } finally {
        client.destroy();
      }
      const sts = new STSClient(config);
      const ec2 = new EC2Client(config);
      try {
        assertEquals(
          (await refusal(sts.send(new GetCallerIdentityCommand({}))) as Error).name,
          "AccessDenied",
        );
        assertEquals(
          (await refusal(ec2.send(new DescribeSnapshotsCommand({}))) as Error).name,
          "UnauthorizedOperation",
        );
        simulator.allow("sts:GetCallerIdentity", "ec2:DescribeSnapshots");
        assertEquals((await sts.send(new GetCallerIdentityCommand({}))).Account, simulator.account);
        const described = await ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: [SNAPSHOT] }));
        assertEquals(described.Snapshots?.map(({ VolumeId, Encrypted }) => [VolumeId, Encrypted]), [[
          "vol-0a",
          true,
        ]]);
      } finally {
        sts.destroy();
        ec2.destroy();
      }
    },
  );
});

Deno.test("startSimulator() takes a snapshot that the SDK writes over a parent", async () => {
  await withServed({}, async (_, config) => {
    const client = new EBSClient(config);
    try {
      const { SnapshotId } = await client.send(
        new StartSnapshotCommand({ VolumeSize: 1, ParentSnapshotId: SNAPSHOT }),
      );
      const bytes = new Uint8Array(BLOCK).fill(200);
      await client.send(
        new PutSnapshotBlockCommand({
          SnapshotId,
          BlockIndex: 2,
          BlockData: bytes,
          DataLength: BLOCK,
          Checksum: sha256Base64(bytes),
          ChecksumAlgorithm: "SHA256",
        }),
      );
      await client.send(new CompleteSnapshotCommand({ SnapshotId, ChangedBlocksCount: 1 }));
      const changed = await client.send(
        new ListChangedBlocksCommand({ FirstSnapshotId: SNAPSHOT, SecondSnapshotId: SnapshotId! }),
      );
      assertEquals(changed.ChangedBlocks?.map(({ BlockIndex }) => BlockIndex), [2]);
    } finally {
      client.destroy();
    }
  });
});

/** The SDK's standard retries without their pauses. */
const fastRetries = {
  acquireInitialRetryToken: () => Promise.resolve(retryToken(0)),
  refreshRetryTokenForRetry: (token: { getRetryCount(): number }) => {
    const count = token.getRetryCount() + 1;
    return count < 12
      ? Promise.resolve(retryToken(count))
      : Promise.reject(new Error("Cannot retry: 12 attempts"));
  },
  recordSuccess: () => {},
};

function retryToken(count: number) {
  return { getRetryCount: () => count, getRetryDelay: () => 0 };
}
