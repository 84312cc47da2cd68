"""Is a results directory whole and as its campaign left it? Findings, one sentence each."""

from pathlib import Path

import pandas as pd

from memsync_results.demands import FILE, judge_demands, to_csv
from memsync_results.digests import digest_findings
from memsync_results.load import Campaign, load_campaign
from memsync_results.measures import COSTS, SHOWN

_MOST_TOLD = 5  # findings of one kind


def verify_directory(directory: Path) -> list[str]:
    """Everything that is wrong with `directory`; [] when nothing is.

    Raises Refusal for a directory that can't be read as a campaign at all.
    """
    campaign = load_campaign(directory)
    return list(dict.fromkeys([  # a missing file is a warning of the loader's, too
        *campaign.warnings,
        *digest_findings(directory, campaign.manifest),
        *_end(campaign),
        *_plan_against_rows(campaign),
        *_schema(campaign),
        *_rows(campaign),
        *_demands(campaign),
    ]))


def _end(campaign: Campaign) -> list[str]:
    if campaign.manifest.get("complete", False):
        return []
    return ["the campaign did not run to its end; memsync run --resume goes on with it"]


def _plan_against_rows(campaign: Campaign) -> list[str]:
    findings = []
    runs = campaign.runs
    for planned in campaign.plan.to_dict("records"):
        rows = runs[runs["cell_id"] == planned["cell_id"]]
        if planned["status"] == "unsupported":
            if set(rows["status"]) != {"unsupported"}:
                findings.append(f"{planned['cell_id']} is unsupported and has no row that says so")
            continue
        if planned["status"] != "planned":
            continue
        for what, flag in (("reps", 0), ("warmup", 1)):
            # A repetition that was interrupted is run again.
            found = rows[(rows["is_warmup"] == flag) & (rows["status"] != "interrupted")]
            if len(found) != planned[what]:
                findings.append(f"{planned['cell_id']} has {len(found)} rows of "
                                f"{planned[what]:.0f} planned ({what})")
            if found["rep"].duplicated().any():
                findings.append(f"{planned['cell_id']} has a repetition twice ({what})")
    stray = sorted(set(runs["cell_id"]) - set(campaign.plan["cell_id"]))
    findings += [f"{cell} has rows and is not in the plan" for cell in stray]
    return _told(findings, "cells that differ from the plan")


def _schema(campaign: Campaign) -> list[str]:
    """Every column is declared, and every value is of its column's type and range."""
    findings = [f"runs.csv has a column {name} that schema.json does not declare"
                for name in campaign.runs.columns if name not in campaign.schema]
    findings += [f"schema.json declares {name}, which runs.csv has not"
                 for name in campaign.schema if name not in campaign.runs.columns]
    for name, column in campaign.schema.items():
        if name not in campaign.runs.columns:
            continue
        values = campaign.runs[name].dropna()
        kind = column.get("type")
        if kind in ("number", "integer", "boolean"):
            numbers = pd.to_numeric(values, errors="coerce")
            bad = numbers.isna()
            if kind == "boolean":
                bad |= ~numbers.isin([0, 1])
            if kind == "integer":
                bad |= numbers % 1 != 0
            if column.get("unit"):
                bad |= numbers < 0
            findings += [f"runs.csv:{line}: {name} '{values[line]}' is no {kind} as schema.json "
                         "declares it" for line in values.index[bad]]
    return _told(findings, "values that contradict schema.json")


def _rows(campaign: Campaign) -> list[str]:
    """What a row claims must be possible: no result without checked bytes, none for a failure."""
    runs = campaign.runs
    findings = [f"runs.csv:{line}: ok, although its bytes were not found right"
                for line in runs.index[(runs["status"] == "ok") & (runs["integrity_ok"] != 1)]]
    findings += [f"runs.csv:{line}: ok, although the link was out of tolerance"
                 for line in runs.index[(runs["status"] == "ok") & (runs["link_ok"] == 0)]]
    measures = {m.column for shown in SHOWN.values() for m in shown} | {m.column for m in COSTS}
    with_measures = runs[sorted(measures)].notna().any(axis=1)
    findings += [f"runs.csv:{line}: {runs.at[line, 'status']}, and yet it holds measures"
                 for line in runs.index[(runs["status"] != "ok") & with_measures]]
    for column in ("campaign_id", "suite", "config_sha256", "host_id"):
        if runs[column].dropna().nunique() > 1:
            findings.append(f"runs.csv mixes rows of different {column}")
    return _told(findings, "rows that can't be")


def _demands(campaign: Campaign) -> list[str]:
    """demands.csv says what the rows say."""
    findings = judge_demands(campaign)
    if not findings:
        return []
    again = f"memsync demands {campaign.directory} writes it anew"
    try:
        text = (campaign.directory / FILE).read_bytes().decode("utf-8", "replace")
    except OSError:
        return [f"{FILE} is missing; {again}"]
    return [] if text == to_csv(findings) else [f"{FILE} is not what the rows give; {again}"]


def _told(findings: list[str], what: str) -> list[str]:
    """The first few, and how many more there are."""
    if len(findings) <= _MOST_TOLD:
        return findings
    return [*findings[:_MOST_TOLD], f"... and {len(findings) - _MOST_TOLD} more {what}"]
