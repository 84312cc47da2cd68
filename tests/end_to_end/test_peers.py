"""Peers and demands: programs of somebody else's beside ours, and what a suite asks of both."""

from __future__ import annotations

import csv
import os
import shutil
import stat
import sys
import textwrap
from pathlib import Path

import pytest

from conftest import FAST, LOCAL, READ, ROOT, memsync, needs_root

pytestmark = needs_root

HEAD = f"#!{sys.executable}\n" + textwrap.dedent("""\
    import hashlib, json, os, signal, socket, subprocess, sys, time
    E = {k[8:]: v for k, v in os.environ.items() if k.startswith("MEMSYNC_")}
    if E["ROLE"] == "source":
        sys.exit(0)  # the raw stream is enough
    def touches(get):
        region, touch = int(E["REGION_B"]), int(E["TOUCH_B"])
        for line in open(E["TRACE"]):
            offset = int(line)
            yield get(offset, min(touch, region - offset))
    def tell(started, data, **more):
        print(json.dumps({"duration_s": time.monotonic() - started, "bytes": len(data),
                          "sha256": hashlib.sha256(data).hexdigest(), **more}))
    def honest(**more):
        started = time.monotonic()
        file = open(E["FILE"], "rb")
        tell(started, b"".join(touches(lambda at, n: os.pread(file.fileno(), n, at))), **more)
    """)

STREAM = """\
host, port = E["STREAM"].split(":")
started = time.monotonic()
data = bytearray()
with socket.create_connection((host, int(port))) as line:
    while piece := line.recv(1 << 16):
        data += piece
tell(started, bytes(data), latency_p50_s=1e-4, latency_p99_s=2e-4, faults=3)
"""
RANDOM = READ.replace("scan", "some").replace("sequential", "random, accesses: 20")
FRESH = RANDOM.replace("accesses: 20", "accesses: 20, draws: fresh")


@pytest.fixture
def peer(tmp_path: Path):
    """Writes a program that ends in `body` and gives the option that names it."""

    def write(body: str, name: str = "other") -> str:
        path = tmp_path / f"{name}.py"
        path.write_text(HEAD + textwrap.dedent(body))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return f"{name}={path}"

    return write


def one_row(write_suite, tmp_path: Path, option: str, workloads: str = READ, timeout: str = "20s",
            links: str = LOCAL) -> dict[str, str]:
    suite = write_suite(workloads=workloads, links=links, approaches="  - {use: peer:other}", timeout=timeout)
    outcome = memsync("run", suite, "--peer", option, "--out", tmp_path / "out")
    (row,) = outcome.rows
    assert (outcome.code == 0) == (row["status"] == "ok"), outcome.stderr
    return row


def test_a_peer_reads_the_raw_stream_over_the_link(write_suite, tmp_path: Path, peer) -> None:
    row = one_row(write_suite, tmp_path, peer(STREAM), links=FAST)
    assert row["status"] == "ok", row["status_detail"]
    assert row["approach"] == "peer:other" and row["series"] == "other"
    assert row["checked_B"] == "1000003" and row["integrity_ok"] == "1" and row["faults"] == "3"
    assert float(row["latency_p99_s"]) == 2e-4
    assert float(row["duration_s"]) >= 1000003 / 125e6  # the link's rate
    assert float(row["throughput_Bps"]) == pytest.approx(1000003 / float(row["duration_s"]))
    assert int(row["wire_tx_B"]) > 1000003 and float(row["cpu_dst_s"]) > 0


@pytest.mark.parametrize("workload", [READ, RANDOM, FRESH])
def test_a_local_peer_follows_the_trace_through_the_file(write_suite, tmp_path: Path, peer, workload: str) -> None:
    row = one_row(write_suite, tmp_path, peer("honest()"), workload)
    assert row["status"] == "ok", row["status_detail"]
    assert int(row["wire_tx_B"]) < 100_000


def test_a_series_has_its_own_cpu_and_a_link_lets_cpus_sleep(write_suite, tmp_path: Path, peer) -> None:
    suite = write_suite(links="  - {name: asleep, idle: sleep}",
                        approaches="  - {use: peer:other}\n  - {use: peer:other, as: pinned, cpu: 0}\n  - {use: floor, cpu: 0}")
    outcome = memsync("run", suite, "--peer", peer("honest(faults=len(os.sched_getaffinity(0)))"), "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    assert {row["series"]: (row["placement"], row["faults"]) for row in outcome.rows} == {
        "other": ("source=any;destination=any;link=any;idle=sleep", str(len(os.sched_getaffinity(0)))),
        "pinned": ("source=any;destination=0;link=any;idle=sleep", "1"),
        "floor": ("source=any;destination=0;link=any;idle=sleep", ""),
    }


