import itertools

import pandas as pd
import pytest

from memsync_results import figures
from memsync_results.cells import Cell
from memsync_results.drawing import style
from memsync_results.load import Link, Series, Workload
from memsync_results.tests.test_figures import label_clashes

SHARES = (0.0001, 0.01, 0.1)


def cell(name: str, share: float, rtt_s: float = 0.005, base_s: float = 0.001) -> Cell:
    """Seven repetitions of a mechanism that pays `base_s`, a tenth of a second per share, an RTT."""
    takes = base_s + 0.1 * share + rtt_s
    rows = pd.DataFrame({
        "latency_p50_s": [takes * (1 + k / 1000) for k in range(7)], "dirty_ratio": share,
        "rtt_p50_meas_s": rtt_s, "block": range(7), "noisy": 0, "limit_by": "", "limit_Bps": 1.0,
    })
    series = Series(name, name.partition("-")[0], "", "#0072B2", "o")
    workload = Workload(f"dirty-{share}", "update", 64 << 20, 4096, "random", "", None, None)
    link = Link(f"rtt-{rtt_s}", 125e6, rtt_s, 0, 0, "tun")
    return Cell("c", series, workload, link, "ok", "", "", 7, {"ok": 7}, rows)


def draw(cells: list[Cell], name: str = "update-share"):
    with style():
        return figures.FIGURES[name](cells)


def test_each_series_is_a_line_over_the_shares_and_each_link_a_panel():
    cells = [cell(name, share, rtt_s) for name, share, rtt_s in
             itertools.product(("scan", "hash"), SHARES, (0.0, 0.005))]
    drawing = draw(cells)
    shown = [axes for axes in drawing.figure.axes if axes.get_visible()]
    assert len(shown) == 2
    for axes in shown:
        joined = [line for line in axes.get_lines()
                  if line.get_linestyle() == "-" and len(set(line.get_xdata())) == len(SHARES)]
        assert [list(line.get_xdata()) for line in joined] == [list(SHARES)] * 2
    with style():
        assert label_clashes(drawing.figure) == 0
    [row] = drawing.numbers.query(
        "series == 'hash' and dirty_ratio == 0.01 and rtt_cfg_s == 0.005").to_dict("records")
    assert row["median"] == pytest.approx(0.007 * 1.003) and row["n_ok"] == 7
    assert len(drawing.numbers) == len(cells)


def test_two_shares_are_no_line():
    assert draw([cell("scan", share) for share in SHARES[:2]]) is None
    assert draw([cell("scan", share) for share in SHARES[:2]], "update") is not None


def test_no_transfer_is_left_out():
    cells = [cell(name, share) for name, share in itertools.product(("scan", "floor"), SHARES)]
    assert set(draw(cells).numbers["series"]) == {"scan"}


def test_updates_are_drawn_against_the_link_as_well():
    cells = [cell(name, 0.01, rtt_s) for name, rtt_s in
             itertools.product(("scan", "hash"), (0.0, 0.005, 0.025))]
    numbers = draw(cells, "update").numbers
    assert set(numbers["measure"]) == {"latency_p50_s"} and len(numbers) == 6
