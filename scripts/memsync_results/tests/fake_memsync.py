"""Stands for a revision's `memsync run` in tests: a synthetic campaign, let out round by round.

Started as `fake_memsync.py BEHAVIOUR run …`. BEHAVIOUR is a JSON file:
  model      keyword arguments of synthetic.Model
  help       what `run --help` prints
  at_round   the round, from 0, in which `does` happens, once
  does       an exit code after a sentence; "wait": half the round's rows, then a byte into the
             FIFO `meet` and the wait for an interrupt; "fill": the next write of the manifest finds
             a full disk; "idle": no row
"""

import argparse
import csv
import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any


def main(behaviour_file: Path, arguments: list[str]) -> int:
    """Runs one round, or whatever the behaviour says, and returns the exit code."""
    behaviour = json.loads(behaviour_file.read_text(encoding="utf-8"))
    if "--help" in arguments:
        print(behaviour.get("help", "--rounds N  --controls"))
        return 0
    parser = argparse.ArgumentParser()
    parser.add_argument("suite", nargs="?")
    for flag in ("--out", "--resume"):
        parser.add_argument(flag, type=Path)
    for flag in ("--reps", "--rounds"):
        parser.add_argument(flag, type=int)
    for flag in ("--seed", "--filter"):
        parser.add_argument(flag)
    parser.add_argument("--controls", action="store_true")
    options = parser.parse_args(arguments[1:])
    results = options.resume or options.out
    if behaviour.get("does") == "wait":  # before numpy starts threads, which inherit it
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    if options.out:
        _begin(results, options, behaviour)
    return _round(results, behaviour)


def _begin(results: Path, options: argparse.Namespace, behaviour: dict[str, Any]) -> None:
    from memsync_results.tests import synthetic  # and with it numpy: only where it is needed

    synthetic.WORKLOADS[1:] = []
    synthetic.write_campaign(results, synthetic.Model(**{
        "links": [("lan", 125e6, 0.001)], "noise": 0.015, "reps": options.reps or 6,
        "controls": options.controls, **behaviour.get("model", {})}))
    header, *rows = (results / "runs.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    block = next(csv.reader([header])).index("block")
    rows.sort(key=lambda row: int(next(csv.reader([row]))[block]))
    (results / "all.csv").write_text("".join(rows), encoding="utf-8")
    (results / "runs.csv").write_text(header, encoding="utf-8")
    _change_manifest(results, complete=False, files=None, reps=options.reps or 6,
                     argv=sys.argv[2:])


def _round(results: Path, behaviour: dict[str, Any]) -> int:
    """Writes the rows of the round that is next, or the rest of one that was interrupted."""
    rows = (results / "all.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    written = (results / "runs.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    manifest = json.loads((results / "manifest.json").read_text(encoding="utf-8"))
    per_round = len(rows) // (manifest["reps"] + 1)
    done = len(written) - 1
    round_end = (done // per_round + 1) * per_round
    does = behaviour.get("does") if done // per_round == behaviour.get("at_round") else None
    if does is not None and not (results / "done_once").exists():
        (results / "done_once").touch()
        if does == "wait":
            return _wait(results, rows[done:round_end - per_round // 2], Path(behaviour["meet"]))
        if does == "idle":
            return 0
        if does == "fill":
            (results / ".manifest.json.half").symlink_to("/dev/full")
        else:
            print(f"memsync: a synthetic end\nmemsync: this is {does}", file=sys.stderr)
            return int(does)
    _append(results, rows[done:round_end])
    _change_manifest(results, complete=round_end >= len(rows), files=_digests(results))
    return behaviour.get("exit", 0)


def _wait(results: Path, rows: list[str], meet: Path) -> int:
    _append(results, rows)
    with meet.open("wb", buffering=0) as fifo:
        fifo.write(b"!")
    signal.sigwait({signal.SIGINT})
    print("interrupted; every finished repetition is kept", file=sys.stderr)
    return 130


def _append(results: Path, rows: list[str]) -> None:
    with (results / "runs.csv").open("a", encoding="utf-8") as file:
        file.writelines(rows)


def _digests(results: Path) -> dict[str, str]:
    return {name: hashlib.sha256((results / name).read_bytes()).hexdigest()
            for name in ("plan.csv", "runs.csv", "suite.yaml", "schema.json", "registry.json")}


def _change_manifest(results: Path, **changes: Any) -> None:
    path = results / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8")) | changes
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(manifest), encoding="utf-8")
    os.replace(draft, path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
