/**
 * `acquire`: snapshots into a store. New, resumed and incremental read the same here; the loop itself is in
 * acquisition/, the store in store/, the service in aws/.
 */
import { resolve } from "@std/path";
import { type AcquireInput, type ParentWish, refuseOtherJournal, Spending } from "../acquisition/mod.ts";
import type { AwsSource } from "../aws/source.ts";
import { BlockBuffers } from "../buffers.ts";
import {
  AWS_OPTIONS,
  type CommandContext,
  defineCommand,
  type Input,
  type OptionTable,
  STORE_OPTIONS,
  wholeNumber,
} from "../cli/mod.ts";
import { gravestExitCode, OperatorError } from "../errors.ts";
import { MAX_UNREADABLE_ENTRIES } from "../format/documents.ts";
import type { SigningKey } from "../keys.ts";
import { openStoreForWriting, type Store } from "../store/mod.ts";
import { formatSize, parseDuration, parseRate, parseSnapshotId, parseUsd } from "../units.ts";
import { acquireOne, type Ended } from "./_acquire_one.ts";
import { announceTargets, showEnds } from "./_acquire_shown.ts";
import { credentialText, openAws, SourceWatch } from "./_aws.ts";
import { CASE_OPTIONS, caseFacts, warnOfMissing } from "./_case.ts";
import { CUSTODY_OPTIONS, type CustodyNote, openKey, withCustody } from "./_custody.ts";
import { evidenceNumbers, usedNumberNotes } from "./_evidence_numbers.ts";
import { NOT_FROM_AWS } from "./_exhibits.ts";
import {
  ENCRYPTION_OPTIONS,
  encryptionOf,
  IDENTITY_OPTIONS,
  tellOtherRecipients,
  warnOfSingleRecipient,
} from "./_identities.ts";
import { INSTANCE_OPTIONS, instanceTargets, instanceWish, type Target } from "./_instance.ts";
import { PRICE_OPTIONS, pricesFrom } from "./_prices.ts";

/** Before a partial commit says that the snapshot cannot be listed any more. */
const PARTIAL_GIVE_UP_MS = 30_000;

const OPTIONS = {
  ...INSTANCE_OPTIONS,
  parent: {
    value: "WHICH",
    summary: "build on: auto, none, or an EXHIBIT",
    details: "Default: auto. A resumed acquisition keeps its own.",
  },
  ...CASE_OPTIONS,
  evidence: {
    ...CASE_OPTIONS.evidence,
    details:
      "Of an instance also DEVICE=NUMBER and VOLUME=NUMBER; one NUMBER for all becomes NUMBER-1, NUMBER-2, … " +
      "by device.",
  },
  budget: { value: "USD", parse: parseUsd, summary: "stop before it costs more, all sessions counted" },
  rate: { value: "RATE", parse: parseRate, summary: "at most 20MiB/s or 300req/s" },
  concurrency: {
    value: "N",
    parse: wholeNumber({ min: 1, max: 128 }),
    summary: "blocks under way at once, at most",
  },
  workers: {
    value: "N",
    parse: wholeNumber({ min: 0, max: 64 }),
    summary: "threads that pack blocks, at most; default: as many as cores, up to 8",
    details: "Each is begun when those before it are busy. 0: the thread that fetches packs too.",
  },
  "give-up-after": {
    value: "TIME",
    parse: parseDuration,
    default: "24h",
    summary: "end after so long without an answer",
  },
  "max-unreadable": {
    value: "N",
    parse: wholeNumber({ min: 0, max: MAX_UNREADABLE_ENTRIES }),
    default: "64",
    summary: "commit with at most so many unreadable blocks",
  },
  "retry-unreadable": { summary: "try unreadable blocks again" },
  "commit-partial": { summary: "commit what is held, plainly marked" },
  wait: {
    summary: "wait for pending snapshots, as long as --give-up-after",
    details: "Asks EC2 how far they are; where that is not allowed, whether they can be listed.",
  },
  fresh: { summary: "start anew; what was begun is set aside" },
  "mixed-cases": { summary: "allow several cases in this store" },
  "unsafe-filesystem": { summary: "accept a file system that keeps no promises" },
  ...ENCRYPTION_OPTIONS,
  ...PRICE_OPTIONS,
  ...CUSTODY_OPTIONS,
  ...IDENTITY_OPTIONS,
  ...STORE_OPTIONS,
  ...AWS_OPTIONS,
} as const satisfies OptionTable;

