/**
 * Real images, made by the tools that make them everywhere: ext4 by mkfs.ext4, NTFS by mkntfs, a GPT disk by
 * sgdisk with both in it; each with files that then change for real. All are sparse. For tests that need
 * no file system, images of random blocks.
 */
import { Buffer } from "node:buffer";
import { run } from "../image/tools.ts";

export const MIB = 1024 * 1024;
export const BLOCK_BYTES = 512 * 1024;

/** What the images of file systems are made and looked at with. */
export const FILE_SYSTEM_TOOLS = [
  "mkfs.ext4",
  "debugfs",
  "e2fsck",
  "mkntfs",
  "ntfscp",
  "sgdisk",
  "mmls",
  "fls",
  "icat",
] as const;

/** Bytes that no compression makes smaller. */
export function randomBytes(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes;
}

/** A folder of files as a system has them: one large one, texts, nested folders. */
export function writeFiles(folder: string, largeBytes: number): void {
  Deno.mkdirSync(`${folder}/var/log`, { recursive: true });
  Deno.writeFileSync(`${folder}/large.bin`, randomBytes(largeBytes));
  const line = "Nov 21 02:16:39 host sshd[811]: Failed password for root from 192.0.2.7 port 50022\n";
  Deno.writeTextFileSync(`${folder}/var/log/auth.log`, line.repeat(40_000));
  Deno.writeTextFileSync(`${folder}/note.txt`, "a first note\n");
}

/** An image of ext4 with the files of `folder`. */
export async function makeExt4(image: string, folder: string, sizeMib: number): Promise<void> {
  Deno.writeFileSync(image, new Uint8Array());
  Deno.truncateSync(image, sizeMib * MIB);
  await run("mkfs.ext4", ["-q", "-F", "-J", "size=4", "-d", folder, image]);
}

/** `disk.img` of 64 MiB: a GPT with an ext4 partition from sector 2048 on, which holds `files/secret.bin`. */
export async function makePartitionedDisk(folder: string): Promise<string> {
  const image = `${folder}/disk.img`;
  Deno.mkdirSync(`${folder}/files`);
  Deno.writeFileSync(`${folder}/files/secret.bin`, randomBytes(3 * MIB));
  await makeExt4(`${folder}/part.img`, `${folder}/files`, 32);
  Deno.writeFileSync(image, new Uint8Array());
  Deno.truncateSync(image, 64 * MIB);
  await run("sgdisk", ["-n", "1:2048:67583", "-t", "1:8300", image]);
  const place = ["bs=1M", "seek=1", "conv=notrunc,sparse", "status=none"];
  await run("dd", [`if=${folder}/part.img`, `of=${image}`, ...place]);
  return image;
}

/** A note changes, the log goes, a new file comes: as the file system itself does it. */
export async function changeExt4(image: string, newFile: string): Promise<void> {
  const script = [
    "rm var/log/auth.log",
    "rm note.txt",
    `write ${newFile} note.txt`,
    `write ${newFile} new.bin`,
  ];
  await run("debugfs", ["-w", "-f", "/dev/stdin", image], script.join("\n") + "\n");
}

/** An image of NTFS with the files of `folder` that lie in it directly. */
export async function makeNtfs(image: string, folder: string, sizeMib: number): Promise<void> {
  Deno.writeFileSync(image, new Uint8Array());
  Deno.truncateSync(image, sizeMib * MIB);
  await run("mkntfs", ["-F", "-Q", "-q", "-s", "512", "-p", "0", "-H", "0", "-S", "0", image]);
  for (const entry of Deno.readDirSync(folder)) {
    if (entry.isFile) await run("ntfscp", ["-q", image, `${folder}/${entry.name}`, entry.name]);
  }
}

/** A file is overwritten, and a new one comes. */
export async function changeNtfs(image: string, newFile: string): Promise<void> {
  for (const name of ["note.txt", "new.bin"]) await run("ntfscp", ["-q", image, newFile, name]);
}

/** Where the partitions of a GPT disk lie, in MiB. */
export const PARTITIONS = {
  ext4: { startMib: 1, sizeMib: 100 },
  ntfs: { startMib: 102, sizeMib: 100 },
} as const;

