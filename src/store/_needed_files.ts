/**
 * Which files an exhibit needs by its manifest, beside packs, and what its inventory says otherwise. Whoever
 * goes by an inventory (verify, copy, an incremental acquisition) asks here first: what it leaves out nobody
 * would look at, and no copy would hold.
 *
 * @see store-format.md, "Inventory"
 */
import type { DocumentType } from "../format/documents.ts";
import type { ObjectName } from "../model.ts";
import type { Exhibit } from "./_exhibit.ts";
import { documentName, parseName, segmentName } from "./_layout.ts";

type Parts = Pick<Exhibit, "inventory" | "manifest" | "manifestFile">;

/** Names of the side documents with the type that each must have. */
export function neededDocuments({ manifest }: Pick<Exhibit, "manifest">): Map<ObjectName, DocumentType> {
  const { description, sessions, unreadable } = manifest.acquisition.documents;
  const documents = new Map<ObjectName, DocumentType>([[documentName(sessions), "coldcase-sessions"]]);
  if (description) documents.set(documentName(description), "coldcase-description");
  if (unreadable) documents.set(documentName(unreadable), "coldcase-unreadable");
  return documents;
}

/** What is wrong with the list of files, one text each; a file that has no name of a store is not told here. */
export function inventoryFaults(exhibit: Parts): string[] {
  const { inventory, manifest, manifestFile } = exhibit;
  const needed = new Set([
    manifestFile,
    ...neededDocuments(exhibit).keys(),
    ...manifest.segments.map(segmentName),
  ]);
  const listed = new Set(inventory.files.map((file) => file.name));
  const lacking = [...needed].filter((name) => !listed.has(name))
    .map((name) => `it does not name "${name}", which the manifest needs`);
  const surplus = inventory.files.filter(({ name }) => {
    const kind = parseName(name)?.kind;
    return kind !== undefined && kind !== "pack" && !needed.has(name);
  }).map(({ name }) => `it names "${name}", which the manifest does not`);
  return [...lacking, ...surplus];
}
