"""The first screen of a report: one sentence per workload and link, the best of each approach
against the best of every other. What is known of a place comes from comparing.py."""

import math

from memsync_results.cells import Cell
from memsync_results.comparing import LEVEL, ONLY, TIE, WINS, Outcome, Rank
from memsync_results.effects import fewest_pairs
from memsync_results.load import Link, Workload
from memsync_results.measures import BLACKOUT, FIRST_ACCESS, FULL, PRIMARY, THROUGHPUT, Measure
from memsync_results.page import Block, Items, Paragraph, Strong, Table
from memsync_results.statistics import FEWEST_FOR_INTERVAL
from memsync_results.units import interval, quantity, rate, size

NO_BREAK = "\N{NO-BREAK SPACE}"
_TITLES = {BLACKOUT: "downtime", FULL: "time", FIRST_ACCESS: "first access"}
_MOST_SENTENCES = 12  # more places than these are a table


def answer_blocks(found: list[Outcome]) -> list[Block]:
    """What came out, first of all; [] where nothing was measured."""
    shown = [o for o in found if o.measure in (PRIMARY[o.best.workload.does], FIRST_ACCESS)]
    if not shown:
        return []
    if shown[0].too_noisy:
        return [Paragraph("Too noisy: nobody is named as the winner.", "note")]
    places: dict[tuple[Workload, Link], list[Outcome]] = {}
    for outcome in shown:
        places.setdefault((outcome.best.workload, outcome.best.link), []).append(outcome)
    links = list(dict.fromkeys(link for _, link in places))
    note = _too_few(shown)
    if len(places) <= _MOST_SENTENCES:
        return [Items([_sentence(place, here, links) for place, here in places.items()]), *note]
    tables = [_table(workload, {link: here for (own, link), here in places.items()
                                if own == workload}, links)
              for workload in dict.fromkeys(workload for workload, _ in places)]
    return [*tables, *note]


def _too_few(shown: list[Outcome]) -> list[Block]:
    """What few repetitions forbid, said once and not beside each place."""
    ranks = [rank for outcome in shown if (rank := rival_of(outcome)) and not rank.tie]
    short = [rank for rank in ranks if rank.effect.pairs < fewest_pairs(rank.comparisons, LEVEL)]
    sentences = []
    if short:
        rounds = max(rank.effect.pairs for rank in short)
        asked = short[0].comparisons
        verb = "comparison needs" if asked == 1 else "comparisons need"
        sentences.append(f"Not sure: {rounds} rounds can't be; {asked} {verb} at least "
                         f"{fewest_pairs(asked, LEVEL)}.")
    if any(rival_of(o) is None and o.interval and not o.interval.is_confident for o in shown):
        sentences.append(f"*: the full range; fewer than {FEWEST_FOR_INTERVAL} repetitions give no "
                         "95 % interval.")
    return [Paragraph(" ".join(sentences), "note")] if sentences else []


def plain_answers(found: list[Outcome]) -> list[str]:
    """The same sentences as texts, one per workload, link and measure."""
    links = list(dict.fromkeys(outcome.best.link for outcome in found))
    return ["".join(_sentence((o.best.workload, o.best.link), [o], links)).replace(NO_BREAK, " ")
            for o in found if not o.too_noisy]


def rival_of(outcome: Outcome) -> Rank | None:
    """The nearest of another approach: its own variants are no rivals of the best."""
    approach = outcome.best.series.approach
    return min((rank for rank in outcome.behind if rank.cell.series.approach != approach),
               key=lambda rank: rank.distance, default=None)


def word_of(outcome: Outcome) -> str:
    """WINS, TIE or ONLY among approaches."""
    rival = rival_of(outcome)
    if rival is None:
        return ONLY
    return TIE if rival.tie else WINS


def _sentence(
    place: tuple[Workload, Link], here: list[Outcome], links: list[Link]
) -> list[str]:
    workload, link = place
    pieces: list[str] = [f"{doing(workload)} ({workload.name}), {link_name(link, links)}: "]
    for k, outcome in enumerate(here):
        name = _TITLES.get(outcome.measure, outcome.measure.title)
        if outcome.measure != THROUGHPUT:  # which its unit tells
            pieces.append(f" {name[0].upper()}{name[1:]}: " if k else f"{name} ")
        pieces += [*_finding(outcome), "."]
    return pieces


def _table(workload: Workload, places: dict[Link, list[Outcome]], links: list[Link]) -> Table:
    measures = list(dict.fromkeys(o.measure for here in places.values() for o in here))
    rows = []
    for link, here in places.items():
        of = {outcome.measure: outcome for outcome in here}
        told = [_finding(of[measure]) if measure in of else ["", ""] for measure in measures]
        rows.append([link_name(link, links),
                     *(text.strip(", ") if not isinstance(text, Strong) else text
                       for who_and_rest in told for text in who_and_rest)])
    heads = [head for measure in measures for head in (head_of(measure), "by how much, how sure")]
    return Table(f"{doing(workload)} ({workload.name}): who wins, per link",
                 ["link", *heads], rows)


