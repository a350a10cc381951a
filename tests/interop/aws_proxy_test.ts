/**
 * Through tinyproxy, a proxy that no one here wrote: plain HTTP by HTTP_PROXY, and TLS by HTTPS_PROXY to a
 * server whose certificate only AWS_CA_BUNDLE vouches for. What went through is read from the proxy's log.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { realClock } from "../../src/world.ts";
import { all, KEYS, open, pageAnswer, serve, SNAPSHOT } from "../aws/fakes.ts";
import { outside, toolPath } from "../outside.ts";

interface Proxy {
  readonly url: string;
  readonly folder: string;
  log(): string;
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

async function withProxy(work: (proxy: Proxy) => Promise<void>, settings = ""): Promise<void> {
  const folder = await Deno.makeTempDir();
  const port = freePort();
  const log = `${folder}/log`;
  await Deno.writeTextFile(
    `${folder}/conf`,
    `Port ${port}\nListen 127.0.0.1\nTimeout 30\nLogFile "${log}"\nLogLevel Connect\nMaxClients 20\n${settings}`,
  );
  const proxy = new Deno.Command(toolPath("tinyproxy")!, {
    args: ["-d", "-c", `${folder}/conf`],
    stdout: "null",
    stderr: "null",
  }).spawn();
  try {
    await untilListening(port);
    await work({ url: `http://127.0.0.1:${port}`, folder, log: () => Deno.readTextFileSync(log) });
  } finally {
    proxy.kill("SIGKILL");
    await proxy.status;
    await Deno.remove(folder, { recursive: true });
  }
}

async function untilListening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return;
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
      await realClock.sleep(50);
    }
  }
  throw new Error("Cannot test through tinyproxy: it did not listen within 5 s");
}

outside("openSource() goes through HTTP_PROXY, and past it by NO_PROXY", ["tinyproxy"], async () => {
  await withProxy(async (proxy) => {
    const server = serve();
    const variables = { ...KEYS, HTTP_PROXY: proxy.url };
    const through = await open(server.url, { variables });
    assertEquals(through.source.proxy, proxy.url);
    const [page] = await all(through.source.listBlocks(SNAPSHOT));
    for (const block of page!.blocks) {
      const got = await through.source.getBlock({ snapshot: SNAPSHOT, block, shape: page!.shape });
      assertEquals(got.kind, "verified");
    }
    through.source.close();
    assertEquals(proxy.log().match(/GET .*\/snapshots\//g)?.length, 1 + page!.blocks.length);

    const past = await open(server.url, { variables: { ...variables, NO_PROXY: "127.0.0.1" } });
    assertEquals(past.source.proxy, undefined);
    await all(past.source.listBlocks(SNAPSHOT));
    past.source.close();
    assertEquals(proxy.log().match(/GET .*\/snapshots\//g)?.length, 1 + page!.blocks.length);
    await server.close();
  });
});

outside("openSource() goes through HTTPS_PROXY to a server that AWS_CA_BUNDLE vouches for", [
  "tinyproxy",
  "openssl",
], async () => {
  await withProxy(async (proxy) => {
    const key = `${proxy.folder}/key.pem`;
    const cert = `${proxy.folder}/cert.pem`;
    const made = await new Deno.Command(toolPath("openssl")!, {
      args: ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        .concat(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .concat(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", cert]),
      stderr: "null",
    }).output();
    assert(made.success);
    const server = Deno.serve({
      hostname: "127.0.0.1",
      port: 0,
      key: await Deno.readTextFile(key),
      cert: await Deno.readTextFile(cert),
      onListen: () => {},
    }, () => pageAnswer({ indexes: [1, 2] }));
    const url = `https://localhost:${server.addr.port}`;
    const variables = { ...KEYS, HTTPS_PROXY: proxy.url };

    const trusting = await open(url, { variables: { ...variables, AWS_CA_BUNDLE: cert } });
    assertEquals((await all(trusting.source.listBlocks(SNAPSHOT)))[0]!.blocks.length, 2);
    // TLS, but not AWS's.
    assertEquals(trusting.source.isAws, false);
    trusting.source.close();
    assertStringIncludes(proxy.log(), `CONNECT localhost:${server.addr.port}`);

    const untrusting = await open(url, { variables });
    const error = await assertRejects(() => all(untrusting.source.listBlocks(SNAPSHOT)), OperatorError);
    assertEquals(error.code, "source");
    assertStringIncludes(error.message, "certificate is not trusted");
    assertStringIncludes(error.hints[0]!, "AWS_CA_BUNDLE");
    assert(untrusting.clock.monotonicMs() < 5_000, "a certificate is not asked about for half a minute");
    untrusting.source.close();
    await server.shutdown();
  });
});

outside(
  "openSource() waits for a proxy whose upstream is gone, and names what it said",
  ["tinyproxy"],
  async () => {
    await withProxy(async (proxy) => {
      const nobody = `http://127.0.0.1:${freePort()}`;
      const { source } = await open(nobody, { variables: { ...KEYS, HTTP_PROXY: proxy.url } });
      const error = await assertRejects(() => all(source.listBlocks(SNAPSHOT)), OperatorError);
      assertEquals(error.code, "source");
      assertStringIncludes(error.message, "an HTML page (HTTP 500)");
      source.close();
    });
  },
);

outside("openSource() gives the proxy its user and password, and shows neither", ["tinyproxy"], async () => {
  await withProxy(async (proxy) => {
    const server = serve();
    const withUser = proxy.url.replace("http://", "http://examiner:hidden@");
    const { source } = await open(server.url, { variables: { ...KEYS, HTTP_PROXY: withUser } });
    assertEquals((await all(source.listBlocks(SNAPSHOT))).length, 1);
    assertEquals(source.proxy, proxy.url);
    source.close();
    const without = await open(server.url, { variables: { ...KEYS, HTTP_PROXY: proxy.url } });
    const error = await assertRejects(() => all(without.source.listBlocks(SNAPSHOT)), OperatorError);
    assertEquals(error.code, "source");
    assertStringIncludes(error.message, "HTTP 407");
    without.source.close();
    await server.close();
  }, "BasicAuth examiner hidden\n");
});
