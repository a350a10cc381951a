/**
 * An EBS direct-APIs endpoint over real HTTP, for drills, demos and tests: raw images or formulas served as
 * snapshots, requests checked as AWS checks them, faults on request and by seed. EC2's DescribeSnapshots and
 * DescribeInstances and STS's GetCallerIdentity, AssumeRole and GetSessionToken answer at the same address.
 *
 * This is the room's door. It shares no code with the client, so that each can find the other's mistakes; it
 * prints nothing, and tells what it sees through `requests` and callbacks.
 */
import * as fs from "node:fs";
import { randomBytes } from "node:crypto";
import type { Desk } from "./answering.ts";
import { SimulatorClock } from "./clock.ts";
import { type CredentialSet, KeyRing } from "./credentials.ts";
import type { Endpoint } from "./endpoint.ts";
import { type FaultPlan, NO_FAULTS, parseFaults } from "./faults.ts";
import type { InstanceSpec } from "./instances.ts";
import { Link } from "./link.ts";
import { type RequestEntry, RequestLog } from "./log.ts";
import { type HttpServer, listen } from "./server.ts";
import { type MfaDevice, type RoleSpec, Sessions } from "./sessions.ts";
import { type SnapshotFacts, SnapshotShelf, type SnapshotSpec } from "./snapshots.ts";
import { AWS_QUOTAS, type Quotas, Throttle } from "./throttle.ts";
import { TokenMint } from "./tokens.ts";
import { type FaultHook, Troubles } from "./troubles.ts";
import { Uploads } from "./uploads.ts";

export { SimulatorClock } from "./clock.ts";
export { writeDemoDisk } from "./demo_disk.ts";
export type { CredentialSet } from "./credentials.ts";
export {
  FAULT_KINDS,
  type FaultKind,
  type FaultPlan,
  type FaultTarget,
  NO_FAULTS,
  parseFaults,
} from "./faults.ts";
export type { ImagePresence } from "./image.ts";
export type { InstanceSpec } from "./instances.ts";
export type { CallCount, RequestEntry, RequestLog } from "./log.ts";
export type { CallName } from "./routing.ts";
export type { MfaDevice, RoleSpec } from "./sessions.ts";
export type { SnapshotFacts, SnapshotSpec } from "./snapshots.ts";
export type { SyntheticFormula } from "./synthetic.ts";
export { AWS_QUOTAS, type Quotas } from "./throttle.ts";
export type { FaultHook } from "./troubles.ts";

/** How an endpoint starts. */
export interface SimulatorOptions {
  /** Default 127.0.0.1. */
  readonly host?: string | undefined;
  /** Default 0: a free one. */
  readonly port?: number | undefined;
  /** Default us-east-1. */
  readonly region?: string | undefined;
  /** 12 digits: owner of the snapshots and of the credentials that name no other. Default 123456789012. */
  readonly account?: string | undefined;
  readonly snapshots?: readonly SnapshotSpec[] | undefined;
  /** What DescribeInstances tells of. Default none. */
  readonly instances?: readonly InstanceSpec[] | undefined;
  /** Default: one fresh pair, to be found in `credentials`. */
  readonly credentials?: readonly CredentialSet[] | undefined;
  /** What AssumeRole knows. Default none. */
  readonly roles?: readonly RoleSpec[] | undefined;
  /** MFA devices of those who have credentials. Default none. */
  readonly mfaDevices?: readonly MfaDevice[] | undefined;
  /** Default 524288. */
  readonly blockSizeBytes?: number | undefined;
  /** A page never has more blocks, whatever MaxResults says. Default 10,000. */
  readonly pageLimit?: number | undefined;
  /** Faults as text or as a plan. Default none. */
  readonly faults?: string | FaultPlan | undefined;
  /** Decides faults by hand, before the plan. */
  readonly faultHook?: FaultHook | undefined;
  /** Seed of the faults. Default 0. */
  readonly seed?: number | undefined;
  /** Default: AWS's rates. `none`: no limits. */
  readonly quotas?: Quotas | "none" | undefined;
  /** IAM actions that everybody is denied, such as `ebs:GetSnapshotBlock`. */
  readonly deny?: readonly string[] | undefined;
  /** Default: one that runs with the host's. */
  readonly clock?: SimulatorClock | undefined;
  /** Where snapshots made through StartSnapshot lie while the endpoint runs. Default: they are refused. */
  readonly uploadDirectory?: string | undefined;
  /** How long such a snapshot stays pending after CompleteSnapshot. Default 0. */
  readonly completionDelayMs?: number | undefined;
  /** Endpoints with one secret honour each other's tokens. Default random. */
  readonly tokenSecret?: Uint8Array | undefined;
  /** Counts GetSnapshotBlock requests per block. Default off. */
  readonly countBlocks?: boolean | undefined;
  /** A file to which each request is appended as one line of JSON. */
  readonly logFile?: string | undefined;
  readonly onRequest?: ((entry: RequestEntry) => void) | undefined;
  /** Told of a bug inside the simulator; the client gets an InternalServerException. Default: `close` throws it. */
  readonly onBug?: ((error: unknown) => void) | undefined;
}

