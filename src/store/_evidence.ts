/**
 * What stands beside an exhibit's bytes: who signed it, what was added later, and whether the custody log is
 * whole. Everything wrong is a finding of its own; a signer whom nobody vouched for is told, not judged.
 *
 * @see store-format.md, "Signatures", "Custody log", "Verification"
 */
import { MAX_AGE_HEADER_BYTES } from "../cipher_age.ts";
import { encodeHex } from "@std/encoding/hex";
import { isFault, OperatorError } from "../errors.ts";
import {
  type Addendum,
  type Correction,
  decodeAnyAddendum,
  decodeReceipt,
  MAX_ADDENDUM_BYTES,
  type Receipt,
} from "../format/addendum.ts";
import { sha256 } from "../format/digests.ts";
import type { CustodyHead } from "../format/members.ts";
import { decodeTimestampToken, MAX_TIMESTAMP_BYTES } from "../format/timestamp.ts";
import type { VerifyingKey } from "../format/verifying_key.ts";
import { correctionFact, type CustodyEntry } from "../format/custody.ts";
import type { ExhibitId, ObjectName, ObjectStorage } from "../model.ts";
import { readChecked } from "./_checked.ts";
import { checkCustody, type CustodyCheck, type OnCustodyEntry } from "./_custody.ts";
import type { Contents } from "./_contents.ts";
import {
  type CorrectionFault,
  type Corrections,
  type HeldCorrection,
  refuseOther,
  settleCorrections,
  unsigned,
} from "./_corrections.ts";
import type { Exhibit } from "./_exhibit.ts";
import type { OuterExhibit } from "./_outer.ts";
import { EXHIBITS_FOLDER, parseName, RECEIPTS_FOLDER } from "./_layout.ts";
import { checkHeaders } from "./_verify_headers.ts";
import { isUnopened } from "./_verify_unopened.ts";
import {
  checkSignatures,
  damagedKeyFiles,
  type HeldSignature,
  type SignedFile,
  strangeKeyFiles,
} from "./_signatures.ts";

/** Told of each thing that is wrong with one file; `identity`: that nothing opens it. */
type Refuse = (error: OperatorError, file: ObjectName) => void;

/** What evidence is read from. */
export interface EvidenceFiles {
  readonly storage: ObjectStorage;
  readonly contents: Contents;
}

/** What was added to an exhibit: linear digests, the oldest first, and corrections. */
export interface Addenda {
  readonly digests: readonly SignedFile<Addendum>[];
  readonly corrections: Omit<Corrections, "unread">;
}

/** The good addenda of an exhibit. */
export async function readAddenda(
  { storage, contents }: EvidenceFiles,
  exhibit: Exhibit,
  refuse: Refuse,
): Promise<Addenda> {
  const folder = `${EXHIBITS_FOLDER}/${exhibit.id}/`;
  const read = (name: ObjectName) => contents.read(name, MAX_ADDENDUM_BYTES);
  const what = { folder, kind: "addendum", namespace: "coldcase-addendum@v1", read } as const;
  const digests: SignedFile<Addendum>[] = [];
  const found: HeldCorrection[] = [];
  const decode = (bytes: Uint8Array, name: string) => ({
    document: decodeAnyAddendum(bytes, name),
    digest: sha256(bytes),
  });
  for (
    const { file, document: { document, digest }, signatures } of await readSigned(
      storage,
      what,
      refuse,
      decode,
    )
  ) {
    try {
      refuseOther(document, file, exhibit);
      if (document.type === "coldcase-correction") found.push({ file, document, signatures, digest });
      else {
        refuseOtherVolume(document, file, exhibit);
        digests.push({ file, document, signatures });
      }
    } catch (error) {
      if (!isFault(error)) throw error;
      refuse(error, file);
    }
  }
  digests.sort((a, b) => a.document.at < b.document.at ? -1 : 1);
  return { digests, corrections: settleCorrections(exhibit.manifest.acquisition.case, found) };
}

