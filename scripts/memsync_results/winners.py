"""Which approach wins where, by how much, how sure: the tables of a report that say so."""

from memsync_results.answers import times_text, with_interval
from memsync_results.cells import Cell
from memsync_results.comparing import LEVEL, ONLY, TOO_NOISY, WINS, YARDSTICK, Outcome, Rank
from memsync_results.effects import fewest_pairs
from memsync_results.judgement_page import unbroken
from memsync_results.measures import Measure
from memsync_results.page import Block, Heading, Paragraph, Strong, Table
from memsync_results.units import quantity

_SURE = f"Sure: p < {LEVEL} of a two-sided exact signed-rank test after Holm's correction"


def winner_blocks(found: list[Outcome]) -> list[Block]:
    """Per workload, link and measure: the best series and its distance to the next, or why none."""
    if not found:
        return []
    return [Table(
        "The best series of each workload and link against the next best, variants of one approach "
        f"included ({YARDSTICK} and what reads from its own host are yardsticks and not ranked; "
        "controls are no rivals). Factor: Hodges-Lehmann estimate of the ratio, "
        "repetitions paired by round, with its exact 95 % interval. Tie: the interval holds 1, "
        f"ratio and medians disagree, or it is too little to matter. {_SURE} over all "
        f"{_comparisons(found)} pairs of rivals in this campaign",
        ["workload", "link", "measure", "outcome", "series", "median", "next", "median",
         "better by", "sure"],
        [_winner_row(outcome) for outcome in found], header_columns=3, folded=True,
    )]


def _winner_row(outcome: Outcome) -> list[str]:
    measure, best, rival = outcome.measure, outcome.best, outcome.next_best
    place = [best.workload.name, best.link.name, f"{measure.title} ({measure.better} is better)",
             outcome.word]
    if outcome.word == TOO_NOISY:
        return [*place, "", "", "", "", "", ""]
    if outcome.word == ONLY or rival is None:
        return [*place, best.series.name, unbroken(with_interval(best, measure)), "", "", "", ""]
    name = Strong(best.series.name) if outcome.word == WINS else best.series.name
    return [*place, name, _median(best, measure), rival.cell.series.name,
            _median(rival.cell, measure), factor_text(rival), sureness(rival)]


def loser_blocks(found: list[Outcome]) -> list[Block]:
    """Every cell that is behind the best of its place, and how sure that is."""
    heading = Heading("Where it loses")
    behind = [(outcome.measure, rank) for outcome in found for rank in outcome.behind]
    if not behind:
        return [heading, Paragraph("No workload and link has two series to compare.")]
    if found[0].too_noisy:
        return [heading, Paragraph("Too noisy: nobody is named as behind another.", "note")]
    behind.sort(key=lambda one: (one[1].cell.series.name, not one[1].is_sure, -one[1].distance))
    rows = [
        [rank.cell.series.name, rank.cell.workload.name, rank.cell.link.name, measure.title,
         _median(rank.cell, measure), rank.best.series.name, _median(rank.best, measure),
         factor_text(rank), sureness(rank)]
        for measure, rank in behind
    ]
    return [heading, Table(
        "Behind the best median of the same workload and link; per series what is sure comes "
        f"first, worst first. {_SURE} over all {_comparisons(found)} pairs of rivals",
        ["series", "workload", "link", "measure", "median", "best there", "its median", "worse by",
         "sure"], rows)]


def _comparisons(found: list[Outcome]) -> int:
    return max((rank.comparisons for outcome in found for rank in outcome.behind), default=0)


def factor_text(rank: Rank) -> str:
    """"1.52× (1.48 to 1.57)", how many times worse than the best."""
    shift = rank.effect.shift
    if shift is None or not rank.effect.is_ratio:
        return "no repetitions pair up"
    middle, low, high = (times_text(x) for x in (shift.estimate, shift.low, shift.high))
    star = "" if shift.coverage >= 0.94 else "*"
    return f"{middle}×{star} ({low} to {high})"


def sureness(rank: Rank) -> str:
    """Whether a rank is beyond chance, or why it can't be told."""
    if rank.tie:
        return f"no: a tie, {rank.tie}"
    if rank.is_sure:
        return f"yes (p = {rank.p_adjusted:.2g})"
    needed = fewest_pairs(rank.comparisons, LEVEL)
    if rank.effect.pairs < needed:
        return (f"no: {rank.effect.pairs} rounds can't be; {rank.comparisons} comparisons need at "
                f"least {needed}")
    return f"no (p = {rank.p_adjusted:.2g}, not < {LEVEL})"


def _median(cell: Cell, measure: Measure) -> str:
    return unbroken(quantity(cell.median(measure.column), measure.unit))

