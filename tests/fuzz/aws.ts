/**
 * Answers of AWS as targets of the fuzzer. An input is an answer as text: a status, headers, an empty line, the body; it
 * is what `fetch` gives to the real request handler, SDK and client. An answer is taken, or it is a verdict that
 * tells what to do: never "the network is down", for something did answer.
 */
import { createHash } from "node:crypto";
import { EbsClient } from "../../src/aws/client.ts";
import { type Call, changedCall, getCall, listCall } from "../../src/aws/calls.ts";
import { CredentialKeeper } from "../../src/aws/credentials.ts";
import { classify } from "../../src/aws/errors.ts";
import { FetchHandler } from "../../src/aws/handler.ts";
import { checkPage, type RawPage } from "../../src/aws/listing.ts";
import { openSource } from "../../src/aws/source.ts";
import { FakeClock, HALF, KEYS, OTHER, SNAPSHOT } from "../aws/fakes.ts";
import { bytesOf } from "../format/refusals.ts";
import { law, type Target } from "./target.ts";

const ENDPOINT = "http://127.0.0.1:9";
const REGION = "eu-central-1";
const BLOCK = new Uint8Array(512).fill(7);
const SIGNAL = new AbortController().signal;

/** Bytes of the answer that every request gets, while one is looked at. */
let answer: Uint8Array<ArrayBuffer> = new Uint8Array(0);

/** Without a body by the standard: the constructor refuses one. */
const BODILESS: readonly number[] = [204, 205, 304];

function responseOf(input: Uint8Array<ArrayBuffer>): Response {
  const end = endOfHead(input);
  const [first = "", ...lines] = new TextDecoder("latin1").decode(input.subarray(0, end)).split("\n");
  const number = /^\d{3}$/.test(first) ? Number(first) : 200;
  const status = number >= 200 && number <= 599 ? number : 200;
  const headers = new Headers();
  for (const line of lines) {
    // Others never get through an HTTP client.
    const [, name, value] = /^([\w-]+): ([\t\x20-\x7e\x80-\xff]*)$/.exec(line) ?? [];
    if (name !== undefined) headers.append(name, value!);
  }
  const body = input.slice(Math.min(input.length, end + 2));
  return new Response(BODILESS.includes(status) ? null : streamOf(body), { status, headers });
}

/** A stream of bytes, as fetch gives one: a Response made of bytes has another. */
function streamOf(bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    type: "bytes",
    start(controller) {
      if (bytes.length > 0) controller.enqueue(bytes);
      controller.close();
    },
  });
}

function endOfHead(input: Uint8Array): number {
  for (let at = 0; at + 1 < input.length; at++) if (input[at] === 0x0a && input[at + 1] === 0x0a) return at;
  return input.length;
}

/** The answer with a length and checksum that are those of its body, whatever became of that. */
function mendChecksum(input: Uint8Array<ArrayBuffer>): Uint8Array {
  const body = input.subarray(Math.min(input.length, endOfHead(input) + 2));
  return joined(blockHead(body), body);
}

function blockHead(body: Uint8Array): string {
  const checksum = createHash("sha256").update(body).digest("base64");
  return `200\nx-amzn-requestid: 1-2-3\nx-amz-data-length: ${body.length}\nx-amz-checksum: ${checksum}\nx-amz-checksum-algorithm: SHA256\n\n`;
}

function joined(head: string, body: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([...bytesOf(head), ...body]);
}

const clock = new FakeClock(Date.UTC(2026, 0, 2));
const environment = (name: string) => KEYS[name];

/** All that lasts from input to input; made when the first one comes. */
async function makeParts() {
  const handler = new FetchHandler({ environment, clock });
  const keeper = new CredentialKeeper({
    provider: () => Promise.resolve({ accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "x" }),
    ...{ clock, onEvent: () => {}, skewMs: () => 0, source: "a test", canRenew: false },
  });
  const client = await EbsClient.make({
    ...{
      region: REGION,
      endpoint: ENDPOINT,
      endpointUrl: ENDPOINT,
      environment,
      handler,
      keeper,
      onEvent: () => {},
    },
  });
  const source = await openSource({ clock, randomness: HALF, environment, endpointUrl: ENDPOINT });
  return { client, handler, source };
}

type Parts = Awaited<ReturnType<typeof makeParts>>;
let made: Promise<Parts> | undefined;

/** Ends what the inputs used. */
export async function closeAws(): Promise<void> {
  const parts = await made;
  made = undefined;
  parts?.client.close();
  parts?.handler.close();
  parts?.source.close();
}

