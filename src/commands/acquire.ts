/**
 * `acquire`: snapshots into a store. New, resumed and incremental read the same here; the loop itself is in
 * acquisition/, the store in store/, the service in aws/.
 */
import { BlockBuffers } from "../buffers.ts";
import { resolve } from "@std/path";
import {
  type AcquireInput,
  acquireSnapshot,
  commitPartial,
  type ParentWish,
  Spending,
} from "../acquisition/mod.ts";
import { AWS_OPTIONS, type CommandContext, defineCommand, STORE_OPTIONS, wholeNumber } from "../cli/mod.ts";
import { gravestExitCode, OperatorError } from "../errors.ts";
import { MAX_UNREADABLE_ENTRIES } from "../format/documents.ts";
import type { SnapshotId } from "../model.ts";
import {
  type CommittedExhibit,
  type Exhibit,
  openStoreForWriting,
  type OuterExhibit,
  type Store,
} from "../store/mod.ts";
import { formatSize, parseDuration, parseRate, parseSnapshotId, parseUsd } from "../units.ts";
import type { AwsSource } from "../aws/source.ts";
import { announce, showExhibit } from "./_acquire_shown.ts";
import { openAws, SourceWatch } from "./_aws.ts";
import { CASE_OPTIONS, caseFacts, warnOfMissing } from "./_case.ts";
import { CUSTODY_OPTIONS, type CustodyNote, openKey, withCustody } from "./_custody.ts";
import { exitCodeOf, NOT_FROM_AWS, outerEvent, outerText, statusOf } from "./_exhibits.ts";
import {
  ENCRYPTION_OPTIONS,
  encryptionOf,
  IDENTITY_OPTIONS,
  tellOtherRecipients,
  warnOfSingleRecipient,
} from "./_identities.ts";
import { PRICE_OPTIONS, pricesFrom } from "./_prices.ts";

/** Before a partial commit says that the snapshot cannot be listed any more. */
const PARTIAL_GIVE_UP_MS = 30_000;

export const acquire = defineCommand({
  usage: "SNAPSHOT…",
  description:
    `Acquires snapshots into the store. Every block is checked against the SHA-256 that AWS declares before it counts.

Run the same command again after any interruption: it goes on where it stopped and fetches nothing twice that was recorded. Run on a complete exhibit, it does nothing.

Where the store holds an exhibit of the same volume, only what differs is fetched (--parent).

With -r, -R or --passphrase a new store is encrypted, with age, before anything reaches the disk. Recipients are public: this host needs no identity, not even to go on. The same ones belong to every later command that acquires into the store. Such a host acquires each snapshot in full; with --lineage-key it builds on what is held.`,
  options: {
    parent: {
      value: "WHICH",
      summary: "build on: auto, none, or an EXHIBIT",
      details: "Default: auto. A resumed acquisition keeps its own.",
    },
    ...CASE_OPTIONS,
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
    fresh: { summary: "start anew; what was begun is set aside" },
    "mixed-cases": { summary: "allow several cases in this store" },
    "unsafe-filesystem": { summary: "accept a file system that keeps no promises" },
    ...ENCRYPTION_OPTIONS,
    ...PRICE_OPTIONS,
    ...CUSTODY_OPTIONS,
    ...IDENTITY_OPTIONS,
    ...STORE_OPTIONS,
    ...AWS_OPTIONS,
  },
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
    const snapshots = [...new Set(input.args.map(parseSnapshotId))];
    const evidence = evidenceNumbers(options.evidence, snapshots);
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
      const { examiner = null } = options;
      const { hostname, operatingSystem, user } = world.host;
      const host = { hostname, operatingSystem, user };
      const destination = { fileSystem: opened.fileSystem, path };
      return await withCustody(context, { store: opened, key, action: "acquire", options }, async (note) => {
        const base = {
          store: opened,
          source,
          clock: world.clock,
          signal: context.signal,
          parent: await parentWish(opened, options.parent),
          fresh: options.fresh,
          retryUnreadable: options["retry-unreadable"],
          maxUnreadable: options["max-unreadable"],
          concurrency: options.concurrency,
          spending,
          session: {
            commandLine: context.commandLine,
            credentialSource: await credentialSource(source),
            destination,
            examiner,
            host,
            proxy: source.proxy ?? null,
            tool: note.tool,
          },
          beginSession: () => watch.beginSession(),
          credentialChanges: () => watch.credentialChanges,
          takeEvents: () => watch.takeEvents(),
          eventsLeftOut: () => watch.eventsLeftOut,
        };
        const commitFacts = {
          destination,
          unsafeFileSystem: opened.isUnsafe,
          host,
          tool: note.tool,
          key,
        };
        const codes: number[] = [];
        for (const [position, snapshot] of snapshots.entries()) {
          const facts = { ...caseFacts(options), evidence: evidence.get(snapshot) ?? null };
          const one = { ...base, snapshot, commitFacts: { ...commitFacts, case: facts } };
          const number = { number: position + 1, count: snapshots.length };
          codes.push(
            await acquireOne(one, { context, watch, note, number, isPartial: options["commit-partial"] }),
          );
          note.clockSkewMs = roundedSkew(source);
          note.tell(snapshot, codes.at(-1)!);
        }
        for (const text of opened.tolerated) out.note(text);
        return gravestExitCode(codes);
      });
    } finally {
      source.close();
      store?.close();
    }
  },
});

