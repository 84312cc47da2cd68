"""Two revisions of this repository in one campaign, round by round in turns.

Whatever drifts on the machine then drifts for both. Each side is an ordinary results directory,
written by its own build; they share nothing but the suite, the seed and the rounds.
"""

import argparse
import csv
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memsync_results.exits import Exit, Refusal
from memsync_results.files import write_whole
from memsync_results.gate import judge_directories, print_judgement, write_judgement
from memsync_results.judgement_page import size_text
from memsync_results.load import load_campaign
from memsync_results.matching import check_comparable
from memsync_results.policy import FEWEST, Policy
from memsync_results.report import write_report
from memsync_results.revisions import ROOT, Build, build_of, last_line, revision_of
from memsync_results.verdicts import rounds_to_tell

SIDES = ("base", "head")
_PILOT_ROUNDS = FEWEST  # after which the noise says how many rounds a verdict needs
_ASKED = "ab.json"  # in the campaign's folder: what was asked, so that --resume asks it again


def run_ab(options: argparse.Namespace, policy: Policy) -> Exit:
    """Builds, runs and judges. Raises Refusal; returns the judgement's exit code."""
    suite = _suite_path(options.suite)
    revisions = {side: revision_of(side, getattr(options, side)) for side in SIDES}
    asked = {"suite": str(suite), **revisions, "rounds": options.rounds, "seed": options.seed,
             "filter": options.filter}
    folder = _folder(options, suite, revisions)
    if options.resume:
        asked |= _resumed(folder, asked)
    builds = [build_of(side, revision) for side, revision in revisions.items()]
    is_controlled = _take_controls(builds)
    asked = {"controls": is_controlled, "interleaved": uuid.uuid4().hex} | asked
    with _resumable(folder):
        if not options.resume:
            folder.mkdir(parents=True)
            write_whole(folder / _ASKED, (json.dumps(asked, indent=1) + "\n").encode())
        print(f"results in {folder}", file=sys.stderr)
        _Turns(asked, builds, folder).run(policy)
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


def _folder(options: argparse.Namespace, suite: Path, revisions: dict[str, str]) -> Path:
    """Where the campaign goes; nothing is made there before everything that can refuse has run."""
    if options.resume and not options.out:
        raise Refusal(Exit.USAGE, "--resume goes on with the campaign in --out: name it")
    if options.out:
        if options.out.exists() and not options.resume:
            raise Refusal(Exit.USAGE, f"{options.out} is there already: choose another folder, or "
                          "go on with it by --resume")
        return options.out.resolve()
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    names = "-".join(revision[:7] for revision in revisions.values())
    return ROOT / "results" / f"{stamp}-ab-{suite.stem}-{names}"