/** Runs `act` while every request gets `input` as its answer. */
async function answered<T>(input: Uint8Array<ArrayBuffer>, act: (parts: Parts) => Promise<T>): Promise<T> {
  const parts = await (made ??= makeParts());
  const realFetch = globalThis.fetch;
  answer = input;
  globalThis.fetch = () => Promise.resolve(responseOf(answer));
  try {
    return await act(parts);
  } finally {
    globalThis.fetch = realFetch;
  }
}

/** What a refused answer is called must be something that a person can read, and never an outage of the network. */
function checkVerdict(thrown: unknown, call: Call): void {
  const verdict = classify(thrown, { call, region: REGION, answeredBefore: true });
  law(
    !(verdict.kind === "retry" && verdict.from === "network"),
    `an answer is taken for no network: ${verdict.reason}`,
  );
  law(verdict.reason.length <= 1000 && !verdict.reason.includes("\n"), "a reason that is no line");
  law((verdict.requestId ?? "").length <= 256, "an id that no record holds");
  if (verdict.kind !== "fatal") return;
  law(verdict.error.hints.every((hint) => hint.length <= 4000), "a hint that is no line");
  throw verdict.error;
}

function listing(call: Call, ask: (client: EbsClient) => Promise<RawPage>): Target["parse"] {
  return (input) =>
    answered(input, async ({ client }) => {
      let raw: RawPage;
      try {
        raw = await ask(client);
      } catch (thrown) {
        return checkVerdict(thrown, call);
      }
      const { blocks, shape } = checkPage(raw, { call, isComparison: call.action === "ListChangedBlocks" });
      law(
        blocks.every(({ index }, at) =>
          index < shape.blockCount && (at === 0 || index > blocks[at - 1]!.index)
        ),
        "indexes",
      );
    });
}

async function getBlock(input: Uint8Array<ArrayBuffer>): Promise<void> {
  await answered(input, async ({ client }) => {
    try {
      const call = { snapshot: SNAPSHOT, index: 7, token: "token", blockSizeBytes: 512 };
      const { bytes, digest } = await client.getBlock(call, SIGNAL);
      law(
        bytes.length === 512 && createHash("sha256").update(bytes).digest("hex") === digest,
        "a block is not its digest",
      );
    } catch (thrown) {
      if (thrown instanceof Error && thrown.message.startsWith("broken law")) throw thrown;
      checkVerdict(thrown, getCall(SNAPSHOT, 7));
    }
  });
}

const JSON_HEAD =
  "200\nx-amzn-requestid: 1-2-3\ncontent-type: application/json\ndate: Fri, 02 Jan 2026 00:00:00 GMT\n\n";
const LISTED = JSON.stringify({
  BlockSize: 512,
  Blocks: [{ BlockIndex: 0, BlockToken: "token0" }, { BlockIndex: 5, BlockToken: "token5" }],
  ExpiryTime: 4102444800.5,
  NextToken: "page2",
  VolumeSize: 1,
});
const CHANGED = JSON.stringify({
  BlockSize: 512,
  ChangedBlocks: [{ BlockIndex: 1, FirstBlockToken: "old", SecondBlockToken: "new" }, {
    BlockIndex: 4,
    SecondBlockToken: null,
  }],
  VolumeSize: "1",
});

/** What EBS says when it refuses. */
const REFUSALS = [
  ...["400\nx-amzn-errortype: ValidationException\n\n" + '{"Message":"no","Reason":"INVALID_PAGE_TOKEN"}'],
  ...[
    "403\nx-amzn-errortype: AccessDeniedException\n\n" +
    '{"Message":"User: x is not authorized","Reason":"UNAUTHORIZED_ACCOUNT"}',
  ],
  ...[
    "404\nx-amzn-errortype: ResourceNotFoundException\n\n" +
    '{"Message":"gone","Reason":"SNAPSHOT_NOT_FOUND"}',
  ],
  ...[
    "429\nx-amzn-errortype: RequestThrottledException:http://x\n\n" + '{"message":"slow"}',
    "500\n\noops",
    "302\nlocation: /x\n\n",
  ],
].map(bytesOf);

const SNAPSHOTS = `200\ncontent-type: text/xml\n\n<?xml version="1.0" encoding="UTF-8"?>
<DescribeSnapshotsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>1-2-3</requestId><snapshotSet><item>
<snapshotId>${SNAPSHOT}</snapshotId><volumeId>vol-0123</volumeId><status>completed</status><startTime>2026-01-02T03:04:05.678Z</startTime>
<ownerId>111122223333</ownerId><volumeSize>8</volumeSize><description>a &lt;disk&gt; &#x1b;[2J</description><encrypted>true</encrypted>
<tagSet><item><key>Name</key><value>db</value></item></tagSet></item></snapshotSet></DescribeSnapshotsResponse>`;
const EC2_REFUSAL = `400\n\n<?xml version="1.0"?><Response><Errors><Error><Code>UnauthorizedOperation</Code>
<Message>no</Message></Error></Errors><RequestID>1</RequestID></Response>`;
const CALLER =
  `200\ncontent-type: text/xml\n\n<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<GetCallerIdentityResult><Arn>arn:aws:iam::111122223333:user/x</Arn><UserId>AIDA</UserId><Account>111122223333</Account>
</GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>`;

