/**
 * The list of all verbs, in the order of the help. Each entry names its module, which holds the command's
 * table and its steps and is loaded only when that command is asked for: the top help and `--version` stay quick.
 */
import type { CommandEntry } from "../cli/mod.ts";
import type { World } from "../model.ts";

/** What `--version` prints, without the final line feed. @param release `0.1.0`. */
export async function versionText(release: string, world: World): Promise<string> {
  return (await import("./_version.ts")).versionText(release, world);
}

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "whoami",
    summary: "who asks AWS, until when, and what is allowed",
    group: "Acquire",
    synonyms: ["id", "identity", "credentials"],
    load: async () => (await import("./whoami.ts")).whoami,
  },
  {
    name: "sources",
    summary: "the snapshots of an instance, a volume or a tag",
    group: "Acquire",
    synonyms: ["snapshots", "find", "search"],
    load: async () => (await import("./sources.ts")).sources,
  },
  {
    name: "snapshot",
    summary: "create takes snapshots of all volumes of an instance",
    group: "Acquire",
    synonyms: ["create-snapshots", "take"],
    load: async () => (await import("./snapshot.ts")).snapshot,
  },
  {
    name: "plan",
    summary: "what acquire would fetch and cost",
    group: "Acquire",
    synonyms: ["estimate", "dry-run"],
    load: async () => (await import("./plan.ts")).plan,
  },
  {
    name: "acquire",
    summary: "snapshots into the store; run again, it goes on",
    group: "Acquire",
    synonyms: ["download", "backup", "resume", "image"],
    load: async () => (await import("./acquire.ts")).acquire,
  },
  {
    name: "ls",
    summary: "what the store holds",
    group: "Evidence",
    synonyms: ["list", "exhibits"],
    load: async () => (await import("./ls.ts")).ls,
  },
  {
    name: "info",
    summary: "one exhibit: source, counts, digests, partitions",
    group: "Evidence",
    synonyms: ["show", "describe"],
    load: async () => (await import("./info.ts")).info,
  },
  {
    name: "verify",
    summary: "structure and every byte of exhibits",
    group: "Evidence",
    synonyms: ["check", "fsck", "scrub"],
    load: async () => (await import("./verify.ts")).verify,
  },
  {
    name: "export",
    summary: "an image: raw, E01, VMDK or VHD; file, device, stdout",
    group: "Hand over",
    synonyms: ["dd", "restore", "write"],
    load: async () => (await import("./export.ts")).exportCommand,
  },
  {
    name: "report",
    summary: "an exhibit for the case file, each claim with its file",
    group: "Evidence",
    synonyms: ["protocol", "statement"],
    load: async () => (await import("./report.ts")).report,
  },
  {
    name: "correct",
    summary: "what was recorded wrongly of a case, as an addendum",
    group: "Evidence",
    synonyms: ["amend", "edit", "annotate"],
    load: async () => (await import("./correct.ts")).correct,
  },
  {
    name: "copy",
    summary: "exhibits into another store",
    group: "Hand over",
    synonyms: ["cp", "clone"],
    load: async () => (await import("./copy.ts")).copy,
  },
  {
    name: "encrypt",
    summary: "exhibits into another store, encrypted",
    group: "Hand over",
    synonyms: ["age"],
    load: async () => (await import("./encrypt.ts")).encrypt,
  },
  {
    name: "decrypt",
    summary: "exhibits into another store, plain",
    group: "Hand over",
    synonyms: ["unlock"],
    load: async () => (await import("./decrypt.ts")).decrypt,
  },
  {
    name: "repair",
    summary: "mends a damaged store, from what there is",
    group: "Evidence",
    synonyms: ["salvage", "fix", "heal"],
    load: async () => (await import("./repair.ts")).repair,
  },
  {
    name: "custody",
    summary: "who did what with the evidence, checked",
    group: "Evidence",
    synonyms: ["log", "history"],
    load: async () => (await import("./custody.ts")).custody,
  },
  {
    name: "sign",
    summary: "adds your signature to an exhibit",
    group: "Evidence",
    load: async () => (await import("./sign.ts")).sign,
  },
  {
    name: "timestamp",
    summary: "an RFC 3161 token over an exhibit's signature",
    group: "Evidence",
    synonyms: ["tsa"],
    load: async () => (await import("./timestamp.ts")).timestamp,
  },
  {
    name: "keygen",
    summary: "an age identity, or a signing key",
    group: "Evidence",
    synonyms: ["key", "genkey", "ssh-keygen"],
    load: async () => (await import("./keygen.ts")).keygen,
  },
  {
    name: "recipients",
    summary: "who can open an encrypted store; add lets others",
    group: "Evidence",
    synonyms: ["access", "share", "headers"],
    load: async () => (await import("./recipients.ts")).recipients,
  },
  {
    name: "import",
    summary: "a folder of Snapshot-4n6ir-Imager, as an exhibit",
    group: "Acquire",
    synonyms: ["takeover", "migrate", "4n6ir"],
    load: async () => (await import("./import.ts")).importCommand,
  },
  {
    name: "policy",
    summary: "what to grant, so that a role can acquire",
    group: "Acquire",
    synonyms: ["iam", "permissions", "grant"],
    load: async () => (await import("./policy.ts")).policy,
  },
  {
    name: "simulate",
    summary: "an EBS endpoint on this machine, for drills",
    group: "Learn",
    synonyms: ["mock", "serve"],
    load: async () => (await import("./simulate.ts")).simulate,
  },
  {
    name: "demo",
    summary: "the main job with no AWS account",
    group: "Learn",
    load: async () => (await import("./demo.ts")).demo,
  },
  {
    name: "completions",
    summary: "commands and options, for a shell to complete",
    group: "Learn",
    synonyms: ["completion", "complete"],
    load: async () => (await import("./completions.ts")).completions,
  },
];
