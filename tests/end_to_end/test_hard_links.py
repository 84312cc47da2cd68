"""Links across which only one side may dial, and links that die for a while: what becomes of approaches there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import MEMSYNC, MOVE, READ, UPDATE, memsync, needs_root

pytestmark = needs_root

NAT = "  - {name: behind, rate: 1Gbit/s, rtt: 2ms, dials: destination}"
# 8 MiB over 100 Mbit/s take 0.67 s, of which the link is dead for 0.4 s.
OUTAGE = "  - {name: dying, rate: 100Mbit/s, rtt: 2ms, cut_after: 200ms, cut_for: 400ms}"
LONG = READ.replace("1000003B", "8MiB")


@pytest.fixture(autouse=True)
def _needs_nft(request: pytest.FixtureRequest) -> None:
    if "nat" in request.node.name:
        plan = json.loads(memsync("plan", "nat-outage", "--json", "--filter", "link=nat").stdout)
        reasons = [cell["reason"] for cell in plan["cells"] if "can't be dialled" in cell["reason"]]
        if reasons:
            pytest.skip(reasons[0])


def test_behind_a_nat_whoever_is_dialled_by_its_destination_works(write_suite, tmp_path: Path) -> None:
    suite = write_suite(workloads="\n".join([READ, MOVE, UPDATE]), links=NAT,
                        approaches="  - {use: tcp_copy}\n  - {use: userfaultfd}\n  - {use: mmap_push}")
    outcome = memsync("run", suite, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    ok = {row["cell_id"]: row for row in outcome.rows if row["status"] == "ok"}
    assert set(ok) == {"tcp_copy/scan/behind", "userfaultfd/scan/behind", "mmap_push/scan/behind", "userfaultfd/move/behind",
                       "mmap_push/move/behind", "tcp_copy/nightly/behind", "mmap_push/nightly/behind"}
    assert {row["dials"] for row in ok.values()} == {"destination"}
    assert {row["gave_up_s"] + row["cut_s"] for row in ok.values()} == {""}


def test_behind_a_nat_rsync_says_that_it_reached_nobody(write_suite, tmp_path: Path) -> None:
    outcome = memsync("run", write_suite(links=NAT, approaches="  - {use: rsync}"), "--out", tmp_path / "out")
    assert outcome.code == 4
    (row,) = outcome.rows
    assert row["status"] == "failed", "it errs, and does not wait until the repetition's time is over"
    assert "rsync" in row["status_detail"] and "daemon" in row["status_detail"], row["status_detail"]
    assert 10 <= float(row["gave_up_s"]) < 60


def test_a_copy_goes_on_after_an_outage(write_suite, tmp_path: Path) -> None:
    suite = write_suite(workloads=LONG, links=OUTAGE, approaches="  - {use: tcp_copy}\n  - {use: mmap_push}\n  - {use: floor}")
    outcome = memsync("run", suite, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    for row in outcome.rows:
        assert (row["cut_after_cfg_s"], row["cut_cfg_s"]) == ("0.2", "0.4")
        if row["series"] == "floor":  # nothing of it crosses the link
            continue
        assert float(row["cut_s"]) >= 0.4, row
        assert float(row["duration_s"]) >= 0.4 + 8 * 2**20 / 12.5e6


def test_work_that_is_done_before_the_outage_says_nothing_of_one(write_suite, tmp_path: Path) -> None:
    suite = write_suite(links=OUTAGE.replace("200ms", "30s"), approaches="  - {use: tcp_copy}")
    (row,) = memsync("run", suite, "--out", tmp_path / "out").rows
    assert row["status"] == "invalid" and row["throughput_Bps"] == ""
    assert "before the link was cut" in row["status_detail"]


def test_an_outage_that_is_longer_than_patience_is_an_error_with_a_name(write_suite, tmp_path: Path) -> None:
    suite = write_suite(workloads=LONG, links=OUTAGE.replace("400ms", "20s"), approaches="  - {use: userfaultfd}")
    (row,) = memsync("run", suite, "--out", tmp_path / "out").rows
    assert row["status"] == "failed" and "fetching" in row["status_detail"], row
    assert 5 <= float(row["cut_s"]) <= float(row["gave_up_s"]) < 20.2


def test_list_names_the_profiles(tmp_path: Path) -> None:
    links = {link["name"]: link for link in json.loads(memsync("list", "--json").stdout)["links"]}
    assert links["nat"]["dials"] == "destination" and links["outage"]["cut_for"] == "5s", MEMSYNC
