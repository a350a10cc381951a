/**
 * What is wrong with a command line, and with what it names: the whole text of each error, and each of its hints followed to
 * where it leads. Trouble with the source and with the store have files of their own beside this one.
 */
import { SNAPSHOT, withDesks } from "./desk.ts";
import { outside } from "../outside.ts";
import { play, type Scene } from "./scene.ts";

const ACQUIRE = `coldcase acquire ${SNAPSHOT} --case 2026-114 -q`;
const NOT_AWS = "coldcase: warning: NOT ACQUIRED FROM AWS";

const USAGE: readonly Scene[] = [
  {
    what: "no such command",
    laid: "plain",
    typed: "coldcase lss",
    exitCode: 2,
    stderr: `coldcase: error: Cannot run "lss": coldcase has no such command
coldcase: hint: did you mean ls
coldcase: hint: coldcase -h lists the commands`,
    followed: [{ typed: "coldcase ls" }, { typed: "coldcase -h" }],
  },
  {
    what: "no such option",
    laid: "plain",
    typed: `${ACQUIRE} --bugdet 3`,
    exitCode: 2,
    stderr: `coldcase: error: Cannot take --bugdet: acquire has no such option
coldcase: hint: did you mean --budget
coldcase: hint: coldcase acquire -h lists what it takes`,
    followed: [{ typed: `${ACQUIRE} --budget 3` }, { typed: "coldcase acquire -h" }],
  },
  {
    what: "an argument is missing",
    laid: "empty",
    typed: "coldcase info -q",
    exitCode: 2,
    stderr: `coldcase: error: Cannot run info: EXHIBIT is missing
coldcase: hint: coldcase info -h lists what it takes`,
    followed: [{ typed: "coldcase info -h" }],
  },
  {
    what: "no Region",
    laid: "empty",
    typed: `unset AWS_REGION AWS_DEFAULT_REGION; coldcase plan ${SNAPSHOT}`,
    exitCode: 2,
    stderr: `coldcase: error: Cannot choose a Region: nothing names one, one is needed
coldcase: hint: Name it with --region, with AWS_REGION, or in the profile that --profile names.`,
    followed: [{
      typed: `unset AWS_REGION AWS_DEFAULT_REGION
coldcase plan ${SNAPSHOT} --region eu-central-1
AWS_REGION=eu-central-1 coldcase plan ${SNAPSHOT}
keys="aws_access_key_id = $AWS_ACCESS_KEY_ID\naws_secret_access_key = $AWS_SECRET_ACCESS_KEY"
printf "[profile case]\nregion = eu-central-1\n$keys\n" > config
AWS_CONFIG_FILE=config coldcase plan ${SNAPSHOT} --profile case`,
    }],
  },
  {
    what: "the Region is not the endpoint's",
    laid: "empty",
    typed: `coldcase plan ${SNAPSHOT} --region us-east-1`,
    exitCode: 2,
    stderr: `${NOT_AWS}: the endpoint is ENDPOINT
coldcase: error: Cannot list blocks of "${SNAPSHOT}": the endpoint is of another Region than us-east-1
coldcase: hint: Name the endpoint's own Region with --region, or the Region's own endpoint with --endpoint-url.`,
    followed: [{ typed: `coldcase plan ${SNAPSHOT} --region eu-central-1` }],
  },
  {
    what: "two exhibits have the evidence number",
    laid: "plain",
    before: `${ACQUIRE} --fresh --evidence 7`,
    typed: "coldcase info 7",
    exitCode: 2,
    stderr: `coldcase: error: Cannot tell which exhibit "7" is: 2 match
coldcase: hint: Name one of EXHIBIT, EXHIBIT.`,
    followed: [{ typed: "for id in $(ls evidence/exhibits); do coldcase info $id; done" }],
  },
  {
    what: "which of two snapshots an evidence number is for",
    laid: "empty",
    typed: `coldcase acquire ${SNAPSHOT} snap-00000000 --evidence 8 --case 1`,
    exitCode: 2,
    stderr: `coldcase: error: Cannot use evidence number "8": which snapshot it is for is not clear
coldcase: hint: With several snapshots give --evidence SNAP=NUMBER once for each.`,
    // The other one does not exist.
    followed: [{
      typed: `coldcase acquire ${SNAPSHOT} snap-00000000 --evidence ${SNAPSHOT}=8 --case 1 || [[ $? == 10 ]]
coldcase info 8`,
    }],
  },
  {
    what: "the store is another case's",
    laid: "plain",
    typed: `coldcase acquire ${SNAPSHOT} --case 2026-115`,
    exitCode: 2,
    stderr: `coldcase: error: Cannot use store "DESK/evidence" for case "2026-115": it holds case "2026-114"
coldcase: hint: Use a store of its own for each case, or --mixed-cases to keep both in this one.
coldcase: hint: Where "2026-114" was a mistake, "coldcase correct" sets it right, exhibit by exhibit.`,
    followed: [{
      typed: `coldcase acquire ${SNAPSHOT} --case 2026-115 -s 2026-115
coldcase acquire ${SNAPSHOT} --case 2026-115 --mixed-cases`,
    }, {
      typed: `HINTED 7 --case 2026-115 --reason "Typing error"
coldcase acquire ${SNAPSHOT} --case 2026-115`,
    }],
  },
  {
    what: "a correction without a reason",
    laid: "plain",
    typed: "coldcase correct 7 --case 2026-115",
    exitCode: 2,
    stderr: `coldcase: error: Cannot correct: no reason was given
coldcase: hint: Give --reason TEXT: it stands beside the old value.`,
    followed: [{ typed: `coldcase correct 7 --case 2026-115 --reason "Typing error"` }],
  },
  {
    what: "a correction of nothing",
    laid: "plain",
    typed: "coldcase correct 7 --reason x",
    exitCode: 2,
    stderr: `coldcase: error: Cannot correct: nothing was given that should have been recorded
coldcase: hint: Give one of --case, --evidence, --examiner, --organization, --authority, --notes, or --clear.`,
    followed: [{
      typed: `coldcase correct 7 --notes "Disk 2 of 3" --reason x
coldcase correct 7 --clear notes --reason y`,
    }],
  },
  {
    what: "exhibits of a case that the store has none of",
    laid: "plain",
    typed: "coldcase report --case 2026-115",
    exitCode: 10,
    stderr: `coldcase: error: Cannot find exhibits of case "2026-115": the store "DESK/evidence" holds none
coldcase: hint: Run "coldcase ls" to see what it holds.`,
    followed: [{ typed: "HINTED; coldcase report --case 2026-114" }],
  },
  {
    what: "neither an exhibit nor a case to report on",
    laid: "plain",
    typed: "coldcase report",
    exitCode: 2,
    stderr: `coldcase: error: Cannot report: EXHIBIT is missing
coldcase: hint: Name an exhibit, an instance, or a case with --case.`,
    followed: [{ typed: "coldcase report 7; coldcase report --case 2026-114" }],
  },
  {
    what: "a case of an encrypted store that nothing opens",
    laid: "encrypted",
    typed: "coldcase ls --case 2026-114",
    exitCode: 12,
    stderr:
      `coldcase: error: Cannot tell which exhibits are of case "2026-114": the store is encrypted, and nothing was given to open it with
coldcase: hint: Give the identity file with -i FILE.
coldcase: hint: "coldcase ls" lists what shows from outside.`,
    followed: [{ typed: "coldcase ls --case 2026-114 -i examiner.age" }, { typed: "HINTED" }],
  },
  {
    what: "the store is a folder of something else",
    laid: "plain",
    typed: `${ACQUIRE} -s mnt`,
    exitCode: 2,
    stderr: `coldcase: error: Cannot use "DESK/mnt" as a store: it holds other files, and no store.json
coldcase: hint: Name an existing store, or a folder that is empty or not there yet.`,
    followed: [{ typed: `${ACQUIRE} -s evidence; ${ACQUIRE} -s mnt/usb; ${ACQUIRE} -s mnt/new` }],
  },
];

