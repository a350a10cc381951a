/**
 * All nouns and seams of coldcase, in one place, so that a reader finds the way from here. Types and the
 * few constants that give them meaning; no behaviour, no imports.
 *
 * Words are used as the field uses them: see "Words" in README. A block index is 0-based and counts units of
 * `blockSizeBytes`; times are milliseconds since the Unix epoch where a name ends in `Ms`, RFC 3339 UTC
 * text where it ends in `At`.
 */

declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

// ---------------------------------------------------------------------------------------------- nouns

/** `snap-` and 8 to 17 lower-case hexadecimal digits: an EBS snapshot, and nothing else. */
export type SnapshotId = Branded<string, "SnapshotId">;

/** SHA-256 as 64 lower-case hexadecimal digits, computed by us. (A *checksum* is what somebody else declares.) */
export type Digest = Branded<string, "Digest">;

/** `ex-` and 16 lower-case hexadecimal digits, random: one acquired snapshot in a store. */
export type ExhibitId = Branded<string, "ExhibitId">;

/** Four states, never merged: never written; written zeros; bytes held; could not be read. */
export type BlockState = "absent" | "zero" | "stored" | "unreadable";

/** Blocks of a segment: the unit in which states and digests are recorded (store-format.md, "Segment"). */
export const SEGMENT_BLOCKS = 16_384;

/** The most blocks of a volume: 64 TiB of 512 KiB. More are refused. */
export const MAX_BLOCKS = 2 ** 27;

/** A consecutive run of blocks of one state, as long as it can be. */
export interface BlockRun {
  readonly state: BlockState;
  readonly firstBlock: number;
  readonly blockCount: number;
}

declare const verified: unique symbol;
/**
 * A block whose SHA-256 was computed here and is what the source declared. Made by a `BlockSource`, or from a file
 * that is imported, only: bytes without a checked digest have no type outside.
 */
export interface VerifiedBlock {
  readonly kind: "verified";
  /** SHA-256 of `bytes`. */
  readonly digest: Digest;
  /** Exactly one block. Belongs to the receiver. */
  readonly bytes: Uint8Array;
  readonly [verified]: true;
}

/**
 * Why a block is unreadable. `not_acquired`: never read, because the acquisition was committed partial. Of an import:
 * `no_file`, there is no file of it, so that nobody knows whether the snapshot had it; `doubled`, there are several
 * files of it; `file`, what should be one is none that can be read.
 */
export type UnreadableReason =
  | "checksum"
  | "length"
  | "service"
  | "not_acquired"
  | "doubled"
  | "file"
  | "no_file";

/** A block that kept failing while the service answered other requests. */
export interface UnreadableBlock {
  readonly kind: "unreadable";
  readonly reason: UnreadableReason;
  /** What was seen last, in one line: expected and actual checksum, HTTP status and error type. */
  readonly detail: string;
  readonly attempts: number;
  /** AWS's ids of the failed requests, oldest first, at most 16. */
  readonly requestIds: readonly string[];
}

/** What a volume looks like, known after the first page of a listing. */
export interface VolumeShape {
  /** A power of two from 512 to 16,777,216. */
  readonly blockSizeBytes: number;
  /** 1 to 65,536. */
  readonly volumeSizeGib: number;
  /** `volumeSizeGib` GiB in blocks; at most `MAX_BLOCKS`. */
  readonly blockCount: number;
}

// ----------------------------------------------------------------------------------- seam: block source

/** One block of a listing. The token is AWS's expiring handle: used at once, never stored. */
export interface ListedBlock {
  readonly index: number;
  readonly token: string;
}

/** One page of a listing: `blocks` ascending, unique, and all above those of the page before. May be empty. */
export interface BlockPage {
  readonly shape: VolumeShape;
  readonly blocks: readonly ListedBlock[];
}

/** One block that differs between two snapshots; no `token`: the second snapshot does not have it. */
export interface ChangedBlock {
  readonly index: number;
  readonly token: string | undefined;
}

/** One page of a comparison, ordered as a `BlockPage` is. */
export interface ChangedPage {
  readonly shape: VolumeShape;
  readonly blocks: readonly ChangedBlock[];
}

/** What the service tells about a snapshot beyond its blocks, where the caller may ask (EC2 DescribeSnapshots). */
export interface SnapshotDescription {
  readonly state: "pending" | "completed" | "error" | "recoverable" | "recovering";
  readonly ownerAccount: string | undefined;
  readonly volumeId: string | undefined;
  readonly startedAt: string | undefined;
  readonly completedAt: string | undefined;
  readonly storageTier: "standard" | "archive" | undefined;
  readonly encrypted: boolean | undefined;
  readonly kmsKeyId: string | undefined;
  readonly description: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
  readonly volumeSizeGib: number | undefined;
  /** The service's answer for this snapshot, as received, for the record. */
  readonly verbatim: unknown;
}

