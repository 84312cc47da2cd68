"""A web server for tests of range requests: right, or wrong in the way that the path says.

    http_test_server.py CONTENT LOG [--tls FOLDER]

serves CONTENT under any path /WHEN/MODE[/ARGUMENT] on a free port of 127.0.0.1, which is the first line
of its output. WHEN is `always`, or `later`: the opening request (bytes=0-0) is answered rightly. Each
request is a line of LOG, written before its answer: path, first and last byte, condition. With --tls it
speaks https with a certificate that it makes in FOLDER.
"""

from __future__ import annotations

import argparse
import itertools
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ETAG = '"version-1"'
CHANGED = "Sat, 01 Aug 2026 10:00:00 GMT"
LATER = "Sun, 02 Aug 2026 10:00:00 GMT"


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests; the modes are its methods called mode_*."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    content = b""
    log: Path
    log_lock = threading.Lock()
    requests_of: dict[str, itertools.count] = defaultdict(itertools.count)

    def log_message(self, *_arguments: object) -> None:
        """The log of this server is for the test."""

    def do_GET(self) -> None:
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        self.first, self.last = int(first), int(last)
        condition = self.headers["If-Match"] or self.headers["If-Unmodified-Since"] or "-"
        with self.log_lock, self.log.open("a") as log:
            log.write(f"{self.path} {self.first} {self.last} {condition}\n")
        when, mode, *arguments = self.path.split("?")[0].strip("/").split("/")
        if when == "later" and (self.first, self.last) == (0, 0):
            mode, arguments = "plain", []
        getattr(self, "mode_" + mode.replace("-", "_"))(*arguments)

    def reply(self, status: int, body: bytes, length: int | None = None, **headers: str) -> None:
        """Sends `body`, whatever `length` the header claims; a _ in a header's name is a dash."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def part(self, total: int | None = None, shift: int = 0) -> dict[str, str]:
        """The header that says which bytes these are."""
        size = len(self.content) if total is None else total
        return {"Content_Range": f"bytes {self.first + shift}-{self.last + shift}/{size}"}

    def body(self) -> bytes:
        return self.content[self.first : self.last + 1]

    def next_number(self) -> int:
        """How many requests of this path came before, whoever sent them."""
        with self.log_lock:
            return next(self.requests_of[self.path])

    def drop(self) -> None:
        """Ends the connection with a reset."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.close_connection = True

    def mode_plain(self, etag: str = ETAG, modified: str = CHANGED) -> None:
        if self.headers["If-Match"] not in (None, etag):
            return self.reply(412, b"changed")
        if self.headers["If-Unmodified-Since"] not in (None, modified):
            return self.reply(412, b"changed")
        if self.first >= len(self.content):
            return self.reply(416, b"", Content_Range=f"bytes */{len(self.content)}")
        self.last = min(self.last, len(self.content) - 1)
        known = {"ETag": etag, "Last_Modified": modified}
        return self.reply(206, self.body(), **self.part(), **{k: v for k, v in known.items() if v})

    def mode_weak(self) -> None:
        self.mode_plain(etag='W/"1"')

    def mode_unversioned(self) -> None:
        self.mode_plain(etag="", modified="")

    def mode_new_version(self) -> None:
        self.mode_plain(etag='"version-2"')

    def mode_new_version_unasked(self) -> None:
        self.reply(206, self.body(), ETag='"version-2"', **self.part())

    def mode_new_size(self) -> None:
        self.reply(206, self.body(), ETag=ETAG, **self.part(total=len(self.content) + 1))

    def mode_weak_then_changed(self) -> None:
        is_opening = (self.first, self.last) == (0, 0)
        self.mode_plain(etag='W/"1"', modified=CHANGED if is_opening else LATER)

    def mode_ignores_ranges(self) -> None:
        self.reply(200, self.content, ETag=ETAG)

    def mode_other_range(self) -> None:
        self.reply(206, self.body(), ETag=ETAG, **self.part(shift=1))

    def mode_no_range(self) -> None:
        self.reply(206, self.body(), ETag=ETAG)

    def mode_garbled_range(self) -> None:
        self.reply(206, self.body(), ETag=ETAG, Content_Range="bytes 5-18446744073709551616/ten")

    def mode_longer(self) -> None:
        self.reply(206, self.body() + b"more", ETag=ETAG, **self.part())

    def mode_shorter(self) -> None:
        self.reply(206, self.body()[:-1], ETag=ETAG, **self.part())

    def mode_encoded(self) -> None:
        self.reply(206, self.body(), ETag=ETAG, Content_Encoding="gzip", **self.part())

    def mode_endless_header(self) -> None:
        self.send_response(206)
        self.flush_headers()
        try:
            while True:
                self.wfile.write(b"X-Nothing: " + 1000 * b"x" + b"\r\n")
        except OSError:
            self.close_connection = True

    def mode_cut(self) -> None:
        self.reply(206, self.body()[:-1], length=len(self.body()), ETag=ETAG, **self.part())
        self.drop()

    def mode_silent(self) -> None:
        self.connection.recv(1)  # until the other side hangs up
        self.close_connection = True

    def mode_status(self, status: str) -> None:
        self.reply(int(status), b"in words")

    def mode_busy(self, times: str, status: str = "503") -> None:
        if self.next_number() < int(times):
            return self.reply(int(status), b"later", Retry_After="0")
        return self.mode_plain()

    def mode_busy_for_an_hour(self) -> None:
        self.reply(503, b"later", Retry_After="3600")

    def mode_resets(self, times: str) -> None:
        if self.next_number() < int(times):
            return self.drop()
        return self.mode_plain()

    def mode_redirect(self, times: str) -> None:
        left = int(times)
        to = f"/always/redirect/{left - 1}" if left > 1 else "/always/plain"
        self.reply(302, b"elsewhere", Location=to, ETag='"redirect"')

    def mode_redirect_to_file(self) -> None:
        self.reply(302, b"", Location="file:///etc/hostname")


class Server(ThreadingHTTPServer):
    """Clients that hang up are what many tests are about, and no news."""

    def handle_error(self, *_arguments: object) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(*_arguments)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True)
    return certificate, key


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("content", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--tls", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    Handler.content = arguments.content.read_bytes()
    Handler.log = arguments.log
    server = Server(("127.0.0.1", 0), Handler)
    if arguments.tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*make_certificate(arguments.tls))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_port, flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