/** Throws `integrity` where digests are of something else than the exhibit's volume. */
function refuseOtherVolume(document: Addendum, file: ObjectName, { manifest, shape }: Exhibit): void {
  const { absentBlocks, unreadableBlocks } = document.filled;
  const { counts } = manifest;
  const fault = document.volumeSizeBytes !== shape.blockCount * shape.blockSizeBytes
    ? "of a volume of another size"
    : absentBlocks !== counts.absentBlocks || unreadableBlocks !== counts.unreadableBlocks
    ? "of other counts of absent and unreadable blocks than the manifest's"
    : undefined;
  if (fault !== undefined) throw new OperatorError("integrity", `Cannot accept "${file}": it is ${fault}`);
}

/** The good receipts of a store, the oldest first. */
export async function readReceipts(storage: ObjectStorage, refuse: Refuse): Promise<SignedFile<Receipt>[]> {
  const folder = `${RECEIPTS_FOLDER}/`;
  const read = (name: ObjectName) => readChecked(storage, name, MAX_ADDENDUM_BYTES);
  const what = { folder, kind: "receipt", namespace: "coldcase-receipt@v1", read } as const;
  const found = await readSigned(storage, what, refuse, decodeReceipt);
  return found.sort((a, b) => a.document.at < b.document.at ? -1 : 1);
}

async function readSigned<T>(
  storage: ObjectStorage,
  what: {
    readonly folder: string;
    readonly kind: "addendum" | "receipt";
    readonly namespace: "coldcase-addendum@v1" | "coldcase-receipt@v1";
    /** The bytes that are signed. */
    read(name: ObjectName): Promise<Uint8Array>;
  },
  refuse: Refuse,
  decode: (bytes: Uint8Array, name: string) => T,
): Promise<SignedFile<T>[]> {
  const files: SignedFile<T>[] = [];
  for await (const { name } of storage.list(what.folder)) {
    if (parseName(name)?.kind !== what.kind) continue;
    try {
      const bytes = await what.read(name);
      const document = decode(bytes, `"${name}"`);
      const { held, faults } = await checkSignatures(storage, { name, bytes, namespace: what.namespace });
      for (const fault of faults) refuse(fault, name);
      if (held.length > 0) files.push({ file: name, document, signatures: held });
      else if (faults.length === 0) refuse(unsigned(name), name);
    } catch (error) {
      if (!isFault(error) && !isUnopened(error)) throw error;
      refuse(error, name);
    }
  }
  return files;
}

/** Heads of the custody log that manifests, addenda and receipts name: what must be there. */
export async function custodyAnchors(
  files: EvidenceFiles,
  exhibits: readonly Exhibit[],
): Promise<CustodyHead[]> {
  const ignore: Refuse = () => undefined; // whoever verifies them reports it
  const found: Anchoring[] = await readReceipts(files.storage, ignore);
  for (const exhibit of exhibits) found.push(...allOf(await readAddenda(files, exhibit, ignore)));
  return anchorsIn(exhibits, found);
}

type Anchoring = SignedFile<Addendum | Correction | Receipt>;

function allOf({ digests, corrections }: Addenda): Anchoring[] {
  return [...digests, ...corrections.all];
}

function anchorsIn(
  exhibits: readonly Exhibit[],
  found: readonly Anchoring[],
): CustodyHead[] {
  return [
    ...exhibits.flatMap(({ manifest }) => manifest.acquisition.custodyHeads),
    ...found.flatMap(({ document }) => document.custodyHeads),
  ];
}

/** Something wrong that is not about the bytes of blocks. */
export interface EvidenceFinding {
  readonly code:
    | "signature_damaged"
    | "signer_not_allowed"
    | "addendum_damaged"
    | "headers_damaged"
    | "receipt_damaged"
    | "key_damaged"
    | "token_damaged"
    | CorrectionFault["code"]
    | CustodyCheck["faults"][number]["code"];
  readonly file: ObjectName;
  readonly message: string;
}

