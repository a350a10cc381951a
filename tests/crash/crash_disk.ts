/**
 * A disk in memory that remembers every change in its order, and every sync with what was there when it was asked
 * for: what a loss of power could leave is worked out from that in states.ts. Kinder than a real disk in nothing: names
 * are entries of their folder, apart from the file, and are durable by the folder's sync alone.
 */
import type { Disk, DiskFile, FileStat, OpenMode } from "../../src/model.ts";
import { Content } from "./content.ts";

/** A file, whatever names it has. */
export class FileNode {
  readonly kind = "file";
  readonly content: Content;

  constructor(content = new Content()) {
    this.content = content;
  }
}

export class FolderNode {
  readonly kind = "directory";
  readonly entries = new Map<string, Node>();
}

export type Node = FileNode | FolderNode;

/** One entry of a folder gets another node; `undefined`: none any more. */
export interface EntryChange {
  readonly type: "entry";
  readonly folder: FolderNode;
  readonly name: string;
  readonly node: Node | undefined;
  /** Of the half of a move that takes the old name away: the other half, which comes first. */
  readonly after?: EntryChange;
  /** Of the half of a folder's move that gives it the new name: a folder never has two. */
  readonly unlink?: EntryChange;
}

/** What one operation changes, or makes durable. */
export type Change =
  | { readonly type: "write"; readonly file: FileNode; readonly bytes: Uint8Array; readonly offset: number }
  | { readonly type: "resize"; readonly file: FileNode; readonly sizeBytes: number }
  | EntryChange
  /** All changes of the file, or of the folder's entries, by operations before `until` are durable. */
  | { readonly type: "sync"; readonly node: Node; readonly until: number };

export interface Operation {
  /** For people. */
  readonly text: string;
  readonly changes: readonly Change[];
}

/** No test writes so much: a loop without an end fails here, before it fills the memory. */
const MAX_OPERATIONS = 20_000;

function failure(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}

export class CrashDisk implements Disk {
  readonly root: FolderNode;
  readonly operations: Operation[] = [];
  readonly #locked = new Set<string>();

  /** @param root What is on the disk, durably; it changes. */
  constructor(root = new FolderNode()) {
    this.root = root;
  }

  open(path: string, mode: OpenMode): DiskFile {
    const { folder, name } = this.#place(path);
    let node = folder.entries.get(name);
    if (mode === "create" || mode === "create_private") {
      if (node) throw failure("EEXIST", `file already exists, open '${path}'`);
      node = new FileNode();
      this.#change(`create ${path}`, [{ type: "entry", folder, name, node }]);
    }
    if (!node) throw failure("ENOENT", `no such file or directory, open '${path}'`);
    if (node.kind !== "file") throw failure("EISDIR", `illegal operation on a directory, open '${path}'`);
    return this.#opened(node, { path, isWritable: mode !== "read" });
  }

