#!/usr/bin/env python3
"""Packs of a coldcase store: what is in them, checked. See store-format.md, "Pack". Needs the `zstd` command.
    python3 read_pack.py PACK BLOCK_SIZE
lists the records of one pack, each as its digest, codec and stored bytes, once every block was unpacked and matched.
Of an encrypted store decrypt the pack first: `age -d -i IDENTITY FILE.pack.age > FILE.pack`. Exit codes
as read_store.py's.
"""
import hashlib
import pathlib
import struct
import subprocess
import sys
import tempfile
import zlib

USAGE, INTEGRITY, FORMAT, MAX_PACK = 2, 20, 21, 2**28


class Fault(Exception):
    """The exit code, and what is wrong."""


def check(holds, code, message):
    if not holds:
        raise Fault(code, message)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def check_frame(frame, place):
    """One frame of zstd, no dictionary, a window of at most 8 MiB, and nothing after it (RFC 8878, 3.1.1)."""
    check(len(frame) > 8 and frame[:4] == b"\x28\xb5\x2f\xfd" and frame[4] & 11 == 0, INTEGRITY,
          f"{place}: no such frame")
    is_single, header = frame[4] >> 5 & 1, 0
    check(is_single or (8 + (frame[5] & 7)) << (frame[5] >> 3) <= 2**16, INTEGRITY, f"{place}: a large window")
    at = 6 - is_single + (is_single, 2, 4, 8)[frame[4] >> 6]
    while not header & 1 and at + 3 <= len(frame):
        header = int.from_bytes(frame[at:at + 3], "little")
        at += 3 + (1 if header >> 1 & 3 == 1 else header >> 3)
    check(header & 1 and at + (frame[4] & 4) == len(frame), INTEGRITY, f"{place}: its frame ends elsewhere")


def pack_records(pack, name, size):
    """(digest, codec, stored bytes) of each record; all is checked but the block itself."""
    check(64 <= len(pack) and pack[:16] == b"COLDPACK\1" + bytes(7), FORMAT, f"{name}: no pack of version 1")
    count, footer, digest, magic = struct.unpack("<II32s8s", pack[-48:])
    check(magic == b"COLDFOOT" and footer + 40 * count + 48 == len(pack), FORMAT, f"{name}: malformed trailer")
    check(hashlib.sha256(pack[footer:-48]).digest() == digest, FORMAT, f"{name}: footer digest does not match")
    records, at = {}, 16
    for digest, offset, stored in struct.iter_unpack("<32sII", pack[footer:-48]):
        place = f"{name}: record at byte {at}"
        check(offset == at and at + 56 + stored <= footer and digest not in records, FORMAT, f"{place}: gap or repeat")
        header, records[digest] = pack[at:at + 56], (digest.hex(), pack[at + 4], pack[at + 56:at + 56 + stored])
        magic, codec, zeros, length, own_stored, _, crc, own = struct.unpack("<4sB3sIIII32s", header)
        check(zlib.crc32(header[:20] + bytes(4) + header[24:]) == crc and magic == b"CBLK" and codec in (0, 1)
              and zeros == bytes(3) and 512 <= length <= 2**24 and length & (length - 1) == 0 and own_stored > 0
              and (own_stored < length if codec else own_stored == length), FORMAT, f"{place}: malformed header")
        check((own, own_stored, length) == (digest, stored, size), INTEGRITY, f"{place}: not as footer or volume say")
        codec and check_frame(records[digest][2], place)
        at += 56 + stored
    check(at == footer, FORMAT, f"{name}: records end at byte {at}, the footer starts at {footer}")
    return list(records.values())


def unpack_blocks(records, name, size):
    """(digest, block) of each record. One zstd process reads all frames; no more is taken from it than is due."""
    with tempfile.TemporaryFile() as frames:
        frames.writelines(stored for _, codec, stored in records if codec == 1)
        frames.seek(0)
        with subprocess.Popen(["zstd", "-dcq"], stdin=frames, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as zstd:
            for digest, codec, stored in records:
                block = stored if codec == 0 else zstd.stdout.read(size)
                check(sha256(block) == digest, INTEGRITY, f"{name}: block {digest} does not match")
                yield digest, block
            check(zstd.stdout.read(1) == b"", INTEGRITY, f"{name}: frames hold more than their blocks")


def main(arguments):
    if len(arguments) != 2 or not arguments[1].isdecimal():
        return print(__doc__, file=sys.stderr) or USAGE
    path, size = pathlib.Path(arguments[0]), int(arguments[1])
    try:
        check(path.stat().st_size <= MAX_PACK, FORMAT, f"{path}: larger than {MAX_PACK} bytes")
        records = pack_records(path.read_bytes(), path, size)
        for (digest, codec, stored), _ in zip(records, unpack_blocks(records, path, size)):
            print(digest, ("raw", "zstd")[codec], len(stored))
    except Fault as fault:
        print(f"read_pack: {fault.args[1]}", file=sys.stderr)
        return fault.args[0]
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
