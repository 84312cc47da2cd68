"""Joins the plan with its rows: one Cell per planned (series, workload, link).

Every number that a figure, a table or a verdict shows comes through `Cell.samples`,
so this is the one place that keeps failures and warm-ups out of the statistics.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from memsync_results.load import Campaign, Link, Series, Workload
from memsync_results.statistics import MedianInterval, median_interval

# The first of these that a cell's rows show is the cell's status.
SEVERITY = ("corrupt", "crashed", "timeout", "failed", "invalid", "interrupted", "unsupported")


@dataclass(frozen=True, eq=False)
class Cell:
    """One planned combination and what came of it."""

    cell_id: str
    series: Series
    workload: Workload
    link: Link
    status: str  # "ok", "missing", "incomplete", or one of SEVERITY
    reason: str
    log: str  # log_path of the first repetition that was not ok, "" without one
    planned: int  # repetitions, warm-ups not counted
    counts: dict[str, int]  # status -> repetitions, warm-ups not counted
    ok_rows: pd.DataFrame  # status ok, no warm-ups
    _by_block: dict[tuple[str, bool], tuple[np.ndarray, np.ndarray]] = field(
        default_factory=dict, repr=False)
    _intervals: dict[str, MedianInterval | None] = field(default_factory=dict, repr=False)

    @property
    def ok_count(self) -> int:
        return len(self.ok_rows)

    def samples(self, column: str) -> np.ndarray:
        """The measured values of a column: (n,) in the column's unit, n <= ok_count."""
        return self.by_block(column)[1]

    def by_block(self, column: str, keep_noisy: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """The blocks in which a column was measured, and its values there: (n,) and (n,)."""
        key = (column, keep_noisy)
        if column not in self.ok_rows.columns:  # results of an earlier version
            return np.empty(0), np.empty(0)
        if key not in self._by_block:
            values = self.ok_rows[column].to_numpy(dtype=float)
            kept = ~np.isnan(values)
            if not keep_noisy:
                kept &= self.ok_rows["noisy"].to_numpy(dtype=float) != 1
            self._by_block[key] = self.ok_rows["block"].to_numpy(dtype=float)[kept], values[kept]
        return self._by_block[key]

    def interval(self, column: str) -> MedianInterval | None:
        """The column's median and interval; computed once, for figures and tables alike."""
        if column not in self._intervals:
            self._intervals[column] = median_interval(self.samples(column))
        return self._intervals[column]

    def median(self, column: str) -> float | None:
        found = self.interval(column)
        return found.median if found else None

    def most_frequent(self, column: str) -> str:
        """The commonest text of a column, "" if it is empty throughout."""
        counts = Counter(self.ok_rows[column].dropna())
        return max(sorted(counts), key=lambda text: counts[text], default="")


def cells_of(campaign: Campaign) -> list[Cell]:
    """Every planned cell, ordered as registry.json orders workloads, links and series."""
    rows_of = dict(tuple(campaign.runs.groupby("cell_id", sort=False)))
    nothing = campaign.runs.iloc[:0]
    cells = [
        _cell(campaign, planned, rows_of.get(planned["cell_id"], nothing))
        for planned in campaign.plan.to_dict("records")
        if planned["status"] != "excluded"
    ]
    places = [list(names) for names in (campaign.workloads, campaign.links, campaign.series)]
    return sorted(
        cells,
        key=lambda cell: (
            places[0].index(cell.workload.name),
            places[1].index(cell.link.name),
            places[2].index(cell.series.name),
        ),
    )


def _cell(campaign: Campaign, planned: dict, all_rows: pd.DataFrame) -> Cell:
    is_warmup = all_rows["is_warmup"] == 1
    rows = all_rows[~is_warmup]
    if rows.empty:  # the warm-up already failed, and nothing was tried after it
        rows = all_rows[is_warmup & (all_rows["status"] != "ok")]
    counts = {str(status): int(n) for status, n in rows["status"].value_counts().items()}
    reps = 0 if pd.isna(planned["reps"]) else int(planned["reps"])
    status, reason = _status(planned, rows, counts, reps)
    logs = rows.loc[rows["status"] != "ok", "log_path"].dropna()
    return Cell(
        log=str(logs.iloc[0]) if len(logs) else "",
        cell_id=planned["cell_id"],
        series=campaign.series[planned["series"]],
        workload=campaign.workloads[planned["workload"]],
        link=campaign.links[planned["link"]],
        status=status,
        reason=reason,
        planned=reps,
        counts=counts,
        ok_rows=rows[rows["status"] == "ok"],
    )


def _status(
    planned: dict, rows: pd.DataFrame, counts: dict[str, int], reps: int
) -> tuple[str, str]:
    """A cell's status and the reason for it, "" when it is ok."""
    if rows.empty:
        if planned["status"] == "unsupported":
            return "unsupported", planned["reason"] or "no reason given"
        return "missing", "planned, but no row was written"
    # A repetition that was interrupted and made good by a resumed run harms nothing.
    if counts.get("ok", 0) >= reps and set(counts) <= {"ok", "interrupted"}:
        return "ok", ""
    for status in SEVERITY:
        if status in counts:
            details = rows.loc[rows["status"] == status, "status_detail"].dropna()
            return status, (str(details.iloc[0]) if len(details) else "no detail given")
    return "incomplete", f"{counts.get('ok', 0)} of {reps} repetitions were run"
