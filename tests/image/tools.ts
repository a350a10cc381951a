/**
 * The outside tools that the image tests share: starting one, blkid as a second opinion, images to format, loop
 * devices. A loop device needs root and a kernel that lends one; where there is none the test is skipped,
 * also under `.ci/run`: no package can be installed that would help.
 */
import { outside, toolPath } from "../outside.ts";

export const MIB = 1024 * 1024;

/** Standard output of a program. Throws with its standard error where it fails. */
export async function run(program: string, args: string[], input?: string): Promise<string> {
  const child = new Deno.Command(toolPath(program) ?? program, {
    args,
    stdin: input === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  if (input !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(input));
    await writer.close();
  }
  const { success, stdout, stderr } = await child.output();
  const text = new TextDecoder().decode(stdout);
  if (!success) throw new Error(`${program} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}${text}`);
  return text;
}

/** blkid's own probe of an image at an offset: TYPE, LABEL, UUID, … */
export async function blkid(path: string, offset = 0): Promise<Record<string, string>> {
  const text = await run("blkid", ["-p", "-o", "export", "-O", String(offset), path]);
  return Object.fromEntries(
    text.split("\n").filter((line) => line.includes("=")).map((line) => {
      const [name, ...rest] = line.split("=");
      return [name!, rest.join("=").replaceAll("\\ ", " ")];
    }),
  );
}

export function emptyImage(path: string, sizeMib: number): void {
  Deno.writeFileSync(path, new Uint8Array());
  Deno.truncateSync(path, sizeMib * MIB);
}

let hasLoop: boolean | undefined;

/** True where this process may attach a file to a loop device; tried once. */
function canLoop(): boolean {
  const losetup = toolPath("losetup");
  if (losetup === undefined || Deno.uid() !== 0) return false;
  const { success } = new Deno.Command(losetup, { args: ["-f"], stdout: "null", stderr: "null" })
    .outputSync();
  return success;
}

/** `outside()` for a test that also needs a loop device. */
export function outsideWithLoop(name: string, needs: readonly string[], fn: () => Promise<void>): void {
  hasLoop ??= canLoop();
  if (hasLoop) return outside(name, needs, fn);
  // deno-lint-ignore no-console
  console.log(`skipped: ${name}: needs a loop device`);
  Deno.test({ name: `${name} [skipped: needs a loop device]`, ignore: true, fn });
}

/** Runs `body` with a loop device that shows the file `path`. */
export async function withLoop(
  path: string,
  body: (device: string) => Promise<void>,
  args: readonly string[] = [],
): Promise<void> {
  const device = (await run("losetup", ["-f", "--show", ...args, path])).trim();
  try {
    await body(device);
  } finally {
    await run("losetup", ["-d", device]);
  }
}
