/**
 * What `import` does where an earlier run came to its end: nothing, if the exhibit is of the very blocks that the folder
 * names; and how that is told.
 */
import type { CommandContext } from "../cli/mod.ts";
import { folderOf, IMPORTED_KIND } from "../format/manifest.ts";
import type { BlockFolder } from "../imager/mod.ts";
import type { Exhibit, OuterExhibit, Store } from "../store/mod.ts";
import { showExhibit } from "./_acquire_shown.ts";
import { exitCodeOf, outerEvent, outerText, statusOf } from "./_exhibits.ts";

async function isBegun(store: Store, { snapshot }: BlockFolder): Promise<boolean> {
  return (await store.journals()).some(({ source }) =>
    source.kind === IMPORTED_KIND && source.snapshot === snapshot
  );
}

/** What a host that can't read its store holds of the snapshot: imported or acquired, it can't tell. */
export async function heldUnopened(store: Store, folder: BlockFolder): Promise<OuterExhibit | undefined> {
  if (store.isReadable || await isBegun(store, folder)) return undefined;
  return await store.newestOuterOf(folder.snapshot);
}

export function tellUnopened(
  { out }: CommandContext,
  closed: OuterExhibit,
  about: (one: OuterExhibit) => void,
): number {
  out.note(`held already as ${closed.id}, encrypted and not opened: acquired or imported; nothing to do`);
  out.note("--fresh imports it anew");
  about(closed);
  out.result(outerText(closed));
  out.event({ type: "summary", ...outerEvent(closed) });
  return 0;
}

type Held = { readonly exhibit: Exhibit; readonly hasFindings: boolean };

/** The exhibit that an earlier run made of this very folder's contents, as far as names tell. */
export async function heldAlready(store: Store, folder: BlockFolder): Promise<Held | undefined> {
  if (!store.isReadable || await isBegun(store, folder)) return undefined;
  const exhibit = await store.newestOf(folder.snapshot, IMPORTED_KIND);
  if (!exhibit || !await namesTheSame(exhibit, folder)) return undefined;
  const unreadable = await exhibit.unreadable() ?? [];
  const { blockCount, blockFiles, otherBlockFiles } = folder.facts;
  const isMixed = blockFiles > blockCount || otherBlockFiles > 0;
  return { exhibit, hasFindings: isMixed || unreadable.some(({ first }) => first.reason !== "no_file") };
}

/** Whether every file of the folder names a block that the exhibit holds, and none is new. */
async function namesTheSame(exhibit: Exhibit, folder: BlockFolder): Promise<boolean> {
  const { blockCount } = exhibit.shape;
  if (blockCount !== folder.facts.shape.blockCount) return false;
  const files = folderOf(exhibit.manifest.source);
  if (files?.blockFiles !== folder.facts.blockFiles) return false;
  for (const { index, digest } of folder.blocks()) {
    const held = await exhibit.block(index);
    const isSame = held?.state === "unreadable" ||
      (held !== undefined && digest !== undefined && exhibit.holds(held, digest));
    if (!isSame) return false;
  }
  return true;
}

export function tellHeld(
  { out }: CommandContext,
  { exhibit, hasFindings }: Held,
  about: (one: Exhibit) => void,
): number {
  out.note(`imported already as ${exhibit.id}, ${statusOf(exhibit.manifest)}; nothing to do`);
  out.note("--fresh imports it anew");
  about(exhibit);
  showExhibit(out, exhibit);
  return hasFindings ? 20 : exitCodeOf(exhibit.manifest);
}
