/**
 * Verifies the added headers of an exhibit: each part is what its name says, whole, of this exhibit and signed, and the
 * files that it names are there, if the inventory names them too. Whether a header opens its file only they can tell for whom it is: reading does.
 * In a damaged part, whoever can open the files learns which headers the damage hit.
 *
 * @see store-format.md, "Added recipients", "Verification"
 */
import { hasMacOf } from "../cipher_age.ts";
import { isFault, OperatorError } from "../errors.ts";
import { MAX_HEADERS_BYTES, salvageHeaders } from "../format/headers.ts";
import type { ObjectName, ObjectStorage } from "../model.ts";
import { readChecked } from "./_checked.ts";
import type { Contents } from "./_contents.ts";
import { headersFiles, readHeaders } from "./_headers.ts";
import { parseName } from "./_layout.ts";
import type { OuterExhibit } from "./_outer.ts";
import { checkSignatures } from "./_signatures.ts";

interface Files {
  readonly storage: ObjectStorage;
  readonly contents: Contents;
}

/** Told of each thing that is wrong with a headers file. */
type Refuse = (fault: { readonly file: ObjectName; readonly message: string }) => void;

export async function checkHeaders(files: Files, exhibit: OuterExhibit, refuse: Refuse): Promise<void> {
  for (const file of await headersFiles(files.storage, exhibit.id)) {
    try {
      await checkPart(files, { exhibit, file }, refuse);
    } catch (error) {
      if (!isFault(error)) throw error;
      refuse({ file, message: error.message });
      await locateDamage(files, file, refuse);
    }
  }
}

async function checkPart(
  { storage }: Files,
  { exhibit, file }: { readonly exhibit: OuterExhibit; readonly file: ObjectName },
  refuse: Refuse,
): Promise<void> {
  const headers = await readHeaders(storage, file);
  if (headers.commitment !== exhibit.inventory.commitment) {
    refuse({ file, message: `"${file}": its commitment is not that of "${exhibit.inventoryFile}"` });
  }
  const bytes = await readChecked(storage, file, MAX_HEADERS_BYTES);
  const { held, faults } = await checkSignatures(storage, {
    name: file,
    bytes,
    namespace: "coldcase-headers@v1",
  });
  for (const fault of faults) refuse({ file, message: fault.message });
  if (held.length + faults.length === 0) {
    refuse({ file, message: `Cannot accept "${file}": it has no signature` });
  }
  const needed = new Set(exhibit.inventory.files.map(({ name }) => name));
  for (const { name, offsetBytes } of headers.files) {
    // A pack that was set aside when the exhibit was repaired has its header still.
    if (!needed.has(name) && !await storage.stat(name)) continue;
    const fault = await faultOfPlace(storage, { name, offsetBytes });
    if (fault !== undefined) refuse({ file, message: `"${file}" has a header for "${name}", ${fault}` });
  }
}

async function faultOfPlace(
  storage: ObjectStorage,
  { name, offsetBytes }: { readonly name: ObjectName; readonly offsetBytes: number },
): Promise<string | undefined> {
  if (!parseName(name)?.isEncrypted) return "which is no age file of a store";
  const stat = await storage.stat(name);
  if (!stat) return "which is missing";
  return stat.sizeBytes > offsetBytes ? undefined : `which has no byte ${offsetBytes}`;
}

/** Which lines of a damaged part are no headers of their files any more, as far as this reader can tell. */
async function locateDamage({ storage, contents }: Files, file: ObjectName, refuse: Refuse): Promise<void> {
  if (!await storage.stat(file)) return;
  const { files, lostLines } = salvageHeaders(
    await storage.read(file, { offset: 0, length: MAX_HEADERS_BYTES }),
  );
  for (const line of lostLines) refuse({ file, message: `"${file}": line ${line} is damaged` });
  if (!contents.isReadable) return;
  for (const { line, name, header } of files) {
    const isSound = await isHeaderOf(contents, name, header);
    if (!isSound) refuse({ file, message: `"${file}": line ${line}, the header of "${name}", is damaged` });
  }
}

/** True also where the file itself can't be opened: that is not the header's fault. */
async function isHeaderOf(contents: Contents, name: ObjectName, header: Uint8Array): Promise<boolean> {
  try {
    const { reader, fileKey } = await contents.openFile(name);
    reader.close();
    return hasMacOf(header, fileKey);
  } catch (error) {
    const isOfFile = isFault(error) || error instanceof OperatorError && error.code === "identity";
    if (!isOfFile) throw error;
    return true;
  }
}
