"""`memsync demands`: ratios round by round, and what is said where none can be had."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memsync_results import demands, formula
from memsync_results.load import load_campaign
from memsync_results.tests.conftest import call_verb
from memsync_results.tests.synthetic import Model, sign, write_campaign

SCAN = {"series": "tcp_copy", "workload": "scan", "link": "lan", "column": "throughput_Bps"}


def demand(required: str = ">= 0.5", **changes: Any) -> dict[str, Any]:
    """tcp_copy's scan against the demand-only one's, unless `changes` say otherwise."""
    comparison, bound = required.split()
    against = {**SCAN, "series": "uffd-demand"}
    return {"id": "D1", "what": "a test", "ours": SCAN, "against": against, "limit": None,
            "required": required, "comparison": comparison, "bound": float(bound), "pairs": 7,
            **changes}


def demanding(directory: Path, *wanted: dict[str, Any]) -> Path:
    path = directory / "registry.json"
    registry = json.loads(path.read_text())
    registry["demands"] = list(wanted)
    path.write_text(json.dumps(registry))
    sign(directory)
    return directory


def findings(directory: Path, *wanted: dict[str, Any]) -> list[demands.Finding]:
    return demands.judge_demands(load_campaign(demanding(directory, *wanted)))


def change_rows(directory: Path, change: Callable[[dict[str, str]], None]) -> None:
    path = directory / "runs.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        change(row)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    sign(directory)


def set_throughputs(directory: Path, of: dict[str, list[float]]) -> None:
    """Gives a series' scan over lan these values, by block."""

    def change(row: dict[str, str]) -> None:
        if row["workload"] == "scan" and row["link"] == "lan" and row["series"] in of:
            row["throughput_Bps"] = str(of[row["series"]][int(row["block"]) - 1])

    change_rows(directory, change)


def test_the_ratio_is_the_median_of_the_ratios_of_each_round(tmp_path: Path):
    directory = write_campaign(tmp_path / "c", Model(reps=7))
    # The machine's speed drifts by 100; each round's ratio does not, the medians' would.
    theirs = [100, 1000, 200, 5000, 10000, 300, 700]
    ratios = [2.0, 3.0, 2.0, 2.0, 1.0, 3.0, 2.0]
    set_throughputs(directory, {"uffd-demand": theirs,
                                "tcp_copy": [a * b for a, b in zip(theirs, ratios, strict=True)]})
    met, missed = findings(directory, demand(">= 2"), demand("> 2", id="D2"))
    assert met.ratio == pytest.approx(2) and met.pairs == 7
    assert met.theirs == pytest.approx(np.median(theirs))
    assert (met.met, missed.met) == ("yes", "no")
    assert met.note.startswith("met by the median; interval ")
    assert missed.note.startswith("missed by the median; interval ")


def test_a_clear_answer_needs_no_note(tmp_path: Path):
    directory = write_campaign(tmp_path / "c", Model(reps=8))
    yes, no = findings(directory, demand(">= 2"), demand("<= 2", id="D2"))
    assert (yes.met, yes.note) == ("yes", "")
    assert (no.met, no.note) == ("no", "")


def test_too_few_rounds_say_nothing(tmp_path: Path):
    directory = write_campaign(tmp_path / "c", Model(reps=6))
    (found,) = findings(directory, demand())
    assert found.met == "unmeasured" and found.pairs == 6 and found.ratio is not None
    assert found.note == "6 rounds have both sides, 7 are asked for"


@pytest.mark.parametrize(("model", "changes", "note"), [
    (Model(reps=8, unsupported={("uffd-demand", "scan", "lan")}), {},
     "uffd-demand/scan/lan is unsupported: a synthetic unsupported"),
    (Model(reps=8), {"against": {**SCAN, "workload": "move"}},
     "tcp_copy/move/lan is not in the plan: excluded or filtered out"),
    (Model(reps=8), {"ours": {**SCAN, "column": "durable_s"}}, "its durable_s is empty"),
    (Model(reps=8), {"against": None, "limit": "durable_s * 2"}, "needs a column that is empty"),
    (Model(reps=8), {"against": None, "limit": "no_column"}, "there is no column no_column"),
    (Model(reps=8), {"ours": {**SCAN, "column": "limit_Bps"},
                     "against": {**SCAN, "series": "floor", "column": "payload_B"}},
     "the other side is 0"),
])
def test_what_is_missing_is_named(tmp_path: Path, model: Model, changes: dict, note: str):
    directory = write_campaign(tmp_path / "c", model)
    (found,) = findings(directory, demand(**changes))
    assert found.met == "unmeasured" and note in found.note
    assert found.record()["ratio"] == ""