/** Where the credentials come from, in words; without any the first request says what is missing. */
async function credentialSource(source: AwsSource): Promise<string | null> {
  try {
    return (await source.credentials()).source.slice(0, 1024);
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

interface Surroundings {
  readonly context: CommandContext;
  readonly watch: SourceWatch;
  readonly note: CustodyNote;
  readonly number: { readonly number: number; readonly count: number };
  /** Commit what is held. */
  readonly isPartial: boolean;
}

/** Acquires one of the snapshots. What ends only this one is told and its exit code given. */
async function acquireOne(input: AcquireInput, surroundings: Surroundings): Promise<number> {
  const { out } = surroundings.context;
  try {
    const closed = await finishedUnopened(input);
    if (closed && !surroundings.isPartial) {
      out.note(`${input.snapshot}: held already as ${closed.id}, encrypted and not opened; nothing to do`);
      out.note("if that was imported and not acquired, --fresh acquires it");
      surroundings.note.about(closed);
      out.result(outerText(closed));
      out.event({ type: "summary", ...outerEvent(closed) });
      return 0;
    }
    const held = closed ? undefined : await finishedExhibit(input);
    if (held && !surroundings.isPartial) {
      out.note(`${input.snapshot}: held already as ${held.id}, ${statusOf(held.manifest)}; nothing to do`);
      surroundings.note.about(held);
      showExhibit(out, held);
      return endOf(out, held);
    }
    const exhibit = await acquireShown(input, surroundings);
    surroundings.note.about(exhibit);
    showExhibit(out, exhibit);
    return endOf(out, exhibit);
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    const told = withResumeHint(error, input.snapshot);
    if (ENDS_ALL.has(error.code)) throw told;
    out.error(told);
    return told.exitCode;
  }
}

/** The exit code of what is held now, and how to get what it lacks. */
function endOf(out: CommandContext["out"], { manifest }: Pick<Exhibit, "manifest">): number {
  const code = exitCodeOf(manifest);
  if (code !== 0) {
    out.hint("Run the same command with --retry-unreadable to read the unreadable blocks again.");
  }
  return code;
}

/** Errors after which the other snapshots of the command are not tried. */
const ENDS_ALL: ReadonlySet<string> = new Set(["interrupted", "budget", "usage", "storage", "internal"]);

/** The same of a store that nothing was given to open with. */
async function finishedUnopened(input: AcquireInput): Promise<OuterExhibit | undefined> {
  if (input.store.isReadable || input.fresh || input.retryUnreadable || await isBegun(input)) {
    return undefined;
  }
  return await input.store.newestOuterOf(input.snapshot);
}

async function isBegun({ store, snapshot }: AcquireInput): Promise<boolean> {
  return (await store.journals()).some(({ source }) =>
    source.snapshot === snapshot && source.kind === "aws-ebs"
  );
}

/** The exhibit that leaves nothing to do: complete, or incomplete and not to be retried. */
async function finishedExhibit(input: AcquireInput): Promise<Exhibit | undefined> {
  if (input.fresh || !input.store.isReadable || await isBegun(input)) return undefined;
  const held = await input.store.newestOf(input.snapshot);
  return held && input.retryUnreadable && exitCodeOf(held.manifest) !== 0 ? undefined : held;
}

/** Acquires with progress on stderr. */
async function acquireShown(
  input: AcquireInput,
  { context, watch, number, isPartial }: Surroundings,
): Promise<CommittedExhibit> {
  const { out } = context;
  const { snapshot, source, spending } = input;
  const start = source.counts();
  let blockSizeBytes = 0;
  let progress = out.progress({ label: `count ${snapshot}`, unit: "blocks", done: 0, ...number });
  watch.showIn(progress);
  try {
    return await (isPartial ? commitPartial : acquireSnapshot)({
      ...input,
      onCounting: ({ throughBlock, blockCount }) => {
        if (blockSizeBytes === 0) progress.update({ done: throughBlock, total: blockCount });
      },
      onPrepared(facts) {
        progress.end();
        blockSizeBytes = facts.shape.blockSizeBytes;
        announce(context, input, facts);
        const total = facts.tally.fetchBlocks * blockSizeBytes;
        progress = out.progress({ label: `acquire ${snapshot}`, unit: "bytes", done: 0, total, ...number });
        watch.showIn(progress);
      },
      onProgress({ fetchedBlocks }) {
        const { retries, throttles } = source.counts();
        progress.update({
          done: fetchedBlocks * blockSizeBytes,
          costUsd: spending.spent().totalUsd,
          retries: retries - start.retries,
          throttles: throttles - start.throttles,
        });
      },
    });
  } finally {
    progress.end();
  }
}

/** `--evidence NUMBER` for one snapshot, `SNAP=NUMBER` for several. Throws `usage`. */
function evidenceNumbers(
  values: readonly string[],
  snapshots: readonly SnapshotId[],
): Map<SnapshotId, string> {
  const numbers = new Map<SnapshotId, string>();
  for (const value of values) {
    const match = /^(snap-[0-9a-f]+)=(.+)$/.exec(value);
    const [snapshot, number] = match
      ? [match[1]!, match[2]!]
      : [snapshots.length === 1 ? snapshots[0]! : "", value];
    const known = snapshots.find((candidate) => candidate === snapshot);
    if (!known || numbers.has(known)) {
      throw new OperatorError(
        "usage",
        `Cannot use evidence number "${value}": which snapshot it is for is not clear`,
        {
          hints: ["With several snapshots give --evidence SNAP=NUMBER once for each."],
        },
      );
    }
    numbers.set(known, number);
  }
  return numbers;
}

async function parentWish(store: Store, text: string | undefined): Promise<ParentWish | undefined> {
  return text === undefined || text === "auto" || text === "none" ? text : await store.find(text);
}

/** Errors that the same command gets over when it is run again say so. */
function withResumeHint(error: OperatorError, snapshot: SnapshotId): OperatorError {
  const isResumable = ["access", "source", "storage", "interrupted"].includes(error.code) &&
    error.facts["reason"] !== "SNAPSHOT_STATE";
  if (!isResumable) return error;
  const message = error.code === "interrupted" ? `Interrupted while acquiring "${snapshot}"` : error.message;
  const isGone = error.facts["reason"] === "SNAPSHOT_GONE";
  const again = "What was recorded is saved: run the same command again to go on.";
  const partial =
    "Where it does not come back, the same command with --commit-partial makes an exhibit of what is held, plainly marked.";
  const isSaid = error.hints.some((hint) => hint.includes("the same command again"));
  const hints = [...error.hints, ...(isSaid ? [] : [again]), ...(isGone ? [partial] : [])];
  return new OperatorError(error.code, message, { hints, facts: error.facts, cause: error.cause });
}
