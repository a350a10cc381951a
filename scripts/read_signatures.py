"""Files of a coldcase store, and the signatures beside them. See store-format.md, "Signatures" and "Encryption".

For read_store.py. Needs `ssh-keygen`; without it what signatures say is not checked, only how they are written. An
encrypted store needs `age`.
"""
import base64
import glob
import hashlib
import os
import pathlib
import re
import shutil
import stat
import subprocess

from read_pack import FORMAT, INTEGRITY, USAGE, check, sha256

IDENTITIES = []  # at most one file
BEGIN, END = b"-----BEGIN SSH SIGNATURE-----\n", b"\n-----END SSH SIGNATURE-----\n"
SIGNATURE = re.compile(
    rb"SSHSIG\0\0\0\x01\0\0\0\x33(?P<key>\0\0\0\x0bssh-ed25519\0\0\0 (?P<point>.{32}))\0\0\0.[ -~]+\0\0\0\0\0\0\0\x06"
    rb"sha(?:256|512)\0\0\0\x53\0\0\0\x0bssh-ed25519\0\0\0@.{64}", re.DOTALL)
ORDER_8 = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826  # y of a point of order 8
SMALL_ORDER = {0, 1, 2**255 - 20, ORDER_8, 2**255 - 19 - ORDER_8}  # such points' y; ssh-keygen takes them


def read_file(root, name, limit, digest=None):
    """The bytes of a file; compared with `digest` before anybody looks at them."""
    path = root
    for part in name.split("/"):
        path = os.path.join(path, part)
        check(not os.path.islink(path), FORMAT, f"{name}: {part} is a symbolic link")
    check(os.path.exists(path), INTEGRITY, f"{name}: missing")
    check(stat.S_ISREG(os.lstat(path).st_mode), FORMAT, f"{name}: not a regular file")
    limit += (limit // 64 + 2**16) * name.endswith(".age")  # header, nonce and tags
    check(os.path.getsize(path) <= limit, FORMAT, f"{name}: larger than {limit} bytes")
    data = pathlib.Path(path).read_bytes()
    check(digest in (None, sha256(data)), INTEGRITY, f"{name}: its SHA-256 is not that of its name")
    return opened(data, name) if name.endswith(".age") else data


def opened(data, name):
    """What is in an age file."""
    check(IDENTITIES, USAGE, f"{name}: encrypted, and no IDENTITY was given")
    ended = subprocess.run(["age", "-d", "-i", IDENTITIES[0]], input=data, capture_output=True)
    check(ended.returncode == 0, INTEGRITY, f"{name}: age does not open it: {ended.stderr.decode()}")
    return ended.stdout


def signers(root, name, data, kind):
    """Fingerprints of the keys whose signatures over a document hold, as ssh-keygen says where there is one."""
    found = set()
    stem = os.path.join(glob.escape(root), re.sub(r"\.(json\.age|json|txt)$", "", name))
    for path in sorted(glob.glob(f"{stem}.{'?' * 16}.sshsig")):
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
