/** A hundred and more random kills of what is done with exhibits. `deno task test:storm`. */
import { storm } from "./storm.ts";

Deno.test("copies, encryptions and exports that are killed at random moments come to the end of undisturbed ones", () =>
  storm(["encrypt", "copy", "export"], 34));

Deno.test("virtual disks that are killed at random moments come to the end of undisturbed ones", () =>
  storm(["export as VMDK", "export as VHD"], 8));
