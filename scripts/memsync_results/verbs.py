"""What each verb does. Modules are imported when a verb runs: pandas and matplotlib take a second,
which --help shouldn't cost, and an interrupt within it must end as Exit.INTERRUPTED as well."""

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING

from memsync_results.exits import Exit, Refusal

if TYPE_CHECKING:
    from memsync_results.standing import Standing


def plot(options: argparse.Namespace) -> Exit:
    from memsync_results import figures
    from memsync_results.cells import cells_of
    from memsync_results.load import load_campaign
    from memsync_results.standing import standing_of

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
            "warnings": campaign.warnings,
            "figures": [one.as_json() for one in drawn],
        }, indent=1))
    else:
        for one in drawn:
            print(one.svg, one.pdf, one.csv)
    return _ending(options, standing_of(campaign, cells))


def demands(options: argparse.Namespace) -> Exit:
    from memsync_results.cells import cells_of
    from memsync_results.demands import headline, judge_demands, table_text, write_demands
    from memsync_results.load import load_campaign
    from memsync_results.standing import DAMAGED, standing_of

    campaign = load_campaign(options.results)
    _warn(campaign.warnings)
    cells = cells_of(campaign)
    findings = judge_demands(campaign, cells)
    if not findings:
        raise Refusal(Exit.USAGE, f"{options.results}: its suite has no `demands`")
    standing = standing_of(campaign, cells)
    if DAMAGED in standing.words:
        raise Refusal(Exit.INCOMPLETE, f"{options.results}: {standing.faults[0]}; nothing is said "
                      "of its demands")
    write_demands(options.results, findings)
    if options.json:
        print(json.dumps([finding.record() for finding in findings], indent=1))
    else:
        print(table_text(findings))
        print(standing.before(headline(findings)))
    return Exit.OK  # an instrument; the judge is the gate


def report(options: argparse.Namespace) -> Exit:
    from memsync_results.digests import load_unchanged
    from memsync_results.policy import load_policy
    from memsync_results.report import write_report

    baseline = load_unchanged(options.baseline) if options.baseline else None
    written = write_report(options.results, baseline, load_policy(options.policy))
    _warn(written.warnings)
    if options.json:
        print(json.dumps(written.summary(), indent=1))
    else:
        print(written.headline)
        print(written.html)
    return _ending(options, written.standing)


def compare(options: argparse.Namespace) -> Exit:
    from memsync_results.gate import judge_directories, print_judgement
    from memsync_results.policy import load_policy, parse_share, simple_policy

    if options.delta is None:
        policy = load_policy(None)
    else:
        try:
            policy = simple_policy(parse_share(options.delta))
        except ValueError as error:
            raise Refusal(Exit.USAGE, f"--delta: {error}") from None
    judgement = judge_directories(options.base, options.results, policy)
    print_judgement(judgement, options.json)
    return judgement.exit


def gate(options: argparse.Namespace) -> Exit:
    from memsync_results.gate import judge_directories, print_judgement, write_judgement
    from memsync_results.judgement_page import annotations
    from memsync_results.policy import load_policy

    if options.selftest:
        from memsync_results.selftest import run_selftest

        return run_selftest(options.out, options.json)
    if options.results is None:
        raise Refusal(Exit.USAGE, "name the RESULTS to judge, or --selftest (memsync gate --help "
                      "shows an example)")
    if options.trials is not None:
        return _trials(options)
    if options.baseline is None:
        raise Refusal(Exit.INCOMPLETE, "there is nothing to compare with: name a campaign of the "
                      "same suite on this machine with --baseline")
    judgement = judge_directories(options.baseline, options.results, load_policy(options.policy))
    write_judgement(judgement)
    print_judgement(judgement, options.json)
    on_github = os.environ.get("GITHUB_ACTIONS") == "true"
    if options.annotations == "github" or (options.annotations == "auto" and on_github):
        # Beside --json stdout holds one document only; the workflow log reads both streams.
        print("\n".join(annotations(judgement)), file=sys.stderr if options.json else sys.stdout)
    return judgement.exit


def _trials(options: argparse.Namespace) -> Exit:
    from memsync_results.digests import load_unchanged
    from memsync_results.policy import FEWEST, load_policy
    from memsync_results.trials import rates

    if options.trials < FEWEST:
        raise Refusal(Exit.USAGE, f"--trials: a campaign that can be judged has at least {FEWEST} "
                      "rounds")
    found = rates(load_unchanged(options.results), load_policy(options.policy), options.trials)
    if not found:
        raise Refusal(Exit.INCOMPLETE, f"{options.results} has no controls to try the gate on: "
                      "run it with --controls")
    if options.json:
        print(json.dumps([vars(rate) for rate in found], indent=1))
    else:
        print("\n".join(map(str, found)))
    return Exit.OK


def ab(options: argparse.Namespace) -> Exit:
    from memsync_results.ab import run_ab
    from memsync_results.policy import load_policy

    return run_ab(options, load_policy(options.policy))


def verify(options: argparse.Namespace) -> Exit:
    from memsync_results.verify import verify_directory

    findings = verify_directory(options.results)
    if options.json:
        print(json.dumps({"ok": not findings, "findings": findings}, indent=1))
    else:
        print("\n".join(findings) if findings else f"{options.results} is whole and unchanged")
    return Exit.INCOMPLETE if findings else Exit.OK


def _ending(options: argparse.Namespace, standing: "Standing") -> Exit:
    """Everything is written; what can't be relied on ends with 4 all the same."""
    if standing.faults:
        raise Refusal(Exit.INCOMPLETE, f"{options.results}: {standing.faults[0]}")
    return Exit.OK


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        print(f"memsync: warning: {warning}", file=sys.stderr)
