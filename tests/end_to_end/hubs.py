"""What the tests of `memsync hub` share, with a fixture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import MEMSYNC, Outcome, Running, memsync
from pushing import wait_for


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
