/**
 * Real processes of the program in real trouble, all at once, since each of them waits for as long as people would: the
 * line's port, dead connections, names, a proxy, clocks, a sleep. Each ends with the right image, by itself.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { withStage } from "../e2e/endpoint.ts";
import type { Stage } from "../e2e/endpoint.ts";
import { freePort } from "../e2e/outside_server.ts";
import { assertExit, type Ended, eventsOf, type RunOptions, start, summaryOf } from "../e2e/program.ts";
import { canMount, missingTools, toolPath } from "../outside.ts";
import { realClock } from "../../src/world.ts";
import { Line } from "./line.ts";
import { BLOCKS, cleanDigest, FIRST, FORMULA, HOUR_MS } from "./stage.ts";
import { sessionsOf } from "./records.ts";

/** A process, the service that it reads, and the line between them. */
class Scene {
  readonly stage: Stage;
  readonly line: Line;
  readonly url: string;

  constructor(stage: Stage, line: Line, host = "127.0.0.1") {
    this.stage = stage;
    this.line = line;
    this.url = `http://${host}:${line.port}`;
  }

  start(args: readonly string[] = [], options: RunOptions = {}) {
    const { url } = this;
    const line = {
      AWS_ENDPOINT_URL: url,
      AWS_ENDPOINT_URL_EBS: url,
      AWS_ENDPOINT_URL_EC2: url,
      AWS_ENDPOINT_URL_STS: url,
    };
    const env = { ...this.stage.env, ...line, ...options.env };
    return start(["acquire", FIRST, "--json", "--concurrency", "4", ...args], { ...options, env });
  }

  /** Resolves when so many requests for blocks have come from now on. */
  async blocks(count: number): Promise<void> {
    let seen = 0;
    await this.stage.request(({ call }) => call === "GetSnapshotBlock" && ++seen === count);
  }

  /** Fails unless it completed with the right image, and asked for nothing again but what was lost. */
  async requireWhole(ended: Ended): Promise<void> {
    assertExit(ended, 0);
    assertEquals(summaryOf(ended).imageDigest, await cleanDigest());
    const served = this.stage.simulator.requests.of("GetSnapshotBlock").byStatus[200] ?? 0;
    const allowed = BLOCKS + this.line.lostRequests;
    assert(served <= allowed, `${served} blocks were served, ${allowed} with those lost`);
  }
}

/** Fails unless people and programs were told of the wait and its end. */
function requireTold(ended: Ended, words: string): void {
  assertStringIncludes(ended.stderr, "waiting for ");
  assertStringIncludes(ended.stderr, words);
  assertStringIncludes(ended.stderr, "going on after");
  const waits = eventsOf(ended).filter(({ type }) => type === "waiting");
  assert(waits.some(({ waitingFor }) => String(waitingFor).includes(words)), JSON.stringify(waits));
}

type Body = (scene: Scene, folder: string) => Promise<void>;

function inScene(body: Body, host?: string): () => Promise<void> {
  const snapshots = [{ id: FIRST, synthetic: FORMULA }];
  return () =>
    withStage(
      { snapshots, blockSizeBytes: 65_536, faultHook: undefined, faults: "latency=20ms" },
      async (stage) => {
        const line = await Line.to(stage.simulator.port);
        try {
          await body(new Scene(stage, line, host), stage.folder);
        } finally {
          await line.close();
        }
      },
    );
}

const linkDown: Body = async (scene) => {
  const running = scene.start();
  await scene.blocks(15);
  await scene.line.set("closed");
  await running.says("(connection refused)");
  await scene.line.set("open");
  const ended = await running.ended;
  await scene.requireWhole(ended);
  requireTold(ended, "(connection refused)");
};

const givenUp: Body = async (scene) => {
  const running = scene.start(["--give-up-after", "3s"]);
  await scene.blocks(15);
  await scene.line.set("closed");
  const gaveUp = await running.ended;
  assertExit(gaveUp, 14);
  assertStringIncludes(gaveUp.stderr, "run the same command again");
  await scene.line.set("open");
  const ended = await scene.start(["--give-up-after", "3s"]).ended;
  assertStringIncludes(ended.stderr, "RESUMING");
  await scene.requireWhole(ended);
};

/** Nobody answers any more on connections that there are, nor on new ones, which are accepted. */
const halfOpen: Body = async (scene) => {
  const running = scene.start();
  await scene.blocks(15);
  scene.line.forget();
  await scene.line.set({ muteAfterBytes: 0 });
  await running.says("(no byte for 20 s)");
  await scene.line.set("open");
  const ended = await running.ended;
  await scene.requireWhole(ended);
  requireTold(ended, "(no byte for 20 s)");
};

const headersOnly: Body = async (scene) => {
  const running = scene.start();
  await scene.blocks(15);
  await scene.line.set({ muteAfterBytes: 1000 });
  await running.says("(no byte for 20 s)");
  await scene.line.set("open");
  const ended = await running.ended;
  await scene.requireWhole(ended);
  requireTold(ended, "(no byte for 20 s)");
};

const portal: Body = async (scene) => {
  const running = scene.start();
  await scene.blocks(15);
  await scene.line.set({ stranger: { status: 200, body: "<!DOCTYPE html><html>Log in</html>" } });
  await running.says("an HTML page (HTTP 200)");
  await scene.line.set("open");
  const ended = await running.ended;
  await scene.requireWhole(ended);
  requireTold(ended, "an HTML page (HTTP 200)");
};

const HOST = "ebs.case.example";

