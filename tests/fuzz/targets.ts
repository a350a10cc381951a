/** Every parser of the program that takes bytes from outside, for the fuzzer. */
import { AWS_TARGETS } from "./aws.ts";
import { DOCUMENT_TARGETS } from "./documents.ts";
import { IMAGE_TARGETS } from "./images.ts";
import { IMAGER_TARGETS } from "./imager.ts";
import { KEY_TARGETS } from "./keys.ts";
import { OUTSIDE_TARGETS } from "./outside.ts";
import { PACK_TARGETS } from "./packs.ts";
import type { Target } from "./target.ts";
import { VOLUME_TARGETS } from "./volumes.ts";

export const TARGETS: readonly Target[] = [
  ...PACK_TARGETS,
  ...DOCUMENT_TARGETS,
  ...KEY_TARGETS,
  ...OUTSIDE_TARGETS,
  ...VOLUME_TARGETS,
  ...AWS_TARGETS,
  ...IMAGER_TARGETS,
  ...IMAGE_TARGETS,
];
