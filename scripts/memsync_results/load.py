"""Reads a results directory and refuses what it cannot vouch for.

The tables are read strictly (RFC 4180, every row as wide as the header), because a
lenient reader turns a torn or edited file into a plausible wrong number. Only one
damage is forgiven: a last line of runs.csv without its newline, which is what a killed
campaign leaves behind.
"""

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd

from memsync_results import layout
from memsync_results.exits import Exit, Refusal


@dataclass(frozen=True)
class Series:
    """One line in a figure: an approach with its options, and how it is drawn."""

    name: str
    approach: str
    options: str
    colour: str  # "#rrggbb"
    marker: str  # a matplotlib marker
    role: str = ""  # "twin" or "planted": a control; "" for what is measured for its own sake
    of: str = ""  # the series that a control is compared with
    planted_delay_s: float = 0.0  # what was added to a planted series on purpose
    exact: frozenset[str] = frozenset()  # columns that its approach says may be compared exactly


@dataclass(frozen=True)
class Workload:
    name: str
    does: str  # read, update or handover
    region_B: float
    chunk_B: float
    content: str
    access: str
    touch_B: float | None
    accesses: float | None


@dataclass(frozen=True)
class Link:
    name: str
    rate_Bps: float | None  # None: unlimited
    rtt_s: float
    loss_ratio: float
    jitter_s: float
    engine: str
    dials: str = "any"  # who may open a connection: any, or the destination alone
    cut_after_s: float | None = None
    cut_s: float | None = None  # None: it is never cut


@dataclass(frozen=True)
class Campaign:
    """A results directory in memory. Order of series, workloads and links: registry.json's."""

    directory: Path
    manifest: dict[str, Any]
    registry: dict[str, Any]
    schema: dict[str, dict[str, Any]]  # column name -> its entry in schema.json
    calibration: Any  # as written; None when the campaign ended before calibrating
    env: Any
    suite_text: str
    series: dict[str, Series]
    workloads: dict[str, Workload]
    links: dict[str, Link]
    plan: pd.DataFrame  # one row per cell
    runs: pd.DataFrame  # one row per repetition, warm-ups included; numbers are float64
    is_torn: bool = False  # the last line of runs.csv had no end and was left out
    warnings: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The directory's own name, the same from wherever it is looked at."""
        return self.directory.resolve().name

    @property
    def suite_name(self) -> str:
        return self.registry["suite"]["name"]


def load_campaign(directory: Path) -> Campaign:
    """Reads and validates `directory`.

    Raises Refusal: INCOMPLETE where something is missing, USAGE where what is there
    can't be read as results of this version.
    """
    if not directory.is_dir():
        raise Refusal(Exit.INCOMPLETE, f"{directory} is no results directory: nothing is there")
    warnings: list[str] = []
    registry = _read_json(directory / "registry.json")
    _check_version(directory / "registry.json", registry)
    _check_registry(directory / "registry.json", registry)
    manifest = read_manifest(directory)
    runs, is_torn = _read_runs(directory / "runs.csv", warnings)
    plan = _read_plan(directory / "plan.csv")
    campaign = Campaign(
        directory=directory,
        manifest=manifest,
        registry=registry,
        schema=_read_schema(directory / "schema.json"),
        calibration=_read_optional_json(directory / "calibration.json", warnings),
        env=_read_optional_json(directory / "env.json", warnings),
        suite_text=_read_text(directory / "suite.yaml"),
        series=_series(registry),
        workloads=_workloads(registry),
        links=_links(registry),
        plan=plan,
        runs=runs,
        is_torn=is_torn,
        warnings=warnings,
    )
    _check_names(campaign)
    _check_poolable(campaign)
    return campaign


def read_manifest(directory: Path) -> dict[str, Any]:
    """manifest.json alone. Raises Refusal as load_campaign does."""
    manifest = _read_json(directory / "manifest.json")
    _check_version(directory / "manifest.json", manifest, required=False)
    return manifest


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise Refusal(Exit.INCOMPLETE, f"{path} is missing") from None
    except UnicodeDecodeError as error:
        raise Refusal(Exit.USAGE, f"{path} is not UTF-8 at byte {error.start}") from None


def _read_json(path: Path) -> dict[str, Any]:
    value = _parse_json(path)
    if not isinstance(value, dict):
        raise Refusal(Exit.USAGE, f"{path} holds no JSON object")
    return value


