/** What is done with exhibits survives a loss of power at any moment, as acquisitions do. */
import { exploreAll } from "./explore.ts";
import * as scenarios from "./hand_over.ts";

Deno.test("a copy survives a loss of power after any operation", () =>
  exploreAll([[scenarios.copying, 800], [scenarios.copyingEncrypted, 400]]));

Deno.test("an encryption survives a loss of power after any operation", () =>
  exploreAll([[scenarios.encrypting, 150]]));

Deno.test("a decryption survives a loss of power after any operation", () =>
  exploreAll([[scenarios.decrypting, 150]]));

Deno.test("signatures, addenda and the custody log survive a loss of power after any operation", () =>
  exploreAll([[scenarios.addingToPlain, 1000], [scenarios.addingToEncrypted, 60]]));

Deno.test("an export survives a loss of power after any operation", () =>
  exploreAll([[scenarios.exporting, 1200], [scenarios.exportingAnew, 400]]));
