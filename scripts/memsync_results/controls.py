"""Whether a campaign's own controls say that its verdicts can be trusted.

The A/A twin is the same thing under another name: it must come out equal, and how far it lies
off is the noise floor of this machine. The planted series carries a delay of known size: it must
be found. `floor` moves no bytes: nothing may be faster.
"""

import math
from dataclasses import dataclass, field

from memsync_results import effects
from memsync_results.cells import Cell
from memsync_results.comparing import YARDSTICK
from memsync_results.load import Campaign
from memsync_results.matching import Pair, original_of
from memsync_results.measures import PRIMARY
from memsync_results.policy import Policy, Tolerance
from memsync_results.units import quantity
from memsync_results.verdicts import (
    ALPHA, EQUIVALENT, INCONCLUSIVE, Effect, Verdict, effect_of, judge,
)

VALID, INVALID, UNCONTROLLED = "VALID", "INVALID", "UNCONTROLLED"
_BEATEN = 1.2
TWIN, PLANTED = "twin", "planted"


@dataclass
class Controls:
    """What the controls of one or two campaigns came to."""

    findings: list[str] = field(default_factory=list)  # a sentence per control
    failures: list[str] = field(default_factory=list)  # why the verdicts can't be trusted
    gaps: list[str] = field(default_factory=list)  # what was not controlled
    # Column -> A/A floor, a share; of twins that passed alone.
    floors: dict[str, float] = field(default_factory=dict)
    # Of each twin that came out equal: how far its interval reaches, a share.
    equal_within: list[float] = field(default_factory=list)
    planted_found_s: list[float] = field(default_factory=list)  # the delays that were found

    @property
    def stamp(self) -> str:
        if self.failures:
            return INVALID
        return UNCONTROLLED if self.gaps else VALID

    @property
    def reasons(self) -> list[str]:
        return self.failures or self.gaps


def examine_controls(campaigns: list[tuple[Campaign, list[Cell]]], policy: Policy) -> Controls:
    """Looks at every control of every campaign. The campaigns belong to one comparison."""
    result = Controls()
    roles = set()
    for campaign, cells in campaigns:
        for cell in cells:
            if not cell.series.role or cell.status == "unsupported":
                continue
            roles.add(cell.series.role)
            _examine(campaign, cell, cells, policy, result)
        _examine_floor(campaign, cells, result)
    for role, name in ((TWIN, "A/A twin"), (PLANTED, "planted slow-down")):
        if role not in roles:
            message = f"no {name} was run (memsync run --controls adds one)"
            (result.failures if policy.controls_required else result.gaps).append(message)
    return result


def _examine(campaign: Campaign, cell: Cell, cells: list[Cell], policy: Policy,
             result: Controls) -> None:
    where = f"{campaign.name}: {cell.cell_id}"
    original = original_of(cell, cells)
    if original is None:
        result.gaps.append(f"{where} is a control of {cell.series.of}, which was not run there")
        return
    pair = Pair(original, cell)
    if cell.status != "ok" or original.status != "ok":
        bad = cell if cell.status != "ok" else original
        result.failures.append(f"{campaign.name}: {bad.cell_id} is {bad.status}: "
                               f"{bad.reason}")
    elif cell.series.role == TWIN:
        _examine_twin(where, pair, policy, result)
    else:
        _examine_planted(where, pair, policy, result)


def _examine_twin(where: str, pair: Pair, policy: Policy, result: Controls) -> None:
    does = pair.head.workload.does
    primary = PRIMARY[does]
    tolerances = {m: policy.tolerances[m.column] for m in policy.judged(does)
                  if not policy.tolerances[m.column].exact}
    tolerances.setdefault(primary, Tolerance(0.05))
    measured = [effect_of(pair, measure, tolerance, keep_noisy=policy.keep_noisy)
                for measure, tolerance in tolerances.items()
                if pair.head.samples(measure.column).size]
    found = Controls()
    for verdict in judge(measured, effects.FEWEST_FOR_VERDICT):
        _examine_twins_measure(where, verdict, verdict.effect.measure == primary, found)
    result.findings += found.findings
    result.failures += found.failures
    result.gaps += found.gaps
    result.equal_within += found.equal_within
    if found.stamp != VALID:
        return  # noise that no control vouches for must not widen what counts as equal
    for effect in measured:
        if effect.shift is not None and effect.is_ratio:
            off = abs(math.expm1(effect.shift.estimate))
            column = effect.measure.column
            result.floors[column] = max(off, result.floors.get(column, 0.0))


