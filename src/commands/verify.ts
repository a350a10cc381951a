/**
 * `verify`: structure and every byte of exhibits; on request against AWS itself, or of an image that was
 * exported. A finding names file, record and the byte range of the volume.
 */
import { resolve } from "@std/path";
import {
  compareWithSource,
  comparisonRequests,
  type SourceComparison,
  Spending,
} from "../acquisition/mod.ts";
import { AWS_OPTIONS, type CommandContext, defineCommand, STORE_OPTIONS, wholeNumber } from "../cli/mod.ts";
import { gravestExitCode, OperatorError } from "../errors.ts";
import { firstFileOf, formatReadBackFinding, readBack, readExportLog, windowLogPath } from "../image/mod.ts";
import { serviceOf } from "../format/manifest.ts";
import type { BlockSource } from "../model.ts";
import type { SigningKey } from "../keys.ts";
import { DAMAGE_HINT, type Exhibit, type Store } from "../store/mod.ts";
import { formatCount, formatSize, parseUsd } from "../units.ts";
import { type AwsOptionValues, openAws, SourceWatch } from "./_aws.ts";
import { addDigests } from "./_addenda.ts";
import { CUSTODY_OPTIONS, type CustodyNote, openKeyIfAny, withCustody } from "./_custody.ts";
import { showSourceDiffers } from "./_findings.ts";
import {
  findGroup,
  type Group,
  GROUP_OPTIONS,
  groupWish,
  incompleteSets,
  notHeld,
  setEvent,
} from "./_groups.ts";
import { setHeading } from "./_groups_shown.ts";
import { IDENTITY_OPTIONS, openStoreWith } from "./_identities.ts";
import { costText, PRICE_OPTIONS, pricesFrom, pricesText } from "./_prices.ts";
import { exhibitsToVerify, refuseWithoutContents, verifyOpened } from "./_verify_opened.ts";
import { levelText, refuseUnopened, verifyUnopened } from "./_verify_unopened.ts";
import { verifyingKeys } from "./_verifying_keys.ts";

