/**
 * The table on stdout: a line a program, the rows' goals beside them. Text in, text out; nothing is judged here
 * but whether a number reached its goal.
 */
import type { Goal, RowResult, SideResult } from "./results.ts";
import { mibPerSecond, spread } from "./statistics.ts";

type Align = "left" | "right";

/** Columns as wide as their widest cell, two spaces between them. */
export function formatTable(lines: readonly (readonly string[])[], aligns: readonly Align[]): string {
  const widths = aligns.map((_, column) => Math.max(0, ...lines.map((line) => width(line[column] ?? ""))));
  return lines.map((line) =>
    aligns.map((align, column) => {
      const cell = line[column] ?? "";
      const padding = " ".repeat(widths[column]! - width(cell));
      return align === "left" ? cell + padding : padding + cell;
    }).join("  ").trimEnd() + "\n"
  ).join("");
}

/** Characters, not UTF-16 units. */
function width(text: string): number {
  return [...text].length;
}

const COLUMNS: readonly (readonly [title: string, align: Align])[] = [
  ["row", "left"],
  ["program", "left"],
  ["wall s", "right"],
  ["min", "right"],
  ["max", "right"],
  ["MiB/s", "right"],
  ["CPU s", "right"],
  ["others'", "right"],
  ["peak MiB", "right"],
  ["× peer", "right"],
  ["reach", "right"],
  ["stretch", "right"],
  ["", "left"],
];

/** All rows of one disk. */
export function formatResults(rows: readonly RowResult[]): string {
  const lines = rows.flatMap((row) =>
    row.sides.map((side, position) => sideLine(row, side, position === 0)).concat(
      row.notes.map((note) => [row.sides.length === 0 ? row.name : "", note]),
    )
  );
  // Notes are as long as they are; they must not widen the columns.
  const isNote = (line: readonly string[]) => line.length === 2;
  const aligns = COLUMNS.map(([, align]) => align);
  const table = formatTable(
    [COLUMNS.map(([title]) => title), ...lines.filter((line) => !isNote(line))],
    aligns,
  )
    .split("\n");
  const [head, ...body] = table;
  const texts = lines.map((line) =>
    isNote(line) ? `${line[0]}${line[0] === "" ? "  " : ": "}${line[1]}` : body.shift()!
  );
  return [head!, ...texts].map((text) => `${text}\n`).join("");
}

function sideLine(row: RowResult, side: SideResult, isFirst: boolean): string[] {
  const wall = spread(side.samples.map((sample) => sample.wallSeconds));
  const cpu = spread(side.samples.map((sample) => sample.cpuSeconds));
  const others = spread(side.samples.map((sample) => sample.othersCpuSeconds));
  const memory = Math.max(...side.samples.map((sample) => sample.peakMemoryBytes));
  const speed = row.bytes === undefined ? undefined : mibPerSecond(row.bytes, wall.median);
  return [
    isFirst ? row.name : "",
    side.name,
    seconds(wall.median),
    seconds(wall.min),
    seconds(wall.max),
    speed === undefined ? "" : speed.toFixed(0),
    seconds(cpu.median),
    seconds(others.median),
    (memory / 2 ** 20).toFixed(0),
    side.speedBesidePeer === undefined ? "" : side.speedBesidePeer.toFixed(2),
    ...goalCells(side, { wall: wall.median, speed }),
  ];
}

interface OwnNumbers {
  readonly wall: number;
  readonly speed: number | undefined;
}

function goalCells(side: SideResult, own: OwnNumbers): string[] {
  const { goal } = side;
  if (goal === undefined) return [];
  return [goalText(goal, goal.reach), goalText(goal, goal.stretch), verdict(goal, valueOf(side, goal, own))];
}

function seconds(value: number): string {
  return value.toFixed(value < 10 ? 3 : 1);
}

function goalText(goal: Goal, value: number | undefined): string {
  if (value === undefined) return "";
  if (goal.kind === "mib_per_second") return `≥ ${value}`;
  return goal.kind === "times_peer" ? `≥ ${value} ×` : `≤ ${value} ms`;
}

/** What a goal is compared with; undefined where it was not measured. */
function valueOf(side: SideResult, goal: Goal, own: OwnNumbers): number | undefined {
  if (goal.kind === "mib_per_second") return own.speed;
  return goal.kind === "times_peer" ? side.speedBesidePeer : own.wall * 1000;
}

/** `stretch`, `reached`, or by how much it is missed. */
export function verdict(goal: Goal, value: number | undefined): string {
  if (value === undefined) return "";
  const isAtMost = goal.kind === "at_most_ms";
  const isMet = (limit: number) => isAtMost ? value <= limit : value >= limit;
  if (goal.stretch !== undefined && isMet(goal.stretch)) return "stretch";
  if (goal.reach === undefined) return "";
  if (isMet(goal.reach)) return "reached";
  const percent = (isAtMost ? value / goal.reach - 1 : 1 - value / goal.reach) * 100;
  return `missed by ${Math.ceil(percent)} %`;
}
