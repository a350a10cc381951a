/**
 * The tags that `snapshot create` gives to each snapshot of a set: which set it is, of which instance, and under which
 * devices the instance had which volumes. They tell what belongs together, and what is missing, also when the instance is
 * gone. Pure text; whoever may tag snapshots may forge them: they help to find, and prove nothing.
 */
import { isVolumeId } from "./sources.ts";

/** 32 hexadecimal digits, the same in all snapshots of a set and in no others. */
export const SET_TAG = "coldcase:set";
export const INSTANCE_TAG = "coldcase:instance";
export const CASE_TAG = "coldcase:case";
export const EXAMINER_TAG = "coldcase:examiner";
/** `/dev/xvda=vol-… /dev/sdf=vol-…`; where one value has no room: `coldcase:devices-2`, …. */
export const DEVICES_TAG = "coldcase:devices";

/** AWS takes no longer values. */
export const MAX_TAG_VALUE_LENGTH = 256;
/** Of 128 volumes, the most that an instance has, with names of thirty letters. */
const MAX_DEVICE_TAGS = 40;

/** A volume, and the name under which its instance has it. */
export interface Device {
  readonly device: string;
  readonly volumeId: string;
}

/** Tags by name. A device whose name holds a blank, or is too long for a tag, is left out. */
export function deviceTags(devices: readonly Device[]): Record<string, string> {
  const values: string[] = [];
  for (const { device, volumeId } of devices) {
    const word = `${device}=${volumeId}`;
    if (/\s/.test(word) || word.length > MAX_TAG_VALUE_LENGTH) continue;
    const last = values.at(-1);
    if (last === undefined || last.length + 1 + word.length > MAX_TAG_VALUE_LENGTH) values.push(word);
    else values[values.length - 1] = `${last} ${word}`;
  }
  return Object.fromEntries(values.map((value, position) => [nameOf(position), value]));
}

/** What such tags say; words that are no device and volume are passed over. */
export function devicesOf(tags: Readonly<Record<string, string>>): Device[] {
  const devices: Device[] = [];
  for (let position = 0; position < MAX_DEVICE_TAGS; position++) {
    const name = nameOf(position);
    if (!Object.hasOwn(tags, name)) break;
    for (const word of tags[name]!.split(" ")) {
      const equals = word.lastIndexOf("=");
      const volumeId = word.slice(equals + 1);
      if (equals > 0 && isVolumeId(volumeId)) devices.push({ device: word.slice(0, equals), volumeId });
    }
  }
  return devices;
}

function nameOf(position: number): string {
  return position === 0 ? DEVICES_TAG : `${DEVICES_TAG}-${position + 1}`;
}
