/**
 * Keys that ssh-agent holds: which Ed25519 keys it has, and a signature by one of them. Two requests of the
 * agent's protocol over its Unix socket. Own code, because the one library with it (ssh2) can't be bundled,
 * for its native add-ons. Adds and removes nothing. A Unix socket needs Deno's permission to read and write its
 * path, which `deno task coldcase` has.
 *
 * @see draft-ietf-sshm-ssh-agent, sections 3 and 4
 */
import { messageOf, OperatorError } from "./errors.ts";
import { decodeSshSignature } from "./format/sshsig.ts";
import { joinBytes, SshReader, sshString, sshUint32 } from "./format/ssh_wire.ts";
import { decodeKeyBlob, ED25519, encodeKeyBlob, type VerifyingKey } from "./format/verifying_key.ts";
import type { CallOptions } from "./model.ts";

/** Message numbers of the protocol. */
const FAILURE = 5;
const REQUEST_IDENTITIES = 11;
const IDENTITIES_ANSWER = 12;
const SIGN_REQUEST = 13;
const SIGN_RESPONSE = 14;

/** OpenSSH's `AGENT_MAX_MSGLEN`: an agent closes the connection at a longer message, saying nothing. */
export const MAX_AGENT_MESSAGE_BYTES = 256 * 1024;

export interface AgentKey {
  readonly verifying: VerifyingKey;
  readonly comment: string;
}

/**
 * The Ed25519 keys of the agent, in its order.
 *
 * @param socket Path of its socket, SSH_AUTH_SOCK.
 * Throws `identity` where no agent answers, `format` for a malformed answer.
 */
export async function agentKeys(socket: string, options: CallOptions = {}): Promise<AgentKey[]> {
  const answer = await ask(socket, { number: REQUEST_IDENTITIES, body: new Uint8Array(0) }, options);
  const reader = new SshReader(answer, "ssh-agent's list of keys");
  if (reader.bytes(1)[0] !== IDENTITIES_ANSWER) refused("list its keys");
  const count = reader.uint32();
  const keys: AgentKey[] = [];
  for (let index = 0; index < count; index++) {
    const blob = reader.string();
    const comment = reader.text();
    // Other kinds of keys and certificates are no business of ours.
    const keyType = new SshReader(blob, "a key of ssh-agent").text();
    if (keyType === ED25519) keys.push({ verifying: decodeKeyBlob(blob), comment });
  }
  reader.end();
  return keys;
}

/**
 * A signature over `message` by a key that the agent holds: 64 bytes. The agent may ask its user first.
 *
 * Throws `usage` for a message that no agent takes, `identity` where the agent refuses or does not answer.
 */
export async function signByAgent(
  message: Uint8Array,
  options: CallOptions & { readonly socket: string; readonly key: VerifyingKey },
): Promise<Uint8Array> {
  const noFlags = sshUint32(0);
  const body = joinBytes(sshString(encodeKeyBlob(options.key.publicKey)), sshString(message), noFlags);
  const answer = await ask(options.socket, { number: SIGN_REQUEST, body }, options);
  const reader = new SshReader(answer, "ssh-agent's signature");
  if (reader.bytes(1)[0] !== SIGN_RESPONSE) refused(`sign with ${options.key.fingerprint}`);
  const signature = decodeSshSignature(reader.string());
  reader.end();
  return signature;
}

function refused(what: string): never {
  throw new OperatorError("identity", `Cannot let ssh-agent ${what}: it refuses, expected it to`, {
    hints: [
      "`ssh-add -l` lists the keys that it holds; a locked agent holds none; `ssh-add -c` keys ask first",
    ],
  });
}

/** One request, one answer (number and body), one connection. */
async function ask(
  socket: string,
  request: { readonly number: number; readonly body: Uint8Array },
  options: CallOptions,
): Promise<Uint8Array> {
  const message = joinBytes(Uint8Array.of(request.number), request.body);
  if (message.length > MAX_AGENT_MESSAGE_BYTES) {
    throw new OperatorError(
      "usage",
      `Cannot sign by ssh-agent: its request would have ${message.length} bytes, it takes at most ${MAX_AGENT_MESSAGE_BYTES}`,
      { hints: ["sign with the key's file"] },
    );
  }
  options.signal?.throwIfAborted();
  const connection = await connect(socket);
  const hangUp = () => connection.close();
  options.signal?.addEventListener("abort", hangUp, { once: true });
  try {
    await writeAll(connection, sshString(message));
    const header = await readExactly(connection, 4);
    const length = new SshReader(header, "ssh-agent's answer").uint32();
    if (length < 1 || length > MAX_AGENT_MESSAGE_BYTES) {
      throw new OperatorError("format", `Cannot read ssh-agent's answer: it has ${length} bytes`);
    }
    const answer = await readExactly(connection, length);
    return answer[0] === FAILURE ? answer.subarray(0, 1) : answer;
  } catch (error) {
    options.signal?.throwIfAborted();
    if (error instanceof OperatorError) throw error;
    throw noAnswer(socket, error);
  } finally {
    options.signal?.removeEventListener("abort", hangUp);
    if (!options.signal?.aborted) connection.close();
  }
}

async function connect(socket: string): Promise<Deno.Conn> {
  try {
    return await Deno.connect({ transport: "unix", path: socket });
  } catch (error) {
    throw noAnswer(socket, error);
  }
}

function noAnswer(socket: string, error: unknown): OperatorError {
  return new OperatorError(
    "identity",
    `Cannot ask ssh-agent at "${socket}": ${messageOf(error)}, expected an answer`,
    { hints: ["`ssh-add -l` tells whether an agent runs; SSH_AUTH_SOCK names its socket"], cause: error },
  );
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await connection.write(bytes.subarray(done));
}

async function readExactly(connection: Deno.Conn, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const count = await connection.read(bytes.subarray(done));
    if (count === null) throw new Error(`it hung up after ${done} of ${length} bytes`);
    done += count;
  }
  return bytes;
}