def _read_optional_json(path: Path, warnings: list[str]) -> Any:
    if path.exists():
        return _parse_json(path)
    warnings.append(f"{path.name} is missing")
    return None


def _parse_json(path: Path) -> Any:
    try:
        return json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise Refusal(Exit.USAGE, f"{path}:{error.lineno}: is no JSON (torn?): {error.msg}"
                      ) from None


def _check_version(path: Path, document: dict[str, Any], required: bool = True) -> None:
    version = document.get("schema_version")
    if version is None and not required:
        return
    if version != layout.SCHEMA_VERSION:
        raise Refusal(
            Exit.USAGE,
            f"{path} has schema_version {version!r}, this memsync reads {layout.SCHEMA_VERSION}: "
            "use the memsync that wrote it",
        )


def _check_registry(path: Path, registry: dict[str, Any]) -> None:
    error = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(layout.REGISTRY_SCHEMA).iter_errors(registry)
    )
    if error is not None:
        where = error.json_path.removeprefix("$").removeprefix(".") or "the document"
        raise Refusal(Exit.USAGE, f"{path}: {where}: {error.message}")


def _read_schema(path: Path) -> dict[str, dict[str, Any]]:
    columns = _read_json(path).get("columns")
    if not isinstance(columns, list) or not all(
        isinstance(column, dict) and "name" in column for column in columns
    ):
        raise Refusal(Exit.USAGE, f'{path} has no list "columns" of named columns')
    return {column["name"]: column for column in columns}


def _series(registry: dict[str, Any]) -> dict[str, Series]:
    exact = {entry["name"]: frozenset(entry.get("exact") or ()) for entry in registry["approaches"]}
    return {
        entry["series"]: Series(
            entry["series"], entry["approach"], entry["options"] or "", entry["colour"],
            entry["marker"], entry.get("role") or "", entry.get("of") or "",
            entry.get("planted_delay_s") or 0.0, exact.get(entry["approach"], frozenset()),
        )
        for entry in registry["series"]
    }


def _workloads(registry: dict[str, Any]) -> dict[str, Workload]:
    return {
        entry["name"]: Workload(
            entry["name"], entry["does"], entry["region_B"], entry["chunk_B"],
            entry.get("content") or "", entry.get("access") or "", entry.get("touch_B"),
            entry.get("accesses"),
        )
        for entry in registry["workloads"]
    }


def _links(registry: dict[str, Any]) -> dict[str, Link]:
    return {
        entry["name"]: Link(
            entry["name"], entry["rate_Bps"], entry["rtt_s"], entry.get("loss_ratio") or 0.0,
            entry.get("jitter_s") or 0.0, entry.get("engine") or "",
            entry.get("dials") or "any", entry.get("cut_after_s"), entry.get("cut_s"),
        )
        for entry in registry["links"]
    }


def _read_plan(path: Path) -> pd.DataFrame:
    text = _read_text(path)
    if text and not text.endswith("\n"):
        raise Refusal(Exit.INCOMPLETE, f"{path} ends within a line: the plan is torn")
    plan = _table(path, text, layout.PLAN_COLUMNS, unique="cell_id")
    _convert_numbers(path, plan, layout.PLAN_NUMBERS)
    return plan


def _read_runs(path: Path, warnings: list[str]) -> tuple[pd.DataFrame, bool]:
    """The rows, and whether the last one was torn."""
    text = _read_text(path)
    is_torn = bool(text) and not text.endswith("\n")
    if is_torn:
        text = _without_torn_line(text)
        warnings.append(f"{path.name}: the last line has no end (a killed run?) and was left out")
    texts = _table(path, text, layout.RUN_COLUMNS, unique="run_id")
    runs = texts.copy()
    numbers = layout.RUN_NUMBERS | (layout.RUN_LATER_NUMBERS & set(texts.columns))
    _convert_numbers(path, runs, numbers)
    for column in layout.RUN_REQUIRED:
        _refuse_rows(path, texts, texts[column].isna(), column, "is empty")
    for column in sorted(layout.RUN_FLAGS):
        flags = runs[column]
        _refuse_rows(path, texts, ~flags.isna() & ~flags.isin([0, 1]), column,
                     "is neither 0 nor 1")
    for column in sorted(numbers):
        _refuse_rows(path, texts, runs[column] < 0, column, "is negative, which can't be")
    for column in sorted(layout.RUN_POSITIVE):
        _refuse_rows(path, texts, runs[column] == 0, column, "is nothing, which can't be")
    foreign = runs["schema_version"] != layout.SCHEMA_VERSION
    _refuse_rows(path, texts, foreign, "schema_version", f"is not {layout.SCHEMA_VERSION}: "
                 "use the memsync that wrote it")
    _refuse_rows(path, texts, ~texts["status"].isin(layout.STATUSES), "status",
                 f"is none of {', '.join(layout.STATUSES)}")
    # Copied into one block per type again: selecting rows is ten times as fast.
    return runs.copy(), is_torn


