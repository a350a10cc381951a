/**
 * Verifies an encrypted exhibit from outside: every file that its inventory names is there, of its size, and has the
 * SHA-256 of its name. What is in the files is not looked at, and nothing says that it is sound.
 *
 * @see store-format.md, "Verification"
 */
import { isFault, messageOf } from "../errors.ts";
import type { ObjectName } from "../model.ts";
import { parseName } from "./_layout.ts";
import type { LocalStorage } from "./_local_storage.ts";
import type { OuterExhibit } from "./_outer.ts";
import type { Finding, VerifyOptions, VerifySummary } from "./_findings.ts";

export async function verifyOuter(
  storage: LocalStorage,
  outer: OuterExhibit,
  options: VerifyOptions,
): Promise<VerifySummary> {
  const { files } = outer.inventory;
  const packs = files.filter((file) => parseName(file.name)?.kind === "pack");
  const isRead = (name: ObjectName) => isOfSample(name, options.level);
  const totalBytes = files.reduce((sum, file) => isRead(file.name) ? sum + file.sizeBytes : sum, 0);
  let findings = 0;
  let readBytes = 0;
  let packsRead = 0;
  const report = (finding: Finding) => {
    findings++;
    options.onFinding(finding);
  };
  for (const fault of missingNames(outer)) {
    report({
      code: "file_missing",
      file: outer.inventoryFile,
      message: `"${outer.inventoryFile}": ${fault}`,
    });
  }
  for (const file of files) {
    options.signal.throwIfAborted();
    const { name } = file;
    try {
      const stat = await storage.stat(name);
      if (!stat) report({ code: "file_missing", file: name, message: `"${name}" is missing` });
      else if (stat.sizeBytes !== file.sizeBytes) {
        const message = `"${name}" has ${stat.sizeBytes} bytes, the inventory says ${file.sizeBytes}`;
        report({ code: "file_size", file: name, message });
      } else if (isRead(name)) {
        const computed = storage.digestOf(name);
        readBytes += stat.sizeBytes;
        if (parseName(name)?.kind === "pack") packsRead++;
        if (computed !== parseName(name)?.digest) {
          const message = `"${name}" has SHA-256 ${computed}, expected the one in its name`;
          report({ code: "file_damaged", file: name, message });
        }
        options.onProgress?.({ readBytes, totalBytes });
      }
    } catch (error) {
      if (!isFault(error)) throw error;
      report({ code: "file_damaged", file: name, message: messageOf(error) });
    }
  }
  const unopened = files.filter((file) => parseName(file.name)?.isEncrypted);
  return {
    findings,
    files: files.length,
    packs: packs.length,
    packsRead,
    readBytes,
    storedBlocks: 0,
    uncheckedBlocks: 0,
    unopenedFiles: unopened.length,
    unopenedPacks: packs.length,
    firstUnopened: unopened[0]?.name ?? null,
  };
}

/** Whether a sample reads the data of a pack: one share of them, by their names; of other files all. */
export function isOfSample(name: ObjectName, level: VerifyOptions["level"]): boolean {
  const named = parseName(name);
  if (typeof level === "string" || named?.kind !== "pack") return level !== "quick";
  return parseInt(named.digest.slice(0, 8), 16) % level.of === level.part - 1;
}

function missingNames({ inventory, manifestFile, mapFile }: OuterExhibit): string[] {
  const listed = new Set(inventory.files.map(({ name }) => name));
  return [manifestFile, ...(mapFile ? [mapFile] : [])].filter((name) => !listed.has(name))
    .map((name) => `it does not name "${name}"`);
}
