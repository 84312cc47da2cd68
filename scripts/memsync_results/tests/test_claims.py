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
         {"id", "sentence", "source", "refuted_by"},
         {"id", "sentence", "source", "tests", "refuted_by"},
         {"id", "sentence", "source", "benchmark", "expect", "verdict_needs"},
         {"id", "sentence", "source", "suite", "cells", "expect", "verdict_needs"},
         {"id", "sentence", "source", "suite", "cells", "against", "expect", "verdict_needs"})


def known_tests() -> set[str]:
    found = set()
    for file in ROOT.glob("[a-z]*/**/*_test.cc"):
        if "build" not in file.parts[:-1]:
            text = file.read_text(encoding="utf-8")
            found |= {f"{suite}.{name}"
                      for suite, name in re.findall(r"^TEST(?:_[FP])?\((\w+), (\w+)\)", text, re.M)}
    return found


def cases_of(benchmark: str) -> set[str]:
    """Names of its cases: the second word of each BENCHMARK_CAPTURE in the target's sources."""
    for lists in ROOT.glob("[a-z]*/**/CMakeLists.txt"):
        if target := re.search(rf"memsync_benchmark\({benchmark}\s+SOURCES ([^)]*)\)",
                               lists.read_text(encoding="utf-8")):
            sources = [lists.parent / word for word in target[1].split() if word.endswith(".cc")]
            text = "".join(source.read_text(encoding="utf-8") for source in sources)
            return set(re.findall(r"BENCHMARK_CAPTURE\(\w+, (\w+),", text))
    return set()


def label_of(entry: dict[str, Any]) -> str:
    return entry.get("as") or entry.get("name") or entry["use"]


def is_meant(wanted: str, link: dict[str, Any]) -> bool:
    """Whether a claim's link, a name or "rtt >= 2ms", is this one of its suite."""
    if least := re.fullmatch(r"rtt >= (\d+)ms", wanted):
        return float(link.get("rtt", "0ms").removesuffix("ms")) >= float(least[1])
    return label_of(link) == wanted


def is_excluded(names: dict[str, set[str]], exclusion: dict[str, str]) -> bool:
    return all(names[key] & set(value.split("|"))
               for key, value in exclusion.items() if key != "because")


def names_in(condition: str) -> set[str]:
    formula = ast.parse(condition, mode="eval")
    assert isinstance(formula.body, ast.Compare)
    return {node.id for node in ast.walk(formula) if isinstance(node, ast.Name)}


def test_each_has_an_id_of_its_own():
    names = [claim["id"] for claim in CLAIMS]
    assert len(names) == len(set(names)) > 0


@pytest.mark.parametrize("claim", CLAIMS, ids=[claim["id"] for claim in CLAIMS])
def test_a_claim_can_be_decided(claim):
    assert set(claim) in FORMS, sorted(claim)
    assert re.fullmatch(r"00[0-4]:\d+", claim["source"])
    if named := {*claim.get("tests", ()), *claim.get("refuted_by", ())}:
        assert named <= known_tests()
        return
    assert re.fullmatch(r"median of >= \d+ repetitions", claim["verdict_needs"])
    if "benchmark" in claim:
        assert names_in(claim["expect"]) <= cases_of(claim["benchmark"])
        return
    suite = yaml.safe_load(
        (ROOT / f"harness/suites/{claim['suite']}.yaml").read_text(encoding="utf-8"))
    for cells in (claim["cells"], {**claim["cells"], **claim.get("against", {})}):
        links = [link for link in suite["links"] if is_meant(cells["link"], link)]
        assert links, cells["link"]
        series = next(one for one in suite["approaches"] if label_of(one) == cells["series"])
        assert cells["workload"] in map(label_of, suite["workloads"])
        for link in links:
            names = {"approach": {label_of(series), series["use"]},
                     "workload": {cells["workload"]}, "link": {label_of(link)}}
            assert not any(is_excluded(names, one) for one in suite.get("exclude", ())), names
    formula = ast.parse(claim["expect"], mode="eval")
    own = names_in(claim["expect"]) - {"against"}
    others = {node.attr for node in ast.walk(formula) if isinstance(node, ast.Attribute)}
    known = {*RUN_COLUMNS, "faults"}
    assert own <= known and others <= known
    assert bool(others) == ("against" in claim)
