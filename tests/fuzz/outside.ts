/** What people and other programs give, as targets of the fuzzer: time-stamps, prices, sizes, files beside an image. */
import { parseCredentials } from "../../src/aws/credentials_file.ts";
import { readDenial } from "../../src/aws/denial.ts";
import { parsePriceTable } from "../../src/plan.ts";
import { EXAMPLE_PRICES } from "../../src/plan.ts";
import { decodeTimestampResponse, decodeTimestampToken } from "../../src/format/timestamp.ts";
import { readCheckpoint } from "../../src/image/checkpoint.ts";
import { readExportLog } from "../../src/image/log.ts";
import type { Disk } from "../../src/model.ts";
import * as units from "../../src/units.ts";
import { bytesOf, textOf } from "../format/refusals.ts";
import { der, integer, NULL, REQUEST, sequence, token } from "../format/unsigned_token.ts";
import { law, type Target } from "./target.ts";

const ACCURATE = token({
  optional: [
    sequence(integer(1), der(0x80, Uint8Array.of(2, 3)), der(0x81, Uint8Array.of(7))),
    der(0x02, REQUEST.nonce),
  ],
});
const REFUSED = sequence(
  sequence(integer(2), sequence(der(0x0c, bytesOf("no clock"))), der(0x03, Uint8Array.of(1, 0x80))),
);

function checkTimestamp(facts: ReturnType<typeof decodeTimestampToken>): void {
  const { at, accuracyMs } = facts;
  law(new Date(at).toISOString().slice(0, 19) === at.slice(0, 19), `${at} is on no calendar`);
  law(
    accuracyMs === undefined || (Number.isFinite(accuracyMs) && accuracyMs >= 0),
    `an accuracy of ${accuracyMs} ms`,
  );
  law(/^[0-9a-f]*$/.test(facts.serialNumber), "a serial number that is none");
  law(/^[0-9.]+$/.test(facts.policy), `a policy "${facts.policy.slice(0, 80)}"`);
}

/** A disk with one file, as far as reading one goes. */
function diskWith(bytes: Uint8Array): Disk {
  const read = (into: Uint8Array, offset: number) => {
    const part = bytes.subarray(offset, offset + into.length);
    into.set(part);
    return part.length;
  };
  const disk: Pick<Disk, "stat" | "open"> = {
    stat: () => ({ kind: "file", sizeBytes: bytes.length } as ReturnType<Disk["stat"]>),
    open:
      () => ({ read, sizeBytes: () => bytes.length, close: () => {} } as unknown as ReturnType<Disk["open"]>),
  };
  return disk as Disk;
}

const CHECKPOINT = {
  type: "coldcase-partial-image",
  version: 1,
  format: "raw",
  imageDigest: "5e".repeat(32),
  volumeSizeBytes: 2 ** 30,
  blockSizeBytes: 524_288,
  durableBytes: 1_048_576,
  sessions: 2,
  startedAt: "2026-01-02T03:04:05.678Z",
};

const LOG = `coldcase export log, version 1

Image
  File                   disk.dd
  Size                   1073741824 bytes (1.00 GiB)

Exhibit
  Image root (Merkle)    ${"5e".repeat(32)}
  Case                   2026-017

Digests of the image's 1073741824 bytes, from the first to the last
  MD5                    ${"2a".repeat(16)}
  SHA-1                  ${"2b".repeat(20)}
  SHA-256                ${"2c".repeat(32)}

`;

const SESSION = {
  AccessKeyId: "ASIAIOSFODNN7EXAMPLE",
  SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
  SessionToken: "IQoJb3JpZ2luX2VjEXAMPLETOKEN==",
  Expiration: "2030-01-02T03:04:05+00:00",
};

const REFUSALS = [
  "User: arn:aws:sts::123456789012:assumed-role/r/s is not authorized to perform: ebs:GetSnapshotBlock on resource: " +
  "arn:aws:ec2:us-east-1::snapshot/snap-0123456789abcdef0 because no identity-based policy allows the " +
  "ebs:GetSnapshotBlock action",
  "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/u is not authorized to perform: " +
  "ec2:CreateTags with an explicit deny in a service control policy: arn:aws:organizations::1:policy/o/p",
];