def test_failed_repetitions_are_no_pairs(tmp_path: Path):
    directory = write_campaign(tmp_path / "c", Model(
        reps=20, failed={("uffd-demand", "scan", "lan"): "timeout"}))
    (found,) = findings(directory, demand())
    assert found.pairs == 10


def test_a_limit_is_that_of_each_row(tmp_path: Path):
    directory = write_campaign(tmp_path / "c", Model(reps=8))
    (found,) = findings(directory, demand("<= 1", against=None,
                                          limit="1.02*min(rate_meas_Bps,limit_Bps)"))
    assert found.met == "yes" and 0.5 < found.ratio < 1
    (constant,) = findings(directory, demand("<= 1", against=None, limit="1000.0"))
    assert constant.met == "no" and constant.theirs == 1000


def test_a_ratio_may_be_nothing_at_all(tmp_path: Path):
    directory = write_campaign(tmp_path / "c", Model(reps=8))

    def change(row: dict[str, str]) -> None:
        row["minor_faults"] = "0" if row["series"] == "tcp_copy" else "1000"

    change_rows(directory, change)
    ours = {**SCAN, "column": "minor_faults"}
    (found,) = findings(directory, demand("<= 0.03", ours=ours,
                                          against={**ours, "series": "uffd-demand"}))
    assert found.met == "yes" and found.ratio == 0


