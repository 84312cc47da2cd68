"""The first screen of a report: who wins where, told by approach."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from memsync_results.answers import answer_blocks, plain_answers, rival_of, word_of
from memsync_results.cells import Cell, cells_of
from memsync_results.commands import command_blocks
from memsync_results.comparing import ONLY, TIE, WINS, outcomes
from memsync_results.load import load_campaign
from memsync_results.page import Commands, Items, Strong, Table
from memsync_results.policy import load_policy
from memsync_results.report import write_report
from memsync_results.tests.synthetic import SWEEP_LINKS, Model, write_campaign
from memsync_results.tests.test_outcomes import named, outcome_of, spread


def of_approach(cell: Cell, approach: str) -> Cell:
    return replace(cell, series=replace(cell.series, approach=approach))


def test_the_best_of_an_approach_is_compared_with_other_approaches_not_with_its_variant():
    best = of_approach(named("pull", spread(100, seed=1)), "pull")
    variant = of_approach(named("pull-demand", spread(99, seed=2)), "pull")
    copy = named("copy", spread(50, seed=3))
    found = outcome_of(best, variant, copy)
    assert found.word == TIE  # of all series
    assert (word_of(found), rival_of(found).cell.series.name) == (WINS, "copy")
    [sentence] = plain_answers([found])
    assert "2.0" in sentence and "× copy's (" in sentence and ", sure)" in sentence
    assert "pull-demand" not in sentence


def test_the_nearest_of_the_other_approaches_is_the_rival():
    copies = [of_approach(named(f"copy{k}", spread(k, seed=k)), "copy") for k in (50, 80, 60)]
    found = outcome_of(named("pull", spread(100, seed=1)), *copies)
    assert rival_of(found).cell.series.name == "copy80"
    assert "copy80 (copy)'s" in plain_answers([found])[0]


def test_an_approach_with_its_own_variants_alone_is_the_only_candidate():
    both = [of_approach(named(name, spread(value, seed=value)), "pull")
            for name, value in (("pull", 100), ("pull-demand", 50))]
    found = outcome_of(*both)
    assert (found.word, word_of(found)) == (WINS, ONLY)
    assert ", only candidate: " in plain_answers([found])[0]


def test_a_tie_names_both_and_why():
    found = outcome_of(named("a", spread(100, noise=1e-4)), named("b", spread(97, noise=1e-4)))
    [sentence] = plain_answers([found])
    assert "tie of a " in sentence and " and b " in sentence
    assert sentence.endswith("less than 5 % apart).")


def test_what_is_not_sure_says_so():
    found = outcome_of(named("a", spread(100, 5, seed=1)), named("b", spread(50, 5, seed=2)))
    assert plain_answers([found])[0].endswith(", not sure).")
    _, note = answer_blocks([found])
    assert note.text == "Not sure: 5 rounds can't be; 1 comparison needs at least 6."
    enough = outcome_of(named("a", spread(100, seed=1)), named("b", spread(50, seed=2)))
    assert len(answer_blocks([enough])) == 1


def test_the_range_of_few_repetitions_is_no_interval():
    _, note = answer_blocks([outcome_of(named("a", spread(100, 3)))])
    assert note.text == "*: the full range; fewer than 6 repetitions give no 95 % interval."


def test_a_time_counts_round_trips_and_what_takes_longer_is_named(tmp_path: Path):
    cells = cells_of(load_campaign(write_campaign(tmp_path / "c", Model(reps=12))))
    told = plain_answers(outcomes(cells, load_policy(None)))
    first = next(text for text in told if "first access" in text and "scan" in text
                 and text.partition(":")[0].endswith("(scan), wan (RTT 50 ms, 100 Mbit/s)"))
    assert " = 1.0 RTT, tcp_copy takes " in first and "× as long (" in first


def blocks_of(directory: Path, **model) -> list:
    cells = cells_of(load_campaign(write_campaign(directory, Model(**model))))
    return answer_blocks(outcomes(cells, load_policy(None)))


def test_few_places_are_sentences_and_many_are_tables_of_the_same_size(tmp_path: Path):
    few, _ = blocks_of(tmp_path / "few", reps=6)
    assert isinstance(few, Items) and len(few.items) == 9
    *many, _ = blocks_of(tmp_path / "many", reps=6, links=SWEEP_LINKS)
    assert [type(block) for block in many] == [Table] * 3  # a workload each
    assert all(len(block.rows) == len(SWEEP_LINKS) for block in many)
    assert many[0].rows[1][0] == "RTT\N{NO-BREAK SPACE}1\N{NO-BREAK SPACE}ms"
    assert all(isinstance(row[1], Strong) for block in many for row in block.rows)


def test_the_answers_come_first_and_the_question_right_after(tmp_path: Path):
    directory = write_campaign(tmp_path / "c", Model(reps=12))
    write_report(directory)
    parts = (directory / "report.md").read_text(encoding="utf-8").split("\n\n")
    assert parts[1] == "## Outcome at a glance"
    assert parts[2].startswith("* Reading it all (scan), local ")
    assert parts[3].startswith("Question: ") and parts[4].startswith("Hypothesis, written before")


@pytest.mark.parametrize("where", ["..", ".", "/"])
def test_the_page_is_the_same_from_wherever_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
):
    directory = write_campaign(tmp_path / "c", Model(reps=2, controls=True,
                                                     manifest={"complete": False}))
    write_report(directory)
    names = ("report.md", "report.html")
    once = {name: (directory / name).read_bytes() for name in names}
    monkeypatch.chdir(directory / where)
    write_report(Path(os.path.relpath(directory)))
    assert [name for name in names if (directory / name).read_bytes() != once[name]] == []
    assert str(tmp_path) not in once["report.html"].decode()
    assert b"memsync verify c" in once["report.md"]


def commands_of(directory: Path, **manifest) -> list[str]:
    campaign = load_campaign(write_campaign(directory, Model(reps=1, manifest=manifest)))
    [commands] = [b for b in command_blocks(campaign) if isinstance(b, Commands)]
    return [command for _, command in commands.lines]


def test_the_commands_name_the_directory_and_repeat_the_options(tmp_path: Path):
    argv = ["/x/memsync", "run", "synthetic", "--controls", "--out", "/x/y", "--reps", "5",
            "--peer", "umap=peers/umap", "--filter=link=lan,series=a*", "--agent-token", "secret"]
    assert commands_of(tmp_path / "my results", argv=argv) == [
        "memsync verify 'my results'", "memsync report 'my results'",
        "memsync run 'my results/suite.yaml' --controls --reps 5 "
        "--peer umap=peers/umap '--filter=link=lan,series=a*'"]


def test_a_suite_that_names_files_is_run_from_where_it_lies(tmp_path: Path):
    directory = write_campaign(tmp_path / "c", Model(reps=1, manifest={"suite_path": "a/b.yaml"}))
    path = directory / "suite.yaml"
    path.write_text(path.read_text() + "content: file:x.bin\n")
    [commands] = [b for b in command_blocks(load_campaign(directory)) if isinstance(b, Commands)]
    assert commands.lines[2][1] == "memsync run a/b.yaml"
