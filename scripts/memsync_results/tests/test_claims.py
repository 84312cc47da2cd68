"""The claims ledger: each claim can be decided by what is there."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from memsync_results.layout import RUN_COLUMNS

ROOT = Path(__file__).parents[3]
CLAIMS = yaml.safe_load((ROOT / "thesis/claims.yaml").read_text(encoding="utf-8"))
FORMS = ({"id", "sentence", "source", "tests"},
         {"id", "sentence", "source", "suite", "cells", "expect", "verdict_needs"},
         {"id", "sentence", "source", "suite", "cells", "against", "expect", "verdict_needs"})
LABELS = {"series": "approaches", "workload": "workloads", "link": "links"}


def known_tests() -> set[str]:
    found = set()
    for file in ROOT.glob("[a-z]*/**/*_test.cc"):
        if "build" not in file.parts[:-1]:
            text = file.read_text(encoding="utf-8")
            found |= {f"{suite}.{name}"
                      for suite, name in re.findall(r"^TEST(?:_[FP])?\((\w+), (\w+)\)", text, re.M)}
    return found


def labels_of(suite: dict[str, Any], key: str) -> set[str]:
    entries = suite[LABELS[key]]
    return {entry.get("as") or entry.get("name") or entry["use"] for entry in entries}


def test_each_has_an_id_of_its_own():
    names = [claim["id"] for claim in CLAIMS]
    assert len(names) == len(set(names)) > 0


@pytest.mark.parametrize("claim", CLAIMS, ids=[claim["id"] for claim in CLAIMS])
def test_a_claim_can_be_decided(claim):
    assert set(claim) in FORMS, sorted(claim)
    assert re.fullmatch(r"00[0-4]:\d+", claim["source"])
    if "tests" in claim:
        assert set(claim["tests"]) <= known_tests()
        return
    assert re.fullmatch(r"median of >= \d+ repetitions", claim["verdict_needs"])
    suite = yaml.safe_load(
        (ROOT / f"harness/suites/{claim['suite']}.yaml").read_text(encoding="utf-8"))
    for cells in (claim["cells"], claim.get("against", {})):
        for key, value in cells.items():
            is_condition = key == "link" and re.fullmatch(r"rtt >= \d+ms", value)
            assert is_condition or value in labels_of(suite, key), f"{key}: {value}"
    formula = ast.parse(claim["expect"], mode="eval")
    assert isinstance(formula.body, ast.Compare)
    own = {node.id for node in ast.walk(formula) if isinstance(node, ast.Name)} - {"against"}
    others = {node.attr for node in ast.walk(formula) if isinstance(node, ast.Attribute)}
    known = {*RUN_COLUMNS, "faults"}
    assert own <= known and others <= known
    assert bool(others) == ("against" in claim)