def test_the_verb_writes_a_table_and_never_fails_of_a_miss(tmp_path: Path):
    directory = demanding(write_campaign(tmp_path / "c", Model(reps=8)), demand("<= 0.001"),
                          demand(id="D2", what='told, "with" a comma'))
    done = call_verb("demands", str(directory))
    assert done.returncode == 0, done.stderr
    assert "✗ no" in done.stdout and "✓ yes" in done.stdout
    assert done.stdout.splitlines()[-1] == "2 demands: 1 met, 1 missed, 0 unmeasured"
    with (directory / "demands.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert list(first) == demands.COLUMNS
    assert (first["met"], first["unit"], first["n"]) == ("no", "B/s", "8")
    assert second["what"] == 'told, "with" a comma'
    assert json.loads(call_verb("demands", str(directory), "--json").stdout)[0]["met"] == "no"


def test_a_suite_without_demands_has_none_to_judge(campaign_dir: Path):
    done = call_verb("demands", str(campaign_dir))
    assert done.returncode == 64 and "has no `demands`" in done.stderr
    assert not (campaign_dir / "demands.csv").exists()


@pytest.mark.parametrize("broken", [
    {"comparison": "=="}, {"bound": -1}, {"pairs": 0}, {"ours": {"series": "tcp_copy"}},
])
def test_a_registry_that_demands_nonsense_is_refused(campaign_dir: Path, broken: dict):
    demanding(campaign_dir, demand(**broken))
    done = call_verb("demands", str(campaign_dir))
    assert done.returncode == 64 and "registry.json" in done.stderr


def test_verify_holds_the_table_against_the_rows(campaign_dir: Path):
    demanding(campaign_dir, demand())
    assert "demands.csv is missing" in call_verb("verify", str(campaign_dir)).stdout
    call_verb("demands", str(campaign_dir))
    assert call_verb("verify", str(campaign_dir)).returncode == 0
    path = campaign_dir / "demands.csv"
    path.write_text(path.read_text().replace("yes", "no"))
    done = call_verb("verify", str(campaign_dir))
    assert done.returncode == 4 and "demands.csv is not what the rows give" in done.stdout


def test_nothing_is_said_of_what_was_changed_afterwards(campaign_dir: Path):
    demanding(campaign_dir, demand())
    path = campaign_dir / "runs.csv"
    path.write_text(path.read_text().replace(",ok,", ",timeout,", 1))
    done = call_verb("demands", str(campaign_dir))
    assert done.returncode == 4 and "runs.csv was changed" in done.stderr and not done.stdout
    assert not (campaign_dir / "demands.csv").exists()
    call_verb("report", str(campaign_dir))
    assert "What the suite demands" not in (campaign_dir / "report.html").read_text()


def test_the_report_tells_them_by_word_sign_and_colour(campaign_dir: Path):
    demanding(campaign_dir, demand("<= 0.001"), demand(id="D2"), demand(id="D3", pairs=99))
    assert call_verb("report", str(campaign_dir)).returncode == 0
    page = (campaign_dir / "report.html").read_text()
    for cell in ('<td class="alarm">✗ no</td>', '<td class="good">✓ yes</td>',
                 '<td class="note">– unmeasured</td>'):
        assert cell in page


def test_the_gate_judges_misses_only_where_its_policy_says_so(tmp_path: Path):
    base = write_campaign(tmp_path / "base", Model(reps=12))
    head = demanding(write_campaign(tmp_path / "head", Model(reps=12)),
                     demand("<= 0.001"), demand(id="D2", pairs=99))
    policy = tmp_path / "policy.yaml"
    asked = ("gate", str(head), "--baseline", str(base), "--policy", str(policy))
    policy.write_text("schema: 1\nmeasures: {throughput_Bps: 5%}\n")
    told = call_verb(*asked)
    assert "demands missed" not in told.stdout and told.returncode == 0, told.stdout + told.stderr
    policy.write_text("schema: 1\ndemands: judge\nmeasures: {throughput_Bps: 5%}\n")
    judged = call_verb(*asked)
    assert judged.returncode == 1 and "1 demands missed" in judged.stdout
    assert "MISSED D1: a test" in judged.stdout and "D2" not in judged.stdout
    assert "D1" in (head / "junit.xml").read_text()


def test_controls_that_failed_leave_no_demand_missed(tmp_path: Path):
    base = write_campaign(tmp_path / "base", Model(reps=12))
    head = demanding(write_campaign(tmp_path / "head", Model(reps=12)), demand("<= 0.001"))
    policy = tmp_path / "policy.yaml"
    policy.write_text("schema: 1\ndemands: judge\ncontrols: required\n"
                      "measures: {throughput_Bps: 5%}\n")
    judged = call_verb("gate", str(head), "--baseline", str(base), "--policy", str(policy))
    assert judged.returncode == 3 and "INVALID" in judged.stdout
    assert "missed" not in judged.stdout and "MISSED" not in judged.stdout


def columns(name: str) -> np.ndarray:
    return {"a_s": np.array([1.0, 2.0, np.nan]), "b_s": np.array([4.0, 5.0, 6.0])}[name]


@pytest.mark.parametrize(("text", "values"), [
    ("1.5*a_s+0.003", [1.503, 3.003, np.nan]), ("min(a_s,b_s,3.0)", [1, 2, np.nan]),
    ("-(b_s-a_s)/2", [-1.5, -1.5, np.nan]), ("1e-05*b_s", [4e-5, 5e-5, 6e-5]),
    ("b_s/0", [np.inf] * 3),
])
def test_a_formula_is_arithmetic_row_by_row(text: str, values: list[float]):
    np.testing.assert_allclose(formula.evaluate(text, columns), values)


@pytest.mark.parametrize("text", [
    "", "a_s +", "c_s", "__import__('os')", "a_s.real", "a_s[0]", "a_s ** 2", "True", "'a'",
    "lambda: 1", "min()", "min(a_s, key=b_s)", "abs(a_s)", "(" * 500 + "1" + ")" * 500, "1" * 2000,
])
def test_nothing_else_is_a_formula(text: str):
    with pytest.raises(ValueError):
        formula.evaluate(text, columns)
