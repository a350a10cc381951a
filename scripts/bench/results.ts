/**
 * What the benchmark found, as its table and its JSON have it. Types only: units are in the names, and each
 * sample is kept, so that somebody else can take other statistics of them.
 */
import type { Machine } from "./machine.ts";
import type { Sample } from "./statistics.ts";

/** A number of design's table: what is to be reached, and what is better still. */
export interface Goal {
  /** Throughput; speed beside the peer of the line; or time in milliseconds, at most. */
  readonly kind: "mib_per_second" | "times_peer" | "at_most_ms";
  readonly reach?: number;
  readonly stretch?: number;
}

/** One program's runs of a row. */
export interface SideResult {
  readonly name: string;
  /** In the order in which they ran. */
  readonly samples: readonly Sample[];
  /** How fast coldcase is beside this program, 1 being equally fast; undefined for coldcase itself. */
  readonly speedBesidePeer?: number;
  readonly goal?: Goal;
}

export interface RowResult {
  readonly name: string;
  readonly title: string;
  /** What a run works on; undefined where throughput says nothing. */
  readonly bytes: number | undefined;
  /** coldcase first; none where the row could not run. */
  readonly sides: readonly SideResult[];
  /** Peers that are missing, and whatever else is to be known. */
  readonly notes: readonly string[];
}

export interface DiskResult {
  readonly folder: string;
  readonly fileSystem: string;
  readonly mountPoint: string;
  readonly rows: readonly RowResult[];
}

export interface BenchResult {
  readonly startedAt: string;
  readonly endedAt: string;
  readonly sizeGib: number;
  readonly runs: number;
  readonly method: string;
  readonly machine: Machine;
  readonly disks: readonly DiskResult[];
}