/** What became of the question for a snapshot's description. */
export interface DescriptionAnswer {
  /** `not_found`: EC2 answered, without this snapshot. `failed`: no usable answer after retries. */
  readonly result: "received" | "not_permitted" | "not_found" | "failed";
  /** Known exactly where it was received. */
  readonly description: SnapshotDescription | undefined;
  /** The service's id of the request that `description` came with. */
  readonly requestId: string | undefined;
}

/** Who calls (STS GetCallerIdentity), where the caller may ask. */
export interface CallerIdentity {
  readonly account: string;
  readonly arn: string;
  readonly userId: string;
}

/** What happened between us and the source, for progress and for the acquisition record. */
export type SourceEvent =
  /** Each request that failed, once, whatever becomes of it; not those that were throttled. */
  | {
    readonly type: "failed";
    readonly call: string;
    readonly blockIndex: number | undefined;
    readonly reason: string;
    readonly requestId: string | undefined;
  }
  /** A failed request is sent again, after a pause. */
  | {
    readonly type: "retry";
    readonly call: string;
    readonly reason: string;
    readonly delayMs: number;
  }
  | {
    readonly type: "throttle";
    readonly call: string;
    readonly blockIndex: number | undefined;
    readonly requestId: string | undefined;
  }
  /** The source has not answered for a while; `waitingFor` says what would end the wait. */
  | { readonly type: "waiting"; readonly waitingFor: string; readonly sinceMs: number }
  | { readonly type: "recovered"; readonly waitedMs: number }
  | { readonly type: "credentials"; readonly accessKeyId: string; readonly expiresAt: string | undefined }
  | { readonly type: "relisted"; readonly fromBlock: number; readonly reason: string }
  | { readonly type: "clock_skew"; readonly skewMs: number }
  | { readonly type: "first_request"; readonly requestId: string };

/** Totals of one source since it was made. */
export interface SourceCounts {
  readonly listRequests: number;
  readonly getRequests: number;
  /** To EC2 and STS: DescribeSnapshots, GetCallerIdentity. */
  readonly otherRequests: number;
  /** Requests that were sent again after a failure that was no throttle. */
  readonly retries: number;
  /** Answers that asked for a slower pace. */
  readonly throttles: number;
  /** Of the bodies of all answers, listings and failed tries included. */
  readonly receivedBytes: number;
  /** Of the first and the last answer that had one, since the source was made or `forgetRequestIds`. */
  readonly firstRequestId: string | undefined;
  readonly lastRequestId: string | undefined;
  /** AWS's clock minus ours, from the last `Date` header; undefined before the first answer. */
  readonly clockSkewMs: number | undefined;
}

/** Stops what it is given to. */
export interface CallOptions {
  readonly signal?: AbortSignal;
}

/**
 * Where blocks come from. Retries, pacing, expired tokens, renewed credentials and clock skew are its own
 * business; what it throws is final (`access`, `source`, `not_found`, `interrupted`).
 */
export interface BlockSource {
  readonly region: string;
  /** URL of the endpoint, without path. */
  readonly endpoint: string;
  /** False for any endpoint that is not AWS's, and for plain HTTP: the exhibit is then marked so. */
  readonly isAws: boolean;
  /** How many `getBlock` calls are worth having under way at once (an upper bound; pacing is inside). */
  readonly maxConcurrency: number;
  counts(): SourceCounts;
  /** The first and the last request id are those of what follows: another snapshot's turn begins. */
  forgetRequestIds(): void;
  /** An aside: that it was not told is no error. */
  describe(snapshot: SnapshotId, options?: CallOptions): Promise<DescriptionAnswer>;
  /** `undefined`: the caller may not ask. */
  callerIdentity(options?: CallOptions): Promise<CallerIdentity | undefined>;
  /** The blocks that the snapshot has, from `startingBlock` on (0 where not given). */
  listBlocks(
    snapshot: SnapshotId,
    options?: CallOptions & { readonly startingBlock?: number },
  ): AsyncIterable<BlockPage>;
  /**
   * The blocks that differ between `first` and `second`.
   * Throws `OperatorError` with `facts.reason` = "UNRELATED_SNAPSHOTS" where they are not of one lineage.
   */
  listChangedBlocks(
    pair: { readonly first: SnapshotId; readonly second: SnapshotId },
    options?: CallOptions & { readonly startingBlock?: number },
  ): AsyncIterable<ChangedPage>;
  getBlock(
    request: { readonly snapshot: SnapshotId; readonly block: ListedBlock; readonly shape: VolumeShape },
    options?: CallOptions,
  ): Promise<VerifiedBlock | UnreadableBlock>;
  close(): void;
}

// ----------------------------------------------------------------------------------- seam: block reader

