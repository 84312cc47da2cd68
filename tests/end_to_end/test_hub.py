"""`memsync hub` as people use it: one pushes, many receive."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from conftest import MEMSYNC, memsync
from hubs import Hub, Receiver, all_hold, change, fetched, hub, payload_of  # noqa: F401 (fixtures)
from pushing import SIZE, content, data, pushed, wait_for  # noqa: F401 (fixtures)


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
