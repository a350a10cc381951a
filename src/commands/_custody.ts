/**
 * Signing and custody as the commands share them: opening the key, and an entry in the custody log for every
 * command that made, read out, verified, signed or moved evidence, also when it failed.
 */
import type { CommandContext, OptionTable } from "../cli/mod.ts";
import { EXIT_CODES, messageOf, OperatorError } from "../errors.ts";
import type { CustodyAction } from "../format/custody.ts";
import type { Manifest } from "../format/manifest.ts";
import type { CustodyHead, ToolFacts } from "../format/members.ts";
import { type OpenedKey, openSigningKey, type SigningKey } from "../keys.ts";
import type { CustodyFacts, OuterExhibit, Store } from "../store/mod.ts";
import { examinerOf } from "./_case.ts";
import { withoutDigests } from "./_command_line.ts";
import { toolFacts } from "./_tool.ts";

export const CUSTODY_OPTIONS = {
  "sign-key": {
    value: "KEY",
    summary: "key that signs: a file, or SHA256:… in ssh-agent",
    details:
      "An Ed25519 key: one that coldcase made, an OpenSSH private key file, or the public key file or fingerprint " +
      "of a key that ssh-agent holds. Where not given, coldcase's own is used, and made on first use.",
    section: "Store",
  },
  reason: { value: "TEXT", summary: "why, for the custody log", section: "Store" },
  "custody-out": {
    value: "FILE",
    summary: "custody entry here, if the store is read-only",
    section: "Store",
  },
} as const satisfies OptionTable;

interface CustodyOptionValues {
  readonly "sign-key": string | undefined;
  readonly reason: string | undefined;
  readonly "custody-out": string | undefined;
  /** Who is at work, of commands that ask; else the environment may say. */
  readonly examiner?: string | undefined;
}

/** Opens the key that signs and names it where it was made just now. Throws `identity`, `usage`, `storage`. */
export async function openKey(context: CommandContext, source: string | undefined): Promise<SigningKey> {
  const { world, out, signal } = context;
  const opened: OpenedKey = await openSigningKey(world, {
    source,
    signal,
    ...(out.askSecret && { askPassphrase: out.askSecret }),
  });
  for (const warning of opened.warnings) out.warn(warning);
  if (opened.isNew) out.note(`made a signing key: ${opened.path}, ${opened.key.fingerprint}`);
  return opened.key;
}

/**
 * The same for commands that only read: without a key they still read, and say that they are not logged. A key
 * that was named must open.
 */
export async function openKeyIfAny(
  context: CommandContext,
  source: string | undefined,
): Promise<SigningKey | undefined> {
  try {
    return await openKey(context, source);
  } catch (error) {
    const isNoKey = error instanceof OperatorError && (error.code === "usage" || error.code === "storage");
    if (source !== undefined || !isNoKey) throw error;
    context.out.warn(`not entered into the custody log, for want of a signing key: ${error.message}`);
    return undefined;
  }
}

/** What a command tells the log while it runs. */
export interface CustodyNote {
  readonly tool: ToolFacts;
  /** Exhibits that it turned out to be about; of those that were not opened no manifest is known. */
  about(exhibit: Pick<OuterExhibit, "id" | "inventory"> & { readonly manifest?: Manifest }): void;
  /** A fact of the result. */
  tell(name: string, value: string | number | boolean | null): void;
  clockSkewMs: number | null;
}

/**
 * Runs `action` and enters into the custody log of `store` how it ended. The head is printed; a store that
 * cannot be written to gets the entry in `--custody-out`, or the operator is told that it was not logged.
 */
