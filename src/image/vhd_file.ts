/**
 * A fixed VHD as a file: its name, and reading it back: the footer (vhd_format.ts) is checked, the bytes before it are
 * the image. What writes one is container.ts.
 */
import type { Disk, DiskFile } from "../model.ts";
import { FOOTER_BYTES, isVhdFooter, parseVhdFooter } from "./vhd_format.ts";

/** `disk.vhd` for `disk` and for `disk.vhd`: Windows attaches no file that is called otherwise. */
export function vhdPath(path: string): string {
  return /\.vhd$/i.test(path) ? path : `${path}.vhd`;
}

/** The disk in the file `path`; `undefined` where it is no VHD. Throws `format` for a VHD that is not sound. */
export function openVhd(
  disk: Disk,
  path: string,
): { readonly file: DiskFile; readonly sizeBytes: number } | undefined {
  const file = disk.open(path, "read");
  try {
    const sizeBytes = file.sizeBytes();
    const footer = new Uint8Array(FOOTER_BYTES);
    const count = sizeBytes < FOOTER_BYTES ? 0 : file.read(footer, sizeBytes - FOOTER_BYTES);
    if (count === FOOTER_BYTES && isVhdFooter(footer)) {
      return { file, sizeBytes: parseVhdFooter(footer, { path, sizeBytes }) };
    }
  } catch (error) {
    file.close();
    throw error;
  }
  file.close();
  return undefined;
}
