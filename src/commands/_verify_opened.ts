/**
 * `verify` of exhibits with what opens them. What the identities do not open is checked from outside, named, and never
 * said to be verified: a lineage's identity reaches the level of digests, which is all that it is for; one that lacks
 * what others like it have ends with exit code 12.
 */
import type { CommandContext } from "../cli/mod.ts";
import { gravestExitCode, OperatorError } from "../errors.ts";
import type { VerifyingKey } from "../format/verifying_key.ts";
import type {
  EvidenceCheck,
  Exhibit,
  OuterExhibit,
  Store,
  VerifyOptions,
  VerifySummary,
} from "../store/mod.ts";
import { formatCount, formatSize } from "../units.ts";
import type { CustodyNote } from "./_custody.ts";
import { exhibitEvent, IMAGE_DIGEST_LABEL, originMark, statusOf } from "./_exhibits.ts";
import { findingsOf } from "./_findings.ts";
import { levelText, verifyOuterOne } from "./_verify_unopened.ts";

export interface ExhibitsToVerify {
  readonly readable: readonly Exhibit[];
  /** Those that nothing given opens, which was told; of readable ones something may stay closed, too. */
  readonly closed: readonly OuterExhibit[];
  /** Exit codes of those that are too damaged to be opened, which was told. */
  readonly codes: number[];
}

/** Throws `identity` where none of them opens: then it is the identity that is wrong. */
export async function exhibitsToVerify(
  { out }: CommandContext,
  store: Store,
  references: readonly string[],
): Promise<ExhibitsToVerify> {
  const readable: Exhibit[] = [];
  const unopened: { readonly exhibit: OuterExhibit; readonly error: OperatorError }[] = [];
  const codes: number[] = [];
  const open = references.length > 0
    ? references.map((name) => ({ open: () => store.find(name), outer: () => store.findOuter(name) }))
    : (await store.exhibitIds()).map((id) => ({
      open: () => store.exhibit(id),
      outer: () => store.outerExhibit(id),
    }));
  for (const one of open) {
    try {
      readable.push(await one.open());
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      if (error.code === "identity") {
        unopened.push({ exhibit: await outerOr(one.outer, error), error });
        continue;
      }
      if (error.code !== "integrity" && error.code !== "format") throw error;
      out.error(error);
      out.event({ type: "finding", code: "exhibit_unusable", message: error.message, ...error.facts });
      codes.push(error.exitCode);
    }
  }
  if (readable.length + codes.length === 0 && unopened[0]) throw unopened[0].error;
  for (const { error } of unopened) out.error(error);
  if (readable.length + codes.length === 0) out.note("the store holds no exhibit");
  return { readable, closed: unopened.map(({ exhibit }) => exhibit), codes };
}

/** What is named by what only its manifest tells can't be found from outside either: then `refusal` is the answer. */
async function outerOr(outer: () => Promise<OuterExhibit>, refusal: OperatorError): Promise<OuterExhibit> {
  try {
    return await outer();
  } catch (error) {
    if (error instanceof OperatorError && error.code === "not_found") throw refusal;
    throw error;
  }
}

/** What needs contents is refused before it begins where what was given opens digests only. Throws `identity`. */
export async function refuseWithoutContents(
  store: Store,
  { readable }: Pick<ExhibitsToVerify, "readable">,
): Promise<void> {
  for (const exhibit of readable) {
    const refusal = await store.access.contentsRefusal(exhibit);
    if (refusal) throw refusal;
  }
}

interface Verifying {
  readonly store: Store;
  readonly level: VerifyOptions["level"];
  readonly keys: readonly VerifyingKey[];
  readonly note: CustodyNote;
}

/**
 * Exit codes, one an exhibit. The custody entry gets each one's code, the lowest level of all as its own, so that nobody
 * takes it for more than it is, and the levels that are higher.
 */