def _resumed(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """What the campaign in `folder` was begun with. Raises Refusal where now something else is
    asked: rows of two revisions or two questions must not be pooled."""
    try:
        begun = json.loads((folder / _ASKED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        begun = None
    if not isinstance(begun, dict) or not asked.keys() <= begun.keys():
        raise Refusal(Exit.USAGE, f"{folder} holds no campaign of memsync ab ({_ASKED}) to go on "
                      "with: begin a new one")
    for key, value in asked.items():
        if begun[key] != value:
            raise Refusal(Exit.USAGE, f"{folder} was begun with {key} {begun[key]}, not {value}: "
                          "--resume asks the same again; begin a new campaign for another question")
    return begun


def _take_controls(builds: list[Build]) -> bool:
    """Whether both can add controls. Raises Refusal where one can't take turns at all."""
    helps = [build.run_help() for build in builds]
    for build, text in zip(builds, helps, strict=True):
        if "--rounds" not in text:
            raise Refusal(Exit.USAGE, f"{build} has no `run --rounds`, which taking turns needs: "
                          "choose a later revision")
    return all("--controls" in text for text in helps)


@contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    """Whatever stops the campaign from outside is told with how to go on."""
    how = f"the same command with --out {folder} --resume goes on"
    try:
        yield
    except KeyboardInterrupt:
        raise Refusal(Exit.INTERRUPTED, f"interrupted; every finished round is kept, {how}"
                      ) from None
    except OSError as error:  # a full disk above all
        where = f": {error.filename}" if error.filename else ""
        raise Refusal(Exit.INTERNAL, f"{error.strerror}{where}; once that is mended, {how}"
                      ) from error


class _Turns:
    """Runs one round of one side, then of the other, until both campaigns are complete."""

    def __init__(self, asked: dict[str, Any], builds: list[Build], folder: Path) -> None:
        self._asked = asked
        self._builds = builds
        self._folder = folder
        self._random = random.Random(asked["seed"] or 1)

    def run(self, policy: Policy) -> None:
        begun = time.monotonic()
        turn = 0
        while left := [build for build in self._builds if not self._is_complete(build)]:
            self._random.shuffle(left)
            for build in left:
                self._round(build)
            turn += 1
            if turn == 1:  # what can't be compared needs no second round
                check_comparable(*(load_campaign(self._folder / side) for side in SIDES))
            self._tell(turn, time.monotonic() - begun)
            if turn == _PILOT_ROUNDS + 1:  # the first is the warm-up
                self._tell_needed(policy)

    def _round(self, build: Build) -> None:
        results = self._folder / build.side
        rows = results / "runs.csv"
        size_before = rows.stat().st_size if rows.exists() else 0
        code, said = self._call(self._command(build, results))
        with (self._folder / f"{build.side}.log").open("a", encoding="utf-8") as log:
            log.write(said)
        if code == Exit.INTERRUPTED:
            raise KeyboardInterrupt
        # Failed and unsupported cells are rows, and the judgement's affair.
        if code not in (Exit.OK, Exit.INCOMPLETE, Exit.UNSUPPORTED):
            told = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
            raise Refusal(Exit.USAGE if code == Exit.USAGE else Exit.INTERNAL,
                          f"{build}: {last_line(said)} ({told})")
        if not (results / "manifest.json").exists():
            raise Refusal(Exit.INTERNAL, f"{build} wrote no campaign: {last_line(said)}")
        self._mark(results)
        if not self._is_complete(build) and rows.stat().st_size == size_before:
            raise Refusal(Exit.INTERNAL, f"{build} ran a round and wrote no row: {last_line(said)}")

    def _command(self, build: Build, results: Path) -> list[str]:
        command = [str(build.program), "run", "--rounds", "1"]
        if (results / "manifest.json").exists():
            return [*command, "--resume", str(results)]
        if results.exists():  # ended before its manifest: nothing was measured
            shutil.rmtree(results)
        command += [self._asked["suite"], "--out", str(results)]
        for flag, key in (("--reps", "rounds"), ("--seed", "seed"), ("--filter", "filter")):
            if self._asked[key] is not None:
                command += [flag, str(self._asked[key])]
        return [*command, *["--controls"] * self._asked["controls"]]

    @staticmethod
    def _call(command: list[str]) -> tuple[int, str]:
        """Exit code and stderr. An interrupt is passed on, and the program ends by itself: what it
        has measured must reach the disk."""
        # Not a pipe: a line that is being read when the interrupt comes would be lost.
        with tempfile.TemporaryFile() as said, subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said
        ) as program:
            try:
                code = program.wait()
            except KeyboardInterrupt:
                program.send_signal(signal.SIGINT)
                program.wait()
                code = Exit.INTERRUPTED
            said.seek(0)
            return code, said.read().decode(errors="replace")

    def _mark(self, results: Path) -> None:
        """Both manifests name the same token: readers then know that the rounds took turns."""
        manifest = self._manifest(results)
        if manifest.get("interleaved") != self._asked["interleaved"]:
            manifest["interleaved"] = self._asked["interleaved"]
            write_whole(results / "manifest.json", (json.dumps(manifest, indent=2) + "\n").encode())

    def _manifest(self, results: Path) -> dict[str, Any]:
        return json.loads((results / "manifest.json").read_text(encoding="utf-8"))

    def _is_complete(self, build: Build) -> bool:
        """Whether every round was run and the manifest marked; an interrupt may come between."""
        results = self._folder / build.side
        if not (results / "manifest.json").exists():
            return False
        manifest = self._manifest(results)
        return bool(manifest.get("complete")) and (
            manifest.get("interleaved") == self._asked["interleaved"])

    def _tell(self, turn: int, elapsed: float) -> None:
        head = self._folder / "head"
        with (head / "runs.csv").open(newline="", encoding="utf-8") as file:
            done = len({row["block"] for row in csv.DictReader(file)})
        total = max(done, int(self._manifest(head).get("reps", 0)) + 1)
        left = elapsed / turn * (total - done)
        print(f"round {done} of about {total}, about {left / 60:.0f}:{left % 60:02.0f} min left",
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
