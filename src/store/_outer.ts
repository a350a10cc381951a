/**
 * What is known of a committed exhibit without opening it: its newest signed inventory. All that there is to know
 * of an encrypted one without an identity.
 *
 * @see store-format.md, "Inventory"
 */
import { OperatorError } from "../errors.ts";
import { decodeInventory, type Inventory, MAX_INVENTORY_BYTES } from "../format/inventory.ts";
import type { ExhibitId, ObjectName, ObjectStorage } from "../model.ts";
import { readChecked } from "./_checked.ts";
import { EXHIBITS_FOLDER, manifestName, mapName, parseName } from "./_layout.ts";
import { checkSignatures, type SignatureCheck } from "./_signatures.ts";

export interface OuterExhibit {
  readonly id: ExhibitId;
  readonly inventory: Inventory;
  readonly inventoryFile: ObjectName;
  /** Signatures over the inventory: at least one holds. */
  readonly inventoryCheck: SignatureCheck;
  readonly manifestFile: ObjectName;
  /** Of an encrypted exhibit. */
  readonly mapFile: ObjectName | undefined;
}

/** Throws `not_found` where the exhibit was never committed, `integrity` or `format` where it is damaged. */
export async function loadOuter(storage: ObjectStorage, id: ExhibitId): Promise<OuterExhibit> {
  const { name: inventoryFile, inventory, check: inventoryCheck } = await newestInventory(storage, id);
  if (inventory.exhibit !== id) {
    throw new OperatorError("integrity", `Cannot accept "${inventoryFile}": it is of another exhibit`, {
      facts: { file: inventoryFile },
    });
  }
  const { manifest, map } = inventory;
  return {
    id,
    inventory,
    inventoryFile,
    inventoryCheck,
    manifestFile: manifestName(id, manifest, map === null ? "" : ".age"),
    mapFile: map === null ? undefined : mapName(id, map),
  };
}

/** Names of the signed inventories of an exhibit; none: it was never committed. */
export async function inventoryNames(storage: ObjectStorage, id: ExhibitId): Promise<ObjectName[]> {
  const names: ObjectName[] = [];
  const signed = new Set<string>();
  for await (const { name } of storage.list(`${EXHIBITS_FOLDER}/${id}/`)) {
    if (parseName(name)?.kind === "inventory") names.push(name);
    const stem = /^(.*)\.[0-9a-f]{16}\.sshsig$/.exec(name)?.[1];
    if (stem) signed.add(`${stem}.txt`);
  }
  return names.filter((name) => signed.has(name));
}

interface SignedInventory {
  readonly name: ObjectName;
  readonly inventory: Inventory;
  readonly check: SignatureCheck;
}

/**
 * Copying and repairing write new inventories; the one committed last says where the exhibit lies now. One
 * whose signature does not hold is no inventory, and makes the exhibit unusable: which one is the newest is
 * not known any more. All of them are of one manifest.
 */
async function newestInventory(storage: ObjectStorage, id: ExhibitId): Promise<SignedInventory> {
  let newest: SignedInventory | undefined;
  for (const name of await inventoryNames(storage, id)) {
    const bytes = await readChecked(storage, name, MAX_INVENTORY_BYTES);
    const inventory = decodeInventory(bytes, `"${name}"`);
    const check = await checkSignatures(storage, { name, bytes, namespace: "coldcase-inventory@v1" });
    if (check.held.length === 0) {
      throw new OperatorError(
        "integrity",
        `Cannot accept "${name}": ${check.faults[0]?.message ?? "it has no signature"}`,
        {
          facts: { file: name },
        },
      );
    }
    if (newest && inventory.commitment !== newest.inventory.commitment) {
      throw new OperatorError(
        "integrity",
        `Cannot open exhibit "${id}": "${newest.name}" and "${name}" name different manifests`,
        { facts: { exhibit: id, file: name } },
      );
    }
    if (!newest || inventory.committedAt > newest.inventory.committedAt) newest = { name, inventory, check };
  }
  if (!newest) {
    throw new OperatorError(
      "not_found",
      `Cannot open exhibit "${id}": the store has no committed exhibit of this id`,
    );
  }
  return newest;
}
