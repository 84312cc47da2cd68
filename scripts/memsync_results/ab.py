"""Two revisions of this repository in one campaign, round by round in turns.

Whatever drifts on the machine then drifts for both. Each side is an ordinary results directory,
written by its own build; they share nothing but the suite, the seed and the rounds.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from memsync_results.files import write_whole
from memsync_results.exits import Exit, Refusal
from memsync_results.gate import judge_directories, print_judgement, write_judgement
from memsync_results.judgement_page import size_text
from memsync_results.load import load_campaign
from memsync_results.policy import FEWEST, Policy
from memsync_results.report import write_report
from memsync_results.verdicts import rounds_to_tell

ROOT = Path(__file__).parents[2]
SIDES = ("base", "head")
_PILOT_ROUNDS = FEWEST  # after which the noise says how many rounds a verdict needs


@dataclass(frozen=True)
class Build:
    """One side's program."""

    side: str
    revision: str  # 40 digits
    program: Path


def run_ab(options: argparse.Namespace, policy: Policy) -> Exit:
    """Builds, runs and judges. Raises Refusal; returns the judgement's exit code."""
    suite = _suite_path(options.suite)
    builds = [_build(side, getattr(options, side)) for side in SIDES]
    folder = _folder(options, suite, builds)
    campaign = _Turns(options, suite, builds, folder)
    campaign.run(policy)
    judgement = judge_directories(folder / "base", folder / "head", policy)
    write_judgement(judgement)
    report = write_report(folder / "head", load_campaign(folder / "base"), policy)
    print_judgement(judgement, options.json)
    if not options.json:
        print(report.html)
        print(folder)
    return judgement.exit


def _suite_path(suite: str) -> Path:
    """One file for both sides, so that a suite changed meanwhile is no difference of the code."""
    named = ROOT / "harness" / "suites" / f"{suite}.yaml"
    path = named if re.fullmatch(r"[A-Za-z0-9-]+", suite) else Path(suite)
    if not path.is_file():
        raise Refusal(Exit.USAGE, f"no suite {suite}: give a path or one of "
                      + ", ".join(sorted(p.stem for p in named.parent.glob("*.yaml"))))
    return path.resolve()


def _build(side: str, revision: str) -> Build:
    """The program of a revision: this tree's own where it is that revision, else a worktree's."""
    sha = _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if not sha:
        raise Refusal(Exit.USAGE, f"--{side}: {revision} is no revision of {ROOT}")
    is_here = sha == _git("rev-parse", "HEAD") and not _git(
        "status", "--porcelain", "--untracked-files=no")
    tree = ROOT if is_here else ROOT / "build" / "ab" / sha[:12]
    if not (tree / "CMakeLists.txt").exists():
        _git("worktree", "prune")
        made = subprocess.run(["git", "-C", str(ROOT), "worktree", "add", "--detach", "--force",
                               str(tree), sha], capture_output=True, text=True, check=False)
        if made.returncode:
            raise Refusal(Exit.INTERNAL, f"no tree of {revision}: {_last_line(made.stderr)}")
    print(f"building {side} {sha[:12]} in {tree}", file=sys.stderr)
    built = subprocess.run([str(tree / "scripts" / "build"), "release", "memsync", "memsync-link"],
                           capture_output=True, text=True, check=False)
    if built.returncode:
        raise Refusal(Exit.INTERNAL, f"{side} {sha[:12]} does not build: "
                      f"{_last_line(built.stderr)}")
    return Build(side, sha, tree / "build" / "release" / "memsync")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True,
                          check=False)
    return done.stdout.strip()


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _folder(options: argparse.Namespace, suite: Path, builds: list[Build]) -> Path:
    if options.resume and not options.out:
        raise Refusal(Exit.USAGE, "--resume goes on with the campaign in --out: name it")
    if options.out:
        if options.out.exists() and not options.resume:
            raise Refusal(Exit.USAGE, f"{options.out} is there already: choose another folder, or "
                          "go on with it by --resume")
        folder = options.out
    else:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        names = "-".join(build.revision[:7] for build in builds)
        folder = ROOT / "results" / f"{stamp}-ab-{suite.stem}-{names}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


