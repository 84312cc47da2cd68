"""What people get wrong: one sentence that names what, where and what to do; exit code 64."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import LOCAL, READ, memsync

CASES = {
    "no verb": ([], 64, "see memsync --help"),
    "unknown verb": (["rnu"], 64, "rnu"),
    "unknown flag": (["run", "quick", "--rep", "3"], 64, "--rep"),
    "unknown suite": (["run", "quik"], 64, "quick"),
    "missing suite file": (["run", "./nowhere.yaml"], 64, "nowhere.yaml"),
    "neither suite nor resume": (["run"], 64, "memsync run quick"),
    "both": (["run", "quick", "--resume", "x"], 64, "not both"),
    "zero reps": (["run", "quick", "--reps", "0"], 64, "--reps"),
    "negative seed": (["run", "quick", "--seed", "-1"], 64, "-1"),
    "resume with another question": (["run", "--resume", "x", "--reps", "3"], 64, "as it began"),
    "resume with controls": (["run", "--resume", "x", "--controls"], 64, "as it began"),
    "bad budget": (["run", "quick", "--time-budget", "10"], 64, "'10' is no duration"),
    "bad filter": (["run", "quick", "--filter", "link=wlan"], 64, "wlan"),
    "missing content": (["run", "quick", "--content", "/nonexistent"], 64, "/nonexistent"),
    "content is a folder": (["run", "quick", "--content", "/tmp"], 64, "/tmp"),
    "resume of nothing": (["run", "--resume", "/nonexistent"], 64, "/nonexistent"),
    "one agent of two": (["run", "quick", "--source-agent", "127.0.0.1:1"], 64, "--destination-agent"),
    "agent without address": (["agent"], 64, "--listen"),
    "unknown link": (["calibrate", "lam"], 64, "lan"),
    "unknown engine": (["calibrate", "lan", "--engine", "tum"], 64, "tum"),
    "report of nothing": (["report", "/nonexistent"], 4, "/nonexistent"),
}


@pytest.mark.parametrize("name", CASES)
def test_command_line(name: str) -> None:
    arguments, code, text = CASES[name]
    outcome = memsync(*arguments)
    assert outcome.code == code, outcome
    assert text in outcome.stderr
    assert len(outcome.stderr.strip().splitlines()) <= 2, outcome.stderr


SUITES = {
    "unknown key": ({"more": "repps: 3\n"}, "repps"),
    "duplicate key": ({"more": "reps: 3\n"}, "reps"),
    "unknown approach": ({"approaches": "  - {use: userfaulfd}"}, "userfaultfd"),
    "duplicate label": ({"approaches": "  - {use: floor}\n  - {use: floor}"}, "floor"),
    "unknown option": ({"approaches": "  - {use: userfaultfd, with: {prefetsh: none}}"}, "prefetch"),
    "bad planted delay": ({"approaches": "  - {use: floor, with: {planted_delay: 5}}"}, "planted_delay"),
    "bad unit": ({"workloads": READ.replace("1000003B", "1000003")}, "1000003"),
    "region 0": ({"workloads": READ.replace("1000003B", "0B")}, "region"),
    "odd chunk": ({"workloads": READ.replace("content: random", "chunk: 5000B")}, "power of two"),
    "reps 0": ({"reps": 0}, "reps"),
    "missing content": ({"workloads": READ.replace("random", "file:nowhere.bin")}, "nowhere.bin"),
    "unknown profile": ({"links": "  - {use: wlan}"}, "wan"),
    "estimate above the timeout": (
        {
            "workloads": "  - {name: scan, does: read, region: 256MiB, access: random, accesses: 60000}",
            "links": "  - {use: wan}",
            "approaches": "  - {use: userfaultfd, with: {prefetch: none}}",
        },
        "accesses",
    ),
}


@pytest.mark.parametrize("name", SUITES)
def test_suite(write_suite, tmp_path: Path, name: str) -> None:
    parts, text = SUITES[name]
    suite = write_suite(**parts)
    outcome = memsync("run", suite, "--out", tmp_path / "out")
    assert outcome.code == 64, outcome
    assert str(suite) in outcome.stderr and text in outcome.stderr
    assert not (tmp_path / "out").exists(), "something ran"


def test_an_empty_content_file_is_refused(write_suite, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    outcome = memsync("run", write_suite(), "--content", empty, "--out", tmp_path / "out")
    assert outcome.code == 64 and "empty" in outcome.stderr


def test_results_are_never_overwritten(write_suite, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "file").touch()
    outcome = memsync("run", write_suite(links=LOCAL), "--out", taken)
    assert outcome.code == 64 and "never overwritten" in outcome.stderr


VERBS = ["", "run", "doctor", "list", "plan", "calibrate", "clean", "agent", "plot", "report"]


@pytest.mark.parametrize("verb", [*VERBS, "serve", "pull"])
def test_help_has_an_example(verb: str) -> None:
    outcome = memsync(*filter(None, [verb]), "--help")
    assert outcome.code == 0
    assert "xample" in outcome.stdout
