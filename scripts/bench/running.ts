/**
 * Runs a row: each side once unmeasured, then all sides in turn, round after round, so that what else the machine
 * does falls on all of them. A peer that can't run becomes a note; a run that failed ends the row with its reason.
 */
import type { Attempt } from "./attempts.ts";
import { measure } from "./measure.ts";
import { type Place, remove } from "./place.ts";
import type { Build } from "./programs.ts";
import type { Goal, RowResult, SideResult } from "./results.ts";
import type { Row } from "./rows.ts";
import { pairedSpeed, type Sample } from "./statistics.ts";

export interface RunOptions {
  readonly runs: number;
  readonly own: Build;
  /** Another build, which then is the only peer. */
  readonly other: Build | undefined;
  /** Told before each round; 0 is the unmeasured one. */
  onRound(round: number): void;
}

/** A program in a row. */
interface Side {
  readonly name: string;
  readonly goal?: Goal | undefined;
  attempt(): Promise<Attempt>;
  readonly samples: Sample[];
  /** Blocks asked for in the last run, and how many it should have asked for. */
  requests?: { readonly made: number; readonly expected: number };
}

export async function runRow(row: Row, place: Place, options: RunOptions): Promise<RowResult> {
  const { sides, notes } = sidesOf(row, place, options);
  try {
    for (let round = 0; round <= options.runs; round++) {
      options.onRound(round);
      for (const side of sides) {
        const sample = await runOnce(side, place);
        if (round > 0) side.samples.push(sample);
      }
    }
  } catch (error) {
    return {
      ...factsOf(row, place),
      sides: [],
      notes: [`failed: ${error instanceof Error ? error.message : error}`],
    };
  }
  const [own, ...peers] = sides;
  notes.push(...sides.flatMap((side) => requestNote(row, side)));
  return {
    ...factsOf(row, place),
    sides: [resultOf(own!), ...peers.map((peer) => resultOf(peer, pairedSpeed(own!.samples, peer.samples)))],
    notes,
  };
}

function factsOf(row: Row, { facts }: Place) {
  return {
    name: row.name,
    title: row.title,
    bytes: facts.set === undefined ? undefined : row.bytes(facts.set),
  };
}

function sidesOf(row: Row, place: Place, { own, other }: RunOptions): { sides: Side[]; notes: string[] } {
  const sides: Side[] = [{
    name: own.name,
    goal: row.goal,
    attempt: () => row.attempt(place, own),
    samples: [],
  }];
  if (other !== undefined) {
    sides.push({ name: other.name, attempt: () => row.attempt(place, other), samples: [] });
    return { sides, notes: [] };
  }
  const notes: string[] = [];
  for (const { peer, goal } of row.peers) {
    const reason = peer.reasonAgainst(place);
    if (reason !== undefined) notes.push(`${peer.name}: ${reason}`);
    else sides.push({ name: peer.name, goal, attempt: () => peer.attempt(place, own), samples: [] });
  }
  return { sides, notes };
}

async function runOnce(side: Side, place: Place): Promise<Sample> {
  const attempt = await side.attempt();
  const before = place.facts.endpoint?.blockRequests() ?? 0;
  try {
    const ended = await measure(attempt.job, place.folder);
    attempt.check(ended);
    if (attempt.blockRequests !== undefined) {
      side.requests = { made: place.endpoint.blockRequests() - before, expected: attempt.blockRequests };
    }
    const { wallSeconds, cpuSeconds, othersCpuSeconds, peakMemoryBytes } = ended;
    return { wallSeconds, cpuSeconds, othersCpuSeconds, peakMemoryBytes };
  } finally {
    for (const path of attempt.leftovers) remove(path);
  }
}

function requestNote(row: Row, { name, requests }: Side): string[] {
  if (requests === undefined || (requests.made === requests.expected && !row.showsRequests)) return [];
  return [`${name}: ${requests.made} GetSnapshotBlock requests, ${requests.expected} needed`];
}

function resultOf(side: Side, speedBesidePeer?: number): SideResult {
  return {
    name: side.name,
    samples: side.samples,
    ...(speedBesidePeer === undefined ? {} : { speedBesidePeer }),
    ...(side.goal === undefined ? {} : { goal: side.goal }),
  };
}