/** A running endpoint. */
export interface Simulator {
  /** `http://HOST:PORT`. */
  readonly url: string;
  readonly port: number;
  readonly region: string;
  readonly account: string;
  readonly clock: SimulatorClock;
  readonly requests: RequestLog;
  /** The sets that are accepted now. */
  readonly credentials: readonly CredentialSet[];
  /** Environment variables with which an AWS client finds this endpoint and signs properly (first credentials). */
  environment(): Record<string, string>;
  /** Replaces a snapshot of the same id. An image is read once to find its present blocks. */
  addSnapshot(spec: SnapshotSpec): Promise<void>;
  /** Changes what is known of a snapshot; its blocks stay. */
  updateSnapshot(id: string, changes: SnapshotFacts): void;
  removeSnapshot(id: string): void;
  snapshotIds(): string[];
  setFaults(faults: string | FaultPlan): void;
  setQuotas(quotas: Quotas | "none"): void;
  setCredentials(sets: readonly CredentialSet[]): void;
  addCredentials(set: CredentialSet): void;
  /** Expires an access key now; all, where none is named. */
  expireCredentials(accessKeyId?: string): void;
  /** Denies IAM actions (`ebs:…`, `ec2:…`, `sts:…`, `kms:Decrypt`) to everybody. */
  deny(...actions: string[]): void;
  allow(...actions: string[]): void;
  /** Cuts the link (connections are reset, new requests too) or restores it. */
  setLinkDown(isDown: boolean): void;
  /** Stops. Files of uploaded snapshots are removed. Throws a bug that nobody was told of. */
  close(): Promise<void>;
}

/** Starts an endpoint. Throws `usage` for a wrong option or an address that cannot be had. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const parts = assemble(options);
  try {
    for (const spec of options.snapshots ?? []) await parts.endpoint.shelf.add(spec);
    const server = await listen(
      { desk: parts, link: parts.link, log: parts.requests },
      { host: options.host ?? "127.0.0.1", port: options.port ?? 0 },
    );
    return running(parts, server);
  } catch (error) {
    parts.release();
    throw error;
  }
}

/** An endpoint that does not listen yet. */
interface Parts extends Desk {
  readonly endpoint: Endpoint & { readonly denied: Set<string> };
  readonly link: Link;
  readonly requests: RequestLog;
  /** Bugs that nobody was told of. */
  readonly bugs: readonly unknown[];
  /** Closes all files. */
  release(): void;
}

function assemble(options: SimulatorOptions): Parts {
  const faults = planOf(options.faults ?? NO_FAULTS);
  const clock = options.clock ?? new SimulatorClock();
  const keys = new KeyRing(options.credentials ?? [freshPair()], options.account ?? DEFAULT_ACCOUNT);
  const endpoint = endpointOf(options, { clock, keys });
  const troubles = new Troubles(faults, {
    seed: options.seed ?? 0,
    hook: options.faultHook,
    victims: {
      expireCredentials: (accessKeyId) => keys.expire(clock.nowMs(), accessKeyId),
      removeSnapshot: (id) => endpoint.shelf.remove(id),
    },
  });
  const logDescriptor = options.logFile === undefined ? undefined : fs.openSync(options.logFile, "a");
  const requests = new RequestLog({
    countBlocks: options.countBlocks ?? false,
    onEntry(entry) {
      if (logDescriptor !== undefined) fs.writeSync(logDescriptor, `${JSON.stringify(entry)}\n`);
      options.onRequest?.(entry);
    },
  });
  const bugs: unknown[] = [];
  return {
    endpoint,
    keys,
    troubles,
    requests,
    bugs,
    throttle: new Throttle(quotasOf(options.quotas)),
    link: new Link(clock, faults),
    onBug: options.onBug ?? ((error) => void (bugs.length < 10 && bugs.push(error))),
    release() {
      endpoint.shelf.close();
      if (logDescriptor !== undefined) fs.closeSync(logDescriptor);
    },
  };
}

