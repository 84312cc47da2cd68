"""Two revisions in turns, with real git worktrees and a program that imitates `memsync run`."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from memsync_results.tests.conftest import PACKAGE_PARENT

FAKE = PACKAGE_PARENT / "memsync_results" / "tests" / "fake_memsync.py"
BUILD = f"""#!/bin/sh
cd "$(dirname "$0")/.." && mkdir -p build/release
printf '#!/bin/sh\\nexec {sys.executable} {FAKE} %s/behaviour.json "$@"\\n' \\
  "$PWD" >build/release/memsync
chmod +x build/release/memsync
"""
EQUAL = {"model": {"seed": 1}}, {"model": {"seed": 2}}


class Repository:
    """A git repository whose two commits differ in how their program behaves."""

    def __init__(self, root: Path, base: dict[str, Any], head: dict[str, Any]) -> None:
        self.root = root
        self.out = root.parent / "out"
        for folder in ("scripts", "harness/suites"):
            (root / folder).mkdir(parents=True)
        (root / "scripts" / "build").write_text(BUILD)
        (root / "scripts" / "build").chmod(0o755)
        (root / "harness" / "suites" / "tiny.yaml").write_text("schema: 1\nsuite: tiny\n")
        (root / ".gitignore").write_text("/build/\n/scripts/memsync_results\n")
        (root / "scripts" / "memsync_results").symlink_to(PACKAGE_PARENT / "memsync_results")
        self.git("init", "--quiet")
        for behaviour in (base, head):
            (root / "behaviour.json").write_text(json.dumps(behaviour))
            self.git("add", ".")
            self.git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "--message",
                     "behaves otherwise", "--allow-empty")

    def git(self, *arguments: str) -> str:
        return subprocess.run(["git", "-C", str(self.root), *arguments], check=True, text=True,
                              capture_output=True).stdout.strip()

    def start(self, *more: str, base: str = "HEAD~1") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "memsync_results", "ab", "--base", base, "tiny", *more],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(self.root / "scripts")})

    def ab(self, *more: str, base: str = "HEAD~1") -> subprocess.CompletedProcess[str]:
        """Into `out`, unless `more` says otherwise."""
        with self.start(*(more if "--out" in more else ["--out", str(self.out), *more]),
                        base=base) as process:
            out, err = process.communicate(timeout=300)
        assert "Traceback" not in err
        return subprocess.CompletedProcess([], process.returncode, out, err)

    def rows(self, side: str) -> str:
        return (self.out / side / "runs.csv").read_text()

    def judged(self) -> tuple[Any, ...]:
        """What was found, without the names of the folders."""
        found = json.loads((self.out / "head" / "verdicts.json").read_text())
        return found["outcome"], found["exit_code"], found["interleaved"], found["verdicts"]


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The last word, and the only one that is no progress."""
    [said] = [line for line in done.stderr.splitlines() if line.startswith("memsync: ")]
    return said


def test_equal_revisions_take_turns_and_are_told_apart_by_their_worktrees(tmp_path: Path):
    repository = Repository(tmp_path / "repository", *EQUAL)
    done = repository.ab("--rounds", "10")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("GREEN: ")
    assert done.stdout.splitlines()[-1] == str(repository.out)
    assert "one after the other" not in done.stderr
    base = repository.git("rev-parse", "HEAD~1")[:12]
    assert (repository.root / "build" / "ab" / base / "behaviour.json").exists()
    asked = json.loads((repository.out / "head" / "manifest.json").read_text())["argv"]
    assert asked[asked.index("--reps") + 1] == "10" and "--controls" in asked


@pytest.mark.parametrize(("whom", "side"), [("only ab", "base"), ("the terminal", "head")])
def test_an_interrupt_loses_nothing_and_a_resumed_campaign_is_the_same(tmp_path, whom, side):
    whole = Repository(tmp_path / "whole" / "repository", *EQUAL)
    assert whole.ab("--seed", "0").returncode == 3  # 6 rounds are too few for the policy
    meet = tmp_path / "meet"
    os.mkfifo(meet)
    behaviours = [dict(behaviour) for behaviour in EQUAL]
    behaviours[side == "head"] |= {"at_round": 0, "does": "wait", "meet": str(meet)}
    cut = Repository(tmp_path / "cut" / "repository", *behaviours)
    reader = os.open(meet, os.O_RDONLY | os.O_NONBLOCK)
    with cut.start("--out", str(cut.out), "--seed", "0") as process:
        assert select.select([reader], [], [], 300)[0], "it never came to the round"
        if whom == "only ab":
            process.send_signal(signal.SIGINT)
        else:
            os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=300)
    os.close(reader)
    assert process.returncode == 130
    assert f"--out {cut.out} --resume" in err
    assert "every finished repetition is kept" in (cut.out / f"{side}.log").read_text()
    before = cut.rows(side)
    assert cut.ab("--seed", "0", "--resume").returncode == 3
    assert cut.rows(side).startswith(before)
    assert [cut.rows(s) for s in ("base", "head")] == [whole.rows(s) for s in ("base", "head")]
    assert cut.judged() == whole.judged()
    assert cut.judged()[2] is True


