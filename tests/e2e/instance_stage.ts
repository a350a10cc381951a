/**
 * An instance for whole runs: twelve volumes with their devices, and sets of their snapshots, each of a few written
 * blocks. Says nothing about what is right.
 */
import type { SimulatorOptions, SnapshotSpec } from "../../src/simulate/mod.ts";

export const INSTANCE = "i-0a0a0a0a0a0a0a0a0";

/** `/dev/xvda`, then `/dev/sdb` to `/dev/sdl`. */
export const DEVICES = ["/dev/xvda", ...[..."bcdefghijkl"].map((letter) => `/dev/sd${letter}`)];

/** Written blocks of each snapshot. */
export const BLOCKS = 6;

function hex(number: number): string {
  return number.toString(16).padStart(2, "0");
}

export function volumeOf(device: string): string {
  return `vol-0a0a0a0a0a0a0a0${hex(DEVICES.indexOf(device))}`;
}

/** The snapshot of a device in a set: sets are numbered from 1, in the order of their starts. */
export function snapshotOf(device: string, set: number): string {
  return `snap-000000000000${hex(set)}0${hex(DEVICES.indexOf(device))}`;
}

export function startOf(set: number): string {
  return new Date(Date.UTC(2026, 0, set, 3, 0, 0, 123)).toISOString();
}

/** The snapshots of a set, of the devices that are given. */
export function setOf(
  set: number,
  devices: readonly string[] = DEVICES,
  facts: Partial<SnapshotSpec> = {},
): SnapshotSpec[] {
  return devices.map((device) => ({
    id: snapshotOf(device, set),
    volumeId: volumeOf(device),
    startTimeMs: Date.parse(startOf(set)),
    synthetic: { seed: DEVICES.indexOf(device) + 1, volumeSizeGib: 1, every: 350, version: set },
    ...facts,
  } as SnapshotSpec));
}

/** The instance with these snapshots, and, where it is not said otherwise, all its volumes. */
export function instance(
  snapshots: readonly SnapshotSpec[],
  options: SimulatorOptions = {},
  devices: readonly string[] = DEVICES,
): SimulatorOptions {
  const volumes = Object.fromEntries(devices.map((device) => [device, volumeOf(device)]));
  return { snapshots, instances: [{ id: INSTANCE, volumes }], ...options };
}
