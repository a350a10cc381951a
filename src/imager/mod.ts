/**
 * Folders that Snapshot-4n6ir-Imager made: an EBS snapshot as one file a block, whose name says which block it is and
 * what its SHA-256 should be. This room finds the folder, reads its names strictly, and gives blocks whose bytes have
 * that SHA-256. It writes nothing, and knows no store.
 */
export { findFolder, type ImagerFolder } from "./_find.ts";
export { type BlockFile, BlockFolder, readNames } from "./_folder.ts";
export { FernetKey } from "./_fernet.ts";
export type { ImagerLayout } from "./_names.ts";
