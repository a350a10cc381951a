/**
 * HTTP: receives requests whole, sends answers, and breaks connections where that was asked for. `node:http`,
 * because a fault must reach the socket itself: a declared length that never comes, a TCP reset in a body.
 *
 * Nothing here knows what a call means.
 */
import * as http from "node:http";
import { randomUUID } from "node:crypto";
import { Buffer } from "node:buffer";
import { OperatorError } from "../errors.ts";
import { answerTo, type Desk, type Outcome } from "./answering.ts";
import type { FaultKind } from "./faults.ts";
import type { Link } from "./link.ts";
import type { RequestLog } from "./log.ts";
import type { SignedRequest } from "./sigv4.ts";

/** The largest block, and room for what is around it. */
const MAX_BODY_BYTES = 17 * 2 ** 20;
/** Pieces in which a shaped link sends a body. */
const PIECE_BYTES = 32 * 1024;

/** A listening server. */
export interface HttpServer {
  readonly host: string;
  readonly port: number;
  /** Resets all connections; later ones are accepted again. */
  dropConnections(): void;
  /** Stops listening and ends all connections, stalled ones too. */
  close(): Promise<void>;
}

interface Parts {
  readonly desk: Desk;
  readonly link: Link;
  readonly log: RequestLog;
}

/** Listens on `host` and `port` (0: a free one). Throws `usage` where it cannot. */
export async function listen(
  parts: Parts,
  address: { readonly host: string; readonly port: number },
): Promise<HttpServer> {
  const ending = new AbortController();
  const sockets = new Set<SocketLike>();
  // A client may keep a connection for longer than any pause between two of its requests.
  const server = http.createServer(
    { keepAliveTimeout: 600e3, requestTimeout: 0, headersTimeout: 600e3 },
    (request, response) => {
      serve(parts, { request, response, signal: ending.signal })
        .catch((error: unknown) => {
          if (!ending.signal.aborted) parts.desk.onBug(error);
          response.socket?.destroy();
        });
    },
  );
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    const place = `${address.host}:${address.port}`;
    server.once("error", (cause) => {
      reject(new OperatorError("usage", `Cannot listen on ${place}: ${cause.message}`, { cause }));
    });
    // What Deno withholds it throws where nobody can catch it.
    const { state } = Deno.permissions.querySync({ name: "net", host: place });
    if (state !== "granted") {
      throw new OperatorError(
        "usage",
        `Cannot listen on ${place}: it needs --allow-net, which Deno was not given`,
      );
    }
    server.listen(address.port, address.host, () => resolve());
  });
  const bound = server.address();
  if (bound === null || typeof bound === "string") {
    throw new Error("Cannot tell the port: not listening on TCP");
  }
  return {
    host: address.host,
    port: bound.port,
    dropConnections: () => sockets.forEach(reset),
    close() {
      ending.abort(new Error("the simulator is closed"));
      return new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
        sockets.forEach((socket) => socket.destroy());
      });
    },
  };
}

interface SocketLike {
  destroy(): unknown;
  resetAndDestroy?(): unknown;
}

/** TCP RST: whatever was on its way is lost. */
function reset(socket: SocketLike): void {
  if (socket.resetAndDestroy) socket.resetAndDestroy();
  else socket.destroy();
}

interface Exchange {
  readonly request: http.IncomingMessage;
  readonly response: http.ServerResponse;
  readonly signal: AbortSignal;
}

async function serve(parts: Parts, exchange: Exchange): Promise<void> {
  const { desk, link } = parts;
  const { request, response, signal } = exchange;
  const requestId = randomUUID();
  const body = await bodyOf(request);
  if (body === undefined) return;
  if (link.isDown) return abandon(parts, { exchange, requestId, fault: "link-down" });
  await link.delay(signal);
  const outcome = answerTo(desk, signedRequest(request, body), requestId);
  if (outcome.fault === "refuse") return abandon(parts, { exchange, requestId, fault: "refuse", outcome });
  const { answer } = outcome;
  const wire = wireFault(outcome);
  response.writeHead(answer.status, {
    ...answer.headers,
    "Content-Length": answer.body.length,
    "Date": new Date(desk.endpoint.clock.nowMs()).toUTCString(),
    "x-amzn-RequestId": requestId,
  });
  const log = (bytesSent: number, fault: Outcome["fault"] | "link-down" = outcome.fault) =>
    record(parts, { requestId, outcome, bytesSent, fault });
  const sent = wire === undefined ? answer.body : answer.body.subarray(0, answer.body.length >> 1);
  if (link.isShaped) {
    const carried = await sendShaped(parts, {
      exchange,
      bytes: sent.subarray(0, Math.max(0, sent.length - 1)),
    });
    if (carried === "gone") return log(0);
    if (carried === "down") {
      log(0, "link-down");
      return response.socket ? reset(response.socket) : undefined;
    }
  }
  const rest = link.isShaped ? sent.subarray(Math.max(0, sent.length - 1)) : sent;
  // Logged before the last byte leaves: who has the answer finds its entry.
  log(sent.length);
  if (wire === undefined) response.end(rest);
  else breakOff(exchange, { rest, wire });
}