export const verify = defineCommand({
  usage: "[EXHIBIT…]",
  description:
    `Verifies exhibits (all, where none is named): manifest, inventory, segments, and every byte of every pack against its SHA-256.

With an instance's id in place of an EXHIBIT it verifies all exhibits of that instance, with --case all of a case. Where of a set of the instance's snapshots one is not held, it says which, and ends with 3.

--quick reads no block data. --sample 2/7 reads the data of the second of seven shares of the packs, so that seven nights verify all.

--against-source reads every block from AWS again and compares digests. It costs a request a block, says the price first, and obeys --budget.

Of an encrypted store without an identity (-i) it verifies the outer level: inventories, signatures over them, names, sizes and SHA-256 of all files, and the custody log. A lineage's identity adds what it opens: manifest, segments, image root, documents, addenda; no contents, which is said. Both end with 0; --content asks for more, and ends with 12.

Files that an identity should open and does not are checked from outside, counted and named; the rest is verified, and it ends with 12.

--read-back IMAGE reads an exported image again and compares it with the exhibit, byte by byte, and with the digests in IMAGE.log. Of an image in pieces it takes the first (.001) or their common name, of an E01 the first segment file (.E01), whose own checksums and digests are checked too, of a VMDK the descriptor. Where export wrote digests of windows (IMAGE.sha256.log), the windows that differ are named.`,
  options: {
    ...GROUP_OPTIONS,
    quick: { summary: "structure only, no block data" },
    sample: { value: "N/T", parse: parseSample, summary: "data of the N-th of T shares of the packs" },
    "against-source": { summary: "compare every block with AWS, for money" },
    budget: { value: "USD", parse: parseUsd, summary: "with --against-source: stop before it costs more" },
    "verify-key": {
      value: "FILE",
      repeatable: true,
      summary: "who may have signed; any other signer fails",
      details: "A public key, an allowed_signers file, or a PEM. Without it the signer is told, not judged.",
    },
    "read-back": { value: "IMAGE", summary: "compare an exported image with the exhibit" },
    workers: {
      value: "N",
      parse: wholeNumber({ min: 0, max: 64 }),
      summary: "threads that check packs; default: as many as cores",
      details: "0: the thread that tells what is found checks them too.",
    },
    content: {
      summary: "of an encrypted store: fail where contents can't be opened",
      details:
        "Without an identity only the outer level is verified, with a lineage's only digests, and that is said.",
    },
    ...PRICE_OPTIONS,
    ...CUSTODY_OPTIONS,
    ...IDENTITY_OPTIONS,
    ...STORE_OPTIONS,
    ...AWS_OPTIONS,
  },
  exitCodes: {
    incomplete: "a snapshot of an instance's set is not held, or the source proves not all",
    budget: true,
    not_found: true,
    identity: "nothing given opens it, or all of it, and what was asked for needs that",
    access: true,
    source: true,
    storage: true,
    integrity: "something does not match; the findings say what",
    format: true,
  },
  examples: [
    { command: "coldcase verify", says: "everything in the store" },
    {
      command: "coldcase verify snap-0123456789abcdef0 --read-back disk.img",
      says: "an image that was exported",
    },
  ],
  async run(context, { args, options }) {
    const { out, world, signal } = context;
    if (options.quick && options.sample) {
      throw new OperatorError("usage", "Cannot verify: --quick and --sample exclude each other");
    }
    const wish = groupWish(args, options);
    const keys = verifyingKeys(world.disk, options["verify-key"]);
    const key = await openKeyIfAny(context, options["sign-key"]);
    const workers = options.workers ?? context.world.host.cpuCount;
    const store = await openStoreWith(context, options, { workers });
    try {
      return await withCustody(context, { store, key, action: "verify", options }, async (note) => {
        const level = options.sample ?? (options.quick ? "quick" : "full");
        if (!store.isReadable) {
          if (wish) await findGroup(context, store, wish);
          await refuseUnopened(store, options);
          note.tell("level", levelText("outer", level));
          return await verifyUnopened(context, { store, references: args, level, keys, note });
        }
        const group = wish && await findGroup(context, store, wish);
        const found = await exhibitsToVerify(context, store, group ? idsOf(group, args) : args);
        const { readable, closed, codes } = found;
        codes.push(...group?.codes ?? []);
        for (const exhibit of [...readable, ...closed]) note.about(exhibit);
        if (options.content || options["read-back"] !== undefined) await refuseWithoutContents(store, found);
        if (options["read-back"] !== undefined) {
          const image = options["read-back"];
          if (readable.length !== 1) {
            throw new OperatorError(
              "usage",
              `Cannot read back "${image}": name the one exhibit that it is of`,
            );
          }
          note.tell("image", resolve(image));
          codes.push(await readBackImage(context, { store, exhibit: readable[0]!, key }, image));
          return gravestExitCode(codes);
        }
        note.tell("level", levelText("asked", level));
        codes.push(...await verifyOpened(context, { store, readable, closed, level, keys, note }));
        if (codes.some((code) => code === 20 || code === 21)) out.hint(DAMAGE_HINT);
        if (options["against-source"]) {
          const prices = pricesFrom(world.disk, options["price-table"]);
          const spend = { prices, isInRegion: options["in-region"], budgetUsd: options.budget };
          for (const exhibit of readable) {
            codes.push(await compareOne(context, exhibit, { aws: options, spend }));
            note.tell(`${exhibit.id} against source`, codes.at(-1)!);
          }
        }
        if (group) codes.push(...tellSets(context, group, note));
        for (const text of store.tolerated) out.note(text);
        signal.throwIfAborted();
        return gravestExitCode(codes);
      });
    } finally {
      store.close();
    }
  },
});

/** The exhibits of the group and what else was named, each once. */
function idsOf({ wish, exhibits }: Group, references: readonly string[]): string[] {
  const others = references.filter((reference) => !wish.instances.includes(reference));
  return [...new Set([...exhibits.map(({ id }) => id), ...others])];
}

/** What of the sets is held. Gives 3 where that is not all. */
function tellSets({ out }: CommandContext, group: Group, note: CustodyNote): number[] {
  for (const set of group.sets) {
    out.event({ type: "set", ...setEvent(set) });
    out.result(`${setHeading(set)}\n`);
    const { instance, snapshots } = set.facts;
    const name = group.sets.length === 1 ? instance : `${instance} with ${snapshots[0]!.snapshot}`;
    note.tell(`set of ${name}`, `${set.places.length - notHeld(set).length} of ${set.places.length} held`);
  }
  const incomplete = incompleteSets("verify", group);
  if (!incomplete) return [];
  out.error(incomplete);
  return [incomplete.exitCode];
}

function parseSample(text: string): { readonly part: number; readonly of: number } {
  const match = /^([1-9]\d{0,5})\/([1-9]\d{0,5})$/.exec(text);
  if (!match || Number(match[1]) > Number(match[2])) {
    throw new OperatorError(
      "usage",
      `Cannot read share "${text}": expected N/T with N from 1 to T, such as 2/7`,
    );
  }
  return { part: Number(match[1]), of: Number(match[2]) };
}

interface Comparing {
  readonly aws: AwsOptionValues;
  readonly spend: Omit<ConstructorParameters<typeof Spending>[0], "source">;
}

