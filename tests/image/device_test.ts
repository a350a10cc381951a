/**
 * Raw export to a block device: on real loop devices where the machine lends them, and with a file in a device's
 * place for what can be shown without one.
 */
import { createHash } from "node:crypto";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import type { Disk } from "../../src/model.ts";
import { realDisk } from "../../src/world.ts";
import {
  type DeviceFacts,
  type DeviceHost,
  type ExportOptions,
  exportRaw,
  readBack,
} from "../../src/image/mod.ts";
import { deviceNumber, deviceUses, parseMounts } from "../../src/image/devices.ts";
import { exportOptions, failingDisk, platformError, randomReader, withFolder } from "./fakes.ts";
import { MIB, outsideWithLoop, run, withLoop } from "./tools.ts";

const PROGRAM = new URL("device_export.ts", import.meta.url).pathname;
const BLOCKS = 64;
const volume = randomReader(3, BLOCKS, 65_536);

interface Printed {
  readonly code?: string;
  readonly message: string;
  readonly hints: readonly string[];
  readonly target: string;
  readonly excessBytes: number;
  readonly notes: readonly string[];
  readonly digests: { readonly sha256: string };
  readonly findings: readonly unknown[];
}

async function program(mode: string, path: string, permissions = ["--allow-all"]): Promise<Printed> {
  const args = ["run", "--no-check", "--quiet", ...permissions, PROGRAM, mode, path, String(BLOCKS)];
  return JSON.parse(await run(Deno.execPath(), args));
}

/** A loop device over a file of 0xFF bytes, `excessBytes` longer than the volume. */
async function withDevice(
  excessBytes: number,
  body: (device: string, backing: string) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const backing = `${folder}/backing.img`;
    Deno.writeFileSync(backing, new Uint8Array(BLOCKS * 65_536 + excessBytes).fill(0xff));
    await withLoop(backing, (device) => body(device, backing));
  });
}

outsideWithLoop(
  "exportRaw() to a device leaves none of the old bytes, and the excess as it was",
  [],
  async () => {
    await withDevice(MIB, async (device, backing) => {
      const result = await program("overwrite", device);
      assertEquals([result.target, result.excessBytes], ["device", MIB]);
      assertMatch(result.notes[0]!, /1048576 bytes longer than the volume/);
      const held = Deno.readFileSync(backing);
      assertEquals(held.subarray(0, volume.bytes.length), volume.bytes);
      assert(held.subarray(volume.bytes.length).every((byte) => byte === 0xff));
      assertEquals(result.digests.sha256, createHash("sha256").update(volume.bytes).digest("hex"));
      const again = await program("read-back", device);
      assertEquals([again.findings, again.excessBytes, again.digests], [[], MIB, result.digests]);
    });
  },
);

outsideWithLoop("exportRaw() follows a link to a device", [], async () => {
  await withDevice(0, async (device, backing) => {
    await withFolder(async (folder) => {
      Deno.symlinkSync(device, `${folder}/by-id`);
      const result = await program("overwrite", `${folder}/by-id`);
      assertEquals([result.target, result.excessBytes], ["device", 0]);
      assertEquals(Deno.readFileSync(backing), volume.bytes);
    });
  });
});

outsideWithLoop("exportRaw() refuses a device without overwrite, and one that is too small", [], async () => {
  await withDevice(0, async (device) => {
    const { code, message } = await program("new", device);
    assertEquals(code, "usage");
    assertMatch(message, /--overwrite is needed/);
  });
  await withDevice(-512, async (device, backing) => {
    const { code, message } = await program("overwrite", device);
    assertEquals(code, "storage");
    assertMatch(message, /device has 4193792 bytes .*, volume has 4194304/);
    assert(Deno.readFileSync(backing).every((byte) => byte === 0xff));
  });
});

outsideWithLoop("exportRaw() refuses a mounted device", ["mke2fs", "mount", "umount"], async () => {
  await withDevice(0, async (device) => {
    await run("mke2fs", ["-q", "-F", device]);
    await withFolder(async (folder) => {
      const mountPoint = `${folder}/mount point`;
      Deno.mkdirSync(mountPoint);
      await run("mount", [device, mountPoint]);
      try {
        const { code, message } = await program("overwrite", device);
        assertEquals(code, "usage");
        assertEquals(message, `Cannot export to "${device}": ${device} is mounted on ${mountPoint}`);
      } finally {
        await run("umount", [mountPoint]);
      }
    });
  });
});

