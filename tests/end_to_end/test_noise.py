"""Work of others: seen, waited for, marked, and named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import memsync, needs_root


@contextmanager
def others_at_work(per_cpu: int) -> Iterator[list[int]]:
    """So many processes per CPU that never rest; gives their pids."""
    count = per_cpu * (os.cpu_count() or 1)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield [process.pid for process in busy]
    finally:
        for process in busy:
            process.kill()
            process.wait()


@needs_root
def test_rows_beside_the_work_of_others_are_noisy_and_the_campaign_ends(write_suite, tmp_path: Path) -> None:
    suite = write_suite(approaches="  - {use: floor}", reps=2)
    with others_at_work(per_cpu=1):
        outcome = memsync("run", suite, "--out", tmp_path / "out")
    assert "waiting a little" in outcome.stderr
    assert len(outcome.rows) == 2
    for row in outcome.rows:
        assert row["noisy"] == "1", row
        if row["status"] == "invalid":  # beside so much work a link may miss its tolerance
            continue
        assert row["status"] == "ok" and float(row["other_cpu_ratio"]) > 0.1, row
    described = {column["name"]: column for column in json.loads((outcome.directory / "schema.json").read_text())["columns"]}
    assert described["other_cpu_ratio"]["unit"] == "ratio"


def test_doctor_names_who_makes_the_machine_noisy() -> None:
    with others_at_work(per_cpu=2) as pids:  # one always waits
        checks = {check["name"]: check for check in json.loads(memsync("doctor", "--json").stdout)["checks"]}
    others = checks["other processes"]
    assert others["state"] == "limited" and others["next_step"]
    assert any(f"({pid})" in others["detail"] for pid in pids), others
    assert checks["pressure"]["state"] == "limited"
    for name in ("steal", "swap", "virtual machine", "cpu frequency", "cpu sleep", "cpus"):
        assert checks[name]["state"] == "ok" or checks[name]["next_step"], checks[name]
