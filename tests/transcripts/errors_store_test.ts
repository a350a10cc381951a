/**
 * Trouble with the store: another writer, damage, another version, a full disk, media that can't be written to. The whole text
 * of each error, and each of its hints followed to where it leads.
 *
 * Small and read-only file systems are mounted in a namespace of the test's own, which needs root.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type Desks, SNAPSHOT, withDesks } from "./desk.ts";
import { outside, outsideWithMounts } from "../outside.ts";
import { play, type Scene, settled } from "./scene.ts";

const ACQUIRE = `coldcase acquire ${SNAPSHOT} --case 2026-114 -q`;
const NOT_AWS = "coldcase: warning: NOT ACQUIRED FROM AWS";
const REPAIR =
  `coldcase: hint: Run "coldcase repair --dry-run" to see what can be mended: it changes nothing.`;
/** One byte of the first block's record. */
const DAMAGE =
  "printf X | dd of=$(ls evidence/packs/*/* | head -n 1) bs=1 seek=2000 conv=notrunc status=none";
const EDIT = "sed -i s/2026-114/2026-115/ evidence/exhibits/*/manifest-*.json";

const SCENES: readonly Scene[] = [
  {
    what: "another process writes to the store",
    laid: "plain",
    typed: `exec 9> evidence/lock; flock 9; ${ACQUIRE}`,
    exitCode: 11,
    stderr: `coldcase: error: Cannot write to store "DESK/evidence": another process is writing to it
coldcase: hint: Wait for it to end, or stop it: it saves what it has. Reading needs no lock.`,
    followed: [{
      typed: `exec 9> evidence/lock; flock 9; coldcase ls; coldcase export 7 -q -o a.img
exec 9>&-; ${ACQUIRE}`,
    }],
  },
  {
    what: "a damaged pack, verified",
    laid: "plain",
    before: DAMAGE,
    typed: "coldcase verify -q",
    exitCode: 20,
    stderr: `coldcase: error: EXHIBIT: "packs/XX/DIGEST.pack" has SHA-256 DIGEST, expected the one in its name
coldcase: error: EXHIBIT: Cannot accept record at byte N of pack "packs/XX/DIGEST.pack": its block's digest is DIGEST, expected DIGEST
coldcase: error: EXHIBIT: Block N (bytes FROM to TO of the volume): held by damaged records of "packs/XX/DIGEST.pack"
${REPAIR}`,
    followed: [{ typed: "HINTED", exitCode: 20 }],
  },
  {
    what: "a damaged pack, exported",
    laid: "plain",
    before: DAMAGE,
    typed: "coldcase export 7 -q -o a.img",
    exitCode: 20,
    stderr: `${NOT_AWS}
coldcase: error: Cannot read block N of "${SNAPSHOT}" (bytes FROM to TO of the volume): Cannot accept record at byte N of pack "packs/XX/DIGEST.pack": its block's digest is DIGEST, expected DIGEST
coldcase: hint: Run "coldcase verify EXHIBIT" to learn the whole damage.
coldcase: hint: What was written is kept: once the store is repaired, the same command carries on.`,
    followed: [
      { typed: "HINTED", exitCode: 20 },
      {
        typed:
          "coldcase repair -q --from mnt/copy/evidence --sign-key examiner.key; coldcase export 7 -q -o a.img",
      },
    ],
  },
  {
    what: "a damaged pack, copied",
    laid: "plain",
    before: DAMAGE,
    typed: "coldcase copy 7 -q --to mnt/usb/evidence",
    exitCode: 20,
    stderr: `coldcase: error: Cannot copy "packs/XX/DIGEST.pack": its SHA-256 is DIGEST, expected DIGEST
${REPAIR}`,
    followed: [{ typed: "HINTED", exitCode: 20 }],
  },
  {
    what: "what can be mended",
    laid: "plain",
    before: DAMAGE,
    typed: "coldcase repair --dry-run -q",
    exitCode: 20,
    stderr: `coldcase: hint: Run "coldcase repair" to do it.`,
    // One block is lost: no other copy was named.
    followed: [{ typed: "HINTED --sign-key examiner.key", exitCode: 20 }],
  },
  {
    what: "what can't be mended without another copy",
    laid: "plain",
    before: DAMAGE,
    typed: "coldcase repair -q --sign-key examiner.key",
    exitCode: 20,
    stderr:
      `coldcase: error: EXHIBIT: Block N (bytes FROM to TO of the volume): held by damaged records of "packs/XX/DIGEST.pack"
coldcase: hint: Run "coldcase repair --from STORE" to take what is lacking from another copy of the exhibit, or with --refetch to read its blocks from AWS again.`,
    followed: [{
      typed: `cp -r evidence second
HINTED -q --sign-key examiner.key
coldcase verify -q
coldcase repair --refetch -s second -q --sign-key examiner.key
coldcase verify -s second -q`,
      fills: [["STORE", "mnt/copy/evidence"]],
    }],
  },
  {
    what: "mended with another key than it was signed with",
    laid: "plain",
    before: DAMAGE,
    typed: "coldcase repair -q",
    exitCode: 12,
    stderr:
      `coldcase: error: Cannot repair "EXHIBIT": FINGERPRINT did not sign its manifest, expected FINGERPRINT
coldcase: hint: The new inventory must be signed by a key that signed the manifest: give that one with --sign-key.
coldcase: hint: Or add a signature by this one first: "coldcase sign EXHIBIT".`,
    followed: [
      { typed: "coldcase repair -q --from mnt/copy/evidence --sign-key examiner.key" },
      { typed: "HINTED; coldcase repair -q --from mnt/copy/evidence" },
    ],
  },
  {
    what: "an edited manifest, in a store that is named",
    laid: "plain",
    before: EDIT,
    typed: "coldcase ls -s ./evidence",
    exitCode: 20,
    stderr:
      `coldcase: error: Cannot accept "exhibits/EXHIBIT/manifest-DIGEST.json": its SHA-256 is DIGEST, expected the one in its name
coldcase: hint: Run "coldcase repair --dry-run -s ./evidence" to see what can be mended: it changes nothing.`,
    followed: [{
      typed: `cd mnt; rm -r copy/evidence/cache; cd ..; HINTED --from mnt/copy/evidence`,
      exitCode: 20,
    }],
  },
  {
    what: "a store of a later version",
    laid: "plain",
    before: `sed -i.bak 's/"readVersion":1/"readVersion":2/' evidence/store.json`,
    typed: "coldcase ls",
    exitCode: 21,
    stderr:
      `coldcase: error: Cannot read "DESK/evidence/store.json": has version 2, this program reads version 1
coldcase: hint: Use the version of coldcase that wrote the store, or a newer one.`,
    // The store as this version wrote it.
    followed: [{ typed: "mv evidence/store.json.bak evidence/store.json; coldcase ls" }],
  },
];

