/** Random numbers that a failed test can be repeated with: the seed is printed, COLDCASE_SEED sets it. */

/** An integer in [0, limit). */
export type Below = (limit: number) => number;

/** The same numbers from the same seed on every host (mulberry32). */
export function seededBelow(seed: number): Below {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return Math.floor(((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32 * limit);
  };
}

/** Runs `body` `rounds` times with random numbers; what it throws names the seed. */
export function forRounds(rounds: number, body: (below: Below, round: number) => void): void {
  const seed = Number(Deno.env.get("COLDCASE_SEED") ?? Date.now() % 2 ** 32);
  // deno-lint-ignore no-console
  console.log(`COLDCASE_SEED=${seed}`);
  const below = seededBelow(seed);
  for (let round = 0; round < rounds; round++) {
    try {
      body(below, round);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new Error(`COLDCASE_SEED=${seed}, round ${round}: ${message}`, { cause: error });
    }
  }
}

export function randomBytes(below: Below, length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, () => below(256));
}

export function pick<T>(below: Below, choices: readonly T[]): T {
  return choices[below(choices.length)]!;
}
