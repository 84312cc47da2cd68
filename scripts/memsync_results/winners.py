"""Which approach wins where, by how much, how sure: the tables of a report that say so."""

import math

from memsync_results.cells import Cell
from memsync_results.comparing import YARDSTICK, Rank, ranks
from memsync_results.effects import FEWEST_FOR_VERDICT
from memsync_results.judgement_page import unbroken
from memsync_results.page import Block, Heading, Paragraph, Table
from memsync_results.units import quantity


def winner_blocks(cells: list[Cell]) -> list[Block]:
    """Per workload, link and measure: the winner and its distance to the next."""
    groups = ranks(cells)
    if not groups:
        return []
    rows = []
    for group in groups:
        next_best = min(group, key=_distance)
        rows.append([
            next_best.cell.workload.name, next_best.cell.link.name,
            f"{next_best.measure.title} ({next_best.measure.better} is better)",
            next_best.best.series.name, _median(next_best.best, next_best),
            next_best.cell.series.name, _median(next_best.cell, next_best),
            factor_text(next_best), sureness(next_best),
        ])
    return [Table(
        f"The best per workload and link, against the next best ({YARDSTICK} and what reads from its "
        "own host are yardsticks and not ranked; controls are no rivals). Factor: Hodges-Lehmann estimate of the ratio, "
        "repetitions paired by round, with its exact 95 % interval. Sure: an exact signed-rank "
        "test, corrected over this whole campaign",
        ["workload", "link", "measure", "wins", "median", "next", "median", "better by", "sure"],
        rows, header_columns=3,
    )]


def loser_blocks(cells: list[Cell]) -> list[Block]:
    """Every cell that is behind the best of its place, and how sure that is."""
    heading = Heading("Where it loses")
    behind = [rank for group in ranks(cells) for rank in group]
    if not behind:
        return [heading, Paragraph("No workload and link has two series to compare.")]
    behind.sort(key=lambda rank: (rank.cell.series.name, not rank.is_sure, -_distance(rank)))
    rows = [
        [rank.cell.series.name, rank.cell.workload.name, rank.cell.link.name, rank.measure.title,
         _median(rank.cell, rank), rank.best.series.name, _median(rank.best, rank),
         factor_text(rank), sureness(rank)]
        for rank in behind
    ]
    return [heading, Table(
        "Behind the best median of the same workload and link; per series what is sure comes "
        "first, worst first",
        ["series", "workload", "link", "measure", "median", "best there", "its median", "worse by",
         "sure"], rows)]


def _distance(rank: Rank) -> float:
    return rank.effect.shift.estimate if rank.effect.shift else math.inf


def factor_text(rank: Rank) -> str:
    """"1.52× (1.48 – 1.57)", how many times worse than the best."""
    shift = rank.effect.shift
    if shift is None or not rank.effect.is_ratio:
        return "no repetitions pair up"
    middle, low, high = (_times(math.exp(x)) for x in (shift.estimate, shift.low, shift.high))
    star = "" if shift.coverage >= 0.94 else "*"
    return f"{middle}×{star} ({low} – {high})"


def _times(factor: float) -> str:
    return f"{factor:.2f}" if factor < 10 else f"{factor:.0f}"


def sureness(rank: Rank) -> str:
    """Whether a rank is beyond chance, or why it can't be told."""
    if rank.is_sure:
        return f"yes (p = {rank.p_adjusted:.2g})"
    if rank.effect.pairs < FEWEST_FOR_VERDICT:
        return f"no: {rank.effect.pairs} rounds can't be; run at least {FEWEST_FOR_VERDICT}"
    return f"no (p = {rank.p_adjusted:.2g})"


def _median(cell: Cell, rank: Rank) -> str:
    return unbroken(quantity(cell.median(rank.measure.column), rank.measure.unit))
