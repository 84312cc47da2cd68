"""`memsync serve` and `memsync pull` as people use them; hand-offs with another implementation."""

from __future__ import annotations

import ctypes
import hashlib
import json
import mmap
import os
import platform
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import MEMSYNC, memsync

SIZE = 8_000_003
SHIM = MEMSYNC.parent / "libmemsync-pull.so"
PEER = Path(__file__).with_name("handoff_peer.py")
WEB_SERVER = Path(__file__).parents[2] / "lib/backend/http_test_server.py"
DIALECTS = ["memsync", "userfaultfd-go"]

HASH = """import hashlib, mmap, sys; f = open(sys.argv[1], 'rb')
m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ); """
HASH_ALL = HASH + "print(hashlib.sha256(m).hexdigest())"
HASH_SOME = HASH + "print(hashlib.sha256(m[4_000_000:4_000_100]).hexdigest())"

SORT = """\
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
static int by_value(const void* a, const void* b) {
  return *(const unsigned char*)a - *(const unsigned char*)b;
}
int main(int argc, char** argv) {
  struct stat about;
  int file = open(argv[argc - 1], O_RDONLY);
  if (file < 0 || fstat(file, &about) != 0) return 1;
  unsigned char* bytes = mmap(NULL, about.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  if (bytes == MAP_FAILED) return 2;
  qsort(bytes, about.st_size, 1, by_value);
  fwrite(bytes, 1, about.st_size, stdout);
  return munmap(bytes, about.st_size);
}
"""


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "content"
    path.write_bytes(random.Random(5).randbytes(SIZE))
    return path


@pytest.fixture
def address(content: Path, run_in_background) -> str:
    return run_in_background(MEMSYNC, "serve", content).first_line


@pytest.fixture
def web(content: Path, run_in_background, tmp_path: Path, monkeypatch) -> str:
    """Where a web server is, right or wrong as the path says (WEB_SERVER)."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = run_in_background(sys.executable, WEB_SERVER, content, tmp_path / "log")
    return f"http://127.0.0.1:{server.first_line}"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def counters(stderr: str) -> dict[str, int]:
    return json.loads(next(line for line in stderr.splitlines() if line.startswith("{")))


def leftovers() -> set[str]:
    return {path.name for path in Path("/tmp").glob("memsync-pull-*")}


def test_serve_prints_an_address_and_ends_with_ctrl_c(
    content: Path, run_in_background, tmp_path: Path
) -> None:
    server = run_in_background(MEMSYNC, "serve", content, "--json")
    told = json.loads(server.first_line)
    assert re.fullmatch(r"127\.0\.0\.1:\d+", told["address"]) and told["size_B"] == SIZE
    assert memsync("pull", told["address"], "--out", tmp_path / "copy").code == 0
    code, _, stderr = server.stop()
    assert code == 0 and "were sent" in stderr


@pytest.mark.parametrize("size", [1, 4096, 4097, SIZE])
def test_out_brings_every_byte_of_any_size(run_in_background, tmp_path: Path, size: int) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(random.Random(size).randbytes(size))
    copy.write_bytes(b"what was there before")
    server = run_in_background(MEMSYNC, "serve", source, "--listen", f"unix:{tmp_path}/region")
    assert server.first_line == f"unix:{tmp_path}/region"
    outcome = memsync("pull", server.first_line, "--out", copy)
    assert outcome.code == 0, outcome
    assert copy.read_bytes() == source.read_bytes()
    assert re.fullmatch(r"[0-9a-f]{32}  .*/copy\n", outcome.stdout)
    server.stop()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "source"], "left over"


def test_out_that_fails_leaves_the_file_as_it_was(
    content: Path, run_in_background, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(b"what was there before")
    address = run_in_background(MEMSYNC, "serve", content).first_line
    os.truncate(content, SIZE // 2)  # the second half can't be read any more
    outcome = memsync("pull", address, "--out", copy)
    assert outcome.code == 4 and "did not come" in outcome.stderr, outcome
    assert copy.read_bytes() == b"what was there before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["content", "copy"]


def test_several_clients_at_once(
    address: str, content: Path, run_in_background, tmp_path: Path
) -> None:
    copies = [tmp_path / f"copy{i}" for i in range(4)]
    clients = [run_in_background(MEMSYNC, "pull", address, "--out", copy) for copy in copies]
    assert [client.end()[0] for client in clients] == [0] * 4
    for i in range(4):
        assert (tmp_path / f"copy{i}").read_bytes() == content.read_bytes()


@pytest.mark.parametrize("prefetch", ["window", "none"])
def test_an_unmodified_python_script_hashes_the_region(
    address: str, content: Path, prefetch: str
) -> None:
    before = leftovers()
    words = ["pull", address, "--json", "--prefetch", prefetch]
    outcome = memsync(*words, "--", sys.executable, "-c", HASH_ALL, "{}")
    assert outcome.code == 0, outcome
    assert outcome.stdout.strip() == sha256(content.read_bytes())
    came = counters(outcome.stderr)
    assert came["received_B"] >= SIZE and came["lost_B"] == 0 and came["applications"] == 1
    assert leftovers() == before


def test_only_touched_pages_travel(address: str, content: Path) -> None:
    words = ["pull", address, "--json", "--prefetch", "none", "--unit", "4KiB"]
    outcome = memsync(*words, "--", sys.executable, "-c", HASH_SOME, "{}")
    assert outcome.stdout.strip() == sha256(content.read_bytes()[4_000_000:4_000_100]), outcome
    came = counters(outcome.stderr)
    assert (came["received_B"], came["faults"]) == (4096, 1), came


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_an_unmodified_c_program_sorts_the_region(
    address: str, content: Path, tmp_path: Path
) -> None:
    source = tmp_path / "sort.c"
    source.write_text(SORT)
    subprocess.run(["cc", "-O2", "-o", tmp_path / "sort", source], check=True)
    words = [MEMSYNC, "pull", address, "--", tmp_path / "sort", "{}"]
    done = subprocess.run(words, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == bytes(sorted(content.read_bytes()))


MAP_PARTS = """\
import hashlib, mmap, sys
all = hashlib.sha256()
with open(sys.argv[1], "rb") as file:
    for part in [3, 0, 5, 1, 4, 2] * 5:
        size = 1 << 20
        with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ, offset=part * size) as memory:
            all.update(memory[: 3 * mmap.PAGESIZE])
