/**
 * EC2 and STS in trouble: what only enriches the record is asked for a few times and then left, said so, whatever comes in
 * its place; credentials that a role gives are waited for as blocks are.
 */
import { assert, assertEquals, assertLess, assertRejects, assertStringIncludes } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { all, KEYS, open, pageAnswer, serve, SNAPSHOT } from "../aws/fakes.ts";
import { assertWhole, FIRST, withTrouble } from "./stage.ts";
import { Line, type LineState } from "./line.ts";

/** What comes instead of an answer: by the simulator, by a line of its own. */
const FAULTS = ["error503", "throttle", "refuse"] as const;
const PASSING_FAULTS = ["error500", "reset", "short"] as const;
const STATES: readonly (readonly [name: string, state: LineState])[] = [
  ["HTML", { stranger: { status: 200, body: "<html>Log in</html>" } }],
  ["wrong XML", {
    stranger: { status: 200, type: "text/xml", body: '<?xml version="1.0"?><other><a/></other>' },
  }],
  ["broken XML", { stranger: { status: 200, type: "text/xml", body: "<?xml version" } }],
  ["nothing", { stranger: { status: 200 } }],
  ["a proxy's refusal", { stranger: { status: 403 } }],
  ["a closed port", "closed"],
];
const ASIDES = ["DescribeSnapshots", "GetCallerIdentity"];

Deno.test("acquire goes on where EC2 and STS fail, and asks them a few times each", async () => {
  for (const kind of FAULTS) {
    await withTrouble(
      { faultHook: ({ call }) => ASIDES.includes(call) ? kind : undefined },
      async (stage) => {
        await assertWhole(stage, await stage.acquire(FIRST));
        for (const call of ["DescribeSnapshots", "GetCallerIdentity"] as const) {
          const { requests } = stage.simulator.requests.of(call);
          // fetch itself sends a request again whose kept connection was reset.
          assert(requests >= 4 && requests <= 10, `${kind}: ${requests} × ${call}`);
        }
      },
    );
  }
});

Deno.test("acquire tries EC2 and STS again where they failed once, and has what they say", async () => {
  for (const kind of PASSING_FAULTS) {
    const hook = ({ call, attempt }: { call: string; attempt: number }) =>
      ASIDES.includes(call) && attempt === 0 ? kind : undefined;
    await withTrouble({ faultHook: hook }, async (stage) => {
      await assertWhole(stage, await stage.acquire(FIRST));
      for (const call of ["DescribeSnapshots", "GetCallerIdentity"] as const) {
        assertEquals(stage.simulator.requests.of(call).byStatus[200] !== undefined, true, `${kind}, ${call}`);
      }
    });
  }
});

Deno.test("acquire goes on where somebody else answers for EC2 and STS", async () => {
  for (const [name, state] of STATES) {
    await withTrouble({}, async (stage) => {
      const other = await Line.to(stage.simulator.port);
      try {
        await other.set(state);
        Object.assign(stage.variables, { AWS_ENDPOINT_URL_EC2: other.url, AWS_ENDPOINT_URL_STS: other.url });
        await assertWhole(stage, await stage.acquire(FIRST));
        if (state !== "closed") {
          assert(other.strangers >= 1 && other.strangers <= 12, `${name}: ${other.strangers}`);
        }
      } finally {
        await other.close();
      }
    });
  }
});

Deno.test("describe() of an EC2 that swallows every packet is told of, and left after half a minute", async () => {
  const server = serve();
  const deaf = await Line.to(1);
  await deaf.set({ muteAfterBytes: 0 });
  const variables = { ...KEYS, AWS_ENDPOINT_URL_EC2: deaf.url };
  // Each request takes as long as a stall does on the fake clock.
  const { source, events, clock } = await open(server.url, { variables, stallMs: 60 });
  try {
    const passing = setInterval(() => void clock.sleep(5_000), 15);
    const { result } = await source.describe(SNAPSHOT).finally(() => clearInterval(passing));
    assertEquals(result, "failed");
    const waits = events.flatMap((event) => event.type === "waiting" ? [event.waitingFor] : []);
    assertEquals(waits.length, 1);
    assertStringIncludes(waits[0]!, "EC2 to answer DescribeSnapshots (no byte for");
    assertEquals(events.filter(({ type }) => type === "recovered").length, 1);
    assertLess(clock.monotonicMs(), 120_000);
  } finally {
    source.close();
    await server.close();
    await deaf.close();
  }
});

const ROLE = "arn:aws:iam::111122223333:role/examiner";

/** An endpoint that is EBS and STS at once: `assume` answers AssumeRole. */
function withRole(assume: (number: number) => Response) {
  let asked = 0;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    if (request.method !== "POST") return pageAnswer({ indexes: [1, 2] });
    const form = new URLSearchParams(await request.text());
    return form.get("Action") === "AssumeRole" ? assume(++asked) : new Response("", { status: 500 });
  });
  return { url: `http://127.0.0.1:${server.addr.port}`, asked: () => asked, close: () => server.shutdown() };
}

function assumed(): Response {
  const credentials = "<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>" +
    `<SessionToken>token</SessionToken><Expiration>${
      new Date(Date.now() + 3_600_000).toISOString()
    }</Expiration>`;
  const xml =
    `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>` +
    `${credentials}</Credentials></AssumeRoleResult></AssumeRoleResponse>`;
  return new Response(xml, { headers: { "content-type": "text/xml", "x-amzn-requestid": "1-2" } });
}

/** What STS may say instead, in passing. */
const ANSWERS: readonly (readonly [name: string, answer: () => Response])[] = [
  ["HTTP 500", () => new Response("", { status: 500 })],
  ["HTTP 503 in HTML", () => new Response("<html>no</html>", { status: 503 })],
  ["a portal's page", () => new Response("<html>Log in</html>")],
  ["a redirect", () => new Response(null, { status: 302, headers: { location: "http://login.example/" } })],
  ["a proxy's refusal", () => new Response("", { status: 403 })],
  ["broken XML", () => new Response("<AssumeRoleResponse", { headers: { "content-type": "text/xml" } })],
];

for (const [name, answer] of ANSWERS) {
  Deno.test(`listBlocks() waits for a role's credentials where STS answers with ${name} for a while`, async () => {
    const server = withRole((number) => number <= 8 ? answer() : assumed());
    const { source, clock } = await open(server.url, { roleArn: ROLE, firstAnswerWithinMs: 600_000 });
    try {
      const error = await assertRejects(() => source.credentials(), OperatorError);
      assertEquals([error.code, error.facts["credentials"]], [
        "source",
        `role ${ROLE}, assumed with the environment`,
      ]);
      assertEquals((await all(source.listBlocks(SNAPSHOT)))[0]!.blocks.length, 2);
      assert(server.asked() > 8 && clock.monotonicMs() > 0);
    } finally {
      source.close();
      await server.close();
    }
  });
}
