"""Controls: planted delays, twins, and the digests that say what a campaign's files were."""

from __future__ import annotations

import csv
import hashlib
import json
import signal
import subprocess
import time
from pathlib import Path

from conftest import FAST, LOCAL, MEMSYNC, MOVE, READ, memsync, needs_root, read_rows

pytestmark = needs_root

RTT_S = 2e-3  # of FAST
RATE_BPS = 125e6
REGION_B = 1000003


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())


def roles(directory: Path) -> dict[str, tuple[str, str]]:
    return {one["series"]: (one["role"], one["of"]) for one in read_json(directory / "registry.json")["series"]}


def test_a_planted_delay_comes_on_top_of_opening_or_of_the_blackout(write_suite, tmp_path: Path) -> None:
    delay = 0.05
    suite = write_suite(
        workloads="\n".join([READ, MOVE]),
        links=FAST,
        approaches="""\
  - {use: tcp_copy, as: copy, with: {planted_delay: 50ms}}
  - {use: userfaultfd, as: pull, with: {planted_delay: 50ms, prefetch: none}}
  - {use: floor, with: {planted_delay: 50ms}}""",
    )
    rows = {row["cell_id"]: row for row in memsync("run", suite, "--out", tmp_path / "out").rows}
    copied = rows["copy/scan/fast"]
    for column in ("open_s", "first_access_s", "duration_s", "full_s"):
        assert float(copied[column]) >= delay + REGION_B / RATE_BPS + RTT_S, column
    assert float(copied["throughput_Bps"]) <= REGION_B / (delay + REGION_B / RATE_BPS + RTT_S)
    assert float(rows["floor/scan/fast"]["open_s"]) >= delay
    moved = rows["pull/move/fast"]
    assert float(moved["blackout_s"]) >= delay + RTT_S
    assert float(moved["resume_s"]) >= delay
    assert float(rows["floor/move/fast"]["blackout_s"]) >= delay
    assert copied["options"] == "planted_delay=50ms"
    assert moved["options"] == "planted_delay=50ms;prefetch=none"
    assert {row["status"] for row in rows.values()} == {"ok", "unsupported"}


def test_every_approach_takes_a_planted_delay_and_says_what_it_is_exact_in() -> None:
    approaches = {one["name"]: one for one in json.loads(memsync("list", "--json").stdout)["approaches"]}
    for approach in approaches.values():
        assert "planted_delay" in [option["name"] for option in approach["options"]]
    assert approaches["tcp_copy"]["exact"] == ["payload_B"]
    assert approaches["userfaultfd"]["exact"] == []


def test_hand_written_twins_are_recognised(write_suite, tmp_path: Path) -> None:
    approaches = "  - {use: floor}\n  - {use: floor, as: again}\n  - {use: floor, as: late, with: {planted_delay: 3ms}}"
    outcome = memsync("run", write_suite(approaches=approaches), "--out", tmp_path / "out")
    assert roles(outcome.directory) == {"floor": ("", ""), "again": ("twin", "floor"), "late": ("planted", "floor")}
    late = read_json(outcome.directory / "registry.json")["series"][2]
    assert late["planted_delay_s"] == 0.003


def test_controls_run_in_their_cells_alone_and_are_no_exclusions(write_suite, tmp_path: Path) -> None:
    suite = write_suite(
        workloads="\n".join([READ, MOVE]),
        links="\n".join([LOCAL, FAST]),
        approaches="  - {use: userfaultfd}\n  - {use: tcp_copy}",
    )
    controls = {
        "tcp_copy-twin/scan/fast",
        "tcp_copy-planted/scan/fast",
        "userfaultfd-twin/move/fast",
        "userfaultfd-planted/move/fast",
        "floor/scan/fast",
        "floor/move/fast",
    }
    without = {cell["cell_id"] for cell in json.loads(memsync("plan", suite, "--json").stdout)["cells"]}
    planned = {cell["cell_id"] for cell in json.loads(memsync("plan", suite, "--controls", "--json").stdout)["cells"]}
    assert planned - without == controls and without <= planned
    outcome = memsync("run", suite, "--controls", "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    rows = {row["cell_id"]: row for row in outcome.rows}
    assert set(rows) == planned
    assert {rows[cell]["status"] for cell in controls} == {"ok"}
    assert float(rows["tcp_copy-planted/scan/fast"]["open_s"]) >= 0.002 + REGION_B / RATE_BPS + RTT_S
    assert float(rows["userfaultfd-planted/move/fast"]["blackout_s"]) >= 0.005 + RTT_S
    assert read_json(outcome.directory / "manifest.json")["controls"] is True
    assert read_json(outcome.directory / "registry.json")["exclusions"] == []
    with (outcome.directory / "plan.csv").open(newline="") as file:
        assert {row["status"] for row in csv.DictReader(file)} == {"planned", "unsupported"}
    assert roles(outcome.directory) == {
        "userfaultfd": ("", ""),
        "tcp_copy": ("", ""),
        "tcp_copy-twin": ("twin", "tcp_copy"),
        "tcp_copy-planted": ("planted", "tcp_copy"),
        "userfaultfd-twin": ("twin", "userfaultfd"),
        "userfaultfd-planted": ("planted", "userfaultfd"),
        "floor": ("", ""),
    }


def digests_of(directory: Path) -> dict[str, str]:
    """What manifest.json's `files` must be."""
    names = "plan.csv runs.csv suite.yaml schema.json registry.json env.json calibration.json".split()
    there = [directory / name for name in names if (directory / name).exists()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in there}


def test_controls_and_digests_survive_ctrl_c_and_resume(write_suite, tmp_path: Path) -> None:
    suite = write_suite(workloads=MOVE, approaches="  - {use: userfaultfd}", reps=3)
    out = tmp_path / "out"
    process = subprocess.Popen([MEMSYNC, "run", suite, "--controls", "--out", out], stderr=subprocess.DEVNULL)
    while not (out / "runs.csv").exists() or len(read_rows(out)) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    interrupted = read_json(out / "manifest.json")
    assert interrupted["complete"] is False and interrupted["files"] == digests_of(out)
    assert {"runs.csv", "plan.csv", "calibration.json", "env.json"} <= set(interrupted["files"])
    outcome = memsync("run", "--resume", out)
    assert outcome.code == 0, outcome.stderr
    cells = [row["cell_id"] for row in outcome.rows]
    assert len(cells) == 12 and {cells.count(cell) for cell in cells} == {3}
    resumed = read_json(out / "manifest.json")
    assert resumed["complete"] is True and resumed["controls"] is True
    assert resumed["files"] == digests_of(out) != interrupted["files"]
