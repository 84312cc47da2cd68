"""The table of what becomes of approaches behind a NAT and in an outage."""

import json
from pathlib import Path

from memsync_results import load
from memsync_results.hard_links import hard_link_blocks
from memsync_results.page import Block, Table
from memsync_results.tests.synthetic import Model, sign, write_campaign

LINKS = [("lan", 125e6, 0.001), ("nat", 12.5e6, 0.05), ("outage", 125e6, 0.001)]
NAT, OUTAGE = {"dials": "destination"}, {"cut_after_s": 1.0, "cut_s": 5.0}


def blocks_of(directory: Path, model: Model, facts: dict[str, dict]) -> list[Block]:
    write_campaign(directory, model)
    path = directory / "registry.json"
    registry = json.loads(path.read_text(encoding="utf-8"))
    for link in registry["links"]:
        link |= facts.get(link["name"], {})
    path.write_text(json.dumps(registry), encoding="utf-8")
    sign(directory)
    return hard_link_blocks(load.load_campaign(directory))


def tables_of(directory: Path, model: Model, facts: dict[str, dict]) -> dict[str, dict]:
    """Table -> series -> workload -> text."""
    return {
        block.caption.partition(":")[0]: {
            row[0]: dict(zip(block.columns[1:], row[1:], strict=True)) for row in block.rows}
        for block in blocks_of(directory, model, facts) if isinstance(block, Table)
    }


def test_plain_links_have_no_table(tmp_path: Path) -> None:
    assert blocks_of(tmp_path / "r", Model(reps=2), {}) == []


def test_each_kind_of_end_has_its_word(tmp_path: Path) -> None:
    model = Model(
        reps=4, warmup=0, links=LINKS,
        unsupported={("uffd-demand", "move", "nat")},
        failed={("uffd-demand", "scan", "nat"): "failed", ("tcp_copy", "scan", "nat"): "timeout",
                ("tcp_copy", "probe", "nat"): "corrupt"},
        columns={"gave_up_s": 7.0},
    )
    tables = tables_of(tmp_path / "r", model, {"nat": NAT})
    assert list(tables) == ["nat"]
    nat = tables["nat"]
    assert nat["uffd-prefetch"]["scan"] == "works"
    assert nat["uffd-demand"]["move"] == "n/a"
    assert nat["uffd-demand"]["scan"] == ("errs (2 of 4) after 7 s: a synthetic failed, told with, "
                                          "a comma")
    assert nat["tcp_copy"]["scan"] == "waits (2 of 4): not done after 7 s"
    assert nat["tcp_copy"]["probe"].startswith("corrupt (2 of 4)")
    assert nat["tcp_copy"]["move"] == ""  # excluded


def test_an_outage_is_told_by_how_much_longer_it_took(tmp_path: Path) -> None:
    slower = {("uffd-prefetch", "scan", "outage"): 30.0}
    tables = tables_of(tmp_path / "r", Model(reps=4, links=LINKS, slower=slower), {"outage": OUTAGE})
    assert tables["outage"]["uffd-prefetch"]["scan"].startswith("resumes: ")
    assert tables["outage"]["uffd-prefetch"]["scan"].endswith(" s longer")
    assert tables["outage"]["floor"]["scan"] == "works: the cut did not stop it"


def test_without_the_same_link_uncut_nothing_is_said_of_time(tmp_path: Path) -> None:
    tables = tables_of(tmp_path / "r", Model(reps=2, links=LINKS[1:]), {"outage": OUTAGE})
    assert tables["outage"]["tcp_copy"]["scan"] == "resumes"