const DEFAULT_ACCOUNT = "123456789012";

function endpointOf(
  options: SimulatorOptions,
  { clock, keys }: { readonly clock: SimulatorClock; readonly keys: KeyRing },
): Parts["endpoint"] {
  const account = options.account ?? DEFAULT_ACCOUNT;
  const blockSizeBytes = options.blockSizeBytes ?? 524_288;
  return {
    region: options.region ?? "us-east-1",
    account,
    blockSizeBytes,
    pageLimit: options.pageLimit ?? 10_000,
    clock,
    instances: options.instances ?? [],
    sessions: new Sessions({ roles: options.roles ?? [], devices: options.mfaDevices ?? [], keys, clock }),
    mint: new TokenMint(options.tokenSecret),
    shelf: new SnapshotShelf({ account, blockSizeBytes, nowMs: () => clock.nowMs() }),
    uploads: new Uploads({
      directory: options.uploadDirectory,
      completionDelayMs: options.completionDelayMs ?? 0,
    }),
    denied: new Set(options.deny),
  };
}

function running(parts: Parts, server: HttpServer): Simulator {
  const { endpoint, keys, link, troubles, throttle, requests } = parts;
  const { region, account, clock, shelf, denied } = endpoint;
  const url = `http://${server.host.includes(":") ? `[${server.host}]` : server.host}:${server.port}`;
  return {
    url,
    port: server.port,
    region,
    account,
    clock,
    requests,
    get credentials() {
      return keys.sets;
    },
    environment: () => environmentOf({ url, region, set: keys.sets[0] }),
    addSnapshot: async (spec) => void await shelf.add(spec),
    updateSnapshot: (id, changes) => shelf.update(id, changes),
    removeSnapshot: (id) => shelf.remove(id),
    snapshotIds: () => shelf.all().map(({ id }) => id),
    setFaults(wanted) {
      const plan = planOf(wanted);
      link.setPlan(plan);
      troubles.setPlan(plan);
    },
    setQuotas: (quotas) => throttle.setQuotas(quotasOf(quotas)),
    setCredentials: (sets) => keys.replace(sets),
    addCredentials: (set) => keys.add(set),
    expireCredentials: (accessKeyId) => keys.expire(clock.nowMs(), accessKeyId),
    deny: (...actions) => actions.forEach((action) => denied.add(action)),
    allow: (...actions) => actions.forEach((action) => denied.delete(action)),
    setLinkDown(isDown) {
      link.setCut(isDown);
      if (isDown) server.dropConnections();
    },
    async close() {
      await server.close();
      parts.release();
      if (parts.bugs.length > 0) throw parts.bugs[0];
    },
  };
}

function planOf(faults: string | FaultPlan): FaultPlan {
  return typeof faults === "string" ? parseFaults(faults) : faults;
}

function quotasOf(quotas: Quotas | "none" | undefined): Quotas {
  return quotas === "none" ? {} : quotas ?? AWS_QUOTAS;
}

/** A pair that looks like AWS's: 20 characters and 40. */
function freshPair(): CredentialSet {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const name = [...randomBytes(16)].map((byte) => letters[byte % letters.length]).join("");
  return { accessKeyId: `AKIA${name}`, secretAccessKey: randomBytes(30).toString("base64") };
}

function environmentOf(
  facts: { readonly url: string; readonly region: string; readonly set: CredentialSet | undefined },
): Record<string, string> {
  const { url, region, set } = facts;
  return {
    AWS_ENDPOINT_URL: url,
    AWS_ENDPOINT_URL_EBS: url,
    AWS_ENDPOINT_URL_EC2: url,
    AWS_ENDPOINT_URL_STS: url,
    AWS_REGION: region,
    AWS_DEFAULT_REGION: region,
    AWS_EC2_METADATA_DISABLED: "true",
    ...(set
      ? {
        AWS_ACCESS_KEY_ID: set.accessKeyId,
        AWS_SECRET_ACCESS_KEY: set.secretAccessKey,
        ...(set.sessionToken === undefined ? {} : { AWS_SESSION_TOKEN: set.sessionToken }),
      }
      : {}),
  };
}
