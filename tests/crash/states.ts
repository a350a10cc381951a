/**
 * What a loss of power may leave of a recorded run, after any of its operations. Durable is what a sync covered;
 * of all else any subset may be there: each write whole, torn at a sector or at a byte, lost, or lost while the
 * file's new size is kept, over zeros or over garbage; each entry of a folder with any of the values that it had
 * since the folder's last sync. One thing only is taken for granted, of which every file system with a journal
 * is sure: a move never takes the old name away without having given the new one, and a folder never has two names.
 */
import { createHash } from "node:crypto";
import type { Below } from "../seeded.ts";
import type { Content } from "./content.ts";
import {
  type Change,
  type EntryChange,
  FileNode,
  FolderNode,
  type Node,
  type Operation,
  setEntry,
} from "./crash_disk.ts";

type FileChange = Extract<Change, { readonly type: "write" | "resize" }>;

interface Waiting<T> {
  readonly change: T;
  readonly operation: number;
}

/** How much of what was not made durable is there. */
export type Leaves = "all" | "nothing" | "all_but_one" | "only_one" | "any";

const SECTOR_BYTES = 512;

/** A run as far as a crash lets it come: the first `position` operations happened. */
export class Timeline {
  position = 0;
  #root: FolderNode;
  readonly #operations: readonly Operation[];
  readonly #contents = new Map<FileNode, Content>();
  readonly #entries = new Map<FolderNode, Map<string, Node>>();
  readonly #fileChanges = new Map<FileNode, Waiting<FileChange>[]>();
  readonly #entryChanges = new Map<FolderNode, Waiting<EntryChange>[]>();

  /**
   * Made before the run, for what is there is durable.
   *
   * @param operations Of the disk: they come to it while it runs.
   */
  constructor(
    { root, operations }: { readonly root: FolderNode; readonly operations: readonly Operation[] },
  ) {
    this.#root = root;
    this.#operations = operations;
    this.#keep(root);
  }

