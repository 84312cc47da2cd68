"""`memsync hub` when it, a receiver, a pusher or a disk fails, or somebody is slow."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
from pathlib import Path

import pytest

from conftest import MEMSYNC, memsync, needs_root
from hubs import Hub, all_hold, change, fetched, hub, payload_of  # noqa: F401 (fixtures)
from pushing import SIZE, content, data, pushed, wait_for  # noqa: F401 (fixtures)


def test_a_killed_hub_comes_back_with_all_that_was_acknowledged(
    hub: Hub, data: Path, tmp_path: Path
) -> None:
    hub.run("--durable")
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
