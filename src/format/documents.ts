/**
 * Side documents of a manifest: what can grow. Named by digest in the manifest, each a canonical JSON file.
 *
 * @see store-format.md, "Side documents"
 */
import { arrayOf, type Checked, integer, literal, nullable, object, text, time } from "./schema.ts";
import { decodeCanonicalJson, encodeCanonicalJson } from "./canonical_json.ts";
import { OperatorError } from "../errors.ts";
import { MAX_BLOCKS } from "../model.ts";
import { destinationMember, FORMAT_VERSION, hostMember, toolMember } from "./members.ts";

export const MAX_DOCUMENT_BYTES = 64 * 1024 * 1024;

/** The last three: of an import. */
const UNREADABLE_REASONS = [
  "checksum",
  "length",
  "service",
  "not_acquired",
  "doubled",
  "file",
  "no_file",
] as const;

/** Reasons that consecutive blocks share in one entry. */
const REASONS_OF_RANGES: readonly string[] = ["not_acquired", "no_file", "left_out"];

const unreadableFacts = {
  attempts: integer(0),
  block: integer(0, MAX_BLOCKS - 1),
  detail: text(1024),
  requestIds: arrayOf(text(256), 16),
};

export const unreadableMember = object({ ...unreadableFacts, reason: literal(...UNREADABLE_REASONS) });

/** So many entries one list holds: as many as fit into a document where each is of blocks that were never tried. */
export const MAX_UNREADABLE_ENTRIES = 1 << 19;

/** `left_out`: the last entry of a list that has no room for more; every unreadable block of its range is meant. */
const listedUnreadableMember = object({
  ...unreadableFacts,
  reason: literal(...UNREADABLE_REASONS, "left_out"),
});

const unreadableDocument = object({
  /** Ascending by block. Consecutive blocks that were never tried are one entry with `blocks` > 1. */
  entries: arrayOf(
    object({ blocks: integer(1, MAX_BLOCKS), first: listedUnreadableMember }),
    MAX_UNREADABLE_ENTRIES,
  ),
  type: literal("coldcase-unreadable"),
  version: literal(FORMAT_VERSION),
});

/** Something of a session that the record names one by one. */
export const sessionEventMember = object({
  at: time,
  /** What happened, in one line; never a secret. */
  detail: text(1024),
  kind: literal("credentials", "failed_request", "throttle", "wait", "clock_skew", "finding"),
  requestId: nullable(text(256)),
});

/** So many events are kept of a session; the rest is counted. */
export const MAX_SESSION_EVENTS = 1000;

const sessionStart = {
  callerAccount: nullable(text(64)),
  /** As STS names the caller: of an assumed role, role and session. */
  callerArn: nullable(text(2048)),
  /** Unique id of the caller by the service; of an assumed role, the role's and the session's name. */
  callerUserId: nullable(text(256)),
  commandLine: arrayOf(text(8192), 256),
  /** Where the credentials come from, in words. */
  credentialSource: nullable(text(1024)),
  /** Where the store was in this session: it may have been moved since the one before. */
  destination: destinationMember,
  examiner: nullable(text(256)),
  host: hostMember,
  /** URL of the proxy, without user and password; null: a direct connection. */
  proxy: nullable(text(2048)),
  startedAt: time,
  tool: toolMember,
};

const sessionCounts = {
  clockSkewMs: nullable(integer(-1e15)),
  credentialChanges: integer(0),
  /** Events that are counted and not kept. */
  eventsLeftOut: integer(0),
  fetchedBlocks: integer(0),
  firstRequestId: nullable(text(256)),
  getRequests: integer(0),
  lastRequestId: nullable(text(256)),
  listRequests: integer(0),
  /** DescribeSnapshots and GetCallerIdentity: EC2's and STS's. */
  otherRequests: integer(0),
  receivedBytes: integer(0),
  retries: integer(0),
  throttles: integer(0),
};

const sessionEnd = {
  /** Null: the session was killed; the counts are those of its last durable write. */
  endedAt: nullable(time),
  /** How it ended: `committed`, or the error code that stopped it; null where it was killed. */
  outcome: nullable(text(64)),
};

/** Facts of a session that are known when it starts. */
export const sessionStartMember = object(sessionStart);
/** What a session has done so far. */
export const sessionCountsMember = object(sessionCounts);
/** One run of the program that worked on the acquisition. */
export const sessionMember = object({
  ...sessionStart,
  ...sessionCounts,
  ...sessionEnd,
  events: arrayOf(sessionEventMember, MAX_SESSION_EVENTS),
});

/** So many sessions one list holds. */
export const MAX_SESSIONS = 50_000;

const sessionsDocument = object({
  sessions: arrayOf(sessionMember, MAX_SESSIONS),
  type: literal("coldcase-sessions"),
  version: literal(FORMAT_VERSION),
});

