import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from memsync_results.cells import cells_of
from memsync_results.comparing import outcomes
from memsync_results.load import load_campaign
from memsync_results.page import Page, Table, to_markdown
from memsync_results.policy import load_policy
from memsync_results.report import write_report
from memsync_results.tests.synthetic import Model, write_campaign

VOID = {"meta", "link", "br", "hr", "img", "input", "col", "base"}


class Checker(HTMLParser):
    """Collects what a browser would forgive: unbalanced tags, repeated ids, dangling references."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.ids: list[str] = []
        self.references: set[str] = set()
        self.resources: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.note(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.note(tag, attributes)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def note(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attributes:
            value = value or ""
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "xlink:href") and value.startswith("#"):
                self.references.add(value[1:])
            elif name in ("src", "srcset", "href", "xlink:href", "action", "poster") and tag != "a":
                self.resources.append(value)
            self.references.update(re.findall(r"url\(#([^)]+)\)", value))


def checked(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    checker.close()
    return checker


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reported campaign in which something of everything went wrong; not to be changed."""
    directory = write_campaign(tmp_path_factory.mktemp("troubled") / "c", Model(
        reps=8,
        unsupported={("uffd-prefetch", "move", "wan")},
        failed={("uffd-demand", "scan", "lan"): "timeout", ("tcp_copy", "probe", "wan"): "corrupt"},
    ))
    write_report(directory)
    return directory


@pytest.fixture
def text(troubled: Path) -> str:
    return (troubled / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def markdown(troubled: Path) -> str:
    return (troubled / "report.md").read_text(encoding="utf-8")


def test_the_page_is_one_sound_file_that_fetches_nothing(text: str):
    page = checked(text)
    assert (page.faults, page.open) == ([], [])
    assert "demand" not in page.tags  # the hypothesis' "<demand>" is text
    assert sorted(page.ids) == sorted(set(page.ids))
    assert page.references <= set(page.ids)
    assert page.resources == ["data:,"]
    assert "script" not in page.tags
    assert "@import" not in text
    assert not re.search(r"https?://", text)


def test_the_checker_would_notice():
    assert checked("<p><b></p></b>").faults
    assert checked("<div>").open == ["div"]
    assert checked('<img src="https://example.org/x.png">').resources


def test_the_page_answers_in_the_agreed_order(text: str):
    order = [
        "Does prefetching hide a link&#x27;s latency",
        "80 % of the raw stream &amp; &lt;demand&gt;",
        "30 of 33 cells ok", 'id="figures"', 'id="where-it-loses"',
        'id="unsupported-and-failed-cells"', "a synthetic unsupported", 'id="exclusions"',
        "it has no hand-over", 'id="link-calibration"', 'id="environment"', "6.1.0-synthetic",
    ]
    places = [text.find(phrase) for phrase in order]
    assert -1 not in places, order[places.index(-1)]
    assert places == sorted(places)


def test_every_table_has_a_caption_and_every_figure_its_command(text: str):
    page = checked(text)
    assert page.tags.count("table") == page.tags.count("caption") > 5
    for name in ("throughput", "first-access", "downtime", "downtime-phases", "settle"):
        assert f"--figure {name}</code>" in text


def test_failures_are_counted_and_explained(markdown: str):
    assert ("| uffd-demand | scan | lan | timeout | 4/8 | a synthetic timeout, told with, a comma"
            in markdown)
    assert "| lan | uffd-demand | 4/8 timeout |" in markdown


def test_markdown_keeps_a_star_a_star(tmp_path: Path):
    table = Table("* marks | a range", ["n"], [["5 ms*"]])
    assert to_markdown(Page("p", [table])).splitlines()[2:] == [
        r"*\* marks \| a range*", "", "| n |", "| --- |", r"| 5 ms\* |"]


def test_both_colour_settings_reach_the_figures(text: str):
    assert "prefers-color-scheme: dark" in text
    svg = text[text.index("<svg"):text.rindex("</svg>")]
    assert "var(--ink)" in svg and "var(--paper)" in svg
    assert not re.search("#(1f2328|fefefe|000000)", svg)


def test_a_campaign_in_which_nothing_ended_ok_still_gets_its_reasons(tmp_path: Path):
    directory = write_campaign(tmp_path / "c", Model(reps=6))
    path = directory / "runs.csv"
    path.write_text(path.read_text().replace(",ok,", ",crashed,"))
    report = write_report(directory)
    text = report.html.read_text()
    assert sum(cell.ok_count for cell in report.cells) == 0
    assert "no repetition ended ok; the report lists the reasons" in report.standing.faults
    assert "No repetition ended ok" in text
    assert checked(text).faults == []
    assert "<svg" not in text


def test_where_it_loses_names_rivals_and_not_the_floor(markdown: str):
    section = markdown[markdown.index("## Where it loses"):markdown.index("## Unsupported")]
    rows = [line for line in section.splitlines() if line.startswith("| ")][2:]
    assert any(row.startswith("| uffd-demand | scan | wan | throughput |") for row in rows)
    assert any(row.startswith("| tcp_copy | scan | lan | first access |") for row in rows)
    assert not any("floor" in row for row in rows)


def test_what_reads_from_its_own_host_is_no_rival(tmp_path: Path):
    results = write_campaign(tmp_path / "campaign", Model(reps=6))
    before = _rivals(results)
    runs = pd.read_csv(results / "runs.csv", dtype=str, keep_default_na=False)
    runs.loc[runs["series"] == "tcp_copy", "backend"] = "local-memory"
    runs.to_csv(results / "runs.csv", index=False)
    assert "tcp_copy" in before
    assert _rivals(results) == {"uffd-prefetch", "uffd-demand"}


def _rivals(results: Path) -> set[str]:
    found = outcomes(cells_of(load_campaign(results)), load_policy(None))
    return {cell.series.name for outcome in found
            for cell in (outcome.best, *(rank.cell for rank in outcome.behind))}


def test_controls_are_told_and_not_drawn(tmp_path: Path):
    results = write_campaign(tmp_path / "campaign", Model(reps=12, controls=True, noise=0.015))
    write_report(results)
    text = (results / "report.md").read_text()
    assert "Controls: VALID" in text
    assert "A/A twin equal: throughput of" in text
    assert "planted slow-down found:" in text
    assert "tcp-twin" not in (results / "figures" / "throughput.csv").read_text()