export interface EvidenceCheck {
  /** Signatures over the manifest that hold. */
  readonly signers: readonly HeldSignature[];
  /** True where every signer is one of the keys that were given. */
  readonly isAuthenticated: boolean;
  readonly addenda: readonly SignedFile<Addendum>[];
  readonly corrections: readonly HeldCorrection[];
  /** Addenda that nothing opens: of these only their files were checked, and their anchors are not known. */
  readonly unopenedAddenda: readonly ObjectName[];
  readonly custody: CustodyCheck;
}

/** What is wrong with the time-stamp tokens of an exhibit, as far as it shows without trust in an authority. */
async function tokenFaults(
  storage: ObjectStorage,
  exhibit: OuterExhibit,
): Promise<{ readonly file: ObjectName; readonly message: string }[]> {
  const faults: { readonly file: ObjectName; readonly message: string }[] = [];
  for await (const { name } of storage.list(`${EXHIBITS_FOLDER}/${exhibit.id}/`)) {
    const match = /^(.*)\.([0-9a-f]{16})\.tst$/.exec(name);
    if (!match) continue;
    const fault = await tokenFault(storage, { name, signature: match[1]!, digestStart: match[2]! });
    if (fault !== undefined) faults.push({ file: name, message: `"${name}" ${fault}` });
  }
  return faults;
}

async function tokenFault(
  storage: ObjectStorage,
  token: { readonly name: ObjectName; readonly signature: ObjectName; readonly digestStart: string },
): Promise<string | undefined> {
  const bytes = await storage.read(token.name, { offset: 0, length: MAX_TIMESTAMP_BYTES + 1 });
  if (sha256(bytes).slice(0, 16) !== token.digestStart) return "is not what its name says";
  if (!await storage.stat(token.signature)) return "is over a signature that is not there";
  try {
    const { digest } = decodeTimestampToken(bytes);
    const signature = await storage.read(token.signature, { offset: 0, length: MAX_TIMESTAMP_BYTES + 1 });
    return encodeHex(digest) === sha256(signature) ? undefined : "is over another signature";
  } catch (error) {
    if (!isFault(error)) throw error;
    return `is no token: ${error.message}`;
  }
}

export interface EvidenceOptions {
  /** With any, a signer that is none of them is a finding; without, none is judged. */
  readonly keys: readonly VerifyingKey[];
  onFinding(finding: EvidenceFinding): void;
  readonly onEntry?: OnCustodyEntry;
}

/**
 * Checks signatures, addenda, and of the whole store keys, receipts and custody log. Of an exhibit that was not opened
 * the signatures over its manifest and what its addenda say are left out.
 */
export async function checkEvidence(
  files: EvidenceFiles,
  exhibit: OuterExhibit | Exhibit,
  options: EvidenceOptions,
): Promise<EvidenceCheck> {
  const { storage } = files;
  const { keys, onFinding } = options;
  const opened = "manifestCheck" in exhibit ? exhibit : undefined;
  const checks = [...(opened ? [opened.manifestCheck] : []), exhibit.inventoryCheck];
  for (const { faults } of checks) {
    for (const fault of faults) {
      onFinding({ code: "signature_damaged", file: String(fault.facts["file"]), message: fault.message });
    }
  }
  const held = checks.flatMap((check) => check.held);
  const allowed = new Set(keys.map((key) => key.fingerprint));
  const strangers = held.filter(({ key }) => !allowed.has(key.fingerprint));
  const tellStrangers = (those: readonly HeldSignature[]) => {
    for (const { file, key } of keys.length > 0 ? those : []) {
      const message = `"${file}" is signed by ${key.fingerprint}, which is none of the keys that were given`;
      onFinding({ code: "signer_not_allowed", file, message });
    }
  };
  tellStrangers(strangers);
  await checkKeyFiles(storage, held, onFinding);
  for (const fault of await tokenFaults(storage, exhibit)) onFinding({ code: "token_damaged", ...fault });
  const unopenedAddenda: ObjectName[] = [];
  const refuseAddendum: Refuse = (error, file) => {
    // Opened only after its file was found to be what its name says.
    if (error.code === "identity") unopenedAddenda.push(file);
    else onFinding({ code: "addendum_damaged", file, message: error.message });
  };
  const addenda = opened && await readAddenda(files, opened, refuseAddendum);
  if (!opened) await checkClosedAddenda(storage, exhibit, { refuse: refuseAddendum, unopenedAddenda });
  const corrections = addenda?.corrections.all ?? [];
  for (const fault of addenda?.corrections.faults ?? []) onFinding(fault);
  for (const { signatures } of corrections) {
    // What it says changes what people read: one key that is vouched for must have signed it.
    if (!signatures.some(({ key }) => allowed.has(key.fingerprint))) tellStrangers(signatures);
  }
  await checkHeaders(files, exhibit, ({ file, message }) => {
    onFinding({ code: "headers_damaged", file, message });
  });
  const receipts = await readReceipts(storage, (error, file) => {
    onFinding({ code: "receipt_damaged", file, message: error.message });
  });
  const anchors = anchorsIn(opened ? [opened] : [], [...addenda ? allOf(addenda) : [], ...receipts]);
  const logged = new LoggedCorrections(exhibit.id);
  const custody = await checkCustody(storage, anchors, (entry, digest, file) => {
    logged.add(entry, file);
    options.onEntry?.(entry, digest, file);
  });
  for (const fault of custody.faults) onFinding(fault);
  // One that can't be opened may be the one that the log names.
  if (opened && unopenedAddenda.length === 0) {
    for (const fault of logged.lacking(corrections)) onFinding(fault);
  }
  return {
    signers: (opened?.manifestCheck ?? exhibit.inventoryCheck).held,
    isAuthenticated: keys.length > 0 && strangers.length === 0,
    addenda: addenda?.digests ?? [],
    corrections,
    unopenedAddenda,
    custody,
  };
}

