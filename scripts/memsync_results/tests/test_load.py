from pathlib import Path

import pytest

from memsync_results.cells import cells_of
from memsync_results.exits import Exit, Refusal
from memsync_results.load import load_campaign
from memsync_results.tests.synthetic import Model, write_campaign


def refusal(directory: Path) -> Refusal:
    with pytest.raises(Refusal) as caught:
        load_campaign(directory)
    return caught.value


def test_a_healthy_campaign_loads_without_a_warning(campaign_dir: Path):
    campaign = load_campaign(campaign_dir)
    assert campaign.warnings == []
    assert len(campaign.runs) == len(campaign.plan) * 9  # 8 repetitions and a warm-up
    assert campaign.links["local"].rate_Bps is None
    assert campaign.runs["seed"].iloc[0] == "18446744073709551615"  # not rounded to a float


def test_a_directory_that_is_not_there_is_incomplete(tmp_path: Path):
    assert refusal(tmp_path / "absent").code == Exit.INCOMPLETE


@pytest.mark.parametrize("name", ["registry.json", "manifest.json", "plan.csv", "runs.csv",
                                  "schema.json", "suite.yaml"])
def test_a_missing_file_is_named(campaign_dir: Path, name: str):
    (campaign_dir / name).unlink()
    found = refusal(campaign_dir)
    assert found.code == Exit.INCOMPLETE
    assert name in str(found)


@pytest.mark.parametrize("name", ["calibration.json", "env.json"])
def test_what_only_explains_may_be_missing(campaign_dir: Path, name: str):
    (campaign_dir / name).unlink()
    assert load_campaign(campaign_dir).warnings == [f"{name} is missing"]


def test_an_empty_table_means_that_nothing_ran(campaign_dir: Path):
    (campaign_dir / "runs.csv").write_text("")
    found = refusal(campaign_dir)
    assert found.code == Exit.INCOMPLETE
    assert "nothing ran" in str(found)


def test_a_missing_column_is_named(campaign_dir: Path, edit):
    edit("runs.csv", ",blackout_s,", ",blackout,")
    found = refusal(campaign_dir)
    assert found.code == Exit.USAGE
    assert "lacks the column blackout_s" in str(found)


def test_more_columns_than_agreed_are_welcome(campaign_dir: Path):
    lines = (campaign_dir / "runs.csv").read_text().splitlines()
    lines = [lines[0] + ",new_s"] + [line + ",1.5" for line in lines[1:]]
    (campaign_dir / "runs.csv").write_text("\n".join(lines) + "\n")
    assert "new_s" in load_campaign(campaign_dir).runs


def test_a_repeated_run_is_refused_with_its_line(campaign_dir: Path):
    path = campaign_dir / "runs.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines) + lines[3])
    found = refusal(campaign_dir)
    assert found.code == Exit.USAGE
    assert f"runs.csv:{len(lines) + 1}: run_id" in str(found)


def test_a_torn_last_line_is_dropped_with_a_warning(campaign_dir: Path):
    path = campaign_dir / "runs.csv"
    whole = len(load_campaign(campaign_dir).runs)
    path.write_text(path.read_text()[:-40])
    campaign = load_campaign(campaign_dir)
    assert len(campaign.runs) == whole - 1
    assert "last line" in campaign.warnings[0]


def test_a_line_torn_within_quotes_is_dropped_whole(campaign_dir: Path):
    path = campaign_dir / "runs.csv"
    whole = len(load_campaign(campaign_dir).runs)
    path.write_text(path.read_text() + '1,synthetic,"a name with\na line end and no clo')
    assert len(load_campaign(campaign_dir).runs) == whole


def test_a_torn_line_inside_the_file_is_refused(campaign_dir: Path, edit):
    edit("runs.csv", "\n1,synthetic,c000-2,", "\n1,synthetic\n1,synthetic,c000-2,")
    found = refusal(campaign_dir)
    assert found.code == Exit.USAGE
    assert "2 fields where the header has" in str(found)


@pytest.mark.parametrize("text", ["NaN", "nan", "inf", "null", "n/a", "NA", "12 ms"])
def test_only_empty_means_missing(campaign_dir: Path, edit, text: str):
    edit("runs.csv", ",tun,,,0.0,", f",tun,,{text},0.0,")
    found = refusal(campaign_dir)
    assert found.code == Exit.USAGE
    assert f"runs.csv:2: rate_cfg_Bps '{text}' is not a number" in str(found)


def test_names_that_pandas_reads_as_nothing_stay_names(campaign_dir: Path):
    for name in ("registry.json", "plan.csv", "runs.csv"):
        path = campaign_dir / name
        text = path.read_text().replace('"lan"', '"NA"').replace(",lan,", ",NA,")
        path.write_text(text)
    assert (load_campaign(campaign_dir).runs["link"] == "NA").any()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("registry.json", '"schema_version": 1', '"schema_version": 2'),
     ("manifest.json", '"schema_version": 1', '"schema_version": 2'),
     ("runs.csv", "\n1,synthetic", "\n2,synthetic")],
)
def test_a_foreign_schema_version_is_refused(campaign_dir: Path, edit, name, old, new):
    edit(name, old, new)
    found = refusal(campaign_dir)
    assert found.code == Exit.USAGE
    assert name in str(found) and "use the memsync that wrote it" in str(found)


def test_a_foreign_version_is_quoted_as_it_stands_there(campaign_dir: Path, edit):
    edit("runs.csv", "\n1,synthetic", "\n2.0,synthetic")
    assert "schema_version '2.0' is not 1" in str(refusal(campaign_dir))
    edit("registry.json", '"schema_version": 1', '"schema_version": "2.0"')
    assert "has schema_version '2.0', this memsync reads 1" in str(refusal(campaign_dir))


