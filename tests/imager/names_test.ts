/** Names of folders and files: what is one gives all that it says, and what is nearly one is none. */
import { assertEquals } from "@std/assert";
import { parseBlockFileName, parseFolderName } from "../../src/imager/_names.ts";

const DIGEST = "0123456789abcdef".repeat(4);
const NAME = `7_snap-0123456789abcdef0_${DIGEST}_8_524288`;

Deno.test("parseFolderName() knows the three folders of a snapshot, and no other", () => {
  const snapshot = "snap-0123456789abcdef0";
  assertEquals(parseFolderName(snapshot)?.layout, "plain");
  assertEquals(parseFolderName(`${snapshot}_compressed`)?.layout, "compressed");
  assertEquals(parseFolderName(`${snapshot}_encrypted`)?.layout, "encrypted");
  for (
    const name of [
      "",
      "snap-",
      "snap-0123456",
      `${snapshot}1`,
      `${snapshot}_`,
      `${snapshot}_Encrypted`,
      "SNAP-01234567",
    ]
  ) {
    assertEquals(parseFolderName(name), undefined, name);
  }
});

Deno.test("parseBlockFileName() gives what a name says, each layout its own", () => {
  const said = parseBlockFileName(NAME, "plain");
  assertEquals(JSON.parse(JSON.stringify(said)), {
    index: 7,
    snapshot: "snap-0123456789abcdef0",
    digest: DIGEST,
    volumeSizeGib: 8,
    blockSizeBytes: 524_288,
  });
  assertEquals(parseBlockFileName(`${NAME}.gz`, "compressed"), said);
  assertEquals(parseBlockFileName(`${NAME}.gz.encrypted`, "encrypted"), said);
  assertEquals(parseBlockFileName(NAME.replace("7_", "0000000007_"), "plain"), said);
  assertEquals(parseBlockFileName(NAME.replace("7_", "0_"), "plain")?.index, 0);
});

Deno.test("parseBlockFileName() refuses what is nearly a name", () => {
  const near = [
    NAME.slice(0, -1) + "8 ",
    `${NAME}\n`,
    `${NAME}.gz`,
    ` ${NAME}`,
    NAME.replace("7_", "07_"),
    NAME.replace("7_", "-7_"),
    NAME.replace("7_", "1e3_"),
    NAME.replace("7_", "00000000007_"),
    NAME.replace("_8_", "_08_"),
    NAME.replace("_8_", "_0_"),
    NAME.replace("_524288", "_"),
    NAME.replace(DIGEST, DIGEST.toUpperCase()),
    NAME.replace(DIGEST, DIGEST.slice(1)),
    NAME.replace("snap-", "vol-"),
    NAME.replaceAll("_", "-"),
  ];
  for (const name of near) assertEquals(parseBlockFileName(name, "plain"), undefined, JSON.stringify(name));
  assertEquals(parseBlockFileName(NAME, "compressed"), undefined);
  assertEquals(parseBlockFileName(`${NAME}.gz`, "encrypted"), undefined);
});
