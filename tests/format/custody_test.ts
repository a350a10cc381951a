/** Entries of the custody log: given back as they were written, or refused by place; which chain is whose. */
import { assertEquals, assertMatch } from "@std/assert";
import { createHash } from "node:crypto";
import { encodeCanonicalJson } from "../../src/format/canonical_json.ts";
import {
  CUSTODY_ACTIONS,
  custodyChain,
  type CustodyEntry,
  decodeCustodyEntry,
  encodeCustodyEntry,
  MAX_CUSTODY_ENTRY_BYTES,
} from "../../src/format/custody.ts";
import type { ExhibitId } from "../../src/model.ts";
import { type Below, forRounds, pick } from "../seeded.ts";
import { assertRefused, digestOf, randomDigest, textOf } from "./refusals.ts";

const EXHIBIT = "ex-0123456789abcdef" as ExhibitId;

const SIGNER = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";
const STORE = "01".repeat(16);

const FIRST: CustodyEntry = {
  action: "acquire",
  at: "2026-01-02T03:04:05.678Z",
  chain: custodyChain({ signer: SIGNER, hostname: "collector-1", storeId: STORE }),
  clockSkewMs: null,
  commandLine: ["coldcase", "acquire"],
  exhibits: [{ commitment: digestOf("01"), exhibit: EXHIBIT }],
  host: { hostname: "collector-1", operatingSystem: "linux 6.8.0 x86_64", user: "examiner" },
  previous: null,
  reason: null,
  result: { exitCode: 0, facts: {}, outcome: "done" },
  seen: [],
  sequence: 0,
  signer: SIGNER,
  store: STORE,
  tool: {
    digest: null,
    name: "coldcase",
    runtime: "Deno 2.9.6 (x86_64-unknown-linux-gnu)",
    version: "0.1.0",
  },
  type: "coldcase-custody",
  version: 1,
};

/** The entry with `changes` in the chain that they give. */
function entryOf(changes: Partial<CustodyEntry>): CustodyEntry {
  const entry = { ...FIRST, ...changes };
  const { signer, host: { hostname }, store: storeId } = entry;
  return { ...entry, chain: custodyChain({ signer, hostname, storeId }) };
}

function randomEntry(below: Below): CustodyEntry {
  const sequence = pick(below, [0, 1, 99_999_999]);
  const facts = [null, true, false, 0, -7, 1e15, "", "Fäll 7", "x".repeat(4096)] as const;
  return entryOf({
    action: pick(below, CUSTODY_ACTIONS),
    clockSkewMs: pick(below, [null, 0, -1e15, 1234]),
    commandLine: Array.from(
      { length: below(5) },
      () => pick(below, ["", "--case", "Fäll 7", "x".repeat(8192)]),
    ),
    exhibits: Array.from({ length: below(4) }, () => ({ commitment: randomDigest(below), exhibit: EXHIBIT })),
    previous: sequence === 0 ? null : randomDigest(below),
    reason: pick(below, [null, "", "order of the court"]),
    result: {
      exitCode: below(256),
      facts: Object.fromEntries(
        Array.from({ length: below(6) }, (_, at) => [`fact ${at}`, pick(below, facts)]),
      ),
      outcome: pick(below, ["done", "integrity"]),
    },
    seen: Array.from({ length: below(4) }, (_, at) => ({
      chain: "cd".repeat(16),
      digest: randomDigest(below),
      sequence: at,
    })),
    sequence,
    signer: pick(below, [SIGNER, "SHA256:other"]),
    store: randomDigest(below).slice(32),
  });
}

Deno.test("decodeCustodyEntry() gives back what encodeCustodyEntry() took", () => {
  forRounds(60, (below) => {
    const entry = randomEntry(below);
    const bytes = encodeCustodyEntry(entry);
    assertEquals(decodeCustodyEntry(bytes, "entry"), entry);
    assertEquals(encodeCustodyEntry(decodeCustodyEntry(bytes, "entry")), bytes);
  });
});

Deno.test("decodeCustodyEntry() and encodeCustodyEntry() refuse members beyond their limits, by name", () => {
  const faults: [object, string][] = [
    [{ action: "delete" }, "action"],
    [{ at: "2026-02-30T03:04:05.678Z" }, "at"],
    [{ at: "2026-01-02T03:04:05Z" }, "at"],
    [{ chain: "AB".repeat(16) }, "chain"],
    [{ chain: "ab".repeat(17) }, "chain"],
    [{ clockSkewMs: 0.5 }, "clockSkewMs"],
    [{ commandLine: new Array(257).fill("a") }, "commandLine"],
    [{ commandLine: ["x".repeat(8193)] }, "commandLine[0]"],
    [{ exhibits: [{ commitment: "0", exhibit: EXHIBIT }] }, "exhibits[0].commitment"],
    [{ exhibits: [{ commitment: digestOf("01"), exhibit: "snap-0" }] }, "exhibits[0].exhibit"],
    [{ exhibits: [{ exhibit: EXHIBIT, manifest: digestOf("01") }] }, "exhibits[0].manifest"],
    [{ exhibits: [{ exhibit: EXHIBIT }] }, "exhibits[0].commitment"],
    [{ host: { ...FIRST.host, user: 7 } }, "host.user"],
    [{ reason: "x".repeat(4097) }, "reason"],
    [{ result: { ...FIRST.result, exitCode: 256 } }, "result.exitCode"],
    [{ result: { ...FIRST.result, facts: { list: [] } } }, "result.facts"],
    [{ seen: [{ chain: FIRST.chain, digest: digestOf("01"), sequence: -1 }] }, "seen[0].sequence"],
    [{ sequence: 100_000_000 }, "sequence"],
    [{ signer: null }, "signer"],
    [{ tool: { ...FIRST.tool, name: "other" } }, "tool.name"],
    [{ type: "coldcase-receipt" }, "type"],
    [{ store: "AB".repeat(16) }, "store"],
    [{ store: "ab".repeat(32) }, "store"],
    [{ store: null }, "store"],
    [{ version: 0 }, "version"],
    [{ version: 2 }, "version"],
    [{ note: 1 }, "note"],
  ];
  for (const [fault, place] of faults) {
    const entry = { ...FIRST, ...fault };
    assertRefused(
      () => decodeCustodyEntry(encodeCanonicalJson(entry), "entry 7"),
      "format",
      "entry 7",
      place,
    );
    assertRefused(() => encodeCustodyEntry(entry as CustodyEntry), "format", place);
  }
});

