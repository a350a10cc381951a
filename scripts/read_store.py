#!/usr/bin/env python3
"""Verifies one exhibit of a coldcase store and writes its raw image, sparse.

    python3 read_store.py STORE EXHIBIT OUTPUT

An independent reader, written from store-format.md alone: Python's standard library, the `zstd` command, and
`ssh-keygen` for signatures of manifest and inventory: without it they are not checked, and stderr says so. Whether to
trust who signed is for you to decide. Custody log, addenda, receipts and time-stamps are not looked at. OUTPUT must not
exist. Blocks that are absent, zero or unreadable read as zeros; stderr counts them. It stops at the first fault.
Exit codes: 0 verified and written, 2 usage, 20 integrity (a digest, count or name does not match), 21 format.
"""
import glob, hashlib, json, os, re, shutil, stat, struct, subprocess, sys, tempfile, zlib

USAGE, INTEGRITY, FORMAT, STATES = 2, 20, 21, ("absent", "zero", "stored", "unreadable")
SEGMENT_BLOCKS, MAX_BLOCKS, MAX_PACK = 16384, 2**27, 2**28
DIGEST = re.compile(r"[0-9a-f]{64}\Z")
INVENTORY = re.compile(
    r"coldcase-inventory 0\nexhibit (?P<exhibit>ex-[0-9a-f]{16})\nsnapshot (?P<snapshot>snap-[0-9a-f]{8,17})\n"
    r"parent (?P<parent>-|ex-[0-9a-f]{16})\nmanifest (?P<manifest>[0-9a-f]{64})\n"
    r"committed (?P<committed>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)\nfiles (?P<count>0|[1-9]\d{0,15})\n"
    r"(?P<files>(?:(?:0|[1-9]\d{0,15}) [a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)*\n)*)\Z", re.ASCII)

class Fault(Exception):
    """The exit code, and what is wrong."""

def check(holds, code, message):
    if not holds:
        raise Fault(code, message)

def is_number(value, low, high=2**53 - 1):
    return type(value) is int and low <= value <= high

def are_digests(values):
    return isinstance(values, list) and all(isinstance(value, str) and DIGEST.match(value) for value in values)

def read_file(root, name, limit, digest=None):
    """The bytes of a file; compared with `digest` before anybody looks at them."""
    path = os.path.join(root, name)
    check(os.path.lexists(path), INTEGRITY, f"{name}: missing")
    check(stat.S_ISREG(os.lstat(path).st_mode), FORMAT, f"{name}: not a regular file")
    check(os.path.getsize(path) <= limit, FORMAT, f"{name}: larger than {limit} bytes")
    with open(path, "rb") as file:
        data = file.read()
    check(digest in (None, hashlib.sha256(data).hexdigest()), INTEGRITY, f"{name}: its SHA-256 is not that of its name")
    return data

def parse(data, name, kind, members):
    """A canonical JSON document of type `kind`, with exactly these members beside type and version."""
    try:
        value = json.loads(data.decode("utf-8"))
        # Python spells all that a store holds as RFC 8785 does, but for fractions in a description's answer.
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise Fault(FORMAT, f"{name}: not JSON in UTF-8 ({error})") from None
    check(text == data, FORMAT, f"{name}: not canonical JSON")
    check(isinstance(value, dict) and value.get("type") == kind, FORMAT, f"{name}: not of type {kind}")
    version = value.get("readVersion" if kind == "coldcase-store" else "version")
    check(is_number(version, 0, 0), FORMAT, f"{name}: has version {version}, this program reads version 0")
    check(set(value) - {"type", "version"} == set(members.split()), FORMAT, f"{name}: its members are not {members}")
    return value

def signers(root, name, kind):
    """Fingerprints of who signed a document, checked by ssh-keygen; without it, as the signature files' names say."""
    found = set()
    for path in sorted(glob.glob(os.path.join(glob.escape(root), os.path.splitext(name)[0] + f".{'?' * 16}.sshsig"))):
        signature, short = os.path.relpath(path, root), path[-23:-7]
        if shutil.which("ssh-keygen"):
            ended = subprocess.run(["ssh-keygen", "-Y", "verify", "-f", f"{root}/keys/{short}.allowed-signers", "-I",
                                    f"coldcase-{short}", "-n", f"coldcase-{kind}@v1", "-s", path],
                                   input=read_file(root, name, 384 * 2**20), capture_output=True)
            signed = re.search(rb" key (SHA256:[A-Za-z0-9+/]{43})\n", ended.stdout)
            check(ended.returncode == 0 and signed, INTEGRITY, f"{signature}: does not hold: {ended.stderr.decode()}")
        found.add(signed[1].decode() if shutil.which("ssh-keygen") else short)
    return found