/** The names of one process: it has a hosts file of its own, and a name server that nobody runs. */
const names: Body = async (scene, folder) => {
  const [hosts, resolver] = [`${folder}/hosts`, `${folder}/resolv.conf`];
  const known = `127.0.0.1 localhost ${HOST}\n`;
  Deno.writeTextFileSync(hosts, known);
  Deno.writeTextFileSync(resolver, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
  const mounts = `mount --bind ${hosts} /etc/hosts && mount --bind ${resolver} /etc/resolv.conf && exec "$@"`;
  const running = scene.start([], { through: [toolPath("unshare")!, "-m", "sh", "-c", mounts, "sh"] });
  await scene.blocks(15);
  Deno.writeTextFileSync(hosts, "127.0.0.1 localhost\n");
  scene.line.drop();
  await running.says("(its name cannot be resolved)");
  Deno.writeTextFileSync(hosts, known);
  const ended = await running.ended;
  await scene.requireWhole(ended);
  requireTold(ended, "(its name cannot be resolved)");
};

/** tinyproxy, which is killed, comes back and wants a password, and at last lets everybody through. */
const proxied: Body = async (scene, folder) => {
  const port = freePort();
  const serve = async (settings: string) => {
    Deno.writeTextFileSync(
      `${folder}/proxy.conf`,
      `Port ${port}\nListen 127.0.0.1\nMaxClients 20\n${settings}`,
    );
    const args = ["-d", "-c", `${folder}/proxy.conf`];
    const proxy = new Deno.Command(toolPath("tinyproxy")!, { args, stdout: "null", stderr: "null" }).spawn();
    await untilListening(port);
    return async () => {
      proxy.kill("SIGKILL");
      await proxy.status;
    };
  };
  let stop = await serve("");
  try {
    const running = scene.start([], { env: { HTTP_PROXY: `http://127.0.0.1:${port}` } });
    await scene.blocks(15);
    await stop();
    stop = await serve("BasicAuth examiner hidden\n");
    await running.says("an HTML page (HTTP 407)");
    await stop();
    stop = await serve("");
    const ended = await running.ended;
    await scene.requireWhole(ended);
    requireTold(ended, "an HTML page (HTTP 407)");
  } finally {
    await stop();
  }
};

async function untilListening(port: number): Promise<void> {
  for (;;) {
    try {
      return (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
      await realClock.sleep(20);
    }
  }
}

/** The service's clock is a day ahead, then a day behind: to the process its own clock is wrong, and jumps. */
const wrongClock: Body = async (scene) => {
  const { clock } = scene.stage.simulator;
  clock.advanceMs(24 * HOUR_MS);
  const running = scene.start();
  await scene.blocks(15);
  clock.advanceMs(-48 * HOUR_MS);
  const ended = await running.ended;
  await scene.requireWhole(ended);
  assertStringIncludes(ended.stderr, "behind AWS's: corrected for requests");
  assertStringIncludes(ended.stderr, "ahead of AWS's: corrected for requests");
  const skews = eventsOf(ended).filter(({ type }) => type === "clock_skew").map(({ skewMs }) =>
    Number(skewMs)
  );
  assertEquals(skews.map((skewMs) => Math.round(skewMs / HOUR_MS)), [24, -24]);
  const [session] = sessionsOf(scene.stage.store);
  assertEquals(Math.round(session!.clockSkewMs! / HOUR_MS), -24);
};

/** The lid is shut: nothing runs, the wall clock goes on, and so does AWS; the connections are dead without a word. */
const slept: Body = async (scene) => {
  const preload = new URL("slept.ts", import.meta.url).pathname;
  const permissions = ["read", "write", "net", "env", "sys"].map((name) => `--allow-${name}`);
  const running = scene.start([], { permissions: [...permissions, `--preload=${preload}`] });
  await scene.blocks(15);
  running.kill("SIGSTOP");
  scene.line.forget();
  scene.stage.simulator.clock.advanceMs(2 * HOUR_MS);
  running.kill("SIGUSR1");
  running.kill("SIGCONT");
  const ended = await running.ended;
  await scene.requireWhole(ended);
  assert(!ended.stderr.includes("clock"), "it was right before, and is right now");
};

const SCENES: readonly (readonly [name: string, run: () => Promise<void>, needs: readonly string[]])[] = [
  ["a link that is down and comes back", inScene(linkDown), []],
  ["a link that is down beyond --give-up-after", inScene(givenUp), []],
  ["half-open connections", inScene(halfOpen), []],
  ["answers that end after their headers", inScene(headersOnly), []],
  ["a captive portal", inScene(portal), []],
  ["a name that goes away and comes back", inScene(names, HOST), ["unshare", "mount"]],
  ["a proxy that dies and then wants a password", inScene(proxied), ["tinyproxy"]],
  ["a clock that is wrong by a day, and jumps", inScene(wrongClock), []],
  ["a laptop that slept for two hours", inScene(slept), []],
];

const ALONE = { sanitizeOps: false, sanitizeResources: false, sanitizeExit: false };

Deno.test({
  name: "acquire, a real process, outlives each trouble of the network",
  ...ALONE,
  async fn(test) {
    await Promise.all(SCENES.map(async ([name, run, needs]) => {
      const missing = missingTools(needs);
      const mayMount = !needs.includes("mount") || canMount();
      const ignore = !mayMount || missing.length > 0 && Deno.env.get("COLDCASE_CI") !== "1";
      await test.step({
        name: ignore ? `${name} [skipped: needs ${mayMount ? missing : "the right to mount"}]` : name,
        ignore,
        fn: run,
        ...ALONE,
      });
    }));
  },
});
