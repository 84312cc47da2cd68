"""`memsync hub`: one pushes, many receive, and some of them fail."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import MEMSYNC, Outcome, Running, memsync, needs_root
from pushing import SIZE, content, data, pushed, wait_for  # noqa: F401 (fixtures)


class Hub:
    """A hub, its folder and those that dial it."""

    def __init__(self, start: Callable[..., Running], place: Path) -> None:
        self.start, self.place = start, place
        self.folder = place / "hub"
        self.folder.mkdir()
        self.words: list[object] = []
        self.running: Running
        self.address = ""

    def run(self, *words: object, listen: str = "127.0.0.1:0", **options: object) -> Hub:
        self.words = list(words)
        self.running = self.start(MEMSYNC, "hub", self.folder, "--listen", listen, *words, **options)
        self.address = self.running.first_line
        return self

    def restart(self) -> None:
        self.run(*self.words, listen=self.address)

    def receiver(self, name: str, *words: object) -> Receiver:
        return Receiver(self, self.place / name, *words)

    def status(self) -> dict:
        outcome = memsync("hub", "--status", self.address, "--json")
        assert outcome.code == 0, outcome
        return json.loads(outcome.stdout)

    def push(self, *files: object, interval: str = "20ms") -> Running:
        return self.start(MEMSYNC, "push", *files, self.address, "--interval", interval, "--json")


class Receiver:
    def __init__(self, hub: Hub, folder: Path, *words: object) -> None:
        self.hub, self.folder, self.words = hub, folder, words
        folder.mkdir(exist_ok=True)
        self.running: Running
        self.start()

    def start(self) -> None:
        self.running = self.hub.start(
            MEMSYNC, "receive", self.hub.address, self.folder, "--json", *self.words
        )

    def holds(self, name: str, what: bytes) -> bool:
        path = self.folder / name
        return path.exists() and path.read_bytes() == what


@pytest.fixture
def hub(run_in_background, tmp_path: Path) -> Hub:
    return Hub(run_in_background, tmp_path)


def all_hold(receivers: list[Receiver], name: str, what: bytes) -> None:
    for receiver in receivers:
        wait_for(lambda: receiver.holds(name, what), f"{name} at {receiver.folder}")


def payload_of(stdout: str) -> int:
    return sum(json.loads(line)["payload_B"] for line in stdout.splitlines())


def fetched(hub: Hub, folder: Path) -> tuple[Outcome, int]:
    folder.mkdir(exist_ok=True)
    outcome = memsync("receive", hub.address, folder, "--once", "--json")
    assert outcome.code == 0, outcome
    return outcome, payload_of(outcome.stdout)


def change(path: Path, offset: int, what: bytes = b"changed") -> bytes:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(what)
    return path.read_bytes()


def test_receivers_learn_of_present_and_future_files(hub: Hub, data: Path) -> None:
    hub.run()
    early = hub.receiver("early")
    pushed(f"a/b/present={data}", hub.address)
    late = hub.receiver("late")
    all_hold([early, late], "a/b/present", content(1))
    other = data.with_name("future")
    other.write_bytes(content(2, 10))
    pushed(other, hub.address)
    all_hold([early, late], "future", content(2, 10))
    for receiver in (early, late):
        code, stdout, stderr = receiver.running.stop()
        assert code == 0, stderr
        assert payload_of(stdout) == SIZE + 10


@pytest.mark.parametrize("topology", ["dynamic", "static"])
def test_a_change_costs_the_source_the_same_however_many_receive(
    hub: Hub, data: Path, topology: str
) -> None:
    hub.run("--topology", topology)
    pushed(data, hub.address)
    receivers: list[Receiver] = []
    sent = []
    for count in (1, 4):
        receivers += [hub.receiver(f"{number}") for number in range(len(receivers), count)]
        all_hold(receivers, "data", data.read_bytes())
        after = change(data, 1_000_000 + 100_000 * count, f"change {count}".encode())
        sent.append(pushed(data, hub.address)["sent_B"])
        all_hold(receivers, "data", after)
    assert sent[0] == sent[1], sent


def test_what_a_receiver_that_comes_back_lacks_comes_and_no_more(
    hub: Hub, data: Path, tmp_path: Path
) -> None:
    hub.run()
    pushed(data, hub.address)
    assert fetched(hub, tmp_path / "one")[1] == SIZE
    assert fetched(hub, tmp_path / "one")[1] == 0
    change(data, 5000)
    change(data, 2_000_000)
    pushed(data, hub.address)
    assert fetched(hub, tmp_path / "one")[1] == 2 * 4096
    assert (tmp_path / "one" / "data").read_bytes() == data.read_bytes()


def test_a_static_topology_gives_all_of_it_to_who_comes_back(
    hub: Hub, data: Path, tmp_path: Path
) -> None:
    hub.run("--topology", "static", "--compress", "zstd")
    pushed(data, hub.address)
    assert fetched(hub, tmp_path / "one")[1] == SIZE
    assert fetched(hub, tmp_path / "one")[1] == SIZE
    assert (tmp_path / "one" / "data").read_bytes() == content(1)


def test_a_killed_hub_comes_back_with_all_that_was_acknowledged(
    hub: Hub, data: Path, tmp_path: Path
) -> None:
    hub.run()
    other = data.with_name("other")
    other.write_bytes(content(2))
    pushed(other, hub.address)
    push = hub.push(data)
    receivers = [hub.receiver("one"), hub.receiver("two")]
    all_hold(receivers, "data", content(1))
    all_hold(receivers, "other", content(2))
    hub.running.stop(signal.SIGKILL)
    assert (hub.folder / "data").read_bytes() == content(1)
    after = change(data, 12_345)
    hub.restart()
    all_hold(receivers, "data", after)
    code, stdout, stderr = push.stop()
    told = json.loads(stdout)
    assert code == 0 and told["times_broken"] >= 1, stderr
    assert told["payload_B"] == SIZE + 4096, "only what changed comes again"
    for receiver in receivers:
        code, stdout, stderr = receiver.running.stop()
        assert code == 0 and "goes on where it stopped" in stderr, stderr
        assert payload_of(stdout) == 2 * SIZE + 4096, "only what changed comes again"
    assert fetched(hub, tmp_path / "late")[1] == 2 * SIZE


def test_a_hub_killed_in_the_middle_of_a_first_copy_goes_on_with_the_rest(
    hub: Hub, data: Path
) -> None:
    data.write_bytes(content(7, 60_000_000))
    receiver = hub.run().receiver("one")
    push = hub.start(MEMSYNC, "push", data, hub.address, "--json")
    spare = hub.folder / ".memsync-spare.data"
    wait_for(lambda: spare.exists() and spare.stat().st_blocks > 0, "the round has begun")
    hub.running.stop(signal.SIGKILL)
    hub.restart()
    code, _, stderr = push.end()
    assert code == 0, stderr
    all_hold([receiver], "data", data.read_bytes())


def test_killed_receivers_and_pushers_leave_the_others_alone(hub: Hub, data: Path) -> None:
    hub.run()
    push = hub.push(data)
    receivers = [hub.receiver("one"), hub.receiver("two")]
    all_hold(receivers, "data", content(1))
    receivers[0].running.stop(signal.SIGKILL)
    push.stop(signal.SIGKILL)
    after = change(data, 0)
    wait_for(lambda: not hub.status()["files"][0]["is_pushed"], "the pusher is missed")
    push = hub.push(data)
    all_hold(receivers[1:], "data", after)
    receivers[0].start()
    all_hold(receivers, "data", after)
    assert push.stop()[0] == 0


def test_two_sources_of_one_name(hub: Hub, data: Path) -> None:
    hub.run()
    hub.push(data)
    wait_for(lambda: (hub.folder / "data").exists(), "the first round")
    outcome = memsync("push", data, hub.address)
    assert outcome.code == 4 and "'data' is being pushed by somebody else" in outcome.stderr


def test_status_says_who_has_what(hub: Hub, data: Path) -> None:
    hub.run("--json")
    hub.address = json.loads(hub.address)["address"]
    push = hub.push(data)
    receivers = [hub.receiver("one"), hub.receiver("two")]
    all_hold(receivers, "data", content(1))
    wait_for(
        lambda: [one["version"] for file in hub.status()["files"] for one in file["receivers"]]
        == [1, 1],
        "both have it",
    )
    status = hub.status()
    assert status["files"][0]["size_B"] == SIZE and status["files"][0]["is_pushed"]
    assert sorted(peer["role"] for peer in status["peers"]) == ["pusher", "receiver", "receiver"]
    table = memsync("hub", "--status", hub.address).stdout
    assert "data: version 1, 3.0 MB, a pusher is here" in table and table.count("has it") == 2
    push.stop()
    code, stdout, _ = hub.running.stop()
    lines = [json.loads(line) for line in stdout.splitlines()]
    assert code == 0 and [line["version"] for line in lines] == [1, 1, 1]
    assert sum("delivered" in line for line in lines) == 2


def test_two_hundred_receivers_at_once(hub: Hub, data: Path) -> None:
    """Connections that greet and then say nothing, and one that is served beside them."""
    host, port = hub.run().address.rsplit(":", 1)
    pushed(data, hub.address)
    with contextlib.ExitStack() as guests:
        for _ in range(200):
            guest = guests.enter_context(socket.create_connection((host, int(port))))
            guest.sendall(HELLO)
            assert guest.recv(32, socket.MSG_WAITALL)[:8] == HELLO[:8], "greeted"
        receiver = hub.receiver("one")
        all_hold([receiver], "data", content(1))
        after = change(data, 7)
        pushed(data, hub.address)
        all_hold([receiver], "data", after)
        code, _, stderr = hub.running.stop()
        assert code == 0, stderr


HELLO = b"MSYNCPS\n" + bytes([1, 0, 2, 0, 32, 0, 0, 0]) + bytes(16)


def test_one_that_reads_a_byte_a_second_delays_nobody(hub: Hub, data: Path) -> None:
    """It takes nothing of a file that is larger than its socket; the others have each version."""
    data.write_bytes(content(3, 30_000_000))
    host, port = hub.run().address.rsplit(":", 1)
    pushed(data, hub.address)
    with socket.create_connection((host, int(port))) as slow:
        have = bytes([32, 0, 0, 0]) + (32).to_bytes(4, "little") + bytes(4)
        slow.sendall(HELLO)
        slow.recv(32, socket.MSG_WAITALL)
        terms = slow.recv(12 + 8, socket.MSG_WAITALL)
        slow.sendall(have + bytes(8) + bytes(16) + terms[12:])
        receiver = hub.receiver("one")
        for number in range(5):
            after = change(data, number * 5_000_000, f"version {number}".encode())
            pushed(data, hub.address)
            all_hold([receiver], "data", after)
            assert slow.recv(1)
        rows = hub.status()["files"][0]["receivers"]
        assert sorted(one["version"] for one in rows) == [0, 6]


def test_few_descriptors_mean_few_peers(hub: Hub, data: Path) -> None:
    script = 'ulimit -n 64 && exec "$0" hub "$1" --listen 127.0.0.1:0'
    hub.running = hub.start("sh", "-c", script, MEMSYNC, hub.folder)
    hub.address = hub.running.first_line
    pushed(data, hub.address)
    receivers = [hub.receiver(f"{number}", "--patience", "1s") for number in range(5)]
    all_hold(receivers, "data", content(1))
    late = hub.receiver("late", "--patience", "0s")
    with contextlib.ExitStack() as guests:
        host, port = hub.address.rsplit(":", 1)
        for _ in range(100):
            guests.enter_context(socket.create_connection((host, int(port))))
        after = change(data, 3)
        outcome = memsync("push", data, hub.address)
        assert outcome.code in (0, 4), outcome
        if outcome.code == 4:
            assert "peers are here already" in outcome.stderr, outcome
    wait_for(lambda: memsync("push", data, hub.address).code == 0, "they have gone")
    all_hold(receivers, "data", after)
    late.running.stop()


@needs_root
def test_a_full_disk_at_one_receiver_is_its_own(hub: Hub, data: Path, tmp_path: Path) -> None:
    hub.run()
    folder = tmp_path / "small"
    folder.mkdir()
    script = 'mount -t tmpfs -o size=8m tmpfs "$1" && echo mounted && exec "$2" receive "$3" "$1"'
    words = ["unshare", "--mount", "sh", "-c", script, "sh", folder, MEMSYNC, hub.address]
    small = hub.start(*words)
    if small.first_line != "mounted":
        pytest.skip("no private tmpfs here: " + small.end()[2])
    other = hub.receiver("other")
    pushed(data, hub.address)
    inside = Path(f"/proc/{small.process.pid}/root{folder}/data")
    wait_for(lambda: inside.exists() and inside.read_bytes() == content(1), "the first version")
    with data.open("ab") as file:
        file.write(content(9, 20_000_000))
    pushed(data, hub.address)
    all_hold([other], "data", data.read_bytes())
    code, _, stderr = small.end()
    assert code == 4 and "No space left on device" in stderr, stderr
    code, _, stderr = hub.running.stop()
    assert code == 0 and "No space left on device" in stderr, stderr


def test_names_that_lead_out_are_refused_at_both_ends(hub: Hub, data: Path, tmp_path: Path) -> None:
    hub.run()
    outside = tmp_path / "outside"
    outside.mkdir()
    (hub.folder / "link").symlink_to(outside)
    outcome = memsync("push", f"link/file={data}", hub.address)
    assert outcome.code == 4 and "link/file" in outcome.stderr, outcome
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / "data").symlink_to(outside / "data")
    pushed(data, hub.address)
    outcome = memsync("receive", hub.address, folder, "--once")
    assert outcome.code == 4 and "data" in outcome.stderr, outcome
    assert not list(outside.iterdir())


def test_a_hub_that_stays_away_ends_a_receiver_with_4(hub: Hub, data: Path) -> None:
    hub.run()
    pushed(data, hub.address)
    receiver = hub.receiver("one", "--patience", "300ms")
    all_hold([receiver], "data", content(1))
    hub.running.stop()
    code, _, stderr = receiver.running.end()
    assert code == 4 and "trying again" in stderr and hub.address in stderr, stderr


def test_once_waits_for_a_first_file(hub: Hub, data: Path) -> None:
    receiver = hub.run().receiver("one", "--once")
    pushed(data, hub.address)
    code, stdout, stderr = receiver.running.end()
    assert code == 0, stderr
    assert receiver.holds("data", content(1)) and payload_of(stdout) == SIZE


def test_ctrl_c_before_everything_has_come_is_130_with_once(hub: Hub) -> None:
    receiver = hub.run().receiver("one", "--once")
    wait_for(lambda: len(hub.status()["peers"]) == 1, "it is served")
    assert receiver.running.stop()[0] == 130


def test_nobody_there_is_said_with_the_next_step(tmp_path: Path, hub: Hub) -> None:
    address = f"unix:{tmp_path}/nobody"
    outcome = memsync("receive", address, tmp_path)
    assert outcome.code == 4 and "memsync hub DIR --listen" in outcome.stderr, outcome
    outcome = memsync("hub", "--status", address)
    assert outcome.code == 4 and "memsync hub DIR --listen" in outcome.stderr, outcome


def test_a_receiver_is_no_hub(run_in_background, tmp_path: Path) -> None:
    folder = tmp_path / "inbox"
    folder.mkdir()
    address = run_in_background(MEMSYNC, "receive", folder).first_line
    outcome = memsync("receive", address, tmp_path)
    assert outcome.code == 4 and "both ends are receivers" in outcome.stderr, outcome


BAD = {
    "no folder": (["hub"], "memsync hub DIR"),
    "a missing folder": (["hub", "/nonexistent"], "mkdir"),
    "status of oneself": (["hub", "/usr", "--status", "127.0.0.1:1"], "--status"),
    "an unknown topology": (["hub", "/usr", "--topology", "ring"], "static"),
    "what is no address": (["hub", "--status", "nowhere"], "'nowhere' is no address"),
    "a hub that listens": (["receive", "127.0.0.1:1", "/usr", "--listen", "127.0.0.1:0"], "--listen"),
    "a hub that is no address": (["receive", "nowhere", Path(__file__).parent], "no address"),
    "patience without a unit": (
        ["receive", "127.0.0.1:1", Path(__file__).parent, "--patience", "5"],
        "5",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_people_get_wrong(name: str) -> None:
    arguments, text = BAD[name]
    outcome = memsync(*arguments)
    assert outcome.code == 64 and text in outcome.stderr, outcome
    assert len(outcome.stderr.strip().splitlines()) == 1, outcome.stderr


def test_help_has_examples() -> None:
    outcome = memsync("hub", "--help")
    assert outcome.code == 0 and "memsync hub --status" in outcome.stdout
    assert "Examples" in outcome.stdout and "ssh -L" in outcome.stdout


def test_two_hubs_do_not_share_a_folder(hub: Hub) -> None:
    hub.run()
    outcome = memsync("hub", hub.folder)
    assert outcome.code == 64 and "using" in outcome.stderr, outcome
    assert os.path.isdir(hub.folder)
