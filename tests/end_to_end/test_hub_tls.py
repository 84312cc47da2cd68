"""A hub inside TLS: who may publish and read what is a matter of certificates and a policy."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from conftest import memsync
from hubs import Hub, all_hold, hub  # noqa: F401
from pushing import content, data, pushed, wait_for  # noqa: F401

POLICY = """\
schema: 1
allow:
  - {who: alice, publish: ["*"]}
  - {who: bob, read: ["*"]}
  - {who: carol, read: ["public/*"]}
"""


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    names = ("hub,127.0.0.1", "alice", "bob", "carol", "eve")
    outcome = memsync("ca", folder, *[word for name in names for word in ("--name", name)])
    assert outcome.code == 0, outcome
    return folder


@pytest.fixture
def guarded(hub: Hub, keys: Path, tmp_path: Path) -> Hub:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    return hub.run("--tls", keys / "hub", "--policy", policy)


def test_each_gets_what_its_certificate_may_have(guarded: Hub, keys: Path, data: Path) -> None:
    pushed(data, f"public/data={data}", guarded.address, "--tls", keys / "alice")
    bob = guarded.receiver("bob", "--tls", keys / "bob")
    carol = guarded.receiver("carol", "--tls", keys / "carol")
    all_hold([bob], "data", content(1))
    all_hold([bob, carol], "public/data", content(1))
    assert not (carol.folder / "data").exists()
    outcome = memsync("hub", "--status", guarded.address, "--tls", keys / "bob", "--json")
    assert outcome.code == 0, outcome
    assert {peer["identity"] for peer in json.loads(outcome.stdout)["peers"]} >= {"bob", "carol"}


@pytest.mark.parametrize("who", ["bob", "eve"])
def test_who_may_not_publish_is_told_so_and_nothing_comes(
    guarded: Hub, keys: Path, data: Path, who: str
) -> None:
    outcome = memsync("push", data, guarded.address, "--tls", keys / who)
    assert outcome.code == 4 and who in outcome.stderr and "policy" in outcome.stderr, outcome
    assert not (guarded.folder / "data").exists()


def test_a_stranger_of_another_ca_or_of_none_is_refused_with_words(
    guarded: Hub, keys: Path, data: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    assert memsync("ca", other, "--name", "alice").code == 0
    outcome = memsync("push", data, guarded.address, "--tls", other / "alice")
    assert outcome.code == 4 and "CA" in outcome.stderr, outcome
    outcome = memsync("push", data, guarded.address)
    assert outcome.code == 4 and "TLS" in outcome.stderr, outcome
    pushed(data, guarded.address, "--tls", keys / "alice")


def test_a_hub_that_was_killed_is_found_again_inside_tls(
    guarded: Hub, keys: Path, data: Path
) -> None:
    pushed(data, guarded.address, "--tls", keys / "alice")
    bob = guarded.receiver("bob", "--tls", keys / "bob")
    all_hold([bob], "data", content(1))
    guarded.running.stop(signal.SIGKILL)
    guarded.restart()
    data.write_bytes(content(2))
    pushed(data, guarded.address, "--tls", keys / "alice")
    wait_for(lambda: bob.holds("data", content(2)), "the receiver has dialled again")
