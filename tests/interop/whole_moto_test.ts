/**
 * The whole program against moto, a server that no one here wrote, filled by boto3: plan, acquire, verify, compare
 * with the source, export. Its blocks have 512 bytes; a block that was put with a wrong checksum stays unreadable.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { coldcaseAt, freePort, withFolder, withServer } from "../e2e/outside_server.ts";
import { assertExit, assertRefusal, eventOf, eventsOf, summaryOf } from "../e2e/program.ts";
import { outside, toolPath } from "../outside.ts";

const BLOCK_BYTES = 512;

/** Prints the ids of two snapshots; block 9 of the second declares another block's checksum. */
const FILL = `
import base64, hashlib, sys
import boto3
ebs = boto3.client("ebs", region_name="eu-central-1", endpoint_url=sys.argv[1],
                   aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="x")
def snapshot(blocks, wrong=()):
    made = ebs.start_snapshot(VolumeSize=1, Description="moto")["SnapshotId"]
    for index in blocks:
        data = bytes([index % 251]) * 512
        declared = b"wrong" if index in wrong else data
        ebs.put_snapshot_block(SnapshotId=made, BlockIndex=index, BlockData=data, DataLength=512,
            Checksum=base64.b64encode(hashlib.sha256(declared).digest()).decode(), ChecksumAlgorithm="SHA256")
    ebs.complete_snapshot(SnapshotId=made, ChangedBlocksCount=len(blocks))
    return made
print(snapshot([300, 7, 2097151, 251, 12]))
print(snapshot([7, 9, 20], wrong=[9]))
`;

async function withMoto(
  body: (url: string, snapshots: readonly [string, string], folder: string) => Promise<void>,
): Promise<void> {
  const python = toolPath("python3")!;
  const port = freePort();
  const args = ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(port)];
  const server = new Deno.Command(python, { args, stdout: "null", stderr: "null" });
  await withFolder((folder) =>
    withServer(server, port, async (url) => {
      const filled = await new Deno.Command(python, { args: ["-c", FILL, url] }).output();
      assert(filled.success, new TextDecoder().decode(filled.stderr));
      const [first, second] = new TextDecoder().decode(filled.stdout).trim().split("\n");
      await body(url, [first!, second!], folder);
    })
  );
}

const NEEDS = ["python3", "py:moto", "py:boto3", "py:flask"];

outside("coldcase acquires, compares and exports what boto3 wrote into moto", NEEDS, async () => {
  await withMoto(async (url, [first], folder) => {
    const coldcase = (...args: string[]) => coldcaseAt(url, folder, args);
    const planned = await coldcase("plan", first, "--json");
    assertExit(planned, 0);
    const { fetchBlocks, blockSizeBytes, absentBlocks } = eventOf(planned, "plan");
    assertEquals([fetchBlocks, blockSizeBytes, absentBlocks], [5, BLOCK_BYTES, 2_097_147]);
    const acquired = await coldcase("acquire", first, "--json");
    assertExit(acquired, 0);
    const { storedBlocks, zeroBlocks, unreadableBlocks } = summaryOf(acquired);
    // Block 251 was written, with zeros.
    assertEquals([storedBlocks, zeroBlocks, unreadableBlocks], [4, 1, 0]);
    assertExit(await coldcase("verify"), 0);
    const compared = await coldcase("verify", first, "--against-source", "--json");
    assertExit(compared, 0);
    const { comparedBlocks, differences } = summaryOf(compared);
    assertEquals([comparedBlocks, differences], [5, 0]);
    const image = `${folder}/out.img`;
    assertExit(await coldcase("export", first, "-o", image, "--digests", "none"), 0);
    assertEquals(Deno.statSync(image).size, 2 ** 30);
    const file = Deno.openSync(image);
    for (const index of [0, 7, 8, 12, 251, 300, 301, 2_097_151]) {
      file.seekSync(index * BLOCK_BYTES, Deno.SeekMode.Start);
      const bytes = new Uint8Array(BLOCK_BYTES);
      assertEquals(file.readSync(bytes), BLOCK_BYTES);
      const isThere = [7, 12, 300, 2_097_151].includes(index);
      assertEquals(bytes, new Uint8Array(BLOCK_BYTES).fill(isThere ? index % 251 : 0), `block ${index}`);
    }
    file.close();
  });
});

outside("coldcase lists the block that moto serves with a wrong checksum", NEEDS, async () => {
  await withMoto(async (url, [first, second], folder) => {
    const coldcase = (...args: string[]) => coldcaseAt(url, folder, args);
    assertExit(await coldcase("acquire", first), 0);
    const acquired = await coldcase("acquire", second, "--json");
    assertExit(acquired, 3);
    const { storedBlocks, unreadableBlocks, parent } = summaryOf(acquired);
    assertEquals([storedBlocks, unreadableBlocks, parent], [2, 1, null]);
    const place = `bytes ${9 * BLOCK_BYTES} to ${10 * BLOCK_BYTES - 1}`;
    assertStringIncludes((await coldcase("info", second)).stdout, `unreadable  ${place}: checksum`);
    const exported = await coldcase("export", second, "-o", `${folder}/out.img`);
    assertExit(exported, 3);
    assertStringIncludes(Deno.readTextFileSync(`${folder}/out.img.log`), String(9 * BLOCK_BYTES));
    const compared = await coldcase("verify", second, "--against-source", "--json");
    assertExit(compared, 3);
    // Nobody vouched for the signer: that is told, and no fault.
    const faults = eventsOf(compared).filter(({ type, code }) =>
      type === "finding" && code !== "signer_unchecked"
    );
    assertEquals(faults, []);
  });
});

outside(
  "coldcase gives up on a snapshot that moto does not know, for which it answers 500",
  NEEDS,
  async () => {
    await withMoto(async (url, _, folder) => {
      const unknown = "snap-0123456789abcdef0";
      const ended = await coldcaseAt(url, folder, ["acquire", unknown, "--give-up-after", "2s"]);
      assertRefusal(ended, { exitCode: 14, names: [unknown], hints: ["snapshot's id"] });
    });
  },
);
