/**
 * What the simulator's tests start from: images with known blocks in a temporary folder, and requests signed by
 * the AWS SDK's own signer, an implementation that no one here wrote.
 */
import { SignatureV4 } from "@smithy/signature-v4";
import { createHash, createHmac } from "node:crypto";
import type { CredentialSet, Simulator } from "../../src/simulate/mod.ts";

export const SNAPSHOT = "snap-0123456789abcdef0";
export const LATER = "snap-0123456789abcdef1";
export const BLOCK = 512;

export const KEYS = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
} satisfies CredentialSet;

/** Runs `body` with a folder that is removed afterwards. */
export async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "coldcase-simulate-" });
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** An image of `blockCount` blocks, zero but for those of `fills`: index to the byte that fills the block. */
export function writeImage(
  path: string,
  image: {
    readonly blockCount: number;
    readonly fills: Readonly<Record<number, number>>;
    readonly blockSize?: number;
  },
): void {
  const blockSize = image.blockSize ?? BLOCK;
  const file = Deno.openSync(path, { write: true, create: true, truncate: true });
  try {
    file.truncateSync(image.blockCount * blockSize);
    for (const [index, byte] of Object.entries(image.fills)) {
      file.seekSync(Number(index) * blockSize, Deno.SeekMode.Start);
      file.writeSync(new Uint8Array(blockSize).fill(byte));
    }
  } finally {
    file.close();
  }
}

export interface TestRequest {
  readonly method?: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly service?: string;
  readonly region?: string;
  readonly keys?: CredentialSet;
  /** When it is signed; default: the simulator's time. */
  readonly signedAtMs?: number;
  /** What a man in the middle does to the signed headers. */
  readonly tamper?: (headers: Record<string, string>) => void;
  readonly signal?: AbortSignal;
}

/** Headers of a request as the SDK's signer makes them. */
export async function signedHeaders(
  simulator: Simulator,
  request: TestRequest,
): Promise<Record<string, string>> {
  const signer = new SignatureV4({
    service: request.service ?? "ebs",
    region: request.region ?? simulator.region,
    credentials: { ...KEYS, ...request.keys } as CredentialSet & { sessionToken: string },
    sha256: Sha256,
  });
  const signed = await signer.sign({
    method: request.method ?? "GET",
    protocol: "http:",
    hostname: "127.0.0.1",
    port: simulator.port,
    path: request.path,
    query: { ...request.query },
    headers: { host: `127.0.0.1:${simulator.port}`, ...request.headers },
    ...(request.body === undefined ? {} : { body: request.body }),
  }, { signingDate: new Date(request.signedAtMs ?? simulator.clock.nowMs()) });
  return { ...signed.headers };
}

/** Sends a signed request. */
export async function send(simulator: Simulator, request: TestRequest): Promise<Response> {
  const headers = await signedHeaders(simulator, request);
  request.tamper?.(headers);
  const query = Object.entries(request.query ?? {})
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join("&");
  return await fetch(`${simulator.url}${request.path}${query ? `?${query}` : ""}`, {
    method: request.method ?? "GET",
    headers,
    ...(request.body === undefined ? {} : { body: request.body as BodyInit }),
    ...(request.signal ? { signal: request.signal } : {}),
  });
}

/** The error of an answer: status, type and reason. */
export async function errorOf(response: Response): Promise<[number, string | null, string | undefined]> {
  const body = await response.json() as { Reason?: string };
  return [response.status, response.headers.get("x-amzn-errortype"), body.Reason];
}

export interface Page {
  readonly Blocks?: { readonly BlockIndex: number; readonly BlockToken: string }[];
  readonly ChangedBlocks?: {
    readonly BlockIndex: number;
    readonly FirstBlockToken?: string;
    readonly SecondBlockToken?: string;
  }[];
  readonly NextToken?: string;
  readonly ExpiryTime: number;
  readonly VolumeSize: number;
  readonly BlockSize: number;
}

/** One page of a listing; fails where the answer is no 200. */
export async function page(
  simulator: Simulator,
  path: string,
  query: Record<string, string> = {},
): Promise<Page> {
  const response = await send(simulator, { path, query });
  const body = await response.json();
  if (response.status !== 200) {
    throw new Error(`Cannot list ${path}: ${response.status} ${JSON.stringify(body)}`);
  }
  return body;
}

/** All pages. */
export async function pages(
  simulator: Simulator,
  path: string,
  query: Record<string, string> = {},
): Promise<Page[]> {
  const all = [await page(simulator, path, query)];
  for (let next = all[0]!.NextToken; next !== undefined; next = all.at(-1)!.NextToken) {
    all.push(await page(simulator, path, { ...query, pageToken: next }));
  }
  return all;
}

export function sha256Base64(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("base64");
}

/** SHA-256 and HMAC in the form that the signer takes. */
class Sha256 {
  readonly #hash: { update(data: Uint8Array): unknown; digest(): Uint8Array };

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash("sha256") : createHmac("sha256", keyOf(secret));
  }

  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(keyOf(data));
  }

  digest(): Promise<Uint8Array> {
    return Promise.resolve(new Uint8Array(this.#hash.digest()));
  }

  reset(): void {
    throw new Error("Cannot reset a digest: the signer does not ask for it");
  }
}

function keyOf(data: string | ArrayBuffer | ArrayBufferView): Uint8Array {
  if (typeof data === "string") return new TextEncoder().encode(data);
  return data instanceof ArrayBuffer
    ? new Uint8Array(data)
    : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
