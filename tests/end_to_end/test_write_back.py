"""Writes at the destination that sync() sends to the source: what is checked, and what is refused."""

from __future__ import annotations

from pathlib import Path

from conftest import MOVE, memsync, needs_root

pytestmark = needs_root

SIZE = 3 << 20
BACK = f"  - {{name: back, does: update, region: {SIZE + 77}B, dirty: 10%, rounds: 3, changes: destination}}"
SERIES = """\
  - {use: userfaultfd, as: scan, with: {writes: back, track: scan}}
  - {use: userfaultfd, as: faults, with: {writes: back, track: faults}}
  - {use: userfaultfd, as: stay}"""


def test_changes_at_the_destination_reach_the_source(write_suite, tmp_path: Path) -> None:
    suite = write_suite(workloads="\n".join([BACK, MOVE]), approaches=SERIES)
    outcome = memsync("run", suite, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    rows = [row for row in outcome.rows if row["workload"] == "back"]
    measured = [row for row in rows if row["series"] in ("scan", "faults")]
    assert measured and all(row["status"] == "ok" for row in measured), rows
    for row in measured:
        assert (row["changed_at"], row["accesses"]) == ("destination", "3")
        assert row["checked_B"] == str(3 * (SIZE + 77)), "the source's bytes after each round"
        assert float(row["write_s"]) > 0 and float(row["full_s"]) > 0
        # The region once, and more than what changed: 77 of 769 chunks a round.
        assert int(row["wire_rx_B"]) > 3 * 76 * 4096, row
    stay = next(row for row in rows if row["series"] == "stay")
    assert stay["status"] == "unsupported"
    assert "does not carry the destination's writes" in stay["status_detail"]
    moves = {row["series"]: row for row in outcome.rows if row["workload"] == "move"}
    assert moves["stay"]["status"] == "ok"
    assert "two writers" in moves["scan"]["status_detail"]


def test_every_byte_is_right_over_a_link_that_loses_packets(write_suite, tmp_path: Path) -> None:
    lossy = "  - {name: lossy, rate: 100Mbit/s, rtt: 4ms, loss: 2%}"
    series = SERIES.replace("as: stay", "as: stay, with: {background: on, unit: 4KiB, handlers: 4}")
    threads = f"  - {{name: random, does: read, region: {SIZE}B, access: random, accesses: 400, threads: 4}}"
    suite = write_suite(workloads="\n".join([BACK, MOVE, threads]), links=lossy, approaches=series)
    outcome = memsync("run", suite, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    ran = [row for row in outcome.rows if row["status"] != "unsupported"]
    assert {row["workload"] for row in ran} == {"back", "move", "random"}
    assert all(row["status"] == "ok" and row["integrity_ok"] == "1" for row in ran), ran