/** Faults that happen to the answer on its way. */
type WireFault = "reset" | "short" | "stall";

function wireFault(outcome: Outcome): WireFault | undefined {
  const { fault } = outcome;
  return fault === "reset" || fault === "short" || fault === "stall" ? fault : undefined;
}

/** Sends what there is and then does not send the rest. */
function breakOff(exchange: Exchange, facts: { readonly rest: Uint8Array; readonly wire: WireFault }): void {
  const { response } = exchange;
  const { socket } = response;
  response.flushHeaders();
  const finish = () => {
    if (!socket || facts.wire === "stall") return;
    if (facts.wire === "reset") reset(socket);
    else socket.end();
  };
  if (facts.rest.length > 0) response.write(facts.rest, () => finish());
  else finish();
}

/** Piece by piece, as the link carries them. */
async function sendShaped(
  parts: Parts,
  facts: { readonly exchange: Exchange; readonly bytes: Uint8Array },
): Promise<"carried" | "gone" | "down"> {
  const { response, signal } = facts.exchange;
  for (let offset = 0; offset < facts.bytes.length; offset += PIECE_BYTES) {
    const piece = facts.bytes.subarray(offset, offset + PIECE_BYTES);
    await parts.link.carry(piece.length, signal);
    if (parts.link.isDown) return "down";
    if (response.destroyed || !response.socket || response.socket.destroyed) return "gone";
    response.write(piece);
  }
  return "carried";
}

function abandon(
  parts: Parts,
  facts: {
    readonly exchange: Exchange;
    readonly requestId: string;
    readonly fault: FaultKind | "link-down";
    readonly outcome?: Outcome;
  },
): void {
  const { exchange, requestId, fault, outcome } = facts;
  record(parts, { requestId, outcome, bytesSent: 0, fault, status: 0 });
  if (exchange.response.socket) reset(exchange.response.socket);
}

function record(
  parts: Parts,
  facts: {
    readonly requestId: string;
    readonly outcome: Outcome | undefined;
    readonly bytesSent: number;
    readonly fault: FaultKind | "link-down" | undefined;
    readonly status?: number;
  },
): void {
  const { outcome } = facts;
  parts.log.add({
    requestId: facts.requestId,
    atMs: parts.desk.endpoint.clock.nowMs(),
    call: outcome?.call,
    snapshot: outcome?.snapshot,
    index: outcome?.index,
    accessKeyId: outcome?.accessKeyId,
    status: facts.status ?? outcome?.answer.status ?? 0,
    errorType: outcome?.errorType,
    reason: outcome?.reason,
    fault: facts.fault,
    bytesSent: facts.bytesSent,
  });
}

/** The whole body; `undefined` where the client left or sent too much. */
function bodyOf(request: http.IncomingMessage): Promise<Uint8Array | undefined> {
  return new Promise((resolve) => {
    const chunks: Uint8Array[] = [];
    let length = 0;
    request.on("data", (chunk: Uint8Array) => {
      length += chunk.length;
      chunks.push(chunk);
      if (length <= MAX_BODY_BYTES) return;
      request.socket.destroy();
      resolve(undefined);
    });
    request.on("end", () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
    request.on("error", () => resolve(undefined));
    request.on("close", () => resolve(undefined));
  });
}

function signedRequest(request: http.IncomingMessage, body: Uint8Array): SignedRequest {
  const target = request.url ?? "/";
  const at = target.indexOf("?");
  const headers = new Map<string, string[]>();
  for (let position = 0; position + 1 < request.rawHeaders.length; position += 2) {
    const name = request.rawHeaders[position]!.toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), request.rawHeaders[position + 1]!]);
  }
  return {
    method: request.method ?? "GET",
    path: at < 0 ? target : target.slice(0, at),
    query: at < 0 ? "" : target.slice(at + 1),
    headers,
    body,
  };
}
