/**
 * `snapshot create` against moto, a server of EC2's API that no one here wrote: what is made there is what boto3 sees, and
 * nothing is made by a rehearsal.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { coldcaseAt, freePort, withFolder, withServer } from "../e2e/outside_server.ts";
import { assertExit, assertRefusal, eventOf } from "../e2e/program.ts";
import { outside, toolPath } from "../outside.ts";

const FILL = `
import json, sys
import boto3
ec2 = boto3.client("ec2", region_name="eu-central-1", endpoint_url=sys.argv[1],
                   aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="x")
image = ec2.describe_images()["Images"][0]["ImageId"]
instance = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
for letter in "fghijklmnop":
    volume = ec2.create_volume(Size=3, AvailabilityZone=zone)["VolumeId"]
    ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sd" + letter)
found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
print(json.dumps({
    "instance": instance,
    "devices": {one["Ebs"]["VolumeId"]: one["DeviceName"] for one in found["BlockDeviceMappings"]},
}))
`;

const LOOK = `
import json, sys
import boto3
ec2 = boto3.client("ec2", region_name="eu-central-1", endpoint_url=sys.argv[1],
                   aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="x")
found = ec2.describe_snapshots(Filters=[{"Name": "tag-key", "Values": ["coldcase:set"]}])["Snapshots"]
print(json.dumps([{
    "snapshot": one["SnapshotId"], "volume": one["VolumeId"], "description": one["Description"],
    "tags": {tag["Key"]: tag["Value"] for tag in one["Tags"]},
} for one in found]))
`;

interface Filled {
  readonly instance: string;
  /** Device names by volume id. */
  readonly devices: Readonly<Record<string, string>>;
}

interface Seen {
  readonly snapshot: string;
  readonly volume: string;
  readonly description: string;
  readonly tags: Readonly<Record<string, string>>;
}

/** What a script prints as JSON. */
async function python<T>(script: string, url: string): Promise<T> {
  const command = new Deno.Command(toolPath("python3")!, { args: ["-c", script, url] });
  const { success, stdout, stderr } = await command.output();
  assert(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

outside("snapshot create makes in moto what it says, and a rehearsal makes nothing", [
  "python3",
  "py:moto",
  "py:boto3",
  "py:flask",
], () =>
  withFolder(async (folder) => {
    const port = freePort();
    const server = new Deno.Command(toolPath("python3")!, {
      args: ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(port)],
      stdout: "null",
      stderr: "null",
    });
    await withServer(server, port, async (url) => {
      const { instance, devices } = await python<Filled>(FILL, url);
      const create = (...args: string[]) => coldcaseAt(url, folder, ["snapshot", "create", ...args]);
      const ofCase = [instance, "--case", "2026-114"];

      assertExit(await create(...ofCase, "--dry-run"), 0);
      assertEquals(await python<Seen[]>(LOOK, url), []);

      const ended = await create(...ofCase, "--yes", "--json");
      assertExit(ended, 0);
      const told = eventOf(ended, "summary");
      const seen = await python<Seen[]>(LOOK, url);
      assertEquals(seen.length, 12);
      assertEquals(
        seen.map(({ snapshot, volume }) => [volume, devices[volume], snapshot]).sort(),
        (told["snapshots"] as { snapshot: string; volumeId: string; device: string }[])
          .map(({ snapshot, volumeId, device }) => [volumeId, device, snapshot]).sort(),
      );
      for (const { description, tags } of seen) {
        assertEquals(description, `coldcase: case 2026-114, all volumes of ${instance}`);
        assertEquals([tags["coldcase:set"], tags["coldcase:case"]], [told["set"] as string, "2026-114"]);
        assertMatch(tags["coldcase:devices-2"]!, /^\/dev\/sd.=vol-[0-9a-f]{17} /);
      }

      const unknown = await create("i-0ff0ff0ff0ff0ff0f", "--yes");
      assertRefusal(unknown, { exitCode: 10, names: ["EC2 does not know it"] });
    });
  }));
