/**
 * A signing key for tests, made anew in each process in a folder that is gone at once: no test writes into the
 * configuration of whoever runs it.
 */
import { makeKeyFile, openSigningKey, type SigningKey } from "../src/keys.ts";
import { realWorld } from "../src/world.ts";

async function freshKey(): Promise<SigningKey> {
  const folder = await Deno.makeTempDir({ prefix: "coldcase-key-" });
  try {
    const path = `${folder}/key`;
    await makeKeyFile(realWorld(), path);
    return (await openSigningKey(realWorld(), { source: path })).key;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

export const TEST_KEY: SigningKey = await freshKey();