  /** Others of the same run, from its beginning. Asked before this one advances. */
  restart(): () => Timeline {
    const [contents, entries] = [new Map(this.#contents), new Map(this.#entries)];
    return () => {
      const timeline = new Timeline({ root: new FolderNode(), operations: this.#operations });
      timeline.#root = this.#root;
      contents.forEach((content, file) => timeline.#contents.set(file, content));
      entries.forEach((names, folder) => timeline.#entries.set(folder, new Map(names)));
      return timeline;
    };
  }

  #keep(node: Node): void {
    if (node.kind === "file") this.#contents.set(node, node.content.copy());
    else {
      this.#entries.set(node, new Map(node.entries));
      for (const child of node.entries.values()) this.#keep(child);
    }
  }

  /** Lets one more operation happen. */
  advance(): void {
    const { changes } = this.#operations[this.position]!;
    for (const change of changes) {
      if (change.type === "sync") this.#sync(change.node, change.until);
      else if (change.type === "entry") {
        waitingOf(this.#entryChanges, change.folder).push({ change, operation: this.position });
      } else waitingOf(this.#fileChanges, change.file).push({ change, operation: this.position });
    }
    this.position++;
  }

  #sync(node: Node, until: number): void {
    if (node.kind === "file") {
      const waiting = waitingOf(this.#fileChanges, node);
      const covered = waiting.filter(({ operation }) => operation < until);
      const content = this.#contentOf(node).copy();
      for (const { change } of covered) applyWhole(content, change);
      this.#contents.set(node, content);
      this.#fileChanges.set(node, waiting.filter(({ operation }) => operation >= until));
      return;
    }
    const covered = waitingOf(this.#entryChanges, node).filter(({ operation }) => operation < until);
    for (const { change } of covered) this.#settle(change);
  }

  /** Makes one change of an entry durable, and what it is worth nothing without. */
  #settle(change: EntryChange): void {
    if (!waitingOf(this.#entryChanges, change.folder).some((one) => one.change === change)) return;
    if (change.after) this.#settle(change.after);
    if (change.unlink) this.#settleAlone(change.unlink);
    this.#settleAlone(change);
  }

  #settleAlone(change: EntryChange): void {
    const waiting = waitingOf(this.#entryChanges, change.folder);
    const position = waiting.findIndex((one) => one.change === change);
    if (position < 0) return;
    setEntry(change, this.#entriesOf(change.folder));
    const rest = waiting.filter((one, at) => at > position || one.change.name !== change.name);
    this.#entryChanges.set(change.folder, rest);
  }

  #contentOf(file: FileNode): Content {
    let content = this.#contents.get(file);
    if (!content) this.#contents.set(file, content = new FileNode().content);
    return content;
  }

  #entriesOf(folder: FolderNode): Map<string, Node> {
    let entries = this.#entries.get(folder);
    if (!entries) this.#entries.set(folder, entries = new Map());
    return entries;
  }

  /** How many changes are not durable. */
  get waiting(): number {
    const lists = [...this.#entryChanges.values(), ...this.#fileChanges.values()];
    return lists.reduce((sum, list) => sum + list.length, 0);
  }

  /** What could be on the disk after a crash here. */
  state(leaves: Leaves, below: Below): FolderNode {
    const isKept = chooser(leaves, { count: this.waiting, below });
    const kept = new Set<EntryChange>();
    for (const waiting of this.#entryChanges.values()) {
      for (const { change } of waiting) if (isKept()) kept.add(change);
    }
    for (const change of kept) if (change.after && !this.#isThere(change.after, kept)) kept.delete(change);
    for (const change of kept) if (change.unlink) kept.add(change.unlink);
    const files = new Map<FileNode, Content>();
    for (const [file, waiting] of this.#fileChanges) {
      if (waiting.length === 0) continue;
      const content = this.#contentOf(file).copy();
      for (const { change } of waiting) {
        if (isKept()) applyWhole(content, change);
        else if (leaves !== "nothing") applyBroken(content, change, below);
      }
      files.set(file, content);
    }
    return this.#copy(this.#root, { kept, files, made: new Map() }) as FolderNode;
  }

  #isThere(change: EntryChange, kept: ReadonlySet<EntryChange>): boolean {
    return kept.has(change) ||
      !waitingOf(this.#entryChanges, change.folder).some((waiting) => waiting.change === change);
  }

  #copy(
    node: Node,
    state: {
      readonly kept: ReadonlySet<EntryChange>;
      readonly files: ReadonlyMap<FileNode, Content>;
      /** A file may have two names; a folder too, by a move of which half is there. */
      readonly made: Map<Node, Node>;
    },
  ): Node {
    const known = state.made.get(node);
    if (known) return known;
    if (node.kind === "file") {
      const file = new FileNode((state.files.get(node) ?? this.#contentOf(node)).copy());
      state.made.set(node, file);
      return file;
    }
    const folder = new FolderNode();
    state.made.set(node, folder);
    const entries = new Map(this.#entriesOf(node));
    for (const { change } of waitingOf(this.#entryChanges, node)) {
      if (state.kept.has(change)) setEntry(change, entries);
    }
    for (const [name, child] of entries) folder.entries.set(name, this.#copy(child, state));
    return folder;
  }
}

function waitingOf<K, T>(lists: Map<K, Waiting<T>[]>, key: K): Waiting<T>[] {
  let list = lists.get(key);
  if (!list) lists.set(key, list = []);
  return list;
}

function chooser(
  leaves: Leaves,
  { count, below }: { readonly count: number; readonly below: Below },
): () => boolean {
  const odd = below(Math.max(1, count));
  const share = below(101);
  let asked = 0;
  return () => {
    const isOdd = asked++ === odd;
    switch (leaves) {
      case "all":
        return true;
      case "nothing":
        return false;
      case "all_but_one":
        return !isOdd;
      case "only_one":
        return isOdd;
      case "any":
        return below(100) < share;
    }
  };
}

function applyWhole(content: Content, change: FileChange): void {
  if (change.type === "write") content.write(change.bytes, change.offset);
  else content.resize(change.sizeBytes);
}

/** A change that is not wholly there. */
function applyBroken(content: Content, change: FileChange, below: Below): void {
  if (change.type === "resize") return;
  const { bytes, offset } = change;
  const end = offset + bytes.length;
  switch (below(6)) {
    case 0:
      return;
    case 1: // up to some byte
      return content.write(bytes.subarray(0, below(bytes.length + 1)), offset);
    case 2: // some of its sectors, the size with them
      return writeSectors(content, change, below);
    case 3: // the size, and some of its sectors over what was there
      extend(content, end, below);
      return writeSectors(content, change, below);
    case 4: // the size, and its bytes up to one of them
      extend(content, end, below);
      return content.write(bytes.subarray(0, below(bytes.length + 1)), offset);
    default: // the size alone
      return extend(content, end, below);
  }
}

/** A file may have its new size before it has its new bytes: it then shows zeros, or what lay there before. */
function extend(content: Content, sizeBytes: number, below: Below): void {
  const { sizeBytes: before } = content;
  if (sizeBytes <= before) return;
  content.resize(sizeBytes);
  if (below(2) === 0) return;
  content.write(Uint8Array.from({ length: sizeBytes - before }, () => below(256)), before);
}

function writeSectors(
  content: Content,
  { bytes, offset }: { readonly bytes: Uint8Array; readonly offset: number },
  below: Below,
): void {
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + SECTOR_BYTES - (offset + at) % SECTOR_BYTES);
    if (below(2) === 0) content.write(bytes.subarray(at, end), offset + at);
    at = end;
  }
}

/** Equal for disks with the same files: many crashes leave the same. */
export function digestOf(folder: FolderNode): string {
  return createHash("sha1").update(listingOf(folder)).digest("base64");
}

function listingOf(folder: FolderNode): string {
  const names = [...folder.entries.keys()].sort();
  return names.map((name) => {
    const node = folder.entries.get(name)!;
    return `${name}=${node.kind === "file" ? node.content.digest() : `{${listingOf(node)}}`}`;
  }).join(";");
}
