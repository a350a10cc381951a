/**
 * An exported image as one age file, encrypted on the way out: to stdout or to a file that is new. Nothing plain touches the
 * disk, so there is no log or map beside it, and what was broken off is not taken up again.
 */
import { dirname, resolve } from "@std/path";
import { AGE_NONCE_BYTES, AgeWriter, type Recipients } from "../cipher_age.ts";
import { ClosedOutput, type CommandContext } from "../cli/mod.ts";
import { messageOf, OperatorError } from "../errors.ts";
import type { RawTarget } from "../image/mod.ts";

export interface AgeOutput {
  /** Takes the image, plain. */
  readonly target: RawTarget;
  /** Of the age file; `undefined`: stdout. */
  readonly path: string | undefined;
  /** After the image's last byte. The file is there, whole and durable, when it returns. */
  finish(): Promise<void>;
  /** Leaves nothing. */
  abandon(): void;
}

/** Where ciphertext goes. */
interface Ciphertext {
  readonly path: string | undefined;
  write(bytes: Uint8Array): Promise<void>;
  finish(): Promise<void>;
  abandon(): void;
}

/** Throws `usage` for a terminal, a device, and a file that is there unless it may be replaced; `storage`. */
export async function ageOutput(
  context: CommandContext,
  how: { readonly recipients: Recipients; readonly output: string; readonly overwrite: boolean },
): Promise<AgeOutput> {
  const { world } = context;
  const output = how.output === "-"
    ? standardOutput(context)
    : newFile(context, resolve(how.output), how.overwrite);
  const writer = new AgeWriter(await how.recipients.newHeader(), world.randomness.bytes(AGE_NONCE_BYTES));
  return {
    path: output.path,
    abandon: () => output.abandon(),
    async finish() {
      for (const piece of writer.finish()) await output.write(piece);
      await output.finish();
    },
    target: {
      kind: "stream",
      stream: {
        async write(bytes) {
          for (const piece of writer.push(bytes)) await output.write(piece);
          return bytes.length;
        },
      },
    },
  };
}

function standardOutput({ out }: CommandContext): Ciphertext {
  const write = out.openBinary();
  return {
    path: undefined,
    async write(bytes) {
      try {
        await write(bytes);
      } catch (error) {
        // Nobody reads on (`| head`): the export ends quietly (a broken pipe is success).
        if (error instanceof ClosedOutput) throw new Deno.errors.BrokenPipe(error.message);
        throw error;
      }
    },
    finish: () => Promise.resolve(),
    abandon: () => undefined,
  };
}

/** A file that has its name only when it is whole. */
function newFile({ world: { disk } }: CommandContext, path: string, overwrite: boolean): Ciphertext {
  const refuse = (state: string, hint: string) =>
    new OperatorError("usage", `Cannot export to "${path}": ${state}`, { hints: [hint] });
  const kind = disk.stat(path)?.kind;
  if (kind !== undefined && kind !== "file") {
    throw refuse(
      `it is a ${kind}, and an encrypted image goes to a file or to stdout`,
      "Name a file that is not there yet.",
    );
  }
  if (kind === "file" && !overwrite) throw refuse("there is a file of that name", "--overwrite replaces it.");
  const partial = `${path}.encrypting`;
  const onDisk = <T>(action: () => T): T => {
    try {
      return action();
    } catch (error) {
      throw new OperatorError("storage", `Cannot write "${partial}": ${messageOf(error)}`, { cause: error });
    }
  };
  const file = onDisk(() => {
    if (disk.stat(partial)?.kind === "file") disk.remove(partial); // of an export that was killed: no use to anybody
    return disk.open(partial, "create");
  });
  let writtenBytes = 0;
  let isOpen = true;
  const close = () => {
    if (isOpen) file.close();
    isOpen = false;
  };
  return {
    path,
    write(bytes) {
      onDisk(() => file.write(bytes, writtenBytes));
      writtenBytes += bytes.length;
      return Promise.resolve();
    },
    async finish() {
      await file.sync().catch((error: unknown) =>
        onDisk(() => {
          throw error;
        })
      );
      close();
      onDisk(() => disk.rename(partial, path));
      await disk.syncDirectory(dirname(path));
    },
    abandon() {
      close();
      if (disk.stat(partial)?.kind === "file") disk.remove(partial);
    },
  };
}
