/**
 * The part of an open store that is about evidence, not bytes: signatures, addenda, receipts, tokens, and the
 * custody log. It needs no store lock: every file is write-once, and the log has a lock of its own.
 *
 * @see store-format.md, "Signatures", "Custody log", "Addenda and receipts"
 */
import type { OperatorError } from "../errors.ts";
import {
  type Addendum,
  type Correction,
  differingMembers,
  encodeAddendum,
  encodeCorrection,
  encodeReceipt,
  MAX_ADDENDUM_BYTES,
  MAX_PREVIOUS_CORRECTIONS,
  type Receipt,
} from "../format/addendum.ts";
import { encodeCanonicalJson } from "../format/canonical_json.ts";
import type { CustodyEntry } from "../format/custody.ts";
import { sha256 } from "../format/digests.ts";
import { type CaseFacts, MAX_MANIFEST_BYTES } from "../format/manifest.ts";
import { MAX_INVENTORY_BYTES } from "../format/inventory.ts";
import { type CustodyHead, FORMAT_VERSION, MAX_CUSTODY_HEADS, type ToolFacts } from "../format/members.ts";
import type { StoreFile } from "../format/store_file.ts";
import type { VerifyingKey } from "../format/verifying_key.ts";
import type { SigningKey } from "../keys.ts";
import type { Digest, Disk, ObjectName, World } from "../model.ts";
import { readChecked } from "./_checked.ts";
import {
  appendCustody,
  checkCustody,
  type CustodyCheck,
  type CustodyFacts,
  custodyHeads,
  lockCustody,
  nextEntry,
} from "./_custody.ts";
import {
  checkEvidence,
  custodyAnchors,
  type EvidenceCheck,
  type EvidenceOptions,
  readReceipts,
} from "./_evidence.ts";
import type { Contents } from "./_contents.ts";
import { correctedFacts, readCorrections } from "./_corrections.ts";
import type { Exhibit } from "./_exhibit.ts";
import type { OuterExhibit } from "./_outer.ts";
import { EXHIBITS_FOLDER, parseName, receiptName } from "./_layout.ts";
import type { LocalStorage } from "./_local_storage.ts";
import { keyNames, principalOf, putSignature, type SignedFile } from "./_signatures.ts";

interface EvidenceParts {
  readonly world: World;
  readonly disk: Disk;
  readonly storage: LocalStorage;
  readonly contents: Contents;
  readonly file: StoreFile;
}

/** What is to be corrected, and who says so. */
export interface CorrectionWish extends Pick<Correction, "correctedBy" | "host" | "reason"> {
  readonly at: string;
  /** The members that are to be otherwise. */
  readonly values: Partial<CaseFacts>;
}

/** A correction that was made. */
export interface MadeCorrection {
  readonly file: ObjectName;
  readonly digest: Digest;
  readonly document: Correction;
}

/** Custody heads that a correction names where all of them do not fit into it. */
const FEW_CUSTODY_HEADS = 256;

export class StoreEvidence {
  readonly #parts: EvidenceParts;
  readonly #exhibits: () => Promise<Exhibit[]>;

  /** @param exhibits All exhibits of the store. */
  constructor(parts: EvidenceParts, exhibits: () => Promise<Exhibit[]>) {
    this.#parts = parts;
    this.#exhibits = exhibits;
  }

