/**
 * boto3, a client that no one here wrote, against the simulator: listing, reading, comparing, writing and the
 * errors that it must recognize. Its script prints one JSON object, which is compared here.
 */
import { assertEquals } from "@std/assert";
import { startSimulator } from "../../src/simulate/mod.ts";
import { outside, toolPath } from "../outside.ts";
import { LATER, sha256Base64, SNAPSHOT, withFolder, writeImage } from "../simulate/fixtures.ts";

const BLOCK_SIZE = 524_288;

const SCRIPT = `
import base64, boto3, hashlib, json, sys
from botocore.exceptions import ClientError

first, second, out = sys.argv[1], sys.argv[2], {}
ebs, ec2, sts = boto3.client("ebs"), boto3.client("ec2"), boto3.client("sts")

def blocks(snapshot):
    read, token = {}, None
    while True:
        page = ebs.list_snapshot_blocks(SnapshotId=snapshot, MaxResults=100, **({"NextToken": token} if token else {}))
        for block in page["Blocks"]:
            answer = ebs.get_snapshot_block(SnapshotId=snapshot, BlockIndex=block["BlockIndex"], BlockToken=block["BlockToken"])
            data = answer["BlockData"].read()
            digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
            assert digest == answer["Checksum"] and answer["ChecksumAlgorithm"] == "SHA256" and answer["DataLength"] == len(data)
            read[block["BlockIndex"]] = digest
        token = page.get("NextToken")
        if token is None:
            out.setdefault("size", [page["VolumeSize"], page["BlockSize"]])
            return read

def refused(call, **parameters):
    try:
        call(**parameters)
    except ClientError as error:
        return [error.response["Error"]["Code"], error.response.get("Reason"), error.response["ResponseMetadata"]["HTTPStatusCode"]]

out["blocks"] = blocks(first)
changed = ebs.list_changed_blocks(FirstSnapshotId=first, SecondSnapshotId=second)["ChangedBlocks"]
out["changed"] = [[c["BlockIndex"], "FirstBlockToken" in c, "SecondBlockToken" in c] for c in changed]
out["missing"] = refused(ebs.list_snapshot_blocks, SnapshotId="snap-00000000")
out["token"] = refused(ebs.get_snapshot_block, SnapshotId=first, BlockIndex=1, BlockToken="AAAA")

started = ebs.start_snapshot(VolumeSize=1, Description="from boto3", Tags=[{"Key": "case", "Value": "42"}])
data = bytes([7]) * started["BlockSize"]
digest = hashlib.sha256(data).digest()
for index in (0, 5):
    ebs.put_snapshot_block(SnapshotId=started["SnapshotId"], BlockIndex=index, BlockData=data, DataLength=len(data),
                           Checksum=base64.b64encode(digest).decode(), ChecksumAlgorithm="SHA256")
out["wrong count"] = refused(ebs.complete_snapshot, SnapshotId=started["SnapshotId"], ChangedBlocksCount=1)
linear = base64.b64encode(hashlib.sha256(digest + digest).digest()).decode()
ebs.complete_snapshot(SnapshotId=started["SnapshotId"], ChangedBlocksCount=2, Checksum=linear,
                      ChecksumAlgorithm="SHA256", ChecksumAggregationMethod="LINEAR")
out["written"] = list(blocks(started["SnapshotId"]))

described = ec2.describe_snapshots(SnapshotIds=[started["SnapshotId"]])["Snapshots"][0]
out["described"] = [described["State"], described["Description"], described["VolumeSize"], described["Tags"]]
out["lineage"] = [s["SnapshotId"] for s in ec2.describe_snapshots(
    Filters=[{"Name": "volume-id", "Values": ["vol-0a"]}], OwnerIds=["self"])["Snapshots"]]
out["account"] = sts.get_caller_identity()["Account"]
print(json.dumps(out))
`;

outside("startSimulator() serves boto3", ["python3", "py:boto3"], async () => {
  await withFolder(async (folder) => {
    writeImage(`${folder}/1.raw`, { blockCount: 12, fills: { 1: 1, 2: 2, 11: 3 }, blockSize: BLOCK_SIZE });
    writeImage(`${folder}/2.raw`, { blockCount: 12, fills: { 1: 1, 2: 9, 3: 4 }, blockSize: BLOCK_SIZE });
    const simulator = await startSimulator({
      snapshots: [
        { id: SNAPSHOT, path: `${folder}/1.raw`, volumeId: "vol-0a" },
        { id: LATER, path: `${folder}/2.raw`, volumeId: "vol-0a" },
      ],
      uploadDirectory: folder,
      credentials: [{ accessKeyId: "ASIAEXAMPLE", secretAccessKey: "secret/+=", sessionToken: "token+/=" }],
    });
    try {
      const python = await new Deno.Command(toolPath("python3")!, {
        args: ["-c", SCRIPT, SNAPSHOT, LATER],
        env: simulator.environment(),
      }).output();
      const errors = new TextDecoder().decode(python.stderr);
      assertEquals(python.code, 0, errors);
      const filled = (byte: number) => sha256Base64(new Uint8Array(BLOCK_SIZE).fill(byte));
      assertEquals(JSON.parse(new TextDecoder().decode(python.stdout)), {
        size: [1, BLOCK_SIZE],
        blocks: { 1: filled(1), 2: filled(2), 11: filled(3) },
        changed: [[2, true, true], [3, false, true], [11, true, false]],
        missing: ["ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", 404],
        token: ["ValidationException", "INVALID_BLOCK_TOKEN", 400],
        "wrong count": ["ValidationException", "INVALID_PARAMETER_VALUE", 400],
        written: [0, 5],
        described: ["completed", "from boto3", 1, [{ Key: "case", Value: "42" }]],
        lineage: [SNAPSHOT, LATER],
        account: simulator.account,
      });
    } finally {
      await simulator.close();
    }
  });
});
