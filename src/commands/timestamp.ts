/**
 * `timestamp`: asks a time-stamp authority of the user's choice for an RFC 3161 token over an exhibit's signature
 * file. Optional, never part of an acquisition, and never able to fail one.
 */
import { type CommandContext, defineCommand, STORE_OPTIONS } from "../cli/mod.ts";
import { messageOf, OperatorError } from "../errors.ts";
import { sha256 } from "../format/digests.ts";
import type { decodeTimestampResponse } from "../format/timestamp.ts";
import { CUSTODY_OPTIONS, openKeyIfAny, withCustody } from "./_custody.ts";
import { IDENTITY_OPTIONS, openStoreWith } from "./_identities.ts";

const ANSWER_WITHIN_MS = 30_000;

export const timestamp = defineCommand({
  usage: "EXHIBIT",
  description:
    `Asks a time-stamp authority for a token (RFC 3161) that says when an exhibit's signature existed. Only the SHA-256 of the signature file is sent.

The token lies beside the signature; "openssl ts -verify" checks it, with the authority's certificate. coldcase checks that it is over this signature and answers this request, not the authority's own signature.`,
  options: {
    tsa: { value: "URL", summary: "the time-stamp authority" },
    ...CUSTODY_OPTIONS,
    ...IDENTITY_OPTIONS,
    ...STORE_OPTIONS,
  },
  exitCodes: {
    identity: "nothing given opens the exhibit",
    not_found: true,
    source: "the authority refused or did not answer",
    storage: true,
    integrity: true,
    format: true,
  },
  examples: [
    {
      command: "coldcase timestamp snap-0123456789abcdef0 --tsa http://tsa.example/",
      says: "when it was signed, by a third party",
    },
  ],
  async run(context, { args, options }) {
    const { out } = context;
    const { tsa } = options;
    if (tsa === undefined || !URL.canParse(tsa) || !/^https?:$/.test(new URL(tsa).protocol)) {
      throw new OperatorError("usage", "Cannot ask for a time-stamp: no authority was named", {
        hints: ["Give --tsa URL."],
      });
    }
    const { host, username, password } = new URL(tsa);
    if (username !== "" || password !== "") {
      // The command line is on the record, and every process of the host can see it.
      throw new OperatorError(
        "usage",
        `Cannot ask "${host}": its URL has a user or password, expected none`,
        {
          hints: ["Name an authority that asks for none, or one behind a proxy of yours that adds them."],
        },
      );
    }
    const key = await openKeyIfAny(context, options["sign-key"]);
    const store = await openStoreWith(context, options);
    try {
      return await withCustody(context, { store, key, action: "timestamp", options }, async (note) => {
        const exhibit = await store.find(args[0]);
        note.about(exhibit);
        const { signatureFile } = store.evidence.signatureFiles(exhibit);
        const signature = await store.evidence.signatureBytes(signatureFile);
        const token = await tokenFor(context, tsa, signature);
        const file = await store.evidence.putToken(signatureFile, token.token);
        // Not the file's name: in a plain store that has the manifest's digest in it.
        note.tell("token", sha256(token.token));
        note.tell("time", token.at);
        out.result(
          `${exhibit.id}  ${signatureFile}\n  existed at ${token.at}, says the authority; token in ${file}\n`,
        );
        out.event({
          type: "summary",
          exhibit: exhibit.id,
          signatureFile,
          tokenFile: file,
          at: token.at,
          tsa,
        });
        return 0;
      });
    } finally {
      store.close();
    }
  },
});

/** A token over `signature`. Whatever is wrong with the answer is the authority's fault: throws `source`. */
async function tokenFor(
  context: CommandContext,
  tsa: string,
  signature: Uint8Array,
): Promise<ReturnType<typeof decodeTimestampResponse>> {
  const { decodeTimestampResponse, encodeTimestampRequest } = await import("../format/timestamp.ts");
  const request = encodeTimestampRequest(signature, context.world.randomness.bytes(8));
  const answer = await ask(context, tsa, request.bytes);
  try {
    return decodeTimestampResponse(answer, request);
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    throw new OperatorError("source", `Cannot use the answer of "${tsa}": ${error.message}`, {
      cause: error,
      facts: error.facts,
    });
  }
}

/** One question, one answer: it can be asked again by running the command again. Throws `source`. */
async function ask(
  { signal }: CommandContext,
  url: string,
  request: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array> {
  const { MAX_TIMESTAMP_BYTES, TIMESTAMP_QUERY_TYPE } = await import("../format/timestamp.ts");
  const refuse = (fault: string, cause?: unknown): never => {
    throw new OperatorError("source", `Cannot get a time-stamp from "${url}": ${fault}`, { cause });
  };
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": TIMESTAMP_QUERY_TYPE },
      body: request,
      redirect: "error",
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]),
    });
    if (!response.ok || !response.body) return refuse(`it answered ${response.status}`);
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of response.body) {
      length += chunk.length;
      if (length > MAX_TIMESTAMP_BYTES) {
        return refuse(`its answer has more than ${MAX_TIMESTAMP_BYTES} bytes`);
      }
      chunks.push(chunk);
    }
    const bytes = new Uint8Array(length);
    let offset = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, offset);
      offset += chunk.length;
    }
    return bytes;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof OperatorError || error instanceof Deno.errors.NotCapable) throw error;
    return refuse(messageOf(error), error);
  }
}