print(all.hexdigest())
"""


def test_a_program_may_map_part_after_part(address: str, content: Path) -> None:
    """The kernel gives each the addresses of the one before; no late page may land there."""
    outcome = memsync("pull", address, "--json", "--", sys.executable, "-c", MAP_PARTS, "{}")
    data = content.read_bytes()
    parts = [data[part << 20 :][: 3 * mmap.PAGESIZE] for part in [3, 0, 5, 1, 4, 2] * 5]
    assert outcome.stdout.strip() == sha256(b"".join(parts)), outcome
    assert counters(outcome.stderr)["applications"] == 30


def test_the_commands_exit_code_is_ours(address: str) -> None:
    assert memsync("pull", address, "--", "sh", "-c", "exit 7").code == 7
    assert memsync("pull", address, "--", "sh", "-c", "kill -9 $$").code == 137


def test_a_command_that_reads_the_placeholder_is_stopped(address: str) -> None:
    outcome = memsync("pull", address, "--", "cat", "{}")
    assert outcome.code == 4 and "map" in outcome.stderr, outcome


def test_writing_through_a_shared_mapping_is_refused(address: str) -> None:
    script = "import mmap, os, sys; f = os.open(sys.argv[1], os.O_RDWR); mmap.mmap(f, 0)"
    outcome = memsync("pull", address, "--", sys.executable, "-c", script, "{}")
    assert outcome.code == 1 and "Permission denied" in outcome.stderr, outcome


def test_ctrl_c_ends_the_command_and_leaves_nothing(address: str, run_in_background) -> None:
    before = leftovers()
    script = "import os, sys, time; print(os.getpid(), flush=True); time.sleep(600)"
    pull = run_in_background(MEMSYNC, "pull", address, "--", sys.executable, "-c", script)
    command = Path(f"/proc/{pull.first_line}")
    assert command.exists()
    code, _, _ = pull.stop()
    assert code == 130
    assert not command.exists()
    assert leftovers() == before


def test_a_killed_pull_takes_the_command_along_and_clean_removes_the_rest(
    address: str, run_in_background
) -> None:
    before = leftovers()
    script = "import time; print(1, flush=True); time.sleep(600)"
    pull = run_in_background(MEMSYNC, "pull", address, "--", sys.executable, "-c", script)
    assert pull.first_line.isdigit()
    pull.stop(signal.SIGKILL)  # returns when the command has closed its stdout, too
    (left,) = leftovers() - before
    assert left in memsync("clean", "--dry-run").stdout and left in leftovers()
    assert left in memsync("clean").stdout
    assert leftovers() == before


def test_a_server_that_goes_ends_in_sigbus_not_in_zeros(content: Path, run_in_background) -> None:
    server = run_in_background(MEMSYNC, "serve", content)
    script = HASH + "print(m[0], flush=True); sys.stdin.readline(); print(m[7_000_000], flush=True)"
    words = [MEMSYNC, "pull", server.first_line, "--prefetch", "none"]
    pull = run_in_background(
        *words, "--", sys.executable, "-c", script, "{}", stdin=subprocess.PIPE
    )
    assert int(pull.first_line) == content.read_bytes()[0]
    server.stop(signal.SIGKILL)
    stdout, stderr = pull.process.communicate("go\n", timeout=60)
    assert pull.process.returncode == 128 + signal.SIGBUS and stdout == "", stderr
    assert "fetching" in stderr


def test_a_killed_handler_ends_in_sigbus(address: str, tmp_path: Path, run_in_background) -> None:
    """The handler is another process than the application's parent, and gets SIGKILL."""
    words = [MEMSYNC, "pull", address, "--prefetch", "none"]
    pull = run_in_background(*words, "--socket", tmp_path / "faults")
    assert pull.first_line == str(tmp_path / "faults")
    placeholder = make_placeholder(tmp_path)
    script = HASH + "print(m[0], flush=True); sys.stdin.readline(); print(m[7_000_000], flush=True)"
    environment = shim_environment(tmp_path)
    words = [sys.executable, "-c", script, placeholder]
    application = run_in_background(*words, stdin=subprocess.PIPE, env=environment)
    assert application.first_line.isdigit()
    pull.stop(signal.SIGKILL)
    stdout, stderr = application.process.communicate("go\n", timeout=60)
    assert application.process.returncode == -signal.SIGBUS and stdout == "", stderr