@pytest.mark.parametrize(("code", "expected"), [(1, 70), (3, 70), (64, 64), (70, 70), (130, 130)])
def test_a_program_that_fails_ends_the_campaign(tmp_path: Path, code: int, expected: int):
    behaviour = {**EQUAL[1], "at_round": 2, "does": code}
    repository = Repository(tmp_path / "repository", EQUAL[0], behaviour)
    done = repository.ab()
    assert done.returncode == expected
    if code != 130:
        revision = repository.git("rev-parse", "HEAD")[:12]
        assert f"head {revision}: memsync: this is {code} (exit code {code})" in sentence(done)
    assert not (repository.out / "head" / "verdicts.json").exists()


@pytest.mark.parametrize("code", [4, 5])
def test_failed_and_unsupported_cells_are_the_judges_affair(tmp_path: Path, code: int):
    repository = Repository(tmp_path / "repository", EQUAL[0], {**EQUAL[1], "exit": code})
    assert repository.ab().returncode == 3  # 6 rounds are too few for the policy


def test_a_full_disk_is_70_and_the_campaign_goes_on_once_there_is_room(tmp_path: Path):
    behaviours = [{**behaviour, "at_round": 0, "does": "fill"} for behaviour in EQUAL]
    repository = Repository(tmp_path / "repository", *behaviours)
    done = repository.ab()
    assert done.returncode == 70
    assert "No space left on device" in sentence(done)
    assert f"--out {repository.out} --resume" in sentence(done)
    assert repository.ab("--resume").returncode == 70  # the other side's first
    done = repository.ab("--resume")
    assert done.returncode == 3
    assert repository.judged()[2] is True


def test_other_bytes_are_refused_after_one_round_with_both_digests(tmp_path: Path):
    repository = Repository(tmp_path / "repository", *(
        {"model": {"columns": {"content_hash": digest}}} for digest in ("aaa1", "bbb2")))
    done = repository.ab()
    assert done.returncode == 64
    assert "aaa1" in sentence(done) and "bbb2" in sentence(done)
    assert len({row.split(",")[5] for row in repository.rows("head").splitlines()[1:]}) == 1


def test_a_revision_that_can_not_take_turns_is_refused_before_anything_runs(tmp_path: Path):
    repository = Repository(tmp_path / "repository", {"help": "--reps N"}, EQUAL[1])
    done = repository.ab()
    assert done.returncode == 64
    assert "has no `run --rounds`" in sentence(done)
    assert not repository.out.exists()


def test_a_program_that_measures_nothing_is_70_and_not_asked_for_ever(tmp_path: Path):
    behaviour = {**EQUAL[1], "at_round": 1, "does": "idle"}
    done = Repository(tmp_path / "repository", EQUAL[0], behaviour).ab()
    assert done.returncode == 70
    assert "wrote no row" in sentence(done)


def test_what_is_asked_wrongly_is_refused_before_anything_is_built(tmp_path: Path):
    repository = Repository(tmp_path / "repository", *EQUAL)
    out = repository.out
    for arguments, words in (
        (["--rounds", "0"], "no whole number from 1 on"), (["--seed", "-1"], "--seed"),
        (["--head", "absent"], "absent is no revision"),
        (["--resume"], "no campaign of memsync ab"),
    ):
        done = repository.ab(*arguments)
        assert (done.returncode, words in sentence(done)) == (64, True), done.stderr
    out.mkdir()
    assert "is there already" in sentence(repository.ab())
    assert not (repository.root / "build").exists()
    assert list(out.iterdir()) == []


def test_a_resumed_campaign_asks_the_same_again(tmp_path: Path):
    repository = Repository(tmp_path / "repository", *EQUAL)
    assert repository.ab().returncode == 3
    for arguments, base, key in ((["--rounds", "9"], "HEAD~1", "rounds"), ([], "HEAD", "base")):
        done = repository.ab("--resume", *arguments, base=base)
        assert done.returncode == 64
        assert f"was begun with {key}" in sentence(done)


def test_an_edited_worktree_is_not_measured_as_its_revision(tmp_path: Path):
    repository = Repository(tmp_path / "repository", *EQUAL)
    assert repository.ab().returncode == 3
    tree = repository.root / "build" / "ab" / repository.git("rev-parse", "HEAD~1")[:12]
    (tree / "behaviour.json").write_text("{}")
    done = repository.ab("--out", str(tmp_path / "again"))
    assert done.returncode == 70
    assert f"git worktree remove --force {tree}" in sentence(done)
