/**
 * Added headers, read: which new headers there are for a file, in which file of the store. They are looked for only
 * where a file's own header does not open, and need no trust: a wrong one opens nothing, and what a right one opens is
 * authenticated by its own chunks and by the digest that it must have. So damage and signatures are for `verify` to tell.
 *
 * Kept in memory are the first and last name of each part, and a few parts.
 *
 * @see store-format.md, "Added recipients"
 */
import { isFault, OperatorError } from "../errors.ts";
import {
  type AddedHeader,
  type AddedHeaders,
  decodeHeaders,
  MAX_HEADERS_BYTES,
  salvageHeaders,
} from "../format/headers.ts";
import type { ExhibitId, ObjectName, ObjectStorage } from "../model.ts";
import { readChecked } from "./_checked.ts";
import { EXHIBITS_FOLDER, parseName } from "./_layout.ts";

/** Parts kept: packs are read in the order of their names more often than not. */
const MAX_LOADED = 4;

/** What is known of a part without its headers. */
export interface HeadersPartFacts extends Omit<AddedHeaders, "files"> {
  readonly file: ObjectName;
  readonly fileCount: number;
}

/** A header that was found for a file. */
export interface FoundHeader extends AddedHeader {
  /** Where it stands. */
  readonly headersFile: ObjectName;
  /** Whom it is for; empty where the part is damaged, and nobody knows. */
  readonly recipients: readonly string[];
  /** The part that it stands in is. */
  readonly isDamaged: boolean;
}

interface Part {
  readonly file: ObjectName;
  /** `undefined`: damaged. */
  readonly facts: HeadersPartFacts | undefined;
  readonly firstName: ObjectName;
  readonly lastName: ObjectName;
}

type Loaded = ReadonlyMap<ObjectName, AddedHeader>;

export class HeadersReader {
  readonly #storage: ObjectStorage;
  readonly #loaded = new Map<ObjectName, Loaded>();
  #parts: Promise<readonly Part[]> | undefined;

  constructor(storage: ObjectStorage) {
    this.#storage = storage;
  }

  /** What is known of the sound parts, in the order of their names. */
  async parts(): Promise<HeadersPartFacts[]> {
    return (await this.#all()).map(({ facts }) => facts).filter((facts) => facts !== undefined);
  }

  /** Names of the damaged ones. */
  async damaged(): Promise<ObjectName[]> {
    return (await this.#all()).filter(({ facts }) => facts === undefined).map(({ file }) => file);
  }

  /** Every header that the store has for a file, whatever the exhibit: files are shared. */
  async of(name: ObjectName): Promise<FoundHeader[]> {
    const found: FoundHeader[] = [];
    for (const part of await this.#all()) {
      if (name < part.firstName || name > part.lastName) continue;
      const header = (await this.#load(part.file)).get(name);
      const { file: headersFile, facts } = part;
      const recipients = facts?.recipients ?? [];
      if (header) found.push({ ...header, headersFile, recipients, isDamaged: facts === undefined });
    }
    return found;
  }

  #all(): Promise<readonly Part[]> {
    return this.#parts ??= this.#findParts();
  }

  async #findParts(): Promise<Part[]> {
    const parts: Part[] = [];
    for await (const { name } of this.#storage.list(`${EXHIBITS_FOLDER}/`)) {
      if (parseName(name)?.kind !== "headers") continue;
      const { facts, names } = await this.#read(name);
      // Of a part without one whole line no name is between these.
      parts.push({ file: name, facts, firstName: names[0] ?? "~", lastName: names.at(-1) ?? "" });
    }
    return parts;
  }

  async #load(file: ObjectName): Promise<Loaded> {
    return this.#loaded.get(file) ?? (await this.#read(file)).byName;
  }

  async #read(file: ObjectName) {
    const { facts, files } = await readPart(this.#storage, file);
    const byName: Loaded = new Map(files.map((one) => [one.name, one]));
    if (this.#loaded.size >= MAX_LOADED) this.#loaded.delete(this.#loaded.keys().next().value!);
    this.#loaded.set(file, byName);
    return { facts, byName, names: [...byName.keys()].sort() };
  }
}

/** A damaged part gives the lines that are whole. */
async function readPart(
  storage: ObjectStorage,
  file: ObjectName,
): Promise<{ readonly facts: HeadersPartFacts | undefined; readonly files: readonly AddedHeader[] }> {
  try {
    const { files, ...facts } = await readHeaders(storage, file);
    return { facts: { ...facts, file, fileCount: files.length }, files };
  } catch (error) {
    if (!isFault(error) || !await storage.stat(file)) throw error;
    const bytes = await storage.read(file, { offset: 0, length: MAX_HEADERS_BYTES });
    return { facts: undefined, files: salvageHeaders(bytes).files };
  }
}

/** A part, whole and what its name says. Throws `integrity`, `format`. */
export async function readHeaders(storage: ObjectStorage, file: ObjectName): Promise<AddedHeaders> {
  const headers = decodeHeaders(await readChecked(storage, file, MAX_HEADERS_BYTES), `"${file}"`);
  if (headers.exhibit === parseName(file)?.exhibit) return headers;
  throw new OperatorError("integrity", `Cannot accept "${file}": it is of another exhibit`, {
    facts: { file },
  });
}

/** Names of the headers files of an exhibit. */
export async function headersFiles(storage: ObjectStorage, exhibit: ExhibitId): Promise<ObjectName[]> {
  const files: ObjectName[] = [];
  for await (const { name } of storage.list(`${EXHIBITS_FOLDER}/${exhibit}/`)) {
    if (parseName(name)?.kind === "headers") files.push(name);
  }
  return files;
}
