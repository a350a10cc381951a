/**
 * Reads an immutable file whole and compares its SHA-256 with its name before anyone parses a byte of it.
 * For documents; packs are read record by record.
 */
import { OperatorError } from "../errors.ts";
import { sha256 } from "../format/digests.ts";
import type { ObjectName, ObjectStorage } from "../model.ts";
import { parseName } from "./_layout.ts";

/** What to do about a damaged file of a store. */
export const DAMAGE_HINT = 'Run "coldcase repair --dry-run" to see what can be mended: it changes nothing.';

/**
 * The bytes of `name`. Throws `integrity` where there is no such file or its bytes have another digest than
 * its name says, `format` where it is larger than `maxBytes`; `facts.file` names it.
 */
export async function readChecked(
  storage: ObjectStorage,
  name: ObjectName,
  maxBytes: number,
): Promise<Uint8Array> {
  const facts = { file: name };
  const hints = [DAMAGE_HINT];
  const stat = await storage.stat(name);
  if (!stat) {
    throw new OperatorError("integrity", `Cannot read "${name}": the file is missing`, { facts, hints });
  }
  if (stat.sizeBytes > maxBytes) {
    throw new OperatorError(
      "format",
      `Cannot read "${name}": has ${stat.sizeBytes} bytes, at most ${maxBytes} are allowed`,
      { facts },
    );
  }
  const bytes = await storage.read(name, { offset: 0, length: stat.sizeBytes });
  const computed = sha256(bytes);
  const expected = parseName(name)?.digest;
  if (computed !== expected) {
    throw new OperatorError(
      "integrity",
      `Cannot accept "${name}": its SHA-256 is ${computed}, expected the one in its name`,
      { facts, hints },
    );
  }
  return bytes;
}