def read_inventory(root, exhibit):
    """The newest inventory that is signed: its head, sizes by name, and who signed it."""
    check(os.path.lexists(os.path.join(root, "store.json")), USAGE, f"{root}: no store")
    store = parse(read_file(root, "store.json", 65536), "store.json", "coldcase-store",
                  "case createdAt features id mixedCases mode readVersion writeVersion")
    check(store["mode"] == "plain" and store["features"] == [], FORMAT, "store.json: unknown mode or features")
    folder, found = os.path.join(root, "exhibits", exhibit), []
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    for digest in filter(None, (re.match(r"inventory-([0-9a-f]{64})\.txt\Z", name) for name in names)):
        name = f"exhibits/{exhibit}/{digest[0]}"
        if any(re.match(rf"inventory-{digest[1]}\.[0-9a-f]{{16}}\.sshsig\Z", one) for one in names):  # else no commit
            head = INVENTORY.match(read_file(root, name, 384 * 2**20, digest[1]).decode("latin-1"))
            check(head, FORMAT, f"{name}: does not follow the grammar")
            found.append((head, signers(root, name, "inventory")))
    check(found, USAGE, f"{exhibit}: the store has no such exhibit")
    check(len({one["manifest"] for one, _ in found}) == 1, INTEGRITY, f"{exhibit}: inventories of several manifests")
    head, by = max(found, key=lambda one: one[0]["committed"])  # the first of equal ones
    files = [line.split(" ") for line in head["files"].split("\n")[:-1]]
    check([name for _, name in files] == sorted({name for _, name in files}) and head["count"] == str(len(files))
          and all(int(size) < 2**53 for size, _ in files), FORMAT,
          f"{exhibit}: inventory is not sorted, names a file twice, or has a wrong count or size")
    return head, {name: int(size) for size, name in files}, by

