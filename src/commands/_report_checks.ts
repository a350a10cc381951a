/**
 * The end of a report: what was checked to make it, what was not, what it does not claim, and the commands with
 * which somebody who neither has nor trusts coldcase checks it.
 */
import { folderOf, serviceOf } from "../format/manifest.ts";
import { formatCount } from "../units.ts";
import { UNKNOWN_OF_IMPORT } from "./_exhibits.ts";
import { code, from, plain, table } from "./_markdown.ts";
import type { ReportData, ReportSignature } from "./_report.ts";

/** The newest verifications that are shown. */
const SHOWN_VERIFICATIONS = 10;

export function checksMarkdown(data: ReportData): string[] {
  return [
    "## What was checked by this report\n\n",
    checkedText(data),
    "## What was not checked\n\n",
    notCheckedText(data),
    "## What is not claimed\n\n",
    bullets(notClaimed(data)),
    "## How to check this without coldcase\n\n",
    howTo(data),
  ];
}

function bullets(lines: readonly string[]): string {
  return `${lines.map((line) => `- ${line}\n`).join("")}\n`;
}

function checkedText(
  { manifest, inventory, sessions, unreadable, description, custody, ...data }: ReportData,
): string {
  const documents = from(sessions.file, unreadable.file, description.file);
  const findings = data.findings.map(({ code: name, file, message }) =>
    `**${plain(name)}** in ${code(file)}: ${plain(message)}`
  );
  return bullets([
    `Manifest ${from(manifest.file)} and inventory ${
      from(inventory.file)
    }: the SHA-256 of each is the one in its ` +
    "name; each is signed, and one key signed both; the counts add up to the volume; the image root was computed " +
    "again from the digests of the segments that the manifest lists.",
    `Side documents ${documents}: the SHA-256 of each is the one in the manifest.`,
    `Signatures named under "Signatures", and those of addenda and receipts: each holds over the file's exact bytes.`,
    ...(data.unopenedAddenda.length === 0 ? [] : [
      `Addenda that were not opened ${
        from(...data.unopenedAddenda)
      }: the SHA-256 of the file is that of its name. ` +
      "**Neither what is in them nor signatures over it were checked**, nor custody entries that only they name.",
    ]),
    data.isAuthenticated === null
      ? "Signers: told, not judged. No key was given with --verify-key."
      : data.isAuthenticated
      ? "Signers of manifest and inventory: every one is a key that was given with --verify-key."
      : "Signers of manifest and inventory: not all are keys that were given with --verify-key.",
    `Custody log (entries: ${
      formatCount(custody.entries)
    }, chains: ${custody.heads.length}): each entry with ` +
    "its SHA-256, signature and predecessor; no entry missing before one that something else names.",
    findings.length === 0
      ? "Findings: none."
      : `Findings: ${findings.length}. The statements above hold but for these:`,
    ...findings,
  ]);
}

/** What a custody entry says of its result; how it went with this exhibit stands there under the exhibit's id. */
export function custodyFacts(
  facts: Readonly<Record<string, string | number | boolean | null>>,
  exhibit: string,
): string {
  return Object.entries(facts).map(([name, value]) => {
    if (name === exhibit) return plain(`this exhibit: exit code ${value}`);
    return plain(`${name.replace(exhibit, "this exhibit")} ${value}`);
  }).join("; ");
}

function notCheckedText({ custody, exhibit }: ReportData): string {
  const verifications = custody.shown.filter(({ action }) => action === "verify").slice(-SHOWN_VERIFICATIONS);
  const rows = verifications.map(({ at, result, host, file }) => [
    at,
    custodyFacts(result.facts, exhibit),
    `${plain(result.outcome)} (${result.exitCode})`,
    `${plain(host.user)} on ${plain(host.hostname)}`,
    from(file),
  ]);
  const lines = bullets([
    "The data: this report read no block and no segment. Only a verification does that.",
    "Whether the files that the inventory names are there and whole.",
    "Whether the snapshot still says the same at its source.",
    "Who holds the signing keys. A fingerprint has to be compared with one that came on another way.",
    "Time-stamp tokens: openssl checks them, with the authority's certificate.",
    "Entries of the custody log after the newest that anything names: their loss leaves no trace in the store.",
  ]);
  return rows.length === 0
    ? `${lines}The custody log names no verification of this exhibit.\n\n`
    : `${lines}Verifications that the custody log names, the newest last:\n\n${
      table(["At", "What", "Result", "Who", "From"], rows)
    }`;
}

