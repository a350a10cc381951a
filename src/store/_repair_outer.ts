/**
 * Repairs what an exhibit can't be opened without: signed inventories, the manifest's file, of an encrypted one the map, and
 * signatures. They come whole from another copy. A damaged inventory that no copy has goes to quarantine with its signatures, where
 * another one says where the exhibit lies, or where one can be made anew: from the manifest, its segments, and what the packs of
 * the store hold. A manifest can't be made anew.
 *
 * @see store-format.md, "Repairing", "Inventory"
 */
import { isFault } from "../errors.ts";
import { decodeInventory, MAX_INVENTORY_BYTES } from "../format/inventory.ts";
import { decodeManifest, MAX_MANIFEST_BYTES } from "../format/manifest.ts";
import type { VerifyingKey } from "../format/verifying_key.ts";
import type { ExhibitId, ObjectName } from "../model.ts";
import { inventoryNames } from "./_outer.ts";
import { readChecked } from "./_checked.ts";
import { EXHIBITS_FOLDER, manifestName, mapName } from "./_layout.ts";
import type { RepairOptions } from "./_repair_exhibit.ts";
import { type RepairParts, type RepairStep, restoreFrom, stepFor } from "./_repair_files.ts";
import { rebuildInventory } from "./_repair_inventory.ts";
import { type SignatureStep, signatureSteps } from "./_repair_signatures.ts";
import { checkSignatures } from "./_signatures.ts";
import { isUnopened } from "./_verify_unopened.ts";

interface UsableInventory {
  readonly name: ObjectName;
  readonly committedAt: string;
  /** Fingerprints of those whose signatures over it hold. */
  readonly signers: readonly string[];
  /** The manifest's, and of an encrypted exhibit the map's. */
  readonly manifestFiles: readonly [ObjectName, ...ObjectName[]];
}

/** Inventories of an exhibit, by what they are good for. */
interface Inventories {
  /** Sound and signed, the newest first. */
  readonly usable: readonly UsableInventory[];
  readonly steps: readonly RepairStep[];
  /** Of sound ones: what another copy's signatures mend. */
  readonly signatures: SignatureStep[];
}

interface OuterRepair {
  readonly restoredFiles: number;
  /** Files that are damaged still. */
  readonly lacking: readonly RepairStep[];
  /** Something was found, and told. */
  readonly isDamaged: boolean;
  /** True: what lies behind what was mended can be looked at now. */
  readonly isChanged: boolean;
}

/**
 * Repairs it, if `options` has a key; gives what could not be. Throws `identity` where something has to be opened for
 * it and nothing opens it, or where another key is needed.
 */
export async function repairOuter(
  parts: RepairParts,
  id: ExhibitId,
  options: Pick<RepairOptions, "copy" | "key" | "onSteps">,
): Promise<OuterRepair> {
  const { storage } = parts;
  const { copy, key } = options;
  const { usable, steps, signatures } = await surveyInventories(parts, id, options);
  const newest = usable[0];
  const others: RepairStep[] = [];
  for (const name of newest?.manifestFiles ?? []) {
    const step = await stepFor({ storage, copy }, name);
    if (step) others.push(step);
  }
  if (newest && others.length === 0) {
    signatures.push(...await manifestSignatures(parts, newest, options));
  }
  const all = [...steps, ...others, ...signatures];
  if (all.length === 0) return { restoredFiles: 0, lacking: [], isDamaged: false, isChanged: false };
  options.onSteps(all, { lostBlocks: 0, lostBlocksInCopy: 0 });
  const lacking = all.filter(({ remedy }) => remedy === "none");
  if (!key) return { restoredFiles: 0, lacking, isDamaged: true, isChanged: false };
  let restoredFiles = 0;
  for (const { file, remedy } of [...steps, ...others]) {
    if (remedy !== "copy") continue;
    await restoreFrom(copy!, storage, file);
    restoredFiles++;
  }
  // What is there with other bytes is moved aside.
  for (const { file, bytes } of signatures) await storage.put(file, bytes);
  restoredFiles += signatures.length;
  if (steps.some(({ remedy }) => remedy === "rebuild")) {
    const made = await rebuildInventory(parts, id, { ...options, key });
    restoredFiles += made.restoredFiles;
  }
  for (const { file, state, remedy } of steps) {
    if (remedy === "copy" || remedy === "none") continue;
    await setAsideSigned(parts, file, { isThere: state === "damaged" });
  }
  return { restoredFiles, lacking, isDamaged: true, isChanged: true };
}