/** Entities in entities, elements in elements, and one attribute after the other. */
const XML_BOMBS = [
  `200\n\n<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a0 "ha">${
    Array.from({ length: 40 }, (_, at) => `<!ENTITY a${at + 1} "&a${at};&a${at};">`).join("")
  }]><DescribeSnapshotsResponse><snapshotSet><item><snapshotId>&a40;</snapshotId></item></snapshotSet></DescribeSnapshotsResponse>`,
  `200\n\n${"<a>".repeat(100_000)}`,
  `200\n\n${"<a>".repeat(20_000)}${"</a>".repeat(20_000)}`,
  `200\n\n<a ${"b='c' ".repeat(50_000)}/>`,
  `400\n\n<Response><Errors>${"<Error>".repeat(20_000)}`,
  `200\n\n<![CDATA[${"]".repeat(100_000)}`,
  `200\n\n<!--${"-".repeat(100_000)}`,
];

/** Weights are small: each input runs through all of the SDK, and asides are asked four times. */
export const AWS_TARGETS: readonly Target[] = [
  {
    name: "ListSnapshotBlocks",
    kind: "text",
    codes: ["source", "access", "not_found"],
    weight: 0.15,
    samples: [bytesOf(JSON_HEAD + LISTED), ...REFUSALS.slice(0, 1)],
    regressions: [
      '{"Blocks":{}}',
      '{"Blocks":[null]}',
      '{"Blocks":"x"}',
      "[]",
      "null",
      "7",
      '"x"',
      "{}",
      "",
      "[".repeat(1e6),
    ]
      .map((body) => bytesOf(JSON_HEAD + body)),
    parse: listing(listCall(SNAPSHOT), (client) => client.listBlocks(SNAPSHOT, { maxResults: 100 }, SIGNAL)),
  },
  {
    name: "ListSnapshotBlocks, its body",
    kind: "json",
    codes: ["source", "access", "not_found"],
    weight: 0.15,
    samples: [bytesOf(LISTED)],
    parse: (body) =>
      listing(listCall(SNAPSHOT), (client) => client.listBlocks(SNAPSHOT, { maxResults: 100 }, SIGNAL))(
        joined(JSON_HEAD, body),
      ),
  },
  {
    name: "ListChangedBlocks, its body",
    kind: "json",
    codes: ["source", "access", "not_found"],
    weight: 0.1,
    samples: [bytesOf(CHANGED)],
    parse: (body) => {
      const pair = { first: OTHER, second: SNAPSHOT };
      return listing(
        changedCall(pair),
        (client) => client.listChangedBlocks(pair, { maxResults: 100 }, SIGNAL),
      )(
        joined(JSON_HEAD, body),
      );
    },
  },
  {
    name: "refusals of EBS",
    kind: "text",
    codes: ["source", "access", "not_found"],
    weight: 0.15,
    samples: REFUSALS.slice(3),
    regressions: REFUSALS,
    parse: listing(listCall(SNAPSHOT), (client) => client.listBlocks(SNAPSHOT, { maxResults: 100 }, SIGNAL)),
  },
  {
    name: "GetSnapshotBlock",
    kind: "text",
    codes: ["source", "access", "not_found"],
    weight: 0.15,
    samples: [joined(blockHead(BLOCK), BLOCK)],
    regressions: ["SHA256", "x-amz-checksum: "].map((part) =>
      joined(blockHead(BLOCK).replace(part, part + "x".repeat(4000)), BLOCK)
    ),
    mend: mendChecksum,
    parse: getBlock,
  },
  {
    name: "DescribeSnapshots",
    kind: "text",
    codes: ["source", "access"],
    weight: 0.05,
    samples: [bytesOf(SNAPSHOTS)],
    regressions: [EC2_REFUSAL, ...XML_BOMBS].map(bytesOf),
    parse: (input) =>
      answered(input, async ({ source }) => {
        const told = await source.describe(SNAPSHOT);
        law(JSON.stringify(told).length < 4 * input.length + 4096, "more was told than was said");
      }),
  },
  {
    name: "GetCallerIdentity",
    kind: "text",
    codes: ["source", "access"],
    weight: 0.05,
    samples: [bytesOf(CALLER)],
    regressions: XML_BOMBS.map(bytesOf),
    parse: (input) =>
      answered(input, async ({ source }) => {
        const told = await source.callerIdentity();
        law(JSON.stringify(told ?? {}).length < 4 * input.length + 4096, "more was told than was said");
      }),
  },
];
