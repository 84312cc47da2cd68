"""The command line: which verb, which exit code, and never a traceback in a user's face."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from memsync_results import verbs
from memsync_results.exits import Exit, Refusal


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:  # argparse would exit with 2
        raise Refusal(Exit.USAGE, f"{message} ({self.prog} --help shows an example)")


def main(arguments: list[str]) -> int:
    """Runs one verb and returns the process' exit code, whatever happens."""
    try:
        try:
            code = _run(arguments)
        except SystemExit as done:  # --help
            code = Exit.OK if not done.code else Exit.USAGE
        sys.stdout.flush()
        return code
    except Refusal as refusal:
        return _end(refusal.code, str(refusal))
    except KeyboardInterrupt:
        return _end(Exit.INTERRUPTED, "interrupted; what was written before is whole")
    except ModuleNotFoundError as error:
        return _end(Exit.INTERNAL, f"{error}: scripts/setup run installs what is missing")
    except BaseException as error:  # noqa: BLE001  nothing may become Python's exit code 1
        if os.environ.get("MEMSYNC_TRACEBACK") == "1":
            traceback.print_exc()
        return _end(Exit.INTERNAL, f"{_one_line(error)} (MEMSYNC_TRACEBACK=1 shows where)")


def _run(arguments: list[str]) -> Exit:
    parser = _Parser(prog="memsync", description="Verbs that read a results directory.",
                     epilog="example: memsync report results/reference-quick")
    known = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    for add in (_add_demands, _add_plot, _add_report, _add_compare, _add_gate, _add_ab, _add_verify):
        add(known)
    options = parser.parse_args(arguments)
    return options.call(options)


def _add_verb(known: Any, name: str, call: Callable[[argparse.Namespace], Exit], summary: str,
              more: str, example: str) -> argparse.ArgumentParser:
    verb = known.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}. {more}",
        epilog=f"example: {example}",
    )
    verb.add_argument("--json", action="store_true", help="one JSON document on stdout")
    verb.set_defaults(call=call)
    return verb


def _add_demands(known: Any) -> None:
    verb = _add_verb(known, "demands", verbs.demands,
                     "say whether what the suite demands holds",
                     "Writes demands.csv into RESULTS and prints it as a table. Exit code 0 whatever "
                     "is missed: the judge is memsync gate.",
                     "memsync demands results/demands-userfaultfd")
    _results(verb)


def _add_plot(known: Any) -> None:
    verb = _add_verb(known, "plot", verbs.plot, "draw the figures of a campaign",
                     "Writes SVG, PDF and the plotted numbers as CSV; exit code 4 as of report.",
                     "memsync plot results/reference-quick --figure throughput")
    _results(verb)
    verb.add_argument("--out", metavar="DIR", type=Path, help="default: RESULTS/figures")
    verb.add_argument("--figure", metavar="NAME", action="append",
                      help="only this figure; may be repeated")


def _add_report(known: Any) -> None:
    verb = _add_verb(known, "report", verbs.report,
                     "draw the figures and write report.html and report.md",
                     "The page needs no network. The last line printed is its path. It is written "
                     "in any case; exit code 4: a file was changed, a row is torn, or no cell has "
                     "all its repetitions.",
                     "memsync report results/reference-quick")
    _results(verb)
    verb.add_argument("--baseline", metavar="DIR", type=Path,
                      help="a campaign of the same suite; verdicts against it come first")
    _policy(verb)


def _add_compare(known: Any) -> None:
    verb = _add_verb(known, "compare", verbs.compare,
                     "say what changed from one campaign to another",
                     "Both ran the same suite on the same machine. Exit code 1: something is worse "
                     "by more than the tolerance, 3: it can't be told, 4: a cell has no result, or "
                     "a file is not the one that its campaign left.",
                     "memsync compare results/before results/after --delta 5%")
    verb.add_argument("base", metavar="A", type=Path, help="a directory that run wrote")
    verb.add_argument("results", metavar="B", type=Path, help="a later one")
    verb.add_argument("--delta", metavar="SHARE", help="what is too little to matter, of every "
                      "measure; default: the shipped policy")


