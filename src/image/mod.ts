/**
 * The door of `image`: an exhibit as something that a forensic tool opens. It sees a `BlockReader` and a `Disk`;
 * it knows neither stores nor AWS, and prints nothing.
 */
export { type DeviceFacts, type DeviceHost, realDeviceHost } from "./devices.ts";
export { DIGEST_TITLES, type DigestName, type LinearDigestValues, parseDigestNames } from "./digests.ts";
export { IMAGE_FORMATS, type ImageFormat } from "./container.ts";
export type { EwfFacts } from "./ewf_header.ts";
export {
  formatExportLog,
  type LabelledFacts,
  type LogFacts,
  type LoggedExport,
  readExportLog,
} from "./log.ts";
export type { VirtualDisk } from "./file_set.ts";
export { firstFileOf } from "./open_image.ts";
export { type ByteRange } from "./ranges.ts";
export { type ExportOptions, exportRaw, type ExportResult, type RawTarget } from "./raw.ts";
export { type ByteSink } from "./stream_target.ts";
export {
  formatReadBackFinding,
  readBack,
  type ReadBackFinding,
  type ReadBackOptions,
  type ReadBackResult,
} from "./read_back.ts";
export { type ImageProgress } from "./steps.ts";
export { windowLogPath } from "./window_log.ts";
export { inspectVolume, type Partition, type PartitionTable, type VolumeContents } from "./contents.ts";
export { FILE_SYSTEM_TITLES, type FileSystem, type FileSystemKind } from "./file_system.ts";