def make_placeholder(folder: Path) -> Path:
    path = folder / "placeholder"
    with path.open("wb") as file:
        file.truncate(SIZE)
    return path


def shim_environment(folder: Path, dialect: str = "memsync") -> dict[str, str]:
    return {
        **os.environ,
        "LD_PRELOAD": str(SHIM),
        "MEMSYNC_REGION": str(folder / "placeholder"),
        "MEMSYNC_HANDLER": str(folder / "faults"),
        "MEMSYNC_DIALECT": dialect,
    }


@pytest.mark.parametrize("dialect", DIALECTS)
def test_another_implementation_answers_our_faults(
    content: Path, tmp_path: Path, run_in_background, dialect: str
) -> None:
    words = [sys.executable, PEER, "handle", tmp_path / "faults", dialect, content]
    handler = run_in_background(*words)
    assert handler.first_line == "listening"
    words = [sys.executable, "-c", HASH_ALL, make_placeholder(tmp_path)]
    environment = shim_environment(tmp_path, dialect)
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == sha256(content.read_bytes()), done
    _, stdout, stderr = handler.end()
    assert int(stdout) == -(-SIZE // 4096), (stdout, stderr)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_we_answer_another_implementations_faults(
    address: str, content: Path, tmp_path: Path, run_in_background, dialect: str
) -> None:
    words = [MEMSYNC, "pull", address, "--dialect", dialect, "--json"]
    pull = run_in_background(*words, "--socket", tmp_path / "faults")
    assert pull.first_line == str(tmp_path / "faults")
    for size in [SIZE, 4096 * 3]:  # the whole, and memory that is shorter than the region
        words = [sys.executable, PEER, "offer", tmp_path / "faults", dialect, str(size)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
        assert done.stdout.strip() == sha256(content.read_bytes()[:size]), done
    code, _, stderr = pull.stop()
    assert code == 0 and counters(stderr)["applications"] == 2
    assert not (tmp_path / "faults").exists(), "the socket was left over"


def test_a_web_server_needs_no_memsync(web: str, content: Path, tmp_path: Path) -> None:
    assert memsync("pull", f"{web}/always/plain", "--out", tmp_path / "copy").code == 0
    assert (tmp_path / "copy").read_bytes() == content.read_bytes()
    words = ["pull", f"{web}/always/plain", "--json", "--prefetch", "none", "--unit", "4KiB"]
    outcome = memsync(*words, "--", sys.executable, "-c", HASH_SOME, "{}")
    assert outcome.stdout.strip() == sha256(content.read_bytes()[4_000_000:4_000_100]), outcome
    assert counters(outcome.stderr)["received_B"] == 4096


def test_what_is_on_the_web_may_be_served_to_others(
    web: str, content: Path, run_in_background, tmp_path: Path
) -> None:
    server = run_in_background(MEMSYNC, "serve", f"{web}/always/plain?signature=secret")
    assert memsync("pull", server.first_line, "--out", tmp_path / "copy").code == 0
    assert (tmp_path / "copy").read_bytes() == content.read_bytes()
    assert "secret" not in server.stop()[2]


@pytest.mark.parametrize("path", ["always/status/404", "later/new-version"])
def test_an_object_that_can_not_be_had_is_incomplete(web: str, tmp_path: Path, path: str) -> None:
    outcome = memsync("pull", f"{web}/{path}", "--out", tmp_path / "copy")
    assert outcome.code == 4 and outcome.stderr, outcome
    assert not (tmp_path / "copy").exists()


def test_a_pattern_is_served_by_size_and_seed(run_in_background, tmp_path: Path) -> None:
    words = [MEMSYNC, "serve", "pattern", "--size", "1000003B"]
    copies = []
    for i, seed in enumerate([1, 1, 2]):
        server = run_in_background(*words, "--seed", seed)
        assert memsync("pull", server.first_line, "--out", tmp_path / f"copy{i}").code == 0
        copies.append((tmp_path / f"copy{i}").read_bytes())
    assert len(copies[0]) == 1_000_003
    assert copies[0] == copies[1] != copies[2]


def test_the_second_run_replays_the_first_ones_touches(
    address: str, content: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "touches"
    words = ["pull", address, "--json", "--prefetch", "trace", "--trace", str(trace)]
    runs = [memsync(*words, "--", sys.executable, "-c", HASH_SOME, "{}") for _ in range(2)]
    expected = sha256(content.read_bytes()[4_000_000:4_000_100])
    assert [run.stdout.strip() for run in runs] == [expected] * 2, runs
    assert trace.stat().st_size == 7 * 8, "of one unit"
    assert counters(runs[1].stderr)["received_B"] == 64 << 10
    nowhere = memsync(*words[:-1], "touches", "--", "true")
    assert nowhere.code == 64 and "slash" in nowhere.stderr, nowhere


# userfaultfd(2), ioctl(2)
CALLS = {"x86_64": (323, 16), "aarch64": (282, 29)}


def without_userfaultfd() -> None:
    """In a child before exec: neither the call nor the device opens one, as in many containers."""
    userfaultfd, ioctl = CALLS[platform.machine()]
    load, equal, answer = 0x20, 0x15, 0x06
    steps = [
        (load, 0, 0, 0),
        (equal, 3, 0, userfaultfd),
        (equal, 0, 3, ioctl),
        (load, 0, 0, 24),
        (equal, 0, 1, 0xAA00),  # USERFAULTFD_IOC_NEW
        (answer, 0, 0, 0x50001),  # EPERM
        (answer, 0, 0, 0x7FFF0000),  # as ever
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    head = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    for words in [(38, 1, 0, 0, 0), (22, 2, head)]:  # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP
        if libc.prctl(*words) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


@pytest.mark.skipif(platform.machine() not in CALLS, reason="its system calls' numbers")
def test_where_userfaultfd_is_not_permitted_nothing_is_started(
    address: str, tmp_path: Path, run_in_background
) -> None:
    words = [MEMSYNC, "pull", address, "--", "touch", tmp_path / "started"]
    code, _, stderr = run_in_background(*words, preexec_fn=without_userfaultfd).end()
    assert code == 5 and "not permitted" in stderr and "sysctl" in stderr, stderr
    assert not (tmp_path / "started").exists()
    words = [MEMSYNC, "pull", address, "--out", tmp_path / "copy"]
    code, _, stderr = run_in_background(*words, preexec_fn=without_userfaultfd).end()
    assert code == 0, stderr


def test_a_folder_that_is_not_there_is_named(address: str) -> None:
    outcome = memsync("pull", address, "--out", "/nonexistent/copy")
    assert outcome.code == 64 and "--out /nonexistent/copy:" in outcome.stderr, outcome


def test_a_file_in_the_sockets_place_is_not_removed(content: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    outcome = memsync("serve", content, "--listen", f"unix:{taken}")
    assert outcome.code == 64 and taken.read_text() == "mine", outcome
