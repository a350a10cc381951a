/**
 * A worker thread that makes and writes packs, started by `_packers.ts` only. It builds its own real disk, as `main.ts`
 * does for the main thread; packs are all that it writes, at the paths that it is given.
 */
/// <reference lib="webworker" />
import { realDisk } from "../world.ts";
import { guardedDisk } from "./_guard.ts";
import { type ClosedPack, PackFile } from "./_pack_file.ts";
import { type PackerAnswer, type PackerRequest, tellError } from "./_packers.ts";

let disk = realDisk;
const files = new Map<number, PackFile>();

function fileOf(pack: number): PackFile {
  const file = files.get(pack);
  if (!file) throw new Error(`no pack ${pack} was started`);
  return file;
}

async function resultOf(
  request: Extract<PackerRequest, { readonly number: number }>,
): Promise<number | ClosedPack> {
  const { pack } = request;
  switch (request.type) {
    case "start":
      files.set(pack, new PackFile(disk, request.place));
      return 0;
    case "add":
      return fileOf(pack).add(request.block);
    case "close": {
      const closed = await fileOf(pack).close();
      files.delete(pack);
      return closed;
    }
  }
}

self.onmessage = async ({ data: request }: MessageEvent<PackerRequest>) => {
  if (request.type === "root") disk = guardedDisk(realDisk, request.root);
  else if (request.type === "abandon") {
    files.get(request.pack)?.abandon();
    files.delete(request.pack);
  } else {
    const { number } = request;
    const answer: PackerAnswer = await resultOf(request).then(
      (result) => ({ number, result }),
      (error) => ({ number, failure: tellError(error) }),
    );
    self.postMessage(answer);
  }
};
