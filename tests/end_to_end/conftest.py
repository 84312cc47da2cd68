"""What the end-to-end tests share: the program, small suites, and readers of what it wrote."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

# Whoever is started in the background by a shell ignores it, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[2]
MEMSYNC = Path(os.environ.get("MEMSYNC", ROOT / "build" / "release" / "memsync"))

SUITE = """\
schema: 1
suite: {name}
question: Does the test hold?
reps: {reps}
warmup: {warmup}
timeout: {timeout}
workloads:
{workloads}
links:
{links}
approaches:
{approaches}
"""
READ = "  - {name: scan, does: read, region: 1000003B, content: random, access: sequential}"
MOVE = "  - {name: move, does: handover, region: 1000003B, writer: {rate: 10MiB/s}, after: 200ms}"
UPDATE = "  - {name: nightly, does: update, region: 1000003B, dirty: 5%, rounds: 2}"
LOCAL = "  - {use: local}"
FAST = "  - {name: fast, rate: 1Gbit/s, rtt: 2ms}"
ALL = "  - {use: tcp_copy}\n  - {use: userfaultfd}\n  - {use: floor}"


@dataclass
class Outcome:
    """A finished call: exit code, texts, and the directory that the last line of stdout names."""

    code: int
    stdout: str
    stderr: str

    @property
    def directory(self) -> Path:
        return Path(self.stdout.strip().splitlines()[-1])

    @property
    def rows(self) -> list[dict[str, str]]:
        return read_rows(self.directory)


def read_rows(directory: Path) -> list[dict[str, str]]:
    with (directory / "runs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def environment(state: Path) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(state)}


def memsync(*arguments: Any, timeout: float = 120, **options: Any) -> Outcome:
    """Runs the program to its end; its process group is killed when it takes too long."""
    words = [str(MEMSYNC), *map(str, arguments)]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **options
    )
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
        pytest.fail(f"{words} did not end within {timeout} s\n{stdout}\n{stderr}")
    return Outcome(process.returncode, stdout, stderr)


class Running:
    """A program in the background; ended by `stop`, and killed when the test is over."""

    def __init__(self, *words: object, **options: object) -> None:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(list(map(str, words)), text=True, **pipes, **options)

    @cached_property
    def first_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str, str]:
        self.process.send_signal(number)
        return self.end()

    def end(self) -> tuple[int, str, str]:
        stdout, stderr = self.process.communicate(timeout=60)
        return self.process.returncode, stdout, stderr


@pytest.fixture
def run_in_background() -> Iterator:
    running: list[Running] = []

    def start(*words: object, **options: object) -> Running:
        running.append(Running(*words, **options))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


@pytest.fixture
def write_suite(tmp_path: Path):
    """Writes a small suite and gives its path; every part can be replaced."""

    def write(
        workloads: str = READ,
        links: str = LOCAL,
        approaches: str = ALL,
        name: str = "tiny",
        reps: int = 1,
        warmup: int = 0,
        timeout: str = "60s",
        more: str = "",
    ) -> Path:
        path = tmp_path / f"{name}.yaml"
        text = SUITE.format(
            name=name, reps=reps, warmup=warmup, timeout=timeout, workloads=workloads, links=links, approaches=approaches
        )
        path.write_text(text + more)
        return path

    return write


def our_processes() -> list[str]:
    """Command lines of agents and link engines that live now."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if "agent --control-fd" in line or "memsync-link" in line.split(" ")[0]:
            found.append(f"{entry.name}: {line}")
    return found


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for emulated links")


def find_agent(out: Path, name: str) -> int:
    """The pid of this campaign's agent whose log file is `name`'s."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for line in our_processes():
            pid = line.split(":")[0]
            try:
                log = Path(os.readlink(f"/proc/{pid}/fd/1"))
                if log.parent == out / "logs" and f".{name}." in log.name:
                    return int(pid)
            except OSError:
                continue
        time.sleep(0.01)
    raise AssertionError(f"no agent {name}")
