"""The thesis's delta protocol as the thesis's own programs speak it, from its description alone, for tests.

    unmodified_peer.py source|receiver FILE BLOCK_BYTES DESCRIPTOR

speaks over the connected socket DESCRIPTOR. It keeps what the original gets wrong: the size is taken from
the last *listed* block, of which the cutoff is cut, and a source that can't find its file says that it is
empty. A receiver serves until the stream ends. A source does one round for each line of its input and
answers it with a line of JSON, when the receiver's next list has come: the blocks and the cutoff.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import zlib
from typing import Any


def receive(stream: socket.socket, count: int) -> bytes:
    """Exactly `count` bytes; EOFError when the stream ends before."""
    got = b""
    while len(got) < count:
        more = stream.recv(count - len(got))
        if not more:
            raise EOFError
        got += more
    return got


def send_frame(stream: socket.socket, value: Any) -> None:
    text = json.dumps(value, separators=(",", ":")).encode()
    stream.sendall(struct.pack("<i", len(text)) + text)


def receive_frame(stream: socket.socket) -> Any:
    (length,) = struct.unpack("<i", receive(stream, 4))
    return json.loads(receive(stream, length))


def block_hashes(path: str, block_bytes: int) -> tuple[list[str], int]:
    """The hash of each block, eight digits, and what the last one lacks of a whole block."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return [], 0
    blocks = [data[at : at + block_bytes] for at in range(0, len(data), block_bytes)]
    return [f"{zlib.crc32(block):08x}" for block in blocks], len(blocks) * block_bytes - len(data)


def answer(stream: socket.socket, path: str, block_bytes: int, theirs: list[str]) -> tuple[list[int], int]:
    ours, cutoff = block_hashes(path, block_bytes)
    differing = [i for i, mine in enumerate(ours) if i >= len(theirs) or theirs[i] != mine]
    send_frame(stream, differing)
    if theirs and not ours:
        send_frame(stream, -1)
        return differing, -1
    send_frame(stream, cutoff)
    for block in differing:
        length = block_bytes - (cutoff if block == differing[-1] else 0)
        with open(path, "rb") as file:
            file.seek(block * block_bytes)
            stream.sendall(file.read(length))
    return differing, cutoff


def serve_source(stream: socket.socket, path: str, block_bytes: int) -> None:
    theirs = receive_frame(stream)
    for _ in sys.stdin:
        differing, cutoff = answer(stream, path, block_bytes, theirs)
        theirs = receive_frame(stream)
        print(json.dumps({"blocks": differing, "cutoff": cutoff}), flush=True)


def serve_receiver(stream: socket.socket, path: str, block_bytes: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    while True:
        send_frame(stream, block_hashes(path, block_bytes)[0])
        try:
            listed = receive_frame(stream)
        except EOFError:
            return
        cutoff = receive_frame(stream)
        if cutoff == -1:
            os.ftruncate(file, 0)
            continue
        if listed:
            size = (listed[-1] + 1) * block_bytes - cutoff
            missing = size - os.stat(path).st_size
            if missing < 0:
                os.ftruncate(file, size)
            else:
                os.lseek(file, 0, os.SEEK_END)
                os.write(file, bytes(missing))
        for block in listed:
            length = block_bytes - (cutoff if block == listed[-1] else 0)
            os.pwrite(file, receive(stream, length), block * block_bytes)


def main() -> None:
    role, path, block_bytes, descriptor = sys.argv[1:]
    serve = {"source": serve_source, "receiver": serve_receiver}[role]
    serve(socket.socket(fileno=int(descriptor)), path, int(block_bytes))


if __name__ == "__main__":
    main()
