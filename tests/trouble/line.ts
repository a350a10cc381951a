/**
 * The way between the program and the service, as networks are: a port that a test closes and opens again, connections
 * that go dead without a word, and somebody else who answers in the service's place. It relays bytes and knows nothing of
 * what they mean; only a stranger reads a request to its end before he answers.
 */
import * as net from "node:net";
import { Buffer } from "node:buffer";

/** An answer of a captive portal or a proxy. */
export interface Stranger {
  readonly status: number;
  readonly type?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** `mute`: after so many bytes to the client nothing more arrives, and nothing ends. */
export type LineState = "open" | "closed" | { readonly muteAfterBytes: number } | {
  readonly stranger: Stranger;
};

/** One relayed connection. */
interface Relay {
  readonly near: net.Socket;
  readonly far: net.Socket | undefined;
  /** It has carried a request, so one may be lost with it. */
  isAsked: boolean;
}

export class Line {
  readonly port: number;
  readonly #farPort: number;
  readonly #relays = new Set<Relay>();
  #server: net.Server | undefined;
  #state: LineState = "open";
  /** Connections that were ended, or went dead: each may have had a request under way. */
  lostRequests = 0;
  /** Connections that a stranger answered. */
  strangers = 0;

  private constructor(port: number, farPort: number) {
    this.port = port;
    this.#farPort = farPort;
  }

  /** A line to a port of this machine. */
  static async to(farPort: number): Promise<Line> {
    const probe = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = probe.addr;
    probe.close();
    const line = new Line(port, farPort);
    await line.#listen();
    return line;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Connections that there are go down with the old state. */
  async set(state: LineState): Promise<void> {
    this.#state = state;
    this.drop();
    if (state === "closed") await this.#unlisten();
    else await this.#listen();
  }

  /** Resets all connections. */
  drop(): void {
    for (const relay of [...this.#relays]) this.#end(relay);
  }

  /** From now on nothing comes through the connections that there are, and nobody says so; new ones work. */
  forget(): void {
    for (const relay of [...this.#relays]) {
      if (relay.isAsked) this.lostRequests++;
      relay.isAsked = false;
      relay.far?.removeAllListeners("close").destroy();
      relay.near.removeAllListeners("data");
      relay.near.on("data", () => {});
    }
  }

  async close(): Promise<void> {
    this.drop();
    await this.#unlisten();
  }

  #end(relay: Relay): void {
    if (!this.#relays.delete(relay)) return;
    if (relay.isAsked) this.lostRequests++;
    relay.near.resetAndDestroy();
    relay.far?.destroy();
  }

  async #listen(): Promise<void> {
    if (this.#server) return;
    const server = this.#server = net.createServer((near) => this.#accept(near));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.port, "127.0.0.1", () => resolve());
    });
  }

  async #unlisten(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server) await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  #accept(near: net.Socket): void {
    const state = this.#state;
    near.on("error", () => near.destroy()); // the client may go away at any moment
    if (typeof state === "object" && "stranger" in state) return this.#answer(near, state.stranger);
    const isDeaf = state === "closed" || typeof state === "object" && state.muteAfterBytes === 0;
    const far = isDeaf ? undefined : net.connect(this.#farPort, "127.0.0.1");
    const relay: Relay = { near, far, isAsked: false };
    this.#relays.add(relay);
    near.on("close", () => this.#end(relay));
    near.on("data", (bytes: Uint8Array) => {
      if (!far) return;
      relay.isAsked = true;
      far.write(bytes);
    });
    if (!far) return;
    let roomBytes = typeof state === "object" ? state.muteAfterBytes : Infinity;
    far.on("error", () => this.#end(relay));
    far.on("close", () => roomBytes > 0 && this.#end(relay));
    far.on("data", (bytes: Uint8Array) => {
      const passed = bytes.subarray(0, Math.max(0, roomBytes));
      roomBytes -= bytes.length;
      if (passed.length > 0) near.write(passed);
    });
  }

  #answer(near: net.Socket, { status, type = "text/html", body = "", headers = {} }: Stranger): void {
    let request = "";
    near.on("data", (bytes: Uint8Array) => {
      request += Buffer.from(bytes).toString("latin1");
      if (!request.includes("\r\n\r\n")) return;
      this.strangers++;
      const lines = [
        `HTTP/1.1 ${status} Anything`,
        `Content-Type: ${type}`,
        `Content-Length: ${Buffer.byteLength(body)}`,
        ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
        "Connection: close",
      ];
      near.end(`${lines.join("\r\n")}\r\n\r\n${body}`);
    });
  }
}