def _finding(outcome: Outcome) -> list[str]:
    """"tcp_copy 46.1 MB/s, 1.44× userfaultfd's (1.43 to 1.45, p = 0.018, sure)": who, the rest."""
    best, measure, rival = outcome.best, outcome.measure, rival_of(outcome)
    if rival is None:
        return [Strong(labelled(best)), f", {ONLY}: {with_interval(best, measure)}"
                + in_round_trips(best, measure)]
    median = median_of(best, measure) + in_round_trips(best, measure)
    if rival.tie:
        other = median_of(rival.cell, measure)
        times = f"{factor(rival)}, " if rival.effect.shift and rival.effect.is_ratio else ""
        return [Strong("tie"), f" of {labelled(best)} {median} and {labelled(rival.cell)} {other} "
                f"({times}{rival.tie.replace(' %', NO_BREAK + '%')})"]
    if measure.better == "higher":
        lead = f"{_times(rival)} {labelled(rival.cell)}'s"
    else:
        lead = f"{labelled(rival.cell)} takes {_times(rival)} as long"
    return [Strong(labelled(best)), f" {median}, {lead} ({_ends(rival)}, {how_sure(rival)})"]


def labelled(cell: Cell) -> str:
    """The series, and of which approach it is where the names differ."""
    name, approach = cell.series.name, cell.series.approach
    return name if name == approach else f"{name} ({approach})"


def median_of(cell: Cell, measure: Measure) -> str:
    """With as many digits as where its interval stands beside it."""
    return with_interval(cell, measure).partition(" (")[0].removesuffix("*")


def with_interval(cell: Cell, measure: Measure) -> str:
    """"38.7 ms (38.3 to 39.1)"; * where that is the full range."""
    found = cell.interval(measure.column)
    if found is None:
        return ""
    median, ends = interval(found.median, found.low, found.high, measure.unit)
    star = "" if found.is_confident else "*"
    return median.replace(" ", NO_BREAK) + star + (f" ({ends})" if ends else "")


def in_round_trips(cell: Cell, measure: Measure) -> str:
    """" = 1.5 RTT" of a time that a round trip is the yardstick of."""
    median = cell.median(measure.column)
    if measure.unit != "s" or not cell.link.rtt_s or not median:
        return ""
    return f" = {median / cell.link.rtt_s:.1f}{NO_BREAK}RTT"


def factor(rank: Rank) -> str:
    """"1.02×, 1.01 to 1.02": how many times worse than the best, with the interval."""
    return f"{_times(rank)}, {_ends(rank)}"


def _times(rank: Rank) -> str:
    return f"{times_text(rank.distance)}×"


def _ends(rank: Rank) -> str:
    shift = rank.effect.shift
    return f"{times_text(shift.low)} to {times_text(shift.high)}" if shift else "unpaired"


def times_text(shift: float) -> str:
    """A shift of logarithms as a factor: "1.44", "10.4", "142"."""
    times = math.exp(shift)
    return f"{times:.{2 if times < 9.995 else 1 if times < 99.95 else 0}f}"


def how_sure(rank: Rank) -> str:
    """Of one that is behind beyond a tie."""
    if rank.is_sure:
        return f"p = {rank.p_adjusted:.2g}, sure".replace(" = ", f"{NO_BREAK}={NO_BREAK}")
    if rank.effect.pairs < fewest_pairs(rank.comparisons, LEVEL):
        return "not sure"
    return f"p = {rank.p_adjusted:.2g}, not sure".replace(" = ", f"{NO_BREAK}={NO_BREAK}")


def doing(workload: Workload) -> str:
    """What a workload does, in plain words."""
    if workload.does != "read":
        return {"update": "Updating it", "handover": "Moving it while it is written"}[workload.does]
    order = {"sequential": "in order", "random": "at random"}.get(workload.access, workload.access)
    touched = (workload.accesses or 0) * (workload.touch_B or 0)
    if 0 < touched < workload.region_B:
        return (f"Reading {workload.accesses:.0f} × {size(workload.touch_B)} of "
                f"{size(workload.region_B)} {order}").rstrip()
    return "Reading it all" if workload.access == "sequential" else f"Reading it {order}"


def link_name(link: Link, links: list[Link]) -> str:
    """"RTT 25 ms" where nothing else differs between `links`, else the name with its nature."""
    rtt = f"RTT {quantity(link.rtt_s, 's') if link.rtt_s else '0'}".replace(" ", NO_BREAK)
    if (len({(one.rate_Bps, one.loss_ratio, one.jitter_s) for one in links}) == 1
            and len({one.rtt_s for one in links}) == len(links)):
        return rtt
    loss = f", {100 * link.loss_ratio:.3g} % loss" if link.loss_ratio else ""
    return f"{link.name} ({rtt}, {rate(link.rate_Bps)}{loss})"


def head_of(measure: Measure) -> str:
    """A measure in a table's head, with its direction."""
    return f"{measure.title}\n{measure.better} is better"