/** Which there are, or were: a signature tells also of one that is gone. */
async function surveyInventories(
  { storage }: RepairParts,
  id: ExhibitId,
  { copy }: Pick<RepairOptions, "copy">,
): Promise<Inventories> {
  const signed = new Set<ObjectName>();
  for await (const { name } of storage.list(`${EXHIBITS_FOLDER}/${id}/`)) {
    const stem = /^(.*\/inventory-[0-9a-f]{64})\.[0-9a-f]{16}\.sshsig$/.exec(name)?.[1];
    if (stem !== undefined) signed.add(`${stem}.txt`);
  }
  // Without a signature there is no exhibit: that there was one only another copy can tell.
  const isGone = signed.size === 0;
  if (isGone && copy) { for (const name of await inventoryNames(copy.storage, id)) signed.add(name); }
  const usable: UsableInventory[] = [];
  const damaged: RepairStep[] = [];
  const signatures: SignatureStep[] = [];
  for (const name of signed) {
    try {
      const bytes = await readChecked(storage, name, MAX_INVENTORY_BYTES);
      const { manifest, map, committedAt } = decodeInventory(bytes, `"${name}"`);
      const document = { name, bytes, namespace: "coldcase-inventory@v1" } as const;
      const mended = await signatureSteps({ storage, copy }, document, () => isGone);
      const check = await checkSignatures(storage, document);
      if (check.held.length + mended.length === 0) throw check.faults[0]!; // its signature led us here
      signatures.push(...mended);
      const manifestFile = manifestName(id, manifest, map === null ? "" : ".age");
      const mapFiles = map === null ? [] : [mapName(id, map)];
      const signers = check.held.map(({ key }) => key.fingerprint);
      usable.push({ name, committedAt, signers, manifestFiles: [manifestFile, ...mapFiles] });
    } catch (error) {
      if (!isFault(error)) throw error;
      // Another copy's is of use only where its bytes are what is wrong.
      const step = await stepFor({ storage, copy }, name) ??
        { file: name, state: "damaged", remedy: "none" } as const;
      damaged.push(step);
    }
  }
  usable.sort((a, b) => a.committedAt > b.committedAt ? -1 : 1);
  const hasOther = usable.length > 0 || damaged.some(({ remedy }) => remedy === "copy");
  const steps = damaged
    // One that is gone keeps nobody from another.
    .filter(({ state, remedy }) =>
      state === "damaged" || usable.length === 0 && (remedy === "copy" || !hasOther)
    )
    .map((step) =>
      step.remedy === "none"
        ? { ...step, remedy: hasOther ? "set_aside" as const : "rebuild" as const }
        : step
    );
  return { usable, steps, signatures };
}

/** To quarantine with all that is over it, the signature before what it is over: without it that counts no more. */
async function setAsideSigned(
  { storage }: RepairParts,
  inventory: ObjectName,
  { isThere }: { readonly isThere: boolean },
): Promise<void> {
  const stem = inventory.replace(/txt$/, "");
  const beside: ObjectName[] = [];
  for await (const { name } of storage.list(inventory.slice(0, inventory.lastIndexOf("/") + 1))) {
    if (name.startsWith(stem) && name !== inventory) beside.push(name);
  }
  const isToken = (name: ObjectName) => name.endsWith(".tst");
  beside.sort((a, b) => Number(isToken(b)) - Number(isToken(a)));
  for (const name of [...beside, ...(isThere ? [inventory] : [])]) await storage.quarantine(name);
}

/** Signatures over a manifest whose file is sound; none where it can't be opened. */
async function manifestSignatures(
  { storage, contents }: RepairParts,
  { manifestFiles: [name], signers: inventorySigners }: UsableInventory,
  { copy }: Pick<RepairOptions, "copy">,
): Promise<SignatureStep[]> {
  if (!copy) return [];
  try {
    const bytes = await contents.read(name, MAX_MANIFEST_BYTES);
    const { signer } = decodeManifest(bytes, `"${name}"`).acquisition;
    const document = { name, bytes, namespace: "coldcase-manifest@v1" } as const;
    // One key must have signed both, whoever made the inventory that counts now.
    const isWanted = ({ fingerprint }: VerifyingKey) =>
      fingerprint === signer || inventorySigners.includes(fingerprint);
    return await signatureSteps({ storage, copy }, document, isWanted);
  } catch (error) {
    if (!isFault(error) && !isUnopened(error)) throw error;
    return []; // whoever opens the exhibit is told
  }
}