  rename(from: string, to: string): void {
    const [source, target] = [this.#place(from), this.#place(to)];
    const node = source.folder.entries.get(source.name);
    if (!node) throw failure("ENOENT", `no such file or directory, rename '${from}' -> '${to}'`);
    const there = target.folder.entries.get(target.name);
    if (there?.kind === "directory") throw failure("EISDIR", `is a directory, rename '${from}' -> '${to}'`);
    const link: { -readonly [member in keyof EntryChange]: EntryChange[member] } = {
      type: "entry",
      ...target,
      node,
    };
    const unlink: EntryChange = { type: "entry", ...source, node: undefined, after: link };
    if (node.kind === "directory") link.unlink = unlink;
    this.#change(`rename ${from} to ${to}`, [link, unlink]);
  }

  makeDirectory(path: string): void {
    let folder = this.root;
    for (const name of partsOf(path)) {
      let node = folder.entries.get(name);
      if (node?.kind === "file") throw failure("EEXIST", `file already exists, mkdir '${path}'`);
      if (!node) {
        node = new FolderNode();
        this.#change(`create folder ${name} of ${path}`, [{ type: "entry", folder, name, node }]);
      }
      folder = node;
    }
  }

  list(path: string): string[] {
    return [...this.#folder(path).entries.keys()];
  }

  stat(path: string): FileStat | undefined {
    const node = this.#find(path);
    return node && { kind: node.kind, sizeBytes: node.kind === "file" ? node.content.sizeBytes : 0 };
  }

  remove(path: string): void {
    const { folder, name } = this.#place(path);
    const node = folder.entries.get(name);
    if (!node) throw failure("ENOENT", `no such file or directory, remove '${path}'`);
    if (node.kind === "directory" && node.entries.size > 0) {
      throw failure("ENOTEMPTY", `directory not empty, remove '${path}'`);
    }
    this.#change(`remove ${path}`, [{ type: "entry", folder, name, node: undefined }]);
  }

  async syncDirectory(path: string): Promise<void> {
    await this.#sync(`sync folder ${path}`, this.#folder(path));
  }

  tryLock(path: string): { release(): void } | undefined {
    if (this.#locked.has(path)) return undefined;
    const { folder, name } = this.#place(path);
    if (!folder.entries.has(name)) {
      this.#change(`create ${path}`, [{ type: "entry", folder, name, node: new FileNode() }]);
    }
    this.#locked.add(path);
    return { release: () => void this.#locked.delete(path) };
  }

  freeBytes(): number {
    return 2 ** 40;
  }

  fileSystemType(): string {
    return "ext4";
  }

  /** The folder at `path`; `undefined` where there is none. */
  folderAt(path: string): FolderNode | undefined {
    const node = this.#find(path);
    return node?.kind === "directory" ? node : undefined;
  }

  /** The bytes of a file. */
  bytes(path: string): Uint8Array {
    const node = this.#find(path);
    if (node?.kind !== "file") throw failure("ENOENT", `no such file, '${path}'`);
    return node.content.bytes();
  }

  #opened(node: FileNode, { path, isWritable }: { path: string; isWritable: boolean }): DiskFile {
    let isOpen = true;
    const use = <T>(action: () => T): T => {
      if (!isOpen) throw failure("EBADF", `file is closed, '${path}'`);
      return action();
    };
    const change = (text: string, made: Change) => {
      if (!isWritable) throw failure("EBADF", `file is open for reading, '${path}'`);
      this.#change(`${text} ${path}`, [made]);
    };
    return {
      read: (into, offset) => use(() => node.content.read(into, offset)),
      write: (bytes, offset) =>
        use(() => {
          const made: Change = { type: "write", file: node, bytes: bytes.slice(), offset };
          change(`write ${bytes.length} bytes at ${offset} of`, made);
        }),
      sync: async () => await use(() => this.#sync(`sync ${path}`, node)),
      truncate: (sizeBytes) =>
        use(() => change(`resize to ${sizeBytes} bytes`, { type: "resize", file: node, sizeBytes })),
      sizeBytes: () => use(() => node.content.sizeBytes),
      close: () => use(() => void (isOpen = false)),
    };
  }

  /** What is changed while it is under way may be lost, like all that is changed after it. */
  async #sync(text: string, node: Node): Promise<void> {
    const until = this.operations.length;
    await Promise.resolve();
    this.#note({ text, changes: [{ type: "sync", node, until }] });
  }

  #change(text: string, changes: readonly Change[]): void {
    for (const change of changes) apply(change);
    this.#note({ text, changes });
  }

  #note(operation: Operation): void {
    if (this.operations.length >= MAX_OPERATIONS) throw new Error(`runaway: ${operation.text}`);
    this.operations.push(operation);
  }

  #find(path: string): Node | undefined {
    let node: Node = this.root;
    for (const name of partsOf(path)) {
      const next: Node | undefined = node.kind === "directory" ? node.entries.get(name) : undefined;
      if (!next) return undefined;
      node = next;
    }
    return node;
  }

  #folder(path: string): FolderNode {
    const node = this.#find(path);
    if (node?.kind === "directory") return node;
    throw failure(node ? "ENOTDIR" : "ENOENT", `no such directory, '${path}'`);
  }

  #place(path: string): { readonly folder: FolderNode; readonly name: string } {
    const slash = path.lastIndexOf("/");
    return { folder: this.#folder(path.slice(0, slash)), name: path.slice(slash + 1) };
  }
}

const knownParts = new Map<string, readonly string[]>();

function partsOf(path: string): readonly string[] {
  let parts = knownParts.get(path);
  if (parts) return parts;
  parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (knownParts.size > 20_000) knownParts.clear();
  knownParts.set(path, parts);
  return parts;
}

function apply(change: Change): void {
  if (change.type === "write") change.file.content.write(change.bytes, change.offset);
  else if (change.type === "resize") change.file.content.resize(change.sizeBytes);
  else if (change.type === "entry") setEntry(change);
}

/** In a folder's entries, or in what is durable of them. */
export function setEntry({ folder, name, node }: EntryChange, entries = folder.entries): void {
  if (node) entries.set(name, node);
  else entries.delete(name);
}