Deno.test("decodeCustodyEntry() holds that the first entry, and no other, is without predecessor", () => {
  for (const fault of [{ sequence: 1 }, { previous: digestOf("02") }]) {
    const bytes = encodeCanonicalJson({ ...FIRST, ...fault });
    assertRefused(() => decodeCustodyEntry(bytes, "entry 7"), "format", "entry 7", "predecessor");
  }
  const second = { ...FIRST, sequence: 1, previous: digestOf("02") };
  assertEquals(decodeCustodyEntry(encodeCanonicalJson(second), "entry"), second);
});

Deno.test("decodeCustodyEntry() and encodeCustodyEntry() refuse a chain that is not its signer's on its host in its store", () => {
  const refused = (entry: CustodyEntry) => {
    const bytes = encodeCanonicalJson(entry);
    const { signer, host: { hostname }, store: storeId } = entry;
    const own = custodyChain({ signer, hostname, storeId });
    const parts = [`is of chain ${entry.chain}`, `give ${own}`] as const;
    assertRefused(() => decodeCustodyEntry(bytes, "entry 7"), "integrity", "entry 7", ...parts);
    assertRefused(() => encodeCustodyEntry(entry), "integrity", ...parts);
  };
  const { signer, host, store } = entryOf({ signer: "SHA256:other", store: "02".repeat(16) });
  refused({ ...FIRST, signer });
  refused({ ...FIRST, store });
  refused({ ...FIRST, host: { ...host, hostname: "collector-2" } });
  refused({ ...FIRST, chain: "ab".repeat(16) });
  for (let bit = 0; bit < 4 * FIRST.chain.length; bit++) {
    const digits = [...FIRST.chain];
    digits[bit >> 2] = (parseInt(digits[bit >> 2]!, 16) ^ 1 << (bit & 3)).toString(16);
    refused({ ...FIRST, chain: digits.join("") });
  }
  // Neither who is logged in nor the system is part of a chain's name.
  const other = { ...FIRST, host: { ...host, user: "other", operatingSystem: "darwin 23" } };
  assertEquals(decodeCustodyEntry(encodeCanonicalJson(other), "entry"), other);
});

Deno.test("custodyChain() is the start of the SHA-256 of its four lines", () => {
  const lines = `coldcase-custody-chain\n${SIGNER}\ncollector-1\n${STORE}\n`;
  const digest = createHash("sha256").update(lines).digest("hex");
  assertEquals(FIRST.chain, digest.slice(0, 32));
});

Deno.test("decodeCustodyEntry() refuses bytes that are not canonical, and more than the limit", () => {
  const bytes = encodeCustodyEntry(FIRST);
  const text = textOf(bytes);
  const encode = (changed: string) => new TextEncoder().encode(changed);
  const changes = [
    `${text} `,
    `${text}\n`,
    ` ${text}`,
    text.replace('"version":1', '"version":1,"version":1'),
    text.replace('"sequence":0', '"sequence":0.0'),
    text.slice(0, -1),
  ];
  for (const changed of changes) {
    assertEquals(changed === text, false);
    assertRefused(() => decodeCustodyEntry(encode(changed), "entry 7"), "format", "entry 7");
  }
  const large = { ...FIRST, commandLine: new Array(256).fill("x".repeat(8192)) };
  assertEquals(encodeCanonicalJson(large).length > MAX_CUSTODY_ENTRY_BYTES, true);
  assertRefused(() => encodeCustodyEntry(large), "format");
});

Deno.test("custodyChain() is another for another key, host or store, and the same for the same", () => {
  const facts = { signer: FIRST.signer, hostname: "collector-1", storeId: "01".repeat(16) };
  const chain = custodyChain(facts);
  assertMatch(chain, /^[0-9a-f]{32}$/);
  assertEquals(custodyChain({ ...facts }), chain);
  const others = [{ signer: "SHA256:other" }, { hostname: "collector-2" }, { storeId: "02".repeat(16) }]
    .map((other) => custodyChain({ ...facts, ...other }));
  assertEquals(new Set([chain, ...others]).size, 4);
});
