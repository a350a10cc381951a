/**
 * The rows: what is measured on which data, what is to be reached, and beside whom. The data are made elsewhere
 * (data.ts), the command lines and what must come of them are attempts.ts's, and peers.ts knows the others.
 */
import {
  acquiring,
  type AttemptMaker,
  exportingToE01,
  exportingToFile,
  exportingToStdout,
  incrementing,
  planning,
  reading,
  starting,
  verifying,
} from "./attempts.ts";
import { BLOCK_BYTES, CHANGE_PERCENTS, type DataSet, type SetName } from "./data.ts";
import {
  AGE,
  COLDSNAP,
  COPY,
  EMPTY_DENO,
  EWFACQUIRESTREAM,
  OPENSSL_OF_IMAGE,
  OPENSSL_OF_PACKS,
  type Peer,
  pipeline,
  SHA256_OF_IMAGE,
  SHA256_OF_PACKS,
  ZSTD,
} from "./peers.ts";
import { RANDOM_READ_BYTES, RANDOM_READS } from "./reader.ts";
import type { Goal } from "./results.ts";

export interface Row {
  readonly name: string;
  readonly title: string;
  /** Undefined: it needs no data. */
  readonly set: SetName | undefined;
  /** What a run works on; undefined where throughput says nothing. */
  bytes(set: DataSet): number | undefined;
  readonly goal?: Goal;
  readonly attempt: AttemptMaker;
  readonly peers: readonly { readonly peer: Peer; readonly goal?: Goal }[];
  /** Shows how many blocks were asked for. */
  readonly showsRequests?: true;
  /** An option of acquire without which there is no such row. */
  readonly option?: string;
}

const mib = (reach: number, stretch?: number): Goal => ({
  kind: "mib_per_second",
  reach,
  ...(stretch === undefined ? {} : { stretch }),
});
const START_GOAL: Goal = { kind: "at_most_ms", reach: 150, stretch: 60 };
const NATIVE_GOAL: Goal = { kind: "times_peer", reach: 0.7, stretch: 0.85 };

const fetched = (set: DataSet) => set.blocks.length * BLOCK_BYTES;
const volume = (set: DataSet) => set.sizeGib * 2 ** 30;
const randomlyRead = () => RANDOM_READS * RANDOM_READ_BYTES;
const nothing = () => undefined;

function acquireRow(set: SetName, goal?: Goal): Row {
  return {
    name: `acquire-${set}`,
    title: `acquire, plain, ${set}`,
    set,
    bytes: fetched,
    ...(goal === undefined ? {} : { goal }),
    attempt: acquiring(),
    peers: [
      { peer: pipeline(), goal: NATIVE_GOAL },
      { peer: COLDSNAP },
      ...(set === "text" ? [{ peer: ZSTD }] : []),
    ],
  };
}

const ENCRYPTED_ROW: Row = {
  name: "acquire-encrypted",
  title: "acquire, encrypted, random",
  set: "random",
  bytes: fetched,
  goal: mib(250, 350),
  option: "--recipient",
  attempt: acquiring(({ facts }) => ["--recipient", facts.recipient ?? ""]),
  peers: [{ peer: AGE }, { peer: pipeline() }],
};

function incrementRow(percent: number): Row {
  return {
    name: `incremental-${percent}`,
    title: `acquire, incremental, ${percent} % changed`,
    set: "random",
    bytes: (set) =>
      (set.changes.find((change) => change.percent === percent)?.blocks.length ?? 0) * BLOCK_BYTES ||
      undefined,
    attempt: incrementing(percent),
    peers: percent === 0 ? [] : [{ peer: pipeline(percent) }],
    showsRequests: true,
  };
}

function e01Row(set: SetName): Row {
  return {
    name: `export-e01-${set}`,
    title: `export to an E01 with its digests, ${set}`,
    set,
    bytes: volume,
    attempt: exportingToE01,
    peers: [{ peer: EWFACQUIRESTREAM }],
  };
}

const READING_ROWS: readonly Row[] = [
  {
    name: "verify",
    title: "verify, every byte, random",
    set: "random",
    bytes: fetched,
    goal: mib(1024, 1536),
    attempt: verifying,
    peers: [{ peer: SHA256_OF_PACKS }, { peer: OPENSSL_OF_PACKS }],
  },
  {
    name: "export-file",
    title: "export to a sparse file with its SHA-256, random",
    set: "random",
    bytes: volume,
    goal: mib(700),
    attempt: exportingToFile,
    peers: [{ peer: COPY, goal: { kind: "times_peer", stretch: 1 } }],
  },
  {
    name: "export-ext4",
    title: "export to a sparse file with its SHA-256, ext4 with holes",
    set: "ext4",
    bytes: volume,
    attempt: exportingToFile,
    peers: [{ peer: COPY }],
  },
  e01Row("random"),
  e01Row("text"),
  e01Row("half-zero"),
  {
    name: "export-stdout",
    title: "export to stdout (/dev/null), random",
    set: "random",
    bytes: volume,
    goal: mib(600),
    attempt: exportingToStdout("null"),
    peers: [{ peer: SHA256_OF_IMAGE }, { peer: OPENSSL_OF_IMAGE }],
  },
  {
    name: "export-pipe",
    title: "export to stdout, through a pipe, random",
    set: "random",
    bytes: volume,
    goal: mib(600),
    attempt: exportingToStdout("pipe"),
    peers: [],
  },
  {
    name: "read-sequential",
    title: "read in order, every block checked, random",
    set: "random",
    bytes: volume,
    attempt: reading("sequential", ({ set }) => volume(set)),
    peers: [],
  },
  {
    name: "read-random",
    title: `${RANDOM_READS.toLocaleString("en")} reads of 4 KiB at random, every block checked`,
    set: "random",
    bytes: randomlyRead,
    attempt: reading("random", randomlyRead),
    peers: [],
  },
];

const OTHER_ROWS: readonly Row[] = [
  { name: "plan", title: "plan", set: "random", bytes: nothing, attempt: planning, peers: [] },
  ...["version", "help"].map((option): Row => ({
    name: `start-${option}`,
    title: `start-up, --${option}`,
    set: undefined,
    bytes: nothing,
    goal: START_GOAL,
    attempt: starting(`--${option}`),
    peers: [{ peer: EMPTY_DENO }],
  })),
];

export const ROWS: readonly Row[] = [
  acquireRow("random", mib(350, 450)),
  acquireRow("half-zero", mib(450, 600)),
  acquireRow("text", mib(250, 280)),
  acquireRow("ext4"),
  ENCRYPTED_ROW,
  ...CHANGE_PERCENTS.map(incrementRow),
  ...READING_ROWS,
  ...OTHER_ROWS,
];
