/**
 * `simulate`: a strict EBS endpoint on this machine, for drills, demos and tests. Serves until Ctrl-C. What
 * it does is in simulate/; here the command line becomes its options.
 */
import { defineCommand, type OptionTable } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import { type CredentialSet, parseFaults, startSimulator } from "../simulate/mod.ts";
import { parseSize } from "../units.ts";
import { drillSpecs } from "./_simulate_specs.ts";

const OPTIONS = {
  listen: { value: "HOST:PORT", default: "127.0.0.1:0", summary: "address; port 0 takes a free one" },
  snapshot: {
    value: "ID=FILE",
    repeatable: true,
    summary: "serve a raw image as this snapshot",
    details:
      "ID=FILE,KEY=VALUE… sets more: volume=vol-… (snapshots of one volume can be compared), state=pending, " +
      "tier=archive, owner=ACCOUNT, kms-key=ARN, kms=denied, public=yes, present=all (zeros count as written), " +
      "started=TIME, pending-for=TIME, description=TEXT. " +
      "Instead of a FILE, synthetic:SIZE makes a volume by formula, with seed=, version=, every=, density=, change=.",
  },
  instance: {
    value: "ID=DEVICE:VOLUME,…",
    repeatable: true,
    summary: "an instance, and the volumes that it has",
    details:
      "In place of a volume's id that of a served snapshot of it. Snapshots that are named so have one start time, as those " +
      "of one CreateSnapshots call. state=terminated: EC2 knows it, and none of its volumes.",
  },
  faults: {
    value: "LIST",
    summary: "troubles on request, comma-separated",
    details:
      "Such as error500:0.05, reset:0.01, checksum:0.01, throttle:0.1, bad-block:1204=checksum, bandwidth=1MiB/s, " +
      "drop-every=5m:30s, expire-credentials:after=500, vanish:after=100.",
  },
  seed: { value: "N", default: "0", parse: Number, summary: "seed of the faults" },
  "block-size": { value: "SIZE", default: "512KiB", parse: parseSize, summary: "bytes of a block" },
  region: { value: "REGION", default: "us-east-1", summary: "Region that it answers for" },
  "upload-dir": { value: "DIR", summary: "accept StartSnapshot; new snapshots lie here" },
  deny: {
    value: "ACTION",
    repeatable: true,
    summary: "deny an action, such as ebs:GetSnapshotBlock",
    details:
      'ACTION=POLICY has a policy forbid it, such as "service control policy" or "permissions boundary".',
  },
  log: { value: "FILE", summary: "append each request to FILE, one JSON a line" },
} as const satisfies OptionTable;

export const simulate = defineCommand({
  usage: "",
  description:
    `Serves raw images as EBS snapshots over HTTP, as strictly as AWS: signatures, tokens, paging, throttling, errors. Other clients (the AWS command line, SDKs, coldsnap) work against it too.

Requests must be signed with the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of its environment; without them it prints a pair.`,
  options: OPTIONS,
  exitCodes: { storage: true },
  environment: {
    AWS_ACCESS_KEY_ID: "access key that requests must be signed with",
    AWS_SECRET_ACCESS_KEY: "its secret; AWS_SESSION_TOKEN: its token, where it has one",
  },
  examples: [
    {
      command: "coldcase simulate --snapshot snap-0123456789abcdef0=disk.img",
      says: "a drill with an image of yours",
    },
    {
      command: "coldcase simulate --snapshot snap-00000001=a.img --faults reset:0.02",
      says: "on a bad day",
    },
  ],
  async run({ out, world, signal }, { options }) {
    const { host, port } = parseAddress(options.listen);
    const own = ownCredentials((name) => world.environment(name));
    const specs = drillSpecs(options.snapshot, options.instance, world.clock.nowMs());
    const simulator = await startSimulator({
      host,
      port,
      region: options.region,
      blockSizeBytes: options["block-size"],
      ...specs,
      faults: options.faults === undefined ? undefined : parseFaults(options.faults),
      seed: options.seed,
      deny: options.deny,
      uploadDirectory: options["upload-dir"],
      logFile: options.log,
      credentials: own ? [own] : undefined,
      onRequest: (entry) => out.detail(`${entry.call} ${entry.status}`),
    });
    try {
      const variables = Object.entries(simulator.environment())
        .filter(([name]) => own === undefined || !/KEY|TOKEN/.test(name))
        .map(([name, value]) => `export ${name}=${value}\n`);
      out.result(variables.join(""));
      out.event({
        type: "summary",
        url: simulator.url,
        region: simulator.region,
        snapshots: simulator.snapshotIds(),
        ...(own === undefined &&
          {
            accessKeyId: simulator.credentials[0]?.accessKeyId,
            secretAccessKey: simulator.credentials[0]?.secretAccessKey,
          }),
      });
      out.note(
        `serving ${simulator.snapshotIds().join(", ") || "no snapshot"} at ${simulator.url}; Ctrl-C ends`,
      );
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      return 0;
    } finally {
      await simulator.close();
    }
  },
});

/** The pair of this process's own environment: what its clients shall sign with. */
function ownCredentials(environment: (name: string) => string | undefined): CredentialSet | undefined {
  const accessKeyId = environment("AWS_ACCESS_KEY_ID");
  const secretAccessKey = environment("AWS_SECRET_ACCESS_KEY");
  const sessionToken = environment("AWS_SESSION_TOKEN");
  return accessKeyId && secretAccessKey ? { accessKeyId, secretAccessKey, sessionToken } : undefined;
}

function parseAddress(text: string): { readonly host: string; readonly port: number } {
  const match = /^(.+):(\d{1,5})$/.exec(text);
  if (!match || Number(match[2]) > 65_535) {
    throw new OperatorError("usage", `Cannot listen on "${text}": expected HOST:PORT`);
  }
  return { host: match[1]!.replace(/^\[(.*)\]$/, "$1"), port: Number(match[2]) };
}