class _Turns:
    """Runs one round of one side, then of the other, until both campaigns are complete."""

    def __init__(self, options: argparse.Namespace, suite: Path, builds: list[Build],
                 folder: Path) -> None:
        self._options = options
        self._suite = suite
        self._builds = builds
        self._folder = folder
        self._random = random.Random(options.seed or 1)
        self._token = uuid.uuid4().hex
        self._is_controlled = all("--controls" in self._flags(build) for build in builds)

    def run(self, policy: Policy) -> None:
        begun = time.monotonic()
        turn = 0
        while True:
            left = [build for build in self._builds if not self._is_complete(build)]
            if not left:
                return
            self._random.shuffle(left)
            for build in left:
                self._round(build)
            turn += 1
            self._tell(turn, time.monotonic() - begun)
            if turn == _PILOT_ROUNDS + 1:  # the first is the warm-up
                self._tell_needed(policy)

    def _flags(self, build: Build) -> str:
        """What `run` of a build understands; an older one may lack what turns need."""
        text = subprocess.run([str(build.program), "run", "--help"], capture_output=True, text=True,
                              check=False).stdout
        if "--rounds" not in text:
            raise Refusal(Exit.USAGE, f"{build.side} {build.revision[:12]} has no `run --rounds`, "
                          "which taking turns needs: choose a later revision")
        return text

    def _round(self, build: Build) -> None:
        results = self._folder / build.side
        command = [str(build.program), "run"]
        if (results / "manifest.json").exists():
            command += ["--resume", str(results)]
        else:
            command += [str(self._suite), "--out", str(results)]
            for flag, value in (("--reps", self._options.rounds), ("--seed", self._options.seed),
                                ("--filter", self._options.filter)):
                if value:
                    command += [flag, str(value)]
            if self._is_controlled:
                command.append("--controls")
        command += ["--rounds", "1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        with (self._folder / f"{build.side}.log").open("a", encoding="utf-8") as log:
            log.write(done.stderr)
        if done.returncode == Exit.INTERRUPTED:
            raise KeyboardInterrupt
        # Failed and unsupported cells are rows, and the judgement's affair.
        if done.returncode not in (Exit.OK, Exit.INCOMPLETE, Exit.UNSUPPORTED):
            raise Refusal(Exit(done.returncode) if done.returncode in set(Exit) else Exit.INTERNAL,
                          f"{build.side} {build.revision[:12]}: {_last_line(done.stderr)}")
        self._mark(results)

    def _mark(self, results: Path) -> None:
        """Both manifests name each other's token: readers then know that the rounds took turns."""
        manifest = self._manifest(results)
        if "interleaved" in manifest:
            self._token = manifest["interleaved"]
            return
        manifest["interleaved"] = self._token
        write_whole(results / "manifest.json", (json.dumps(manifest, indent=2) + "\n").encode())

    def _manifest(self, results: Path) -> dict:
        return json.loads((results / "manifest.json").read_text(encoding="utf-8"))

    def _is_complete(self, build: Build) -> bool:
        results = self._folder / build.side
        return (results / "manifest.json").exists() and bool(
            self._manifest(results).get("complete"))

    def _tell(self, turn: int, elapsed: float) -> None:
        manifest = self._manifest(self._folder / "head")
        total = int(manifest.get("reps", 0)) + 1
        left = elapsed / turn * max(0, total - turn)
        print(f"round {turn} of about {total}, about {left / 60:.0f}:{left % 60:02.0f} min left",
              file=sys.stderr)

    def _tell_needed(self, policy: Policy) -> None:
        """How many rounds a verdict will need, as far as the first ones tell."""
        judgement = judge_directories(self._folder / "base", self._folder / "head",
                                      replace(policy, fewest_pairs=FEWEST))
        planned = int(self._manifest(self._folder / "head").get("reps", 0))
        for verdict in judgement.verdicts:
            effect = verdict.effect
            needed = rounds_to_tell(effect)
            if not effect.tolerance.advisory and not verdict.is_exact and needed > planned:
                print(f"{effect.pair.head.cell_id} {effect.measure.column}: to tell "
                      f"{size_text(verdict, effect.bound)} about {needed} rounds are needed, "
                      f"{planned} are planned", file=sys.stderr)
