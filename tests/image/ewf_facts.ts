/** What the tests' E01 say of their origin, and when they say they were made. */
import type { Clock } from "../../src/model.ts";
import type { EwfFacts } from "../../src/image/mod.ts";
import { realClock } from "../../src/world.ts";

export const FACTS: EwfFacts = {
  caseNumber: "2026-17",
  evidenceNumber: "E-1",
  description: "EBS snapshot",
  examiner: "Ü. Example",
  notes: "",
  model: "",
  serialNumber: "vol-1",
  version: "0.1.0",
  platform: "Linux",
  acquiredAt: "2026-03-01T10:00:00.000Z",
};

/** An E01 names the time at which it was begun: two begun by this clock are equal. */
export const STOPPED_CLOCK: Clock = { ...realClock, nowMs: () => Date.UTC(2026, 2, 1, 12) };