outsideWithLoop("exportRaw() says which permission a device needs", [], async () => {
  await withDevice(0, async (device) => {
    const { code, hints } = await program("overwrite", device, [
      "--allow-read",
      "--allow-write",
      "--allow-sys",
    ]);
    assertEquals(code, "usage");
    assertMatch(hints.join(), /--allow-all/);
  });
});

Deno.test("exportRaw() refuses a character device", async () => {
  // An ordinary path in /dev would need all permissions: here only the kind is told.
  await withFolder(async (folder) => {
    const path = `${folder}/disk.raw`;
    Deno.writeTextFileSync(path, "");
    const disk: Disk = { ...realDisk, stat: () => ({ kind: "device", sizeBytes: 0 }) };
    const error = await assertRejects(
      () => exportRaw(volume, { kind: "path", path }, exportOptions({ disk, overwrite: true })),
      OperatorError,
      "it is no block device",
    );
    assertEquals(error.code, "usage");
  });
});

/** A disk on which the file `path` passes for a device. */
function asDevice(path: string, facts: Partial<DeviceFacts>, base: Disk = realDisk) {
  const disk: Disk = {
    ...base,
    stat: (asked) => asked === path ? { kind: "device", sizeBytes: 0 } : base.stat(asked),
  };
  const devices: DeviceHost = {
    resolve: (asked) => asked,
    inspect: () => ({ sizeBytes: realDisk.stat(path)!.sizeBytes, isReadOnly: false, uses: [], ...facts }),
  };
  return { disk, devices };
}

Deno.test("exportRaw() refuses a device that is held, read-only or swap", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/device`;
    Deno.writeFileSync(path, new Uint8Array(volume.bytes.length));
    const cases: [Partial<DeviceFacts>, string, RegExp][] = [
      [
        { uses: ["/dev/x1 is held by dm-0", "/dev/x2 is swap space"] },
        "usage",
        /dm-0, \/dev\/x2 is swap space$/,
      ],
      [{ isReadOnly: true }, "storage", /read-only/],
    ];
    for (const [facts, code, message] of cases) {
      const error = await assertRejects(
        () =>
          exportRaw(
            volume,
            { kind: "path", path },
            exportOptions({ overwrite: true, ...asDevice(path, facts) }),
          ),
        OperatorError,
      );
      assertEquals(error.code, code);
      assertMatch(error.message, message);
    }
  });
});

Deno.test("exportRaw() puts no virtual disk on a device; windows of one need a place of their own", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/device`;
    Deno.writeFileSync(path, new Uint8Array(volume.bytes.length));
    const exported = (more: Partial<ExportOptions>) =>
      exportRaw(
        volume,
        { kind: "path", path },
        exportOptions({ overwrite: true, ...asDevice(path, {}), ...more }),
      );
    for (
      const [more, message] of [
        [
          { virtualDisk: { format: "vmdk", createdAt: "2026-03-01T10:00:00.000Z" } },
          /Cannot write a VMDK to/,
        ],
        [{ virtualDisk: { format: "vhd", createdAt: "2026-03-01T10:00:00.000Z" } }, /Cannot write a VHD to/],
        [{ splitBytes: MIB }, /Cannot write pieces to/],
        [{ windowLog: { windowBytes: MIB } }, /beside a device/],
      ] as const
    ) {
      const error = await assertRejects(() => exported(more), OperatorError);
      assertEquals(error.code, "usage");
      assertMatch(error.message, message);
    }
    assert(Deno.readFileSync(path).every((byte) => byte === 0), "a refused export wrote");
    const { windowLogs } = await exported({ windowLog: { windowBytes: MIB, base: `${folder}/windows` } });
    assertEquals(windowLogs, [`${folder}/windows.sha256.log`]);
    const lines = Deno.readTextFileSync(windowLogs[0]!).split("\n");
    assertEquals(lines.length, volume.bytes.length / MIB + 3);
  });
});