/** A disk with two partitions, filled from images of `PARTITIONS`' sizes. The table's ids are always the same. */
export async function makeGptDisk(
  image: string,
  parts: { readonly ext4: string; readonly ntfs: string },
): Promise<void> {
  Deno.writeFileSync(image, new Uint8Array());
  Deno.truncateSync(image, 1024 * MIB);
  const id = (digit: number) => `00000000-0000-4000-8000-00000000000${digit}`;
  const { ext4, ntfs } = PARTITIONS;
  const partition = (number: number, { startMib, sizeMib }: { startMib: number; sizeMib: number }) =>
    `--new=${number}:${startMib}MiB:${startMib + sizeMib - 1 / 2048}MiB`.replace(
      /:([\d.]+)MiB$/,
      `:+${sizeMib}M`,
    );
  await run("sgdisk", [
    "--disk-guid=" + id(0),
    partition(1, ext4),
    "--typecode=1:8300",
    "--partition-guid=1:" + id(1),
    partition(2, ntfs),
    "--typecode=2:0700",
    "--partition-guid=2:" + id(2),
    image,
  ]);
  for (const [part, { startMib }] of [[parts.ext4, ext4], [parts.ntfs, ntfs]] as const) {
    await run("dd", [
      `if=${part}`,
      `of=${image}`,
      "bs=1M",
      `seek=${startMib}`,
      "conv=notrunc,sparse",
      "status=none",
    ]);
  }
}

/** A copy that stays sparse. */
export async function copyImage(from: string, to: string): Promise<void> {
  await run("cp", ["--sparse=always", from, to]);
}

/** Bytes compared in one go. */
const SPAN_BYTES = 4 * MIB;

/**
 * True where two files have the same first `bytes`, by default as many as `one` has; what the other is shorter is
 * zeros, as an endpoint fills a volume up. (cmp takes ten times as long for the holes, and reading those behind a
 * small image takes longest.)
 */
export function isSame(one: string, other: string, bytes = Deno.statSync(one).size): boolean {
  const spans = pairs(one, other, SPAN_BYTES).take(Math.ceil(Math.min(bytes, 2 ** 40) / SPAN_BYTES));
  return spans.every(([left, right]) => Buffer.compare(left, right) === 0);
}

/** The spans of two files, side by side. The buffers are used again for the next. */
export function* pairs(
  one: string,
  other: string,
  spanBytes: number,
): Generator<readonly [Uint8Array, Uint8Array]> {
  const files = [Deno.openSync(one), Deno.openSync(other)] as const;
  const spans = [new Uint8Array(spanBytes), new Uint8Array(spanBytes)] as const;
  try {
    while (fill(files[0], spans[0]) + fill(files[1], spans[1]) > 0) yield spans;
  } finally {
    for (const file of files) file.close();
  }
}

/** Fills `bytes` from a file, and with zeros from its end on; gives the bytes read. */
function fill(file: Deno.FsFile, bytes: Uint8Array): number {
  let done = 0;
  while (done < bytes.length) {
    const count = file.readSync(bytes.subarray(done));
    if (count === null) break;
    done += count;
  }
  bytes.fill(0, done);
  return done;
}

/** An image with random blocks at `indexes`, as long as it must be; elsewhere it is zeros, or as `base`. */
export async function writeRandomBlocks(
  image: string,
  indexes: Iterable<number>,
  base?: string,
): Promise<void> {
  await writeBlocks(image, indexes, { base, bytesOf: () => randomBytes(BLOCK_BYTES) });
}

/** The same with bytes of one's own. */
export async function writeBlocks(
  image: string,
  indexes: Iterable<number>,
  { base, bytesOf }: { readonly base?: string | undefined; readonly bytesOf: (index: number) => Uint8Array },
): Promise<void> {
  if (base === undefined) Deno.writeFileSync(image, new Uint8Array());
  else await copyImage(base, image);
  const file = Deno.openSync(image, { write: true });
  try {
    for (const index of indexes) {
      file.seekSync(index * BLOCK_BYTES, Deno.SeekMode.Start);
      const bytes = bytesOf(index);
      for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
    }
  } finally {
    file.close();
  }
}

/** `[from, from + count)` in steps. */
export function every(step: number, range: { readonly from: number; readonly count: number }): number[] {
  return Array.from({ length: range.count }, (_, position) => range.from + position * step);
}
