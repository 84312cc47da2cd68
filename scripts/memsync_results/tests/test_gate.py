"""The gate as CI calls it: exit codes, files, and never a green for what can't be judged."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from memsync_results.tests.conftest import call_verb
from memsync_results.tests.synthetic import Model, sign, write_campaign

LAN_SCAN = ("uffd-prefetch", "scan", "lan")
LINKS = [("lan", 125e6, 0.001), ("wan", 12.5e6, 0.05)]
WAN_MOVE = ("uffd-prefetch", "move", "wan")


@pytest.fixture
def campaigns(tmp_path: Path):
    """Makes a baseline and a head; keyword arguments change the head."""

    def make(reps: int = 20, base: dict | None = None, **head) -> tuple[str, str]:
        defaults = {"reps": reps, "controls": True, "noise": 0.015, "links": LINKS}
        first = write_campaign(tmp_path / "base", Model(**{**defaults, "seed": 1, **(base or {})}))
        second = write_campaign(tmp_path / "head", Model(**{**defaults, "seed": 2, **head}))
        return str(second), str(first)

    return make


def gate(results: str, baseline: str, *more: str):
    done = call_verb("gate", results, "--baseline", baseline, *more)
    assert "Traceback" not in done.stderr
    return done


def test_equal_campaigns_are_green(campaigns):
    results, baseline = campaigns()
    done = gate(results, baseline)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("GREEN: ")
    assert "controls VALID" in done.stdout


@pytest.mark.parametrize(("cell", "factor", "measure"), [
    (LAN_SCAN, 1.12, "throughput_Bps"), (WAN_MOVE, 1.15, "blackout_s"),
])
def test_a_slow_down_is_red_everywhere_it_is_told(campaigns, cell, factor, measure):
    # Its controls are the same code, and slower by as much.
    same = [cell, ("uffd-twin", *cell[1:]), ("uffd-planted", *cell[1:])]
    results, baseline = campaigns(slower=dict.fromkeys(same, factor))
    done = gate(results, baseline, "--annotations", "github")
    assert done.returncode == 1, done.stdout
    assert done.stdout.startswith("RED: ")
    told = [line for line in done.stdout.splitlines() if line.startswith("REGRESSION ")]
    assert any(measure in line for line in told)
    assert "::error title=memsync: regression::REGRESSION" in done.stdout
    verdicts = json.loads((Path(results) / "verdicts.json").read_text())
    assert verdicts["exit_code"] == 1
    red = [v for v in verdicts["verdicts"] if v["verdict"] == "REGRESSION"]
    assert {(v["series"], v["workload"], v["link"]) for v in red} == {cell}
    suite = ElementTree.parse(Path(results) / "junit.xml").getroot().find("testsuite")
    assert int(suite.get("failures")) == len(red)
    assert "REGRESSION" in (Path(results) / "gate.md").read_text()


def test_the_text_says_the_outcome_first_and_last_and_counts_what_is_equal(campaigns):
    lines = gate(*campaigns(slower={LAN_SCAN: 0.8})).stdout.splitlines()
    assert lines[0] == lines[-1]
    equal = [line for line in lines if line.startswith("EQUIVALENT")]
    assert equal == [f"EQUIVALENT: {lines[0].split(' EQUIVALENT')[0].split()[-1]} measures of "
                     "cells (--json shows each)"]
    assert any(line.startswith("IMPROVED c") for line in lines)


def test_what_is_faster_is_green_and_told(campaigns):
    done = gate(*campaigns(slower={LAN_SCAN: 0.8}))
    assert done.returncode == 0
    assert "IMPROVED" in done.stdout


@pytest.mark.parametrize(("status", "code"), [
    ("corrupt", 1), ("crashed", 4), ("failed", 4), ("timeout", 4), ("invalid", 4),
])
def test_a_repetition_that_failed_is_never_green(campaigns, status, code):
    done = gate(*campaigns(failed={LAN_SCAN: status}))
    assert done.returncode == code, done.stdout
    assert f"{status.upper()} c" in done.stdout


def test_a_cell_that_became_unsupported_is_red(campaigns):
    assert gate(*campaigns(unsupported={LAN_SCAN})).returncode == 4


def test_a_cell_unsupported_in_both_is_a_note(campaigns):
    both = {"unsupported": {LAN_SCAN}}
    done = gate(*campaigns(base=both, **both))
    assert done.returncode == 0
    assert "is unsupported in both" in done.stdout


def test_an_empty_campaign_and_one_of_failures_alone_are_red(campaigns):
    results, baseline = campaigns()
    path = Path(results) / "runs.csv"
    rows = path.read_text().splitlines(keepends=True)
    path.write_text(rows[0])
    sign(Path(results))
    done = gate(results, baseline)
    assert (done.returncode, "nothing was compared" in done.stdout) == (4, True)
    path.write_text("".join([rows[0], *(r.replace(",ok,", ",failed,") for r in rows[1:])]))
    sign(Path(results))
    done = gate(results, baseline)
    assert (done.returncode, "FAILED c" in done.stdout) == (4, True)


def test_a_missing_cell_is_red(campaigns):
    results, baseline = campaigns(links=LINKS[:1])
    done = gate(results, baseline)
    assert done.returncode == 4
    assert "MISSING" in done.stdout


def test_too_few_repetitions_are_undecided_with_the_number_that_is_needed(campaigns):
    done = gate(*campaigns(reps=3))
    assert done.returncode == 3
    assert "a verdict needs at least 10" in done.stdout


def test_a_twin_that_differs_makes_the_campaign_invalid(campaigns):
    done = gate(*campaigns(slower={("tcp-twin", "scan", "lan"): 1.2}))
    assert done.returncode == 3
    assert done.stdout.startswith("UNDECIDED, INVALID: ")
    assert "the A/A twin differs from its original" in done.stdout


def test_an_invalid_campaign_has_no_verdicts_anywhere(campaigns):
    # One twin is off by a third: were that a floor, two thirds would count as equal.
    results, baseline = campaigns(slower={("tcp-twin", "scan", "lan"): 1.5, LAN_SCAN: 1.3})
    done = gate(results, baseline, "--annotations", "github")
    assert done.returncode == 3
    told = json.loads((Path(results) / "verdicts.json").read_text())
    assert {v["verdict"] for v in told["verdicts"]} == {"NOT JUDGED"}
    assert {v["without_noisy"] for v in told["verdicts"]} == {None}
    assert "throughput_Bps" in told["controls"]["floors"]  # of the baseline's, which passed
    assert told["controls"]["floors"]["throughput_Bps"] < 0.05
    for verdict in told["verdicts"]:
        if verdict["measure"] == "throughput_Bps":
            assert verdict["delta"] == pytest.approx(0.05, abs=0.05)
    junit = (Path(results) / "junit.xml").read_text()
    suite = ElementTree.fromstring(junit).find("testsuite")
    assert int(suite.get("errors")) == int(suite.get("tests")) > len(told["verdicts"])
    for text in (done.stdout, junit, (Path(results) / "gate.md").read_text()):
        for word in ("REGRESSION", "IMPROVED", "EQUIVALENT", "INCONCLUSIVE"):
            assert word not in text


def test_noise_beyond_the_policys_limit_is_never_called_equal(campaigns, tmp_path: Path):
    # A twin that is off by a seventh, and passes, since its own tolerance is a fifth.
    twin = {("tcp-twin", "scan", "lan"): 1.13}
    results, baseline = campaigns(slower=twin, base={"slower": twin})
    policy = tmp_path / "policy.yaml"
    text = "schema: 1\nmeasures: {throughput_Bps: 20%, first_access_s: 20%}\n"
    policy.write_text(text + "largest_delta: 30%\n")
    assert gate(results, baseline, "--policy", str(policy)).returncode == 0
    policy.write_text(text)
    done = gate(results, baseline, "--policy", str(policy))
    assert done.returncode == 3, done.stdout
    assert "controls VALID" in done.stdout
    assert "this machine is too noisy to tell less than 26 %" in done.stdout
    write_campaign(Path(results), Model(reps=20, controls=True, noise=0.015, seed=2, links=LINKS,
                                        slower={**twin, LAN_SCAN: 1.5}))
    done = gate(results, baseline, "--policy", str(policy))
    assert (done.returncode, "REGRESSION c" in done.stdout) == (1, True)  # more than 26 % is told


def test_a_planted_delay_that_is_not_found_makes_the_campaign_invalid(campaigns):
    done = gate(*campaigns(slower={("tcp-planted", "scan", "lan"): 0.8}))
    assert done.returncode == 3
    assert "a planted slow-down was not found" in done.stdout


def test_what_beats_the_floor_makes_the_campaign_invalid(campaigns):
    done = gate(*campaigns(slower={("floor", "scan", "lan"): 1000.0}))
    assert done.returncode == 3
    assert "which moves no bytes" in done.stdout


def test_without_controls_it_says_so_and_a_policy_can_insist(campaigns, tmp_path: Path):
    results, baseline = campaigns(controls=False, base={"controls": False})
    done = gate(results, baseline)
    assert done.returncode == 0
    assert "controls UNCONTROLLED; no A/A twin was run" in done.stdout
    policy = tmp_path / "policy.yaml"
    policy.write_text("schema: 1\ncontrols: required\nmeasures: {throughput_Bps: 5%}\n")
    assert gate(results, baseline, "--policy", str(policy)).returncode == 3


def test_a_policy_decides_what_matters(campaigns, tmp_path: Path):
    results, baseline = campaigns(slower={LAN_SCAN: 1.12})
    policy = tmp_path / "policy.yaml"
    policy.write_text("schema: 1\nmeasures: {throughput_Bps: 30%, blackout_s: 2ms}\n")
    assert gate(results, baseline, "--policy", str(policy)).returncode == 0


@pytest.mark.parametrize(("text", "sentence"), [
    ("schema: 2\nmeasures: {throughput_Bps: 5%}", "schema is 2, expected 1"),
    ("schema: 1\nmeasures: {speed: 5%}", "speed is no measure"),
    ("schema: 1\nmeasures: {throughput_Bps: fast}", "'fast' is no quantity"),
    ("schema: 1\nmeasures: {blackout_s: 5MB}", "has not the unit of blackout_s"),
    ("schema: 1\nfewest_pairs: 3\nmeasures: {blackout_s: 5%}", "no exact test of fewer"),
    ("schema: 1\ntolerance: 5%\nmeasures: {blackout_s: 5%}", "tolerance is no key"),
    ("schema: 1\nlargest_delta: much\nmeasures: {blackout_s: 5%}", "largest_delta: 'much' is no"),
    ("schema: 1\nmeasures: [", "policy.yaml"),
    ("schema: 1\nmeasures: {}", "names at least one measure"),
])
def test_a_wrong_policy_is_64(campaigns, tmp_path: Path, text: str, sentence: str):
    results, baseline = campaigns(reps=6)
    policy = tmp_path / "policy.yaml"
    policy.write_text(text)
    done = gate(results, baseline, "--policy", str(policy))
    assert done.returncode == 64
    assert sentence in done.stderr


def test_a_policy_that_is_no_text_is_64_in_one_sentence(campaigns, tmp_path: Path):
    results, baseline = campaigns(reps=6)
    policy = tmp_path / "policy.yaml"
    policy.write_bytes(b"schema: 1\n# \xff\n")
    done = gate(results, baseline, "--policy", str(policy))
    assert (done.returncode, done.stderr) == (64, f"memsync: {policy} is not UTF-8 at byte 12\n")


@pytest.mark.parametrize(("change", "code", "sentence"), [
    ({"columns": {"host_id": "elsewhere"}}, 4, "figures of two machines can't be compared"),
    ({"columns": {"link_engine": "tc"}}, 64, "rows of different engines are never pooled"),
    ({"columns": {"content_hash": "abc"}}, 64, "moved other bytes"),
    ({"links": [("lan", 125e6, 0.010)]}, 64, "link lan has rtt_s 0.001"),
    ({"links": [("other", 125e6, 0.010)]}, 64, "share no workload or no link"),
])
def test_what_can_not_be_compared_is_refused(campaigns, change, code, sentence):
    base = {"columns": {"content_hash": "def"}} if "content_hash" in str(change) else {}
    results, baseline = campaigns(reps=6, base=base, controls=False, **change)
    done = gate(results, baseline)
    assert done.returncode == code
    assert sentence in done.stderr


def test_no_baseline_is_4_and_a_campaign_against_itself_64(campaigns):
    results, _ = campaigns(reps=6)
    assert call_verb("gate", results).returncode == 4
    assert gate(results, results).returncode == 64
    assert gate(results, results + "-absent").returncode == 4


@pytest.mark.parametrize(("old", "new"), [
    (",ok,", ",fine,"), ("1,synthetic,", "9,synthetic,"), (",tun,", ","),
])
def test_a_damaged_table_is_64(campaigns, old: str, new: str):
    results, baseline = campaigns(reps=6)
    path = Path(results) / "runs.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    sign(Path(results))
    assert gate(results, baseline).returncode == 64


def set_value(results: str, column: str, text: str) -> None:
    """Edits one value of the last row, as somebody with an editor does."""
    path = Path(results) / "runs.csv"
    rows = path.read_text().splitlines()
    header = rows[0].split(",")
    at = next(k for k in range(len(rows) - 1, 0, -1) if rows[k].split(",")[header.index(column)])
    fields = rows[at].split(",")
    fields[header.index(column)] = text
    path.write_text("\n".join([*rows[:at], ",".join(fields), *rows[at + 1:]]) + "\n")


@pytest.mark.parametrize("side", [0, 1])
def test_an_edited_value_is_4_and_told_with_what_to_do(campaigns, side: int):
    both = campaigns(reps=6)
    set_value(both[side], "throughput_Bps", "-5")
    for done in (gate(*both), call_verb("compare", *reversed(both))):
        assert (done.returncode, done.stdout) == (4, "")
        assert len(done.stderr.splitlines()) == 1
        assert f"{both[side]}: runs.csv was changed after the campaign" in done.stderr
        assert f"memsync verify {both[side]}" in done.stderr


def test_an_edited_value_that_was_signed_again_is_64(campaigns):
    results, baseline = campaigns(reps=6)
    set_value(results, "throughput_Bps", "-5")
    sign(Path(results))
    done = gate(results, baseline)
    assert (done.returncode, "throughput_Bps '-5' is negative" in done.stderr) == (64, True)


@pytest.mark.parametrize("name", ["env.json", "calibration.json", "registry.json", "suite.yaml"])
def test_a_lost_and_a_changed_file_are_4(campaigns, name: str):
    results, baseline = campaigns(reps=6)
    path = Path(results) / name
    path.write_text(path.read_text() + "\n")
    assert f"{name} was changed" in gate(results, baseline).stderr
    path.unlink()
    done = gate(results, baseline)
    assert (done.returncode, f"{name} is missing" in done.stderr) == (4, True)


def test_a_campaign_without_digests_is_4(campaigns):
    results, baseline = campaigns(reps=6)
    path = Path(results) / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["files"]
    path.write_text(json.dumps(manifest))
    done = gate(results, baseline)
    assert (done.returncode, "names no digests" in done.stderr) == (4, True)


def test_compare_takes_a_tolerance_and_writes_nothing(campaigns):
    results, baseline = campaigns(slower={LAN_SCAN: 1.12})
    assert call_verb("compare", baseline, results).returncode == 1
    done = call_verb("compare", baseline, results, "--delta", "30%", "--json")
    assert done.returncode in (0, 3)  # 30 % of a noisy p99 may be open
    assert json.loads(done.stdout)["exit_code"] == done.returncode
    assert not (Path(results) / "verdicts.json").exists()
    assert call_verb("compare", baseline, results, "--delta", "much").returncode == 64


def test_interleaved_campaigns_need_no_warning(campaigns):
    both = {"manifest": {"interleaved": "token"}}
    results, baseline = campaigns(reps=6, base=both, **both)
    assert "one after the other" not in gate(results, baseline).stderr
    results, baseline = str(Path(results)), baseline
    path = Path(results) / "manifest.json"
    path.write_text(path.read_text().replace('"token"', '"another"'))
    assert "one after the other" in gate(results, baseline).stderr


def test_a_report_with_a_baseline_says_the_verdicts_first(campaigns):
    results, baseline = campaigns(slower={LAN_SCAN: 1.12})
    assert call_verb("report", results, "--baseline", baseline).returncode == 0
    text = (Path(results) / "report.md").read_text()
    assert text.index("RED: ") < text.index("## Outcome at a glance")


def test_trials_count_false_alarms_and_planted_delays(tmp_path: Path):
    results = write_campaign(tmp_path / "long", Model(reps=60, controls=True, noise=0.015,
                                                      links=LINKS))
    found = json.loads(call_verb("gate", str(results), "--trials", "10", "--json").stdout)
    by_what = {(rate["what"].split(":")[0], rate["rounds"]): rate for rate in found}
    assert len(by_what) >= 4
    for rate in found:
        if "false alarms" in rate["what"]:
            assert (rate["trials"], rate["hits"] <= 1) == (6, True)
    planted = [rate["hits"] for rate in found if "planted delay" in rate["what"]]
    assert max(planted) == 6
    assert call_verb("gate", str(results), "--trials", "3").returncode == 64
    plain = write_campaign(tmp_path / "plain", Model(reps=6, links=LINKS))
    assert call_verb("gate", str(plain), "--trials", "6").returncode == 4
