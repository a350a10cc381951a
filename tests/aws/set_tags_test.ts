/** Tags of a set: what was tagged is read again, in values that AWS takes; strangers' words do no harm. */
import { assert, assertEquals } from "@std/assert";
import { devicesOf, deviceTags, MAX_TAG_VALUE_LENGTH } from "../../src/aws/set_tags.ts";

function devices(count: number, name: (at: number) => string) {
  return Array.from({ length: count }, (_, at) => ({
    device: name(at),
    volumeId: `vol-${String(at).padStart(17, "0")}`,
  }));
}

Deno.test("deviceTags() and devicesOf() agree, for one volume and for as many as an instance has", () => {
  for (const count of [0, 1, 7, 8, 9, 12, 128]) {
    for (const prefix of ["/dev/sd", "xvd", "/dev/a=b", "/dev/a-name-of-thirty-letters-"]) {
      const given = devices(count, (at) => `${prefix}${at}`);
      const tags = deviceTags(given);
      assertEquals(devicesOf(tags), given, `${count} of ${prefix}`);
      for (const value of Object.values(tags)) assert(value.length <= MAX_TAG_VALUE_LENGTH, value);
      assert(Object.keys(tags).length <= 40, `${Object.keys(tags).length} tags`);
    }
  }
});

Deno.test("deviceTags() leaves out a name that no tag can hold, and keeps the others", () => {
  const given = devices(3, (at) => ["/dev/sda1", "a name", "x".repeat(300)][at]!);
  assertEquals(devicesOf(deviceTags(given)), given.slice(0, 1));
});

Deno.test("devicesOf() takes of anybody's tags what is a device and a volume, and ends", () => {
  assertEquals(devicesOf({}), []);
  assertEquals(devicesOf({ "coldcase:devices-2": "/dev/sda=vol-00000000" }), []);
  assertEquals(
    devicesOf({
      "coldcase:devices": "=vol-00000000 /dev/sdb=disk  /dev/sdc=vol-0000000g /dev/sdd=vol-0a0a0a0a",
    }),
    [
      { device: "/dev/sdd", volumeId: "vol-0a0a0a0a" },
    ],
  );
  const many = Object.fromEntries(
    Array.from(
      { length: 1000 },
      (_, at) => [`coldcase:devices${at ? `-${at + 1}` : ""}`, "/dev/sda=vol-00000000"],
    ),
  );
  assertEquals(devicesOf(many).length, 40);
});