def _examine_twins_measure(where: str, verdict: Verdict, is_primary: bool, found: Controls) -> None:
    effect = verdict.effect
    if effect.pairs < effects.FEWEST_FOR_VERDICT:
        if is_primary:
            found.gaps.append(_too_few(where, effect.pair, effect))
        return
    text = (f"{effect.measure.title} of {where} against {effect.pair.base.series.name}: "
            f"{describe_change(effect)}")
    if verdict.word not in (EQUIVALENT, INCONCLUSIVE):
        found.failures.append("the A/A twin differs from its original, although both are the "
                              f"same: {text}")
    elif is_primary and verdict.word == EQUIVALENT:
        found.findings.append(f"A/A twin equal: {text}")
        if effect.is_ratio and effect.shift:
            found.equal_within.append(max(abs(effect.change(effect.shift.low)),
                                          abs(effect.change(effect.shift.high))))
    elif is_primary:
        more = f"; about {verdict.rounds_more} more rounds would do" if verdict.rounds_more else ""
        found.failures.append("the A/A twin can't be told equal, so the machine is too noisy "
                              f"for this tolerance: {text}{more}")


def _too_few(where: str, pair: Pair, effect: Effect) -> str:
    return (f"{where} has {effect.pairs} pairs with {pair.base.series.name}, too few for a "
            f"control: at least {effects.FEWEST_FOR_VERDICT}")


def _examine_planted(where: str, pair: Pair, policy: Policy, result: Controls) -> None:
    measure = PRIMARY[pair.head.workload.does]
    effect = effect_of(pair, measure, Tolerance(), keep_noisy=policy.keep_noisy)
    if effect.pairs < effects.FEWEST_FOR_VERDICT or not effect.is_ratio:
        result.gaps.append(_too_few(where, pair, effect))
        return
    delay = pair.head.series.planted_delay_s
    expected = delay / _measured_seconds(pair.base)
    should = expected if measure.better == "lower" else 1 / (1 + expected) - 1
    text = (f"{where} carries {quantity(delay, 's')} more, so {measure.title} should change by "
            f"{100 * should:+.1f} %, and changes by {describe_change(effect)}")
    smallest = effects.smallest_effect(effect.noise, effect.pairs, 0.0, ALPHA)
    if effects.p_above(effect.differences, 0.0) <= ALPHA:
        result.findings.append(f"planted slow-down found: {text}")
        result.planted_found_s.append(delay)
    elif math.log1p(expected) >= smallest:
        result.failures.append(f"a planted slow-down was not found: {text}")
    else:
        result.gaps.append(f"the planted slow-down is smaller than this campaign could see "
                           f"({100 * math.expm1(smallest):.1f} %): {text}")


def _measured_seconds(cell: Cell) -> float:
    """What a delay adds to: the time behind the primary measure, in seconds."""
    if cell.workload.does == "read":
        return float((cell.ok_rows["checked_B"] / cell.ok_rows["throughput_Bps"]).median())
    return float(cell.median(PRIMARY[cell.workload.does].column) or math.nan)


def _examine_floor(campaign: Campaign, cells: list[Cell], result: Controls) -> None:
    for floor in cells:
        if floor.series.approach != YARDSTICK or floor.series.role:
            continue
        where = f"{campaign.name}: {floor.cell_id}"
        if floor.status not in ("ok", "unsupported"):
            result.failures.append(f"{where}, the harness's own floor, is {floor.status}: "
                                   f"{floor.reason}")
            continue
        measure = PRIMARY[floor.workload.does]
        own = floor.interval(measure.column)
        for cell in cells:
            other = cell.interval(measure.column)
            if (own is None or other is None or cell.workload != floor.workload
                    or cell.link != floor.link or cell.series.approach == YARDSTICK):
                continue
            better, worse = (other, own) if measure.better == "higher" else (own, other)
            # Beyond the intervals and beyond what two such short times may differ by.
            if better.low > worse.high and better.median > _BEATEN * worse.median:
                result.failures.append(f"{cell.cell_id} beats {where}, which moves no bytes: the "
                                       f"{measure.title} is not what it claims to be")


def describe_change(effect: Effect) -> str:
    """The change of the measure with its interval: "-9.8 % (-10.4 to -9.1 %)"."""
    if effect.shift is None:
        return "not measured"
    ends = sorted(effect.change(x) for x in (effect.shift.low, effect.shift.high))
    middle = effect.change(effect.shift.estimate)
    if effect.is_ratio:
        # Adding 0 makes a rounded -0.0 a +0.0.
        middle, low, high = (f"{round(100 * x, 1) + 0.0:+.1f}" for x in (middle, *ends))
        return f"{middle} % ({low} to {high} %)"
    unit = effect.measure.unit
    low, high = (quantity(end, unit) for end in ends)
    return f"{quantity(middle, unit)} ({low} to {high})"
