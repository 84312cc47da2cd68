"""Bytes that the destination reads on its own host: what the rows say, and what must not be asked."""

from __future__ import annotations

import os
from pathlib import Path

from conftest import MOVE, READ, memsync, needs_root

pytestmark = needs_root

SIZE = 32 << 20
FAR = "  - {name: far, rate: 1Gbit/s, rtt: 50ms}"
OWN = """\
  - {use: userfaultfd, as: kept, with: {backend: local}}
  - {use: userfaultfd, as: computed, with: {backend: pattern, prefetch: none, unit: 4KiB}}"""


def by_cell(rows: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {row["cell_id"]: row for row in rows}


def test_a_backend_of_the_destinations_own_needs_no_link(write_suite, tmp_path: Path) -> None:
    scan = READ.replace("1000003B", f"{SIZE}B")
    suite = write_suite(workloads="\n".join([scan, MOVE]), links=FAR, approaches=OWN)
    outcome = memsync("run", suite, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    rows = by_cell(outcome.rows)
    kept, computed = rows["kept/scan/far"], rows["computed/scan/far"]
    assert (kept["backend"], computed["backend"]) == ("local-memory", "local-pattern")
    for row in (kept, computed):
        assert (row["status"], row["integrity_ok"], row["checked_B"]) == ("ok", "1", str(SIZE)), row
        assert (row["wire_tx_B"], row["transport"], row["limit_Bps"], row["limit_by"]) == ("0", "", "", "")
        assert int(row["payload_B"]) >= SIZE
    # One page per fault; a page may be touched again before its answer is counted, never less often.
    assert int(computed["faults"]) >= SIZE // 4096
    # The copy stands in memory; what is computed stands nowhere.
    assert int(kept["peak_rss_dst_B"]) - int(computed["peak_rss_dst_B"]) >= SIZE * 3 // 4
    for series in ("kept", "computed"):
        row = rows[f"{series}/move/far"]
        assert row["status"] == "unsupported" and "take backend=peer" in row["status_detail"]


def test_a_file_on_the_destinations_own_host_is_the_region(write_suite, tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(os.urandom(300_007))
    suite = write_suite(links=FAR, approaches=OWN)
    outcome = memsync("run", suite, "--content", content, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    rows = by_cell(outcome.rows)
    kept = rows["kept/scan/far"]
    assert (kept["status"], kept["backend"], kept["checked_B"]) == ("ok", "local-file", "300007"), kept
    assert rows["computed/scan/far"]["status"] == "unsupported"
    assert "take backend=local" in rows["computed/scan/far"]["status_detail"]
