/**
 * What `import` reads of a folder that anybody may have made: names, Fernet tokens, gzip files of blocks. Nothing that is
 * wrong there is an error: it is no name, no token, no block.
 */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { decodeBlock } from "../../src/imager/_block_file.ts";
import { FernetKey } from "../../src/imager/_fernet.ts";
import { parseBlockFileName } from "../../src/imager/_names.ts";
import type { Digest, Disk } from "../../src/model.ts";
import { law, type Target } from "./target.ts";

const BLOCK_BYTES = 4096;
const BLOCK = Uint8Array.from({ length: BLOCK_BYTES }, (_, at) => at * at >> 3);
const DIGEST = createHash("sha256").update(BLOCK).digest("hex") as Digest;
const text = (value: string) => new TextEncoder().encode(value);

/** Made by Python's `cryptography` under another key: a gzip file of ten bytes. */
const TOKEN = text(
  "gAAAAABrAZLFEH2J3VpK7RZN9W463DjKVDdx2-BC5ucLivHgmC2gEzix0geUTNpERxde61G8te15VHNbpi2Yd5vGcZrItE9LJa6KdM5qzhyXFrq05L7uCas=",
);
const KEY = FernetKey.derive({ password: "correct horse", salt: "battery staple" });

const NAMES = [
  `0_snap-01234567_${DIGEST}_1_524288`,
  `0000000042_snap-0123456789abcdef0_${DIGEST}_65536_4096`,
  `134217727_snap-0123456789abcdef0_${DIGEST}_64_512`,
];

export const IMAGER_TARGETS: readonly Target[] = [
  {
    name: "name of a block's file",
    kind: "text",
    samples: NAMES.map(text),
    parse(bytes) {
      const name = new TextDecoder().decode(bytes);
      const parsed = parseBlockFileName(name, "plain");
      if (!parsed) return;
      const { index, snapshot, digest, volumeSizeGib, blockSizeBytes } = parsed;
      const rest = `${snapshot}_${digest}_${volumeSizeGib}_${blockSizeBytes}`;
      const written = [`${index}_${rest}`, `${String(index).padStart(10, "0")}_${rest}`];
      law(written.includes(name), "a name means what it says");
    },
  },
  {
    name: "Fernet token",
    kind: "text",
    samples: [TOKEN],
    parse: (bytes) => law(KEY.open(bytes).state !== "opened", "nothing of another key opens"),
  },
  {
    name: "gzip file of a block",
    kind: "bytes",
    samples: [gzipSync(BLOCK), gzipSync(BLOCK, { level: 0 }), gzipSync(new Uint8Array(1 << 20))],
    weight: 0.5,
    maxMemoryMib: 2,
    parse(bytes) {
      const input = {
        disk: {} as Disk, // the file is read already
        path: "",
        layout: "compressed",
        digest: DIGEST,
        blockSizeBytes: BLOCK_BYTES,
        key: undefined,
      } as const;
      const block = decodeBlock(input, bytes);
      const isRight = block.kind === "unreadable" || block.bytes.every((byte, at) => byte === BLOCK[at]);
      law(isRight, "a block is that of its digest");
    },
  },
];
