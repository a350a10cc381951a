/**
 * `sources` against moto, a server of EC2's API that no one here wrote, filled by boto3. Moto has more than a thousand
 * snapshots of other accounts, knows no owners and no pages, and answers HTTP 500 to the filter that finds devices:
 * none of it may matter.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { coldcaseAt, freePort, withFolder, withServer } from "../e2e/outside_server.ts";
import { assertExit, assertRefusal, type Ended, eventOf, eventsOf } from "../e2e/program.ts";
import { outside, toolPath } from "../outside.ts";

const FILL = `
import json, sys
import boto3
ec2 = boto3.client("ec2", region_name="eu-central-1", endpoint_url=sys.argv[1],
                   aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="x")
image = ec2.describe_images()["Images"][0]["ImageId"]
def run():
    return ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
def volumes(instance):
    found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    return {one["DeviceName"]: one["Ebs"]["VolumeId"] for one in found["BlockDeviceMappings"]}
def snapshot(volume, **tags):
    made = ec2.create_snapshot(VolumeId=volume, Description=tags.pop("description", ""))["SnapshotId"]
    if tags:
        ec2.create_tags(Resources=[made], Tags=[{"Key": key, "Value": value} for key, value in tags.items()])
    return made
zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
web, bare, lost, pair = run(), run(), run(), run()
second = ec2.create_volume(Size=1, AvailabilityZone=zone)["VolumeId"]
ec2.attach_volume(VolumeId=second, InstanceId=pair, Device="/dev/sdf")
data = ec2.create_volume(Size=3, AvailabilityZone=zone, Encrypted=True)["VolumeId"]
ec2.attach_volume(VolumeId=data, InstanceId=web, Device="/dev/sdf")
root = list(volumes(web).values())[0]
of_lost = list(volumes(lost).values())[0]
made = {
    "web": web, "bare": bare, "pair": pair, "lost": lost, "root": root, "data": data, "of_lost": of_lost,
    "devices": volumes(web),
    "of_root": snapshot(root, Name="web root", case="42"),
    "of_data": snapshot(data, case="43"),
    "of_lost_image": snapshot(of_lost, description="Created by CreateImage(%s) for ami-0123" % lost),
}
made["set"] = [one["SnapshotId"] for one in ec2.create_snapshots(
    InstanceSpecification={"InstanceId": pair}, Description="night")["Snapshots"]]
ec2.terminate_instances(InstanceIds=[lost])
print(json.dumps(made))
`;

interface Made {
  readonly web: string;
  readonly bare: string;
  readonly lost: string;
  readonly root: string;
  readonly data: string;
  readonly of_lost: string;
  readonly devices: Readonly<Record<string, string>>;
  readonly of_root: string;
  readonly of_data: string;
  readonly of_lost_image: string;
  /** Of both volumes of `pair`, made by one call. */
  readonly pair: string;
  readonly set: readonly string[];
}

function sourcesOf(ended: Ended) {
  assertExit(ended, 0);
  return eventsOf(ended).filter(({ type }) => type === "source");
}

outside("sources finds what boto3 made in moto, by instance, volume and tag, and nothing of others", [
  "python3",
  "py:moto",
  "py:boto3",
  "py:flask",
], () =>
  withFolder(async (folder) => {
    const port = freePort();
    const python = toolPath("python3")!;
    const server = new Deno.Command(python, {
      args: ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(port)],
      stdout: "null",
      stderr: "null",
    });
    await withServer(server, port, async (url) => {
      const filled = await new Deno.Command(python, { args: ["-c", FILL, url] }).output();
      assert(filled.success, new TextDecoder().decode(filled.stderr));
      const made = JSON.parse(new TextDecoder().decode(filled.stdout)) as Made;
      const sources = (...args: string[]) => coldcaseAt(url, folder, ["sources", "--json", ...args]);
      const ids = async (...args: string[]) =>
        sourcesOf(await sources(...args)).map(({ snapshot }) => snapshot).sort();

      const [root, data] = [made.of_root, made.of_data];
      const own = [root, data, made.of_lost_image, ...made.set].sort();
      const all = await sources();
      assertEquals(sourcesOf(all).map(({ snapshot }) => snapshot).sort(), own);
      assertStringIncludes(all.stderr, "devices are not known");

      const found = sourcesOf(await sources(made.web));
      assertEquals(found.map(({ snapshot }) => snapshot).sort(), [root, data].sort());
      const ofData = found.find(({ snapshot }) => snapshot === data)!;
      assertEquals(
        [
          ofData["device"],
          ofData["instance"],
          ofData["encrypted"],
          ofData["volumeSizeGib"],
          ofData["volume"],
        ],
        ["/dev/sdf", made.web, true, 3, made.data],
      );
      const ofRoot = found.find(({ snapshot }) => snapshot === root)!;
      assertEquals([ofRoot["name"], ofRoot["state"], ofRoot["ownerAccount"]], [
        "web root",
        "completed",
        "123456789012",
      ]);
      assertEquals(made.devices[String(ofRoot["device"])], made.root);

      assertEquals(await ids(made.data), [data]);
      assertEquals(await ids("--tag", "case=42"), [root]);
      assertEquals(await ids("--tag", "case=4*"), [root, data].sort());
      assertEquals(await ids(made.lost), [made.of_lost_image]);
      assertEquals(await ids(made.of_lost), [made.of_lost_image]);
      assertEquals(await ids(root), [root]);

      const { pair } = made;
      const setsOf = async () => {
        const sets = eventsOf(await sources(pair)).filter(({ type }) => type === "set");
        return sets.map((set) => [
          set["knownBy"],
          set["isComplete"],
          (set["snapshots"] as { snapshot: string }[]).map(({ snapshot }) => snapshot),
        ]);
      };
      assertEquals(await setsOf(), [["start_time", true, made.set.toSorted()]]);
      const create = ["snapshot", "create", pair, "--yes", "--json", "--case", "42"];
      const created = await coldcaseAt(url, folder, create);
      assertExit(created, 0);
      const [newest, older] = await setsOf();
      assertEquals([newest?.[0], newest?.[1], older?.[2]], ["tag", true, made.set.toSorted()]);

      const nothing = await sources(made.bare);
      assertRefusal(nothing, { exitCode: 10, names: [made.bare, "1 volume"], hints: ["snapshot create"] });
      assertEquals(eventOf(nothing, "summary")["snapshots"], 0);
      for (const id of ["i-00000000000000000", "vol-00000000000000000", "snap-00000000000000000"]) {
        assertRefusal(await sources(id), { exitCode: 10, names: [id], hints: ["eu-central-1"] });
      }
      assertRefusal(await sources("--tag", "Case=42"), { exitCode: 10, names: ['has a tag "Case"'] });
    });
  }));
