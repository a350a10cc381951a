"""Makes folders as Snapshot-4n6ir-Imager leaves them, from an image: one file a block, gzip files of those, Fernet
tokens of these. Written from the description of the layout alone, with Python's own modules and `cryptography`; it
shares no code with the program that reads them.

    python3 imager_folder.py < JSON

JSON: image, into, snapshot, volumeSizeGib, blockSize, blocks (indexes), layout, password, salt, indexDigits. What is deliberately
wrong is made by whoever calls this, but for what needs the key: `bombs`, indexes whose gzip file holds 64 MiB.
"""
import base64
import gzip
import hashlib
import json
import os
import sys

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC


def main():
    wish = json.load(sys.stdin)
    layout, size = wish["layout"], wish["blockSize"]
    folder = os.path.join(wish["into"], wish["snapshot"] + ("" if layout == "plain" else "_" + layout))
    os.makedirs(folder, exist_ok=True)
    if layout == "encrypted":
        kdf = PBKDF2HMAC(algorithm=hashes.SHA256(), length=32, salt=wish["salt"].encode(), iterations=100_000)
        fernet = Fernet(base64.urlsafe_b64encode(kdf.derive(wish["password"].encode())))
    known = {}
    with open(wish["image"], "rb") as image:
        for index in wish["blocks"]:
            image.seek(index * size)
            block = image.read(size)
            digest = hashlib.sha256(block).hexdigest()
            name = f"{index:0{wish.get('indexDigits', 1)}}_{wish['snapshot']}_{digest}_{wish['volumeSizeGib']}_{size}"
            data = block if index not in wish.get("bombs", []) else bytes(64 << 20)
            if layout != "plain":
                # Most blocks of a volume are alike.
                data, name = known.setdefault(data, gzip.compress(data)), name + ".gz"
            if layout == "encrypted":
                data, name = fernet.encrypt(data), name + ".encrypted"
            with open(os.path.join(folder, name), "xb") as file:
                file.write(data)
    print(folder)


main()
