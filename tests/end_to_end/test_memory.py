"""Less memory than a campaign needs: the kernel ends a process, and the row says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conftest import memsync, needs_root, our_processes

pytestmark = needs_root
GROUPS = Path("/sys/fs/cgroup")


@pytest.fixture
def small_group():
    """A control group of 96 MiB and no swap; skips where none can be made."""
    is_second = (GROUPS / "cgroup.controllers").exists()
    folder = (GROUPS if is_second else GROUPS / "memory") / f"memsync-test-{os.getpid()}"
    limits = ("memory.max", "memory.swap.max") if is_second else ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
    try:
        if is_second:
            (GROUPS / "cgroup.subtree_control").write_text("+memory")
        folder.mkdir()
        (folder / limits[0]).write_text(str(96 << 20))
        if (folder / limits[1]).exists():
            (folder / limits[1]).write_text("0" if is_second else str(96 << 20))
    except OSError as problem:
        pytest.skip(f"no control group that limits memory: {problem}")
    yield folder
    folder.rmdir()


# Requirement Z6.
def test_an_agent_that_runs_out_of_memory_is_a_crashed_row_that_names_the_signal(
    write_suite, tmp_path: Path, small_group: Path
) -> None:
    suite = write_suite(
        workloads="  - {name: scan, does: read, region: 256MiB, access: sequential, source: computed}",
        approaches="  - {use: userfaultfd}",
    )
    outcome = memsync(
        "run",
        suite,
        "--out",
        tmp_path / "out",
        preexec_fn=lambda: (small_group / "cgroup.procs").write_text(str(os.getpid())),
    )
    assert outcome.code == 4, outcome.stderr
    (row,) = outcome.rows
    assert row["status"] == "crashed" and row["signal"] == "9", row
    assert "destination0's agent ended: killed by signal 9" in row["status_detail"]
    assert our_processes() == []
