"""The report: what was asked, what came out, and how to check it. Content only; see page.py."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memsync_results import figures
from memsync_results.answers import answer_blocks, head_of, plain_answers, word_of
from memsync_results.cells import Cell, cells_of
from memsync_results.commands import command_blocks, program
from memsync_results.comparing import WINS, Outcome, outcomes
from memsync_results.controls import examine_controls
from memsync_results.demands import demand_blocks, judge_demands
from memsync_results.drawing import GRID, INK, PAPER, Drawn, workload_label
from memsync_results.files import write_whole
from memsync_results.glossary import glossary_blocks
from memsync_results.hard_links import hard_link_blocks
from memsync_results.judgement import Judgement, judge_campaigns
from memsync_results.judgement_page import control_blocks, judgement_blocks
from memsync_results.load import Campaign, load_campaign
from memsync_results.measures import COSTS, SHOWN, Measure
from memsync_results.noise import noise_blocks
from memsync_results.page import (
    Block, Code, Heading, Page, Paragraph, Picture, Strong, Table, to_html, to_markdown,
)
from memsync_results.policy import Policy, load_policy
from memsync_results.provenance import calibration_blocks, environment_blocks
from memsync_results.receivers import receiver_blocks
from memsync_results.standing import DAMAGED, Standing, standing_of
from memsync_results.statistics import FEWEST_FOR_INTERVAL, MedianInterval
from memsync_results.units import interval
from memsync_results.winners import loser_blocks, winner_blocks

COLOURS = {
    INK: "--ink",
    "#000000": "--ink",  # a black series must be seen on a dark page; see page.css too
    PAPER: "--paper",
    GRID: "--line",
    **{colour: f"--phase-{phase.removesuffix('_s')}"
       for phase, (colour, _) in figures.PHASE_LOOKS.items()},
}


@dataclass(frozen=True)
class Report:
    """What was written, and what `--json` says of it."""

    html: Path
    markdown: Path
    headline: str
    warnings: list[str]
    cells: list[Cell]
    drawn: list[Drawn]
    standing: Standing
    outcomes: list[Outcome]

    def summary(self) -> dict[str, Any]:
        return {
            "report_html": str(self.html), "report_md": str(self.markdown),
            "headline": self.headline, "warnings": self.warnings,
            "faults": self.standing.faults, "notes": self.standing.notes,
            "figures": [drawn.as_json() for drawn in self.drawn],
            "answers": plain_answers(self.outcomes),
            "outcomes": [outcome.as_json() for outcome in self.outcomes],
            "cells": [_cell_summary(cell) for cell in self.cells],
        }


def write_report(
    directory: Path, baseline: Campaign | None = None, policy: Policy | None = None
) -> Report:
    """Draws the figures and writes report.html and report.md into `directory`.

    With a `baseline` the verdicts against it come first; `policy` says what matters then.
    Writes a report of a campaign without one ok row too: its reasons are what one needs then.
    Raises Refusal for a directory that can't be read (see load_campaign).
    """
    campaign = load_campaign(directory)
    cells = cells_of(campaign)
    with figures.drawing(cells, directory / "figures") as wait_for_figures:
        standing = standing_of(campaign, cells)
        headline = standing.before(_headline(cells))
        policy = policy or load_policy(None)
        # What was changed afterwards is shown and not judged.
        is_judged = baseline is not None and DAMAGED not in standing.words
        judgement = judge_campaigns(baseline, campaign, policy) if is_judged else None
        found = outcomes(cells, policy)
        drawn = wait_for_figures()
    blocks = _blocks(campaign, cells, drawn, headline, policy, judgement, standing, found)
    page = Page(f"memsync: {campaign.suite_name}", blocks, COLOURS)
    report = Report(directory / "report.html", directory / "report.md", headline,
                    campaign.warnings, cells, drawn, standing, found)
    write_whole(report.markdown, to_markdown(page).encode())
    write_whole(report.html, to_html(page).encode())
    return report


def _blocks(
    campaign: Campaign, cells: list[Cell], drawn: list[Drawn], headline: str,
    policy: Policy, judgement: Judgement | None, standing: Standing, found: list[Outcome],
) -> list[Block]:
    against = judgement_blocks(judgement, "Verdicts against the baseline") if judgement else []
    controls = control_blocks(examine_controls([(campaign, cells)], policy))
    noise = noise_blocks(cells)
    return [
        *standing.blocks(),
        *against,
        *_outcome(campaign, cells, found, headline),
        *_demands(campaign, cells, standing),
        *hard_link_blocks(campaign),
        *receiver_blocks(cells),
        *controls[:1], *noise[:1],
        *command_blocks(campaign),
        *controls[1:],
        *glossary_blocks(campaign, cells),
        *_pictures(campaign, drawn),
        *_measured(campaign, cells, found),
        *noise[1:],
        *loser_blocks(found),
        *_without_result(cells),
        *_exclusions(campaign),
        *calibration_blocks(campaign),
        *environment_blocks(campaign),
        *_asked(campaign),
    ]


def _demands(campaign: Campaign, cells: list[Cell], standing: Standing) -> list[Block]:
    return [] if DAMAGED in standing.words else demand_blocks(judge_demands(campaign, cells))


def _asked(campaign: Campaign) -> list[Block]:
    return [Heading("The suite"), Code("As it was run", campaign.suite_text)]


def _headline(cells: list[Cell]) -> str:
    counts: dict[str, int] = {}
    for cell in cells:
        counts[cell.status] = counts.get(cell.status, 0) + 1
    others = [f"{n} {status}" for status, n in counts.items() if status != "ok"]
    return ", ".join([f"{counts.get('ok', 0)} of {len(cells)} cells ok", *others])


def _outcome(
    campaign: Campaign, cells: list[Cell], found: list[Outcome], headline: str
) -> list[Block]:
    """The answers, then what was asked: a reader compares them."""
    suite = campaign.registry["suite"]
    blocks: list[Block] = [
        Heading("Outcome at a glance"),
        *answer_blocks(found),
        Paragraph(f"Question: {suite.get('question') or 'none was written down.'}"),
        Paragraph(f"Hypothesis, written before and to be held against the outcome: "
                  f"{suite['hypothesis']}" if suite.get("hypothesis") else
                  "Hypothesis: none was written down."),
        Paragraph(f"{headline}."),
    ]
    if not any(cell.ok_count for cell in cells):
        blocks.append(Paragraph("No repetition ended ok, so there is nothing to compare.", "alarm"))
    blocks += [Paragraph(f"Warning: {warning}.", "note") for warning in campaign.warnings]
    if campaign.manifest.get("git_dirty"):
        blocks.append(Paragraph("Built from a dirty tree: the commit alone does not name this "
                                "program.", "note"))
    return blocks


def _measured(campaign: Campaign, cells: list[Cell], found: list[Outcome]) -> list[Block]:
    """Every series, measure and cost, one table per workload."""
    tables = [
        _outcome_table(here, found) for workload in campaign.workloads.values()
        if (here := [cell for cell in cells if cell.workload == workload])
    ]
    return [Heading("All that was measured"), *winner_blocks(found), *tables]


def _outcome_table(cells: list[Cell], found: list[Outcome]) -> Table:
    workload = cells[0].workload
    winners = {(outcome.best.cell_id, outcome.measure) for outcome in found
               if not outcome.too_noisy and word_of(outcome) == WINS}
    measures = [
        measure for measure in SHOWN[workload.does] + COSTS
        if any(cell.samples(measure.column).size for cell in cells)
    ]
    rows = [
        [cell.link.name, cell.series.name, _status_text(cell),
         *(_interval_text(cell.interval(m.column), m, (cell.cell_id, m) in winners)
           for m in measures)]
        for cell in cells
    ]
    about = ", ".join([*workload_label(workload), *filter(None, [workload.content])])
    return Table(
        f"{about}: median and its 95 % interval, the winner among approaches in bold; * marks the "
        f"full range, where fewer than {FEWEST_FOR_INTERVAL} repetitions can't give an interval",
        ["link", "series", "ok/planned", *map(head_of, measures)], rows, header_columns=2,
    )


def _status_text(cell: Cell) -> str:
    text = f"{cell.ok_count}/{cell.planned}"
    return text if cell.status == "ok" else f"{text} {cell.status}"


def _interval_text(found: MedianInterval | None, measure: Measure, is_winner: bool) -> str:
    """Median, and on a second line its interval; neither breaks within a line."""
    if found is None:
        return ""
    median, ends = interval(found.median, found.low, found.high, measure.unit)
    star = "" if found.is_confident else "*"
    text = f"{median}{star}" + (f"\n({ends})" if ends else "")
    text = text.replace(" ", "\N{NO-BREAK SPACE}")
    return Strong(text) if is_winner else text


def _pictures(campaign: Campaign, drawn: list[Drawn]) -> list[Block]:
    blocks: list[Block] = [Heading("Figures")]
    if not drawn:
        blocks.append(Paragraph("Nothing was measured that could be drawn."))
    for one in drawn:
        relative = {kind: os.path.relpath(path, campaign.directory)
                    for kind, path in (("SVG", one.svg), ("PDF", one.pdf), ("CSV", one.csv))}
        blocks.append(Picture(
            one.name, one.title, one.caption, one.svg.read_text(encoding="utf-8"),
            relative, f"{program('plot', campaign)} --figure {one.name}",
        ))
    return blocks


def _without_result(cells: list[Cell]) -> list[Block]:
    rows = [
        [cell.series.name, cell.workload.name, cell.link.name, cell.status,
         f"{cell.ok_count}/{cell.planned}", cell.reason, cell.log]
        for cell in cells if cell.status != "ok"
    ]
    heading = Heading("Unsupported and failed cells")
    if not rows:
        return [heading, Paragraph("None: every planned repetition ended ok.")]
    return [heading, Table(
        "Failed repetitions are counted here and enter no statistic",
        ["series", "workload", "link", "status", "ok/planned", "reason", "log"], rows)]


def _exclusions(campaign: Campaign) -> list[Block]:
    rows = [
        [str(entry.get(key) or "every") for key in ("approach", "workload", "link")]
        + [entry["because"]]
        for entry in campaign.registry["exclusions"]
    ]
    heading = Heading("Exclusions")
    if not rows:
        return [heading, Paragraph("The suite excludes nothing.")]
    return [heading, Table("Left out by the suite itself",
                           ["approach", "workload", "link", "because"], rows, header_columns=3)]


def _cell_summary(cell: Cell) -> dict[str, Any]:
    measures = {}
    for measure in SHOWN[cell.workload.does] + COSTS:
        if interval := cell.interval(measure.column):
            measures[measure.column] = {
                "n": interval.count, "median": interval.median, "low": interval.low,
                "high": interval.high, "coverage": interval.coverage,
            }
    return {
        "cell_id": cell.cell_id, "series": cell.series.name, "workload": cell.workload.name,
        "link": cell.link.name, "status": cell.status, "reason": cell.reason,
        "n_ok": cell.ok_count, "n_planned": cell.planned, "measures": measures,
    }
