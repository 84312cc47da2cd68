"""Everything that is to be said of a campaign against its baseline, and the exit code for it."""

import math
from dataclasses import dataclass, field
from typing import Any

from memsync_results.cells import Cell, cells_of
from memsync_results.comparing import YARDSTICK
from memsync_results.controls import INVALID, Controls, examine_controls
from memsync_results.demands import NO, Finding, judge_demands
from memsync_results.exits import Exit
from memsync_results.load import Campaign
from memsync_results.matching import Pair, check_comparable, match_cells, were_interleaved
from memsync_results.policy import Policy
from memsync_results.verdicts import (
    INCONCLUSIVE, REGRESSION, WORDS, Verdict, effect_of, judge,
    not_judged, with_noise_told,
)


@dataclass(frozen=True)
class Problem:
    """A cell that could not be judged, or whose bytes were wrong."""

    cell_id: str
    status: str  # "missing", "corrupt", "failed" ...: the cell's status in head
    sentence: str


@dataclass(frozen=True)
class Judgement:
    """Head against base under a policy."""

    base: Campaign
    head: Campaign
    policy: Policy
    controls: Controls
    verdicts: list[Verdict]
    problems: list[Problem]
    notes: list[str]  # what a reader should know and nobody is judged by
    warnings: list[str]
    demands: list[Finding] = field(default_factory=list)  # of head's suite

    @property
    def missed_demands(self) -> list[Finding]:
        """Those that count against head: none unless the policy says that they are judged, and
        none where the controls failed."""
        is_judged = self.policy.demands_judged and self.controls.stamp != INVALID
        return [f for f in self.demands if f.met == NO] if is_judged else []

    def of_word(self, word: str) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict.word == word]

    @property
    def open_questions(self) -> list[Verdict]:
        """INCONCLUSIVE where the policy asks for a verdict."""
        return [v for v in self.of_word(INCONCLUSIVE) if not v.effect.tolerance.advisory]

    @property
    def exit(self) -> Exit:
        """Wrong bytes, nothing at all, what can't be trusted, what is known, what is not."""
        if any(problem.status == "corrupt" for problem in self.problems):
            return Exit.REGRESSION
        if not self.verdicts:
            return Exit.INCOMPLETE
        if self.controls.stamp == INVALID:
            return Exit.INCONCLUSIVE
        if self.of_word(REGRESSION) or self.missed_demands:
            return Exit.REGRESSION
        if self.problems:
            return Exit.INCOMPLETE
        return Exit.INCONCLUSIVE if self.open_questions else Exit.OK

    @property
    def headline(self) -> str:
        """One sentence with the outcome first."""
        counts = ", ".join(f"{len(self.of_word(word))} {word}" for word in WORDS
                           if self.of_word(word)) or "nothing was compared"
        outcome = {
            Exit.OK: "GREEN", Exit.REGRESSION: "RED", Exit.INCOMPLETE: "RED (incomplete)",
            Exit.INCONCLUSIVE: "UNDECIDED",
        }[self.exit]
        if self.controls.stamp == INVALID:
            outcome += ", INVALID"
        if self.missed_demands:
            counts += f", {len(self.missed_demands)} demands missed"
        if self.problems:
            counts += f", {len(self.problems)} cells without a result"
        return f"{outcome}: {counts}"

    def as_json(self) -> dict[str, Any]:
        return {
            "schema_version": 1, "outcome": self.headline, "exit_code": int(self.exit),
            "base": str(self.base.directory), "head": str(self.head.directory),
            "interleaved": were_interleaved(self.base, self.head), "policy": self.policy.source,
            "controls": {"stamp": self.controls.stamp, "reasons": self.controls.reasons,
                         "findings": self.controls.findings, "floors": self.controls.floors},
            "verdicts": [_verdict_json(verdict) for verdict in self.verdicts],
            "problems": [vars(problem) for problem in self.problems],
            "demands": [finding.record() for finding in self.demands],
            "notes": self.notes, "warnings": self.warnings,
        }


