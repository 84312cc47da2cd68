"""Campaigns as a user runs them: rows, checks, interruption, and what is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from conftest import ALL, FAST, LOCAL, MEMSYNC, MOVE, READ, UPDATE, find_agent, memsync, needs_root, our_processes, read_rows

pytestmark = needs_root


def by_cell(rows: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {row["cell_id"]: row for row in rows}


def test_every_planned_cell_has_a_row_that_is_ok_or_explained(write_suite, tmp_path: Path) -> None:
    suite = write_suite(workloads="\n".join([READ, MOVE, UPDATE]), links="\n".join([LOCAL, FAST]))
    plan = json.loads(memsync("plan", suite, "--json").stdout)
    outcome = memsync("run", suite, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    assert outcome.directory == tmp_path / "out"
    rows = by_cell(outcome.rows)
    assert set(rows) == {cell["cell_id"] for cell in plan["cells"]}
    for row in rows.values():
        assert row["status"] in ("ok", "unsupported"), row
        if row["status"] == "ok":
            assert row["integrity_ok"] == "1" and int(row["checked_B"]) > 0
        else:
            assert row["status_detail"]
    ok = {cell for cell, row in rows.items() if row["status"] == "ok"}
    assert {"userfaultfd/scan/fast", "userfaultfd/move/fast", "floor/move/local", "tcp_copy/nightly/local"} <= ok
    copied = rows["tcp_copy/nightly/fast"]  # twice the region over 1 Gbit/s
    assert float(copied["duration_s"]) >= 2 * 1000003 / 125e6
    for name in ("manifest.json", "suite.yaml", "plan.csv", "env.json", "calibration.json", "registry.json", "schema.json"):
        assert (outcome.directory / name).exists(), name


def test_json_counts_come_before_the_directory(write_suite, tmp_path: Path) -> None:
    outcome = memsync("run", write_suite(), "--json", "--out", tmp_path / "out")
    assert json.loads(outcome.stdout.splitlines()[-2])["counts"] == {"ok": 3}
    assert outcome.directory == tmp_path / "out"


def test_measures_obey_physics(write_suite, tmp_path: Path) -> None:
    suite = write_suite(workloads="\n".join([READ, MOVE]), links=FAST)
    rows = by_cell(memsync("run", suite, "--out", tmp_path / "out").rows)
    rtt = 2e-3
    pulled = rows["userfaultfd/scan/fast"]
    assert float(pulled["first_access_s"]) >= 2 * rtt  # connect and one read at least
    assert float(pulled["throughput_Bps"]) <= 1.02 * 125e6
    assert int(pulled["payload_B"]) == 1000003
    assert int(pulled["wire_tx_B"]) > 1000003
    assert float(rows["userfaultfd/move/fast"]["blackout_s"]) >= rtt
    floor = rows["floor/move/fast"]
    assert floor["payload_B"] == "0" and int(floor["wire_tx_B"]) == 0
    assert float(floor["blackout_s"]) < float(rows["userfaultfd/move/fast"]["blackout_s"])


def test_what_is_read_ahead_after_the_last_access_is_not_counted(write_suite, tmp_path: Path) -> None:
    # The first repetition of a campaign once let 10 MB come while the conductor worked out what to expect.
    part = READ.replace("1000003B", "64MiB").replace("sequential", "sequential, accesses: 256")
    suite = write_suite(workloads=part, links=FAST, approaches="  - {use: userfaultfd}")
    (row,) = memsync("run", suite, "--out", tmp_path / "out").rows
    assert row["status"] == "ok", row["status_detail"]
    assert 1 << 20 <= int(row["payload_B"]) <= float(row["duration_s"]) * 1.02 * 125e6


def test_small_regions_are_handed_over_every_time(write_suite, tmp_path: Path) -> None:
    # All of it is asked for twice: by faults and by what settles the rest. A late answer must harm nobody.
    suite = write_suite(workloads=MOVE.replace("1000003B", "1MiB"), approaches="  - {use: userfaultfd}", reps=12)
    outcome = memsync("run", suite, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr


def test_a_warm_up_records_the_trace_that_repetitions_replay(write_suite, tmp_path: Path) -> None:
    part = READ.replace("1000003B", "8MiB").replace("sequential", "random, accesses: 40")
    suite = write_suite(workloads=part, links=FAST, reps=2, warmup=1,
                        approaches="  - {use: userfaultfd, with: {prefetch: trace}}\n  - {use: tcp_copy}")
    outcome = memsync("run", suite, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    traced = [row for row in outcome.rows if row["series"] == "userfaultfd"]
    assert [(row["is_warmup"], row["trace"]) for row in traced] == [
        ("1", "recorded"), ("0", "replayed"), ("0", "replayed")]
    assert int(traced[0]["faults"]) >= 20
    assert [row["faults"] for row in traced[1:]] == ["0", "0"]
    assert {row["trace"] for row in outcome.rows if row["series"] == "tcp_copy"} == {""}
    kept = [path.relative_to(outcome.directory).as_posix() for path in (outcome.directory / "kept").rglob("*.*")]
    assert kept == ["kept/userfaultfd/scan/fast/destination0/touches.trace"]
    assert not (outcome.directory / "kept" / "tcp_copy").exists()


def test_a_replay_without_a_trace_is_no_repetition_of_it(write_suite, tmp_path: Path) -> None:
    suite = write_suite(approaches="  - {use: userfaultfd, with: {prefetch: trace}}", reps=2)
    outcome = memsync("run", suite, "--out", tmp_path / "out")
    assert outcome.code == 4
    first, second = outcome.rows
    assert (first["status"], first["trace"]) == ("invalid", "recorded")
    assert "warm-up" in first["status_detail"] and first["duration_s"] == ""
    assert (second["status"], second["trace"]) == ("ok", "replayed")


def test_accesses_drawn_afresh_differ_between_repetitions_and_not_between_series(write_suite, tmp_path: Path) -> None:
    part = READ.replace("1000003B", "8MiB").replace("sequential", "random, accesses: 40, draws: fresh")
    series = "  - {use: userfaultfd, as: AS, with: {prefetch: none, unit: 4KiB}}"
    traced = series.replace("AS", "traced").replace("none", "trace")
    suite = write_suite(workloads=part, reps=3, warmup=1,
                        approaches="\n".join([series.replace("AS", "one"), series.replace("AS", "other"), traced]))
    outcome = memsync("run", suite, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr  # each checked against the accesses of its own draw
    faults = {name: [row["faults"] for row in sorted(outcome.rows, key=lambda row: int(row["order_global"]))
                     if row["series"] == name and row["is_warmup"] == "0"] for name in ("one", "other", "traced")}
    assert faults["one"] == faults["other"]
    assert all(int(count) > 20 for count in faults["traced"])  # the warm-up's accesses were others
    assert {row["access_pattern"] for row in outcome.rows} == {"random fresh"}


def test_a_campaign_is_not_resumed_with_another_content(write_suite, tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(b"one" * 5000)
    assert memsync("run", write_suite(), "--content", content, "--out", tmp_path / "out").code == 0
    content.write_bytes(b"two" * 5000)
    outcome = memsync("run", "--resume", tmp_path / "out")
    assert outcome.code == 64 and "asked something else" in outcome.stderr


def test_a_read_for_a_time_is_checked_as_fast_as_it_read(write_suite, tmp_path: Path) -> None:
    suite = write_suite(workloads=READ.replace("access: sequential", "access: random, for: 1s"), approaches="  - {use: floor}")
    (row,) = memsync("run", suite, "--out", tmp_path / "out").rows
    assert row["status"] == "ok" and int(row["checked_B"]) > 1000003 and float(row["duration_s"]) >= 1
    assert float(row["overhead_s"]) < 20 * float(row["duration_s"])  # it was computed 20 times slower once


@pytest.mark.parametrize("size", [1, 4095, 4097, 70001])
def test_a_file_is_the_region_byte_for_byte_whatever_its_size(write_suite, tmp_path: Path, size: int) -> None:
    content = tmp_path / "content"
    content.write_bytes(os.urandom(size))
    outcome = memsync("run", write_suite(), "--content", content, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    for row in outcome.rows:
        assert (row["region_B"], row["checked_B"], row["status"]) == (str(size), str(size), "ok")


def test_ctrl_c_keeps_finished_rows_and_resume_completes_them(write_suite, tmp_path: Path) -> None:
    suite = write_suite(workloads=MOVE, approaches="  - {use: floor}\n  - {use: userfaultfd}", reps=4)
    out = tmp_path / "out"
    process = subprocess.Popen([MEMSYNC, "run", suite, "--out", out], stderr=subprocess.PIPE, text=True)
    while not (out / "runs.csv").exists() or len(read_rows(out)) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"memsync run --resume {out}" in stderr
    before = read_rows(out)
    assert 2 <= len(before) < 8
    assert our_processes() == []
    outcome = memsync("run", "--resume", out)
    assert outcome.code == 0, outcome.stderr
    after = read_rows(out)
    assert after[: len(before)] == before
    assert len({row["run_id"] for row in after}) == len(after) == 8


def test_nothing_is_left_after_the_conductor_was_killed(write_suite, tmp_path: Path) -> None:
    devices = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    memsync("clean")  # of what others were killed before
    suite = write_suite(workloads=MOVE.replace("200ms", "20s"), links=FAST, approaches="  - {use: userfaultfd}")
    process = subprocess.Popen([MEMSYNC, "run", suite, "--out", tmp_path / "out"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while len(our_processes()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while our_processes() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert our_processes() == []
    assert subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout == devices
    assert "nothing of ours" in memsync("clean").stdout


def all_side_folders() -> set[str]:
    return {str(path) for place in ("/dev/shm", tempfile.gettempdir()) for path in Path(place).glob("memsync-side-*")}


def test_nothing_is_left_of_sides_whose_campaign_was_interrupted(write_suite, tmp_path: Path) -> None:
    before = all_side_folders()
    suite = write_suite(workloads="  - {name: up, does: update, region: 1MiB, rounds: 1, writer: {rate: 1MiB/s, span: 1MiB}, after: 20s}\n",
                        links=FAST, approaches="  - {use: mmap_push}\n  - {use: rsync}")
    for series in ("mmap_push", "rsync"):
        process = subprocess.Popen([MEMSYNC, "run", suite, "--out", tmp_path / series, "--filter", f"series={series}"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while len(all_side_folders() - before) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert all_side_folders() == before
        assert our_processes() == []


@pytest.mark.parametrize("victim", ["source", "destination0"])
def test_a_killed_agent_is_one_crashed_row_and_the_campaign_goes_on(write_suite, tmp_path: Path, victim: str) -> None:
    # Demand faults over 100 ms: whoever is killed, a fault is outstanding.
    suite = write_suite(
        links="  - {name: far, rate: 100Mbit/s, rtt: 100ms}",
        workloads="  - {name: scan, does: read, region: 4MiB, access: random, accesses: 40}",
        approaches="  - {use: userfaultfd, with: {prefetch: none}}",
        reps=2,
    )
    out = tmp_path / "out"
    process = subprocess.Popen([MEMSYNC, "run", suite, "--out", out], stderr=subprocess.PIPE, text=True)
    pid = find_agent(out, victim)
    time.sleep(1.5)
    os.kill(pid, signal.SIGKILL)
    _, stderr = process.communicate(timeout=90)
    rows = read_rows(out)
    assert process.returncode == 4, stderr
    assert [row["status"] for row in rows] == ["crashed", "ok"], rows
    assert "killed by signal 9" in rows[0]["status_detail"] and victim in rows[0]["status_detail"]
    assert rows[0]["signal"] == "9" and rows[0]["throughput_Bps"] == ""


def test_a_repetition_that_hangs_is_a_timeout(write_suite, tmp_path: Path) -> None:
    suite = write_suite(workloads=MOVE, approaches="  - {use: floor}\n  - {use: userfaultfd}", timeout="8s")
    out = tmp_path / "out"
    process = subprocess.Popen([MEMSYNC, "run", suite, "--out", out], stderr=subprocess.PIPE, text=True)
    os.kill(find_agent(out, "destination0"), signal.SIGSTOP)
    process.communicate(timeout=60)
    rows = read_rows(out)
    assert sorted(row["status"] for row in rows) == ["ok", "timeout"]
    assert our_processes() == []


def test_results_on_a_full_disk_end_with_a_sentence(write_suite, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160k", "none", small], check=True)
    try:
        suite = write_suite(reps=200, approaches="  - {use: floor}")
        outcome = memsync("run", suite, "--out", small / "out")
        assert outcome.code == 70
        assert "No space left on device" in outcome.stderr and "Traceback" not in outcome.stderr
        assert all(row["status"] == "ok" for row in read_rows(small / "out"))
        assert our_processes() == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_two_campaigns_at_once_run_one_after_the_other(write_suite, tmp_path: Path) -> None:
    suite = write_suite()
    first = subprocess.Popen([MEMSYNC, "run", suite, "--out", tmp_path / "a"], stderr=subprocess.DEVNULL)
    second = memsync("run", suite, "--out", tmp_path / "b")
    assert first.wait(60) == 0
    assert second.code == 0
    a, b = read_rows(tmp_path / "a"), read_rows(tmp_path / "b")
    assert {row["status"] for row in a + b} == {"ok"}
    spans = sorted((rows[0]["t_start_utc"], rows[-1]["t_start_utc"]) for rows in (a, b))
    assert spans[0][1] <= spans[1][0]


def test_an_excluded_cell_is_in_the_plan_with_its_reason_and_does_not_run(write_suite, tmp_path: Path) -> None:
    suite = write_suite(more="exclude:\n  - {approach: tcp_copy, because: it is slow}\n")
    outcome = memsync("run", suite, "--out", tmp_path / "out")
    assert outcome.code == 0
    assert {row["approach"] for row in outcome.rows} == {"userfaultfd", "floor"}
    assert "it is slow" in (outcome.directory / "plan.csv").read_text()


def test_the_order_is_random_but_the_same_for_a_seed(write_suite, tmp_path: Path) -> None:
    suite = write_suite(approaches="\n".join(f"  - {{use: floor, as: floor-{i}}}" for i in range(6)), reps=2)

    def order(name: str, seed: int) -> list[str]:
        return [row["cell_id"] for row in memsync("run", suite, "--seed", seed, "--out", tmp_path / name).rows]

    assert order("a", 5) == order("b", 5) != order("c", 6)


def test_a_time_budget_ends_after_whole_rounds(write_suite, tmp_path: Path) -> None:
    suite = write_suite(reps=200, approaches="  - {use: floor}\n  - {use: tcp_copy}")
    outcome = memsync("run", suite, "--time-budget", "4s", "--out", tmp_path / "out")
    rows = outcome.rows
    assert outcome.code == 0 and 2 <= len(rows) < 400 and len(rows) % 2 == 0


def test_without_privilege_the_run_ends_with_unsupported_rows(write_suite, tmp_path: Path) -> None:
    suite = write_suite(links="\n".join([LOCAL, FAST]))
    home = tmp_path / "home"
    home.mkdir(mode=0o777)
    os.chmod(home, 0o777)
    for folder in tmp_path.parents:
        if folder == Path("/tmp"):
            break
        os.chmod(folder, 0o755)
    os.chmod(tmp_path, 0o755)
    reachable = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", MEMSYNC, "--version"])
    if reachable.returncode != 0:
        pytest.skip("another user can't reach the program")
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", MEMSYNC, "run", suite, "--out", home / "out"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    rows = read_rows(home / "out")
    assert done.returncode in (0, 4, 5), done.stderr
    far = [row for row in rows if row["link"] == "fast"]
    assert far
    if not os.stat("/dev/net/tun").st_mode & 0o006:
        assert all(row["status"] == "unsupported" and row["status_detail"] for row in far)
    if done.returncode == 0:
        assert any(row["status"] == "ok" for row in rows if row["link"] == "local")


def test_two_listening_agents_are_two_machines(write_suite, tmp_path: Path) -> None:
    agents = [
        subprocess.Popen([MEMSYNC, "agent", "--listen", f"127.0.0.1:{port}", "--token", "secret"], stdout=subprocess.PIPE, text=True)
        for port in (27701, 27702)
    ]
    try:
        for agent in agents:
            assert "agent listens" in agent.stdout.readline()
        flags = ["--source-agent", "127.0.0.1:27701", "--destination-agent", "127.0.0.1:27702", "--agent-token"]
        suite = write_suite(workloads="\n".join([READ, MOVE]), links="\n".join([LOCAL, FAST]))
        outcome = memsync("run", suite, *flags, "secret", "--out", tmp_path / "out")
        rows = by_cell(outcome.rows)
        assert outcome.code == 0, outcome.stderr
        assert {row["link"] for row in rows.values()} == {"external"}
        assert rows["userfaultfd/scan/external"]["status"] == rows["userfaultfd/move/external"]["status"] == "ok"
        assert float(rows["tcp_copy/scan/external"]["rtt_p50_meas_s"]) > 0
        assert rows["userfaultfd/move/external"]["blackout_s"] == ""  # two clocks
        assert rows["floor/scan/external"]["status"] == "unsupported"
        refused = memsync("run", suite, *flags, "wrong", "--out", tmp_path / "refused")
        assert refused.code == 4 and any("refused the token" in row["status_detail"] for row in refused.rows)
    finally:
        for agent in agents:
            agent.kill()
            agent.wait()


def side_folders(pids: list[int]) -> list[Path]:
    places = [Path("/dev/shm"), Path(tempfile.gettempdir())]
    return [folder for place in places for pid in pids for folder in place.glob(f"memsync-side-{pid}-*")]


@pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")
@pytest.mark.parametrize("file", ["memory", "disk"])
def test_clean_removes_the_folders_of_sides_that_were_killed(write_suite, tmp_path: Path, file: str) -> None:
    suite = write_suite(
        workloads=UPDATE.replace("rounds: 2", "rounds: 100"),
        links=FAST,
        approaches=f"  - {{use: rsync, with: {{file: {file}}}}}",
    )
    out = tmp_path / "out"
    command = [MEMSYNC, "run", suite, "--out", out, "--concurrent"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    agents = [find_agent(out, "source"), find_agent(out, "destination0")]
    deadline = time.monotonic() + 30
    while len(side_folders(agents)) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    for pid in agents:  # first, or an agent might see that the conductor is gone and clean up itself
        os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in agents):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    left = side_folders(agents)
    assert len(left) == 2
    said = memsync("clean").stdout
    assert all(str(folder) in said for folder in left)
    assert side_folders(agents) == []
