/**
 * How far a long piece of work is, shown while it runs: one redrawn line on a terminal, a line every 10 s
 * without one, an object a second with `--json`. Each also says what is being waited for, so that nothing
 * looks dead that is only waiting.
 *
 * It is told facts and draws by itself, by the injected clock; it never measures the work. The line is never as wide as
 * the terminal, and the cursor is left at its beginning: after a resize the terminal may have broken it into
 * rows, and wiping from there to the end of the screen gets them all without touching what stands above.
 */
import type { Clock } from "../model.ts";
import { formatCount, formatDuration, formatRate, formatSize, formatUsd } from "../units.ts";
import type { OutputEvent } from "./output.ts";
import { cutToWidth, sanitize } from "./text.ts";

/** What is known about the work; `update()` changes the given ones. */
export interface ProgressFacts {
  /** What is done to what: `acquire snap-0a1b`. */
  readonly label: string;
  /** Done so far, in `unit`, including what was done before this run. */
  readonly done: number;
  /** `undefined`: not known (yet). */
  readonly total?: number | undefined;
  /** What `done` and `total` count. */
  readonly unit: "bytes" | "blocks" | "files" | "percent";
  /** Which one of how many, from 1. */
  readonly number?: number;
  readonly count?: number;
  readonly costUsd?: number;
  readonly retries?: number;
  readonly throttles?: number;
  /** What would end the present wait: `the service to answer`. `undefined`: nothing is waited for. */
  readonly waitingFor?: string | undefined;
}

export interface ProgressDisplay {
  readonly mode: "redrawn" | "lines" | "events" | "silent";
  readonly clock: Clock;
  /** Asked at each drawing. */
  readonly columns: () => number;
  /** To stderr. */
  readonly write: (text: string) => void;
  readonly event: (event: OutputEvent) => void;
}

const INTERVAL_MS = { redrawn: 200, events: 1000, lines: 10_000, silent: Infinity } as const;
/** The rate is that of the last this many milliseconds: long enough to be calm, short enough to be true. */
const RATE_WINDOW_MS = 15_000;
/** Carriage return, then erase from the cursor to the end of the screen (ECMA-48 ED 0). */
const WIPE = "\r\x1b[J";

interface Sample {
  readonly atMs: number;
  readonly done: number;
}

export class Progress {
  readonly #display: ProgressDisplay;
  readonly #startedMs: number;
  readonly #stop = new AbortController();
  #facts: ProgressFacts;
  #samples: Sample[];
  #drawnMs: number;
  #visible = false;
  /** A question is on the screen, in the line's place. */
  #isHeld = false;

  constructor(display: ProgressDisplay, facts: ProgressFacts) {
    this.#display = display;
    this.#facts = facts;
    this.#startedMs = display.clock.monotonicMs();
    this.#drawnMs = this.#startedMs;
    this.#samples = [{ atMs: this.#startedMs, done: facts.done }];
    if (display.mode === "silent") return;
    if (display.mode === "redrawn") this.#draw();
    void this.#tick();
  }

  /** Takes over what changed. Draws where that is due, so that work which never yields still shows. */
  update(facts: Partial<ProgressFacts>): void {
    this.#facts = { ...this.#facts, ...facts };
    this.#drawIfDue();
  }

