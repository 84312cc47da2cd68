"""What people get wrong with `memsync serve` and `memsync pull`: one sentence each."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import memsync

PEER = Path(__file__).with_name("handoff_peer.py")
AT = ["pull", "127.0.0.1:1"]
BAD = {
    "nothing to do": (AT, "--out FILE"),
    "two things to do": ([*AT, "--out", "x", "--socket", "y"], "one of"),
    "no address": (["pull", "nowhere", "--out", "x"], "'nowhere' is no address"),
    "a bad unit": ([*AT, "--unit", "5000B", "--out", "x"], "unit"),
    "a bad prefetch": ([*AT, "--prefetch", "some", "--out", "x"], "none|around|window"),
    "an unknown dialect": ([*AT, "--socket", "x", "--dialect", "go"], "userfaultfd-go"),
    "a handler that is no other process's": ([*AT, "--out", "x", "--handler", "sigbus"], "poll"),
    "an option of hand-overs": ([*AT, "--out", "x", "--share", "50%"], "--share"),
    "an address that is no URL": (["pull", "http://", "--out", "x"], "http"),
    "a pattern without a size": (["serve", "pattern"], "--size"),
    "a file with a size": (["serve", PEER, "--size", "1MiB"], "--size"),
    "a size without a unit": (["serve", "zero", "--size", "5"], "5"),
    "a lone dialect": ([*AT, "--out", "x", "--dialect", "userfaultfd-go"], "--socket"),
    "a missing file": (["serve", "/nonexistent"], "/nonexistent"),
    "a folder": (["serve", "/tmp"], "/tmp"),
    "a port too far": (["serve", PEER, "--listen", "127.0.0.1:65536"], "65535"),
    "no port": (["serve", PEER, "--listen", "localhost"], "HOST:PORT"),
    "another machine's address": (["serve", PEER, "--listen", "192.0.2.1:0"], "--listen"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_people_get_wrong(name: str) -> None:
    arguments, text = BAD[name]
    outcome = memsync(*arguments)
    assert outcome.code == 64 and text in outcome.stderr, outcome
    assert len(outcome.stderr.strip().splitlines()) == 1, outcome.stderr


def test_a_server_that_is_not_there_is_named_with_the_next_step(tmp_path: Path) -> None:
    outcome = memsync("pull", f"unix:{tmp_path}/nobody", "--out", tmp_path / "copy")
    assert outcome.code == 4 and "memsync serve" in outcome.stderr and "nobody" in outcome.stderr
