"""Judges one results directory against another, and writes and prints what came out."""

import json
import sys
from pathlib import Path

from memsync_results.demands import one_demand
from memsync_results.digests import load_unchanged
from memsync_results.exits import Exit, Refusal
from memsync_results.files import write_whole
from memsync_results.judgement import Judgement, judge_campaigns
from memsync_results.judgement_page import junit, judgement_blocks, one_line
from memsync_results.page import Page, to_markdown
from memsync_results.policy import Policy
from memsync_results.verdicts import EQUIVALENT, NOT_JUDGED, WORDS


def judge_directories(base: Path, head: Path, policy: Policy) -> Judgement:
    """Loads both and judges head. Raises Refusal for what can't be read or compared, and for what
    was changed after its campaign."""
    if base.resolve() == head.resolve():
        raise Refusal(Exit.USAGE, f"{base} is compared with itself: name two campaigns")
    return judge_campaigns(load_unchanged(base), load_unchanged(head), policy)


def write_judgement(judgement: Judgement) -> None:
    """Writes verdicts.json, junit.xml and gate.md into head's directory, each whole or not."""
    folder = judgement.head.directory
    write_whole(folder / "verdicts.json",
                (json.dumps(judgement.as_json(), indent=1) + "\n").encode())
    write_whole(folder / "junit.xml", junit(judgement))
    page = Page(f"memsync gate: {judgement.head.suite_name}", judgement_blocks(judgement))
    write_whole(folder / "gate.md", to_markdown(page).encode())


def print_judgement(judgement: Judgement, as_json: bool) -> None:
    """The outcome on stdout, first and last, what is equal as a count; warnings on stderr."""
    for warning in judgement.warnings:
        print(f"memsync: warning: {warning}", file=sys.stderr)
    if as_json:
        print(json.dumps(judgement.as_json(), indent=1))
        return
    controls = judgement.controls
    print(judgement.headline)
    print(f"controls {controls.stamp}" + "".join(f"; {reason}" for reason in controls.reasons))
    for problem in judgement.problems:
        print(f"{problem.status.upper()} {problem.cell_id}: {problem.sentence}")
    for word in WORDS:
        found = judgement.of_word(word)
        if word in (EQUIVALENT, NOT_JUDGED) and found:
            print(f"{word}: {len(found)} measures of cells (--json shows each)")
        else:
            print("".join(f"{one_line(verdict)}\n" for verdict in found), end="")
    for finding in judgement.missed_demands:
        print(f"MISSED {one_demand(finding)}")
    for note in judgement.notes:
        print(f"note: {note}")
    print(judgement.headline)
