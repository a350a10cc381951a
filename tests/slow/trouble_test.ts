/** Random sequences of troubles over whole acquisitions: more of what `deno task test` has. */
import { requireSequences } from "../trouble/sequences.ts";

Deno.test("acquire ends with the same image through hundreds of sequences of troubles", () =>
  requireSequences(300));