/** Corrections that the custody log says were made: taking one away would bring back what it corrected. */
class LoggedCorrections {
  readonly #exhibit: ExhibitId;
  readonly #named = new Map<string, ObjectName>();

  constructor(exhibit: ExhibitId) {
    this.#exhibit = exhibit;
  }

  add({ action, result }: CustodyEntry, file: ObjectName): void {
    const named = result.facts[correctionFact(this.#exhibit)];
    if (action === "correct" && typeof named === "string") this.#named.set(named, file);
  }

  lacking(held: readonly HeldCorrection[]): EvidenceFinding[] {
    const known = new Set<string>(held.map(({ digest }) => digest));
    return [...this.#named].filter(([digest]) => !known.has(digest)).map(([digest, file]) => ({
      code: "correction_missing",
      file,
      message: `"${file}" says that correction ${digest} was made, which is not there, or not sound`,
    }));
  }
}

/** The files of `keys/`: those of the signers are there, and each is what it says. */
async function checkKeyFiles(
  storage: ObjectStorage,
  held: readonly HeldSignature[],
  onFinding: EvidenceOptions["onFinding"],
): Promise<void> {
  const signers = new Map(held.map(({ key }) => [key.fingerprint, key]));
  const named = new Set<ObjectName>();
  for (const key of signers.values()) {
    for (const file of await damagedKeyFiles(storage, key)) {
      named.add(file);
      const message = `"${file}" is not the public half of ${key.fingerprint}`;
      onFinding({ code: "key_damaged", file, message });
    }
  }
  for (const file of await strangeKeyFiles(storage)) {
    if (named.has(file)) continue;
    onFinding({ code: "key_damaged", file, message: `"${file}" is not the key that its name says` });
  }
}

/** Addenda that can't be opened: their files at least are what their names say. */
async function checkClosedAddenda(
  storage: ObjectStorage,
  exhibit: OuterExhibit,
  { refuse, unopenedAddenda }: { readonly refuse: Refuse; readonly unopenedAddenda: ObjectName[] },
): Promise<void> {
  for await (const { name } of storage.list(`${EXHIBITS_FOLDER}/${exhibit.id}/`)) {
    if (parseName(name)?.kind !== "addendum") continue;
    try {
      await readChecked(storage, name, MAX_ADDENDUM_BYTES + 2 * MAX_AGE_HEADER_BYTES);
      unopenedAddenda.push(name);
    } catch (error) {
      if (!isFault(error)) throw error;
      refuse(error, name);
    }
  }
}
