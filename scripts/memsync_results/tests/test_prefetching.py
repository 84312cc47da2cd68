from pathlib import Path

import pytest

from memsync_results.cells import cells_of
from memsync_results.drawing import Drawing, style
from memsync_results.load import load_campaign
from memsync_results.prefetching import options_of, prefetching
from memsync_results.tests.synthetic import Model, write_campaign


def draw(directory: Path, **model) -> Drawing | None:
    cells = cells_of(load_campaign(write_campaign(directory, Model(**model))))
    with style():
        return prefetching(cells)


def row_of(drawing: Drawing, series: str, workload: str, link: str) -> dict:
    numbers = drawing.numbers
    [row] = numbers[(numbers["series"] == series) & (numbers["workload"] == workload)
                    & (numbers["link"] == link)].to_dict("records")
    return row


def words_of(drawing: Drawing) -> list[str]:
    return [text.get_text() for axes in drawing.figure.axes for text in axes.texts]


def test_a_value_of_an_option_may_hold_semicolons():
    assert options_of("first=0+64KiB;60MiB+1MiB;prefetch=priority") == {
        "first": "0+64KiB;60MiB+1MiB", "prefetch": "priority"}
    assert options_of("") == {}


def test_a_policy_that_takes_twice_or_a_tenth_of_the_time_says_so(tmp_path: Path):
    drawing = draw(tmp_path / "c", reps=7, policies=True, noise=0.0, slower={
        ("around", "scan", "lan"): 2.0, ("background", "scan", "lan"): 0.1})
    assert row_of(drawing, "around", "scan", "lan")["ratio"] == pytest.approx(2)
    assert row_of(drawing, "background", "scan", "lan")["ratio"] == pytest.approx(0.1)
    assert row_of(drawing, "around", "probe", "lan")["ratio"] == pytest.approx(1)
    words = words_of(drawing)
    assert words.count("2.00") == 1 and words.count("0.10") == 1
    assert "1.00*" in words, "equal ones are not told apart"


def test_series_of_other_units_and_hand_overs_are_not_compared(tmp_path: Path):
    drawing = draw(tmp_path / "c", reps=7, policies=True)
    assert set(drawing.numbers["series"]) == {"uffd-prefetch", "around", "priority",
                                              "background"}
    assert set(drawing.numbers["workload"]) == {"scan", "probe"}
    assert set(drawing.numbers["base"]) == {"uffd-demand"}


def test_two_series_are_no_figure_of_policies(tmp_path: Path):
    assert draw(tmp_path / "c", reps=7) is None


def test_too_few_rounds_are_marked(tmp_path: Path):
    slower = {("around", "scan", "lan"): 2.0}
    few = draw(tmp_path / "few", reps=5, policies=True, noise=0.0, slower=slower)
    assert "2.00*" in words_of(few) and "fewer than 6 rounds" in few.caption


def test_a_cell_without_a_value_is_named_and_has_no_number(tmp_path: Path):
    drawing = draw(tmp_path / "c", reps=7, policies=True,
                   unsupported={("around", "scan", "lan"), ("uffd-demand", "probe", "wan")})
    assert "around on scan unsupported (lan)" in drawing.caption
    assert words_of(drawing).count("n/a") == 1 + 4  # itself, and whoever was to be compared
    assert row_of(drawing, "around", "scan", "lan")["n_pairs"] == 0
