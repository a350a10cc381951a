/**
 * What a report says of an exhibit, collected from the store: each fact with the number of the file that it comes
 * from. `--format json` prints it as it is; _report_markdown.ts writes it for people.
 *
 * Reads documents, signatures and the custody log, no block data.
 */
import type { ObjectName } from "../model.ts";
import type { CustodyEntry } from "../format/custody.ts";
import type { VerifyingKey } from "../format/verifying_key.ts";
import type { EvidenceFinding, Exhibit, HeldSignature, SignedFile, Store } from "../store/mod.ts";
import { messageOf, OperatorError } from "../errors.ts";
import { exhibitEvent, originText, statusOf } from "./_exhibits.ts";

/** Ancestors that a report follows. */
const MAX_ANCESTORS = 100;
/** Entries of the custody log that a report names: the newest. All are counted, and checked. */
const MAX_CUSTODY_ENTRIES = 200;

/** A file of the store that something in the report comes from. */
export interface ReportFile {
  readonly number: number;
  readonly file: ObjectName;
  readonly sha256: string;
}

export interface ReportSignature {
  readonly file: number;
  readonly over: number;
  readonly namespace: string;
  readonly fingerprint: string;
  /** Whether the key is one of those that `--verify-key` gave; null: none was given. */
  readonly isVouchedFor: boolean | null;
  readonly ed25519File: number | null;
  readonly allowedSignersFile: number;
  readonly verifyingKeyFile: number;
  readonly principal: string;
}

interface Ancestor {
  readonly exhibit: string;
  readonly snapshot: string;
  readonly imageDigest: string;
  readonly manifest: string;
  /** Where the store has it; null: it does not, or not this one. */
  readonly file: number | null;
  /** What is wrong; null: nothing, as far as a report looks. */
  readonly fault: string | null;
}

/** Everything about one exhibit, ready to be printed. */
export type ReportData = Awaited<ReturnType<typeof gatherReport>>;

/** Files in the order in which they are first named. */
class FileList {
  readonly #names = new Map<ObjectName, number>();

  /** The file's number. */
  at(name: ObjectName): number {
    const number = this.#names.get(name) ?? this.#names.size + 1;
    this.#names.set(name, number);
    return number;
  }

  async listed({ evidence }: Store): Promise<ReportFile[]> {
    const files: ReportFile[] = [];
    for (const [file, number] of this.#names) {
      files.push({ number, file, sha256: await evidence.digestOf(file) });
    }
    return files;
  }
}

/** Collects a report. Throws where the exhibit's side documents cannot be read; other damage is a finding. */
export async function gatherReport(store: Store, exhibit: Exhibit, keys: readonly VerifyingKey[]) {
  const { manifest, inventory } = exhibit;
  const files = new FileList();
  const manifestFile = files.at(exhibit.manifestFile);
  const inventoryFile = files.at(exhibit.inventoryFile);
  const documents = exhibit.documentFiles;
  const numberOf = (name: ObjectName | null) => name === null ? null : files.at(name);
  const sessions = { file: files.at(documents.sessions), entries: await exhibit.sessions() };
  const unreadable = { file: numberOf(documents.unreadable), ranges: await unreadableRanges(exhibit) };
  const told = await exhibit.description();
  const description = {
    file: numberOf(documents.description),
    answer: told?.answer ?? null,
    receivedAt: told?.receivedAt ?? null,
    requestId: told?.requestId ?? null,
  };
  const findings: { readonly code: string; readonly file: ObjectName; readonly message: string }[] = [];
  const custody = new CustodyExcerpt(exhibit);
  const checked = await store.evidence.check(exhibit, {
    keys,
    onFinding: ({ code, file, message }: EvidenceFinding) => findings.push({ code, file, message }),
    onEntry: (entry, digest, file) => custody.add({ entry, digest, file }),
  });
  const signature = signatureReader(store, files, keys);
  const signed = <T>({ file, document, signatures }: SignedFile<T>, namespace: string) => ({
    ...document,
    file: files.at(file),
    signatures: signatures.map((held) => signature(held, files.at(file), namespace)),
  });
  // What is wrong with one, check() has found.
  const receipts = await store.evidence.receipts(exhibit, () => undefined);
  const data = {
    ...exhibitEvent(exhibit),
    headlines: headlinesOf(exhibit, findings.length),
    store: { path: store.path, id: store.file.id },
    manifest: { ...manifest, segments: manifest.segments.length, file: manifestFile },
    inventory: {
      file: inventoryFile,
      committedAt: inventory.committedAt,
      files: inventory.files.length,
      bytes: inventory.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    },
    sessions,
    unreadable,
    description,
    lineage: await lineageOf(store, exhibit, files),
    signatures: [
      ...exhibit.manifestCheck.held.map((held) => signature(held, manifestFile, "coldcase-manifest@v1")),
      ...exhibit.inventoryCheck.held.map((held) => signature(held, inventoryFile, "coldcase-inventory@v1")),
    ],
    isAuthenticated: keys.length === 0 ? null : checked.isAuthenticated,
    addenda: checked.addenda.map((addendum) => signed(addendum, "coldcase-addendum@v1")),
    caseFacts: exhibit.corrections.facts,
    correctionDocuments: checked.corrections.map((correction) => ({
      ...signed(correction, "coldcase-addendum@v1"),
      digest: correction.digest,
    })),
    unopenedAddenda: checked.unopenedAddenda.map((name) => files.at(name)),
    receipts: receipts.map((receipt) => signed(receipt, "coldcase-receipt@v1")),
    tokens: (await store.evidence.tokens(exhibit)).map((name) => ({
      file: files.at(name),
      over: files.at(name.replace(/\.[0-9a-f]{16}\.tst$/, "")),
    })),
    custody: { ...custody.excerpt(files), entries: checked.custody.entries },
    findings,
  };
  return { ...data, files: await files.listed(store) };
}

