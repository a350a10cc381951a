#!/usr/bin/env python3
"""Verifies one exhibit of a coldcase store and writes its raw image, sparse.

    python3 read_store.py STORE EXHIBIT OUTPUT [IDENTITY]

An independent reader, with read_pack.py and read_signatures.py beside it, written from store-format.md alone: Python's
standard library, the commands `zstd` and `ssh-keygen`, and for an encrypted store `age` with a file IDENTITY. Without
ssh-keygen signatures are not checked, and stderr says so; whether to trust who signed is for you to decide. It looks at
what an image rests on, at nothing else (custody log, addenda, raw signatures, sessions). OUTPUT must not exist. Blocks
that are absent, zero or unreadable read as zeros; stderr counts them. It stops at the first fault. Exit codes:
0 verified and written, 2 usage, 20 integrity (digest, count, signature or name do not match), 21 format.
"""
import datetime
import hashlib
import json
import os
import re
import shutil
import sys

sys.dont_write_bytecode = True  # where this lies need not be writable
from read_pack import FORMAT, INTEGRITY, MAX_PACK, USAGE, Fault, check, pack_records, sha256, unpack_blocks
from read_signatures import IDENTITIES, read_file, signers

STATES, SEGMENT_BLOCKS, MAX_BLOCKS = ("absent", "zero", "stored", "unreadable"), 16384, 2**27
MEMBERS = {"coldcase-store": "case createdAt digest features id mixedCases mode readVersion recipients writeVersion",
           "coldcase-manifest": "acquisition counts imageDigest isPartial parent segmentBlocks segments source "
           "supersedes version volume", "coldcase-segment": "runs version",
           "coldcase-map": "documents segments version",
           "coldcase-unreadable": "entries version"}
INVENTORY = re.compile(
    r"coldcase-inventory 1\nexhibit (?P<exhibit>ex-[0-9a-f]{16})\nsnapshot (?P<snapshot>snap-[0-9a-f]{8,17})\n"
    r"parent (?P<parent>-|ex-[0-9a-f]{16})\ncommitment (?P<commitment>[0-9a-f]{64})\n"
    r"manifest (?P<manifest>[0-9a-f]{64})\nmap (?P<map>-|[0-9a-f]{64})\n"
    r"committed (?P<committed>\d{4}(?:-\d\d){2}T\d\d(?::\d\d){2}\.\d{3})Z\nfiles (?P<count>0|[1-9]\d{0,15})\n"
    r"(?P<files>(?:(?:0|[1-9]\d{0,15}) [a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)*\n)*)", re.ASCII)


def is_number(value, low, high=2**53 - 1):
    return type(value) is int and low <= value <= high


def are_digests(values):
    return isinstance(values, list) and all(
        isinstance(one, str) and re.fullmatch("[0-9a-f]{64}", one) for one in values)


def in_order(pairs):  # RFC 8785 sorts members by UTF-16 code units
    names = [name.encode("utf-16-be") for name, _ in pairs]
    return dict(pairs) if names == sorted(set(names)) else int(f"members {names}")


def integer(text):  # fractions and unsafe integers have no place in what is parsed here
    return int(text) if is_number(int(text), -2**53 + 1) else int(f"{text} is unsafe")


