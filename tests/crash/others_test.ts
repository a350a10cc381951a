/** Beginning anew, adding recipients, time stamps, corrections and lost blocks that are read again survive a loss of power and a disk that fails at any operation. */
import { failEachOf } from "../faults/each_operation.ts";
import { exploreAll } from "./explore.ts";
import * as scenarios from "./others.ts";
import { refetching } from "./refetching.ts";

Deno.test("acquire --fresh survives a loss of power after any operation", () =>
  exploreAll([[scenarios.startingAnew, 80]]));

Deno.test("recipients that are added survive a loss of power after any operation", () =>
  exploreAll([[scenarios.addingRecipients, 40]]));

Deno.test("a time stamp survives a loss of power after any operation", () =>
  exploreAll([[scenarios.timestamping, 40]]));

Deno.test("a correction survives a loss of power after any operation, plain and encrypted", () =>
  exploreAll([[scenarios.correctingPlain, 40], [scenarios.correctingEncrypted, 40]]));

Deno.test("a correction survives a disk that fails at any operation", () =>
  failEachOf([[scenarios.correctingPlain, 8]]));

Deno.test("beginning anew, recipients and time stamps survive a disk that fails at any operation", () =>
  failEachOf([[scenarios.startingAnew, 20], [scenarios.addingRecipients, 40], [scenarios.timestamping, 8]]));

Deno.test("a repair that reads lost blocks again survives a loss of power, and a disk that fails", async () => {
  await exploreAll([[refetching, 40]]);
  await failEachOf([[refetching, 60]]);
});
