import io
import re
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from memsync_results import figures
from memsync_results.against_link import panels_of
from memsync_results.captions import limits_named
from memsync_results.cells import Cell, cells_of
from memsync_results.measures import BLACKOUT, PHASES, THROUGHPUT
from memsync_results.drawing import style, workload_label
from memsync_results.load import Workload, load_campaign
from memsync_results.units import quantity
from memsync_results.tests.synthetic import SERIES, SWEEP_LINKS, Model, write_campaign


OF_UPDATES = {"update", "update-share"}  # of which the synthetic campaigns have none


def cells_from(directory: Path, **model) -> list[Cell]:
    return cells_of(load_campaign(write_campaign(directory, Model(**model))))


def draw(name: str, cells: list[Cell]):
    with style():
        return figures.FIGURES[name](cells)


def lines_joined(figure) -> int:
    """How many drawn lines connect the medians of several cells."""
    return sum(
        len(set(line.get_xdata())) > 1 and line.get_linestyle() == "-" and line.get_alpha() is None
        for axes in figure.axes for line in axes.get_lines()
    )


def test_a_second_drawing_has_the_same_bytes(tmp_path: Path):
    cells = cells_from(tmp_path / "c", reps=7, links=SWEEP_LINKS)
    names = ["throughput", "downtime-phases"]
    figures.draw_all(cells, tmp_path / "first", names)
    figures.draw_all(cells_of(load_campaign(tmp_path / "c")), tmp_path / "second", names)
    first = {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()}
    second = {path.name: path.read_bytes() for path in (tmp_path / "second").iterdir()}
    assert sorted(first) == sorted(f"{n}.{kind}" for n in names for kind in ("csv", "pdf", "svg"))
    assert [name for name in first if first[name] != second[name]] == []


def test_links_of_different_rates_are_not_joined(tmp_path: Path):
    drawing = draw("throughput", cells_from(tmp_path / "c", reps=7))
    assert lines_joined(drawing.figure) == 0
    assert "not joined" in drawing.caption


def test_links_that_differ_in_rtt_alone_are_joined(tmp_path: Path):
    drawing = draw("throughput", cells_from(tmp_path / "c", reps=7, links=SWEEP_LINKS))
    assert lines_joined(drawing.figure) == 2 * (len(SERIES) - 1)  # two reading workloads, no floor
    assert "not joined" not in drawing.caption


def test_a_sweep_of_several_rates_gets_a_panel_for_each(tmp_path: Path):
    links = [(f"r{rate:.0f}t{rtt}", rate, rtt / 1e3) for rate in (1e6, 1e8) for rtt in (0, 5)]
    panels = panels_of(cells_from(tmp_path / "c", reps=6, links=links))
    reading = [panel for panel in panels if panel.workload.name == "scan"]
    assert [{link.rate_Bps for link in panel.links} for panel in reading] == [{1e8}, {1e6}]
    assert all(panel.is_sweep for panel in reading)


