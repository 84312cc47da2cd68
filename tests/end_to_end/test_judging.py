"""Campaigns made to be compared: rounds in turns, verified directories, a nightly gate."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from conftest import FAST, READ, ROOT, memsync, read_rows

NIGHTLY = ROOT / "scripts" / "examples" / "nightly"


def test_rounds_stop_a_campaign_between_rounds_and_resume_goes_on(write_suite, tmp_path: Path) -> None:
    suite = write_suite(approaches="  - {use: tcp_copy}\n  - {use: floor}", workloads=READ, links=FAST, reps=3, warmup=1)
    out = tmp_path / "out"
    outcome = memsync("run", suite, "--out", out, "--rounds", 2)
    assert outcome.code == 0, outcome.stderr
    assert sorted({row["block"] for row in read_rows(out)}) == ["1", "2"]
    assert not json.loads((out / "manifest.json").read_text())["complete"]
    assert memsync("run", "--resume", out, "--rounds", 1).code == 0
    assert len(read_rows(out)) == 6
    assert memsync("run", "--resume", out).code == 0
    rows = read_rows(out)
    assert len(rows) == 8 == len({row["run_id"] for row in rows})
    assert json.loads((out / "manifest.json").read_text())["complete"]


def test_a_campaign_verifies_until_a_byte_of_it_is_changed(write_suite, tmp_path: Path) -> None:
    suite = write_suite(approaches="  - {use: tcp_copy}", workloads=READ, links=FAST, reps=2, warmup=1)
    out = tmp_path / "out"
    assert memsync("run", suite, "--out", out).code == 0
    outcome = memsync("verify", out)
    assert outcome.code == 0, outcome.stdout
    path = out / "runs.csv"
    text = path.read_text()
    column = text.splitlines()[0].split(",").index("throughput_Bps")
    fields = text.splitlines()[-1].split(",")
    path.write_text(text.replace(fields[column], "1" + fields[column]))
    outcome = memsync("verify", out)
    assert outcome.code == 4
    assert "runs.csv was changed after the campaign" in outcome.stdout


def test_the_nightly_example_makes_a_baseline_and_then_gates(write_suite, tmp_path: Path) -> None:
    suite = write_suite(approaches="  - {use: tcp_copy}", workloads=READ, links=FAST, reps=6, warmup=1)
    policy = tmp_path / "policy.yaml"
    policy.write_text("schema: 1\nfewest_pairs: 6\nmeasures: {throughput_Bps: 500%, wire_tx_B: 50%}\n")
    nightly = [NIGHTLY, suite, "nights", policy]  # a relative folder is one, too
    first = subprocess.run(nightly, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "is the baseline" in first.stdout
    second = subprocess.run(nightly, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "GREEN: 2 EQUIVALENT" in second.stdout
    baseline = (tmp_path / "nights" / "baseline").resolve()
    assert (baseline / "junit.xml").exists()
    assert (baseline / "report.html").exists()


@pytest.mark.parametrize("words", [[], ["regression"], ["a", "b", "c", "d"]])
def test_the_nightly_example_says_how_it_is_called(words: list[str]) -> None:
    done = subprocess.run([NIGHTLY, *words], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (64, "")
    assert "scripts/examples/nightly SUITE FOLDER [POLICY]" in done.stderr


def test_an_edited_campaign_is_never_judged(write_suite, tmp_path: Path) -> None:
    suite = write_suite(approaches="  - {use: tcp_copy}", workloads=READ, links=FAST, reps=2, warmup=0)
    good, edited = tmp_path / "good", tmp_path / "edited"
    for out in (good, edited):
        assert memsync("run", suite, "--out", out).code == 0
    rows = read_rows(edited)
    text = (edited / "runs.csv").read_text()
    (edited / "runs.csv").write_text(text.replace(rows[-1]["throughput_Bps"], "-5"))
    outcome = memsync("gate", edited, "--baseline", good)
    assert (outcome.code, outcome.stdout) == (4, "")
    assert "runs.csv was changed after the campaign" in outcome.stderr
    assert f"memsync verify {edited}" in outcome.stderr


def test_verbs_that_judge_say_what_they_lack(tmp_path: Path) -> None:
    for words, code, sentence in [
        (["compare", "a"], 64, "--help"),
        (["gate", tmp_path], 4, "--baseline"),
        (["gate"], 64, "RESULTS"),
        (["verify", tmp_path], 4, "registry.json is missing"),
        (["ab", "--base", "no-such-revision", "quick"], 64, "no-such-revision is no revision"),
        (["ab", "--base", "HEAD", "no-such-suite"], 64, "no suite no-such-suite"),
    ]:
        outcome = memsync(*words)
        assert (outcome.code, "Traceback" in outcome.stderr) == (code, False), outcome.stderr
        assert sentence in outcome.stderr