def read_manifest(root, exhibit, head, files, by):
    name = f"exhibits/{exhibit}/manifest-{head['manifest']}.json"
    manifest = parse(read_file(root, name, 2**20, head["manifest"]), name, "coldcase-manifest", "acquisition "
                     "counts imageDigest isPartial parent segmentBlocks segments source supersedes volume")
    try:
        size, gib, count = (manifest["volume"][key] for key in ("blockSizeBytes", "volumeSizeGib", "blockCount"))
        counts = {state: manifest["counts"][state + "Blocks"] for state in STATES}
        segments, documents = manifest["segments"], manifest["acquisition"]["documents"]
        named = [documents[member] for member in ("sessions", "description", "unreadable")]
        identity = (manifest["acquisition"]["exhibit"], manifest["source"]["snapshot"],
                    manifest["parent"]["exhibit"] if manifest["parent"] is not None else "-")
    except (TypeError, KeyError) as error:
        raise Fault(FORMAT, f"{name}: lacks {error}") from None
    check(is_number(size, 512, 2**24) and size & (size - 1) == 0 and is_number(gib, 1, 65536)
          and is_number(count, 1, MAX_BLOCKS) and count * size == gib * 2**30, FORMAT, f"{name}: implausible volume")
    check(all(is_number(value, 0) for value in counts.values()), FORMAT, f"{name}: counts are not numbers")
    check(are_digests(segments) and are_digests([digest for digest in named if digest is not None] + named[:1])
          and manifest["segmentBlocks"] == SEGMENT_BLOCKS, FORMAT, f"{name}: malformed segments or documents")
    check(len(segments) == -(-count // SEGMENT_BLOCKS), INTEGRITY, f"{name}: has {len(segments)} segments")
    check(sum(counts.values()) == count, INTEGRITY, f"{name}: its counts are not {count} blocks")
    text = "\n".join(["coldcase-image-v1", f"{size} {count} {SEGMENT_BLOCKS}", *segments, ""]).encode()
    check(hashlib.sha256(text).hexdigest() == manifest["imageDigest"], INTEGRITY, f"{name}: image digest differs")
    by &= signers(root, name, "manifest")
    check(by, INTEGRITY, f"{name}: no key signed both it and the inventory")
    check(identity == (exhibit, head["snapshot"], head["parent"]) and head["exhibit"] == exhibit, INTEGRITY,
          f"{name}: exhibit, snapshot or parent is not that of the inventory")
    check((named[2] is None) == (counts["unreadable"] == 0), INTEGRITY, f"{name}: unreadable blocks without reasons")
    needed = [name] + [f"segments/{s[:2]}/{s}.json" for s in segments] + [f"documents/{d}.json" for d in named if d]
    check(set(needed) <= set(files), INTEGRITY, f"{exhibit}: the inventory lacks {set(needed) - set(files)}")
    return size, count, segments, counts, documents, set(needed), ", ".join(sorted(by))

def read_segment(root, digest, length, zero_digest):
    """By position: the digest of a stored block, else the state's name."""
    name, blocks, before = f"segments/{digest[:2]}/{digest}.json", [], None
    runs = parse(read_file(root, name, 2**21, digest), name, "coldcase-segment", "runs")["runs"]
    for run in runs if isinstance(runs, list) else [None]:
        state = run.get("state") if isinstance(run, dict) else None
        member = "digests" if state == "stored" else "blocks"
        check(state in STATES and state != before and set(run) == {"state", member}, FORMAT, f"{name}: malformed run")
        before = state
        if state == "stored":
            check(are_digests(run["digests"]) and run["digests"], FORMAT, f"{name}: a stored run without digests")
            check(zero_digest not in run["digests"], FORMAT, f"{name}: a block of zeros is stored")
            blocks += run["digests"]
        else:
            check(is_number(run["blocks"], 1, SEGMENT_BLOCKS), FORMAT, f"{name}: a run of {run['blocks']} blocks")
            blocks += [state] * run["blocks"]
        check(len(blocks) <= length, FORMAT, f"{name}: more than {length} blocks")
    check(len(blocks) == length, FORMAT, f"{name}: has {len(blocks)} blocks, expected {length}")
    return blocks

def pack_records(pack, name):
    """(digest, codec, block bytes, stored bytes) of each record; all is checked but the block itself."""
    size = len(pack)
    check(64 <= size <= MAX_PACK and pack[:16] == b"COLDPACK" + bytes(8), FORMAT, f"{name}: no pack of version 0")
    count, footer, digest, magic = struct.unpack("<II32s8s", pack[-48:])
    check(magic == b"COLDFOOT" and footer + 40 * count + 48 == size, FORMAT, f"{name}: malformed trailer")
    check(hashlib.sha256(pack[footer:-48]).digest() == digest, FORMAT, f"{name}: footer digest does not match")
    records, at = {}, 16
    for digest, offset, stored in struct.iter_unpack("<32sII", pack[footer:-48]):
        place = f"{name}: record at byte {at}"
        check(offset == at and at + 56 + stored <= footer and digest not in records, FORMAT, f"{place}: gap or repeat")
        header = pack[at:at + 56]
        magic, codec, zeros, length, own_stored, _, crc, own = struct.unpack("<4sB3sIIII32s", header)
        check(zlib.crc32(header[:20] + bytes(4) + header[24:]) == crc, FORMAT, f"{place}: CRC does not match")
        check(magic == b"CBLK" and codec in (0, 1) and zeros == bytes(3) and 512 <= length <= 2**24
              and length & (length - 1) == 0, FORMAT, f"{place}: malformed header")
        check(own_stored == length if codec == 0 else 0 < own_stored < length, FORMAT, f"{place}: bad length")
        check((own, own_stored) == (digest, stored), INTEGRITY, f"{place}: footer and header differ")
        records[digest] = (digest.hex(), codec, length, pack[at + 56:at + 56 + stored])
        at += 56 + stored
    check(at == footer, FORMAT, f"{name}: records end at byte {at}, the footer starts at {footer}")
    return list(records.values())

def unpack_blocks(records, name):
    """(digest, block) of each record. One zstd process reads all frames; no more is taken from it than is due."""
    with tempfile.TemporaryFile() as frames:
        frames.writelines(stored for _, codec, _, stored in records if codec == 1)
        frames.seek(0)
        zstd = subprocess.Popen(["zstd", "-dcq"], stdin=frames, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            for digest, codec, length, stored in records:
                block = stored if codec == 0 else zstd.stdout.read(length)
                check(hashlib.sha256(block).hexdigest() == digest, INTEGRITY, f"{name}: block {digest} does not match")
                yield digest, block
            is_at_end = not any(codec for _, codec, _, _ in records) or zstd.stdout.read(1) == b"" and zstd.wait() == 0
            check(is_at_end, INTEGRITY, f"{name}: frames hold more than their blocks")
        finally:
            zstd.kill()
            zstd.communicate()

def check_documents(root, documents, unreadable):
    members = {"description": "answer receivedAt", "sessions": "sessions", "unreadable": "entries"}
    for member, digest in documents.items():
        name = f"documents/{digest}.json"
        document = digest and parse(read_file(root, name, 2**26, digest), name, f"coldcase-{member}", members[member])
        try:
            ranges = [(entry["first"]["block"], entry["blocks"]) for entry in (document or {}).get("entries", [])]
        except (TypeError, KeyError) as error:
            raise Fault(FORMAT, f"{name}: malformed entry ({error})") from None
        check(all(is_number(one, 0, MAX_BLOCKS) for pair in ranges for one in pair), FORMAT, f"{name}: bad ranges")
        if member == "unreadable":
            check(sum(blocks for _, blocks in ranges) == len(unreadable)  # before a list of them is made
                  and [first + at for first, blocks in ranges for at in range(blocks)] == unreadable, INTEGRITY,
                  f"{name}: not the blocks that the segments call unreadable")

def read_exhibit(root, exhibit, image):
    head, files, by = read_inventory(root, exhibit)
    size, count, segments, counts, documents, needed, by = read_manifest(root, exhibit, head, files, by)
    places, unreadable, seen, zero_digest = {}, [], dict.fromkeys(STATES, 0), hashlib.sha256(bytes(size)).hexdigest()
    for first, digest in zip(range(0, count, SEGMENT_BLOCKS), segments):
        segment = read_segment(root, digest, min(SEGMENT_BLOCKS, count - first), zero_digest)
        for index, state in enumerate(segment, first):
            seen[state if state in seen else "stored"] += 1
            if state == "unreadable":
                unreadable.append(index)
            elif state not in seen:
                places.setdefault(state, []).append(index)
    check(seen == counts, INTEGRITY, f"{exhibit}: the manifest counts {counts}, its segments have {seen}")
    check_documents(root, documents, unreadable)
    image.truncate(count * size)
    for name, length in files.items():
        digest = name[-69:-5]
        is_pack = name == f"packs/{digest[:2]}/{digest}.pack"
        check(is_pack or name in needed, FORMAT, f"{name}: no file that the exhibit needs")
        data = read_file(root, name, MAX_PACK, digest)
        check(len(data) == length, INTEGRITY, f"{name}: has {len(data)} bytes, the inventory says {length}")
        for digest, block in unpack_blocks(pack_records(data, name), name) if is_pack else ():
            for index in places.pop(digest, ()):
                check(len(block) == size, INTEGRITY, f"{name}: block {digest} has {len(block)} bytes")
                image.seek(index * size)
                image.write(block)
    check(not places, INTEGRITY, f"{exhibit}: blocks {list(places.values())[:9]} are in no pack of the inventory")
    told = "signed by" if shutil.which("ssh-keygen") else "SIGNATURES NOT CHECKED, for want of ssh-keygen, of key"
    return f"{exhibit}: verified; {', '.join(f'{seen[state]} {state}' for state in STATES)}; {told} {by}"

def main(arguments):
    if len(arguments) != 3 or not re.match(r"ex-[0-9a-f]{16}\Z", arguments[1]) or os.path.lexists(arguments[2]):
        print(__doc__, file=sys.stderr)
        return USAGE
    with open(arguments[2], "xb") as image:
        try:
            code, message = 0, read_exhibit(arguments[0], arguments[1], image)
        except Fault as fault:
            code, message = fault.args
            os.remove(arguments[2])
    print(f"read_store: {message}", file=sys.stderr)
    return code

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