def _add_gate(known: Any) -> None:
    verb = _add_verb(known, "gate", verbs.gate, "decide whether a campaign may pass",
                     "Writes verdicts.json, junit.xml and gate.md into RESULTS. Exit code 0: "
                     "nothing became worse, 1: a regression or wrong bytes, 3: it can't be told or "
                     "the controls failed, 4: missing or failed cells, files that were changed, or "
                     "nothing to compare with.",
                     "memsync gate results/new --baseline results/old --policy policy.yaml")
    verb.add_argument("results", metavar="RESULTS", type=Path, nargs="?",
                      help="a directory that run wrote")
    verb.add_argument("--baseline", metavar="DIR", type=Path, help="what to compare with")
    _policy(verb)
    verb.add_argument("--annotations", choices=("auto", "github", "none"), default="auto",
                      help="lines that a workflow's log shows beside the code; auto: where "
                      "GITHUB_ACTIONS is true")
    verb.add_argument("--selftest", action="store_true",
                      help="runs a small campaign, plants known faults into copies of it, and is "
                      "red unless each is found")
    verb.add_argument("--trials", metavar="ROUNDS", type=int,
                      help="cuts RESULTS, a long campaign with controls, into campaigns of so many "
                      "rounds, and counts false alarms and planted delays found")
    verb.add_argument("--out", metavar="DIR", type=Path,
                      help="of --selftest: where its campaigns go; default: a new folder in /tmp")


def _add_ab(known: Any) -> None:
    verb = _add_verb(known, "ab", verbs.ab, "compare two revisions of this repository",
                     "Builds both, runs a suite with each in turns, round by round, and judges "
                     "head against base. The last line printed is the results directory, which "
                     "holds the campaigns `base` and `head`. A revision that is not this tree as "
                     "it stands is built in a git worktree, build/ab/REVISION, which is kept for "
                     "the next time; git worktree remove --force deletes one.",
                     "memsync ab --base main~1 --head main quick --rounds 20")
    verb.add_argument("suite", metavar="SUITE", help="a name (memsync list) or a path")
    verb.add_argument("--base", metavar="REV", required=True, help="the revision to compare with")
    verb.add_argument("--head", metavar="REV", default="HEAD", help="default: HEAD")
    verb.add_argument("--rounds", metavar="N", type=_at_least(1),
                      help="default: the suite's repetitions")
    verb.add_argument("--filter", metavar="E", help="as of memsync run")
    verb.add_argument("--seed", metavar="S", type=_at_least(0), help="as of memsync run")
    verb.add_argument("--out", metavar="DIR", type=Path, help="default: a new folder in results")
    verb.add_argument("--resume", action="store_true",
                      help="goes on with the campaign in --out; everything else is as it was begun")
    _policy(verb)


def _add_verify(known: Any) -> None:
    verb = _add_verb(known, "verify", verbs.verify,
                     "check that a results directory is whole and unchanged",
                     "Compares the files with the manifest's digests, the rows with the plan, and "
                     "every value with the schema. Exit code 4: something is missing or differs.",
                     "memsync verify results/reference-quick")
    _results(verb)


def _at_least(least: int) -> Callable[[str], int]:
    """An argparse type: a whole number that is not below `least`."""

    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and int(text) >= least):
            raise argparse.ArgumentTypeError(f"'{text}' is no whole number from {least} on")
        return int(text)

    return number


def _results(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("results", metavar="RESULTS", type=Path, help="a directory that run wrote")


def _policy(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--policy", metavar="FILE", type=Path,
                      help="tolerances per measure; default: the shipped one")


def _end(code: Exit, sentence: str) -> int:
    try:
        print(f"memsync: {sentence}", file=sys.stderr, flush=True)
    except OSError:
        pass
    # Whoever read stdout may be gone; the interpreter's last flush must not exit with 120.
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return code


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