const IMAGES: readonly Scene[] = [
  {
    what: "no target",
    laid: "plain",
    typed: "coldcase export 7 -q",
    exitCode: 2,
    stderr: `coldcase: error: Cannot export: no target was named
coldcase: hint: Give -o FILE, or -o - for stdout.`,
    followed: [{ typed: "coldcase export 7 -q -o a.img; coldcase export 7 -q -o - | cmp - a.img" }],
  },
  {
    what: "another file is there",
    laid: "plain",
    before: "echo notes > a.img",
    typed: "coldcase export 7 -q -o a.img",
    exitCode: 2,
    stderr: `${NOT_AWS}
coldcase: error: Cannot export to "DESK/a.img": it exists, expected nothing there
coldcase: hint: Name another file, or replace this one with --overwrite.`,
    followed: [{
      typed: "coldcase export 7 -q -o b.img; coldcase export 7 -q -o a.img --overwrite; cmp a.img b.img",
    }],
  },
  {
    what: "its own image is there, whole: the run before was killed after its last step",
    laid: "exported",
    typed: "coldcase export 7 -q -o disk.img",
    exitCode: 2,
    stderr: `${NOT_AWS}
coldcase: error: Cannot export to "DESK/disk.img": it is there already, and its log says that it is this exhibit's whole image
coldcase: hint: Run "coldcase verify ROOT --read-back DESK/disk.img" to compare every byte of it.
coldcase: hint: Name another file, or replace this one with --overwrite.`,
    followed: [
      { typed: "HINTED | grep EQUALS" },
      { typed: "coldcase export 7 -q -o disk.img --overwrite; coldcase export 7 -q -o other.img" },
    ],
  },
  {
    what: "its own image is there, and was changed since",
    laid: "exported",
    before: "printf X | dd of=disk.img bs=1 seek=700000 conv=notrunc status=none",
    typed: "coldcase export 7 -q -o disk.img",
    exitCode: 2,
    stderr: `${NOT_AWS}
coldcase: error: Cannot export to "DESK/disk.img": it is there already, and its log says that it is this exhibit's whole image
coldcase: hint: Run "coldcase verify ROOT --read-back DESK/disk.img" to compare every byte of it.
coldcase: hint: Name another file, or replace this one with --overwrite.`,
    followed: [
      { typed: "HINTED", exitCode: 20 },
      {
        typed: "coldcase export 7 -q -o disk.img --overwrite; coldcase verify 7 -q --read-back disk.img",
      },
    ],
  },
  {
    what: "no folder for the image",
    laid: "plain",
    typed: "coldcase export 7 -q -o images/a.img",
    exitCode: 2,
    stderr: `${NOT_AWS}
coldcase: error: Cannot export to "DESK/images/a.img": folder "DESK/images" does not exist
coldcase: hint: Make that folder, or name another.`,
    followed: [{ typed: "mkdir images; coldcase export 7 -q -o images/a.img" }],
  },
  {
    what: "a folder instead of an image",
    laid: "plain",
    typed: "coldcase export 7 -q -o mnt",
    exitCode: 2,
    stderr: `${NOT_AWS}
coldcase: error: Cannot export to "DESK/mnt": it is a directory, expected a file
coldcase: hint: Name the image too, for example "DESK/mnt/image.raw".`,
    followed: [{ typed: "coldcase export 7 -q -o mnt/image.raw" }],
  },
];

