"""`memsync verify` finds what was lost, edited, or can't be."""

import json
from pathlib import Path

import pytest

from memsync_results.tests.conftest import call_verb
from memsync_results.tests.synthetic import sign


def verify(directory: Path) -> tuple[int, str]:
    done = call_verb("verify", str(directory))
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def test_a_whole_campaign_is_whole(campaign_dir: Path):
    assert verify(campaign_dir) == (0, f"{campaign_dir} is whole and unchanged\n")


@pytest.mark.parametrize("name", ["runs.csv", "plan.csv", "suite.yaml", "env.json"])
def test_an_edited_file_is_found(campaign_dir: Path, name: str):
    path = campaign_dir / name
    path.write_text(path.read_text().replace("1", "2", 1) if name != "env.json" else "{}\n")
    code, said = verify(campaign_dir)
    assert code in (4, 64)
    if code == 4:
        assert f"{name} was changed after the campaign" in said


def test_a_lost_file_and_missing_digests_are_found(campaign_dir: Path):
    (campaign_dir / "env.json").unlink()
    assert "env.json is missing" in verify(campaign_dir)[1]
    path = campaign_dir / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["files"]
    path.write_text(json.dumps(manifest))
    code, said = verify(campaign_dir)
    assert code == 4
    assert "names no digests" in said


def edited_rows(campaign_dir: Path, change) -> str:
    """Edits the rows and signs the campaign anew: the digests then say nothing."""
    path = campaign_dir / "runs.csv"
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join(change(rows)))
    sign(campaign_dir)
    code, said = verify(campaign_dir)
    assert code == 4
    return said


def test_a_lost_and_a_doubled_repetition_are_found(campaign_dir: Path):
    assert "has 7 rows of 8 planned (reps)" in edited_rows(campaign_dir, lambda rows: rows[:-1])


def test_a_result_without_checked_bytes_is_found(campaign_dir: Path):
    header = (campaign_dir / "runs.csv").read_text().splitlines()[0].split(",")

    def unchecked(rows: list[str]) -> list[str]:
        fields = rows[2].rstrip("\n").split(",")
        fields[header.index("integrity_ok")] = "0"
        return [*rows[:2], ",".join(fields) + "\n", *rows[3:]]

    assert "runs.csv:3: ok, although its bytes were not found right" in edited_rows(
        campaign_dir, unchecked)


def test_a_failure_with_measures_is_found(campaign_dir: Path):
    said = edited_rows(
        campaign_dir, lambda rows: [*rows[:4], rows[4].replace(",ok,", ",failed,", 1), *rows[5:]])
    assert "runs.csv:5: failed, and yet it holds measures" in said


def test_a_value_that_the_schema_does_not_allow_is_found(campaign_dir: Path):
    path = campaign_dir / "schema.json"
    schema = json.loads(path.read_text())
    schema["columns"].append({"name": "new_s", "type": "number", "unit": "s"})
    path.write_text(json.dumps(schema))
    added = {0: "new_s", 2: "-1.0"}
    said = edited_rows(campaign_dir, lambda rows: [
        f"{row.rstrip()},{added.get(k, '1.5')}\n" for k, row in enumerate(rows)])
    assert "runs.csv:3: new_s '-1.0' is no number" in said


def test_a_column_of_this_version_with_a_value_that_can_not_be_is_refused(campaign_dir: Path):
    path = campaign_dir / "runs.csv"
    lines = path.read_text().splitlines()
    fields = lines[2].split(",")
    fields[lines[0].split(",").index("open_s")] = "-1.0"
    path.write_text("\n".join([*lines[:2], ",".join(fields), *lines[3:]]) + "\n")
    sign(campaign_dir)
    done = call_verb("verify", str(campaign_dir))
    assert (done.returncode, "runs.csv:3: open_s '-1.0'" in done.stderr) == (64, True)


def test_a_missing_file_is_told_once(campaign_dir: Path):
    (campaign_dir / "env.json").unlink()
    assert verify(campaign_dir)[1].count("env.json") == 1


def test_a_file_without_a_digest_is_found(campaign_dir: Path):
    path = campaign_dir / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["files"]["runs.csv"]
    path.write_text(json.dumps(manifest))
    assert verify(campaign_dir) == (4, "manifest.json names no digest of runs.csv\n")


def test_many_findings_of_a_kind_are_counted(campaign_dir: Path):
    said = edited_rows(campaign_dir, lambda rows: [r.replace(",ok,", ",failed,") for r in rows])
    assert "more rows that can't be" in said


def test_json_holds_the_findings(campaign_dir: Path):
    (campaign_dir / "env.json").unlink()
    done = call_verb("verify", str(campaign_dir), "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["ok"]) == (4, False)
    assert any("env.json" in finding for finding in document["findings"])
