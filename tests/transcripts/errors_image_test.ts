/**
 * What virtual disks and digests of windows can't be: the whole text of each error, and each of its hints followed to
 * where it leads.
 */
import { withDesks } from "./desk.ts";
import { outside } from "../outside.ts";
import { play, type Scene } from "./scene.ts";

const NOT_AWS = "coldcase: warning: NOT ACQUIRED FROM AWS";

const SCENES: readonly Scene[] = [
  {
    what: "a VHD in pieces",
    laid: "plain",
    typed: "coldcase export 7 -q -o disk --format vhd --split 256MiB",
    exitCode: 2,
    stderr: `coldcase: error: Cannot split a VHD: the format is one file
coldcase: hint: Give --format vmdk with --split, or leave --split out.`,
    followed: [{
      typed:
        `coldcase export 7 -q -o disk --format vmdk --split 256MiB; coldcase export 7 -q -o disk --format vhd
coldcase verify 7 -q --read-back disk.vmdk; coldcase verify 7 -q --read-back disk.vhd
cat disk-f00?.vmdk > all.raw; head -c -512 disk.vhd | cmp - all.raw`,
    }],
  },
  {
    what: "extents that are too large",
    laid: "plain",
    typed: "coldcase export 7 -q -o disk --format vmdk --split 4GiB",
    exitCode: 2,
    stderr: `${NOT_AWS}
coldcase: error: Cannot split "DESK/disk.vmdk": 4 GiB, an extent of a VMDK has at most 2 GiB
coldcase: hint: Give --split 2GiB, or leave it out for one extent of any size.`,
    followed: [{
      typed: `coldcase export 7 -q -o disk --format vmdk --split 2GiB
coldcase export 7 -q -o one --format vmdk; cmp disk-f001.vmdk one-flat.vmdk`,
    }],
  },
  {
    what: "a name that a descriptor can't hold",
    laid: "plain",
    typed: `coldcase export 7 -q -o 'suspect"s disk' --format vmdk`,
    exitCode: 2,
    stderr: `${NOT_AWS}
coldcase: error: Cannot name an extent "suspect\\"s disk-flat.vmdk": it has a quotation mark, which a VMDK's descriptor can't hold
coldcase: hint: Name the image with letters, digits, dots, dashes and blanks.`,
    followed: [{
      typed:
        `coldcase export 7 -q -o 'suspect disk' --format vmdk; grep -q '"suspect disk-flat.vmdk"' 'suspect disk.vmdk'`,
    }],
  },
  {
    what: "a VMDK into a pipe",
    laid: "plain",
    typed: "coldcase export 7 -q -o - --format vmdk | cat",
    exitCode: 2,
    stderr: `coldcase: error: Cannot write a VMDK to a stream: they are files that lie plain on a disk
coldcase: hint: Leave out --split and --format; "split -b" cuts a stream.`,
    followed: [{ typed: "coldcase export 7 -q -o - | split -b 300M - part.; ls part.ad" }],
  },
  {
    what: "an extent of another disk is there",
    laid: "plain",
    before: "echo another > disk-f002.vmdk",
    typed: "coldcase export 7 -q -o disk --format vmdk",
    exitCode: 2,
    stderr: `${NOT_AWS}
coldcase: error: Cannot export to "DESK/disk-f002.vmdk": it exists, expected nothing there
coldcase: hint: Name another file, or replace this one with --overwrite.`,
    followed: [{
      typed:
        `coldcase export 7 -q -o other --format vmdk; coldcase export 7 -q -o disk --format vmdk --overwrite
test ! -e disk-f002.vmdk`,
    }],
  },
  {
    what: "a descriptor that leads elsewhere",
    laid: "plain",
    before: `coldcase export 7 -q -o disk --format vmdk; sed -i 's,"disk-flat,"../disk-flat,' disk.vmdk`,
    typed: "coldcase verify 7 -q --read-back disk.vmdk",
    exitCode: 21,
    stderr:
      `coldcase: error: Cannot read VMDK "disk.vmdk": line 10 is no flat extent beside it, from its first sector`,
    followed: [],
  },
  {
    what: "windows of a stream without a place",
    laid: "plain",
    typed: "coldcase export 7 -q -o - --digest-window 1MiB | cat",
    exitCode: 2,
    stderr: `coldcase: error: Cannot write digests of windows beside a stream: nothing lies there
coldcase: hint: Name a place for them: --digest-log NAME, for NAME.sha256.log.`,
    followed: [{
      typed: `coldcase export 7 -q -o - --digest-window 1MiB --digest-log windows > disk.img
grep -c ' - ' windows.sha256.log | grep -x 1024; cp windows.sha256.log disk.img.sha256.log
coldcase verify 7 -q --read-back disk.img | grep disk.img.sha256.log`,
    }],
  },
  {
    what: "windows whose log is another file",
    laid: "plain",
    before: "echo notes > windows.sha256.log",
    typed: "coldcase export 7 -q -o disk.img --digest-window 1MiB --digest-log windows",
    exitCode: 2,
    stderr: `${NOT_AWS}
coldcase: error: Cannot write digest log "DESK/windows.sha256.log": it exists, expected nothing there
coldcase: hint: Name another with --digest-log, or replace this one with --overwrite.`,
    followed: [{
      typed: `coldcase export 7 -q -o disk.img --digest-window 1MiB --digest-log other
coldcase export 7 -q -o disk.img --digest-window 1MiB --digest-log windows --overwrite`,
    }],
  },
  {
    what: "an age file with the name of its own digest log",
    laid: "plain",
    before: "grep -h -o 'age1.*' examiner.age > team.txt",
    typed: "coldcase export 7 -q -o disk.sha256.log -R team.txt --digest-window 1MiB --digest-log disk",
    exitCode: 2,
    stderr: `${NOT_AWS}
coldcase: error: Cannot write digest log "disk.sha256.log": the export's own image is called so, expected another name
coldcase: hint: Name another with --digest-log.`,
    followed: [{
      typed: `coldcase export 7 -q -o disk.sha256.log -R team.txt --digest-window 1MiB --digest-log windows
grep -c ' - ' windows.sha256.log | grep -x 1024; age -d -i examiner.age disk.sha256.log > windows
coldcase verify 7 -q --read-back windows | grep windows.sha256.log`,
    }],
  },
  {
    what: "an image that was changed, with windows beside it",
    laid: "plain",
    before: `coldcase export 7 -q -o disk.img --digest-window 1MiB
printf X | dd of=disk.img bs=1 seek=700000 conv=notrunc status=none`,
    typed: "coldcase verify 7 -q --read-back disk.img 2>&1 | grep -o 'windows in bytes.*' >&2; exit 20",
    exitCode: 20,
    stderr: `windows in bytes 0 to 1048575: sha256 is not the digest log's`,
    followed: [],
  },
];

outside(
  "a virtual disk or a window that can't be is told in words, and each hint leads on",
  ["bash", "openssl", "ssh-keygen"],
  (context) =>
    withDesks(async (desks) => {
      for (const scene of SCENES) await context.step(scene.what, () => play(desks, scene));
    }),
);