outside(
  "trouble with a store is told in words, and each hint leads on",
  ["bash", "openssl", "ssh-keygen", "flock"],
  (context) =>
    withDesks(async (desks) => {
      for (const scene of SCENES) await context.step(scene.what, () => play(desks, scene));
    }),
);

/** Types `commands` as root of a namespace of its own, in which it may mount. */
async function mounted(desks: Desks, desk: string, commands: string) {
  return await desks.try(
    `export -f coldcase\nunshare --mount bash -euo pipefail -c '${commands}'`,
    desk,
  );
}

outsideWithMounts(
  "a disk that is full says so, keeps what it has, and the same command goes on once there is room",
  ["bash", "openssl", "ssh-keygen"],
  () =>
    withDesks(async (desks) => {
      const desk = await desks.desk("plain");
      const tried = await mounted(
        desks,
        desk,
        `mount -t tmpfs -o size=3m none mnt/usb
${ACQUIRE} -s mnt/usb/evidence || echo "ended with $?" >&2
coldcase export 7 -q -o mnt/usb/a.img || echo "ended with $?" >&2
mount -o remount,size=60m mnt/usb
echo "there is room" >&2
${ACQUIRE} -s mnt/usb/evidence
coldcase export 7 -q -o mnt/usb/a.img
coldcase verify -q -s mnt/usb/evidence`,
      );
      assertEquals(tried.exitCode, 0, tried.stderr);
      const said = settled(tried.stderr, desk).split("there is room")[0]!.split("\n").filter((line) =>
        // Whether the entry still finds room is chance.
        !line.includes("not entered into the custody log")
      ).join("\n");
      assertEquals(
        said.replace(
          /Cannot [a-z ]+ "DESK\/mnt\/usb\/evidence\/[^"]+": .*/,
          "Cannot WRITE FILE: No space left on device",
        ),
        `${NOT_AWS}: the endpoint is ENDPOINT
coldcase: error: Cannot WRITE FILE: No space left on device
coldcase: hint: Free some space there, then run the same command again: what was recorded is safe.
ended with 15
${NOT_AWS}
coldcase: error: Cannot export to "DESK/mnt/usb/a.img": SIZE free in "DESK/mnt/usb", 5 MiB needed
coldcase: hint: Make room there, or name a target with more.
ended with 15
`,
      );
    }),
);

outsideWithMounts(
  "all that only reads works from write-protected media, and says that custody was not logged",
  ["bash", "openssl", "ssh-keygen"],
  () =>
    withDesks(async (desks) => {
      const desk = await desks.desk("plain");
      const tried = await mounted(
        desks,
        desk,
        `mount --bind evidence evidence; mount -o remount,bind,ro evidence
if touch evidence/x; then exit 99; fi 2> /dev/null
for command in ls "info 7" "report 7" custody; do
  coldcase $command > "$command.txt" 2> "$command.err"
done
coldcase verify -q 2> verify.err
coldcase export 7 -q -o a.img 2> export.err
coldcase verify -q --read-back a.img 7 2> read-back.err
coldcase verify -q --custody-out entry.json 2> out.err
${ACQUIRE} 2> acquire.err || echo "ended with $?" >> acquire.err
${ACQUIRE} -s other 2> other.err`,
      );
      assertEquals(tried.exitCode, 0, tried.stderr);
      const said = (name: string) => settled(Deno.readTextFileSync(`${desk}/${name}.err`), desk);
      for (const name of ["ls", "info 7", "report 7", "out"]) assertEquals(said(name), "", name);
      // The head that was there before: the log's own reading is no entry.
      assertEquals(said("custody"), "coldcase: custody log: entry 0 of chain CHAIN, head DIGEST\n");
      for (const name of ["verify", "export", "read-back"]) {
        assertStringIncludes(
          said(name),
          "warning: not entered into the custody log, which cannot be written to",
        );
        assertStringIncludes(said(name), "--custody-out FILE keeps the entry elsewhere");
      }
      assert(JSON.parse(Deno.readTextFileSync(`${desk}/entry.json`)).action === "verify");
      assertEquals(
        said("acquire"),
        `coldcase: error: Cannot lock "DESK/evidence/lock": Read-only file system (os error 30): open 'DESK/evidence/lock'
coldcase: hint: The file system is mounted read-only: mount it writable, or use another --store.
ended with 15
`,
      );
    }),
);
