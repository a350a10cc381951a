/**
 * What verification says of a whole store: `coldcase verify` without its words (src/commands/verify.ts), so that
 * thousands of stores can be asked in a second. No assertions.
 */
import { gravestExitCode, OperatorError } from "../../src/errors.ts";
import type { World } from "../../src/model.ts";
import { openStore } from "../../src/store/mod.ts";
import { testWorld } from "./fixtures.ts";

/** One thing that verify tells. */
export interface Said {
  readonly code: string;
  readonly message: string;
  /** As far as it was told apart from the message. */
  readonly file: string | undefined;
  readonly record?: number;
  readonly firstBlock?: number;
}

export interface StoreVerdict {
  readonly exitCode: number;
  readonly said: readonly Said[];
}

function saidBy(error: unknown, code: string): Said {
  if (!(error instanceof OperatorError)) throw error;
  const file = error.facts["file"];
  return { code, message: error.message, file: typeof file === "string" ? file : undefined };
}

/** Verifies all exhibits at the full level, and what stands beside them. A named one that is missing is an error. */
export async function verdictOf(
  path: string,
  options: { readonly exhibit?: string; readonly world?: World } = {},
): Promise<StoreVerdict> {
  const said: Said[] = [];
  const codes: number[] = [];
  const fail = (error: unknown, code: string) => {
    said.push(saidBy(error, code));
    codes.push((error as OperatorError).exitCode);
  };
  let store;
  try {
    store = await openStore(options.world ?? testWorld(), path);
  } catch (error) {
    fail(error, "store_unusable");
    return { exitCode: codes[0]!, said };
  }
  const onFinding = (finding: { code: string; message: string; file: string }) => {
    said.push(finding);
    codes.push(20);
  };
  try {
    const ids = options.exhibit === undefined ? await store.exhibitIds() : [options.exhibit];
    for (const id of ids) {
      try {
        const exhibit = await store.find(id);
        await store.verify(exhibit, { level: "full", signal: new AbortController().signal, onFinding });
        await store.evidence.check(exhibit, { keys: [], onFinding });
      } catch (error) {
        fail(error, "exhibit_unusable");
      }
    }
  } catch (error) {
    fail(error, "store_unusable");
  } finally {
    store.close();
  }
  return { exitCode: gravestExitCode(codes), said };
}

/** Whether something that was said names the file. */
export function names({ said }: StoreVerdict, file: string): boolean {
  return said.some((one) => one.file === file || one.message.includes(`${file}"`));
}
