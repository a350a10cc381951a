/**
 * The search behind `sources`: from an instance, a volume, a snapshot or tags to snapshots, by what the caller may ask.
 * Volumes lead to their snapshots whether they still exist or not; for an instance whose volumes are not known, what
 * the snapshots' descriptions and tags say of it. Shows nothing; holds the newest snapshots only, whatever there is.
 */
import {
  type Attachment,
  type AttachmentAnswer,
  type Filter,
  type FoundSnapshot,
  isVolumeId,
  MAX_FILTER_VALUES,
  type SnapshotQuery,
} from "../aws/sources.ts";
import { type Device, devicesOf, SET_TAG } from "../aws/set_tags.ts";
import type { AwsSource } from "../aws/source.ts";
import { isSnapshotId } from "../units.ts";
import type { Wanted } from "./_sources_wanted.ts";

/** A snapshot of the result; without its tags but the name, so that ten thousand are little. */
export interface Listed extends Omit<FoundSnapshot, "tags"> {
  readonly name: string | undefined;
  /** Of the set that `snapshot create` made it with. */
  readonly setId: string | undefined;
  /** `other`: another account's that doesn't name the caller's: a public one. */
  readonly relation: "own" | "shared" | "other";
  /** Why it is here, a sentence, where that is not by the volume, the id or the tags asked for. */
  readonly foundBy: string | undefined;
}

/** What the search has learned of an argument beside snapshots. */
export interface Outcome {
  readonly wanted: Wanted;
  /** Snapshots of it, those that were not held included. */
  readonly count: number;
  /** Of an instance. */
  readonly instance: AttachmentAnswer | undefined;
  /** Of an instance: its volumes, those that snapshots say were its, too. */
  readonly volumes: ReadonlySet<string>;
}

/** Snapshots held; the newest ones. */
export const MAX_LISTED = 10_000;

/** What EC2 shows as the volume of a snapshot that was copied or uploaded. */
export const NO_VOLUME = "vol-ffffffff";
/** Sets of which the devices are kept. */
const MAX_SETS = 1000;

export interface SearchOptions {
  readonly source: Pick<AwsSource, "findSnapshots" | "findAttachments">;
  readonly signal: AbortSignal;
  readonly isShared: boolean;
  readonly tags: readonly Filter[];
  /** The caller's, where it is known. */
  readonly account: string | undefined;
  /** Told so many snapshots were looked at: 10,000, then twice as many each time. */
  readonly onLooked: (count: number) => void;
}

/** One search for several things; a snapshot is held once. */
export class Search {
  readonly #options: SearchOptions;
  readonly #devices = new Map<string, Attachment>();
  readonly #setDevices = new Map<string, readonly Device[]>();
  #held = new Map<string, Listed>();
  #leftOut = 0;
  #looked = 0;
  #toldAt = 10_000;

  constructor(options: SearchOptions) {
    this.#options = options;
  }

  /** Newest first. */
  snapshots(): readonly Listed[] {
    this.#trim();
    return this.#sorted();
  }

  /** Older ones that were found and are not held. */
  get leftOut(): number {
    return this.#leftOut;
  }

  get isShared(): boolean {
    return this.#options.isShared;
  }

  /** Devices and volumes of the instance when a set was made, as its tags tell. */
  devicesOfSet(setId: string): readonly Device[] {
    return this.#setDevices.get(setId) ?? [];
  }