const NOT_FOUND: readonly Scene[] = [
  {
    what: "no store",
    laid: "plain",
    typed: "coldcase ls -s nowhere",
    exitCode: 10,
    stderr: `coldcase: error: Cannot open store "DESK/nowhere": there is no store
coldcase: hint: Name the store with --store DIR or COLDCASE_STORE; acquire makes one.`,
    followed: [{
      typed: `coldcase ls --store evidence; COLDCASE_STORE=evidence coldcase ls
${ACQUIRE} -s nowhere; coldcase ls -s nowhere`,
    }],
  },
  {
    what: "no such exhibit",
    laid: "plain",
    typed: "coldcase info 9 -s mnt/copy/evidence",
    exitCode: 10,
    stderr: `coldcase: error: Cannot find exhibit "9": the store "DESK/mnt/copy/evidence" does not hold it
coldcase: hint: Run "coldcase ls -s mnt/copy/evidence" to see what it holds.`,
    followed: [{ typed: "HINTED | grep ' 7 '" }],
  },
];

const ENCRYPTED: readonly Scene[] = [
  {
    what: "encrypted, and no identity",
    laid: "encrypted",
    typed: `coldcase export ${SNAPSHOT} -q -o a.img`,
    exitCode: 12,
    stderr:
      `coldcase: error: Cannot open "exhibits/EXHIBIT/manifest-DIGEST.json.age": it is encrypted, and no identity was given
coldcase: hint: Give the identity file with -i FILE.`,
    followed: [{ typed: `coldcase export ${SNAPSHOT} -q -o a.img -i examiner.age` }],
  },
  {
    what: "encrypted, and another's identity",
    laid: "encrypted",
    typed: `coldcase export ${SNAPSHOT} -q -o a.img -i deputy.age`,
    exitCode: 12,
    stderr:
      `coldcase: error: Cannot decrypt "exhibits/EXHIBIT/manifest-DIGEST.json.age": the one identity does not fit, it has 1 recipient (X25519)
coldcase: hint: Give another identity file with -i FILE.`,
    followed: [{ typed: `coldcase export ${SNAPSHOT} -q -o a.img -i examiner.age` }],
  },
  {
    what: "written to without its recipients",
    laid: "encrypted",
    typed: ACQUIRE,
    exitCode: 2,
    stderr: `coldcase: error: Cannot write to this store: it is encrypted, and no recipient was given
coldcase: hint: Give the recipients that it has: -r RECIPIENT`,
    followed: [{ typed: `${ACQUIRE} -r $(grep -h -o 'age1.*' examiner.age)` }],
  },
  {
    what: "a passphrase, and nobody to ask",
    laid: "empty",
    typed: `${ACQUIRE} --passphrase`,
    exitCode: 2,
    stderr: `coldcase: error: Cannot ask for a passphrase: this is no terminal
coldcase: hint: Give --passphrase-file FILE beside --passphrase, or run it on a terminal.`,
    followed: [{
      typed: `umask 077; echo correct horse battery staple > words
${ACQUIRE} --passphrase --passphrase-file words`,
    }],
  },
  {
    what: "encrypted with a passphrase, and nothing given",
    laid: "empty",
    before: `umask 077; echo correct horse battery staple > words
${ACQUIRE} --passphrase --passphrase-file words`,
    typed: `coldcase export ${SNAPSHOT} -q -o a.img`,
    exitCode: 12,
    stderr:
      `coldcase: error: Cannot open "exhibits/EXHIBIT/manifest-DIGEST.json.age": it is encrypted, and no identity was given
coldcase: hint: Give -i DESK/evidence/keys/KEY.identity.age: a passphrase opens it.
coldcase: hint: Give another identity file with -i FILE.`,
    followed: [
      {
        typed:
          `coldcase export ${SNAPSHOT} -q -o a.img -i evidence/keys/*.identity.age --passphrase-file words`,
      },
      {
        typed: `coldcase keygen -q -o other.age; coldcase export ${SNAPSHOT} -q -o a.img -i other.age`,
        exitCode: 12,
      },
    ],
  },
  {
    what: "an identity file under a passphrase, and nobody to ask",
    laid: "empty",
    before: `umask 077; echo correct horse battery staple > words
${ACQUIRE} --passphrase --passphrase-file words`,
    typed: `cd evidence/keys; coldcase info ${SNAPSHOT} -q -s .. -i *.identity.age`,
    exitCode: 12,
    stderr:
      `coldcase: error: Cannot open identity file "KEY.identity.age": it is protected by a passphrase, and there is nobody to ask for it
coldcase: hint: run coldcase on a terminal, or give the passphrase with --passphrase-file FILE`,
    followed: [
      { typed: `coldcase info ${SNAPSHOT} -i evidence/keys/*.identity.age --passphrase-file words` },
    ],
  },
];

for (
  const [name, scenes] of [
    ["a wrong command line", USAGE],
    ["an image that can't be written", IMAGES],
    ["what is not there", NOT_FOUND],
    ["what does not open", ENCRYPTED],
  ] as const
) {
  outside(
    `${name} is told in words, and each hint leads on`,
    ["bash", "openssl", "ssh-keygen"],
    (context) =>
      withDesks(async (desks) => {
        for (const scene of scenes) await context.step(scene.what, () => play(desks, scene));
      }),
  );
}