function headlinesOf({ manifest }: Exhibit, findings: number): string[] {
  const origin = originText(manifest.source);
  const status = statusOf(manifest);
  return [
    ...(origin === undefined ? [] : [origin]),
    ...(status === "complete" ? [] : [status]),
    ...(findings === 0 ? [] : [`DAMAGED OR NOT AUTHENTIC, ${findings} findings: see "What was checked"`]),
  ];
}

async function unreadableRanges(exhibit: Exhibit) {
  const { blockSizeBytes } = exhibit.shape;
  return (await exhibit.unreadable() ?? []).map(({ first, blocks }) => ({
    firstByte: first.block * blockSizeBytes,
    lastByte: (first.block + blocks) * blockSizeBytes - 1,
    blocks,
    ...first,
  }));
}

/** Ancestors as far as this store has them, the parent first; their manifests are held against what names them. */
async function lineageOf(store: Store, exhibit: Exhibit, files: FileList): Promise<Ancestor[]> {
  const ancestors: Ancestor[] = [];
  for (let { parent } = exhibit.manifest; parent && ancestors.length < MAX_ANCESTORS;) {
    const facts = { ...parent };
    try {
      const found = await store.exhibit(parent.exhibit);
      const isSame = found.manifestDigest === parent.manifest;
      const fault = isSame ? null : "the store has it with another manifest";
      ancestors.push({ ...facts, file: isSame ? files.at(found.manifestFile) : null, fault });
      if (!isSame) break;
      parent = found.manifest.parent;
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      const fault = error.code === "not_found" ? "not in this store" : messageOf(error);
      ancestors.push({ ...facts, file: null, fault });
      break;
    }
  }
  return ancestors;
}

function signatureReader({ evidence }: Store, files: FileList, keys: readonly VerifyingKey[]) {
  const vouched = new Set(keys.map((key) => key.fingerprint));
  return ({ file, rawFile, key }: HeldSignature, over: number, namespace: string): ReportSignature => {
    const { allowedSignersFile, verifyingKeyFile, principal } = evidence.keyFiles(key);
    return {
      file: files.at(file),
      over,
      namespace,
      fingerprint: key.fingerprint,
      isVouchedFor: keys.length === 0 ? null : vouched.has(key.fingerprint),
      ed25519File: rawFile === null ? null : files.at(rawFile),
      allowedSignersFile: files.at(allowedSignersFile),
      verifyingKeyFile: files.at(verifyingKeyFile),
      principal,
    };
  };
}

interface LoggedEntry {
  readonly entry: CustodyEntry;
  readonly digest: string;
  readonly file: ObjectName;
}

/** The newest entries about one exhibit: the log may be long. */
class CustodyExcerpt {
  readonly #exhibit: Exhibit;
  #about: LoggedEntry[] = [];
  #count = 0;
  /** The newest good entry of each chain. */
  readonly #heads = new Map<string, LoggedEntry>();

  constructor(exhibit: Exhibit) {
    this.#exhibit = exhibit;
  }

  add(logged: LoggedEntry): void {
    const { entry } = logged;
    this.#heads.set(entry.chain, logged);
    if (!entry.exhibits.some(({ exhibit }) => exhibit === this.#exhibit.id)) return;
    this.#count++;
    this.#about.push(logged);
    if (this.#about.length > 2 * MAX_CUSTODY_ENTRIES) this.#cut();
  }

  excerpt(files: FileList) {
    this.#cut();
    return {
      aboutThis: this.#count,
      shown: this.#about.map(({ entry, digest, file }) => {
        const { chain, sequence, at, action, host, reason, result, signer, commandLine, clockSkewMs } = entry;
        const facts = Object.fromEntries(
          Object.entries(result.facts).filter(([name]) =>
            !name.startsWith("ex-") || name.startsWith(this.#exhibit.id)
          ),
        );
        return {
          ...{ file: files.at(file), digest, chain, sequence, at, action, host, reason, signer, commandLine },
          ...{ clockSkewMs, result: { ...result, facts } },
        };
      }),
      heads: [...this.#heads.values()].map(({ entry, digest, file }) => ({
        chain: entry.chain,
        sequence: entry.sequence,
        digest,
        signer: entry.signer,
        hostname: entry.host.hostname,
        file: files.at(file),
      })),
    };
  }

  #cut(): void {
    this.#about.sort((a, b) => a.entry.at < b.entry.at ? -1 : a.entry.at > b.entry.at ? 1 : 0);
    this.#about = this.#about.slice(-MAX_CUSTODY_ENTRIES);
  }
}