const IMPORT_CLAIMS_NOTHING = [
  "**It was imported.** Each block equals the SHA-256 in the name of its file, which whoever could write the folder " +
  "could write, too. No checksum of AWS was compared: `verify --against-source` does that while the snapshot exists.",
  `Of the acquisition nothing is known: ${UNKNOWN_OF_IMPORT}.`,
  "A block without a file may be one that the snapshot never had, one that was not fetched, or one whose file was " +
  "lost. It counts as unreadable, never as absent.",
];

function notClaimed({ manifest }: ReportData): string[] {
  const folder = folderOf(manifest.source);
  const service = serviceOf(manifest.source)?.isAws ? "AWS" : "the endpoint";
  return [
    "A snapshot is crash-consistent: the disk as it was at the moment of the snapshot, as after a power cut. What " +
    "the instance had not yet written to its disk is not in it.",
    "There is no memory, no cache of the guest's operating system, and no instance store volume in it.",
    ...(folder ? IMPORT_CLAIMS_NOTHING : [
      `The checksums cover what ${service} returned. They say nothing about the disk before the snapshot.`,
    ]),
    manifest.parent === null
      ? "No block was taken over from another exhibit."
      : "Blocks that were taken over from the parent were not read from this snapshot.",
    "Absent blocks are exported as zeros. On a volume that is restored from an encrypted snapshot they read as noise.",
    "Request ids are the endpoint's own words. They become evidence when they are compared with CloudTrail's data " +
    "events for the EBS direct APIs.",
    "Times are those of the host's clock unless they are said to be the service's. The clock's measured difference is " +
    "in the record.",
    "Whoever held a signing key could have signed something else with it. Signatures show that nothing was changed " +
    "since by anybody without the key.",
  ];
}

/** Each entry's SHA-256, its predecessor, its signature. */
const CUSTODY_COMMANDS: readonly string[] = [
  "# The custody log, chain by chain: each entry names the one before it, and is signed.",
  "for chain in custody/*/; do",
  "  previous=null",
  '  for entry in "$chain"*.json; do',
  '    [ "$(jq -r .previous "$entry")" = "$previous" ]',
  "    previous=${entry##*-} && previous=${previous%.json}",
  '    echo "$previous  $entry" | sha256sum --quiet -c -',
  '    for signature in "${entry%.json}".*.sshsig; do',
  "      key=${signature%.sshsig} && key=${key##*.}",
  '      ssh-keygen -Y verify -f "keys/$key.allowed-signers" -I "coldcase-$key" \\',
  '        -n coldcase-custody@v1 -s "$signature" < "$entry"',
  "    done",
  "  done",
  "done",
];