def judge_campaigns(base: Campaign, head: Campaign, policy: Policy) -> Judgement:
    """Compares every cell that both have. Raises Refusal where that would mean nothing."""
    warnings = [*base.warnings, *head.warnings, *check_comparable(base, head)]
    base_cells, head_cells = cells_of(base), cells_of(head)
    pairs, lost, new = match_cells(
        [c for c in base_cells if not c.series.role], [c for c in head_cells if not c.series.role]
    )
    controls = examine_controls([(base, base_cells), (head, head_cells)], policy)
    problems, notes = _problems(pairs, lost, new)
    verdicts = with_noise_told(
        judge(
            [
                effect_of(pair, measure, policy.tolerances[measure.column],
                          controls.floors.get(measure.column, 0.0), policy.keep_noisy)
                for pair in pairs if pair.head.series.approach != YARDSTICK
                for measure in policy.judged(pair.head.workload.does)
                if _is_asked(pair, measure.column, policy)
            ],
            policy.fewest_pairs, policy.largest_delta,
        ),
        policy, controls.floors,
    )
    if controls.stamp == INVALID:
        verdicts = not_judged(verdicts)
    return Judgement(base, head, policy, controls, verdicts, problems, notes, warnings,
                     judge_demands(head, head_cells))


def _is_asked(pair: Pair, column: str, policy: Policy) -> bool:
    """Whether both sides have this measure at all, and may be compared in the way asked for."""
    if not pair.base.samples(column).size or not pair.head.samples(column).size:
        return False
    return not policy.tolerances[column].exact or column in pair.head.series.exact


def _problems(
    pairs: list[Pair], lost: list[Cell], new: list[Cell]
) -> tuple[list[Problem], list[str]]:
    problems = [
        Problem(cell.cell_id, "missing", "the baseline has this cell, the campaign does not")
        for cell in lost if cell.status != "unsupported"
    ]
    notes = [f"{cell.cell_id} is new: nothing to compare it with" for cell in new]
    for pair in pairs:
        base, head = pair.base, pair.head
        if head.status == "ok" and base.status == "ok":
            continue
        if head.status == "unsupported" and base.status == "unsupported":
            notes.append(f"{head.cell_id} is unsupported in both: {head.reason}")
        elif head.status == "ok":
            problems.append(Problem(head.cell_id, "no baseline",
                                    f"its baseline is {base.status}: {base.reason}"))
        else:
            counted = f"{head.ok_count} of {head.planned} repetitions are ok"
            problems.append(Problem(head.cell_id, head.status, f"{head.reason} ({counted})"))
    for cell in new:
        if cell.status not in ("ok", "unsupported"):
            problems.append(Problem(cell.cell_id, cell.status, cell.reason))
    return problems, notes


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    effect = verdict.effect
    cell = effect.pair.head
    ends = [] if effect.shift is None else sorted(
        effect.change(x) for x in (effect.shift.low, effect.shift.high))
    return {
        "cell_id": cell.cell_id, "series": cell.series.name, "workload": cell.workload.name,
        "link": cell.link.name, "measure": effect.measure.column, "verdict": verdict.word,
        "reason": verdict.reason, "advisory": effect.tolerance.advisory,
        "base_median": effect.base_median, "head_median": effect.head_median,
        "change": None if effect.shift is None else effect.change(effect.shift.estimate),
        "change_low": ends[0] if ends else None, "change_high": ends[1] if ends else None,
        "change_is": "share" if effect.is_ratio else effect.measure.unit or "number",
        "coverage": None if effect.shift is None else effect.shift.coverage,
        "delta": math.expm1(effect.bound) if effect.is_ratio else effect.bound,
        "pairs": effect.pairs, "planned": cell.planned,
        "p_adjusted": _finite(verdict.p_adjusted),
        "smallest_effect": _finite(math.expm1(verdict.smallest_effect)
                                   if effect.is_ratio and verdict.smallest_effect < 700
                                   else verdict.smallest_effect),
        "rounds_more": verdict.rounds_more, "without_noisy": verdict.without_noisy or None,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
