/**
 * What AWS's partitions call things: prefixes of ARNs, the names of services in conditions, principals. Pure text: whether
 * a Region, an account or a role is there is nobody's question here.
 *
 * @see https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
 */

/** `aws`, `aws-cn`, …: the partition that a Region belongs to. */
export function partitionOf(region: string): string {
  if (region.startsWith("cn-")) return "aws-cn";
  if (region.startsWith("us-gov-")) return "aws-us-gov";
  if (region.startsWith("us-isob-")) return "aws-iso-b";
  if (region.startsWith("us-isof-")) return "aws-iso-f";
  if (region.startsWith("eu-isoe-")) return "aws-iso-e";
  if (region.startsWith("us-iso-")) return "aws-iso";
  return region.startsWith("eusc-") ? "aws-eusc" : "aws";
}

/**
 * `kms:ViaService` of a request that EBS makes of KMS for its caller: EBS is EC2 there. AWS's own reader of snapshot blocks,
 * Inspector, has the same condition in its role.
 *
 * @see https://docs.aws.amazon.com/inspector/latest/user/slr-permissions-agentless.html
 * @see https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service
 */
export function viaService(region: string): string | readonly string[] {
  const name = `ec2.${region}.amazonaws.com`;
  // Which suffix KMS writes in China's Regions no page says: a request has one of the two.
  return partitionOf(region) === "aws-cn" ? [name, `${name}.cn`] : name;
}

/** The account in an ARN; `undefined` where it has none. */
export function accountIn(arn: string | undefined): string | undefined {
  return /^arn:[a-z-]+:[a-z0-9-]+:[a-z0-9-]*:(\d{12}):/.exec(arn ?? "")?.[1];
}

/**
 * How a policy names a caller: the session of a role by its role. The path of the role is not in a session's ARN, so it
 * is lacking here, too.
 */
export function principalOf(callerArn: string): string {
  const [, partition, account, role] =
    /^arn:([a-z-]+):sts::(\d{12}):assumed-role\/([^/]+)\/.+$/.exec(callerArn) ??
      [];
  return role === undefined ? callerArn : `arn:${partition}:iam::${account}:role/${role}`;
}
