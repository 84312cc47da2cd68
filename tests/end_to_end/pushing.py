"""What the tests of `memsync push` and `memsync receive` share, with two fixtures."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import MEMSYNC, Running, memsync

SIZE = 3_000_003


def content(seed: int, size: int = SIZE) -> bytes:
    return random.Random(seed).randbytes(size)


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Looks until it holds; the limit is for a test that would never end."""
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.01)


class Inbox:
    """A receiver and its folder; `restart` starts another one at the same address."""

    def __init__(self, start: Callable[..., Running], folder: Path) -> None:
        self.start, self.folder = start, folder
        folder.mkdir(exist_ok=True)
        self.words: list[object] = []
        self.running: Running
        self.address = ""

    def run(self, *words: object, listen: str = "127.0.0.1:0") -> Inbox:
        self.words = list(words)
        self.running = self.start(MEMSYNC, "receive", self.folder, "--listen", listen, *words)
        self.address = self.running.first_line
        return self

    def restart(self) -> None:
        self.run(*self.words, listen=self.address)

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def holds(self, name: str, data: bytes) -> bool:
        path = self.folder / name
        return path.exists() and path.read_bytes() == data


@pytest.fixture
def inbox(run_in_background, tmp_path: Path) -> Inbox:
    return Inbox(run_in_background, tmp_path / "inbox")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(content(1))
    return path


def pushed(*words: object) -> dict:
    """What a push that succeeds says of itself."""
    outcome = memsync("push", *words, "--json")
    assert outcome.code == 0, outcome
    return json.loads(outcome.stdout)
