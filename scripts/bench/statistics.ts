/**
 * What many runs of two programs come to: medians with the extremes, and ratios taken round by round, so that
 * whatever else the machine did during a round is in both of its numbers. Pure.
 */

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** One whole process. */
export interface Sample {
  readonly wallSeconds: number;
  /** User and system time of the process and of the children that it waited for. */
  readonly cpuSeconds: number;
  /** CPU time of all else on the machine meanwhile, the server among it; to a tick of the kernel. */
  readonly othersCpuSeconds: number;
  /** Of the largest process. */
  readonly peakMemoryBytes: number;
}

/** The middle value, of an even count the mean of the two; throws `RangeError` for none. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("Cannot take the median: there is no value");
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle]!;
  return sorted.length % 2 === 1 ? upper : (sorted[middle - 1]! + upper) / 2;
}

export function spread(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/**
 * How fast `own` is beside `peer`, 1 being equally fast and 0.5 half as fast: the median of the rounds' ratios.
 * Samples at the same position are of one round.
 */
export function pairedSpeed(own: readonly Sample[], peer: readonly Sample[]): number {
  if (own.length !== peer.length) {
    throw new RangeError(`Cannot pair runs: ${own.length} beside ${peer.length}`);
  }
  return median(own.map((sample, round) => peer[round]!.wallSeconds / sample.wallSeconds));
}

/** MiB a second. */
export function mibPerSecond(bytes: number, seconds: number): number {
  return bytes / 2 ** 20 / seconds;
}