  /** Checks signatures, addenda and custody log. */
  check(exhibit: OuterExhibit | Exhibit, options: EvidenceOptions): Promise<EvidenceCheck> {
    return checkEvidence(this.#parts, exhibit, options);
  }

  /** Signs an exhibit's manifest and inventory with one more key. */
  async sign(exhibit: Exhibit, key: SigningKey): Promise<void> {
    const { storage, contents } = this.#parts;
    const [manifest, inventory] = [exhibit.manifestFile, exhibit.inventoryFile];
    const manifestBytes = await contents.read(manifest, MAX_MANIFEST_BYTES);
    await putSignature(
      storage,
      { name: manifest, bytes: manifestBytes, namespace: "coldcase-manifest@v1" },
      key,
    );
    const inventoryBytes = await readChecked(storage, inventory, MAX_INVENTORY_BYTES);
    await putSignature(storage, {
      name: inventory,
      bytes: inventoryBytes,
      namespace: "coldcase-inventory@v1",
    }, key);
  }

  /** Adds linear digests of an exhibit, signed. Gives the addendum's name. */
  async addAddendum(
    exhibit: Exhibit,
    facts: Omit<Addendum, "custodyHeads" | "exhibit" | "manifest" | "type" | "version">,
    key: SigningKey,
  ): Promise<ObjectName> {
    const { storage, contents } = this.#parts;
    const bytes = encodeAddendum({
      ...facts,
      custodyHeads: await this.custodyHeads(),
      exhibit: exhibit.id,
      manifest: exhibit.manifestDigest,
      type: "coldcase-addendum",
      version: FORMAT_VERSION,
    });
    const { name, stored } = await contents.prepare("addendum", bytes, exhibit.id);
    await putSignature(storage, { name, bytes, namespace: "coldcase-addendum@v1" }, key);
    await storage.put(name, stored);
    return name;
  }

  /**
   * Corrects facts of an exhibit's case, signed; `undefined`: they count so already. It follows all corrections that
   * nothing follows, so it settles a fork, too. Under the log's lock: no two in one store follow the same.
   */
  async addCorrection(
    exhibit: Exhibit,
    { values, ...said }: CorrectionWish,
    key: SigningKey,
  ): Promise<MadeCorrection | undefined> {
    const { world, disk, storage, contents } = this.#parts;
    const lock = await lockCustody({ storage, disk, clock: world.clock });
    try {
      const { facts, heads } = await readCorrections(this.#parts, exhibit);
      const after = correctedFacts(exhibit.id, { facts, heads }, values);
      if (heads.length < 2 && differingMembers(facts, after).length === 0) return undefined;
      const document = fitting({
        ...said,
        after,
        before: facts,
        custodyHeads: await this.custodyHeads(),
        exhibit: exhibit.id,
        manifest: exhibit.manifestDigest,
        previous: heads.map(({ digest }) => digest).slice(0, MAX_PREVIOUS_CORRECTIONS),
        type: "coldcase-correction",
        version: FORMAT_VERSION,
      });
      const bytes = encodeCorrection(document);
      const { name, stored } = await contents.prepare("addendum", bytes, exhibit.id);
      await putSignature(storage, { name, bytes, namespace: "coldcase-addendum@v1" }, key);
      await storage.put(name, stored);
      return { file: name, digest: sha256(bytes), document };
    } finally {
      lock.release();
    }
  }

  /** Puts the receipt of a hand-over, signed. Gives its name; both stores hold the same. */
  async putReceipt(receipt: Receipt, key: SigningKey): Promise<ObjectName> {
    const bytes = encodeReceipt(receipt);
    const name = receiptName(sha256(bytes));
    await putSignature(this.#parts.storage, { name, bytes, namespace: "coldcase-receipt@v1" }, key);
    await this.#parts.storage.put(name, bytes);
    return name;
  }

  /** The newest entry of every chain of the custody log, of as many as a document names. */
  async custodyHeads(): Promise<CustodyHead[]> {
    return (await custodyHeads(this.#parts.storage)).slice(0, MAX_CUSTODY_HEADS);
  }

  /** Appends to the custody log. Needs no store lock: the log has one of its own. Throws `storage`, `locked`. */
  async logCustody(
    facts: CustodyFacts,
    by: { readonly key: SigningKey; readonly tool: ToolFacts },
  ): Promise<CustodyHead> {
    const { world, disk, storage, file } = this.#parts;
    return await appendCustody(
      { storage, disk, clock: world.clock, storeId: file.id, tool: by.tool },
      facts,
      by.key,
    );
  }

  /** An entry as `logCustody` would write it, signed, for a store that cannot be written to. */
  async custodyEntryElsewhere(
    facts: CustodyFacts,
    by: { readonly key: SigningKey; readonly tool: ToolFacts },
  ) {
    const { world, disk, storage, file } = this.#parts;
    const parts = { storage, disk, clock: world.clock, storeId: file.id, tool: by.tool };
    const { bytes } = await nextEntry(parts, facts, by.key);
    return { bytes, signature: await by.key.signSshsig(bytes, "coldcase-custody@v1") };
  }

  /** Checks all chains; `onEntry` gets every good entry. */
  async checkCustody(
    extraAnchors: readonly CustodyHead[],
    onEntry: (entry: CustodyEntry, digest: Digest) => void,
  ): Promise<CustodyCheck> {
    const { storage, contents } = this.#parts;
    // Anchors in what can't be opened are not known.
    const exhibits = contents.isReadable ? await this.#exhibits() : [];
    const anchors = await custodyAnchors(this.#parts, exhibits);
    return await checkCustody(storage, [...anchors, ...extraAnchors], onEntry);
  }

  /** Names of the files with which others check an exhibit's first signature. */
  signatureFiles(exhibit: Exhibit) {
    const signer = exhibit.manifest.acquisition.signer;
    const { held } = exhibit.manifestCheck;
    const first = held.find(({ key }) => key.fingerprint === signer) ?? held[0]!;
    const keys = keyNames(first.key);
    return {
      signatureFile: first.file,
      ed25519SignatureFile: first.rawFile,
      verifyingKeyFile: keys.pem,
      allowedSignersFile: keys.allowedSigners,
      principal: principalOf(first.key),
    };
  }

  /** Names of the files with which others check any signature by a key. */
  keyFiles(key: VerifyingKey) {
    const { pem, allowedSigners } = keyNames(key);
    return { verifyingKeyFile: pem, allowedSignersFile: allowedSigners, principal: principalOf(key) };
  }

  /** The bytes of a signature file and a place for a token beside it. */
  async signatureBytes(name: ObjectName): Promise<Uint8Array> {
    return await this.#parts.storage.read(name, { offset: 0, length: 65_536 });
  }

  /** Puts an RFC 3161 token beside the signature that it is over. */
  async putToken(signatureFile: ObjectName, token: Uint8Array): Promise<ObjectName> {
    const name = `${signatureFile}.${sha256(token).slice(0, 16)}.tst`;
    await this.#parts.storage.put(name, token);
    return name;
  }

  /** The good receipts of hand-overs of an exhibit, the oldest first; what is wrong with others is told. */
  async receipts(
    exhibit: OuterExhibit,
    onFault: (error: OperatorError, file: ObjectName) => void,
  ): Promise<SignedFile<Receipt>[]> {
    const all = await readReceipts(this.#parts.storage, onFault);
    return all.filter(({ document }) => document.exhibit === exhibit.id);
  }

  /** SHA-256 of a file: of an immutable one the digest in its name, which whoever reads it compares. */
  async digestOf(name: ObjectName): Promise<Digest> {
    return parseName(name)?.digest ?? sha256(await this.signatureBytes(name));
  }

  /** Tokens over signatures of an exhibit. */
  async tokens(exhibit: Exhibit): Promise<ObjectName[]> {
    const names: ObjectName[] = [];
    for await (const { name } of this.#parts.storage.list(`${EXHIBITS_FOLDER}/${exhibit.id}/`)) {
      if (name.endsWith(".tst")) names.push(name);
    }
    return names;
  }
}

/** Long notes, twice, leave no room for all heads: those of many chains are named by the log's next entry, too. */
function fitting(document: Correction): Correction {
  const { length } = encodeCanonicalJson(document);
  if (length <= MAX_ADDENDUM_BYTES) return document;
  return { ...document, custodyHeads: document.custodyHeads.slice(0, FEW_CUSTODY_HEADS) };
}
