"""The command line: which verb, which exit code, and never a traceback in a user's face."""

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from memsync_results.exits import Exit, Refusal

# The verbs import what they need when they run: pandas and matplotlib take a second, which
# --help shouldn't cost, and an interrupt within it must end as Exit.INTERRUPTED as well.


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
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    _add_verb(verbs, "plot", _plot, "draw the figures of a campaign",
              "memsync plot results/reference-quick --figure throughput",
              "Writes SVG, PDF and the plotted numbers as CSV.")
    _add_verb(verbs, "report", _report, "draw the figures and write report.html and report.md",
              "memsync report results/reference-quick",
              "The page needs no network. The last line printed is its path.")
    options = parser.parse_args(arguments)
    return options.call(options)


def _add_verb(
    verbs: Any, name: str, call: Callable[[argparse.Namespace], Exit], summary: str,
    example: str, more: str,
) -> None:
    verb = verbs.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}. {more}",
        epilog=f"example: {example}",
    )
    verb.add_argument("results", metavar="RESULTS", type=Path, help="a directory that run wrote")
    if name == "plot":
        verb.add_argument("--out", metavar="DIR", type=Path, help="default: RESULTS/figures")
        verb.add_argument("--figure", metavar="NAME", action="append",
                          help="only this figure; may be repeated")
    verb.add_argument("--json", action="store_true", help="one JSON document on stdout")
    verb.set_defaults(call=call)


def _plot(options: argparse.Namespace) -> Exit:
    from memsync_results import figures
    from memsync_results.cells import cells_of
    from memsync_results.load import load_campaign

    for name in options.figure or []:
        if name not in figures.FIGURES:
            raise Refusal(Exit.USAGE, f"no figure {name}; there are {', '.join(figures.FIGURES)}")
    campaign = load_campaign(options.results)
    _warn(campaign.warnings)
    cells = cells_of(campaign)
    if not any(cell.ok_count for cell in cells):
        raise Refusal(Exit.INCOMPLETE, f"{options.results}: no repetition ended ok, so there is "
                      "nothing to draw; memsync report lists the reasons")
    drawn = figures.draw_all(cells, options.out or options.results / "figures", options.figure)
    if not drawn:
        raise Refusal(Exit.INCOMPLETE, f"{options.results}: no cell holds what was to be drawn")
    if options.json:
        print(json.dumps({
            "results": str(options.results),
            "warnings": campaign.warnings,
            "figures": [
                {"name": drawing.name, "title": drawing.title, "caption": drawing.caption,
                 "svg": str(files.svg), "pdf": str(files.pdf), "csv": str(files.csv)}
                for drawing, files in drawn
            ],
        }, indent=1))
    else:
        for _, files in drawn:
            print(files.svg, files.pdf, files.csv)
    return Exit.OK


def _report(options: argparse.Namespace) -> Exit:
    from memsync_results.report import write_report

    report = write_report(options.results)
    _warn(report.warnings)
    if options.json:
        print(json.dumps(report.summary(), indent=1))
    else:
        print(report.headline)
        print(report.html)
    if not report.ok_repetitions:
        raise Refusal(Exit.INCOMPLETE, f"{options.results}: no repetition ended ok; the report "
                      "lists the reasons")
    return Exit.OK


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        print(f"memsync: warning: {warning}", file=sys.stderr)


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