export async function verifyOpened(
  context: CommandContext,
  job: Verifying & Pick<ExhibitsToVerify, "readable" | "closed">,
): Promise<number[]> {
  const { readable, closed, note, level } = job;
  const count = readable.length + closed.length;
  const codes: number[] = [];
  const levels = new Map<string, Reached>();
  const lowest = () => LOWEST_FIRST.find((one) => [...levels.values()].includes(one)) ?? "asked";
  const end = ({ id }: OuterExhibit, exitCode: number, reached: Reached) => {
    codes.push(exitCode);
    levels.set(id, reached);
    note.tell(id, exitCode);
    note.tell("level", levelText(lowest(), level));
  };
  for (const exhibit of readable) {
    const number = { number: codes.length + 1, count };
    const { exitCode, reached } = await verifyOne(context, { ...job, exhibit, number });
    end(exhibit, exitCode, reached);
  }
  for (const exhibit of closed) {
    const number = { number: codes.length + 1, count };
    end(exhibit, gravestExitCode([12, await verifyOuterOne(context, { ...job, exhibit, number })]), "outer");
  }
  for (const [id, reached] of levels) {
    if (reached !== lowest()) note.tell(`level of ${id}`, levelText(reached, level));
  }
  return codes;
}

/**
 * How much of an exhibit was looked at: all that was asked for; all but contents, which what was given is not for; or less
 * than that, for want of an identity.
 */
type Reached = Parameters<typeof levelText>[0];

const LOWEST_FIRST: readonly Reached[] = ["outer", "digests", "partial"];

interface Verified {
  readonly level: VerifyOptions["level"];
  readonly reached: Reached;
  readonly summary: VerifySummary;
  readonly evidence: EvidenceCheck;
  readonly findings: number;
}

async function verifyOne(
  context: CommandContext,
  job: Verifying & {
    readonly exhibit: Exhibit;
    readonly number: { readonly number: number; readonly count: number };
  },
): Promise<{ readonly exitCode: number; readonly reached: Reached }> {
  const { out, signal } = context;
  const { store, exhibit, level, number } = job;
  const { source } = exhibit.manifest;
  const progress = out.progress({ label: `verify ${source.snapshot}`, unit: "bytes", done: 0, ...number });
  const findings = findingsOf(context, exhibit.id);
  const { onFinding } = findings;
  const summary = await store.verify(exhibit, {
    level,
    signal,
    onProgress: ({ readBytes, totalBytes }) => progress.update({ done: readBytes, total: totalBytes }),
    onFinding,
  });
  progress.end();
  const evidence = await store.evidence.check(exhibit, { keys: job.keys, onFinding });
  const { count } = findings.end();
  const reached = await reachedBy(store, exhibit, { summary, evidence });
  const verified = { level, reached, summary, evidence, findings: count };
  out.result(verdictText(exhibit, verified));
  tell(context, exhibit, { ...verified, isJudged: job.keys.length > 0 });
  if (reached === "digests") {
    out.note(`${exhibit.id}: contents were NOT verified: what was given opens digests only`);
  }
  if (reached === "partial") out.error(lackingIdentity(exhibit.id, verified));
  return { exitCode: count > 0 ? 20 : reached === "partial" ? 12 : 0, reached };
}

async function reachedBy(
  store: Store,
  exhibit: Exhibit,
  { summary, evidence }: Pick<Verified, "summary" | "evidence">,
): Promise<Reached> {
  const { unopenedFiles, unopenedPacks, packs } = summary;
  const others = unopenedFiles - unopenedPacks + evidence.unopenedAddenda.length;
  if (unopenedFiles + others === 0) return "asked";
  const isDigestsOnly = others === 0 && unopenedPacks === packs && !await store.access.isForContents(exhibit);
  return isDigestsOnly ? "digests" : "partial";
}

function tell(
  { out }: CommandContext,
  exhibit: Exhibit,
  known: Verified & { readonly isJudged: boolean },
): void {
  const { level, reached, summary, evidence, findings } = known;
  const signers = evidence.signers.map(({ key }) => key.fingerprint);
  out.event({
    type: "summary",
    ...exhibitEvent(exhibit),
    level: levelText(reached, level),
    ...summary,
    unopenedAddenda: evidence.unopenedAddenda.length,
    findings,
    signers,
    isAuthenticated: evidence.isAuthenticated,
    custodyEntries: evidence.custody.entries,
    custodyHeads: evidence.custody.heads,
  });
  if (evidence.isAuthenticated || known.isJudged) return;
  out.event({ type: "finding", exhibit: exhibit.id, code: "signer_unchecked", signers });
}

