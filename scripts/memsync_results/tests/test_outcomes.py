"""Who is called the winner, and when nobody is."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memsync_results.cells import Cell, cells_of
from memsync_results.comparing import ONLY, TIE, TOO_NOISY, WINS, Outcome, outcomes
from memsync_results.effects import fewest_pairs, holm, p_above, p_below, p_differs
from memsync_results.load import load_campaign
from memsync_results.policy import load_policy
from memsync_results.report import write_report
from memsync_results.tests.synthetic import Model, write_campaign
from memsync_results.tests.test_verdicts import cell
from memsync_results.winners import sureness

POLICY = load_policy(None)


def named(name: str, values: list[float], noisy: int = 0) -> Cell:
    made = cell(values, noisy=noisy)
    made.ok_rows["first_access_s"] = np.nan
    return replace(made, cell_id=name, series=replace(made.series, name=name, approach=name))


def outcome_of(*cells: Cell) -> Outcome:
    [found] = outcomes(list(cells), POLICY)
    return found


def spread(centre: float, count: int = 12, noise: float = 0.01, seed: int = 1) -> list[float]:
    return list(centre * np.exp(np.random.default_rng(seed).normal(0, noise, count)))


def test_what_leads_by_much_and_beyond_chance_wins():
    found = outcome_of(named("a", spread(100, seed=1)), named("b", spread(80, seed=2)))
    assert (found.word, found.best.series.name) == (WINS, "a")
    assert found.next_best.is_sure
    assert sureness(found.next_best) == "yes (p = 0.00049)"  # 2 / 2^12: two-sided


def test_less_than_the_margin_is_a_tie_however_sure():
    found = outcome_of(named("a", spread(100, noise=1e-4)), named("b", spread(97, noise=1e-4)))
    assert (found.word, found.next_best.tie) == (TIE, "less than 5 % apart")
    assert not found.next_best.is_sure
    assert found.next_best.p_adjusted < 0.01


def test_an_interval_that_holds_1_is_a_tie():
    found = outcome_of(named("a", spread(100, noise=0.5, seed=1)),
                       named("b", spread(90, noise=0.5, seed=2)))
    assert found.word == TIE


def test_where_ratio_and_medians_disagree_nobody_wins():
    better_by_ratio = [10.0, 10.0, 10.0, 30.0, 30.0, 30.0, 9.0]
    better_by_median = [8.0, 8.0, 8.0, 11.0, 25.0, 25.0, 12.0]
    found = outcome_of(named("median", better_by_median), named("ratio", better_by_ratio))
    assert found.best.series.name == "median"
    assert (found.word, found.next_best.tie) == (TIE, "paired by round the other one leads")


def test_a_single_candidate_is_an_outcome_with_its_interval():
    found = outcome_of(named("a", spread(100)), named("floor", spread(1000)))
    assert (found.word, found.best.series.name, found.behind) == (ONLY, "a", [])
    assert found.interval.low < found.interval.median < found.interval.high
    told = found.as_json()
    assert (told["outcome"], told["series"], told["median"]) == (
        "only candidate", "a", found.interval.median)


def test_too_few_rounds_say_how_many_the_comparisons_need():
    rivals = [named(name, spread(100 / (k + 1), 6, seed=k)) for k, name in enumerate("abcd")]
    found = outcome_of(*rivals)
    assert (found.word, found.next_best.is_sure) == (WINS, False)
    assert sureness(found.next_best) == (
        "no: 6 rounds can't be; 6 comparisons need at least 8")
    enough = [named(name, spread(100 / (k + 1), 8, seed=k)) for k, name in enumerate("abcd")]
    assert outcome_of(*enough).next_best.is_sure


@pytest.mark.parametrize("comparisons", [1, 2, 3, 10, 77, 1000])
def test_the_fewest_pairs_are_enough_and_one_less_is_not(comparisons: int):
    needed = fewest_pairs(comparisons, 0.05)
    for count, reached in ((needed, True), (needed - 1, False)):
        p_values = [p_differs(np.arange(1.0, count + 1))] * comparisons
        assert (holm(p_values)[0] < 0.05) == reached


def test_the_test_has_two_sides():
    differences = np.array([0.1, 0.2, -0.05, 0.4, 0.3, 0.25, 0.15])
    assert p_differs(differences) == p_differs(-differences) == 2 * p_above(differences, 0)
    assert p_differs([1.0, -1.0]) == 1.0
    assert p_below(differences, 0) > 0.9


def test_equals_get_a_sure_winner_in_at_most_five_campaigns_of_a_hundred():
    random = np.random.default_rng(3)
    trials, false = 300, 0
    for _ in range(trials):
        rivals = [named(name, list(np.exp(random.normal(0, 0.5, 12)))) for name in "abcde"]
        false += any(rank.is_sure for rank in outcome_of(*rivals).behind)
    assert false / trials <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / trials)


def marked_noisy(directory: Path, share: float, warmups: bool) -> None:
    """Marks the first repetitions of every cell as noisy, or the warm-ups alone."""
    path = directory / "runs.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        is_warmup = row["is_warmup"] == "1"
        row["noisy"] = int(is_warmup if warmups else
                           not is_warmup and int(row["rep"]) <= share * 8)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def test_warm_ups_are_no_noisy_repetitions(campaign_dir: Path):
    marked_noisy(campaign_dir, 0, warmups=True)
    write_report(campaign_dir)
    assert "marked noisy" not in (campaign_dir / "report.md").read_text()


def test_noise_is_counted_as_its_table_counts_it(campaign_dir: Path):
    marked_noisy(campaign_dir, 0.25, warmups=False)
    write_report(campaign_dir)
    text = (campaign_dir / "report.md").read_text()
    assert "66 of 264 repetitions ran while others used the machine" in text
    table = text[text.index("What changes without the repetitions"):].split("\n\n")[1]
    ratios = [line.split("|")[3].strip().split("/") for line in table.splitlines()[2:]]
    assert sum(int(ok) - int(quiet) for quiet, ok in ratios) == 66


def test_a_campaign_that_is_mostly_noise_names_no_winner(campaign_dir: Path):
    marked_noisy(campaign_dir, 0.75, warmups=False)
    found = outcomes(cells_of(load_campaign(campaign_dir)), POLICY)
    assert {outcome.word for outcome in found} == {TOO_NOISY}
    report = write_report(campaign_dir)
    assert "TOO NOISY" in report.headline
    text = (campaign_dir / "report.md").read_text()
    assert "Too noisy to name winners: 198 of 264 repetitions" in text.split("## ")[0]
    section = text[text.index("## Where it loses"):text.index("## Unsupported")]
    assert "Too noisy" in section and "tcp_copy" not in section
    assert {one["series"] for one in report.summary()["outcomes"]} == {None}


def test_the_page_states_the_threshold_and_the_single_candidate(tmp_path: Path):
    directory = write_campaign(tmp_path / "c", Model(
        reps=12, unsupported={("uffd-prefetch", "move", link) for link in ("local", "lan")}))
    report = write_report(directory)
    text = (directory / "report.md").read_text()
    assert r"p \< 0.05 of a two-sided exact signed-rank test after Holm's correction" in text
    single = [one for one in report.summary()["outcomes"]
              if (one["workload"], one["link"]) == ("move", "lan")]
    assert {one["outcome"] for one in single} == {"only candidate"}
    assert "only candidate | uffd-demand |" in text
    json.dumps(report.summary())
