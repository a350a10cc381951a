/**
 * EC2 instances at the same endpoint, as far as they lead to snapshots: DescribeInstances with the volumes that are
 * attached. They run nothing; whoever starts the endpoint says which there are.
 *
 * @see https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html
 */
import { filtersOf, numbered, pageOf, refusal } from "./ec2_form.ts";
import type { Answer, ApiRequest, Endpoint } from "./endpoint.ts";
import { xmlDocument, type XmlNode } from "./xml.ts";

const NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/";

const STATE_CODES = { pending: 0, running: 16, "shutting-down": 32, terminated: 48, stopped: 80 } as const;

/** An instance to tell of. */
export interface InstanceSpec {
  readonly id: string;
  /** Volume ids by device name, in EC2's order. */
  readonly volumes: Readonly<Record<string, string>>;
  /** Default running. A terminated one has no volumes. */
  readonly state?: keyof typeof STATE_CODES | undefined;
  /** 12 digits. Default: the simulator's account. */
  readonly ownerId?: string | undefined;
}

export type HeldInstance = InstanceSpec;

/** What each filter compares. */
const FILTERS: Readonly<Record<string, (instance: HeldInstance) => readonly string[]>> = {
  "instance-id": ({ id }) => [id],
  "instance-state-name": ({ state }) => [state ?? "running"],
  "block-device-mapping.volume-id": ({ volumes }) => Object.values(volumes),
};

/** Instances of the caller's account. */
export function describeInstances(endpoint: Endpoint, request: ApiRequest): Answer {
  const form = request.route.query;
  const ids = numbered(form, "InstanceId");
  const account = request.caller.account;
  const own = endpoint.instances.filter(({ ownerId }) => (ownerId ?? endpoint.account) === account);
  for (const id of ids) {
    if (!/^i-([0-9a-f]{8}|[0-9a-f]{17})$/.test(id)) {
      throw refusal("InvalidInstanceID.Malformed", `Invalid id: "${id}"`);
    }
    if (!own.some((instance) => instance.id === id)) {
      throw refusal("InvalidInstanceID.NotFound", `The instance ID '${id}' does not exist`);
    }
  }
  const filters = filtersOf<HeldInstance>(
    form,
    (name) => Object.hasOwn(FILTERS, name) ? FILTERS[name] : undefined,
  );
  const found = own
    .filter(({ id }) => ids.length === 0 || ids.includes(id))
    .filter((instance) => filters.every((matches) => matches(instance)))
    .sort((a, b) => a.id < b.id ? -1 : 1);
  const { page, nextToken } = pageOf(found, { form, hasIds: ids.length > 0, set: "instancesSet" });
  const body = xmlDocument({ name: "DescribeInstancesResponse", namespace: NAMESPACE }, [
    ["requestId", request.requestId],
    ["reservationSet", page.map((instance): XmlNode => ["item", reservationNodes(instance, account)])],
    ["nextToken", nextToken],
  ]);
  return { status: 200, headers: { "Content-Type": "text/xml;charset=UTF-8" }, body };
}

function reservationNodes({ id, volumes, state = "running" }: HeldInstance, account: string): XmlNode[] {
  const devices = state === "terminated" ? [] : Object.entries(volumes);
  return [
    ["reservationId", `r-${id.slice(2)}`],
    ["ownerId", account],
    ["instancesSet", [["item", [
      ["instanceId", id],
      ["instanceState", [["code", String(STATE_CODES[state])], ["name", state]]],
      [
        "blockDeviceMapping",
        devices.map(([device, volumeId]): XmlNode => ["item", [
          ["deviceName", device],
          ["ebs", [["volumeId", volumeId], ["status", "attached"], ["deleteOnTermination", "true"]]],
        ]]),
      ],
    ]]]],
  ];
}
