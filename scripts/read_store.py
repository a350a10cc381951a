#!/usr/bin/env python3
"""Verifies one exhibit of a coldcase store and writes its raw image, sparse.
    python3 read_store.py STORE EXHIBIT OUTPUT
An independent reader, written from store-format.md alone: Python's standard library, the `zstd` command, and `ssh-keygen`
for signatures of manifest and inventory: without it they are not checked, and stderr says so. Whether to trust who signed
is for you to decide. It looks at what an image rests on, at nothing else (custody log, addenda, raw signatures, sessions).
OUTPUT must not exist. Blocks that are absent, zero or unreadable read as zeros; stderr counts them. It stops at the first
fault. Exit codes: 0 verified and written, 2 usage, 20 integrity (digest, count, signature or name do not match), 21 format.
"""
import base64, datetime, glob, hashlib, json, os, pathlib, re, shutil, stat, struct, subprocess, sys, tempfile, zlib
USAGE, INTEGRITY, FORMAT, STATES = 2, 20, 21, ("absent", "zero", "stored", "unreadable")
SEGMENT_BLOCKS, MAX_BLOCKS, MAX_PACK = 16384, 2**27, 2**28
MEMBERS = {"coldcase-store": "case createdAt digest features id mixedCases mode readVersion recipients writeVersion",
           "coldcase-manifest": "acquisition counts imageDigest isPartial parent segmentBlocks segments source supersedes "
           "version volume", "coldcase-segment": "runs version", "coldcase-unreadable": "entries version"}
INVENTORY = re.compile(
    r"coldcase-inventory 1\nexhibit (?P<exhibit>ex-[0-9a-f]{16})\nsnapshot (?P<snapshot>snap-[0-9a-f]{8,17})\n"
    r"parent (?P<parent>-|ex-[0-9a-f]{16})\ncommitment (?P<commitment>[0-9a-f]{64})\n"
    r"manifest (?P<manifest>[0-9a-f]{64})\nmap -\ncommitted (?P<committed>\d{4}(?:-\d\d){2}T\d\d(?::\d\d){2}\.\d{3})Z\nfiles (?P<count>0|[1-9]\d{0,15})\n"
    r"(?P<files>(?:(?:0|[1-9]\d{0,15}) [a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)*\n)*)", re.ASCII)
BEGIN, END = b"-----BEGIN SSH SIGNATURE-----\n", b"\n-----END SSH SIGNATURE-----\n"
SIGNATURE = re.compile(
    rb"SSHSIG\0\0\0\x01\0\0\0\x33(?P<key>\0\0\0\x0bssh-ed25519\0\0\0 (?P<point>.{32}))\0\0\0.[ -~]+\0\0\0\0\0\0\0\x06"
    rb"sha(?:256|512)\0\0\0\x53\0\0\0\x0bssh-ed25519\0\0\0@.{64}", re.DOTALL)
ORDER_8 = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826  # y of a point of order 8
SMALL_ORDER = {0, 1, 2**255 - 20, ORDER_8, 2**255 - 19 - ORDER_8}  # such points' y; ssh-keygen takes them
class Fault(Exception): """The exit code, and what is wrong."""
def check(holds, code, message):
    if not holds:
        raise Fault(code, message)
def is_number(value, low, high=2**53 - 1):
    return type(value) is int and low <= value <= high
def are_digests(values):
    return isinstance(values, list) and all(isinstance(one, str) and re.fullmatch("[0-9a-f]{64}", one) for one in values)
def sha256(data):
    return hashlib.sha256(data).hexdigest()
def in_order(pairs):  # RFC 8785 sorts members by UTF-16 code units
    names = [name.encode("utf-16-be") for name, _ in pairs]
    return dict(pairs) if names == sorted(set(names)) else int(f"members {names}")
def integer(text):  # fractions and unsafe integers have no place in what is parsed here
    return int(text) if is_number(int(text), -2**53 + 1) else int(f"{text} is unsafe")
