/**
 * Keys, signatures and age files as targets of the fuzzer: SSHSIG, raw signatures, verifying keys, OpenSSH's private keys with
 * and without a passphrase, age headers, payloads, recipients and identities. Of what a passphrase protects only as much is opened
 * as asks for little work: how long honest work takes is bounded elsewhere.
 */
import { Buffer } from "node:buffer";
import {
  AgeReader,
  AgeWriter,
  decodeAgeHeader,
  decryptAge,
  Identities,
  makeIdentity,
  Recipients,
} from "../../src/cipher_age.ts";
import {
  encodeIdentityFile,
  encryptIdentityFile,
  openIdentityFiles,
  readRecipientsFile,
} from "../../src/cipher_age_files.ts";
import { decodeSshsig } from "../../src/format/sshsig.ts";
import * as verifying from "../../src/format/verifying_key.ts";
import { verifyRaw, verifySshsig } from "../../src/keys.ts";
import { decodeOpensshKey, encodeOpensshKey, keyOfSeed } from "../../src/keys_openssh.ts";
import { bytesOf, textOf } from "../format/refusals.ts";
import { TEST_KEY } from "../signing_key.ts";
import { law, type Target } from "./target.ts";

const MESSAGE = bytesOf("a manifest");
const SSHSIG = await TEST_KEY.signSshsig(MESSAGE, "coldcase-manifest@v1");
const RAW = await TEST_KEY.signRaw!(MESSAGE);

/** Made by ssh-keygen with one round of bcrypt and the passphrase "pass". */
const PROTECTED_KEY = `-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABCvYG4PRm
Pf/rb8dm14htHtAAAAAQAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIBn9Q5LX6FQkdFQv
OzNbSWyiMPLESyGefos+5U40Tt7qAAAAkK+bDEdFbBDURZufqkTS2WxVgI5peq1mBqJm0T
QrcVUkbOrwFfzVjnO86X6RxgOlNJCQ5aqy3j/4EHE6B/w3qjGd6LOuw4TpWP0nbl4Jfn1Q
s5jbPTSxcekDofz1RM+3QXPZWevJhKNbI62ko6M9gDOgM2eKRNygPaNkweewnmzkHQUIZo
sxdY4ziZ+WlcZAUA==
-----END OPENSSH PRIVATE KEY-----
`;
const PLAIN_KEY = encodeOpensshKey(new Uint8Array(32).fill(7), {
  comment: "a test's key",
  check: 0x01020304,
});
const KEY = keyOfSeed(new Uint8Array(32).fill(7)).verifying;
const KEY_TEXTS = [
  verifying.encodePublicKeyLine(KEY, "examiner"),
  `# who may sign\n${verifying.encodeAllowedSigner(KEY)}\n`,
  verifying.encodeSpkiPem(KEY),
];
/** Blanks that three parts of a pattern could share. */
const BLANKS = " ".repeat(60_000);

/** Opens a key as long as that takes a few rounds of bcrypt. */
async function openKey(text: string): Promise<void> {
  const closed = decodeOpensshKey(text, "key");
  if (closed.needsPassphrase && roundsOf(text) > 2) return;
  const { verifying: key } = await closed.open("pass");
  law(key.fingerprint === closed.verifying.fingerprint, "a secret of another key");
}

/** The four bytes behind the salt, where the sample has them. */
function roundsOf(text: string): number {
  const blob = Buffer.from(text.replace(/-----[^-]*-----/g, ""), "base64");
  const at = blob.indexOf("bcrypt");
  const salt = at < 0 || blob.length < at + 14 ? 0 : blob.readUInt32BE(at + 10);
  return blob.length < at + 18 + salt ? Infinity : blob.readUInt32BE(at + 14 + salt);
}

const IDENTITY = await makeIdentity("x25519");
const QUANTUM = await makeIdentity("post-quantum");
const IDENTITIES = await Identities.of([{ secret: IDENTITY.secret, place: "a test" }]);
const RECIPIENTS = await Recipients.of([{ text: IDENTITY.recipient, place: "a test" }]);
const HEADER = await RECIPIENTS.newHeader();
const PLAINTEXT = bytesOf("what nobody else may read\n".repeat(40));
const AGE_FILE = ageFile(PLAINTEXT);
const EMPTY_FILE = ageFile(new Uint8Array(0));
const PROTECTED_IDENTITY = await encryptIdentityFile(IDENTITY, {
  passphrase: "pass",
  madeAtMs: 0,
  workFactor: 2,
});

function ageFile(plaintext: Uint8Array): Uint8Array {
  const writer = new AgeWriter(HEADER, new Uint8Array(16).fill(9));
  return Uint8Array.from([...writer.push(plaintext), ...writer.finish()].flatMap((piece) => [...piece]));
}

function inMemory(bytes: Uint8Array) {
  return {
    sizeBytes: () => bytes.length,
    read(into: Uint8Array, offset: number) {
      const part = bytes.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    },
    close: () => {},
  };
}

/** The payload behind an untouched header, with the file key that belongs to it. */
function readPayload(payload: Uint8Array): void {
  const reader = new AgeReader(inMemory(payload), {
    fileKey: HEADER.fileKey,
    headerBytes: 0,
    name: "payload",
  });
  const plaintext = new Uint8Array(reader.sizeBytes());
  law(reader.read(plaintext, 0) === plaintext.length, "a plaintext that is shorter than it says");
  law(
    Buffer.compare(plaintext, PLAINTEXT) === 0 || plaintext.length === 0,
    "another plaintext than was written",
  );
}

