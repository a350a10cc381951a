/**
 * AWS's own words for a refusal: who may not do what with which resource, which kind of policy says so, and whether it
 * forbids or only does not allow. Services that do not use these words give less; nothing is guessed.
 *
 * @see https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
 */

/** Kinds of policy, as the messages name them. */
const POLICIES = [
  "identity-based policy",
  "resource-based policy",
  "role trust policy",
  "permissions boundary",
  "session policy",
  "service control policy",
  "resource control policy",
  "VPC endpoint policy",
] as const;

export type PolicyKind = typeof POLICIES[number];

/** `undefined`: the message does not say. */
export interface Denial {
  /** An ARN. */
  readonly principal: string | undefined;
  /** Such as `kms:Decrypt`. */
  readonly action: string | undefined;
  /** An ARN. */
  readonly resource: string | undefined;
  readonly policy: PolicyKind | undefined;
  /** A statement forbids it, so that no grant helps. False: none allows it, or nothing is said. */
  readonly isExplicit: boolean;
}

/** The longest ARN there is has 2,048 characters; a message may have megabytes. */
const MAX_MESSAGE_LENGTH = 8192;

/** Reads a message of AccessDenied, AccessDeniedException or UnauthorizedOperation. */
export function readDenial(message: string): Denial {
  const text = message.slice(0, MAX_MESSAGE_LENGTH);
  const [, policy] =
    /(?:because no|explicit deny in (?:an?|the)) ([A-Za-z -]{1,40}?(?:policy|boundary))\b/.exec(text) ?? [];
  return {
    principal: /\b[Uu]ser: "?(arn:[\w+=,.@:/-]{1,2048})"? is not authorized/.exec(text)?.[1],
    action: /not authorized to perform: "?((?:ebs|ec2|kms|sts):[A-Za-z]{1,64})\b/.exec(text)?.[1],
    resource: /\bon resource: "?(arn:[\w+=,.@:/*-]{1,2048})"?/.exec(text)?.[1],
    policy: POLICIES.find((one) => one.toLowerCase() === policy?.toLowerCase()),
    isExplicit: /\bexplicit deny\b/i.test(text),
  };
}

/** Who can change a policy of that kind, for a caller of `account`. */
export function keeperOf(policy: PolicyKind, account: string | undefined): string {
  const ofAccount = account === undefined ? "the caller's account" : `account ${account}`;
  switch (policy) {
    case "identity-based policy":
    case "permissions boundary":
      return `whoever administers IAM in ${ofAccount}`;
    case "session policy":
      return "whoever hands out the session, with a policy of its own (a federation, IAM Identity Center, AssumeRole's Policy)";
    case "service control policy":
      return `whoever runs AWS Organizations above ${ofAccount}`;
    case "resource control policy":
      return "whoever runs AWS Organizations above the resource's account";
    case "VPC endpoint policy":
      return "whoever runs the VPC that the request came from; or ask from elsewhere";
    case "role trust policy":
      return "whoever administers the role";
    case "resource-based policy":
      return "whoever owns the resource";
  }
}
