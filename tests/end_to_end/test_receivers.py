"""One source and several destinations: what each holds, what each costs, and what becomes of one that dies."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from conftest import FAST, MEMSYNC, find_agent, memsync, needs_root, read_rows

pytestmark = needs_root

SIZE = 2 << 20
SERIES = "  - {use: mmap_push}\n  - {use: tcp_copy}\n  - {use: floor}\n  - {use: rsync}"


def update(receivers: int, name: str = "", rounds: int = 2) -> str:
    return (f"  - {{name: {name or f'to-{receivers}'}, does: update, region: {SIZE + 77}B, dirty: 5%, rounds: {rounds}, "
            f"receivers: {receivers}}}")


def by_host(text: str) -> dict[str, float]:
    return {host: float(value) for host, value in (entry.split("=") for entry in text.split(";"))}


def test_every_destination_is_kept_equal_and_counted(write_suite, tmp_path: Path) -> None:
    # A queue in which three copies at once find room: nothing is sent twice.
    links = FAST.replace("}", ", queue: 16MiB}")
    suite = write_suite(workloads="\n".join([update(1), update(3)]), links=links, approaches=SERIES)
    outcome = memsync("run", suite, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    rows = {(row["series"], row["receivers"]): row for row in outcome.rows}
    assert rows["rsync", "1"]["status"] == "ok"
    assert "rsync serves at most 1 receivers, not 3" in rows["rsync", "3"]["status_detail"]
    for series in ("mmap_push", "tcp_copy", "floor"):
        for count in (1, 3):
            row = rows[series, str(count)]
            assert row["status"] == "ok", row
            assert row["checked_B"] == str(count * 2 * (SIZE + 77)), "all bytes at every destination after each round"
            assert 0 < float(row["lag_first_s"]) <= float(row["lag_all_s"]) <= float(row["duration_s"]) + 0.5
            hosts = ["source", *(f"destination{i}" for i in range(count))]
            for column in ("wire_tx_by_host_B", "wire_rx_by_host_B", "cpu_by_host_s"):
                assert list(by_host(row[column])) == hosts, row[column]
            assert by_host(row["wire_tx_by_host_B"])["source"] == float(row["wire_tx_B"])
            assert by_host(row["wire_rx_by_host_B"])["source"] == float(row["wire_rx_B"])
    assert set(by_host(rows["floor", "3"]["wire_rx_by_host_B"]).values()) == {0}
    for series, least in (("mmap_push", SIZE), ("tcp_copy", 3 * SIZE)):
        received = by_host(rows[series, "3"]["wire_rx_by_host_B"])
        assert all(least < received[f"destination{i}"] < 1.2 * least + 1e6 for i in range(3)), received
        # Pairwise: each of them costs the source its own copy.
        once, thrice = (float(rows[series, count]["wire_tx_B"]) for count in ("1", "3"))
        assert 2.7 * once < thrice < 3.3 * once


def test_lags_are_told_only_where_receivers_are_asked_for(write_suite, tmp_path: Path) -> None:
    plain = update(1, "plain").replace(", receivers: 1", "")
    suite = write_suite(workloads=plain, approaches="  - {use: mmap_push}")
    (row,) = memsync("run", suite, "--out", tmp_path / "out").rows
    assert row["status"] == "ok" and row["lag_first_s"] + row["lag_all_s"] == ""
    assert row["wire_rx_by_host_B"].startswith("source=")


def test_a_destination_that_dies_is_named_and_nothing_is_left(write_suite, tmp_path: Path) -> None:
    # 3 copies of 16 MiB over 100 Mbit/s take 4 s: whoever is killed is waited for.
    large = update(3).replace(f"{SIZE + 77}B", "16MiB")
    suite = write_suite(workloads=large, links="  - {name: slow, rate: 100Mbit/s, rtt: 2ms}", approaches="  - {use: mmap_push}")
    out = tmp_path / "out"
    process = subprocess.Popen([MEMSYNC, "run", suite, "--out", out], stderr=subprocess.PIPE, text=True)
    os.kill(find_agent(out, "destination1"), signal.SIGKILL)
    _, stderr = process.communicate(timeout=90)
    assert process.returncode == 4, stderr
    (row,) = read_rows(out)
    assert row["status"] == "crashed" and row["signal"] == "9", row
    assert "destination1's agent ended: killed by signal 9" in row["status_detail"]
    assert row["lag_all_s"] == "" and row["wire_rx_by_host_B"] == ""
