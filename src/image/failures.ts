/**
 * What a file system or device says, turned into what an operator can act on. The only place of `image`
 * that knows the platform's error codes. It never decides whether to go on: that is the caller's.
 */
import { type ErrorDetails, messageOf, OperatorError } from "../errors.ts";

/** Error codes that mean: no room, on the disk or in the user's quota. */
const NO_ROOM = ["ENOSPC", "EDQUOT"];
/** Deno's own errors carry Linux's number in their text only. */
const CODE_OF_NUMBER: Readonly<Record<string, string>> = {
  "5": "EIO",
  "27": "EFBIG",
  "28": "ENOSPC",
  "122": "EDQUOT",
};
const NOT_ALLOWED = ["EACCES", "EPERM", "EROFS"];

/** The platform's code ("ENOSPC"), or the error's name where it carries none. */
export function platformCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if ("code" in error && typeof error.code === "string") return error.code;
  if (error instanceof Deno.errors.PermissionDenied) return "EACCES";
  if (error instanceof Deno.errors.BrokenPipe) return "EPIPE";
  if (error instanceof Deno.errors.NotFound) return "ENOENT";
  const number = /os error (\d+)/.exec(error.message)?.[1];
  return number === undefined ? undefined : CODE_OF_NUMBER[number];
}

/** The reader of what we write went away: `head`, a pager, a tool that has seen enough. */
export function isClosedPipe(error: unknown): boolean {
  return platformCode(error) === "EPIPE";
}

/** Deno itself refuses, not the system: devices and `/proc` need all of its permissions. */
export function isNotCapable(error: unknown): boolean {
  return error instanceof Deno.errors.NotCapable;
}

/**
 * An `OperatorError` for `error`, which came from `action` ("write image", "make image durable") on `path`;
 * code `storage`, or `usage` where only the program's own permissions are missing. An `OperatorError` is
 * passed through.
 */
export function diskFailure(action: string, path: string, error: unknown): OperatorError {
  if (error instanceof OperatorError) return error;
  const code = platformCode(error);
  const facts = { path, ...(code === undefined ? {} : { platformCode: code }) };
  const message = `Cannot ${action} "${path}": ${messageOf(error)}`;
  const make = (kind: "storage" | "usage", hints: string[]): OperatorError => {
    const details: ErrorDetails = { hints, facts, cause: error };
    return new OperatorError(kind, message, details);
  };
  if (isNotCapable(error)) {
    return make("usage", [
      "Devices need more permissions than coldcase has: `coldcase export … -o - | dd of=DEVICE bs=4M conv=fsync` as a user who may write to the device,",
      "or, from its source, `deno run --allow-all main.ts export … -o DEVICE`.",
    ]);
  }
  if (code !== undefined && NO_ROOM.includes(code)) {
    return make("storage", ["Make room there, or name a target with more, and run the same command again."]);
  }
  if (code === "EFBIG") {
    return make("storage", [
      "The file system there holds no file of this size (ext4 holds 16 TiB): name a target on another, such as XFS.",
    ]);
  }
  if (code !== undefined && NOT_ALLOWED.includes(code)) {
    return make("storage", ["Name a target that this user may write to."]);
  }
  return make("storage", ["Check the disk, then run the same command again."]);
}