export async function withCustody(
  context: CommandContext,
  log: {
    readonly store: Store;
    /** `undefined`: there is none, which was said; nothing is entered. */
    readonly key: SigningKey | undefined;
    readonly action: CustodyAction;
    readonly options: CustodyOptionValues;
  },
  action: (note: CustodyNote) => Promise<number>,
): Promise<number> {
  const exhibits = new Map<string, CustodyFacts["exhibits"][number]>();
  const examiner = log.options.examiner ?? examinerOf(context);
  const facts: Record<string, string | number | boolean | null> = {
    ...(examiner !== undefined && { examiner }),
  };
  const digests = new Map<string, string>();
  const note: CustodyNote = {
    tool: toolFacts(context),
    about({ id, inventory, manifest }) {
      exhibits.set(id, { commitment: inventory.commitment, exhibit: id });
      if (!manifest) return;
      digests.set(manifest.imageDigest, `image digest of ${id}`);
      const { parent } = manifest;
      if (parent) digests.set(parent.imageDigest, `image digest of ${parent.exhibit}`);
    },
    tell: (name, value) => facts[name] = typeof value === "string" ? value.slice(0, 4096) : value,
    clockSkewMs: null,
  };
  const { key } = log;
  const enter = async (exitCode: number, outcome: string) => {
    if (!key) return;
    const { hostname, operatingSystem, user } = context.world.host;
    await append(context, { ...log, key, tool: note.tool }, {
      action: log.action,
      clockSkewMs: note.clockSkewMs,
      commandLine: withoutDigests(context.commandLine.slice(0, 256), digests).map((word) =>
        word.slice(0, 8192)
      ),
      exhibits: [...exhibits.values()].slice(0, 1024),
      host: { hostname, operatingSystem, user },
      reason: log.options.reason ?? null,
      result: { exitCode, facts, outcome },
    });
  };
  let exitCode: number;
  try {
    exitCode = await action(note);
  } catch (error) {
    const code = error instanceof OperatorError ? error.code : "internal";
    // What no exhibit was found by may be the start of a digest nevertheless.
    const reference = error instanceof OperatorError && error.facts["reference"];
    if (reference) digests.set(String(reference), "evidence number or image digest");
    await enter(EXIT_CODES[code], code).catch((entering: unknown) => {
      // What ended the command is the answer, also where the log could not be had for it.
      context.out.warn(`not entered into the custody log: ${messageOf(entering)}`);
    });
    throw error;
  }
  await enter(exitCode, exitCode === 0 ? "done" : nameOf(exitCode));
  return exitCode;
}

function nameOf(exitCode: number): string {
  return Object.entries(EXIT_CODES).find(([, code]) => code === exitCode)?.[0] ?? "internal";
}

async function append(
  context: CommandContext,
  log: {
    readonly store: Store;
    readonly key: SigningKey;
    readonly tool: ToolFacts;
    readonly options: CustodyOptionValues;
  },
  facts: CustodyFacts,
): Promise<void> {
  const { out } = context;
  try {
    const head = await log.store.evidence.logCustody(facts, log);
    out.note(`custody log: ${headText(head)}`);
    out.event({ type: "custody", ...head });
  } catch (error) {
    if (!(error instanceof OperatorError) || error.code !== "storage") throw error;
    const path = log.options["custody-out"];
    if (path === undefined) {
      out.warn(
        `not entered into the custody log, which cannot be written to (${error.message}); --custody-out FILE keeps the entry elsewhere`,
      );
      return;
    }
    const { bytes, signature } = await log.store.evidence.custodyEntryElsewhere(facts, log);
    await writeNew(context, path, bytes);
    await writeNew(context, `${path}.sshsig`, signature);
    out.note(`custody entry in ${path}: the store cannot be written to`);
  }
}

async function writeNew({ world }: CommandContext, path: string, bytes: Uint8Array): Promise<void> {
  const file = world.disk.open(path, "create");
  try {
    file.write(bytes, 0);
    await file.sync();
  } finally {
    file.close();
  }
}

/** `entry 3 of chain 1f2e…, head <digest>`. */
export function headText({ chain, sequence, digest }: CustodyHead): string {
  return `entry ${sequence} of chain ${chain}, head ${digest}`;
}