/** Files are what identities and recipients are read from. */
async function fromFile(bytes: Uint8Array, read: (path: string) => unknown): Promise<void> {
  const path = await Deno.makeTempFile({ prefix: "coldcase-fuzz-" });
  try {
    Deno.writeFileSync(path, bytes, { mode: 0o600 });
    await read(path);
  } finally {
    Deno.removeSync(path);
  }
}

async function openIdentities(bytes: Uint8Array): Promise<void> {
  const workFactor = / (\d+)\n/.exec(/-> scrypt [^\n]*\n/.exec(textOf(bytes))?.[0] ?? "")?.[1];
  if (Number(workFactor ?? 0) > 8) return void decodeAgeHeader(bytes, "identity file");
  await fromFile(bytes, (path) => openIdentityFiles([path], { passphrase: "pass" }));
}

export const KEY_TARGETS: readonly Target[] = [
  {
    name: "SSHSIG",
    kind: "text",
    samples: [SSHSIG],
    parse: (bytes) => {
      decodeSshsig(bytes);
      const key = verifySshsig(MESSAGE, bytes, "coldcase-manifest@v1");
      law(
        key.fingerprint === TEST_KEY.fingerprint && Buffer.compare(bytes, SSHSIG) === 0,
        "another text of a signature holds",
      );
    },
  },
  {
    name: "raw signature",
    kind: "bytes",
    samples: [RAW],
    weight: 0.5,
    parse: (bytes) => {
      verifyRaw(MESSAGE, bytes, TEST_KEY);
      return RAW;
    },
  },
  {
    name: "verifying keys",
    kind: "text",
    codes: ["format", "usage"],
    samples: KEY_TEXTS.map(bytesOf),
    regressions: [`-----BEGIN PUBLIC KEY-----${BLANKS}!`, `x${BLANKS}ssh-ed25519`, `"${BLANKS}`].map(bytesOf),
    parse: (bytes) => {
      for (const key of verifying.decodeVerifyingKeys(textOf(bytes), "keys")) {
        law(
          verifying.verifyingKey(key.publicKey).fingerprint === key.fingerprint,
          "a key of another fingerprint",
        );
      }
    },
  },
  {
    name: "public key blob",
    kind: "bytes",
    samples: [verifying.encodeKeyBlob(KEY.publicKey)],
    parse: (bytes) => verifying.encodeKeyBlob(verifying.decodeKeyBlob(bytes).publicKey),
  },
  {
    name: "OpenSSH private key",
    kind: "text",
    codes: ["format", "usage", "identity"],
    samples: [bytesOf(PLAIN_KEY)],
    regressions: [`-----BEGIN OPENSSH PRIVATE KEY-----${BLANKS}!`].map(bytesOf),
    parse: (bytes) => openKey(textOf(bytes)),
  },
  {
    name: "OpenSSH private key behind its armor",
    kind: "bytes",
    codes: ["format", "usage", "identity"],
    samples: [blobOf(PLAIN_KEY), blobOf(PROTECTED_KEY)],
    weight: 0.2,
    parse: (bytes) =>
      openKey(
        `-----BEGIN OPENSSH PRIVATE KEY-----\n${bytes.toBase64()}\n-----END OPENSSH PRIVATE KEY-----\n`,
      ),
  },
  {
    name: "age header",
    kind: "text",
    samples: [HEADER.bytes],
    parse: (bytes) => {
      const { bytes: header, stanzaTypes } = decodeAgeHeader(bytes, "file");
      law(stanzaTypes.length > 0 && header.length <= bytes.length, "a header of nobody");
      return header.length === bytes.length ? header : undefined;
    },
  },
  {
    name: "age file",
    kind: "bytes",
    codes: ["format", "integrity", "identity"],
    samples: [AGE_FILE, EMPTY_FILE],
    weight: 0.3,
    parse: async (bytes) => {
      const plaintext = await decryptAge(bytes, {
        identities: IDENTITIES,
        name: "file",
        maxBytes: 64 * 1024,
        acceptsArmor: true,
      });
      law(
        plaintext.length === 0 || Buffer.compare(plaintext, PLAINTEXT) === 0,
        "another plaintext than was written",
      );
    },
  },
  {
    name: "age payload",
    kind: "bytes",
    samples: [AGE_FILE.subarray(HEADER.bytes.length), EMPTY_FILE.subarray(HEADER.bytes.length)],
    parse: readPayload,
  },
  {
    name: "age identities",
    kind: "text",
    codes: ["format", "integrity", "identity", "usage"],
    samples: [
      bytesOf(encodeIdentityFile(IDENTITY, { atMs: 0 })),
      bytesOf(encodeIdentityFile(QUANTUM, { atMs: 0 })),
      PROTECTED_IDENTITY,
    ],
    weight: 0.1,
    parse: openIdentities,
  },
  {
    name: "age recipients",
    kind: "text",
    codes: ["usage"],
    samples: [`# team\n${IDENTITY.recipient}\n`, `${QUANTUM.recipient}\n`].map(bytesOf),
    weight: 0.1,
    parse: (bytes) => fromFile(bytes, async (path) => await Recipients.of(readRecipientsFile(path))),
  },
];

function blobOf(text: string): Uint8Array {
  return Uint8Array.fromBase64(text.replace(/-----[^-]*-----/g, "").replaceAll("\n", ""));
}
