"""The table of what several destinations cost."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from memsync_results.cells import Cell, cells_of
from memsync_results.load import load_campaign
from memsync_results.page import Table
from memsync_results.receivers import receiver_blocks
from memsync_results.tests.synthetic import Model, write_campaign

COUNTS = (1, 2, 8)


def updates(directory: Path) -> list[Cell]:
    """An update by one series with 1, 2 and 8 destinations."""
    write_campaign(directory, Model(reps=3))
    cell = next(cell for cell in cells_of(load_campaign(directory)) if cell.series.name == "tcp_copy")
    made = []
    for count in COUNTS:
        rows = pd.DataFrame([{
            "block": block, "noisy": 0.0, "receivers": float(count), "region_B": 1024.0,
            "chunk_B": 4096.0, "content": "random", "dirty_ratio": 0.01, "accesses": 2.0,
            "lag_first_s": 0.005, "lag_all_s": 0.005 * count, "full_s": 0.01 * count,
            "wire_tx_B": 1e6 * count, "cpu_src_s": 0.1, "cpu_dst_s": 0.1 * count,
        } for block in range(3)])
        workload = replace(cell.workload, name=f"to-{count}", does="update")
        made.append(replace(cell, cell_id=f"c{count}", workload=workload, ok_rows=rows,
                            _by_block={}, _intervals={}))
    return made


def test_one_destination_has_no_table(tmp_path: Path) -> None:
    assert receiver_blocks(updates(tmp_path / "r")[:1]) == []
    assert receiver_blocks([]) == []


def test_lags_and_bytes_stand_by_the_number_of_destinations(tmp_path: Path) -> None:
    (table,) = [block for block in receiver_blocks(updates(tmp_path / "r"))
                if isinstance(block, Table)]
    rows = {row[3]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert list(rows) == ["1", "2", "8"]
    assert rows["8"]["lag of the first"] == "5 ms"
    assert rows["8"]["lag of the last"] == "40 ms"
    assert rows["8"]["from the source"] == "8 MB"
    assert [row["bytes, times those for one"] for row in rows.values()] == ["1.00", "2.00", "8.00"]


def test_results_without_these_columns_are_read_as_before(tmp_path: Path) -> None:
    cell = updates(tmp_path / "r")[2]
    old = cell.ok_rows.drop(columns=["lag_first_s", "lag_all_s"])
    (table,) = [block for block in receiver_blocks([replace(cell, ok_rows=old, _by_block={},
                                                            _intervals={})])
                if isinstance(block, Table)]
    assert table.rows[0][4:6] == ["", ""]
