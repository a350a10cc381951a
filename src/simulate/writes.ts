/**
 * The calls that write a snapshot: StartSnapshot, PutSnapshotBlock, CompleteSnapshot. Everything that the service
 * documents to be checked is checked, so that an uploader that passes here has its checksums, counts and tokens
 * right.
 *
 * @see https://docs.aws.amazon.com/ebs/latest/userguide/writesnapshots.html
 */
import { createHash, randomBytes } from "node:crypto";
import { Buffer } from "node:buffer";
import { requireKey, requireReadable } from "./access.ts";
import { type Answer, type ApiRequest, type Endpoint, headerOf, jsonAnswer } from "./endpoint.ts";
import { accessDenied, AwsError, snapshotNotFound, validationError } from "./errors.ts";
import { integerParameter, required, snapshotIdParameter } from "./parameters.ts";
import type { HeldSnapshot } from "./snapshots.ts";
import { parseStart, type StartParameters } from "./start_parameters.ts";
import { isTimedOut, type Upload } from "./uploads.ts";
import { WrittenContents } from "./written.ts";

/** Pending snapshots of an account. @see quota L-D74DD9A0 */
const MAX_PENDING = 100;
/** What DescribeSnapshots shows as the volume of a snapshot that had none. */
const NO_VOLUME = "vol-ffffffff";

export function startSnapshot(endpoint: Endpoint, request: ApiRequest): Answer {
  const { uploads, clock } = endpoint;
  const wanted = parseStart(request.signed.body);
  const kept = wanted.clientToken === undefined ? undefined : uploads.keptAnswer(wanted.clientToken);
  const identity = JSON.stringify([request.caller.account, wanted]);
  if (kept && kept.request !== identity) {
    throw new AwsError("ConflictException", {
      status: 409,
      message: "The client token was used by a previous request with other parameters.",
    });
  }
  if (kept) return jsonAnswer(201, kept.answer);
  if (!uploads.canWrite) {
    throw accessDenied("UNAUTHORIZED_ACCOUNT", "This endpoint does not accept new snapshots.");
  }
  if (uploads.pendingCount(clock.nowMs()) >= MAX_PENDING) {
    throw new AwsError("ConcurrentLimitExceededException", {
      status: 400,
      message: `The account has ${MAX_PENDING} pending snapshots.`,
    });
  }
  const parent = parentOf(endpoint, request, wanted);
  const snapshot = begin(endpoint, { request, wanted, parent });
  const answer = JSON.stringify({
    SnapshotId: snapshot.id,
    OwnerId: snapshot.facts.ownerId,
    Status: "pending",
    StartTime: snapshot.facts.startTimeMs / 1000,
    VolumeSize: snapshot.volumeSizeGib,
    BlockSize: endpoint.blockSizeBytes,
    Description: wanted.description,
    ParentSnapshotId: wanted.parentSnapshotId,
    KmsKeyArn: snapshot.facts.kmsKeyId,
    SseType: snapshot.facts.encrypted ? "sse-kms" : "none",
    Tags: wanted.tags.map(([Key, Value]) => ({ Key, Value })),
  });
  if (wanted.clientToken !== undefined) uploads.keepAnswer(wanted.clientToken, { request: identity, answer });
  return jsonAnswer(201, answer);
}

export function putSnapshotBlock(endpoint: Endpoint, request: ApiRequest): Answer {
  const { route, signed } = request;
  const { snapshot, upload } = openUpload(endpoint, request);
  const index = integerParameter(route.blockIndex, { name: "blockIndex", min: 0 })!;
  const reason = "INVALID_PARAMETER_VALUE";
  const length = integerParameter(headerOf(request, "x-amz-Data-Length"), { name: "dataLength", min: 0 });
  const algorithm = required(headerOf(request, "x-amz-Checksum-Algorithm"), {
    name: "checksumAlgorithm",
    reason,
  });
  const checksum = required(headerOf(request, "x-amz-Checksum"), { name: "checksum", reason });
  integerParameter(headerOf(request, "x-amz-Progress"), { name: "progress", min: 0, max: 100 });
  if (algorithm !== "SHA256") {
    throw validationError(reason, `Unsupported checksum algorithm: ${algorithm.slice(0, 32)}`);
  }
  if (required(length, { name: "dataLength", reason }) !== endpoint.blockSizeBytes) {
    throw validationError(reason, `The data length is ${length}, the block size ${endpoint.blockSizeBytes}.`);
  }
  if (signed.body.length !== length) throw validationError(reason, "Failed to read block data");
  if (index >= upload.contents.blockCount) {
    throw validationError(
      "INVALID_BLOCK",
      `The block index ${index} is beyond the volume's ${upload.contents.blockCount} blocks.`,
    );
  }
  const digest = createHash("sha256").update(signed.body).digest();
  if (digest.toString("base64") !== checksum) {
    throw validationError("INVALID_BLOCK", `The checksum of block ${index} does not match its data.`);
  }
  requireKey(snapshot, { caller: request.caller, denied: endpoint.denied, action: "kms:GenerateDataKey" });
  upload.contents.write(index, { bytes: signed.body, digest });
  upload.lastWriteMs = endpoint.clock.nowMs();
  return {
    status: 201,
    headers: {
      "Content-Type": "application/json",
      "x-amz-Checksum": checksum,
      "x-amz-Checksum-Algorithm": "SHA256",
    },
    body: new TextEncoder().encode("{}"),
  };
}

