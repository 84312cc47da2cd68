"""A second implementation of handing page faults over, for tests: nothing of it is memsync's.

    handoff_peer.py handle SOCKET DIALECT FILE   answers one application's faults with FILE's bytes
    handoff_peer.py offer SOCKET DIALECT SIZE    hands SIZE bytes of memory over, prints the SHA-256
                                                 of what it reads there

It speaks memsync's dialect and that of github.com/loopholelabs/userfaultfd-go. Source:
userfaultfd(2), ioctl_userfaultfd(2), unix(7), and approaches/userfaultfd/README.md for the bytes.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import mmap
import os
import select
import socket
import struct
import sys
from pathlib import Path

PAGE = mmap.PAGESIZE
SYS_USERFAULTFD = {"x86_64": 323, "aarch64": 282}[os.uname().machine]
UFFDIO_API, UFFDIO_REGISTER, UFFDIO_COPY = 0xC018AA3F, 0xC020AA00, 0xC028AA03
API, MODE_MISSING, EVENT_PAGEFAULT = 0xAA, 1, 0x12
OFFER, VERDICT = "<8sHHIQQQII", "<8sHHI"


def descriptor_numbers(count: int, received: list[int]) -> int:
    """The last of `count` descriptors, the others closed."""
    assert len(received) == count, f"{len(received)} descriptors came, not {count}"
    for number in received[:-1]:
        os.close(number)
    return received[-1]


def receive_offer(line: socket.socket, dialect: str) -> tuple[int, int, int]:
    """The start of the application's memory, the offset in the region, the userfaultfd."""
    if dialect == "userfaultfd-go":
        (start,) = struct.unpack(">q", line.recv(8, socket.MSG_WAITALL))
        dummy, numbers, flags, _ = socket.recv_fds(line, 16, 8)
        assert len(dummy) == 1 and not flags & socket.MSG_CTRUNC
        return start, 0, descriptor_numbers(2, numbers)
    data, numbers, flags, _ = socket.recv_fds(line, 4096, 8)
    magic, version, poison, page, start, length, offset, pid, zero = struct.unpack(OFFER, data)
    assert (magic, version, page, zero) == (b"MSYNCUF\n", 1, PAGE, 0), data
    assert poison in (0, 1) and length > 0 and pid > 0
    line.sendall(struct.pack(VERDICT, b"MSYNCAK\n", 1, 0, 0))
    return start, offset, descriptor_numbers(1, numbers)


def copy(uffd: int, address: int, page: bytes) -> None:
    """UFFDIO_COPY of one page; EEXIST is an ordinary day."""
    buffer = ctypes.create_string_buffer(page.ljust(PAGE, b"\0"), PAGE)
    request = bytearray(struct.pack("<QQQQq", address, ctypes.addressof(buffer), PAGE, 0, 0))
    try:
        fcntl.ioctl(uffd, UFFDIO_COPY, request)
    except FileExistsError:
        pass


def handle(path: str, dialect: str, content: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("listening", flush=True)
        line, _ = listener.accept()
    start, offset, uffd = receive_offer(line, dialect)
    os.set_blocking(uffd, False)
    waiting = select.poll()
    waiting.register(uffd, select.POLLIN)
    waiting.register(line, select.POLLIN)
    faults = 0
    while True:
        ready = dict(waiting.poll())
        if line.fileno() in ready:
            break
        message = os.read(uffd, 32)
        if message[0] != EVENT_PAGEFAULT:
            continue
        address = struct.unpack_from("<Q", message, 16)[0] // PAGE * PAGE
        at = address - start + offset
        copy(uffd, address, content[at : at + PAGE])
        faults += 1
    print(faults, flush=True)


def register(size: int) -> tuple[mmap.mmap, int, int]:
    """Anonymous memory whose missing pages are reported: it, its address, the userfaultfd."""
    uffd = ctypes.CDLL(None, use_errno=True).syscall(SYS_USERFAULTFD, os.O_CLOEXEC)
    if uffd < 0:
        raise OSError(ctypes.get_errno(), "userfaultfd")
    fcntl.ioctl(uffd, UFFDIO_API, bytearray(struct.pack("<QQQ", API, 0, 0)))
    whole = -(-size // PAGE) * PAGE
    memory = mmap.mmap(-1, whole, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    request = bytearray(struct.pack("<QQQQ", address, whole, MODE_MISSING, 0))
    fcntl.ioctl(uffd, UFFDIO_REGISTER, request)
    return memory, address, uffd


def offer(path: str, dialect: str, size: int) -> None:
    memory, address, uffd = register(size)
    line = socket.socket(socket.AF_UNIX)
    line.connect(path)
    if dialect == "userfaultfd-go":
        line.sendall(struct.pack(">q", address))
        socket.send_fds(line, [b"\0"], [0, uffd])
    else:
        data = struct.pack(OFFER, b"MSYNCUF\n", 1, 0, PAGE, address, size, 0, os.getpid(), 0)
        socket.send_fds(line, [data], [uffd])
        answer = line.recv(16, socket.MSG_WAITALL)
        magic, version, verdict, zero = struct.unpack(VERDICT, answer)
        if verdict != 0:
            print(f"refused {verdict}", flush=True)
            return
        assert (magic, version, zero) == (b"MSYNCAK\n", 1, 0)
    print(hashlib.sha256(memory[:size]).hexdigest(), flush=True)


if __name__ == "__main__":
    _, role, place, spoken, what = sys.argv
    if role == "handle":
        handle(place, spoken, Path(what).read_bytes())
    else:
        offer(place, spoken, int(what))
