/**
 * Credentials in words: where they come from, and what to do about those that are refused. Nothing is read or kept here,
 * and nothing of a secret is in what it is given.
 */
import { OperatorError } from "../errors.ts";
import type { CredentialKeeper, Identity } from "./credentials.ts";
import { SESSION_COMMAND, shellWord } from "./credentials_file.ts";

/** Where nothing is named. */
export const DEFAULT_CHAIN = "the default credential chain";

/** The SDK's notes of a source that the options do not name, in words. */
const KINDS: readonly (readonly [feature: string, words: string])[] = [
  ["CREDENTIALS_HTTP", "the container's role"],
  ["CREDENTIALS_SSO", "SSO"],
  ["CREDENTIALS_SSO_LEGACY", "SSO"],
  ["CREDENTIALS_LOGIN", "aws login"],
  ["CREDENTIALS_PROCESS", "credential_process"],
];

/** @param named Where the options have them from. */
export function sourceText(named: string, { lineage, ...own }: Identity): string {
  const first = lineage === undefined
    ? firstText(named, own)
    : lineage.base === undefined
    ? `a web identity's token (${named})`
    : firstText(named, lineage.base);
  return (lineage?.exchanges ?? []).reduce((from, { how, roleArn, mfaSerial }) => {
    const device = mfaSerial === undefined ? "" : ` and MFA device ${mfaSerial}`;
    return how === "GetSessionToken"
      ? `a session of ${from}${device}`
      : `role ${roleArn}, assumed with ${from}${device}`;
  }, first);
}

function firstText(named: string, { $source }: Identity): string {
  const isChain = named === DEFAULT_CHAIN;
  // Of all in the chain the metadata service alone is not noted.
  if (isChain && $source === undefined) return "the instance's role";
  const [, kind] = KINDS.find(([feature]) => $source?.[feature] !== undefined) ?? [];
  if (kind === undefined) return named;
  return isChain ? kind : `${named} (${kind})`;
}

/** The error for credentials that are refused and bring nothing newer. */
export function credentialsRefused(facts: {
  readonly what: string;
  readonly reason: string;
  readonly keeper: CredentialKeeper;
  readonly profile: string | undefined;
}): OperatorError {
  const { what, reason, keeper } = facts;
  return new OperatorError("access", `Cannot ${what}: ${reason}`, {
    hints: refusedHints(facts),
    facts: { credentials: keeper.source, canRenew: keeper.canRenew },
  });
}

function refusedHints(
  { reason, keeper, profile }: {
    readonly reason: string;
    readonly keeper: CredentialKeeper;
    readonly profile: string | undefined;
  },
): string[] {
  const again = "Then run the same command again: it resumes.";
  const named = profile === undefined ? "" : ` --profile ${profile}`;
  if (reason.includes("--allow-run")) {
    return [
      "The profile's credential_process may not be started: run it as deno task coldcase:process …, or build with deno task compile --credential-process",
      `or start it yourself: eval "$(aws configure export-credentials --profile ${
        profile ?? "default"
      } --format env)"`,
    ];
  }
  if (keeper.file !== undefined) {
    return [
      `Write fresh credentials to ${keeper.file}: ${SESSION_COMMAND} > ${shellWord(keeper.file)}. ${again}`,
    ];
  }
  if (/\bSSO\b|UnauthorizedException/.test(reason)) return [`Log in: aws sso login${named}. ${again}`];
  if (/aws login|reauthenticate/.test(reason)) return [`Log in: aws login${named}. ${again}`];
  if (/ForbiddenException/.test(reason)) {
    return [
      "The login is good, the role is not assigned to it: whoever runs IAM Identity Center assigns it.",
    ];
  }
  const held = keeper.facts();
  if (held === undefined) {
    return [
      "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), or name a profile with --profile.",
      ...(profile === undefined ? [] : [
        "These are the profiles that there are: aws configure list-profiles",
        `For an SSO profile: aws sso login --profile ${profile}`,
      ]),
    ];
  }
  if (keeper.canRenew) return [`Renew ${keeper.source}, for SSO with: aws sso login. ${again}`];
  return [
    `Credentials from ${keeper.source} cannot renew themselves: set fresh ones. ${again}`,
    // Those of a session begin so, as IAM's reference of unique ids has it.
    ...(held.accessKeyId.startsWith("ASIA")
      ? [
        "They are a session's. With a user's own keys and --mfa-serial, or --role-arn, coldcase gets a session itself, and the next one.",
      ]
      : []),
  ];
}
