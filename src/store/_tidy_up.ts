/**
 * Clears away what killed sessions left that is no evidence. What nobody of us put there is moved to quarantine:
 * it must not keep the store from being written to.
 *
 * @see store-format.md, "Order of writes"
 */
import type { Disk, ExhibitId } from "../model.ts";
import { isExhibitId } from "../units.ts";
import type { JournalHead } from "../format/journal.ts";
import { removeJournal } from "./_journal.ts";
import { CACHE_FOLDER, EXHIBITS_FOLDER, JOURNAL_FOLDER, TEMPORARY_FOLDER } from "./_layout.ts";
import type { LocalStorage } from "./_local_storage.ts";

/** What is to stay. */
interface Known {
  journals(): Promise<JournalHead[]>;
  exhibitIds(): Promise<ExhibitId[]>;
}

/** The store is open for writing. */
export async function tidyUp(
  { disk, storage }: { readonly disk: Disk; readonly storage: LocalStorage },
  known: Known,
): Promise<void> {
  const namesIn = (folder: string) =>
    disk.stat(storage.pathOf(folder)) ? disk.list(storage.pathOf(folder)) : [];
  for (const name of namesIn(TEMPORARY_FOLDER).map((name) => `${TEMPORARY_FOLDER}/${name}`)) {
    if (disk.stat(storage.pathOf(name))?.kind === "directory") await storage.quarantine(name);
    else disk.remove(storage.pathOf(name));
  }
  await storage.makeFolder(CACHE_FOLDER);
  const names = namesIn(JOURNAL_FOLDER).filter(isExhibitId);
  if (names.length === 0) return;
  const alive = new Set((await known.journals()).map((head) => head.exhibit));
  const committed = new Set(await known.exhibitIds());
  for (const name of names) {
    if (alive.has(name) && !committed.has(name)) continue;
    // Its writer may have died between the last rename and this: the journal outlives the exhibit's names.
    if (committed.has(name)) await disk.syncDirectory(storage.pathOf(`${EXHIBITS_FOLDER}/${name}`));
    await removeJournal(storage, disk, name);
  }
}
