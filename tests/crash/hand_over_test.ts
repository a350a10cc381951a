/** What is done with exhibits survives a loss of power at any moment, as acquisitions do. */
import { exportingE01 } from "./e01.ts";
import { exploreAll } from "./explore.ts";
import * as scenarios from "./hand_over.ts";
import { repairing } from "./repairing.ts";
import { exportingVhd, exportingVmdk } from "./virtual_disks.ts";

Deno.test("a copy survives a loss of power after any operation", () =>
  exploreAll([[scenarios.copying, 400], [scenarios.copyingEncrypted, 200]]));

Deno.test("an encryption survives a loss of power after any operation", () =>
  exploreAll([[scenarios.encrypting, 60]]));

Deno.test("a decryption survives a loss of power after any operation", () =>
  exploreAll([[scenarios.decrypting, 60]]));

Deno.test("signatures, addenda and the custody log survive a loss of power after any operation", () =>
  exploreAll([[scenarios.addingToPlain, 600], [scenarios.addingToEncrypted, 30]]));

Deno.test("a repair survives a loss of power after any operation", () => exploreAll([[repairing, 120]]));

Deno.test("an export survives a loss of power after any operation", () =>
  exploreAll([[scenarios.exporting, 2800], [scenarios.exportingAnew, 600]]));

Deno.test("an export as virtual disk, with windows, survives a loss of power after any operation", () =>
  exploreAll([[exportingVmdk, 700], [exportingVhd, 400]]));

Deno.test("an export of an E01 survives a loss of power after any operation", () =>
  exploreAll([[exportingE01, 250]]));