def canonical(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def digest_in(name):
    return re.search(r"([0-9a-f]{64})\.[a-z.]+$", name)[1]


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


def read_inventory(root, exhibit):
    """The newest inventory that is signed: its head, sizes by name, and who signed it."""
    check(os.path.lexists(os.path.join(root, "store.json")), USAGE, f"{root}: no store")
    store = parse(read_file(root, "store.json", 2**18), "store.json", "coldcase-store")
    mode = "plain" if store["recipients"] is None else "encrypted"
    check(store["mode"] == mode and store["features"] == [], FORMAT,
          "store.json: a mode or feature that this program does not know, or recipients of another mode")
    check(store.pop("digest") == sha256(canonical(store)), INTEGRITY, "store.json: its digest is not its own")
    folder, found = os.path.join(root, "exhibits", exhibit), []
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    for digest in filter(None, (re.fullmatch(r"inventory-([0-9a-f]{64})\.txt", name) for name in names)):
        if not any(re.fullmatch(rf"inventory-{digest[1]}\.[0-9a-f]{{16}}\.sshsig", one) for one in names):
            continue  # a crash left it
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
    end = ".json" if head["map"] == "-" else ".json.age"
    name, at = f"exhibits/{exhibit}/manifest-{head['manifest']}{end}", f"exhibits/{exhibit}/map-{head['map']}{end}"
    maps = None if head["map"] == "-" else parse(read_file(root, at, 2**22, head["map"]), at, "coldcase-map")
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
    check(sha256(image.encode()) == manifest["imageDigest"] and len(segments) == -(-blocks // SEGMENT_BLOCKS),
          INTEGRITY, f"{name}: image digest or number of segments differs")
    check(sum(counts) == blocks and (documents[1] is None) == (counts[3] == 0), INTEGRITY, f"{name}: wrong counts")
    commitment = sha256(f"coldcase-commitment-v1\n{sha256(data)}\n".encode())
    check(names[:3] == (exhibit, head["snapshot"], head["parent"]) and head["exhibit"] == exhibit
          and head["commitment"] == commitment, INTEGRITY, f"{name}: not the exhibit, snapshot ... of its inventory")
    by_manifest = signers(root, name, data, "manifest")
    check(names[3] in by_manifest and by & by_manifest, INTEGRITY,
          f"{name}: not signed by its signer and the inventory's")

    def named(folder, digest):
        """The file that holds what has this digest: by its name or, in an encrypted store, by the map."""
        check(not maps or are_digests([maps[folder].get(digest)]), INTEGRITY, f"{at}: lacks {digest}")
        held = maps[folder][digest] if maps else digest
        return f"{folder}/{held[:2] + '/' if folder == 'segments' else ''}{held}{end}"

    documents = [one and (one, named("documents", one)) for one in documents]
    segments = [(one, named("segments", one)) for one in segments]
    needed = {name, *([at] if maps else []), *(one[1] for one in segments + documents if one)}
    pack = rf"packs/(..)/\1[0-9a-f]{{62}}\.pack{re.escape(end[5:])}"
    others = {file for file in files if not re.fullmatch(pack, file)}
    check(needed == others, INTEGRITY, f"{exhibit}: the inventory lacks or adds {sorted(needed ^ others)[:9]}")
    mark = "" if manifest["source"].get("kind") == "aws-ebs" else "; IMPORTED from a folder, not acquired"
    return size, blocks, segments, counts, documents, ", ".join(sorted(by & by_manifest)) + mark


def read_named(root, digest, name, limit):
    data = read_file(root, name, limit, digest_in(name))
    check(sha256(data) == digest, INTEGRITY, f"{name}: holds something else than {digest}")
    return data


def read_segment(root, digest, name, length, zero_digest):
    """(state, number of blocks, digests of stored ones) of each run."""
    runs = [(None, 0, ())]
    for run in parse(read_named(root, digest, name, 2**21), name, "coldcase-segment")["runs"] or [None]:
        state = run.get("state") if isinstance(run, dict) else None
        member = "digests" if state == "stored" else "blocks"
        check(state in STATES and set(run) == {"state", member} and state != runs[-1][0], FORMAT,
              f"{name}: malformed run")
        value = run[member]
        check(is_number(value, 1, SEGMENT_BLOCKS) or state == "stored" and value and are_digests(value)
              and zero_digest not in value, FORMAT,
              f"{name}: a run without blocks or digests, or zeros that are stored")
        runs.append((state, len(value), value) if state == "stored" else (state, value, ()))
    check(sum(blocks for _, blocks, _ in runs) == length, FORMAT, f"{name}: has not {length} blocks")
    return runs[1:]


def check_unreadable(root, file, unreadable):
    name = file and file[1]
    document = parse(read_named(root, *file, 2**26), name, "coldcase-unreadable") if file else {"entries": []}
    try:
        listed = [(one["first"]["block"], one["blocks"]) for one in document["entries"]]
        left_out = [one["first"]["reason"] == "left_out" for one in document["entries"]]
    except (TypeError, KeyError) as error:
        raise Fault(FORMAT, f"{name}: malformed entry ({error})") from None
    check(all(is_number(first, 0) and is_number(blocks, 1) and first + blocks <= then for (first, blocks), (then, _)
              in zip(listed, listed[1:] + [(MAX_BLOCKS, 0)])), FORMAT, f"{name}: overlaps, or leads too far")
    check(True not in left_out[:-1], FORMAT, f"{name}: an entry follows the one for what has no room")
    rest, other = [], f"{name}: not the blocks that the segments call unreadable"
    if True in left_out:  # every unreadable block from there on; the range ends with the last of them
        first, blocks = listed.pop()
        rest = [one for one in unreadable if one >= first]
        check(rest and (rest[0], rest[-1]) == (first, first + blocks - 1), INTEGRITY, other)
    check(sum(blocks for _, blocks in listed) == len(unreadable) - len(rest)  # before a list is made of it
          and [first + at for first, blocks in listed for at in range(blocks)] + rest == unreadable, INTEGRITY, other)


def read_exhibit(root, exhibit, image):
    head, files, by = read_inventory(root, exhibit)
    size, count, segments, counts, documents, by = read_manifest(root, exhibit, head, files, by)
    places, unreadable, seen, known = {}, [], dict.fromkeys(STATES, 0), {}
    for first, (digest, name) in zip(range(0, count, SEGMENT_BLOCKS), segments):
        length = min(SEGMENT_BLOCKS, count - first)
        if (digest, length) not in known:  # most neighbours are equal
            known = {(digest, length): read_segment(root, digest, name, length, sha256(bytes(size)))}
        for state, blocks, digests in known[digest, length]:
            seen[state] += blocks
            unreadable += range(first, first + blocks) if state == "unreadable" else ()
            for at, stored in enumerate(digests, first):
                places.setdefault(stored, []).append(at)
            first += blocks
    check(list(seen.values()) == counts, INTEGRITY,
          f"{exhibit}: the manifest counts {counts}, its segments have {seen}")
    check_unreadable(root, documents[1], unreadable)
    image.truncate(count * size)
    for name, length in files.items():
        data, held = read_file(root, name, MAX_PACK, digest_in(name)), os.path.getsize(os.path.join(root, name))
        check(str(held) == length, INTEGRITY, f"{name}: has {held} bytes, the inventory says {length}")
        for digest, block in unpack_blocks(pack_records(data, name, size), name, size) if name[:6] == "packs/" else ():
            for index in places.pop(digest, ()):
                image.seek(index * size)
                image.write(block)
    check(not places, INTEGRITY, f"{exhibit}: blocks {list(places.values())[:9]} are in no pack of the inventory")
    told = "signed by" if shutil.which("ssh-keygen") else "SIGNATURES NOT CHECKED, for want of ssh-keygen, of"
    return f"{exhibit}: verified; {', '.join(f'{seen[state]} {state}' for state in STATES)}; {told} {by}"


def main(arguments):
    if (len(arguments) not in (3, 4) or not re.fullmatch("ex-[0-9a-f]{16}", arguments[1])
            or os.path.lexists(arguments[2])):
        return print(__doc__, file=sys.stderr) or USAGE
    IDENTITIES[:] = arguments[3:]
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