/** Facts of a description, in its document and in the journal. */
export const descriptionFacts = {
  /** The answer of EC2 DescribeSnapshots for this snapshot, members as the SDK gives them. */
  answer: (value: unknown) => value,
  receivedAt: time,
  /** The service's id of the request that `answer` came with; null: it gave none. */
  requestId: nullable(text(256)),
};

const descriptionDocument = object({
  ...descriptionFacts,
  type: literal("coldcase-description"),
  version: literal(FORMAT_VERSION),
});

export type Session = Checked<typeof sessionMember>;
export type SessionStart = Checked<typeof sessionStartMember>;
export type SessionEvent = Checked<typeof sessionEventMember>;
export type SessionCounts = Checked<typeof sessionCountsMember>;
export type Description = Checked<typeof descriptionDocument>;
export type UnreadableEntry = Checked<typeof unreadableMember>;
export type UnreadableDocument = Checked<typeof unreadableDocument>;

/** Canonical bytes of the list. Throws `format` where they would not be readable again. */
export function encodeUnreadable(entries: UnreadableDocument["entries"]): Uint8Array<ArrayBuffer> {
  const bytes = encodeCanonicalJson({ entries, type: "coldcase-unreadable", version: FORMAT_VERSION });
  decodeUnreadable(bytes);
  return bytes;
}

export function decodeUnreadable(bytes: Uint8Array): UnreadableDocument {
  return decodeCanonicalJson(bytes, {
    name: "list of unreadable blocks",
    maxBytes: MAX_DOCUMENT_BYTES,
    check: checkUnreadable,
  });
}

/** Ascending and apart; only blocks of which no request tells are told as a range. */
function checkUnreadable(value: unknown, place: string): UnreadableDocument {
  const document = unreadableDocument(value, place);
  const last = document.entries.length - 1;
  let end = 0;
  for (const [position, { blocks, first }] of document.entries.entries()) {
    const fault = first.block < end
      ? `starts at block ${first.block}, the one before it ends at ${end - 1}`
      : first.block + blocks > MAX_BLOCKS
      ? `ends after block ${MAX_BLOCKS - 1}`
      : blocks > 1 && !REASONS_OF_RANGES.includes(first.reason)
      ? `is of ${blocks} blocks, expected 1 for "${first.reason}"`
      : first.reason === "left_out" && position < last
      ? `is "left_out", which only the last one may be`
      : undefined;
    if (fault) throw new OperatorError("format", `Cannot read ${place}.entries[${position}]: ${fault}`);
    end = first.block + blocks;
  }
  return document;
}

/** Canonical bytes of the list. Throws `format` where they would not be readable again. */
export function encodeSessions(sessions: readonly Session[]): Uint8Array<ArrayBuffer> {
  const bytes = encodeCanonicalJson({ sessions, type: "coldcase-sessions", version: FORMAT_VERSION });
  decodeSessions(bytes);
  return bytes;
}

export function decodeSessions(bytes: Uint8Array): readonly Session[] {
  return decodeCanonicalJson(bytes, {
    name: "list of sessions",
    maxBytes: MAX_DOCUMENT_BYTES,
    check: sessionsDocument,
  })
    .sessions;
}

/** An answer as JSON that can be written canonically: dates become RFC 3339 text; the service's member names stay. */
export function answerAsJson(answer: unknown): unknown {
  return JSON.parse(
    JSON.stringify(answer),
    (_, value) => typeof value === "string" ? value.toWellFormed() : value,
  );
}

/** Canonical bytes of a description; `answer` becomes JSON as `answerAsJson` makes it. */
export function encodeDescription(
  { answer, receivedAt, requestId }: Omit<Description, "type" | "version">,
): Uint8Array<ArrayBuffer> {
  const bytes = encodeCanonicalJson({
    answer: answerAsJson(answer),
    receivedAt,
    requestId,
    type: "coldcase-description",
    version: FORMAT_VERSION,
  });
  decodeDescription(bytes);
  return bytes;
}

export function decodeDescription(bytes: Uint8Array): Description {
  return decodeCanonicalJson(bytes, {
    name: "description",
    maxBytes: MAX_DOCUMENT_BYTES,
    check: descriptionDocument,
  });
}

const DOCUMENT_CHECKS = {
  "coldcase-description": descriptionDocument,
  "coldcase-sessions": sessionsDocument,
  "coldcase-unreadable": checkUnreadable,
} as const;

export type DocumentType = keyof typeof DOCUMENT_CHECKS;

/** @param type That of the manifest's member which names it; `undefined`: any. Throws `format`. */
export function checkDocument(bytes: Uint8Array, name: string, type?: DocumentType): void {
  decodeCanonicalJson<unknown>(bytes, {
    name,
    maxBytes: MAX_DOCUMENT_BYTES,
    check: (value, place) => {
      const own = (value as { type?: unknown } | null)?.type;
      const known = typeof own === "string" && Object.hasOwn(DOCUMENT_CHECKS, own)
        ? own as DocumentType
        : "coldcase-description";
      return DOCUMENT_CHECKS[type ?? known](value, place);
    },
  });
}
