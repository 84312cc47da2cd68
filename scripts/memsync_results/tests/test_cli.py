import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memsync_results.tests.conftest import PACKAGE_PARENT, call_verb, run_verb
from memsync_results.tests.synthetic import Model, sign, write_campaign


def assert_one_sentence(stderr: str) -> None:
    assert "Traceback" not in stderr
    assert len([line for line in stderr.splitlines() if "warning" not in line]) == 1


@pytest.mark.parametrize(
    "arguments",
    [[], ["draw"], ["plot"], ["plot", "a", "b"], ["plot", "a", "--colour"],
     ["report", "--out", "x"], ["plot", "a", "--figure", "no-such-figure"], ["plot", "a", "--fig"]],
)
def test_wrong_usage_is_64(arguments: list[str]):
    done = run_verb(*arguments)
    assert (done.returncode, done.stdout) == (64, "")
    assert_one_sentence(done.stderr)


@pytest.mark.parametrize("arguments", [["--help"], ["plot", "--help"], ["report", "--help"]])
def test_help_is_0_and_shows_an_example(arguments: list[str]):
    done = run_verb(*arguments)
    assert done.returncode == 0
    assert "example:" in done.stdout


@pytest.mark.parametrize("verb", ["plot", "report"])
def test_missing_results_are_4(tmp_path: Path, verb: str):
    done = run_verb(verb, str(tmp_path / "absent"))
    assert done.returncode == 4
    assert_one_sentence(done.stderr)


@pytest.mark.parametrize("verb", ["plot", "report"])
def test_a_campaign_of_failures_is_4(campaign_dir: Path, verb: str):
    path = campaign_dir / "runs.csv"
    path.write_text(path.read_text().replace(",ok,", ",failed,"))
    done = run_verb(verb, str(campaign_dir))
    assert done.returncode == 4
    assert_one_sentence(done.stderr)
    assert (campaign_dir / "report.html").exists() == (verb == "report")


def test_a_table_that_cannot_be_read_is_64(campaign_dir: Path, edit):
    edit("runs.csv", ",ok,", ",fine,")
    done = run_verb("report", str(campaign_dir))
    assert done.returncode == 64
    assert_one_sentence(done.stderr)


def test_results_that_cannot_be_written_are_70(campaign_dir: Path):
    (campaign_dir / "figures").write_text("a file where the folder should be")
    done = run_verb("plot", str(campaign_dir), "--figure", "settle")
    assert done.returncode == 70
    assert_one_sentence(done.stderr)
    done = run_verb("plot", str(campaign_dir), "--figure", "settle", MEMSYNC_TRACEBACK="1")
    assert done.returncode == 70
    assert "Traceback" in done.stderr


def test_a_stdout_that_cannot_be_written_is_70(campaign_dir: Path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "memsync_results", "plot", str(campaign_dir), "--figure",
             "settle"], stdout=full, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)},
        )
    assert done.returncode == 70
    assert_one_sentence(done.stderr)