async function compareOne(
  context: CommandContext,
  exhibit: Exhibit,
  { aws, spend }: Comparing,
): Promise<number> {
  const { out } = context;
  const { source: recorded } = exhibit.manifest;
  const watch = new SourceWatch(context);
  // Where nothing else is said, the exhibit's own Region is asked; an endpoint of its own has to be named.
  const source = await openAws(context, { ...aws, region: aws.region ?? serviceOf(recorded)?.region }, watch);
  try {
    const spending = new Spending({ ...spend, source });
    const requests = comparisonRequests(exhibit);
    const cost = costText(spending.costOf(requests));
    out.note(
      `${recorded.snapshot}: comparing with ${source.endpoint} costs about ${cost}; ${
        pricesText(spend.prices)
      }`,
    );
    spending.refuseBeyondBudget(requests);
    const result = await compareShown(context, { exhibit, source, spending, watch });
    const verdict = result.differences === 0
      ? "EQUAL"
      : `DIFFERS in ${formatCount(result.differences)} blocks`;
    out.result(
      `${exhibit.id}  ${recorded.snapshot}  against ${source.endpoint}: ${verdict}, ` +
        `${formatCount(result.comparedBlocks)} blocks compared, ${
          formatCount(result.unprovedBlocks)
        } not provable\n`,
    );
    out.event({
      type: "summary",
      exhibit: exhibit.id,
      snapshot: recorded.snapshot,
      endpoint: source.endpoint,
      ...result,
    });
    return result.differences > 0 ? 20 : result.unprovedBlocks > 0 ? 3 : 0;
  } finally {
    source.close();
  }
}

async function compareShown(
  context: CommandContext,
  job: {
    readonly exhibit: Exhibit;
    readonly source: BlockSource;
    readonly spending: Spending;
    readonly watch: SourceWatch;
  },
): Promise<SourceComparison> {
  const { out, signal } = context;
  const { exhibit, source, spending, watch } = job;
  const total = comparisonRequests(exhibit).getRequests;
  const label = `compare ${exhibit.manifest.source.snapshot}`;
  const progress = out.progress({ label, unit: "blocks", done: 0, total });
  watch.showIn(progress);
  try {
    return await compareWithSource({
      source,
      exhibit,
      spending,
      signal,
      onProgress: ({ comparedBlocks }) =>
        progress.update({ done: comparedBlocks, costUsd: spending.spent().totalUsd }),
      onDifference: (difference) => showSourceDiffers(context, exhibit, difference),
    });
  } finally {
    progress.end();
  }
}

async function readBackImage(
  context: CommandContext,
  of: { readonly store: Store; readonly exhibit: Exhibit; readonly key: SigningKey | undefined },
  image: string,
): Promise<number> {
  const { out, world, signal } = context;
  const { exhibit } = of;
  const logged = firstFileOf(world.disk, image);
  const log = readExportLog(world.disk, `${logged}.log`);
  const progress = out.progress({ label: `read back ${image}`, unit: "bytes", done: 0 });
  const result = await readBack(exhibit, image, {
    disk: world.disk,
    signal,
    digests: ["sha256"],
    ...(log && { expectedDigests: log.digests }),
    windowLogBase: logged,
    onProgress: ({ doneBytes, totalBytes }) => progress.update({ done: doneBytes, total: totalBytes }),
  });
  progress.end();
  for (const finding of result.findings) {
    out.event({ ...finding, type: "finding", code: `image_${finding.kind}`, exhibit: exhibit.id });
    out.error(new OperatorError("integrity", `${image}: ${formatReadBackFinding(finding)}`));
  }
  const verdict = result.findingCount === 0
    ? "EQUALS the exhibit"
    : `DIFFERS, ${formatCount(result.findingCount)} findings`;
  out.result(
    `${image}: ${verdict} ${exhibit.id} (${exhibit.manifest.source.snapshot}), ${
      formatSize(result.readBytes)
    } read\n`,
  );
  for (const [name, value] of Object.entries(result.digests)) out.result(`  ${name} ${value}\n`);
  for (const name of result.windowDigests) {
    out.result(`  windows compared with ${windowLogPath(logged, name)}\n`);
  }
  if (result.excessBytes > 0) {
    out.note(`${formatSize(result.excessBytes)} of the device beyond the volume were not looked at`);
  }
  out.event({ ...result, type: "summary", exhibit: exhibit.id, image, isLogChecked: log !== undefined });
  if (result.findingCount === 0) await addDigests(context, { ...of, by: "read-back" }, result.digests);
  return result.findingCount === 0 ? 0 : 20;
}