function lackingIdentity(id: string, { summary, evidence }: Pick<Verified, "summary" | "evidence">) {
  const { unopenedFiles, unopenedPacks, uncheckedBlocks, firstUnopened } = summary;
  const addenda = evidence.unopenedAddenda;
  const files = unopenedFiles + addenda.length;
  const first = firstUnopened ?? addenda[0] ?? null;
  return new OperatorError(
    "identity",
    `Cannot verify all of "${id}": ${formatCount(files)} files are not opened by what was given, ` +
      `${formatCount(unopenedPacks)} packs among them, the first is "${first}"`,
    {
      hints: [
        "Give the identity of somebody who can open them with -i FILE, too.",
        '"coldcase recipients add" with such an identity makes the headers that are lacking.',
      ],
      facts: { exhibit: id, files, packs: unopenedPacks, blocks: uncheckedBlocks, file: first },
    },
  );
}

function verdictText(exhibit: Exhibit, known: Verified): string {
  const { summary, evidence, findings } = known;
  const signers = evidence.signers.map(({ key }) =>
    evidence.isAuthenticated
      ? `  signed by ${key.fingerprint}, one of the keys given`
      : `  signed by ${key.fingerprint}: signer not authenticated, compare the fingerprint`
  );
  const unchecked = known.reached === "asked" ? [] : [
    `  NOT checked: the contents of ${formatCount(summary.uncheckedBlocks)} of ${
      formatCount(summary.storedBlocks)
    } stored blocks; ${formatCount(summary.unopenedPacks)} of ${
      formatCount(summary.packs)
    } packs were not opened`,
  ];
  const verdict = findings > 0 ? `FAILED, ${formatCount(findings)} findings` : {
    asked: "VERIFIED",
    digests: "DIGESTS ONLY, sound as far as they show",
    partial: "NOT ALL VERIFIED",
    outer: "OUTER LEVEL ONLY",
  }[known.reached];
  const mark = originMark(exhibit.manifest.source);
  return [
    `${exhibit.id}  ${exhibit.manifest.source.snapshot}  ${verdict}: ${extentText(known)}; ${
      statusOf(exhibit.manifest)
    }${mark ? `, ${mark}` : ""}`,
    ...unchecked,
    `  ${IMAGE_DIGEST_LABEL}:`,
    `  ${exhibit.manifest.imageDigest}`,
    ...signers,
    ...correctionLines(evidence),
    `  custody log: ${
      formatCount(evidence.custody.entries)
    } entries in ${evidence.custody.heads.length} chains`,
    "",
  ].join("\n");
}

/** Who corrected the case: what people read of it rests on these signatures. */
function correctionLines({ corrections, signers, isAuthenticated }: EvidenceCheck): string[] {
  const known = new Set(signers.map(({ key }) => key.fingerprint));
  const by = new Set(corrections.flatMap(({ signatures }) => signatures.map(({ key }) => key.fingerprint)));
  return [...by].map((fingerprint) =>
    `  case corrected by ${fingerprint}${
      known.has(fingerprint)
        ? ""
        : isAuthenticated
        ? ", who did not sign the exhibit"
        : ", who did not sign the exhibit: compare the fingerprint"
    }`
  );
}

function extentText({ level, reached, summary }: Verified): string {
  const { packs, packsRead, readBytes, unopenedPacks } = summary;
  const size = formatSize(readBytes);
  if (reached === "digests") {
    return `manifest, segments, inventory; SHA-256 of ${formatCount(packsRead)} of ${
      formatCount(packs)
    } packs (${size})`;
  }
  if (level === "quick") return "structure only, no block data";
  if (level === "full" && reached === "asked") return `every byte of ${formatCount(packs)} packs (${size})`;
  const closed = unopenedPacks === 0 ? "" : `, of ${formatCount(unopenedPacks)} of them the SHA-256 only`;
  return `data of ${formatCount(packsRead)} of ${formatCount(packs)} packs (${size})${closed}`;
}
