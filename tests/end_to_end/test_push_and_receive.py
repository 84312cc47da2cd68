"""`memsync push` and `memsync receive` as people use them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import MEMSYNC, memsync
from pushing import SIZE, Inbox, content, data, inbox, pushed, wait_for  # noqa: F401 (fixtures)


def test_several_files_go_over_one_connection_and_then_only_changes(
    inbox: Inbox, data: Path, tmp_path: Path
) -> None:
    inbox.run("--json")
    other = tmp_path / "other"
    other.write_bytes(content(2, 10))
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    words = [data, f"a/b/c={other}", empty, json.loads(inbox.address)["address"]]
    told = pushed(*words)
    assert told["files"] == 3 and told["size_B"] == SIZE + 10 and told["payload_B"] == SIZE + 10
    assert inbox.read("data") == data.read_bytes()
    assert inbox.read("a/b/c") == other.read_bytes() and inbox.read("empty") == b""
    with data.open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"changed")
    told = pushed(*words)
    assert (told["chunks_moved"], told["payload_B"]) == (1, 4096)
    assert inbox.read("data") == data.read_bytes()
    code, stdout, _ = inbox.running.stop()
    assert code == 0
    versions = [json.loads(line) for line in stdout.splitlines()]
    assert [version["name"] for version in versions] == ["data", "a/b/c", "empty", "data"]
    assert versions[-1] == {"name": "data", "size_B": SIZE, "payload_B": 4096}


@pytest.mark.parametrize("publish", ["versions", "in_place"])
def test_growth_truncation_and_replacement_are_followed(
    inbox: Inbox, data: Path, tmp_path: Path, publish: str, run_in_background
) -> None:
    inbox.run("--publish", publish)
    push = run_in_background(MEMSYNC, "push", data, inbox.address, "--interval", "20ms")
    wait_for(lambda: inbox.holds("data", content(1)), "the first round")
    for size in (SIZE + 5000, 8192, 8193, 0, 4096):
        os.truncate(data, size)
        wait_for(lambda: inbox.holds("data", data.read_bytes()), f"{size} bytes")
    new = tmp_path / "new"
    new.write_bytes(content(3))
    new.rename(data)
    wait_for(lambda: inbox.holds("data", content(3)), "the file that replaced it")
    with data.open("r+b") as file:
        file.write(b"the last word")
    code, stdout, _ = push.stop()
    assert code == 0 and "rounds" in stdout
    assert inbox.read("data") == data.read_bytes(), "Ctrl-C makes a last round"


@pytest.mark.parametrize("detect", ["hash", "shadow", "mtime", "inotify"])
@pytest.mark.parametrize("consistency", ["fuzzy", "quiet"])
def test_any_detector_that_sees_the_writers_finds_the_change(
    inbox: Inbox, data: Path, detect: str, consistency: str, run_in_background
) -> None:
    words = ["--detect", detect, "--consistency", consistency, "--interval", "20ms", "--json"]
    if detect in ("mtime", "inotify"):
        words += ["--writers", "file-calls"]
    push = run_in_background(MEMSYNC, "push", data, inbox.run().address, *words)
    wait_for(lambda: inbox.holds("data", content(1)) or push.process.poll(), "the first round")
    if push.process.poll() == 64:
        pytest.skip(push.end()[2])
    for change in range(5):
        with data.open("r+b") as file:
            file.seek(change * 500_000)
            file.write(bytes(10))
        wait_for(lambda: inbox.holds("data", data.read_bytes()), f"change {change}")
    code, stdout, _ = push.stop()
    told = json.loads(stdout)
    assert code == 0 and told["chunks_moved"] == SIZE // 4096 + 1 + 5
    less = told["payload_B"] < SIZE + 500
    assert less == (detect == "shadow"), "a shadow knows what differs within a block"


def test_a_file_that_goes_away_is_named_and_comes_back(
    inbox: Inbox, data: Path, tmp_path: Path, run_in_background
) -> None:
    other = tmp_path / "other"
    other.write_bytes(content(2))
    push = run_in_background(
        MEMSYNC, "push", data, other, inbox.run().address, "--interval", "20ms"
    )
    wait_for(lambda: inbox.holds("other", content(2)), "the first round")
    data.unlink()
    other.write_bytes(content(4))
    wait_for(lambda: inbox.holds("other", content(4)), "the file that is still there")
    assert inbox.read("data") == content(1), "what was removed here was cut there"
    data.write_bytes(content(5))
    wait_for(lambda: inbox.holds("data", content(5)), "the file that came back")
    data.unlink()
    code, _, stderr = push.stop()
    assert code == 4, stderr
    assert f"opening {data}" in stderr and "is there again" in stderr
    assert inbox.read("data") == content(5)


READ = """\
import sys
path, size, seen = sys.argv[1], int(sys.argv[2]), set()
print("reading", flush=True)
while len(seen) < 20:
    with open(path, "rb") as file:
        data = file.read()
    if len(data) != size or len(set(data)) != 1:
        sys.exit(f"{len(data)} bytes of {len(set(data))} versions")
    seen.add(data[0])
