/**
 * Signature files of an exhibit, mended from another copy: one that does not hold any more, and that by the manifest's own
 * signer where it is gone. Only what holds there over the very same bytes is taken; other signatures of the copy stay where
 * they are.
 *
 * @see store-format.md, "Signatures", "Repairing"
 */
import type { VerifyingKey } from "../format/verifying_key.ts";
import type { RepairCopy, RepairParts, RepairStep } from "./_repair_files.ts";
import { checkSignatures, type SignedDocument } from "./_signatures.ts";

/** A signature file that is to be mended, with what takes its place. */
export interface SignatureStep extends RepairStep {
  readonly bytes: Uint8Array;
}

/** @param isWanted Whether a signature by this key is to be there, also where no file tells that it was. */
export async function signatureSteps(
  { storage, copy }: { readonly storage: RepairParts["storage"]; readonly copy: RepairCopy | undefined },
  document: SignedDocument,
  isWanted: (key: VerifyingKey) => boolean = () => false,
): Promise<SignatureStep[]> {
  if (!copy) return [];
  const here = await checkSignatures(storage, document);
  const bad = new Set(here.faults.map(({ facts }) => String(facts["file"])));
  const steps: SignatureStep[] = [];
  for (const { file, rawFile, key } of (await checkSignatures(copy.storage, document)).held) {
    // The SSHSIG last: it is what counts.
    for (const name of rawFile === null ? [file] : [rawFile, file]) {
      const isThere = await storage.stat(name) !== undefined;
      if (!bad.has(name) && (isThere || !isWanted(key))) continue;
      const { sizeBytes } = (await copy.storage.stat(name))!;
      const bytes = await copy.storage.read(name, { offset: 0, length: sizeBytes });
      steps.push({ file: name, state: isThere ? "damaged" : "missing", remedy: "copy", bytes });
    }
  }
  return steps;
}