def _without_torn_line(text: str) -> str:
    """Everything up to the last line end that lies outside quotes."""
    end = text.rfind("\n") + 1
    while text.count('"', 0, end) % 2:
        end = text.rfind("\n", 0, end - 1) + 1
    return text[:end]


def _table(path: Path, text: str, required: list[str], unique: str) -> pd.DataFrame:
    """A strict CSV as texts with None for empty, indexed by line number in the file."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str | None]] = []
    lines: list[int] = []
    try:
        header = next(reader, None)
        if not header:
            raise Refusal(Exit.INCOMPLETE, f"{path} is empty: nothing ran")
        for row in reader:
            if len(row) != len(header):
                raise Refusal(
                    Exit.USAGE,
                    f"{path}:{reader.line_num}: {len(row)} fields where the header has "
                    f"{len(header)}",
                )
            rows.append([value or None for value in row])
            lines.append(reader.line_num)
    except csv.Error as error:
        raise Refusal(Exit.USAGE, f"{path}:{reader.line_num}: {error}") from None
    missing = [column for column in required if column not in header]
    if missing:
        raise Refusal(Exit.USAGE, f"{path} lacks the column{'s' * (len(missing) > 1)} "
                      f"{', '.join(missing)}")
    if len(set(header)) != len(header):
        twice = sorted({column for column in header if header.count(column) > 1})
        raise Refusal(Exit.USAGE, f"{path} has the column {', '.join(twice)} twice")
    table = pd.DataFrame(rows, columns=header, index=pd.Index(lines, name="line"), dtype=object)
    _refuse_rows(path, table, table[unique].duplicated(), unique, "appears a second time")
    return table


def _convert_numbers(path: Path, table: pd.DataFrame, columns: set[str]) -> None:
    """Turns `columns` into float64 in place; empty becomes NaN, the text "NaN" is refused."""
    for column in sorted(columns):
        texts = table[column]
        numbers = pd.to_numeric(texts, errors="coerce").astype(float)
        _refuse_rows(path, table, ~texts.isna() & ~np.isfinite(numbers), column,
                     "is not a number (a missing measure is an empty field)")
        table[column] = numbers


def _refuse_rows(
    path: Path, table: pd.DataFrame, bad: pd.Series, column: str, what_is_wrong: str
) -> None:
    if bad.any():
        line = bad.idxmax()
        value = table.at[line, column]
        shown = column if value is None else f"{column} '{value}'"
        raise Refusal(Exit.USAGE, f"{path}:{line}: {shown} {what_is_wrong}")


def _check_names(campaign: Campaign) -> None:
    """Every name in the tables has its entry in registry.json."""
    for file, table in (("plan.csv", campaign.plan), ("runs.csv", campaign.runs)):
        for column, known in (
            ("series", campaign.series), ("workload", campaign.workloads), ("link", campaign.links),
        ):
            _refuse_rows(campaign.directory / file, table, ~table[column].isin(list(known)), column,
                         "is not in registry.json")
    stray = ~campaign.runs["cell_id"].isin(campaign.plan["cell_id"])
    if stray.any():
        campaign.warnings.append(
            f"{int(stray.sum())} rows of runs.csv belong to no cell of plan.csv and were left out"
        )


def _check_poolable(campaign: Campaign) -> None:
    """Rows of one cell did the same work over the same kind of link."""
    ok = campaign.runs[campaign.runs["status"] == "ok"]
    for column in ("series", "workload", "link", "link_engine", "region_B", "chunk_B"):
        values = ok.groupby("cell_id")[column].nunique()
        if (values > 1).any():
            raise Refusal(
                Exit.USAGE,
                f"{campaign.directory / 'runs.csv'}: cell {values.idxmax()} mixes rows of "
                f"different {column}, which can't be pooled",
            )
