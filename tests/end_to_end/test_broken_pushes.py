"""`memsync push` and `memsync receive` when one of them, the link or the disk fails."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from pathlib import Path

from conftest import MEMSYNC, memsync, needs_root
from pushing import SIZE, Inbox, content, data, inbox, pushed, wait_for  # noqa: F401 (fixtures)


def test_a_killed_receiver_is_waited_for_and_the_rest_comes(
    inbox: Inbox, data: Path, run_in_background
) -> None:
    """Killed in the middle of a round: between two messages of a file that takes long to read."""
    big = data.with_name("big")
    big.write_bytes(content(7, 60_000_000))
    inbox.run()
    push = run_in_background(MEMSYNC, "push", data, big, inbox.address, "--json")
    spare = inbox.folder / ".memsync-spare.big"
    wait_for(lambda: spare.exists() and spare.stat().st_blocks > 0, "the round has begun")
    inbox.running.stop(signal.SIGKILL)
    assert not (inbox.folder / "big").exists() or inbox.read("big") == big.read_bytes()
    inbox.restart()
    code, stdout, stderr = push.end()
    assert code == 0, stderr
    assert inbox.read("data") == content(1) and inbox.read("big") == big.read_bytes()
    if json.loads(stdout)["times_broken"] == 0:
        pytest.skip("everything had come before the receiver was killed")
    assert "trying again" in stderr and "goes on where it stopped" in stderr


def test_an_idle_receiver_that_was_killed_is_found_again(
    inbox: Inbox, data: Path, run_in_background
) -> None:
    inbox.run()
    push = run_in_background(
        MEMSYNC, "push", data, inbox.address, "--interval", "20ms", "--json"
    )
    wait_for(lambda: inbox.holds("data", content(1)), "the first round")
    inbox.running.stop(signal.SIGKILL)
    with data.open("r+b") as file:
        file.write(b"changed meanwhile")
    inbox.restart()
    wait_for(lambda: inbox.holds("data", data.read_bytes()), "what changed meanwhile")
    code, stdout, stderr = push.stop()
    told = json.loads(stdout)
    assert code == 0 and told["times_broken"] >= 1, stderr
    assert told["payload_B"] == SIZE + 4096, "only what changed comes again"


def test_a_connection_that_stays_away_ends_with_4(
    inbox: Inbox, data: Path, run_in_background
) -> None:
    push = run_in_background(
        MEMSYNC, "push", data, inbox.run().address, "--interval", "20ms", "--patience", "300ms"
    )
    wait_for(lambda: inbox.holds("data", content(1)), "the first round")
    inbox.running.stop()
    code, _, stderr = push.end()
    assert code == 4 and inbox.address in stderr, stderr


def test_a_receiver_that_only_greets_is_as_good_as_none(
    inbox: Inbox, data: Path, run_in_background
) -> None:
    host, port = inbox.run().address.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as connection:
        greeting = connection.recv(64)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = "127.0.0.1:{}".format(server.getsockname()[1])
        push = run_in_background(MEMSYNC, "push", data, address, "--patience", "1s")
        server.settimeout(0.1)
        greeted = 0
        while push.process.poll() is None:
            with contextlib.suppress(TimeoutError):
                with server.accept()[0] as connection:
                    connection.sendall(greeting)
                    connection.recv(64)
                greeted += 1
        code, _, stderr = push.end()
    assert code == 4 and greeted > 1, stderr


def test_one_pusher_too_many_is_told_so(inbox: Inbox, data: Path) -> None:
    host, port = inbox.run().address.rsplit(":", 1)
    with contextlib.ExitStack() as guests:
        for _ in range(64):
            guest = guests.enter_context(socket.create_connection((host, int(port))))
            assert guest.recv(64), "served"
        outcome = memsync("push", data, inbox.address)
        assert outcome.code == 4 and "64 pushers are here already" in outcome.stderr, outcome
    assert pushed(data, inbox.address)["payload_B"] == SIZE, "they have gone"


def test_a_killed_pusher_leaves_the_version_before_and_another_goes_on(
    inbox: Inbox, data: Path, run_in_background
) -> None:
    inbox.run()
    pushed(data, inbox.address)
    data.write_bytes(content(8, 60_000_000))
    push = run_in_background(MEMSYNC, "push", data, inbox.address)
    spare = inbox.folder / ".memsync-spare.data"
    wait_for(lambda: spare.exists() and spare.stat().st_size == 60_000_000, "the round has begun")
    push.stop(signal.SIGKILL)
    assert inbox.read("data") in (content(1), data.read_bytes())
    assert pushed(data, inbox.address)["payload_B"] <= 60_000_000
    assert inbox.read("data") == data.read_bytes()


@needs_root
def test_a_full_disk_is_said_at_both_ends_and_readers_keep_what_they_have(
    data: Path, tmp_path: Path, run_in_background
) -> None:
    folder = tmp_path / "inbox"
    folder.mkdir()
    script = 'mount -t tmpfs -o size=8m tmpfs "$1" && exec "$2" receive "$1"'
    words = ["unshare", "--mount", "sh", "-c", script, "sh", folder, MEMSYNC]
    receiver = run_in_background(*words)
    if not receiver.first_line:
        pytest.skip("no private tmpfs here: " + receiver.end()[2])
    inside = Path(f"/proc/{receiver.process.pid}/root{folder}/data")
    pushed(data, receiver.first_line)
    assert inside.read_bytes() == content(1)
    with data.open("ab") as file:
        file.write(content(9, 20_000_000))
    outcome = memsync("push", data, receiver.first_line)
    assert outcome.code == 4 and "No space left on device" in outcome.stderr, outcome
    assert inside.read_bytes() == content(1)
    os.truncate(data, SIZE - 1)
    pushed(data, receiver.first_line)
    assert inside.read_bytes() == content(1)[:-1]
    code, _, stderr = receiver.stop()
    assert code == 0 and "No space left on device" in stderr


def test_ctrl_c_before_the_files_are_equal_is_130(
    data: Path, tmp_path: Path, run_in_background
) -> None:
    """Nobody takes the connection: the greeting is waited for."""
    silent = run_in_background("python3", "-c", SILENT)
    push = run_in_background(MEMSYNC, "push", data, silent.first_line)
    assert silent.process.stdout.readline().strip() == "connected"
    code, stdout, _ = push.stop()
    assert (code, stdout) == (130, "")


SILENT = """\
import socket, time
listener = socket.create_server(("127.0.0.1", 0))
print(f"127.0.0.1:{listener.getsockname()[1]}", flush=True)
connection, _ = listener.accept()
print("connected", flush=True)
time.sleep(600)
"""