"""


def test_a_reader_never_sees_a_mixed_version(
    inbox: Inbox, data: Path, tmp_path: Path, run_in_background
) -> None:
    """Each version is one byte over and over, put in place whole by a rename."""
    size, new = 500_000, tmp_path / "new"
    data.write_bytes(b"\0" * size)
    inbox.run()
    push = run_in_background(MEMSYNC, "push", data, inbox.address, "--interval", "1ms")
    wait_for(lambda: (inbox.folder / "data").exists(), "the first round")
    reader = run_in_background("python3", "-c", READ, inbox.folder / "data", size)
    assert reader.first_line == "reading"
    version = 0
    limit = time.monotonic() + 60
    while reader.process.poll() is None and time.monotonic() < limit:
        version = (version + 1) % 256
        new.write_bytes(bytes([version]) * size)
        new.rename(data)
        time.sleep(0.003)
    code, _, stderr = reader.end()
    assert code == 0, stderr
    assert push.stop()[0] == 0


def test_sparse_files_stay_sparse_and_large_ones_are_quick(
    inbox: Inbox, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(3 << 30)
        file.seek(2 << 30)
        file.write(b"here")
    inbox.run()
    told = pushed(image, inbox.address)
    assert told["payload_B"] == 4096 and told["sent_B"] < 1 << 20
    copy = inbox.folder / "image"
    assert copy.stat().st_size == 3 << 30 and copy.stat().st_blocks * 512 < 1 << 20
    with copy.open("rb") as file:
        file.seek(2 << 30)
        assert file.read(4) == b"here"
    assert image.stat().st_blocks * 512 < 1 << 20, "reading it has filled its holes"


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("publish", ["versions", "in_place"])
def test_a_byte_that_flips_while_nothing_runs_is_mended(
    inbox: Inbox, data: Path, publish: str
) -> None:
    inbox.run("--publish", publish)
    pushed(data, inbox.address)
    inbox.running.stop()
    flip(inbox.folder / "data", 1_000_000)
    inbox.restart()
    assert pushed(data, inbox.address, "--verify")["verify_chunks_moved"] == 0
    assert inbox.read("data") == data.read_bytes()


def test_verify_finds_a_byte_that_flips_while_the_receiver_runs(
    inbox: Inbox, data: Path, tmp_path: Path, run_in_background
) -> None:
    """Its table can't know: only who reads everything again does."""
    inbox.run()
    push = run_in_background(
        MEMSYNC, "push", data, inbox.address, "--interval", "20ms", "--verify", "--json"
    )
    wait_for(lambda: inbox.holds("data", content(1)), "the first round")
    flip(inbox.folder / "data", 1_000_000)
    code, stdout, stderr = push.stop()
    assert code == 0, stderr
    assert json.loads(stdout)["verify_chunks_moved"] == 1
    assert inbox.read("data") == data.read_bytes()


