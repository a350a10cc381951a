/**
 * Who may do what: IAM actions that are denied, snapshots that are not the caller's, keys that do not open, and
 * states in which a snapshot cannot be read. Answers as AWS's do; where AWS documents none (pending, archived), a
 * ValidationException names the snapshot as the invalid thing.
 */
import type { Caller } from "./credentials.ts";
import { accessDenied, iamDenied, type ServiceName, snapshotNotFound, validationError } from "./errors.ts";
import { type HeldSnapshot, stateOf } from "./snapshots.ts";

/**
 * Refuses an action that the endpoint or the caller's credentials deny: `ebs:GetSnapshotBlock`, or with the kind of policy
 * that forbids it, `ebs:GetSnapshotBlock=service control policy`.
 */
export function requireAction(
  denied: ReadonlySet<string>,
  facts: {
    readonly caller: Caller;
    readonly service: ServiceName;
    readonly action: string;
    readonly resource: string;
  },
): void {
  const { caller, service, action, resource } = facts;
  if (denied.size === 0 && caller.deny.length === 0) return;
  const found = [...denied, ...caller.deny].find((one) => one === action || one.startsWith(`${action}=`));
  if (found === undefined) return;
  const forbiddenBy = found === action ? undefined : found.slice(action.length + 1);
  throw iamDenied(service, { arn: caller.arn, action, resource, forbiddenBy });
}

/** Whether EC2 shows the snapshot to the caller at all. */
export function isVisible(snapshot: HeldSnapshot, account: string): boolean {
  const { ownerId, sharedWith, public: isPublic } = snapshot.facts;
  return ownerId === account || isPublic === true || (sharedWith ?? []).includes(account);
}

/** The snapshot, where the caller may read its listing now. */
export function requireReadable(
  snapshot: HeldSnapshot | undefined,
  facts: { readonly id: string; readonly caller: Caller; readonly nowMs: number },
): HeldSnapshot {
  if (!snapshot) throw snapshotNotFound(facts.id);
  const { ownerId, sharedWith, tier } = snapshot.facts;
  const state = stateOf(snapshot, facts.nowMs);
  const account = facts.caller.account;
  // A public snapshot is for everybody to restore, but these calls serve owners and accounts named in its permissions.
  if (ownerId !== account && !(sharedWith ?? []).includes(account)) {
    throw accessDenied(
      "UNAUTHORIZED_ACCOUNT",
      `Account ${account} is not authorized to access snapshot '${facts.id}'.`,
    );
  }
  if (state !== "completed") {
    throw validationError(
      "INVALID_SNAPSHOT_ID",
      `The snapshot '${facts.id}' is not in the completed state: ${state}.`,
    );
  }
  if (tier === "archive") {
    throw validationError(
      "INVALID_SNAPSHOT_ID",
      `The snapshot '${facts.id}' is in the archive tier. Restore it first.`,
    );
  }
  return snapshot;
}

/** Refuses where the caller may not use the snapshot's key. Listing needs no key, blocks do. */
export function requireKey(
  snapshot: HeldSnapshot,
  facts: { readonly caller: Caller; readonly denied: ReadonlySet<string>; readonly action: string },
): void {
  const { encrypted, kmsDenied, kmsKeyId, ownerId } = snapshot.facts;
  if (!encrypted) return;
  // AWS's own key for EBS cannot be shared with another account.
  const isForeignDefaultKey = ownerId !== facts.caller.account && /alias\/aws\/ebs$/.test(kmsKeyId ?? "");
  if (
    kmsDenied || isForeignDefaultKey || facts.denied.has(facts.action) ||
    facts.caller.deny.includes(facts.action)
  ) {
    throw accessDenied(
      "DEPENDENCY_ACCESS_DENIED",
      `The caller does not have permission to use the KMS key of snapshot '${snapshot.id}' (${facts.action}).`,
    );
  }
}