Deno.test("exportRaw() to a device that fails at any operation says so, and the next one is whole", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/device`;
    for (let at = 0, isReached = true; isReached; at++) {
      Deno.writeFileSync(path, new Uint8Array(volume.bytes.length + 512).fill(0xff));
      const disk = failingDisk((n) => n === at ? platformError("EIO") : undefined);
      const attempt = exportRaw(
        volume,
        { kind: "path", path },
        exportOptions({ overwrite: true, syncEveryBytes: MIB, ...asDevice(path, {}, disk) }),
      );
      const failure = await attempt.then(() => undefined, (error: unknown) => error);
      isReached = disk.operations.length > at;
      assertEquals(
        failure instanceof OperatorError ? failure.code : failure,
        isReached ? "storage" : undefined,
      );
      if (isReached && disk.operations[at] === "sync") {
        assert(!disk.operations.slice(at + 1).includes("sync"), "a failed sync is never retried");
      }
      await exportRaw(
        volume,
        { kind: "path", path },
        exportOptions({ overwrite: true, ...asDevice(path, {}) }),
      );
      assertEquals(Deno.readFileSync(path).subarray(0, volume.bytes.length), volume.bytes);
    }
  });
});

Deno.test("readBack() ignores what lies behind the volume on a device", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/device`;
    const held = new Uint8Array(volume.bytes.length + 512).fill(0xff);
    held.set(volume.bytes);
    Deno.writeFileSync(path, held);
    const result = await readBack(volume, path, asDevice(path, {}));
    assertEquals([result.findings, result.excessBytes, result.target], [[], 512, "device"]);
  });
});

Deno.test("deviceNumber() splits numbers as Linux packs them", () => {
  assertEquals(deviceNumber(0x0700), "7:0");
  assertEquals(deviceNumber(0x10302), "259:2");
  // Minor 0x12345 of major 259: its upper bits lie above the major's.
  assertEquals(deviceNumber(0x12345 % 256 + 259 * 256 + (0x123 << 20)), `259:${0x12345}`);
  assertEquals(deviceNumber(null), "");
});

Deno.test("parseMounts() reads paths with spaces, and lines with any number of optional fields", () => {
  assertEquals(
    parseMounts(
      "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:2 - ext3 /dev/ro\\134ot rw\n" +
        "37 35 0:30 / /data rw - btrfs /dev/sdb1 rw\nnonsense\n",
    ),
    [
      { device: "98:0", mountPoint: "/mnt 2", source: "/dev/ro\\ot" },
      { device: "0:30", mountPoint: "/data", source: "/dev/sdb1" },
    ],
  );
});

Deno.test("deviceUses() names mounts and holders of a disk and of its partitions", async () => {
  await withFolder(async (folder) => {
    await Promise.resolve();
    const roots = { sys: `${folder}/sys`, proc: `${folder}/proc` };
    const file = (path: string, text: string) => {
      Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
      Deno.writeTextFileSync(path, text);
    };
    const disk = `${roots.sys}/dev/block/8:16`;
    file(`${disk}/dev`, "8:16\n");
    file(`${disk}/sdb1/dev`, "8:17\n");
    file(`${disk}/sdb1/partition`, "1\n");
    file(`${disk}/sdb2/dev`, "8:18\n");
    file(`${disk}/sdb2/partition`, "2\n");
    file(`${disk}/queue/rotational`, "0\n");
    file(`${roots.sys}/dev/block/8:18/holders/dm-0`, "");
    file(`${roots.proc}/swaps`, "Filename Type Size Used Priority\n/swapfile file 8 0 -2\n");
    file(
      `${roots.proc}/self/mountinfo`,
      "22 1 8:17 / /data rw - ext4 /dev/sdb1 rw\n23 1 0:22 / /run rw - tmpfs tmpfs rw\n",
    );
    assertEquals(deviceUses("/dev/sdb", disk, roots).sort(), [
      "/dev/sdb1 is mounted on /data",
      "/dev/sdb2 is held by dm-0",
    ]);
  });
});