  /** Volumes that an instance has, as far as was asked and told. */
  devicesOfInstance(instance: string): readonly Device[] {
    return [...this.#devices.values()].filter(({ instanceId }) => instanceId === instance);
  }

  deviceOf(volumeId: string | undefined): Attachment | undefined {
    return volumeId === undefined ? undefined : this.#devices.get(volumeId);
  }

  /** Throws `access` where EC2 does not show snapshots; `source`. */
  async find(wanted: Wanted): Promise<Outcome> {
    if (wanted.kind === "instance") return await this.#findInstance(wanted);
    const count = wanted.kind === "all"
      ? await this.#take({ among: this.#among })
      : wanted.kind === "snapshot"
      ? await this.#findOne(wanted.id)
      : await this.#findVolume(wanted.id);
    return { wanted, count, instance: undefined, volumes: new Set() };
  }

  /** Learns where these volumes, and those of what was found, are attached; the refusal where that is not told. */
  async findDevices(asked: readonly string[]): Promise<AttachmentAnswer | undefined> {
    const { source, signal } = this.#options;
    const own = this.snapshots().filter(({ relation }) => relation === "own");
    const volumes = new Set([...asked, ...own.map(({ volumeId }) => volumeId ?? NO_VOLUME)]);
    const open = [...volumes].filter((id) => isVolumeId(id) && id !== NO_VOLUME && !this.#devices.has(id));
    for (const some of chunks(open)) {
      const answer = await source.findAttachments({ volumes: some }, { signal });
      if (answer.result !== "received") return answer;
      this.#learn(answer.attachments);
    }
    return undefined;
  }

  /** Whether any of the caller's snapshots has the tag key. */
  async hasTagKey(key: string): Promise<boolean> {
    const { source, signal } = this.#options;
    const filters = [{ name: "tag-key", values: [key] }];
    for await (const _ of source.findSnapshots({ among: this.#among, filters }, { signal })) return true;
    return false;
  }

  get #among(): "own" | "restorable" {
    return this.#options.isShared ? "restorable" : "own";
  }

  async #findOne(id: string): Promise<number> {
    const { source, signal, account } = this.#options;
    if (!isSnapshotId(id)) return 0;
    for await (const [found] of source.findSnapshots({ among: "any", snapshot: id }, { signal })) {
      if (found?.id !== id) continue;
      const isOwn = found.ownerAccount === account;
      const relation = account === undefined || !isOwn ? await this.#relation(id) : "own";
      this.#hold(found, { relation, foundBy: undefined });
      return 1;
    }
    return 0;
  }

  /** Of another account's snapshot, or where the caller's account is not known. */
  async #relation(id: string & FoundSnapshot["id"]): Promise<Listed["relation"]> {
    const { source, signal, account } = this.#options;
    const isAmong = async (among: SnapshotQuery["among"]) => {
      for await (const [one] of source.findSnapshots({ among, snapshot: id }, { signal })) {
        if (one?.id === id) return true;
      }
      return false;
    };
    if (account === undefined && await isAmong("own")) return "own";
    return await isAmong("restorable") ? "shared" : "other";
  }

  async #findVolume(id: string): Promise<number> {
    const byVolume = await this.#takeOfVolumes([id], undefined);
    const named = await this.#takeNaming(id, byVolume === 0);
    return byVolume + named.count;
  }

  async #findInstance(wanted: Wanted & { readonly id: string }): Promise<Outcome> {
    const { source, signal, isShared } = this.#options;
    // Another account's instances are shown to nobody else.
    const instance = isShared ? undefined : await source.findAttachments({ instance: wanted.id }, { signal });
    const attachments = instance?.attachments ?? [];
    this.#learn(attachments);
    const volumes = [...new Set(attachments.map(({ volumeId }) => volumeId))];
    let count = await this.#takeOfVolumes(volumes, undefined);
    const named = await this.#takeNaming(wanted.id, volumes.length === 0);
    count += named.count;
    // Whatever volume a snapshot says was the instance's: its other snapshots are of the instance, too.
    const others = [...named.volumes].filter((id) => !volumes.includes(id));
    count += await this.#takeOfVolumes(others, `it is of the same volume as one that names ${wanted.id}`);
    return { wanted, count, instance, volumes: new Set([...volumes, ...others]) };
  }

  async #takeOfVolumes(volumes: readonly string[], foundBy: string | undefined): Promise<number> {
    let count = 0;
    for (const some of chunks(volumes)) {
      const query = { among: this.#among, filters: [{ name: "volume-id", values: some }] };
      count += await this.#take(query, (found) => some.includes(found.volumeId ?? "") ? foundBy : null);
    }
    return count;
  }