  /** Wipes the line for another text; `show()` brings it back. */
  hide(): void {
    if (this.#visible) this.#display.write(WIPE);
    this.#visible = false;
  }

  show(): void {
    if (this.#display.mode === "redrawn" && !this.#stop.signal.aborted) this.#draw();
  }

  /** Wipes the line and draws none until `release()`. */
  hold(): void {
    this.hide();
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    this.show();
  }

  /** Wipes the line and stops; the work's summary is the command's own. May be called again. */
  end(): void {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.hide();
  }

  async #tick(): Promise<void> {
    const { clock, mode } = this.#display;
    const { signal } = this.#stop;
    try {
      for (;;) {
        await clock.sleep(Math.min(INTERVAL_MS[mode], 1000), signal);
        this.#drawIfDue();
      }
    } catch (error) {
      // A sleep rejects where its signal aborts: `end()` was called.
      if (!signal.aborted) throw error;
    }
  }

  #drawIfDue(): void {
    const { clock, mode } = this.#display;
    if (this.#stop.signal.aborted || clock.monotonicMs() - this.#drawnMs < INTERVAL_MS[mode]) return;
    this.#draw();
  }

  #draw(): void {
    const { clock, mode, write, event, columns } = this.#display;
    if (this.#isHeld && mode !== "events") return;
    this.#drawnMs = clock.monotonicMs();
    this.#sample();
    if (mode === "events") {
      event(this.#event());
      return;
    }
    const parts = this.#parts();
    if (mode === "lines") {
      write(`coldcase: ${parts.map((part) => part.text).join("  ")}\n`);
    } else {
      // One column less than there are: in the last one some terminals break the line at once.
      write(`${WIPE}${fitParts(parts, columns() - 1)}\r`);
      this.#visible = true;
    }
  }

  #sample(): void {
    const { done } = this.#facts;
    this.#samples.push({ atMs: this.#drawnMs, done });
    const from = this.#samples.findIndex((sample) => sample.atMs > this.#drawnMs - RATE_WINDOW_MS);
    // The last one before the window stays: the rate is over at least the window.
    if (from > 1) this.#samples = this.#samples.slice(from - 1);
  }

  /** Units a second; undefined until there is a second to judge by. */
  get #rate(): number | undefined {
    const [first] = this.#samples;
    const last = this.#samples.at(-1);
    if (!first || !last || last.atMs - first.atMs < 1000) return undefined;
    return Math.max(0, last.done - first.done) / ((last.atMs - first.atMs) / 1000);
  }

  get #leftMs(): number | undefined {
    const { done, total } = this.#facts;
    const rate = this.#rate;
    return rate && total !== undefined ? Math.max(0, total - done) / rate * 1000 : undefined;
  }

  #parts(): Part[] {
    const { done, total, unit, number, count, costUsd, retries, throttles, waitingFor, label } = this.#facts;
    const rate = this.#rate;
    const amount = unit === "bytes" ? formatSize : formatCount;
    const parts: Part[] = [{ text: sanitize(label), rank: 1 }];
    const add = (rank: number, text: string) => parts.push({ text, rank });
    if (count !== undefined && count > 1) add(5, `(${number} of ${count})`);
    if (total) add(0, `${Math.floor(Math.min(1, done / total) * 100)} %`);
    const noun = unit === "bytes" ? "" : ` ${unit}`;
    if (unit !== "percent") {
      add(2, `${amount(done)}${total === undefined ? "" : ` of ${amount(total)}`}${noun}`);
    }
    if (rate !== undefined && waitingFor === undefined && unit !== "percent") {
      add(4, unit === "bytes" ? formatRate(rate) : `${formatCount(Math.round(rate))}/s`);
    }
    if (waitingFor !== undefined) add(0, `waiting for ${sanitize(waitingFor)}`);
    else if (this.#leftMs !== undefined) add(3, `${formatDuration(this.#leftMs)} left`);
    if (costUsd !== undefined) add(6, formatUsd(costUsd));
    if (retries) add(7, `${formatCount(retries)} ${retries === 1 ? "retry" : "retries"}`);
    if (throttles) add(8, `${formatCount(throttles)} throttled`);
    return parts;
  }

  #event(): OutputEvent {
    const { done, total, unit, label, number, count, costUsd, retries, throttles, waitingFor } = this.#facts;
    const rate = this.#rate;
    const leftMs = this.#leftMs;
    const suffix = { bytes: "Bytes", blocks: "Blocks", files: "Files", percent: "Percent" }[unit];
    return {
      type: "progress",
      label,
      [`done${suffix}`]: done,
      [`total${suffix}`]: total,
      [`rate${suffix}PerSecond`]: rate === undefined ? undefined : Math.round(rate),
      leftMs: leftMs === undefined ? undefined : Math.round(leftMs),
      elapsedMs: Math.round(this.#drawnMs - this.#startedMs),
      number,
      count,
      costUsd,
      retries,
      throttles,
      waitingFor,
    };
  }
}

/** A piece of the line; where not all fit, the one with the highest rank goes first. */
interface Part {
  readonly text: string;
  readonly rank: number;
}

/** The parts that fit, in their order, at most `columns` wide. */
function fitParts(parts: readonly Part[], columns: number): string {
  const kept = [...parts];
  const line = () => kept.map((part) => part.text).join("  ");
  while (kept.length > 1 && cutToWidth(line(), columns) !== line()) {
    const least = kept.reduce((one, other) => other.rank > one.rank ? other : one);
    kept.splice(kept.indexOf(least), 1);
  }
  return cutToWidth(line(), columns);
}
