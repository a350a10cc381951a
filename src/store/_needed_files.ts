/**
 * Which files an exhibit needs by its manifest, beside packs, and what its inventory says otherwise. Whoever
 * goes by an inventory (verify, copy, an incremental acquisition) asks here first: what it leaves out nobody
 * would look at, and no copy would hold.
 *
 * @see store-format.md, "Inventory"
 */
import type { DocumentType } from "../format/documents.ts";
import type { Digest, ObjectName } from "../model.ts";
import type { Exhibit } from "./_exhibit.ts";
import { parseName } from "./_layout.ts";

/** Names of the side documents with the type and digest that each must have. */
export function neededDocuments(
  exhibit: Exhibit,
): Map<ObjectName, { readonly type: DocumentType; readonly digest: Digest }> {
  const { description, sessions, unreadable } = exhibit.manifest.acquisition.documents;
  const documents = new Map<ObjectName, { readonly type: DocumentType; readonly digest: Digest }>();
  const add = (type: DocumentType, digest: Digest | null) => {
    if (digest) documents.set(exhibit.documentFile(digest), { type, digest });
  };
  add("coldcase-sessions", sessions);
  add("coldcase-description", description);
  add("coldcase-unreadable", unreadable);
  return documents;
}

/** What is wrong with the list of files, one text each; a file that has no name of a store is not told here. */
export function inventoryFaults(exhibit: Exhibit): string[] {
  const { inventory, manifest, manifestFile, mapFile } = exhibit;
  const needed = new Set([
    manifestFile,
    ...(mapFile ? [mapFile] : []),
    ...neededDocuments(exhibit).keys(),
    ...manifest.segments.map((digest) => exhibit.segmentFile(digest)),
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
