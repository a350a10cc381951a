/**
 * `timestamp` against an authority of the test's own, which runs openssl: the token that it stores holds, and
 * an authority that does not do its part costs nothing but the token.
 */
import { assert, assertEquals } from "@std/assert";
import { FIRST, type Stage, withStage } from "../e2e/endpoint.ts";
import { writeRandomBlocks } from "../e2e/images.ts";
import { assertExit, assertRefusal, eventOf, eventsOf, type JsonEvent } from "../e2e/program.ts";
import { sha256 } from "../../src/format/digests.ts";
import { outside } from "../outside.ts";
import { filesBelow, flipBit } from "../store/fixtures.ts";
import { type Authority, withAuthority } from "./authority.ts";

/** Runs `body` with a snapshot acquired; `info` is what `info --json` says of it. */
async function withExhibit(
  body: (stage: Stage, info: JsonEvent) => Promise<void>,
): Promise<void> {
  await withStage(async (folder) => {
    await writeRandomBlocks(`${folder}/disk.img`, [0, 3]);
    return { snapshots: [{ id: FIRST, path: `${folder}/disk.img` }] };
  }, async (stage) => {
    assertExit(await stage.run(["acquire", FIRST]), 0);
    await body(stage, eventOf(await stage.run(["info", FIRST, "--json"]), "summary"));
  });
}

/** Runs `body` with the address of a server that answers each POST with what `answer` gives. */
async function withServer(
  answer: (query: Uint8Array) => Promise<Response>,
  body: (url: string) => Promise<void>,
): Promise<void> {
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    assertEquals(request.headers.get("Content-Type"), "application/timestamp-query");
    return await answer(new Uint8Array(await request.arrayBuffer()));
  });
  try {
    await body(`http://127.0.0.1:${server.addr.port}/tsa`);
  } finally {
    await server.shutdown();
  }
}

async function reply(authority: Authority, query: Uint8Array): Promise<Response> {
  const bytes = new Uint8Array(await authority.answer({ bytes: query }));
  return new Response(bytes, { headers: { "Content-Type": "application/timestamp-reply" } });
}

outside("timestamp stores a token over the signature, which openssl ts verifies", ["openssl"], async () => {
  await withAuthority(async (authority) => {
    await withExhibit(async (stage, info) => {
      await withServer((query) => reply(authority, query), async (url) => {
        const stamped = await stage.run(["timestamp", FIRST, "--tsa", url, "--json"]);
        assertExit(stamped, 0);
        const token = `${stage.store}/${eventOf(stamped, "summary")["tokenFile"]}`;
        const signature = String(info["signatureFile"]);
        assert(token.startsWith(signature), token);
        const check = async () => {
          authority.write("token", Deno.readFileSync(token));
          authority.write("message", Deno.readFileSync(signature));
          const line = "ts -verify -data message -in token -token_in -CAfile ca.pem";
          return (await authority.openssl(line)).success;
        };
        assert(await check());
        flipBit(signature, 100);
        assertEquals(await check(), false);
        flipBit(signature, 100);
        assertExit(await stage.run(["verify"]), 0);
        const ended = await stage.run(["custody", "--json"]);
        const entry = eventsOf(ended).find(({ action }) => action === "timestamp")!;
        const { facts } = entry["result"] as { facts: Record<string, unknown> };
        assertEquals(facts["token"], sha256(Deno.readFileSync(token)));
      });
    });
  });
});

/** Runs `body` with the address of a server that reads a request, says `text`, and hangs up. */
async function withSocket(text: string, body: (url: string) => Promise<void>): Promise<void> {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const answering = (async () => {
    for await (const connection of listener) {
      await connection.read(new Uint8Array(65_536));
      await connection.write(new TextEncoder().encode(text));
      connection.close();
    }
  })();
  try {
    await body(`http://127.0.0.1:${listener.addr.port}/`);
  } finally {
    listener.close();
    await answering;
  }
}

/** What lies there apart from the log of what was done. */
function evidenceOf(store: string): Map<string, string> {
  const names = filesBelow(store).filter((name) => !/^(custody|cache|keys)/.test(name));
  return new Map(names.map((name) => [name, Deno.readFileSync(`${store}/${name}`).toBase64()]));
}

outside(
  "timestamp ends with 14, and touches nothing, where the authority does not do its part",
  ["openssl"],
  async () => {
    await withAuthority(async (authority) => {
      authority.configure("sha512");
      await withExhibit(async (stage) => {
        const before = evidenceOf(stage.store);
        const respond = (body: string, status = 200) => () => Promise.resolve(new Response(body, { status }));
        let other: Response | undefined;
        const answers: [string, (query: Uint8Array) => Promise<Response>][] = [
          ["refuses", (query) => reply(authority, query)],
          ["fails", respond("no", 500)],
          ["answers garbage", respond("0123456789")],
          ["answers nothing", respond("")],
          ["answers without end", respond("x".repeat(1 << 21))],
          ["points elsewhere", () => Promise.resolve(Response.redirect("http://127.0.0.1:9/", 302))],
          ["answers another request", async (query) => {
            authority.configure("sha256");
            const changed = query.slice();
            changed[changed.length - 5]! ^= 1; // within the nonce
            return other = await reply(authority, changed);
          }],
        ];
        for (const [what, answer] of answers) {
          await withServer(answer, async (url) => {
            const ended = await stage.run(["timestamp", FIRST, "--tsa", url]);
            assertEquals(ended.exitCode, 14, `${what}: exit ${ended.exitCode}\n${ended.stderr}`);
            assertRefusal(ended, { exitCode: 14, names: [url] });
          });
        }
        assert(other !== undefined);
        const gone = Deno.listen({ port: 0, hostname: "127.0.0.1" });
        const url = `http://127.0.0.1:${gone.addr.port}/`;
        gone.close();
        assertRefusal(await stage.run(["timestamp", FIRST, "--tsa", url]), { exitCode: 14, names: [url] });
        for (const text of ["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123"]) {
          await withSocket(text, async (address) => {
            const ended = await stage.run(["timestamp", FIRST, "--tsa", address]);
            assertRefusal(ended, { exitCode: 14, names: [address] });
          });
        }
        assertEquals(evidenceOf(stage.store), before);
        assertExit(await stage.run(["verify"]), 0);
        const log = eventsOf(await stage.run(["custody", "--json"]));
        const outcomes = log.filter(({ action }) => action === "timestamp")
          .map(({ result }) => (result as { outcome: string }).outcome);
        assertEquals(outcomes, new Array(answers.length + 3).fill("source"));
      });
    });
  },
);