type Options = Input<"[SNAPSHOT…]", typeof OPTIONS>["options"];

export const acquire = defineCommand({
  usage: "[SNAPSHOT…]",
  description:
    `Acquires snapshots into the store: those that are named, or with --instance one of each volume of an instance, taken together. Every block is checked against the SHA-256 that AWS declares before it counts. Each snapshot becomes an exhibit of its own; where one fails, the others go on.

Run the same command again after any interruption: it goes on where it stopped and fetches nothing twice that was recorded. Run on a complete exhibit, it does nothing.

Where the store holds an exhibit of the same volume, only what differs is fetched (--parent).

With -r, -R or --passphrase a new store is encrypted, with age, before anything reaches the disk. Recipients are public: this host needs no identity, not even to go on. The same ones belong to every later command that acquires into the store. Such a host acquires each snapshot in full; with --lineage-key it builds on what is held.`,
  options: OPTIONS,
  exitCodes: {
    incomplete: true,
    budget: true,
    not_found: true,
    locked: true,
    identity: "the signing key or an identity file can't be opened, or nothing given opens what must be read",
    access: true,
    source: true,
    storage: true,
    integrity: true,
    format: true,
  },
  examples: [
    {
      command: "coldcase acquire snap-0123456789abcdef0 --case 2026-114",
      says: "acquire one snapshot, or go on with it",
    },
    {
      command: "coldcase acquire --instance i-0123456789abcdef0 --case 2026-114 --evidence 7",
      says: "all volumes of an instance, as 7-1, 7-2, …",
    },
    {
      command: "coldcase acquire snap-0123456789abcdef0 --budget 25 --rate 20MiB/s",
      says: "within a budget, and gently on the link",
    },
    {
      command: "coldcase acquire snap-0123456789abcdef0 -r age1… -r age1…",
      says: "encrypted, to be read elsewhere",
    },
  ],
  async run(context, input) {
    const { out, world } = context;
    const { options } = input;
    const wish = instanceWish(input.args, options, "acquire");
    const byId = [...new Set(input.args.map(parseSnapshotId))].map((snapshot): Target => ({ snapshot }));
    // What is wrong with it is said before anything is asked for.
    if (!wish) evidenceNumbers(options.evidence, byId);
    const prices = pricesFrom(world.disk, options["price-table"]);
    const path = resolve(options.store);
    warnOfMissing(context, options);
    const encryption = await encryptionOf(context, options);
    const key = await openKey(context, options["sign-key"]);
    const watch = new SourceWatch(context);
    // From the source to the store, and back.
    const buffers = new BlockBuffers();
    const source = await openAws(context, options, watch, {
      buffers,
      rate: options.rate,
      giveUpAfterMs: options["commit-partial"] ? PARTIAL_GIVE_UP_MS : options["give-up-after"],
      maxConcurrency: options.concurrency,
    });
    let store: Store | undefined;
    try {
      const opened = store = await openStoreForWriting(world, path, {
        case: options.case,
        mixedCases: options["mixed-cases"],
        unsafeFileSystem: options["unsafe-filesystem"],
        workers: options.workers ?? Math.min(8, world.host.cpuCount),
        buffers,
        ...encryption,
      });
      out.note(`store ${path} (${opened.fileSystem}, ${formatSize(opened.freeBytes)} free)`);
      warnOfSingleRecipient(context, opened);
      await tellOtherRecipients(context, opened, encryption);
      if (!source.isAws) out.warn(`${NOT_FROM_AWS}: the endpoint is ${source.endpoint}`);
      const isInRegion = options["in-region"];
      const spending = new Spending({ source, prices, isInRegion, budgetUsd: options.budget });
      return await withCustody(context, { store: opened, key, action: "acquire", options }, async (note) => {
        const targets = wish ? await instanceTargets(context, wish, { source, store: opened }) : byId;
        if (wish) announceTargets(context, wish.instance, targets, { prices, isInRegion });
        const base = await baseInput(context, options, { store: opened, source, spending, watch, note, key });
        const ends = await acquireAll(context, targets, { options, base, source, watch, note });
        for (const text of opened.tolerated) out.note(text);
        if (wish) showEnds(context, wish.instance, ends);
        return gravestExitCode(ends.map(({ ended }) => ended.exitCode));
      });
    } finally {
      source.close();
      store?.close();
    }
  },
});