def test_an_interrupt_is_130(tmp_path: Path):
    directory = write_campaign(tmp_path / "c", Model(reps=20))
    process = subprocess.Popen(
        [sys.executable, "-m", "memsync_results", "report", str(directory)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)},
    )
    deadline = time.monotonic() + 60  # it is at work once the first figure lies there
    while not list(directory.glob("figures/*.svg")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert_one_sentence(stderr)
    assert not list(directory.glob("**/*.half"))


def test_report_prints_the_page_last_and_writes_the_same_bytes_again(campaign_dir: Path):
    done = run_verb("report", str(campaign_dir), PYTHONHASHSEED="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(campaign_dir / "report.html")
    first = {path: path.read_bytes() for path in campaign_dir.rglob("*") if path.is_file()}
    done = run_verb("report", str(campaign_dir), "--json", PYTHONHASHSEED="2")
    second = {path: path.read_bytes() for path in campaign_dir.rglob("*") if path.is_file()}
    assert [path.name for path in second if first.get(path) != second[path]] == []
    answer = json.loads(done.stdout)
    assert answer["report_html"] == str(campaign_dir / "report.html")
    assert len(answer["cells"]) == 33
    assert answer["cells"][0]["measures"]["throughput_Bps"]["n"] == 8


def test_plot_draws_where_it_is_told_and_only_what_it_is_told(campaign_dir: Path, tmp_path: Path):
    out = tmp_path / "out"
    done = run_verb("plot", str(campaign_dir), "--out", str(out), "--figure", "settle", "--json")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["settle.csv", "settle.pdf", "settle.svg"]
    [figure] = json.loads(done.stdout)["figures"]
    assert figure["svg"] == str(out / "settle.svg")
    assert "n = 8" in figure["caption"]


def told_first(directory: Path) -> str:
    """The first paragraph of the written report."""
    return (directory / "report.md").read_text(encoding="utf-8").split("\n\n")[1]


@pytest.mark.parametrize("verb", [["plot", "--figure", "settle"], ["report"]])
def test_a_torn_line_is_4_and_everything_else_is_written(campaign_dir: Path, verb: list[str]):
    path = campaign_dir / "runs.csv"
    path.write_text(path.read_text()[:-10])
    done = call_verb(verb[0], str(campaign_dir), *verb[1:])
    assert (done.returncode, "Traceback" in done.stderr) == (4, False)
    assert "warning" in done.stderr
    assert (campaign_dir / "figures" / "settle.svg").exists()


def test_a_torn_line_comes_first_in_the_report(campaign_dir: Path):
    path = campaign_dir / "runs.csv"
    path.write_text(path.read_text()[:-10])
    sign(campaign_dir)  # so that nothing else is wrong
    done = call_verb("report", str(campaign_dir))
    assert (done.returncode, "runs.csv is torn" in done.stderr) == (4, True)
    assert done.stdout.startswith("DAMAGED, INCOMPLETE: 32 of 33 cells ok")
    assert told_first(campaign_dir).startswith("> The last line of runs.csv is torn")


def rounds(directory: Path, keep) -> None:
    """Leaves the rows of which `keep` says so, as an interrupted campaign does."""
    path = directory / "runs.csv"
    header, *rows = path.read_text().splitlines(keepends=True)
    block = header.split(",").index("block")
    path.write_text("".join([header, *(row for row in rows if keep(row, row.split(",")[block]))]))
    manifest = json.loads((directory / "manifest.json").read_text())
    (directory / "manifest.json").write_text(json.dumps({**manifest, "complete": False}))
    sign(directory)


def test_half_a_campaign_has_no_cell_and_is_4(campaign_dir: Path):
    rounds(campaign_dir, lambda _, block: int(block) < 4)
    done = call_verb("report", str(campaign_dir))
    assert (done.returncode, "no cell has all its repetitions" in done.stderr) == (4, True)
    assert done.stdout.startswith("INCOMPLETE: 0 of 33 cells ok")


def test_a_campaign_that_is_merely_incomplete_is_0_and_says_so_first(campaign_dir: Path):
    rounds(campaign_dir, lambda row, block: ",c000," not in row or int(block) < 4)
    done = call_verb("report", str(campaign_dir))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("INCOMPLETE: 32 of 33 cells ok")
    assert told_first(campaign_dir).startswith("> The campaign is incomplete: 1 of 33 cells lack")


def test_a_report_says_first_which_file_was_changed_and_names_no_verdict(
        campaign_dir: Path, tmp_path: Path):
    baseline = write_campaign(tmp_path / "baseline", Model(reps=8, seed=2))
    (campaign_dir / "env.json").write_text("{}\n")
    done = call_verb("report", str(campaign_dir), "--baseline", str(baseline))
    assert (done.returncode, "env.json was changed" in done.stderr) == (4, True)
    assert told_first(campaign_dir).startswith("> env.json was changed after the campaign")
    assert "EQUIVALENT" not in (campaign_dir / "report.md").read_text()


def test_a_report_against_a_changed_baseline_is_refused(campaign_dir: Path, tmp_path: Path):
    baseline = write_campaign(tmp_path / "baseline", Model(reps=8, seed=2))
    (baseline / "calibration.json").unlink()
    done = call_verb("report", str(campaign_dir), "--baseline", str(baseline))
    assert (done.returncode, "calibration.json is missing" in done.stderr) == (4, True)
