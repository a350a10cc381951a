/**
 * The body of StartSnapshot: JSON members as the service model of `ebs/2019-11-02` constrains them, each refused
 * with the `Reason` that belongs to it. Unknown members are ignored, as rest-json asks.
 *
 * Whether the parent exists and is large enough is for the call to find out (writes.ts).
 */
import { validationError, type ValidationReason } from "./errors.ts";

/** What a caller of StartSnapshot asks for. */
export interface StartParameters {
  /** 1 to 65,536. */
  readonly volumeSizeGib: number;
  readonly parentSnapshotId: string | undefined;
  readonly description: string | undefined;
  readonly clientToken: string | undefined;
  readonly encrypted: boolean | undefined;
  readonly kmsKeyArn: string | undefined;
  /** 10 min to 3 days. */
  readonly timeoutMs: number;
  readonly tags: readonly (readonly [key: string, value: string])[];
}

/** Reads and checks the JSON body. Throws `AwsError`. */
export function parseStart(body: Uint8Array): StartParameters {
  const members = objectOf(body);
  const volumeSizeGib = integer(members.VolumeSize, {
    name: "volumeSize",
    min: 1,
    max: 65_536,
    reason: "INVALID_VOLUME_SIZE",
  });
  if (volumeSizeGib === undefined) {
    throw refusal("volumeSize", "Member must not be null", "INVALID_VOLUME_SIZE");
  }
  const timeout = integer(members.Timeout, { name: "timeout", min: 10, max: 4320 }) ?? 60;
  const parentSnapshotId = text(members.ParentSnapshotId, {
    name: "parentSnapshotId",
    pattern: /^snap-[0-9a-f]{1,59}$/,
    reason: "INVALID_SNAPSHOT_ID",
  });
  const encrypted = members.Encrypted ?? undefined;
  if (encrypted !== undefined && typeof encrypted !== "boolean") {
    throw refusal("encrypted", "Member must be a boolean");
  }
  const kmsKeyArn = text(members.KmsKeyArn, {
    name: "kmsKeyArn",
    pattern: /^arn:aws[a-z-]*:kms:.*:\d{12}:key\/.*$/,
    reason: "INVALID_CUSTOMER_KEY",
  });
  if (parentSnapshotId !== undefined && encrypted !== undefined) {
    throw refusal("encrypted", "Encrypted and ParentSnapshotId cannot be in one request");
  }
  if (kmsKeyArn !== undefined && encrypted !== true) throw refusal("kmsKeyArn", "KmsKeyArn needs Encrypted");
  return {
    volumeSizeGib,
    parentSnapshotId,
    description: text(members.Description, { name: "description", pattern: /^[\S\s]{1,255}$/ }),
    clientToken: text(members.ClientToken, { name: "clientToken", pattern: /^\S{1,255}$/ }),
    encrypted,
    kmsKeyArn,
    timeoutMs: timeout * 60e3,
    tags: tagsOf(members.Tags),
  };
}

function objectOf(body: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) {
      throw refusal("body", "The body is no JSON text");
    }
    throw error;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw refusal("body", "The body is no JSON object");
  }
  return value as Record<string, unknown>;
}

function tagsOf(value: unknown): [string, string][] {
  if (value === undefined || value === null) return [];
  const reason = "INVALID_TAG";
  if (!Array.isArray(value) || value.length > 50) {
    throw refusal("tags", "Member must be a list of at most 50", reason);
  }
  const tags = value.map((item: unknown): [string, string] => {
    const { Key, Value } = (item ?? {}) as { Key?: unknown; Value?: unknown };
    const key = text(Key, { name: "tags.key", pattern: /^[\S\s]{1,127}$/, reason });
    if (key === undefined) throw refusal("tags.key", "Member must not be null", reason);
    if (/^aws:/i.test(key)) throw refusal("tags.key", "Tag keys starting with 'aws:' are reserved", reason);
    return [key, text(Value, { name: "tags.value", pattern: /^[\S\s]{0,255}$/, reason }) ?? ""];
  });
  if (new Set(tags.map(([key]) => key)).size !== tags.length) {
    throw refusal("tags", "Duplicate tag keys", reason);
  }
  return tags;
}

function text(
  value: unknown,
  facts: { readonly name: string; readonly pattern: RegExp; readonly reason?: ValidationReason },
): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string" && facts.pattern.test(value)) return value;
  throw refusal(facts.name, "Member does not satisfy its constraints", facts.reason);
}

function integer(
  value: unknown,
  facts: {
    readonly name: string;
    readonly min: number;
    readonly max: number;
    readonly reason?: ValidationReason;
  },
): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "number" && Number.isInteger(value) && value >= facts.min && value <= facts.max) {
    return value;
  }
  throw refusal(facts.name, `Member must be an integer from ${facts.min} to ${facts.max}`, facts.reason);
}

function refusal(name: string, constraint: string, reason: ValidationReason = "INVALID_PARAMETER_VALUE") {
  return validationError(reason, `Value at '${name}' failed to satisfy constraint: ${constraint}`);
}
