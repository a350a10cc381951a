/**
 * Block tokens and page tokens: opaque to clients, different for every listing, bound to what they were given
 * out for, and mortal (7 days and 60 minutes on the simulator's clock).
 *
 * A page of 10,000 block tokens must cost little, so a page has one key, HMAC-SHA-256 of the simulator's secret
 * over (snapshot, nonce, expiry), and a token is one AES block of (index, fixed text) under it: whoever changes a
 * bit of the index, of the expiry or of the snapshot gets garbage where the fixed text should be.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { Buffer } from "node:buffer";

export const BLOCK_TOKEN_LIFE_MS = 7 * 24 * 3600e3;
export const PAGE_TOKEN_LIFE_MS = 60 * 60e3;

const BLOCK_KIND = 0x01;
const PAGE_KIND = 0x02;
/** Kind, nonce (8), expiry in ms (6), AES block (16). 31 bytes: the Base64 ends in "=", as clients must bear. */
const BLOCK_TOKEN_BYTES = 31;
/** Kind, nonce (8), expiry in ms (6), next index (6), MAC (16). */
const PAGE_TOKEN_BYTES = 37;
/** Fills an AES block behind the index; 96 bits that a forger would have to hit. */
const BLOCK_SEAL = Buffer.from("coldcase-blk");

/** Why a token is refused. */
export type TokenProblem = "malformed" | "foreign" | "expired";

/** What a page token continues. */
export interface PageScope {
  readonly call: string;
  readonly snapshot: string;
  /** The snapshot compared with, for ListChangedBlocks. */
  readonly firstSnapshot?: string | undefined;
}

/** Makes and opens the tokens of one endpoint. */
export class TokenMint {
  readonly #secret: Uint8Array;

  /** Endpoints with one secret honour each other's tokens. */
  constructor(secret: Uint8Array = randomBytes(32)) {
    this.#secret = secret;
  }

  /** One token for each of `indexes`, in their order. */
  blockTokens(
    facts: { readonly snapshot: string; readonly expiresAtMs: number },
    indexes: readonly number[],
  ): string[] {
    const head = tokenHead(BLOCK_KIND, facts.expiresAtMs);
    const plain = Buffer.alloc(indexes.length * 16);
    indexes.forEach((index, position) => {
      plain.writeUInt32BE(index, position * 16);
      BLOCK_SEAL.copy(plain, position * 16 + 4);
    });
    const cipher = createCipheriv("aes-256-ecb", this.#pageKey(facts.snapshot, head), null).setAutoPadding(
      false,
    );
    const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
    const token = Buffer.alloc(BLOCK_TOKEN_BYTES);
    head.copy(token);
    return indexes.map((_, position) => {
      sealed.copy(token, 15, position * 16, position * 16 + 16);
      return token.toString("base64");
    });
  }

  /** `undefined`: the token opens this block of this snapshot now. */
  checkBlockToken(
    token: string,
    facts: { readonly snapshot: string; readonly index: number; readonly nowMs: number },
  ): TokenProblem | undefined {
    const bytes = Buffer.from(token, "base64");
    if (bytes.length !== BLOCK_TOKEN_BYTES || bytes[0] !== BLOCK_KIND || bytes.toString("base64") !== token) {
      return "malformed";
    }
    const key = this.#pageKey(facts.snapshot, bytes.subarray(0, 15));
    const decipher = createDecipheriv("aes-256-ecb", key, null).setAutoPadding(false);
    const plain = Buffer.concat([decipher.update(bytes.subarray(15)), decipher.final()]);
    const isOurs = timingSafeEqual(plain.subarray(4), BLOCK_SEAL) && plain.readUInt32BE(0) === facts.index;
    if (!isOurs) return "foreign";
    return bytes.readUIntBE(9, 6) <= facts.nowMs ? "expired" : undefined;
  }

  pageToken(
    scope: PageScope,
    facts: { readonly nextIndex: number; readonly expiresAtMs: number },
  ): string {
    const bytes = Buffer.alloc(PAGE_TOKEN_BYTES);
    tokenHead(PAGE_KIND, facts.expiresAtMs).copy(bytes);
    bytes.writeUIntBE(facts.nextIndex, 15, 6);
    this.#pageMac(scope, bytes.subarray(0, 21)).copy(bytes, 21);
    return bytes.toString("base64");
  }

  /** The index at which the listing goes on. */
  openPageToken(token: string, facts: PageScope & { readonly nowMs: number }): number | TokenProblem {
    const bytes = Buffer.from(token, "base64");
    if (bytes.length !== PAGE_TOKEN_BYTES || bytes[0] !== PAGE_KIND || bytes.toString("base64") !== token) {
      return "malformed";
    }
    if (!timingSafeEqual(this.#pageMac(facts, bytes.subarray(0, 21)), bytes.subarray(21))) return "foreign";
    return bytes.readUIntBE(9, 6) <= facts.nowMs ? "expired" : bytes.readUIntBE(15, 6);
  }

  #pageKey(snapshot: string, head: Uint8Array): Uint8Array {
    return createHmac("sha256", this.#secret).update(`block\n${snapshot}\n`).update(head).digest();
  }

  #pageMac(scope: PageScope, head: Uint8Array): Buffer {
    const text = `page\n${scope.call}\n${scope.firstSnapshot ?? ""}\n${scope.snapshot}\n`;
    return createHmac("sha256", this.#secret).update(text).update(head).digest().subarray(0, 16);
  }
}

function tokenHead(kind: number, expiresAtMs: number): Buffer {
  const head = Buffer.alloc(15);
  head[0] = kind;
  randomBytes(8).copy(head, 1);
  head.writeUIntBE(Math.floor(expiresAtMs), 9, 6);
  return head;
}
