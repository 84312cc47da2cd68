"""A judgement as blocks of a page (for gate.md and the report), as JUnit and as annotations."""

import math
from xml.etree import ElementTree

from memsync_results.controls import INVALID, VALID, Controls, describe_change
from memsync_results.demands import demand_blocks, one_demand
from memsync_results.exits import Exit
from memsync_results.judgement import Judgement
from memsync_results.page import Block, Heading, Paragraph, Table
from memsync_results.units import quantity
from memsync_results.verdicts import IMPROVED, INCONCLUSIVE, NOT_JUDGED, REGRESSION, WORDS, Verdict

_ORDER = {REGRESSION: 0, INCONCLUSIVE: 1, IMPROVED: 2}
_COLUMNS = ["verdict", "workload", "link", "series", "measure", "base", "head", "change", "δ",
            "n", "could have seen", "why"]


def judgement_blocks(judgement: Judgement, heading: str = "Verdicts") -> list[Block]:
    """The outcome, what stands against it, and the table of verdicts, worst first."""
    blocks: list[Block] = [
        Heading(heading),
        Paragraph(f"{judgement.headline}.",
                  "" if judgement.exit == Exit.OK else "alarm"),
        Paragraph(f"Head {judgement.head.name} against base {judgement.base.name}; "
                  f"policy {judgement.policy.name}."),
    ]
    blocks += [Paragraph(f"Warning: {warning}.", "note") for warning in judgement.warnings]
    blocks += control_blocks(judgement.controls)
    if judgement.problems:
        blocks.append(Table("Cells without a result to judge", ["cell", "status", "why"],
                            [[p.cell_id, p.status, p.sentence] for p in judgement.problems]))
    if judgement.missed_demands:
        blocks += demand_blocks(judgement.demands)
    if judgement.verdicts:
        ordered = sorted(judgement.verdicts, key=lambda v: _ORDER.get(v.word, 3))
        rows = [_row(verdict) for verdict in ordered]
        blocks.append(Table(
            "Change of head against base (↑ higher is better, ↓ lower is): Hodges-Lehmann estimate "
            "over rounds and its exact 95 % interval; a verdict has Holm's correction over all "
            "cells. δ: the larger of the policy's tolerance and twice the A/A floor. Could have "
            "seen: the smallest worsening that this run would have called a regression with a "
            "chance of 80 %",
            _COLUMNS, rows, header_columns=5))
    blocks += _noise_blocks(judgement)
    blocks += [Paragraph(f"{note}.") for note in judgement.notes]
    return blocks


def control_blocks(controls: Controls) -> list[Block]:
    """Whether the controls say that verdicts count, in a line; what each showed is folded."""
    blocks: list[Block] = [Paragraph(
        f"Controls: {_controls_text(controls)}.",
        "alarm" if controls.stamp == INVALID else "note" if controls.reasons else "")]
    rows = [[text] for text in [*controls.failures, *controls.findings, *controls.gaps]]
    if rows:
        blocks.append(Table(
            "What the controls showed. A twin (an A/A test) is a series measured a second time "
            "under another name: it must come out equal. A planted series waits for a known delay "
            "at each repetition: it must be found. Nothing may beat floor, which moves no bytes. "
            "+ is more of the measure named: of a time that is worse, of throughput better",
            ["finding"], rows, folded=True))
    return blocks


def _controls_text(controls: Controls) -> str:
    """"VALID (passed): twins within 1.3 %, planted 2 ms and 5 ms found"."""
    shown = []
    if controls.equal_within:
        shown.append(f"twins within {100 * max(controls.equal_within):.1f} %")
    if controls.planted_found_s:
        delays = [quantity(delay, "s") for delay in sorted(set(controls.planted_found_s))]
        shown.append(f"planted {' and '.join(delays)} found")
    text = f"{VALID} (passed)" if controls.stamp == VALID else controls.stamp
    text += f": {', '.join(shown)}" if shown else ""
    reasons, more = controls.reasons, 0
    if controls.stamp != INVALID and len(reasons) > 2:  # what was not controlled reads alike
        reasons, more = reasons[:1], len(reasons) - 1
    return (text + "".join(f"; {reason}" for reason in reasons)
            + (f"; and {more} more like it" if more else ""))


def _noise_blocks(judgement: Judgement) -> list[Block]:
    changed = [v for v in judgement.verdicts if v.without_noisy and v.without_noisy != v.word]
    marked = [v for v in judgement.verdicts if v.without_noisy]
    if not marked:
        return []
    if not changed:
        return [Paragraph(f"{len(marked)} verdicts rest in part on repetitions marked noisy; "
                          "without those none of them changes.", "note")]
    return [Table("What changes without the repetitions marked noisy",
                  ["cell", "measure", "verdict", "without noisy ones"],
                  [[v.effect.pair.head.cell_id, v.effect.measure.title, v.word, v.without_noisy]
                   for v in changed])]


