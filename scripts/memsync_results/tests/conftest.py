"""Shared by all tests: a synthetic campaign, and ways to damage one."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from memsync_results.cli import main
from memsync_results.tests.synthetic import Model, write_campaign

# Whoever is started in the background by a shell ignores it, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

PACKAGE_PARENT = Path(__file__).parents[2]


@pytest.fixture
def campaign_dir(tmp_path: Path) -> Path:
    """A small healthy campaign; every test may damage its own copy."""
    return write_campaign(tmp_path / "campaign", Model(reps=8))


@pytest.fixture
def edit(campaign_dir: Path) -> Callable[[str, str, str], None]:
    """Replaces a text in one file of the campaign, once, and insists that it was there."""

    def replace(name: str, old: str, new: str) -> None:
        path = campaign_dir / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{name} holds no {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return replace


def run_verb(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The package as `memsync VERB` starts it."""
    return subprocess.run(
        [sys.executable, "-m", "memsync_results", *arguments], text=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(PACKAGE_PARENT), **environment}, timeout=120,
    )


def call_verb(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The same within this process, which is faster."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(arguments))
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
