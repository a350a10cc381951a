/** Random sequences of troubles over whole acquisitions, others in each run; tests/slow has more of them. */
import { requireSequences } from "./sequences.ts";

Deno.test("acquire ends with the same image through any sequence of troubles", () => requireSequences(5));