def test_many_categories_go_into_further_panels_with_the_same_scale(tmp_path: Path):
    links = [(f"l{k}", 1e6 * (1 + k % 3), k // 6 / 1e3) for k in range(19)]
    cells = [cell for cell in cells_from(tmp_path / "c", reps=2, links=links)
             if cell.workload.name == "scan"]
    assert [len(panel.links) for panel in panels_of(cells)] == [7, 7, 5]
    shown = [axes for axes in draw("throughput", cells).figure.axes if axes.get_visible()]
    labels = [label.get_text().split("\n")[0] for axes in shown for label in axes.get_xticklabels()]
    assert sorted(labels) == sorted(link[0] for link in links)
    assert len({axes.get_ylim() for axes in shown}) == 1


@pytest.mark.parametrize("reps", [4, 7])
def test_bars_points_and_markers_are_those_of_the_cells(tmp_path: Path, reps: int):
    cells = [cell for cell in cells_from(tmp_path / "c", reps=reps, links=SWEEP_LINKS)
             if cell.workload.name == "move"]
    [axes] = draw("downtime", cells).figure.axes
    intervals = {cell: cell.interval(BLACKOUT.column) for cell in cells}
    bars = [tuple(map(tuple, ends)) for bar in axes.collections for ends in bar.get_segments()]
    assert sorted(bars) == sorted(
        ((c.link.rtt_s, i.low), (c.link.rtt_s, i.high)) for c, i in intervals.items())
    markers: dict[str, list] = {".": [], "o": []}
    for line in axes.get_lines():
        if line.get_linestyle() == "None":
            kind = "." if line.get_marker() == "." else "o"
            markers[kind] += zip(line.get_xdata(), line.get_ydata(), strict=True)
    assert sorted(markers["o"]) == sorted((c.link.rtt_s, i.median) for c, i in intervals.items())
    assert sorted(markers["."]) == sorted(
        (c.link.rtt_s, value) for c in cells for value in c.samples(BLACKOUT.column))


def test_a_line_has_a_gap_where_a_cell_has_no_value(tmp_path: Path):
    cells = cells_from(tmp_path / "c", reps=7, links=SWEEP_LINKS,
                       unsupported={("uffd-demand", "scan", "rtt10")})
    drawing = draw("throughput", cells)
    words = [text.get_text() for axes in drawing.figure.axes for text in axes.texts]
    assert words.count("n/a") == 1
    assert "uffd-demand on scan unsupported (rtt10)" in drawing.caption
    broken = [line for line in drawing.figure.axes[0].get_lines()
              if pd.isna(list(line.get_ydata())).any() and line.get_color() == "#0072B2"]
    assert len(broken) == 2  # the medians and the limit


def test_failed_cells_are_named_and_not_drawn_as_numbers(tmp_path: Path):
    key = ("tcp_copy", "scan", "lan")
    cells = cells_from(tmp_path / "c", reps=8, failed={key: "corrupt"})
    drawing = draw("throughput", cells)
    row = drawing.numbers.query("series == 'tcp_copy' and workload == 'scan' and link == 'lan'")
    assert row[["n_ok", "n_planned", "status"]].values.tolist() == [[4, 8, "corrupt"]]
    assert "tcp_copy on scan, lan: 4 of 8" in drawing.caption


def test_the_numbers_beside_a_figure_are_those_of_its_cells(tmp_path: Path):
    cells = cells_from(tmp_path / "c", reps=9)
    [files] = figures.draw_all(cells, tmp_path / "out", ["throughput"])
    table = pd.read_csv(files.csv, keep_default_na=False, na_values=[""])
    reading = [cell for cell in cells if cell.workload.does == "read"]
    assert len(table) == len(reading)
    for row, cell in zip(table.to_dict("records"), reading, strict=True):
        interval = cell.interval(THROUGHPUT.column)
        assert (row["median"], row["low"], row["high"]) == pytest.approx(
            (interval.median, interval.low, interval.high))
        assert [float(v) for v in row["samples"].split(";")] == list(
            cell.samples(THROUGHPUT.column))


@pytest.mark.parametrize(("reps", "is_interval"), [(3, False), (5, False), (6, True), (20, True)])
def test_a_caption_says_when_the_bar_is_only_the_range(tmp_path: Path, reps, is_interval):
    drawing = draw("downtime", cells_from(tmp_path / "c", reps=reps))
    assert f"n = {reps} per cell" in drawing.caption
    assert ("dotted bars are the full range" in drawing.caption) != is_interval
    legend = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert ("95 % interval" in legend, "full range (n < 6)" in legend) == (
        is_interval, not is_interval)


def test_the_binding_constraint_is_named(tmp_path: Path):
    cells = cells_from(tmp_path / "c", reps=6)
    drawing = draw("throughput", cells)
    assert "uffd-demand: window" in drawing.caption
    assert "tcp_copy: rate" in drawing.caption
    assert limits_named(cells) in drawing.caption
    assert "floor" not in limits_named(cells)  # nothing limits what moves nothing


def test_the_floor_stretches_no_throughput_axis_and_is_told_instead(tmp_path: Path):
    cells = cells_from(tmp_path / "c", reps=6, links=SWEEP_LINKS[1:])
    drawing = draw("throughput", cells)
    floor = max(c.median(THROUGHPUT.column) for c in cells
                if c.series.name == "floor" and c.median(THROUGHPUT.column))
    assert all(axes.get_ylim()[1] < floor / 2 for axes in drawing.figure.axes)
    assert "floor" not in [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert f"{quantity(floor, 'B/s')}; the CSV has it" in drawing.caption
    assert "floor" in set(drawing.numbers["series"])
    alone = draw("throughput", [cell for cell in cells if cell.series.name == "floor"])
    assert "Not drawn" not in alone.caption


def test_what_no_phase_accounts_for_is_drawn_and_named(tmp_path: Path):
    cells = [c for c in cells_from(tmp_path / "c", reps=7) if c.workload.name == "move"]
    drawing = draw("downtime-phases", cells)
    legend = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert {"suspend", "collect", "transfer", "resume", figures.OUTSIDE} <= set(legend)
    shown = drawing.numbers
    phases = shown[[f"{phase}_median" for phase in PHASES]].sum(axis=1)
    assert list(phases + shown["outside_s"]) == pytest.approx(list(shown["blackout_s_median"]))
    for cell in cells:  # as of an approach that sends nothing while nobody runs
        cell.ok_rows["transfer_s"] = 0.0
        cell._intervals.clear()
        cell._by_block.clear()
    legend = [text.get_text()
              for text in draw("downtime-phases", cells).figure.legends[0].get_texts()]
    assert "transfer" not in legend and "suspend" in legend


def test_an_axis_over_more_than_two_decades_is_logarithmic(tmp_path: Path):
    cells = cells_from(tmp_path / "c", reps=6)
    assert {axes.get_yscale() for axes in draw("throughput", cells).figure.axes} == {"log"}
    one_link = [c for c in cells if c.link.name == "lan" and c.series.name != "floor"]
    scales = {axes.get_yscale() for axes in draw("downtime", one_link).figure.axes}
    assert scales == {"linear"}


def test_a_campaign_without_hand_overs_has_no_figure_of_them(tmp_path: Path):
    cells = [c for c in cells_from(tmp_path / "c", reps=6) if c.workload.does == "read"]
    names = [drawn.name for drawn in figures.draw_all(cells, tmp_path / "out")]
    assert names == ["throughput", "first-access"]


def label_clashes(figure: Figure) -> int:
    """How many labels of axes overlap in print size."""
    figure.savefig(io.BytesIO(), format="png", dpi=100)
    boxes = [
        label.get_window_extent()
        for axes in figure.axes if axes.get_visible()
        for label in [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.title,
                      axes.xaxis.label, axes.yaxis.label]
        if label.get_text() and label.get_visible()
    ]
    return sum(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])


def test_no_two_words_of_a_figure_overlap(tmp_path: Path):
    """For both kinds of axis; limit labels on one height are merged."""
    for number, links in enumerate(([("lan", 125e6, 1e-3), ("wan", 12.5e6, 0.05)], SWEEP_LINKS)):
        of_all = cells_from(tmp_path / f"c{number}", reps=6, links=links)
        of_policies = cells_from(tmp_path / f"p{number}", reps=6, links=links, policies=True)
        for name in figures.FIGURES.keys() - OF_UPDATES:
            cells = of_policies if name == "prefetching" else of_all
            with style():
                clashes = label_clashes(figures.FIGURES[name](cells).figure)
            assert clashes == 0, f"{name}, {links[0][0]}: {clashes} labels overlap"


@pytest.mark.parametrize(
    ("accesses", "label"), [(64, "read 64 × 4 KiB of 4 MiB"), (1024, "read 4 MiB"),
                            (None, "read 4 MiB")])
def test_a_bounded_read_is_not_called_a_whole_one(accesses, label):
    workload = Workload("scan", "read", 4 << 20, 4096, "text", "random", 4096, accesses)
    assert workload_label(workload) == [f"scan: {label}", "chunk 4 KiB", "random"]


def test_the_svg_fetches_nothing(tmp_path: Path):
    [files] = figures.draw_all(cells_from(tmp_path / "c", reps=6), tmp_path, ["settle"])
    assert not re.search(r'(?:href|src)="(?!#)', files.svg.read_text())