@pytest.mark.parametrize(("column", "text", "says"), [
    ("throughput_Bps", "-5", "is negative"), ("open_s", "-1e-9", "is negative"),
    ("throughput_Bps", "0", "is nothing"), ("duration_s", "0.0", "is nothing"),
    ("blackout_s", "-0.1", "is negative"),
])
def test_a_value_that_can_not_be_is_refused_with_its_line(campaign_dir, column, text, says):
    path = campaign_dir / "runs.csv"
    lines = path.read_text().splitlines()
    fields = lines[4].split(",")
    fields[lines[0].split(",").index(column)] = text
    path.write_text("\n".join([*lines[:4], ",".join(fields), *lines[5:]]) + "\n")
    found = refusal(campaign_dir)
    assert found.code == Exit.USAGE
    assert f"runs.csv:5: {column} '{text}' {says}, which can't be" in str(found)


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [("registry.json", '"#0072B2"', '"blue"', "colour"),
     ("registry.json", '"does": "read"', '"does": "write"', "'write' is not one of"),
     ("registry.json", '"because"', '"why"', "'because' is a required property"),
     ("registry.json", "{", "[", "registry.json:2: is no JSON (torn?): "),
     ("schema.json", '"columns"', '"rows"', '"columns"'),
     ("runs.csv", ",scan,", ",scam,", "workload 'scam' is not in registry.json"),
     ("runs.csv", ",ok,", ",fine,", "status 'fine' is none of"),
     ("runs.csv", ",0,1,184", ",0,7,184", "is_warmup '7' is neither 0 nor 1"),
     ("runs.csv", ",tun,", ",tc,", "mixes rows of different link_engine"),
     ("runs.csv", ",33554432,", ",33554433,", "mixes rows of different region_B"),
     ("plan.csv", "\nc001,", "\nc000,", "cell_id 'c000' appears a second time")],
)
def test_a_damaged_file_is_refused_with_the_reason(campaign_dir, edit, name, old, new, says):
    edit(name, old, new)
    found = refusal(campaign_dir)
    assert found.code == Exit.USAGE
    assert says in str(found)


def test_a_torn_plan_is_incomplete(campaign_dir: Path):
    path = campaign_dir / "plan.csv"
    path.write_text(path.read_text()[:-5])
    assert refusal(campaign_dir).code == Exit.INCOMPLETE


def test_bytes_that_are_no_text_are_refused(campaign_dir: Path):
    (campaign_dir / "runs.csv").write_bytes(b"\xff\xfe\x00")
    assert refusal(campaign_dir).code == Exit.USAGE


def test_rows_outside_the_plan_are_left_out_with_a_warning(campaign_dir: Path):
    path = campaign_dir / "plan.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    campaign = load_campaign(campaign_dir)
    assert "9 rows of runs.csv belong to no cell" in campaign.warnings[0]
    assert len(cells_of(campaign)) == len(lines) - 2


def test_failures_and_warm_ups_never_enter_a_sample(tmp_path: Path):
    key = ("uffd-demand", "scan", "lan")
    directory = write_campaign(tmp_path / "c", Model(reps=8, failed={key: "timeout"}))
    # A failed row that wrongly carries a measure must not count either.
    text = (directory / "runs.csv").read_text()
    campaign = load_campaign(directory)
    rows = campaign.runs
    rows.loc[rows["status"] != "ok", "throughput_Bps"] = 1.0
    rows.loc[rows["is_warmup"] == 1, "throughput_Bps"] = 2.0
    cells = cells_of(campaign)
    cell = next(c for c in cells if (c.series.name, c.workload.name, c.link.name) == key)
    assert text.count(",timeout,") == 4
    assert (cell.ok_count, cell.planned, cell.status) == (4, 8, "timeout")
    assert all(c.samples("throughput_Bps").min(initial=9.0) > 2.0 for c in cells)


def test_a_planned_cell_without_rows_is_missing(campaign_dir: Path):
    path = campaign_dir / "runs.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if ",c000," not in line))
    assert [c.cell_id for c in cells_of(load_campaign(campaign_dir)) if c.status == "missing"] == [
        "c000"]


def test_a_cell_cut_short_is_incomplete(campaign_dir: Path):
    path = campaign_dir / "runs.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
    assert [c.status for c in cells_of(load_campaign(campaign_dir)) if c.status != "ok"] == [
        "incomplete"]


def test_an_interruption_made_good_by_a_resumed_run_is_ok(campaign_dir: Path):
    path = campaign_dir / "runs.csv"
    lines = path.read_text().splitlines(keepends=True)
    extra = lines[-1].split(",")
    status = extra.index("ok")
    extra[2], extra[status] = "c-extra", "interrupted"
    path.write_text("".join(lines) + ",".join(extra))
    assert all(cell.status == "ok" for cell in cells_of(load_campaign(campaign_dir)))


def test_a_warm_up_that_failed_alone_tells_why_the_cell_is_empty(campaign_dir: Path):
    path = campaign_dir / "runs.csv"
    lines = path.read_text().splitlines(keepends=True)
    kept = [line for line in lines if ",c000," not in line or ",c000-0," in line]
    crash = kept.index(next(line for line in kept if ",c000-0," in line))
    kept[crash] = kept[crash].replace(",ok,", ",crashed,")
    path.write_text("".join(kept))
    cell = cells_of(load_campaign(campaign_dir))[0]
    assert (cell.cell_id, cell.status, cell.ok_count) == ("c000", "crashed", 0)