/** A parser of one text that somebody typed: a number that it gives must be one to reckon with. */
function typed(
  name: string,
  texts: readonly string[],
  parse: (text: string) => number | units.Rate | string,
): Target {
  return {
    name,
    kind: "text",
    codes: ["usage"],
    samples: texts.map(bytesOf),
    weight: 0.5,
    parse: (bytes) => {
      const given = parse(textOf(bytes));
      const numbers = typeof given === "object" ? Object.values(given) : [given];
      for (const number of numbers) {
        law(
          typeof number === "string" || (Number.isFinite(number) && number >= 0),
          `${name} gives ${number}`,
        );
      }
    },
  };
}

export const OUTSIDE_TARGETS: readonly Target[] = [
  {
    name: "time-stamp token",
    kind: "bytes",
    samples: [token(), ACCURATE],
    regressions: [
      ...["20260231030405Z", "20260102240000Z", "20260102030460Z"].map((time) => token({ time })),
      ...[[0x80], [0xff, 0xff], [0x7f, 0xff, 0xff, 0xff, 0xff]].map((bytes) =>
        token({ optional: [sequence(integer(...bytes)), der(0x02, REQUEST.nonce)] })
      ),
      token({ optional: [sequence(der(0x80, new Uint8Array(200).fill(0xff))), der(0x02, REQUEST.nonce)] }),
    ],
    parse: (bytes) => checkTimestamp(decodeTimestampToken(bytes)),
  },
  {
    name: "time-stamp answer",
    kind: "bytes",
    codes: ["format", "integrity", "source"],
    samples: [sequence(sequence(integer(0)), token()), sequence(sequence(integer(1), NULL), ACCURATE)],
    regressions: [REFUSED],
    parse: (bytes) => checkTimestamp(decodeTimestampResponse(bytes, REQUEST)),
  },
  {
    name: "image checkpoint",
    kind: "json",
    codes: [],
    samples: [bytesOf(JSON.stringify(CHECKPOINT))],
    parse: (bytes) => {
      const given = readCheckpoint(diskWith(bytes), "image.partial.json");
      law(given === "unknown" || Number.isSafeInteger(given?.durableBytes), "a checkpoint without a place");
    },
  },
  {
    name: "export log",
    kind: "text",
    codes: ["format"],
    samples: [bytesOf(LOG)],
    parse: (bytes) => {
      const given = readExportLog(diskWith(bytes), "image.log");
      law(Number.isSafeInteger(given?.volumeSizeBytes), "a log without a size");
    },
  },
  {
    name: "credentials file",
    kind: "json",
    codes: ["usage"],
    samples: [
      bytesOf(JSON.stringify({ Credentials: SESSION })),
      bytesOf(JSON.stringify({ Version: 1, ...SESSION })),
    ],
    parse: (bytes) => {
      const { accessKeyId, secretAccessKey, sessionToken = "-", expiration } = parseCredentials(
        textOf(bytes),
        "s.json",
      );
      // They become headers of a request.
      for (const text of [accessKeyId, secretAccessKey, sessionToken]) {
        law(/^[!-~]+$/.test(text), "no header");
      }
      law(expiration === undefined || Number.isFinite(expiration.getTime()), "an end that is no time");
    },
  },
  {
    name: "words of a refusal",
    kind: "text",
    codes: [],
    samples: REFUSALS.map(bytesOf),
    parse: (bytes) => {
      const { principal, action, resource } = readDenial(textOf(bytes));
      // They stand in statements that people paste.
      for (const text of [principal, action, resource]) {
        law(text === undefined || /^[\w+=,.@:/*-]+$/.test(text), "odd words");
      }
    },
  },
  {
    name: "price table",
    kind: "json",
    codes: ["usage"],
    samples: [bytesOf(JSON.stringify(EXAMPLE_PRICES))],
    parse: (bytes) => {
      for (const member of Object.values(parsePriceTable(textOf(bytes), "prices.json"))) {
        law(typeof member === "string" || (Number.isFinite(member) && member >= 0), `a price of ${member}`);
      }
    },
  },
  typed("size", ["4096", "2GiB", "650 MB", "1.5 TiB"], units.parseSize),
  typed("rate", ["20MiB/s", "300req/s", "2.5 req/s"], units.parseRate),
  typed("duration", ["30s", "1.5h", "24h", "2d", "10ms"], units.parseDuration),
  typed("amount of money", ["12", "$12.50", "0.01"], units.parseUsd),
  typed("snapshot id", ["snap-01234567", "snap-0123456789abcdef0"], units.parseSnapshotId),
];