def canonical(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
def read_file(root, name, limit, digest=None):
    """The bytes of a file; compared with `digest` before anybody looks at them."""
    path = root
    for part in name.split("/"):
        path = os.path.join(path, part)
        check(not os.path.islink(path), FORMAT, f"{name}: {part} is a symbolic link")
    check(os.path.exists(path), INTEGRITY, f"{name}: missing")
    check(stat.S_ISREG(os.lstat(path).st_mode), FORMAT, f"{name}: not a regular file")
    check(os.path.getsize(path) <= limit, FORMAT, f"{name}: larger than {limit} bytes")
    data = pathlib.Path(path).read_bytes()
    check(digest in (None, sha256(data)), INTEGRITY, f"{name}: its SHA-256 is not that of its name")
    return data
def parse(data, name, kind):
    """A canonical JSON document of type `kind` with its members; what is in them is for others to check."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=in_order, parse_int=integer, parse_float=integer,
                           parse_constant=integer)
        check(canonical(value) == data, FORMAT, f"{name}: not canonical JSON")
    except (ValueError, RecursionError) as error:
        raise Fault(FORMAT, f"{name}: not canonical JSON in UTF-8 ({error})") from None
    check(isinstance(value, dict) and value.get("type") == kind, FORMAT, f"{name}: not of type {kind}")
    version = value.get("readVersion" if kind == "coldcase-store" else "version")
    check(is_number(version, 1, 1), FORMAT, f"{name}: has version {version}, this program reads version 1")
    check(set(value) - {"type"} == set(MEMBERS[kind].split()), FORMAT, f"{name}: its members are not {MEMBERS[kind]}")
    return value
def signers(root, name, data, kind):
    """Fingerprints of the keys whose signatures over a document hold, as ssh-keygen says where there is one."""
    found = set()
    for path in sorted(glob.glob(os.path.join(glob.escape(root), os.path.splitext(name)[0] + f".{'?' * 16}.sshsig"))):
        signature, short = os.path.relpath(path, root), path[-23:-7]
        armor = read_file(root, signature, 4096)
        lines = b"".join(armor.split(b"\n")[1:-2])
        blob = base64.b64decode(lines) if len(lines) % 4 == 0 and re.fullmatch(rb"[A-Za-z0-9+/]+={0,2}", lines) else b""
        fields, body = SIGNATURE.fullmatch(blob), re.sub(rb"(.{70})(?=.)", rb"\1\n", base64.b64encode(blob))
        check(fields and armor == BEGIN + body + END, FORMAT, f"{signature}: malformed, or not armored as it must be")
        y, key = int.from_bytes(fields["point"], "little") % 2**255, hashlib.sha256(fields["key"]).digest()
        check(y not in SMALL_ORDER, FORMAT, f"{signature}: by a point of small order, anybody can sign so")
        check(key[:8].hex() == short, INTEGRITY, f"{signature}: by another key than its name says")
        if shutil.which("ssh-keygen"):
            ended = subprocess.run(["ssh-keygen", "-Y", "verify", "-f", f"{root}/keys/{short}.allowed-signers", "-I",
                                    f"coldcase-{short}", "-n", f"coldcase-{kind}@v1", "-s", path],
                                   input=data, capture_output=True)
            check(ended.returncode == 0, INTEGRITY, f"{signature}: does not hold: {ended.stderr.decode()}")
        found.add("SHA256:" + base64.b64encode(key).decode().rstrip("="))
    return found
def read_inventory(root, exhibit):
    """The newest inventory that is signed: its head, sizes by name, and who signed it."""
    check(os.path.lexists(os.path.join(root, "store.json")), USAGE, f"{root}: no store")
    store = parse(read_file(root, "store.json", 2**18), "store.json", "coldcase-store")
    check((store["mode"], store["features"], store["recipients"]) == ("plain", [], None), FORMAT,
          "store.json: encrypted, or a mode or feature that this program does not know")
    check(store.pop("digest") == sha256(canonical(store)), INTEGRITY, "store.json: its digest is not its own")
    folder, found = os.path.join(root, "exhibits", exhibit), []
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    for digest in filter(None, (re.fullmatch(r"inventory-([0-9a-f]{64})\.txt", name) for name in names)):
        if not any(re.fullmatch(rf"inventory-{digest[1]}\.[0-9a-f]{{16}}\.sshsig", one) for one in names): continue
        name = f"exhibits/{exhibit}/{digest[0]}"
        data = read_file(root, name, 384 * 2**20, digest[1])
        try:
            head = INVENTORY.fullmatch(data.decode("latin-1"))
            datetime.datetime.fromisoformat(head["committed"])
        except (TypeError, ValueError):
            raise Fault(FORMAT, f"{name}: does not follow the grammar") from None
        files = dict(reversed(line.split(" ")) for line in head["files"].splitlines())
        check(list(files) == sorted(files) and head["count"] == str(len(files)) == str(head["files"].count("\n"))
              and all(int(size) < 2**53 for size in files.values()), FORMAT, f"{name}: wrong order, count or size")
        found.append((head, files, signers(root, name, data, "inventory")))
    check(found, USAGE, f"{exhibit}: the store has no such exhibit")
    check(len({one["commitment"] for one, *_ in found}) == 1, INTEGRITY, f"{exhibit}: inventories of several manifests")
    return max(found, key=lambda one: one[0]["committed"])  # the first of equal ones
def read_manifest(root, exhibit, head, files, by):
    name = f"exhibits/{exhibit}/manifest-{head['manifest']}.json"
    data = read_file(root, name, 2**20, head["manifest"])
    manifest = parse(data, name, "coldcase-manifest")
    try:
        size, gib, blocks = (manifest["volume"][key] for key in ("blockSizeBytes", "volumeSizeGib", "blockCount"))
        counts, segments = [manifest["counts"][state + "Blocks"] for state in STATES], manifest["segments"]
        own, parent = manifest["acquisition"], manifest["parent"]["exhibit"] if manifest["parent"] is not None else "-"
        documents = [own["documents"][key] for key in ("sessions", "unreadable", "description")]
        names = own["exhibit"], manifest["source"]["snapshot"], parent, own["signer"]
    except (TypeError, KeyError) as error:
        raise Fault(FORMAT, f"{name}: lacks {error}") from None
    check(is_number(size, 512, 2**24) and size & (size - 1) == 0 and is_number(gib, 1, 65536)
          and is_number(blocks, 1, MAX_BLOCKS) and blocks * size == gib * 2**30, FORMAT, f"{name}: implausible volume")
    check(all(is_number(value, 0) for value in counts) and manifest["segmentBlocks"] == SEGMENT_BLOCKS
          and are_digests(segments + documents[:1] + [one for one in documents[1:] if one is not None]), FORMAT,
          f"{name}: malformed counts, segments or documents")
    image = "\n".join(["coldcase-image-v1", f"{size} {blocks} {SEGMENT_BLOCKS}", *segments, ""])
    check(sha256(image.encode()) == manifest["imageDigest"] and len(segments) == -(-blocks // SEGMENT_BLOCKS), INTEGRITY,
          f"{name}: image digest or number of segments differs")
    check(sum(counts) == blocks and (documents[1] is None) == (counts[3] == 0), INTEGRITY, f"{name}: wrong counts")
    commitment = sha256(f"coldcase-commitment-v1\n{head['manifest']}\n".encode())
    check(names[:3] == (exhibit, head["snapshot"], head["parent"]) and head["exhibit"] == exhibit
          and head["commitment"] == commitment, INTEGRITY, f"{name}: not the exhibit, snapshot ... of its inventory")
    by_manifest = signers(root, name, data, "manifest")
    check(names[3] in by_manifest and by & by_manifest, INTEGRITY, f"{name}: not signed by its signer and the inventory's")
    needed = {name, *map("documents/{}.json".format, filter(None, documents)), *(f"segments/{s[:2]}/{s}.json" for s in segments)}
    others = {file for file in files if not re.fullmatch(r"packs/(..)/\1[0-9a-f]{62}\.pack", file)}
    check(needed == others, INTEGRITY, f"{exhibit}: the inventory lacks or adds {sorted(needed ^ others)[:9]}")
    return size, blocks, segments, counts, documents, ", ".join(sorted(by & by_manifest))
def read_segment(root, digest, length, zero_digest):
    """(state, number of blocks, digests of stored ones) of each run."""
    name, runs = f"segments/{digest[:2]}/{digest}.json", [(None, 0, ())]
    for run in parse(read_file(root, name, 2**21, digest), name, "coldcase-segment")["runs"] or [None]:
        state = run.get("state") if isinstance(run, dict) else None
        member = "digests" if state == "stored" else "blocks"
        check(state in STATES and set(run) == {"state", member} and state != runs[-1][0], FORMAT, f"{name}: malformed run")
        value = run[member]
        check(is_number(value, 1, SEGMENT_BLOCKS) or state == "stored" and value and are_digests(value)
              and zero_digest not in value, FORMAT, f"{name}: a run without blocks or digests, or zeros that are stored")
        runs.append((state, len(value), value) if state == "stored" else (state, value, ()))
    check(sum(blocks for _, blocks, _ in runs) == length, FORMAT, f"{name}: has not {length} blocks")
    return runs[1:]
def check_frame(frame, place):
    """One frame of zstd, no dictionary, a window of at most 8 MiB, and nothing after it (RFC 8878, 3.1.1)."""
    check(len(frame) > 8 and frame[:4] == b"\x28\xb5\x2f\xfd" and frame[4] & 11 == 0, INTEGRITY, f"{place}: no such frame")
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
        with subprocess.Popen(["zstd", "-dcq"], stdin=frames, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as zstd:
            for digest, codec, stored in records:
                block = stored if codec == 0 else zstd.stdout.read(size)
                check(sha256(block) == digest, INTEGRITY, f"{name}: block {digest} does not match")
                yield digest, block
            check(zstd.stdout.read(1) == b"", INTEGRITY, f"{name}: frames hold more than their blocks")
def check_unreadable(root, digest, unreadable):
    name = f"documents/{digest}.json"
    document = parse(read_file(root, name, 2**26, digest), name, "coldcase-unreadable") if digest else {"entries": []}
    try:
        listed = [(one["first"]["block"], one["blocks"]) for one in document["entries"]]
    except (TypeError, KeyError) as error:
        raise Fault(FORMAT, f"{name}: malformed entry ({error})") from None
    check(all(is_number(first, 0) and is_number(blocks, 1) and first + blocks <= then for (first, blocks), (then, _)
              in zip(listed, listed[1:] + [(MAX_BLOCKS, 0)])), FORMAT, f"{name}: overlaps, or leads too far")
    check(sum(blocks for _, blocks in listed) == len(unreadable)  # before a list is made of it
          and [first + at for first, blocks in listed for at in range(blocks)] == unreadable, INTEGRITY,
          f"{name}: not the blocks that the segments call unreadable")
def read_exhibit(root, exhibit, image):
    head, files, by = read_inventory(root, exhibit)
    size, count, segments, counts, documents, by = read_manifest(root, exhibit, head, files, by)
    places, unreadable, seen, known = {}, [], dict.fromkeys(STATES, 0), {}
    for first, digest in zip(range(0, count, SEGMENT_BLOCKS), segments):
        length = min(SEGMENT_BLOCKS, count - first)
        if (digest, length) not in known:  # most neighbours are equal
            known = {(digest, length): read_segment(root, digest, length, sha256(bytes(size)))}
        for state, blocks, digests in known[digest, length]:
            seen[state] += blocks
            unreadable += range(first, first + blocks) if state == "unreadable" else ()
            for at, stored in enumerate(digests, first):
                places.setdefault(stored, []).append(at)
            first += blocks
    check(list(seen.values()) == counts, INTEGRITY, f"{exhibit}: the manifest counts {counts}, its segments have {seen}")
    check_unreadable(root, documents[1], unreadable)
    image.truncate(count * size)
    for name, length in files.items():
        data = read_file(root, name, MAX_PACK, os.path.splitext(name)[0][-64:])
        check(str(len(data)) == length, INTEGRITY, f"{name}: has {len(data)} bytes, the inventory says {length}")
        for digest, block in unpack_blocks(pack_records(data, name, size), name, size) if name[:6] == "packs/" else ():
            for index in places.pop(digest, ()):
                image.seek(index * size)
                image.write(block)
    check(not places, INTEGRITY, f"{exhibit}: blocks {list(places.values())[:9]} are in no pack of the inventory")
    told = "signed by" if shutil.which("ssh-keygen") else "SIGNATURES NOT CHECKED, for want of ssh-keygen, of"
    return f"{exhibit}: verified; {', '.join(f'{seen[state]} {state}' for state in STATES)}; {told} {by}"
def main(arguments):
    if len(arguments) != 3 or not re.fullmatch("ex-[0-9a-f]{16}", arguments[1]) or os.path.lexists(arguments[2]):
        return print(__doc__, file=sys.stderr) or USAGE
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
