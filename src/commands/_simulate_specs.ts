/**
 * Snapshots and instances of a drill, from the command line of `simulate`: pure. Which volume an instance has under which
 * device may be said by a snapshot of that volume.
 */
import { isInstanceId, isVolumeId } from "../aws/sources.ts";
import { OperatorError } from "../errors.ts";
import type { InstanceSpec, SnapshotSpec } from "../simulate/mod.ts";
import { GIB, parseDuration, parseSize } from "../units.ts";

/** What is to be served. Throws `usage`. */
export function drillSpecs(
  snapshots: readonly string[],
  instances: readonly string[],
  nowMs: number,
): { readonly snapshots: readonly SnapshotSpec[]; readonly instances: readonly InstanceSpec[] } {
  const specs = snapshots.map((text) => parseSnapshot(text, nowMs));
  const ofSets = new Set<string>();
  const served = instances.map((text) => parseInstance(text, specs, ofSets));
  return {
    snapshots: specs.map((spec) =>
      spec.startTimeMs === undefined && ofSets.has(spec.id) ? { ...spec, startTimeMs: nowMs } : spec
    ),
    instances: served,
  };
}

const STATES = ["running", "stopped", "terminated"] as const;

/** `ID=DEVICE:VOLUME|SNAPSHOT,…[,state=STATE]`; adds the snapshots that it names to `named`. */
function parseInstance(text: string, specs: readonly SnapshotSpec[], named: Set<string>): InstanceSpec {
  const refuse = (fault: string): never => {
    throw new OperatorError("usage", `Cannot serve instance "${text}": ${fault}`, {
      hints: ["Expected ID=DEVICE:VOLUME,DEVICE:SNAPSHOT…, such as i-00000001=/dev/xvda:snap-00000001"],
    });
  };
  const equals = text.indexOf("=");
  const id = text.slice(0, Math.max(0, equals));
  if (!isInstanceId(id)) refuse("an instance's id is i- and 8 to 17 hexadecimal digits");
  const volumes: Record<string, string> = {};
  let state: InstanceSpec["state"];
  for (const word of text.slice(equals + 1).split(",")) {
    const wanted = /^state=(.*)$/.exec(word)?.[1];
    if (wanted !== undefined) {
      state = STATES.find((one) => one === wanted) ?? refuse(`state is ${STATES.join(" or ")}`);
      continue;
    }
    const colon = word.lastIndexOf(":");
    const [device, what] = [word.slice(0, Math.max(0, colon)), word.slice(colon + 1)];
    if (device === "") refuse(`"${word}" is not DEVICE:VOLUME`);
    if (Object.hasOwn(volumes, device)) refuse(`${device} is named twice`);
    const spec = specs.find((one) => one.id === what);
    if (spec) named.add(spec.id);
    volumes[device] = spec
      ? spec.volumeId ?? `vol-${spec.id.slice(5)}`
      : isVolumeId(what)
      ? what
      : refuse(`"${what}" is neither a volume's id nor a snapshot that is served`);
  }
  return { id, volumes, state };
}

/** `ID=FILE[,KEY=VALUE…]`. Throws `usage`. */
function parseSnapshot(text: string, nowMs: number): SnapshotSpec {
  const refuse = (fault: string): never => {
    throw new OperatorError("usage", `Cannot serve "${text}": ${fault}`, {
      hints: ["Expected ID=FILE or ID=FILE,KEY=VALUE…"],
    });
  };
  const equals = text.indexOf("=");
  if (equals < 0) refuse("there is no =");
  const [file = "", ...settings] = text.slice(equals + 1).split(",");
  const facts = new Map(settings.map((setting) => {
    const at = setting.indexOf("=");
    return at < 0 ? refuse(`"${setting}" is not KEY=VALUE`) : [setting.slice(0, at), setting.slice(at + 1)];
  }));
  const take = (key: string): string | undefined => {
    const value = facts.get(key);
    facts.delete(key);
    return value;
  };
  const oneOf = <const T extends string>(key: string, allowed: readonly T[]): T | undefined => {
    const value = take(key);
    return value === undefined
      ? undefined
      : allowed.find((one) => one === value) ?? refuse(`${key} is ${allowed.join(" or ")}`);
  };
  const number = (key: string): number | undefined => {
    const value = take(key);
    return value === undefined
      ? undefined
      : Number.isFinite(Number(value))
      ? Number(value)
      : refuse(`${key} is a number`);
  };
  const started = take("started");
  const startTimeMs = started === undefined ? undefined : Date.parse(started);
  if (Number.isNaN(startTimeMs)) refuse("started is a time such as 2026-01-02T03:04:05Z");
  const pendingFor = take("pending-for");
  const kmsKeyId = take("kms-key");
  const kms = oneOf("kms", ["denied"]);
  const common = {
    id: text.slice(0, equals),
    volumeId: take("volume"),
    startTimeMs,
    pendingUntilMs: pendingFor === undefined ? undefined : nowMs + parseDuration(pendingFor),
    description: take("description"),
    ownerId: take("owner"),
    state: oneOf("state", ["pending", "completed", "error"]),
    tier: oneOf("tier", ["standard", "archive"]),
    public: oneOf("public", ["yes"]) === "yes",
    encrypted: kmsKeyId !== undefined || kms !== undefined,
    kmsKeyId,
    kmsDenied: kms === "denied",
  };
  const spec: SnapshotSpec = file.startsWith("synthetic:")
    ? {
      ...common,
      synthetic: {
        seed: number("seed") ?? 0,
        volumeSizeGib: Math.ceil(parseSize(file.slice("synthetic:".length)) / GIB),
        version: number("version"),
        every: number("every"),
        density: number("density"),
        changeRate: number("change"),
      },
    }
    : { ...common, path: file, present: oneOf("present", ["all", "nonzero"]) };
  const unknown = facts.keys().next().value;
  return unknown === undefined ? spec : refuse(`"${unknown}" is not a setting`);
}
