"""How many repetitions ran beside other work, and what that does to the medians."""

from memsync_results.cells import Cell
from memsync_results.measures import PRIMARY
from memsync_results.page import Block, Paragraph, Table
from memsync_results.units import quantity


def count_noisy(cells: list[Cell]) -> tuple[int, int]:
    """Of the repetitions that ended ok, warm-ups left out: those marked noisy, and all."""
    noisy = sum(int((cell.ok_rows["noisy"] == 1).sum()) for cell in cells)
    return noisy, sum(cell.ok_count for cell in cells)


def is_too_noisy(cells: list[Cell]) -> bool:
    """Whether most of what was measured was measured beside something else."""
    noisy, counted = count_noisy(cells)
    return 2 * noisy > counted


def noise_blocks(cells: list[Cell]) -> list[Block]:
    """What the medians are without the repetitions marked noisy; [] where there are none."""
    noisy, counted = count_noisy(cells)
    if not noisy:
        return []
    rows = [row for cell in cells if (row := _row(cell))]
    return [
        Paragraph(f"{noisy} of {counted} repetitions ran while others used the machine and are "
                  "marked noisy.", "note"),
        Table("What changes without the repetitions marked noisy",
              ["cell", "measure", "quiet/ok", "median", "without noisy", "change"], rows,
              folded=True),
    ]


def _row(cell: Cell) -> list[str]:
    quiet = cell.ok_rows[cell.ok_rows["noisy"] != 1]
    if len(quiet) == cell.ok_count:
        return []
    measure = PRIMARY[cell.workload.does]
    left = quiet[measure.column].dropna()
    with_all = cell.median(measure.column)
    without = None if left.empty else float(left.median())
    change = f"{100 * (without / with_all - 1):+.1f} %" if without and with_all else ""
    return [cell.cell_id, measure.title, f"{len(quiet)}/{cell.ok_count}",
            quantity(with_all, measure.unit), quantity(without, measure.unit), change]
