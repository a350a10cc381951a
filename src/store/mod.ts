/**
 * The store: a directory that holds exhibits of one case. This is the small door; packs, index, journal,
 * write order and locks are behind it. Nothing outside this folder knows a file of a store.
 *
 * @see store-format.md
 */
export type { Acquisition, SessionReport, SourceSideCounts } from "./_acquisition.ts";
export type { ExhibitAccess } from "./_access.ts";
export type { CommitFacts, CommittedExhibit } from "./_commit.ts";
export type { Exhibit } from "./_exhibit.ts";
export type { OuterExhibit } from "./_outer.ts";
export type { JournalHead } from "../format/journal.ts";
export { DAMAGE_HINT } from "./_checked.ts";
export { listingChanged } from "./_acquisition.ts";
export type { CopyOptions, CopySummary } from "./_copy.ts";
export type { Finding, VerifyOptions, VerifySummary } from "./_findings.ts";
export type { AcquisitionPlan, Store } from "./_store.ts";
export { type OpenOptions, openStore, openStoreForWriting, type WriteOptions } from "./_open.ts";
export type { PassphraseIdentity, RecipientWish } from "./_recipients.ts";
export type { AddSummary, NewRecipients } from "./_recipients_add.ts";
export type { CustodyCheck, CustodyFacts } from "./_custody.ts";
export type { EvidenceCheck, EvidenceFinding } from "./_evidence.ts";
export type { Corrections, HeldCorrection } from "./_corrections.ts";
export type { CorrectionWish, MadeCorrection } from "./_store_evidence.ts";
export type { HeldSignature, SignedFile } from "./_signatures.ts";
export type {
  DamagedJournal,
  Refetch,
  RepairedExhibit,
  RepairStep,
  RepairSummary,
  StoreRepair,
} from "./_repair.ts";