export function completeSnapshot(endpoint: Endpoint, request: ApiRequest): Answer {
  const reason = "INVALID_PARAMETER_VALUE";
  const id = snapshotIdParameter(request.route.snapshotId, "snapshotId");
  const given = integerParameter(headerOf(request, "x-amz-ChangedBlocksCount"), {
    name: "changedBlocksCount",
    min: 0,
  });
  const count = required(given, { name: "changedBlocksCount", reason });
  const checksum = headerOf(request, "x-amz-Checksum");
  checkAggregation(request, checksum);
  const done = endpoint.uploads.get(id)?.completed;
  // Completing twice in the same words is the retry of a lost answer.
  if (!done || done.count !== count || done.checksum !== checksum) {
    const { upload } = openUpload(endpoint, request);
    if (count !== upload.contents.writtenCount) {
      throw validationError(
        reason,
        `ChangedBlocksCount is ${count}, but ${upload.contents.writtenCount} blocks were written.`,
      );
    }
    if (checksum !== undefined && checksum !== upload.contents.linearChecksum()) {
      throw validationError(reason, "The aggregated checksum does not match the blocks that were written.");
    }
    upload.completed = { count, checksum };
    const completionTimeMs = endpoint.clock.nowMs() + endpoint.uploads.completionDelayMs;
    endpoint.shelf.update(id, { completionTimeMs });
  }
  return jsonAnswer(202, JSON.stringify({ Status: "pending" }));
}

function checkAggregation(request: ApiRequest, checksum: string | undefined): void {
  const reason = "INVALID_PARAMETER_VALUE";
  const algorithm = headerOf(request, "x-amz-Checksum-Algorithm");
  const method = headerOf(request, "x-amz-Checksum-Aggregation-Method");
  if (algorithm !== undefined && algorithm !== "SHA256") {
    throw validationError(reason, "Unsupported checksum algorithm");
  }
  if (method !== undefined && method !== "LINEAR") {
    throw validationError(reason, "Unsupported aggregation method");
  }
  if (checksum === undefined) return;
  if (Buffer.from(checksum, "base64").length !== 32) {
    throw validationError(reason, "The checksum is not a SHA256 in Base64");
  }
  if (algorithm === undefined || method === undefined) {
    throw validationError(reason, "A checksum needs its algorithm and its aggregation method");
  }
}

/** The caller's snapshot, where it may be written to now. */
function openUpload(endpoint: Endpoint, request: ApiRequest): { snapshot: HeldSnapshot; upload: Upload } {
  const id = snapshotIdParameter(request.route.snapshotId, "snapshotId");
  const snapshot = endpoint.shelf.get(id);
  if (!snapshot) throw snapshotNotFound(id);
  if (snapshot.facts.ownerId !== request.caller.account) {
    throw accessDenied(
      "UNAUTHORIZED_ACCOUNT",
      `Account ${request.caller.account} is not authorized to access snapshot '${id}'.`,
    );
  }
  const upload = endpoint.uploads.get(id);
  if (!upload || upload.completed) {
    throw validationError("INVALID_SNAPSHOT_ID", `The snapshot '${id}' is not in the pending state.`);
  }
  if (isTimedOut(upload, endpoint.clock.nowMs())) {
    throw validationError(
      "WRITE_REQUEST_TIMEOUT",
      `The snapshot '${id}' was cancelled: nothing was written in time.`,
    );
  }
  return { snapshot, upload };
}

function parentOf(
  endpoint: Endpoint,
  request: ApiRequest,
  wanted: StartParameters,
): HeldSnapshot | undefined {
  const id = wanted.parentSnapshotId;
  if (id === undefined) return undefined;
  const { caller } = request;
  const parent = requireReadable(endpoint.shelf.get(id), { id, caller, nowMs: endpoint.clock.nowMs() });
  requireKey(parent, { caller, denied: endpoint.denied, action: "kms:Decrypt" });
  if (wanted.volumeSizeGib < parent.volumeSizeGib) {
    throw validationError(
      "INVALID_VOLUME_SIZE",
      `The volume size ${wanted.volumeSizeGib} is smaller than the parent snapshot's ${parent.volumeSizeGib}.`,
    );
  }
  return parent;
}

function begin(
  endpoint: Endpoint,
  facts: {
    readonly request: ApiRequest;
    readonly wanted: StartParameters;
    readonly parent: HeldSnapshot | undefined;
  },
): HeldSnapshot {
  const { request, wanted, parent } = facts;
  const { uploads, clock, blockSizeBytes } = endpoint;
  const nowMs = clock.nowMs();
  const id = `snap-${randomBytes(9).toString("hex").slice(0, 17)}`;
  const contents = new WrittenContents(uploads.pathFor(id), {
    blockSizeBytes,
    volumeSizeGib: wanted.volumeSizeGib,
    parent: parent?.contents,
  });
  const upload: Upload = {
    id,
    contents,
    timeoutMs: wanted.timeoutMs,
    lastWriteMs: nowMs,
    completed: undefined,
  };
  uploads.put(upload);
  return endpoint.shelf.put({
    id,
    facts: {
      volumeId: NO_VOLUME,
      ownerId: request.caller.account,
      startTimeMs: nowMs,
      encrypted: wanted.encrypted ?? parent?.facts.encrypted ?? false,
      kmsKeyId: wanted.kmsKeyArn ?? parent?.facts.kmsKeyId,
      kmsDenied: parent?.facts.kmsDenied,
      description: wanted.description,
      tags: Object.fromEntries(wanted.tags),
    },
    // A snapshot without a parent begins a lineage of its own.
    lineage: parent?.lineage ?? id,
    volumeSizeGib: wanted.volumeSizeGib,
    contents,
    stateAt(atMs) {
      if (isTimedOut(upload, atMs)) return "error";
      const completesAtMs = endpoint.shelf.get(id)?.facts.completionTimeMs;
      return upload.completed && completesAtMs !== undefined && completesAtMs <= atMs
        ? "completed"
        : "pending";
    },
  });
}
