"""How often the gate errs on this machine: a long campaign cut into many short ones.

Every run of `rounds` consecutive rounds is a trial of its own, judged as a campaign would be.
Its A/A twins must raise no alarm; its planted series must be called a regression.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from memsync_results.cells import Cell, cells_of
from memsync_results.controls import PLANTED, TWIN
from memsync_results.effects import FEWEST_FOR_VERDICT
from memsync_results.load import Campaign
from memsync_results.matching import Pair, original_of
from memsync_results.measures import PRIMARY
from memsync_results.policy import Policy
from memsync_results.verdicts import (
    EQUIVALENT, IMPROVED, REGRESSION, effect_of, judge, rounds_to_tell,
)


@dataclass(frozen=True)
class Rate:
    """How many of the trials did something."""

    what: str
    hits: int
    trials: int
    rounds: int  # of each trial

    def __str__(self) -> str:
        if self.trials == 0:
            return f"{self.what}: no trial of {self.rounds} rounds"
        found = stats.binomtest(self.hits, self.trials).proportion_ci(0.95, method="exact")
        return (f"{self.what}: {self.hits} of {self.trials} trials of {self.rounds} rounds "
                f"({100 * found.low:.1f} to {100 * found.high:.1f} %, exact 95 %)")


def rates(campaign: Campaign, policy: Policy, rounds: int) -> list[Rate]:
    """What becomes of each control in trials of `rounds` rounds."""
    cells = cells_of(campaign)
    return [rate for cell in cells if cell.series.role and cell.ok_count
            if (original := original_of(cell, cells))
            for rate in _rates_of(Pair(original, cell), policy, rounds)]


def _rates_of(pair: Pair, policy: Policy, rounds: int) -> list[Rate]:
    trials = list(_cut(pair, rounds))
    name = pair.head.cell_id
    primary = PRIMARY[pair.head.workload.does]
    if pair.head.series.role == PLANTED:
        found = sum(_words(trial, policy)[primary.column] == REGRESSION for trial in trials)
        return [Rate(f"{name}: the planted delay called a regression", found, len(trials), rounds)]
    if pair.head.series.role != TWIN:
        return []
    alarms = sum(any(word in (REGRESSION, IMPROVED) for word in _words(trial, policy).values())
                 for trial in trials)
    result = [Rate(f"{name}: false alarms in any measure", alarms, len(trials), rounds)]
    pilot = next(_cut(pair, FEWEST_FOR_VERDICT), None)
    if pilot is not None:
        needed = max(FEWEST_FOR_VERDICT, rounds_to_tell(
            effect_of(pilot, primary, policy.tolerances[primary.column])))
        later = list(_cut(pair, needed))
        equal = sum(_words(trial, replace(policy, fewest_pairs=FEWEST_FOR_VERDICT))[primary.column]
                    == EQUIVALENT for trial in later)
        result.append(Rate(f"{name}: {primary.column} called equal after as many rounds as the "
                           "first six foretold", equal, len(later), needed))
    return result


def _words(trial: Pair, policy: Policy) -> dict[str, str]:
    """The verdict of every measure that the policy judges statistically."""
    measured = [effect_of(trial, measure, policy.tolerances[measure.column])
                for measure in policy.judged(trial.head.workload.does)
                if not policy.tolerances[measure.column].exact
                and trial.head.samples(measure.column).size]
    return {v.effect.measure.column: v.word for v in judge(measured, policy.fewest_pairs)}


def _cut(pair: Pair, rounds: int) -> Iterator[Pair]:
    """Runs of `rounds` consecutive blocks that both have; what is left over is no trial."""
    both = np.intersect1d(pair.base.ok_rows["block"], pair.head.ok_rows["block"])
    for start in range(0, both.size - rounds + 1, rounds):
        blocks = both[start:start + rounds]
        yield Pair(_only(pair.base, blocks), _only(pair.head, blocks))


def _only(cell: Cell, blocks: np.ndarray) -> Cell:
    rows = cell.ok_rows[cell.ok_rows["block"].isin(blocks)]
    return replace(cell, ok_rows=rows, _by_block={}, _intervals={})