def _row(verdict: Verdict) -> list[str]:
    effect = verdict.effect
    cell, measure = effect.pair.head, effect.measure
    is_advisory = effect.tolerance.advisory and verdict.word != NOT_JUDGED
    word = verdict.word + (" (advisory)" if is_advisory else "")
    return [
        word, cell.workload.name, cell.link.name, cell.series.name,
        measure.title + (" ↑" if measure.better == "higher" else " ↓"),
        unbroken(quantity(effect.base_median, measure.unit)),
        unbroken(quantity(effect.head_median, measure.unit)),
        "exact" if verdict.is_exact else unbroken(describe_change(effect)).replace(
            "\N{NO-BREAK SPACE}(", "\n("),
        "0" if verdict.is_exact else unbroken(size_text(verdict, effect.bound)),
        f"{effect.pairs}/{cell.planned}",
        "" if verdict.is_exact else unbroken(size_text(verdict, verdict.smallest_effect)),
        verdict.reason,
    ]


def size_text(verdict: Verdict, shift: float) -> str:
    """A size on the differences' scale: "5.0 %"; "2 ms" where the tolerance is absolute or a value
    was 0; "nothing" for infinity."""
    if not math.isfinite(shift):
        return "nothing"
    effect = verdict.effect
    if effect.is_absolute:  # shares of a tiny value are no help
        return quantity(math.expm1(shift) * effect.base_median, effect.measure.unit)
    if effect.is_ratio:
        return f"{100 * math.expm1(shift):.1f} %"
    return quantity(shift, effect.measure.unit)


def one_line(verdict: Verdict) -> str:
    """A verdict in a terminal or an annotation."""
    effect = verdict.effect
    cell, measure = effect.pair.head, effect.measure
    text = (f"{verdict.word} {cell.cell_id} {measure.column}: "
            f"{quantity(effect.base_median, measure.unit)} → "
            f"{quantity(effect.head_median, measure.unit)}")
    if not verdict.is_exact:
        text += (f", {describe_change(effect)}, δ {size_text(verdict, effect.bound)}, "
                 f"n = {effect.pairs}")
    return text + (f"; {verdict.reason}" if verdict.reason else "")


def unbroken(text: str) -> str:
    """A number and its unit stay on one line."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def junit(judgement: Judgement) -> bytes:
    """A JUnit document: a failure per regression, an error per gap, skipped where advisory."""
    suite = ElementTree.Element("testsuite", name=f"memsync gate {judgement.head.suite_name}")
    for verdict in judgement.verdicts:
        cell = verdict.effect.pair.head
        case = _case(suite, f"{cell.workload.name}.{cell.link.name}",
                     f"{cell.series.name} {verdict.effect.measure.column}")
        if verdict.word == REGRESSION:
            ElementTree.SubElement(case, "failure", message=one_line(verdict), type=REGRESSION)
        elif verdict.word in (INCONCLUSIVE, NOT_JUDGED):
            is_optional = verdict.word == INCONCLUSIVE and verdict.effect.tolerance.advisory
            kind = "skipped" if is_optional else "error"
            ElementTree.SubElement(case, kind, message=one_line(verdict))
        ElementTree.SubElement(case, "system-out").text = one_line(verdict)
    for problem in judgement.problems:
        kind = "failure" if problem.status == "corrupt" else "error"
        case = _case(suite, "cells", problem.cell_id)
        ElementTree.SubElement(case, kind, message=f"{problem.status}: {problem.sentence}",
                               type=problem.status)
    for finding in judgement.missed_demands:
        case = _case(suite, "demands", finding.demand["id"])
        ElementTree.SubElement(case, "failure", message=one_demand(finding), type="demand")
    case = _case(suite, "campaign", "controls")
    if judgement.controls.stamp == INVALID:
        ElementTree.SubElement(case, "error", message="; ".join(judgement.controls.failures))
    if not judgement.verdicts:
        ElementTree.SubElement(_case(suite, "campaign", "cells"), "error",
                               message="nothing was compared")
    for kind, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{kind}"))))
    suite.set("tests", str(len(suite.findall("testcase"))))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _case(suite: ElementTree.Element, place: str, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=place, name=name)


def annotations(judgement: Judgement) -> list[str]:
    """Lines that GitHub's workflow log turns into annotations, a group of a kind at a time."""
    lines = [_annotation("error", "wrong bytes" if p.status == "corrupt" else "no result",
                         f"{p.cell_id}: {p.status}: {p.sentence}") for p in judgement.problems]
    for verdict in sorted(judgement.verdicts, key=lambda v: WORDS.index(v.word)):
        if verdict.word == REGRESSION:
            lines.append(_annotation("error", "regression", one_line(verdict)))
        elif verdict.word == INCONCLUSIVE and not verdict.effect.tolerance.advisory:
            lines.append(_annotation("warning", "inconclusive", one_line(verdict)))
        elif verdict.word == IMPROVED:
            lines.append(_annotation("notice", "improved", one_line(verdict)))
    lines += [_annotation("error", "demand missed", one_demand(finding))
              for finding in judgement.missed_demands]
    lines += [_annotation("error", "controls failed", text)
              for text in judgement.controls.failures]
    if not judgement.verdicts:
        lines.append(_annotation("error", "nothing compared", judgement.headline))
    return lines


def _annotation(level: str, title: str, text: str) -> str:
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{level} title=memsync: {title}::{escaped}"