/** What all snapshots of the command have in common. */
type BaseInput = Omit<AcquireInput, "snapshot" | "set">;

async function baseInput(
  { world, signal, commandLine }: CommandContext,
  options: Options,
  parts: {
    readonly store: Store;
    readonly source: AwsSource;
    readonly spending: Spending;
    readonly watch: SourceWatch;
    readonly note: CustodyNote;
    readonly key: SigningKey;
  },
): Promise<BaseInput> {
  const { store, source, spending, watch, note, key } = parts;
  const { hostname, operatingSystem, user } = world.host;
  const host = { hostname, operatingSystem, user };
  const destination = { fileSystem: store.fileSystem, path: store.path };
  const { tool } = note;
  return {
    store,
    source,
    clock: world.clock,
    signal,
    parent: await parentWish(store, options.parent),
    fresh: options.fresh,
    retryUnreadable: options["retry-unreadable"],
    maxUnreadable: options["max-unreadable"],
    concurrency: options.concurrency,
    spending,
    session: {
      commandLine,
      credentialSource: await credentialSource(source),
      destination,
      examiner: options.examiner ?? null,
      host,
      proxy: source.proxy ?? null,
      tool,
    },
    commitFacts: {
      case: { ...caseFacts(options), evidence: null },
      destination,
      unsafeFileSystem: store.isUnsafe,
      host,
      tool,
      key,
    },
    beginSession: () => watch.beginSession(),
    credentialChanges: () => watch.credentialChanges,
    takeEvents: () => watch.takeEvents(),
    eventsLeftOut: () => watch.eventsLeftOut,
  };
}

/** One after the other: each has the whole link. */
async function acquireAll(
  context: CommandContext,
  targets: readonly Target[],
  how: {
    readonly options: Options;
    readonly base: BaseInput;
    readonly source: AwsSource;
    readonly watch: SourceWatch;
    readonly note: CustodyNote;
  },
): Promise<{ readonly target: Target; readonly ended: Ended }[]> {
  const { options, base, source, watch, note } = how;
  const evidence = evidenceNumbers(options.evidence, targets);
  // Else the first ones would be acquired before a later one ends the run.
  for (const { snapshot, set } of targets) await refuseOtherJournal({ ...base, snapshot, set });
  for (const text of await usedNumberNotes(base.store, evidence)) context.out.warn(text);
  const ends: { readonly target: Target; readonly ended: Ended }[] = [];
  // While others are fetched, pending ones are completed.
  const isPending = ({ state }: Target) => state === "pending" ? 1 : 0;
  for (const target of targets.toSorted((a, b) => isPending(a) - isPending(b))) {
    const { snapshot, set } = target;
    const facts = { ...base.commitFacts.case, evidence: evidence.get(snapshot) ?? null };
    const input = { ...base, snapshot, set, commitFacts: { ...base.commitFacts, case: facts } };
    const ended = await acquireOne(input, {
      context,
      source,
      watch,
      note,
      number: { number: ends.length + 1, count: targets.length },
      isPartial: options["commit-partial"],
      mayWait: options.wait,
    });
    ends.push({ target, ended });
    note.clockSkewMs = roundedSkew(source);
    note.tell(snapshot, ended.exitCode);
  }
  return targets.map((target) => ends.find((end) => end.target === target)!);
}

/** Where the credentials come from, in words; without any the first request says what is missing. */
async function credentialSource(source: AwsSource): Promise<string | null> {
  try {
    return await credentialText(source);
  } catch (error) {
    if (!(error instanceof OperatorError && ["access", "source"].includes(error.code))) throw error;
    // Where nobody answered, the first request waits for that.
    return error.code === "access" ? null : String(error.facts["credentials"]).slice(0, 1024);
  }
}

function roundedSkew(source: AwsSource): number | null {
  const { clockSkewMs } = source.counts();
  return clockSkewMs === undefined ? null : Math.round(clockSkewMs);
}

async function parentWish(store: Store, text: string | undefined): Promise<ParentWish | undefined> {
  return text === undefined || text === "auto" || text === "none" ? text : await store.find(text);
}