def test_compression_spares_the_link(inbox: Inbox, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("the same line over and over\n" * 100_000)
    told = pushed(text, inbox.run().address, "--compress", "zstd")
    assert inbox.read("text") == text.read_bytes()
    assert told["sent_B"] < text.stat().st_size / 10


def test_a_unix_socket_and_once(inbox: Inbox, data: Path, tmp_path: Path) -> None:
    inbox.run("--once", "--durable", listen=f"unix:{tmp_path}/socket")
    assert inbox.address == f"unix:{tmp_path}/socket"
    outcome = memsync("push", data, inbox.address, "--verify")
    assert outcome.code == 0 and "all of it is equal" in outcome.stdout, outcome
    code, stdout, _ = inbox.running.end()
    assert code == 0 and stdout == "data: 3.0 MB, 3.0 MB came\n"
    assert inbox.read("data") == data.read_bytes()


def test_two_pushers_have_their_own_files_and_no_others(
    inbox: Inbox, data: Path, run_in_background
) -> None:
    inbox.run()
    push = run_in_background(MEMSYNC, "push", data, inbox.address, "--interval", "20ms")
    wait_for(lambda: inbox.holds("data", content(1)), "the first round")
    outcome = memsync("push", data, inbox.address)
    assert outcome.code == 4 and "'data' is being pushed by somebody else" in outcome.stderr
    pushed(f"mine={data}", inbox.address)
    assert inbox.read("mine") == content(1)
    assert push.stop()[0] == 0
    pushed(data, inbox.address)


def test_two_receivers_do_not_share_a_folder(inbox: Inbox) -> None:
    inbox.run()
    outcome = memsync("receive", inbox.folder)
    assert outcome.code == 64 and "another `memsync receive`" in outcome.stderr, outcome


def test_a_server_of_another_kind_is_no_receiver(
    data: Path, run_in_background
) -> None:
    address = run_in_background(MEMSYNC, "serve", data).first_line
    outcome = memsync("push", data, address)
    assert outcome.code == 4 and len(outcome.stderr.strip().splitlines()) == 1, outcome


def test_a_receiver_that_is_not_there_is_named_with_the_next_step(
    data: Path, tmp_path: Path
) -> None:
    outcome = memsync("push", data, f"unix:{tmp_path}/nobody")
    assert outcome.code == 4 and "memsync receive" in outcome.stderr, outcome
    assert "nobody" in outcome.stderr


def test_a_symbolic_link_in_the_inbox_leads_nowhere(
    inbox: Inbox, data: Path, tmp_path: Path
) -> None:
    inbox.run()
    outside = tmp_path / "outside"
    outside.mkdir()
    (inbox.folder / "link").symlink_to(outside)
    (inbox.folder / "file").symlink_to(outside / "file")
    for name in ("link/file", "file"):
        outcome = memsync("push", f"{name}={data}", inbox.address)
        assert outcome.code == 4 and name in outcome.stderr, outcome
    assert not list(outside.iterdir())


HERE = Path(__file__)
AT = "127.0.0.1:1"
BAD = {
    "no address": (["push", HERE], "the address last"),
    "nothing": (["push"], "FILE... ADDRESS"),
    "what is no address": (["push", HERE, "nowhere"], "'nowhere' is no address"),
    "a missing file": (["push", "/nonexistent/x", AT], "opening /nonexistent/x"),
    "a folder": (["push", "/usr", AT], "no plain file"),
    "two of one name": (["push", HERE, f"{HERE.name}={HERE}", AT], "NAME="),
    "a name that leads out": (["push", f"../x={HERE}", AT], "'../x'"),
    "an absolute name": (["push", f"/x={HERE}", AT], "absolute"),
    "a name of the receiver's own": (["push", f".memsync-spare.x={HERE}", AT], "keep"),
    "a snapshot": (["push", HERE, AT, "--consistency", "snapshot"], "--consistency quiet"),
    "a detector that would miss": (["push", HERE, AT, "--detect", "scan"], "hash"),
    "mtime without a promise": (["push", HERE, AT, "--detect", "mtime"], "--writers file-calls"),
    "an unknown detector": (["push", HERE, AT, "--detect", "magic"], "magic"),
    "an odd block": (["push", HERE, AT, "--block", "5000B"], "power of two"),
    "an interval without a unit": (["push", HERE, AT, "--interval", "5"], "5"),
    "no interval": (["push", HERE, AT, "--interval", "0s"], "--interval"),
    "once and again": (["push", HERE, AT, "--once", "--interval", "1s"], "exclude"),
    "unknown writers": (["push", HERE, AT, "--writers", "me"], "file-calls"),
    "a missing inbox": (["receive", "/nonexistent"], "mkdir"),
    "a file as inbox": (["receive", HERE], str(HERE)),
    "an unknown way to publish": (["receive", "/usr", "--publish", "never"], "in_place"),
    "no port": (["receive", HERE.parent, "--listen", "localhost"], "HOST:PORT"),
    "another machine's address": (["receive", HERE.parent, "--listen", "192.0.2.1:0"], "--listen"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_people_get_wrong(name: str) -> None:
    arguments, text = BAD[name]
    outcome = memsync(*arguments)
    assert outcome.code == 64 and text in outcome.stderr, outcome
    assert len(outcome.stderr.strip().splitlines()) == 1, outcome.stderr


@pytest.mark.parametrize("verb", ["push", "receive"])
def test_help_has_an_example(verb: str) -> None:
    outcome = memsync(verb, "--help")
    assert outcome.code == 0 and f"memsync {verb} " in outcome.stdout
    assert "Example" in outcome.stdout and "ssh -L" in outcome.stdout
