/**
 * Servers that no one here wrote: started on a free port, waited for until they listen, ended with the test.
 */
import { coldcase, type Ended } from "./program.ts";

export function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

/** Runs `body` while `command` serves on `port`. */
export async function withServer(
  command: Deno.Command,
  port: number,
  body: (url: string) => Promise<void>,
): Promise<void> {
  const child = command.spawn();
  let isAlive = true;
  const ended = child.status.then(() => isAlive = false);
  try {
    while (isAlive && !await isListening(port)) await new Promise((resolve) => setTimeout(resolve, 20));
    if (!isAlive) throw new Error("Cannot test: the server ended before it listened");
    await body(`http://127.0.0.1:${port}`);
  } finally {
    if (isAlive) child.kill("SIGTERM");
    await ended;
  }
}

async function isListening(port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return false;
    throw error;
  }
}

/** Runs the program with keys and `url` as its endpoint, its store in `folder`. */
export function coldcaseAt(url: string, folder: string, args: readonly string[]): Promise<Ended> {
  return coldcase(args, {
    env: {
      AWS_ENDPOINT_URL: url,
      AWS_REGION: "eu-central-1",
      AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE",
      AWS_SECRET_ACCESS_KEY: "example",
      AWS_EC2_METADATA_DISABLED: "true",
      AWS_CONFIG_FILE: `${folder}/none`,
      AWS_SHARED_CREDENTIALS_FILE: `${folder}/none`,
      COLDCASE_STORE: `${folder}/evidence`,
    },
  });
}

export async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "coldcase-e2e-" });
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
