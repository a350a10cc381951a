/**
 * `encrypt` and `decrypt` as one: exhibits of a store into another store of the other mode. What is refused, and which
 * exhibits are meant, is settled here; the bytes are the store's work, log and receipts are as `copy` has them.
 */
import { resolve } from "@std/path";
import type { CommandContext, OptionTable } from "../cli/mod.ts";
import { gravestExitCode, isFault, OperatorError } from "../errors.ts";
import { type Exhibit, openStoreForWriting, type Store, type WriteOptions } from "../store/mod.ts";
import { CUSTODY_OPTIONS, openKey } from "./_custody.ts";
import { type HandOver, handOver, modeOf } from "./_hand_over.ts";
import { tellOtherRecipients, warnOfSingleRecipient } from "./_identities.ts";

export const TRANSCODE_OPTIONS = {
  to: { value: "STORE", summary: "the other store; made where it is missing" },
  "mixed-cases": { summary: "allow several cases in that store" },
  "unsafe-filesystem": { summary: "accept a file system that keeps no promises" },
  ...CUSTODY_OPTIONS,
} as const satisfies OptionTable;

export interface TranscodeJob {
  readonly action: "encrypt" | "decrypt";
  /** Exhibits as they were named; none: all. */
  readonly references: readonly string[];
  readonly options: HandOver["options"] & {
    readonly to: string;
    readonly "mixed-cases": boolean;
    readonly "unsafe-filesystem": boolean;
  };
  /** The store that is read. Belongs to the caller. */
  readonly from: Store;
  /** Who can open what is written. */
  readonly encryption: Pick<WriteOptions, "recipients" | "passphraseIdentity">;
  /** Told of the exhibits before anything is written. */
  beforeWriting?(exhibits: readonly Exhibit[]): Promise<void>;
}

/** Where the other store is. Throws `usage` where none was named, or it is the one that is read. */
export function targetPath(
  action: string,
  options: { readonly to: string | undefined; readonly store: string },
): string {
  if (options.to === undefined) {
    throw new OperatorError("usage", `Cannot ${action}: no target was named`, {
      hints: ["Give --to STORE."],
    });
  }
  const [path, target] = [resolve(options.store), resolve(options.to)];
  if (path === target) throw new OperatorError("usage", `Cannot ${action} "${path}" into itself`);
  return target;
}

/** Gives the exit code: the gravest of all exhibits. */
export async function transcode(context: CommandContext, job: TranscodeJob): Promise<number> {
  const { world } = context;
  const { action, from, options } = job;
  const target = options.to;
  await refuseMode(context, job);
  const key = await openKey(context, options["sign-key"]);
  const { exhibits, codes } = await exhibitsOf(context, from, job.references);
  await job.beforeWriting?.(exhibits);
  const to = await openStoreForWriting(world, target, {
    ...job.encryption,
    case: from.file.case ?? undefined,
    mixedCases: options["mixed-cases"],
    unsafeFileSystem: options["unsafe-filesystem"],
  });
  try {
    warnOfSingleRecipient(context, to);
    await tellOtherRecipients(context, to, job.encryption);
    const write: HandOver["write"] = (exhibit, how) => from.transcodeTo(to, exhibit, how);
    const code = await handOver(context, { action, from, to, exhibits, key, options, write });
    return gravestExitCode([...codes, code]);
  } finally {
    to.close();
  }
}

/** Before a key is made or asked for: a store of the wrong mode is a mistake of the command line. */
async function refuseMode({ world }: CommandContext, job: TranscodeJob): Promise<void> {
  const { action, from, options } = job;
  const [source, wanted] = action === "encrypt" ? ["plain", "encrypted"] : ["encrypted", "plain"];
  if (from.file.mode !== source) {
    throw new OperatorError("usage", `Cannot ${action} "${from.path}": it is ${wanted} already`, {
      hints: [
        "`coldcase copy` copies it as it is.",
        ...(action === "encrypt" ? ["`coldcase recipients add` lets others open it."] : []),
      ],
    });
  }
  const mode = await modeOf(world, options.to);
  if (mode === undefined || mode === wanted) return;
  throw new OperatorError(
    "usage",
    `Cannot ${action} into "${options.to}": that store is ${mode}, expected ${
      action === "encrypt" ? "an encrypted" : "a plain"
    } one`,
    { hints: ["Name another --to STORE; one that is missing is made."] },
  );
}

/** Those that were named, or all. Of all, one that is damaged is told and passed over. */
async function exhibitsOf(
  { out }: CommandContext,
  from: Store,
  references: readonly string[],
): Promise<{ readonly exhibits: readonly Exhibit[]; readonly codes: readonly number[] }> {
  const exhibits = new Map<string, Exhibit>();
  const codes: number[] = [];
  for (const reference of references) {
    const exhibit = await from.find(reference);
    exhibits.set(exhibit.id, exhibit);
  }
  for (const id of references.length === 0 ? await from.exhibitIds() : []) {
    try {
      exhibits.set(id, await from.exhibit(id));
    } catch (error) {
      if (!isFault(error)) throw error;
      out.error(error);
      codes.push(error.exitCode);
    }
  }
  if (exhibits.size === 0 && codes.length === 0) {
    throw new OperatorError("not_found", `Cannot find an exhibit: the store "${from.path}" holds none`);
  }
  return { exhibits: [...exhibits.values()], codes };
}
