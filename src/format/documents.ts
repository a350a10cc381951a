/**
 * Side documents of a manifest: what can grow. Named by digest in the manifest, each a canonical JSON file.
 *
 * @see store-format.md, "Side documents"
 */
import { arrayOf, type Checked, integer, literal, nullable, object, text, time } from "./schema.ts";
import { decodeCanonicalJson, encodeCanonicalJson } from "./canonical_json.ts";
import { MAX_BLOCKS } from "../model.ts";
import { hostMember } from "./manifest.ts";

export const MAX_DOCUMENT_BYTES = 64 * 1024 * 1024;

export const unreadableMember = object({
  attempts: integer(0),
  block: integer(0, MAX_BLOCKS - 1),
  detail: text(1024),
  reason: literal("checksum", "length", "service", "not_acquired"),
  requestIds: arrayOf(text(256), 16),
});

const unreadableDocument = object({
  /** Ascending by block. Consecutive blocks that were never tried are one entry with `blocks` > 1. */
  entries: arrayOf(object({ blocks: integer(1, MAX_BLOCKS), first: unreadableMember }), 1 << 20),
  type: literal("coldcase-unreadable"),
  version: literal(0),
});

const sessionStart = {
  callerArn: nullable(text(2048)),
  commandLine: arrayOf(text(8192), 256),
  examiner: nullable(text(256)),
  host: hostMember,
  startedAt: time,
  toolVersion: text(64),
};

const sessionCounts = {
  clockSkewMs: nullable(integer(-1e15)),
  credentialChanges: integer(0),
  fetchedBlocks: integer(0),
  firstRequestId: nullable(text(256)),
  getRequests: integer(0),
  lastRequestId: nullable(text(256)),
  listRequests: integer(0),
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
export const sessionMember = object({ ...sessionStart, ...sessionCounts, ...sessionEnd });

const sessionsDocument = object({
  sessions: arrayOf(sessionMember, 100_000),
  type: literal("coldcase-sessions"),
  version: literal(0),
});

const descriptionDocument = object({
  /** The answer of EC2 DescribeSnapshots for this snapshot, members as the SDK gives them. */
  answer: (value: unknown) => value,
  receivedAt: time,
  type: literal("coldcase-description"),
  version: literal(0),
});

export type Session = Checked<typeof sessionMember>;
export type SessionStart = Checked<typeof sessionStartMember>;
export type SessionCounts = Checked<typeof sessionCountsMember>;
export type UnreadableEntry = Checked<typeof unreadableMember>;
export type UnreadableDocument = Checked<typeof unreadableDocument>;

export function encodeUnreadable(entries: UnreadableDocument["entries"]): Uint8Array<ArrayBuffer> {
  return encodeCanonicalJson({ entries, type: "coldcase-unreadable", version: 0 });
}

export function decodeUnreadable(bytes: Uint8Array): UnreadableDocument {
  return decodeCanonicalJson(bytes, {
    name: "list of unreadable blocks",
    maxBytes: MAX_DOCUMENT_BYTES,
    check: unreadableDocument,
  });
}

export function encodeSessions(sessions: readonly Session[]): Uint8Array<ArrayBuffer> {
  return encodeCanonicalJson({ sessions, type: "coldcase-sessions", version: 0 });
}

export function decodeSessions(bytes: Uint8Array): readonly Session[] {
  return decodeCanonicalJson(bytes, {
    name: "list of sessions",
    maxBytes: MAX_DOCUMENT_BYTES,
    check: sessionsDocument,
  })
    .sessions;
}

/** Dates become RFC 3339 text; the service's member names stay. */
export function encodeDescription(
  description: { answer: unknown; receivedAt: string },
): Uint8Array<ArrayBuffer> {
  const answer: unknown = JSON.parse(JSON.stringify(description.answer));
  return encodeCanonicalJson({ ...description, answer, type: "coldcase-description", version: 0 });
}

export function decodeDescription(bytes: Uint8Array): Checked<typeof descriptionDocument> {
  return decodeCanonicalJson(bytes, {
    name: "description",
    maxBytes: MAX_DOCUMENT_BYTES,
    check: descriptionDocument,
  });
}

/** Any side document is one of these. Throws `format`. */
export function checkDocument(bytes: Uint8Array, name: string): void {
  decodeCanonicalJson(bytes, {
    name,
    maxBytes: MAX_DOCUMENT_BYTES,
    check: (value, place) => {
      const type = (value as { type?: unknown } | null)?.type;
      const check = type === "coldcase-unreadable"
        ? unreadableDocument
        : type === "coldcase-sessions"
        ? sessionsDocument
        : descriptionDocument;
      return check(value, place);
    },
  });
}
