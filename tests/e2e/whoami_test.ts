/**
 * `whoami` as its users start it: who is asked, what is allowed and what isn't, credentials that are over, an endpoint
 * that isn't there; and a server of AWS's APIs that no one here wrote.
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { outside, toolPath } from "../outside.ts";
import { withStage } from "./endpoint.ts";
import { freePort, withServer } from "./outside_server.ts";
import { assertExit, assertRefusal, coldcase, eventOf } from "./program.ts";

const NOTHING = { snapshots: [] };

function stateOf(event: Record<string, unknown>): Record<string, string> {
  const permissions = event["permissions"] as { readonly action: string; readonly state: string }[];
  return Object.fromEntries(permissions.map(({ action, state }) => [action, state]));
}

Deno.test("whoami says who asks, where, by which clock, and what is allowed", () =>
  withStage(NOTHING, async (stage) => {
    const ended = await stage.run(["whoami"]);
    assertExit(ended, 0);
    for (
      const text of ["arn:aws:iam::", "123456789012", "the environment", "not AWS's", "agrees with AWS's"]
    ) {
      assertStringIncludes(ended.stdout, text);
    }
    const event = eventOf(await stage.run(["whoami", "--json"]), "identity");
    assertEquals(new Set(Object.values(stateOf(event))), new Set(["allowed"]));
    assertEquals(Object.keys(stateOf(event)).length, 5);
    assertEquals([event["canRenew"], event["isAws"]], [false, false]);
    // Free to try, and nothing was read.
    assertEquals(stage.simulator.requests.count("GetSnapshotBlock"), 0);
  }));

Deno.test("whoami tells each action that is denied", async () => {
  for (
    const action of [
      "ec2:DescribeSnapshots",
      "ec2:DescribeInstances",
      "ebs:ListSnapshotBlocks",
      "ebs:ListChangedBlocks",
    ]
  ) {
    await withStage({ ...NOTHING, deny: [action] }, async (stage) => {
      const states = stateOf(eventOf(await stage.run(["whoami", "--json"]), "identity"));
      const denied = Object.keys(states).filter((one) => states[one] === "denied");
      assertEquals(denied, [action]);
    });
  }
});

Deno.test("whoami ends with 13 for credentials that AWS does not take, and for none", () =>
  withStage(NOTHING, async (stage) => {
    const unknown = { AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE", AWS_SECRET_ACCESS_KEY: "of nobody" };
    assertRefusal(await stage.run(["whoami"], { env: unknown }), {
      exitCode: 13,
      names: ["who the caller is", "InvalidClientTokenId"],
      hints: ["set fresh ones"],
    });
    const none = { AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "" };
    assertRefusal(await stage.run(["whoami"], { env: none }), {
      exitCode: 13,
      names: ["no credentials"],
      hints: ["AWS_ACCESS_KEY_ID"],
    });
  }));

Deno.test("whoami does not call a refusal no answer", () =>
  withStage({ ...NOTHING, deny: ["sts:GetCallerIdentity"] }, async (stage) => {
    const ended = await stage.run(["whoami"]);
    assertExit(ended, 0);
    assertMatch(ended.stdout, /^sts:GetCallerIdentity +unknown: AWS did not say$/m);
    assertMatch(ended.stdout, /^ebs:ListSnapshotBlocks +allowed$/m);
  }));

Deno.test("whoami ends with 14 where nothing answers", () =>
  withStage(NOTHING, async (stage) => {
    const { port } = new URL(stage.env["AWS_ENDPOINT_URL"]!);
    const env = stage.env;
    await stage.simulator.close();
    const ended = await coldcase(["whoami"], { env });
    assertRefusal(ended, { exitCode: 14, names: [`127.0.0.1:${port}`, "no answer"], hints: ["HTTPS_PROXY"] });
  }));

outside("whoami asks moto's STS, also as a role", ["python3", "py:moto", "py:flask"], async () => {
  const port = freePort();
  const server = new Deno.Command(toolPath("python3")!, {
    args: ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(port)],
    stdout: "null",
    stderr: "null",
  });
  await withServer(server, port, async (url) => {
    const env = {
      AWS_ENDPOINT_URL: url,
      AWS_REGION: "eu-central-1",
      AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE",
      AWS_SECRET_ACCESS_KEY: "secret",
    };
    const own = eventOf(await coldcase(["whoami", "--json"], { env }), "identity");
    assertEquals([own["account"], own["canRenew"]], ["123456789012", false]);
    const arn = "arn:aws:iam::123456789012:role/responder";
    const role = ["--role-arn", arn, "--session-name", "case-7"];
    const assumed = eventOf(await coldcase(["whoami", "--json", ...role], { env }), "identity");
    assertEquals(assumed["arn"], "arn:aws:sts::123456789012:assumed-role/responder/case-7");
    assertStringIncludes(String(assumed["credentials"]), arn);
    assertEquals(assumed["canRenew"], true);
    const [exchange, ...more] = assumed["chain"] as Record<string, unknown>[];
    assertEquals(more, []);
    assertEquals([exchange?.["how"], exchange?.["roleArn"], exchange?.["sessionName"], exchange?.["arn"]], [
      "AssumeRole",
      arn,
      "case-7",
      assumed["arn"],
    ]);
    assertEquals((assumed["base"] as Record<string, unknown>)["arn"], own["arn"]);
    assertEquals([own["base"], own["chain"], own["renewal"]], [null, [], "none"]);
    assertEquals(typeof assumed["expiresAt"], "string");
  });
});
