"""What it costs to keep several destinations equal: lag, bytes and CPU by their number."""

import pandas as pd

from memsync_results.cells import Cell
from memsync_results.page import Block, Heading, Paragraph, Table
from memsync_results.units import quantity

_SAME_WORK = ("region_B", "chunk_B", "content", "dirty_ratio", "accesses")  # whatever its name
# Column, head, unit.
_SHOWN = (
    ("lag_first_s", "lag of the first", "s"),
    ("lag_all_s", "lag of the last", "s"),
    ("full_s", "sync() in all", "s"),
    ("wire_tx_B", "from the source", "B"),
    ("cpu_src_s", "CPU src", "s"),
    ("cpu_dst_s", "CPU of all dst", "s"),
)


def receiver_blocks(cells: list[Cell]) -> list[Block]:
    """One table; nothing where every cell has one destination."""
    updates = [cell for cell in cells if cell.workload.does == "update" and cell.ok_count]
    if all(_receivers(cell) <= 1 for cell in updates):
        return []
    updates.sort(key=lambda cell: (cell.link.name, cell.series.name, _work(cell), _receivers(cell)))
    rows = [
        [cell.link.name, cell.series.name, cell.workload.name, str(_receivers(cell)),
         *(_text(cell, column, unit) for column, _, unit in _SHOWN), _times_one(cell, updates)]
        for cell in updates
    ]
    return [
        Heading("Several destinations"),
        Paragraph("Lag: from the last change of a round until a destination has all of them, seen by "
                  "the destinations themselves; the median of rounds and repetitions. Bytes and CPU "
                  "are of the whole repetition, the first copies included. Their line is the "
                  "source's: what is behind it costs no time."),
        Table("Medians by the number of destinations",
              ["link", "series", "workload", "destinations", *(head for _, head, _ in _SHOWN),
               "bytes, times those for one"], rows, header_columns=3),
    ]


def _receivers(cell: Cell) -> int:
    return int(cell.ok_rows["receivers"].iloc[0]) if cell.ok_count else 0


def _work(cell: Cell) -> tuple[str, ...]:
    row = cell.ok_rows.iloc[0]
    return tuple("" if pd.isna(row[column]) else str(row[column]) for column in _SAME_WORK)


def _text(cell: Cell, column: str, unit: str) -> str:
    median = cell.median(column)
    return "" if median is None else quantity(median, unit)


def _times_one(cell: Cell, cells: list[Cell]) -> str:
    for one in cells:
        if (one.series, one.link, _work(one)) == (cell.series, cell.link, _work(cell)) \
                and _receivers(one) == 1:
            alone, here = one.median("wire_tx_B"), cell.median("wire_tx_B")
            return f"{here / alone:.2f}" if alone and here is not None else ""
    return ""