FAILURES = {
    "lies about its bytes": ("tell(time.monotonic() - 0.01, b'x' * 1000003)", "corrupt", "have the digest"),
    "read too little": ("tell(time.monotonic() - 0.01, b'')", "failed", "read 0 B where the accesses are 1000003 B"),
    "lies about its time": ("tell(time.monotonic() - 1e6, open(E['FILE'], 'rb').read())", "failed", "lived for"),
    "is impossibly fast": ("data = open(E['FILE'], 'rb').read()\nprint(json.dumps({'duration_s': 1e-9, 'bytes': len(data), "
                           "'sha256': hashlib.sha256(data).hexdigest()}))", "invalid", "are possible"),
    "garbage": ("print('hello')", "failed", "no JSON object: 'hello'"),
    "a terminal's commands": ("print('\\x1b[2J')", "failed", "no JSON object: '?[2J'"),
    "nothing": ("pass", "failed", "ended without a line"),
    "two lines": ("print('{}'); print('{}')", "failed", "more than one line"),
    "a flood": ("while True: print('x' * 1000)", "failed", "wrote more than 65536 B"),
    "an unknown member": ("honest(durations_s=1)", "failed", "there is no member 'durations_s'"),
    "a traceback": ("raise ValueError('no such luck')", "failed", "exit code 1: ValueError: no such luck"),
    "a signal": ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed", "killed by signal 11"),
    "not here": ("print('no kernel for it', file=sys.stderr); sys.exit(5)", "unsupported", "can't run here: no kernel for it"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_a_peer_does_wrong_is_a_row(write_suite, tmp_path: Path, peer, name: str) -> None:
    body, status, words = FAILURES[name]
    suite = write_suite(approaches="  - {use: peer:other}\n  - {use: floor}")
    outcome = memsync("run", suite, "--peer", peer(body), "--out", tmp_path / "out")
    row = next(row for row in outcome.rows if row["series"] == "other")
    assert (row["status"], words in row["status_detail"]) == (status, True), row["status_detail"]
    assert all(ord(c) >= 0x20 for c in row["status_detail"])
    assert row["throughput_Bps"] == "" and row["duration_s"] == ""
    assert outcome.code == (0 if status == "unsupported" else 4)
    if name == "a signal":
        assert row["signal"] == "11"
    if name == "a traceback":
        assert row["exit_code"] == "1"
        assert "Traceback" in (tmp_path / "out" / row["log_path"]).read_text()


def test_a_peer_that_hangs_is_ended_with_whom_it_started(write_suite, tmp_path: Path, peer) -> None:
    pids = tmp_path / "pids"
    body = f"""\
        child = subprocess.Popen(["sleep", "1000"])
        open({str(pids)!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
        time.sleep(1000)
        """
    row = one_row(write_suite, tmp_path, peer(body), timeout="3s")
    assert row["status"] == "timeout" and "did not end in time" in row["status_detail"]
    for pid in pids.read_text().split():
        assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1][:3]


def test_a_source_part_serves_until_it_is_ended(write_suite, tmp_path: Path, peer) -> None:
    own_server = HEAD.replace("""    sys.exit(0)  # the raw stream is enough
""", """    server = socket.create_server((E["SOURCE"], 7777))
    print("ready", flush=True)
    while True:
        line, _ = server.accept()
        line.sendall(open(E["FILE"], "rb").read())
        line.close()
""")
    path = tmp_path / "own.py"
    path.write_text(own_server + STREAM.replace('E["STREAM"].split(":")', '(E["SOURCE"], 7777)'))
    path.chmod(0o755)
    row = one_row(write_suite, tmp_path, f"other={path}", links=FAST)
    assert row["status"] == "ok", row["status_detail"]


@pytest.mark.parametrize(("name", "tools"), [("iperf3", ["iperf3"]), ("nbdcopy", ["nbdkit", "nbdcopy"])])
def test_the_shipped_adapters_are_peers(write_suite, tmp_path: Path, name: str, tools: list[str]) -> None:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here: scripts/setup peers")
    row = one_row(write_suite, tmp_path, f"other={ROOT / 'scripts' / 'peers' / name}", links=FAST)
    assert row["status"] == "ok", row["status_detail"]
    assert float(row["throughput_Bps"]) <= 1.02 * 125e6


def test_a_source_part_that_fails_is_named(write_suite, tmp_path: Path, peer) -> None:
    path = tmp_path / "bad.py"
    path.write_text(HEAD.replace("sys.exit(0)  #", "sys.exit('no server')  #"))
    path.chmod(0o755)
    row = one_row(write_suite, tmp_path, f"other={path}")
    assert row["status"] == "failed" and "source part ended: exit code 1: no server" in row["status_detail"]


def test_an_absent_peer_is_unsupported_and_its_demand_unmeasured(write_suite, tmp_path: Path, peer) -> None:
    demands = """\
demands:
  - {id: D1, what: ours against theirs, ours: {series: floor, workload: scan, link: local, column: throughput_Bps}, against: {series: other}, required: '>= 0.001', pairs: 2}
  - {id: D2, what: a limit, ours: {series: floor, workload: scan, link: local, column: open_s}, limit: 10 * region_B / 1kB/s, required: <= 1, pairs: 2}
  - {id: D3, what: a miss, ours: {series: floor, workload: scan, link: local, column: open_s}, limit: 1ns, required: <= 1, pairs: 2}
"""
    suite = write_suite(approaches="  - {use: floor}\n  - {use: peer:other}", reps=2, more=demands)
    outcome = memsync("run", suite, "--out", tmp_path / "without")
    assert outcome.code == 0, outcome.stderr
    row = next(row for row in outcome.rows if row["series"] == "other")
    assert row["status"] == "unsupported" and "--peer other=EXECUTABLE" in row["status_detail"]
    with (tmp_path / "without" / "demands.csv").open(newline="") as file:
        absent, limited, missed = csv.DictReader(file)
    assert absent["met"] == "unmeasured" and "--peer other=EXECUTABLE" in absent["note"]
    assert (limited["met"], missed["met"]) == ("yes", "no")
    assert "3 demands: 1 met, 1 missed, 1 unmeasured" in outcome.stdout
    assert memsync("verify", tmp_path / "without").code == 0
    outcome = memsync("run", suite, "--peer", peer("honest()"), "--json", "--out", tmp_path / "with")
    with (tmp_path / "with" / "demands.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["n"] == "2"
    assert len(outcome.stdout.splitlines()) == 2  # the counts and the directory; the table is on stderr
    assert "3 demands:" in outcome.stderr


@pytest.mark.parametrize(("option", "words"), [
    ("other", "write NAME=EXECUTABLE"), ("other=/nowhere", "is no file to execute"), ("otter=/bin/true", "did you mean 'other'?"),
])
def test_a_peer_that_cannot_be_is_refused_before_anything_runs(write_suite, tmp_path: Path, option: str, words: str) -> None:
    suite = write_suite(approaches="  - {use: peer:other}")
    outcome = memsync("run", suite, "--peer", option, "--out", tmp_path / "out")
    assert outcome.code == 64 and words in outcome.stderr
    assert not (tmp_path / "out").exists()


def test_a_resumed_campaign_keeps_its_peers(write_suite, tmp_path: Path, peer) -> None:
    suite = write_suite(approaches="  - {use: peer:other}", reps=2)
    assert memsync("run", suite, "--peer", peer("honest()"), "--rounds", "1", "--out", tmp_path / "out").code == 0
    outcome = memsync("run", "--resume", tmp_path / "out")
    assert outcome.code == 0 and [row["status"] for row in outcome.rows] == ["ok", "ok"]


def test_a_huge_region_is_read_in_part_where_nothing_holds_it(write_suite, tmp_path: Path) -> None:
    huge = "  - {name: huge, does: read, region: 64GiB, content: random, access: random, accesses: 64, source: computed}"
    suite = write_suite(workloads=huge, approaches="  - {use: userfaultfd, with: {prefetch: none}}")
    (row,) = memsync("run", suite, "--out", tmp_path / "out").rows
    assert row["status"] == "ok", row["status_detail"]
    assert row["backend"] == "computed" and row["content_hash"] == "" and row["checked_B"] == str(64 * 4096)
    assert int(row["peak_rss_dst_B"]) < 1 << 30


@pytest.mark.parametrize("draws", ["same", "fresh"])
def test_several_threads_read_their_own_parts(write_suite, tmp_path: Path, draws: str) -> None:
    crowd = READ.replace("sequential", f"random, accesses: 1001, threads: 8, draws: {draws}")
    suite = write_suite(workloads=crowd, approaches="  - {use: userfaultfd}\n  - {use: sigsegv}\n  - {use: floor}")
    for row in memsync("run", suite, "--out", tmp_path / "out").rows:
        assert row["status"] == "ok" and row["accesses"] == "1001", row["status_detail"]