/** An exhibit (or anything else) as blocks of a volume: all that an image writer sees. */
export interface BlockReader {
  readonly shape: VolumeShape;
  /** All blocks of `[fromBlock, blockCount)` in ascending runs; adjacent runs may have one state. */
  runs(fromBlock?: number): AsyncIterable<BlockRun>;
  /**
   * The bytes of one `stored` block, their digest checked. The caller owns them.
   * Throws `integrity` where what is held does not match, and for a block that is not `stored`.
   */
  readBlock(index: number): Promise<Uint8Array>;
}

// ---------------------------------------------------------------------------------- seam: object storage

/** What a stored object is called: path segments of `[a-z0-9._-]`, joined by `/`, no `.` or `..`. */
export type ObjectName = string;

export interface StoredObject {
  readonly name: ObjectName;
  readonly sizeBytes: number;
}

/**
 * Immutable objects under names known before they are written; a local directory now, S3 later.
 * `put` returns when the object is durable under its name: after a crash it is there whole, or not at all.
 */
export interface ObjectStorage {
  /** Writes `bytes` once. An object of that name and size is left as it is. */
  put(name: ObjectName, bytes: Uint8Array): Promise<void>;
  /**
   * The same for the contents of a local file, whose data is durable and whose SHA-256 is `digest`. The file
   * is gone from `path` afterwards.
   */
  putFile(name: ObjectName, file: { readonly path: string; readonly digest: Digest }): Promise<void>;
  /** Bytes `[offset, offset + length)`; shorter only where the object ends. Throws `not_found`. */
  read(name: ObjectName, range: { readonly offset: number; readonly length: number }): Promise<Uint8Array>;
  /** Names that start with `prefix` (a folder, ending in `/`), in ascending order. */
  list(prefix: string): AsyncIterable<StoredObject>;
  /** `undefined` where there is none. */
  stat(name: ObjectName): Promise<StoredObject | undefined>;
}

// ------------------------------------------------------------------------------------- seam: the outside

export interface Clock {
  /** Milliseconds since the Unix epoch, as the host believes. */
  nowMs(): number;
  /** Milliseconds from an arbitrary start, never going back. */
  monotonicMs(): number;
  /** Resolves after `ms`; rejects with the signal's reason when that aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface Randomness {
  bytes(length: number): Uint8Array;
  /** In [0, 1); for jitter only. */
  fraction(): number;
}

export interface FileStat {
  readonly kind: "file" | "directory" | "symlink" | "device" | "other";
  readonly sizeBytes: number;
}

/** An open file. Offsets and lengths are bytes; every call either does all that it was asked or throws. */
export interface DiskFile {
  /** Fills `into` from `offset`; returns the bytes read, fewer only at the end of the file. */
  read(into: Uint8Array, offset: number): number;
  /** Writes all of `bytes` at `offset`. */
  write(bytes: Uint8Array, offset: number): void;
  /** Data (and size) durable. After a failure what was written since the last sync is lost: rewrite it. */
  sync(): Promise<void>;
  truncate(sizeBytes: number): void;
  sizeBytes(): number;
  close(): void;
}

/**
 * `read`: existing. `create`: must not exist. `create_private`: the same, for its owner alone (0600). `update`:
 * existing, for reading and writing.
 */
export type OpenMode = "read" | "create" | "create_private" | "update";

/** A local file system. Errors are the platform's own; the callers know what they mean. */
export interface Disk {
  open(path: string, mode: OpenMode): DiskFile;
  /** Atomic; replaces what is there. */
  rename(from: string, to: string): void;
  /** Creates what is missing of the path. `mode` of new folders, 0o777 less the umask where not given. */
  makeDirectory(path: string, options?: { readonly mode?: number }): void;
  /** Entry names of a directory, in no order. */
  list(path: string): string[];
  /** Does not follow a symbolic link. `undefined` where there is nothing. */
  stat(path: string): FileStat | undefined;
  /** A file or an empty directory. */
  remove(path: string): void;
  /** Entries of the directory durable. */
  syncDirectory(path: string): Promise<void>;
  /** An exclusive lock that dies with its process; `undefined` where another process has it. */
  tryLock(path: string): { release(): void } | undefined;
  freeBytes(path: string): number;
  /** The file system's type as the platform names it ("ext4", "tmpfs"), or "unknown". */
  fileSystemType(path: string): string;
}

/** Facts of the host for the acquisition record and the custody log. */
export interface HostFacts {
  readonly hostname: string;
  readonly user: string;
  readonly operatingSystem: string;
  readonly cpuCount: number;
  readonly processId: number;
  /** `Deno 2.9.6 (x86_64-unknown-linux-gnu)`. */
  readonly runtime: string;
  /** The executable that the program is; `undefined` where it runs from its source. */
  readonly programPath: string | undefined;
}

/** Everything outside that a command may use. Built once, in `main.ts`; tests build their own. */
export interface World {
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly disk: Disk;
  readonly host: HostFacts;
  /** An environment variable, `undefined` where unset or empty. */
  environment(name: string): string | undefined;
}