/** The commands; a test runs what is in the block. Names of a store's files need no quoting. */
function howTo(data: ReportData): string {
  const nameOf = (number: number) => data.files.find((file) => file.number === number)!.file;
  const plainOf = (number: number) => openedName(nameOf(number));
  const manifest = plainOf(data.manifest.file);
  const closed = [data.manifest, ...data.addenda, ...data.correctionDocuments].map(({ file }) => nameOf(file))
    .filter(isClosed);
  const inventory = nameOf(data.inventory.file);
  const signatures = [
    ...data.signatures,
    ...[...data.addenda, ...data.correctionDocuments].flatMap(({ signatures }) => signatures),
    ...data.receipts.flatMap((receipt) => receipt.signatures),
  ];
  const commands = [
    "set -e",
    ...(closed.length === 0 ? [] : openingCommands(closed)),
    "# The files of the list below: each line says OK.",
    "sha256sum -c - <<'END'",
    ...data.files.map(({ file, sha256 }) => `${sha256}  ${file}`),
    "END",
    "# Every file that the inventory names, packs with the data included: prints what does not match.",
    `tail -n +10 ${inventory} |`,
    "  sed -E 's|^[0-9]+ (.*([0-9a-f]{64})\\.[a-z.]+)$|\\2  \\1|' | sha256sum --quiet -c -",
    "# Signatures.",
    ...signatures.flatMap((signature) => signatureCommands(signature, { nameOf, plainOf })),
    ...(data.custody.entries === 0 ? [] : CUSTODY_COMMANDS),
    "# The image root: computed from the manifest, and as the manifest has it.",
    `jq -r '"coldcase-image-v1\\n\\(.volume.blockSizeBytes) \\(.volume.blockCount) \\(.segmentBlocks)", .segments[]' \\`,
    `  ${manifest} | sha256sum`,
    `jq -r .imageDigest ${manifest}`,
    `[ "$(jq -r '"coldcase-image-v1\\n\\(.volume.blockSizeBytes) \\(.volume.blockCount) \\(.segmentBlocks)", .segments[]' \\`,
    `  ${manifest} | sha256sum | cut -d ' ' -f 1)" = ${data.imageDigest} ]`,
  ];
  const tokens = data.tokens.map(({ file, over }) =>
    `openssl ts -verify -data ${nameOf(over)} -in ${nameOf(file)} -token_in -CAfile AUTHORITY.pem`
  );
  return [
    "In the folder of the store, by sh, with sha256sum, ssh-keygen, openssl and jq. ",
    closed.length === 0
      ? ""
      : "The exhibit is encrypted: age opens it, and `KEY` names an identity file, as in `KEY=/path/examiner.age sh FILE`. " +
        'Who was added later opens it by the recipe under "Added recipients" in `store-format.md`. ',
    "The files in `keys/` come with the " +
    "store: compare the fingerprints under Signatures with ones that came on another way, or put your own " +
    "allowed_signers file in their place.\n\n",
    fence(commands),
    tokens.length === 0
      ? ""
      : `Time-stamp tokens, with the authority's certificate in AUTHORITY.pem:\n\n${fence(tokens)}`,
    "An exported image: `sha256sum IMAGE` gives the SHA-256 under Digests, where one was computed. " +
    "`store-format.md` describes the files, and how to get the blocks out without coldcase.\n\n",
  ].join("");
}

function fence(lines: readonly string[]): string {
  return `\`\`\`sh\n${lines.join("\n")}\n\`\`\`\n\n`;
}

function isClosed(name: string): boolean {
  return name.endsWith(".age");
}

/** Where the commands find what a file says: of an encrypted one where they opened it. */
function openedName(name: string): string {
  return isClosed(name) ? `"$opened"/${name.slice(name.lastIndexOf("/") + 1)}` : name;
}

/** Signatures are over what is in the files, not over the age files. */
function openingCommands(files: readonly string[]): string[] {
  return [
    "# Encrypted documents, opened into a folder that is removed at the end.",
    "opened=$(mktemp -d) && trap 'rm -r \"$opened\"' EXIT",
    "for file in \\",
    ...files.map((file, at) => `  ${file}${at === files.length - 1 ? "; do" : " \\"}`),
    '  age -d -i "${KEY:?the name of an identity file}" "$file" > "$opened/${file##*/}"',
    "done",
  ];
}

function signatureCommands(
  signature: ReportSignature,
  { nameOf, plainOf }: Readonly<Record<"nameOf" | "plainOf", (number: number) => string>>,
): string[] {
  const { file, over, namespace, principal, ed25519File, allowedSignersFile, verifyingKeyFile } = signature;
  const raw = ed25519File === null ? [] : [
    `openssl pkeyutl -verify -rawin -pubin -inkey ${nameOf(verifyingKeyFile)} \\`,
    `  -in ${plainOf(over)} \\`,
    `  -sigfile ${nameOf(ed25519File)}`,
  ];
  return [
    `ssh-keygen -Y verify -f ${nameOf(allowedSignersFile)} -I ${principal} \\`,
    `  -n ${namespace} -s ${nameOf(file)} \\`,
    `  < ${plainOf(over)}`,
    ...raw,
  ];
}
