/**
 * What an executable may do, fixed when it is built: its user can't widen it, nor can anything that it reads. Less than
 * this is not enough; what is left out, and what that costs, is said here.
 */

/**
 * - read, write: stores, images, keys lie where the user says.
 * - net: AWS's endpoints are as many as Regions; proxies, time-stamp authorities and simulators have any name.
 * - env: the AWS SDK asks for names that depend on its configuration.
 * - sys: host, user and file system for the record, and what the SDK puts into its user agent; nothing else.
 *
 * Not among them: ffi, import, and run, so nothing in a disk or an answer can make it start a program. A profile's
 * `credential_process` is a shell command, and a permission to run a shell is one to run anything: who needs it builds
 * with `--credential-process`. Block devices, too, ask for more than this: `export -o -` writes them through a pipe.
 */
const PERMISSIONS: readonly string[] = [
  "--no-prompt",
  "--allow-read",
  "--allow-write",
  "--allow-net",
  "--allow-env",
  "--allow-sys=hostname,osRelease,uid,gid,userInfo,statfs,homedir",
];

export function permissions({ credentialProcess }: { readonly credentialProcess: boolean }): string[] {
  return [...PERMISSIONS, ...(credentialProcess ? ["--allow-run=/bin/sh"] : [])];
}

/** The program needs nothing from outside itself: not a configuration beside it, nor a package, nor a module. */
export const ISOLATION: readonly string[] = ["--no-config", "--no-lock", "--no-npm", "--no-remote"];