  /** Snapshots whose text names the id: by EC2's filter in the description, or, all looked at, in any tag's value, too. */
  async #takeNaming(id: string, looksAtAll: boolean): Promise<{ count: number; volumes: Set<string> }> {
    const volumes = new Set<string>();
    const naming = (found: FoundSnapshot) => {
      const where = whereNamed(found, id);
      if (where === undefined || found.volumeId === id) return null;
      const isKept = isVolumeId(found.volumeId) && found.volumeId !== NO_VOLUME && volumes.size < MAX_LISTED;
      if (isKept) volumes.add(found.volumeId!);
      return `${where} names ${id}`;
    };
    const filters = looksAtAll ? [] : [{ name: "description", values: [`*${id}*`] }];
    return { count: await this.#take({ among: this.#among, filters }, naming), volumes };
  }

  /** Holds what `choose` takes: it says why, or null for what it leaves. Returns how many, known ones too. */
  async #take(
    query: SnapshotQuery,
    choose: (found: FoundSnapshot) => string | undefined | null = () => undefined,
  ): Promise<number> {
    const { source, signal, tags, isShared, account } = this.#options;
    const filters = [...query.filters ?? [], ...tags];
    let count = 0;
    for await (const page of source.findSnapshots({ ...query, filters }, { signal })) {
      this.#noteLooked(page.length);
      for (const found of page) {
        // Some servers know no owners; and own ones are among those that the caller may restore.
        const isOwn = account === undefined ? !isShared : found.ownerAccount === account;
        const foundBy = isOwn === isShared ? null : choose(found);
        if (foundBy === null) continue;
        this.#hold(found, { relation: isOwn ? "own" : "shared", foundBy });
        count++;
      }
    }
    return count;
  }

  #noteLooked(count: number): void {
    this.#looked += count;
    if (this.#looked < this.#toldAt) return;
    this.#options.onLooked(this.#looked);
    this.#toldAt = 2 * this.#looked;
  }

  #hold({ tags, ...found }: FoundSnapshot, why: Pick<Listed, "relation" | "foundBy">): void {
    if (this.#held.has(found.id)) return;
    const setId = tags[SET_TAG] || undefined;
    this.#held.set(found.id, { ...found, ...why, name: tags["Name"], setId });
    const isNewSet = setId !== undefined && !this.#setDevices.has(setId);
    if (isNewSet && this.#setDevices.size < MAX_SETS) this.#setDevices.set(setId, devicesOf(tags));
    if (this.#held.size >= 2 * MAX_LISTED) this.#trim();
  }

  #sorted(): Listed[] {
    return [...this.#held.values()].sort(newestFirst);
  }

  /** Lets go of all but the newest. */
  #trim(): void {
    if (this.#held.size <= MAX_LISTED) return;
    this.#leftOut += this.#held.size - MAX_LISTED;
    this.#held = new Map(this.#sorted().slice(0, MAX_LISTED).map((one) => [one.id, one]));
  }

  #learn(attachments: readonly Attachment[]): void {
    for (const attachment of attachments) this.#devices.set(attachment.volumeId, attachment);
  }
}

/** Where a snapshot's own texts name the id: `its description`, `its tag KEY`. Not as the beginning of a longer id. */
function whereNamed({ description, tags }: FoundSnapshot, id: string): string | undefined {
  const names = new RegExp(`(?<![0-9A-Za-z-])${id}(?![0-9A-Za-z])`);
  if (description !== undefined && names.test(description)) return "its description";
  const tag = Object.entries(tags).find(([, value]) => names.test(value));
  return tag && `its tag ${tag[0]}`;
}

function newestFirst(a: Listed, b: Listed): number {
  const [first, second] = [a.startedAt ?? "", b.startedAt ?? ""];
  if (first !== second) return first < second ? 1 : -1;
  return a.id < b.id ? -1 : 1;
}

function chunks(values: readonly string[]): string[][] {
  const chunks: string[][] = [];
  for (let at = 0; at < values.length; at += MAX_FILTER_VALUES) {
    chunks.push(values.slice(at, at + MAX_FILTER_VALUES));
  }
  return chunks;
}
