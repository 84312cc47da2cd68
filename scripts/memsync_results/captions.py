"""The sentences under a figure: how to read it, how many repetitions, what is not there."""

from collections.abc import Iterable

from memsync_results.cells import Cell
from memsync_results.statistics import FEWEST_FOR_INTERVAL


def sentence_list(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def how_to_read(cells: Iterable[Cell], column: str) -> str:
    """What marker, bar and points mean, with n; cells: those that hold `column`."""
    intervals = [interval for cell in cells if (interval := cell.interval(column))]
    counts = sorted({interval.count for interval in intervals})
    text = (
        "Marker: median; bar: its order-statistic 95 % interval; light points: single "
        f"repetitions; n = {_span(counts)} per cell."
    )
    small = {i.count: i.coverage for i in intervals if not i.is_confident}
    if small:
        covers = ", ".join(f"{small[n]:.0%} at n = {n}".replace("%", " %") for n in sorted(small))
        text += (
            f" Fewer than {FEWEST_FOR_INTERVAL} repetitions can't give a 95 % interval: dotted "
            f"bars are the full range, which holds the true median with {covers}."
        )
    return text


def missing_results(cells: Iterable[Cell], column: str) -> str:
    """Names the cells without a value, and those with fewer repetitions than planned."""
    absent: dict[str, list[str]] = {}
    short = []
    for cell in cells:
        where = f"{cell.series.name} on {cell.workload.name}"
        if cell.samples(column).size == 0:
            why = "not measured" if cell.status == "ok" else cell.status
            absent.setdefault(f"{where} {why}", []).append(cell.link.name)
        elif cell.ok_count < cell.planned:
            short.append(f"{where}, {cell.link.name}: {cell.ok_count} of {cell.planned}")
    listed = "; ".join(f"{what} ({', '.join(links)})" for what, links in absent.items())
    return sentence_list(
        f"No value: {listed}." if listed else "",
        f"Fewer repetitions ok than planned: {'; '.join(short)}." if short else "",
    )


def limits_named(cells: Iterable[Cell]) -> str:
    """What sets each series' limit, and on which links if that changes."""
    found: dict[str, dict[str, list[str]]] = {}  # series -> what binds -> links
    for cell in cells:
        if binding := cell.most_frequent("limit_by"):
            links = found.setdefault(cell.series.name, {}).setdefault(binding, [])
            if cell.link.name not in links:
                links.append(cell.link.name)
    if not found:
        return ""
    listed = "; ".join(
        f"{series}: " + ", ".join(
            binding if len(bindings) == 1 else f"{binding} on {' '.join(links)}"
            for binding, links in bindings.items()
        )
        for series, bindings in found.items()
    )
    return f"Dashed: the limit on bytes moved (median of limit_Bps), set by {listed}."


def _span(counts: list[int]) -> str:
    if not counts:
        return "0"
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"
