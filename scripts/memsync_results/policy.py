"""How large a difference must be to matter: a policy file, or the one that is shipped."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from memsync_results.exits import Exit, Refusal
from memsync_results.measures import MEASURES, Measure

SHIPPED = Path(__file__).with_name("policy.yaml")
SCHEMA = 1

_KEYS = {"schema", "default", "measures", "fewest_pairs", "largest_delta", "controls", "noisy",
         "demands"}
_MEASURE_KEYS = {"relative", "absolute", "exact", "advisory"}
_UNITS = {
    "": {"": 1.0},
    "s": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9},
    "B": {"B": 1.0, "KiB": 1024.0, "MiB": 1024.0**2, "GiB": 1024.0**3, "kB": 1e3, "MB": 1e6},
    "B/s": {"B/s": 1.0, "MiB/s": 1024.0**2, "kB/s": 1e3, "MB/s": 1e6, "GB/s": 1e9},
}
_USUAL_MARGIN = 0.05
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?)\s*([A-Za-z/%]*)")


@dataclass(frozen=True)
class Tolerance:
    """By how much a measure may differ; the larger of the two counts where both are given."""

    relative: float = 0.0  # 0.05: five percent
    absolute: float = 0.0  # in the measure's own unit
    exact: bool = False  # every pair must be equal, where the approach declares it can
    advisory: bool = False  # a regression counts, an open question does not

    def of(self, base_median: float) -> float:
        """The tolerance as a share of `base_median`, which is positive."""
        return max(self.relative, self.absolute / base_median)


@dataclass(frozen=True)
class Policy:
    """What a gate asks. Measures that are not named are not judged."""

    tolerances: dict[str, Tolerance]  # column -> tolerance
    fewest_pairs: int  # below it a cell is inconclusive
    controls_required: bool  # a campaign without controls is INVALID
    keep_noisy: bool  # rows marked noisy count
    largest_delta: float  # a share; where twice the A/A floor is more, nothing is called equal
    source: str  # the file it came from
    demands_judged: bool = False  # a demand of head's suite that is missed is red

    @property
    def name(self) -> str:
        """What a page calls it, wherever memsync and the page lie."""
        return "as shipped" if self.source == str(SHIPPED) else Path(self.source).name

    def margin(self, column: str) -> float:
        """Below which share two approaches of one campaign count as equally good.

        An absolute tolerance says what a project doesn't mind; it makes no two approaches alike.
        """
        given = self.tolerances.get(column)
        return given.relative if given and given.relative else _USUAL_MARGIN

    def judged(self, does: str) -> list[Measure]:
        """The measures of a kind of workload that this policy judges, in the usual order."""
        return [m for m in MEASURES if m.column in self.tolerances and does in m.kinds]


def load_policy(path: Path | None) -> Policy:
    """Reads a policy file; None: the shipped one. Raises Refusal (USAGE) naming what is wrong."""
    path = path or SHIPPED
    try:
        document = yaml.safe_load(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise Refusal(Exit.USAGE, f"{path}: {error.strerror}; a policy to start from: {SHIPPED}"
                      ) from None
    except UnicodeDecodeError as error:
        raise Refusal(Exit.USAGE, f"{path} is not UTF-8 at byte {error.start}") from None
    except yaml.YAMLError as error:
        raise Refusal(Exit.USAGE, f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise Refusal(Exit.USAGE, f"{path}: a policy is a mapping; see {SHIPPED}")
    _check_keys(path, "", document, _KEYS)
    if document.get("schema") != SCHEMA:
        raise Refusal(Exit.USAGE, f"{path}: schema is {document.get('schema')}, expected {SCHEMA}")
    return Policy(
        tolerances=_tolerances(path, document),
        fewest_pairs=_count(path, "fewest_pairs", document.get("fewest_pairs", 10)),
        controls_required=_choice(path, document, "controls", "optional", "required"),
        keep_noisy=not _choice(path, document, "noisy", "keep", "drop"),
        largest_delta=_share(path, "largest_delta", document.get("largest_delta", "25%")),
        source=str(path),
        demands_judged=_choice(path, document, "demands", "tell", "judge"),
    )


def simple_policy(relative: float) -> Policy:
    """The shipped policy with one relative tolerance for all that isn't compared exactly."""
    shipped = load_policy(None)
    return Policy(
        {name: old if old.exact else Tolerance(relative, 0.0, False, old.advisory)
         for name, old in shipped.tolerances.items()},
        FEWEST, shipped.controls_required, shipped.keep_noisy,
        max(shipped.largest_delta, relative), f"{relative:.3g} of each measure",
    )


FEWEST = 6  # no exact test of fewer pairs can reach 5 %


def parse_share(text: Any) -> float:
    """"5%" or 0.05 as 0.05. Raises ValueError."""
    number, unit = _split(text)
    if unit == "%":
        number /= 100
    elif unit:
        raise ValueError(f"'{text}' is no share: write 5%")
    if not 0 <= number < 10:
        raise ValueError(f"'{text}' is no share between 0 and 1000 %")
    return number


def _tolerances(path: Path, document: dict) -> dict[str, Tolerance]:
    default = document.get("default", "5%")
    given = document.get("measures")
    if not isinstance(given, dict) or not given:
        raise Refusal(Exit.USAGE, f"{path}: `measures` names at least one measure: "
                      + ", ".join(m.column for m in MEASURES))
    known = {measure.column: measure for measure in MEASURES}
    result = {}
    for name, value in given.items():
        if name not in known:
            raise Refusal(Exit.USAGE, f"{path}: measures: {name} is no measure that can be judged; "
                          f"there are {', '.join(known)}")
        try:
            result[name] = _tolerance(path, known[name], value, default)
        except ValueError as error:
            raise Refusal(Exit.USAGE, f"{path}: measures: {name}: {error}") from None
    return result


def _tolerance(path: Path, measure: Measure, value: Any, default: Any) -> Tolerance:
    if value is None:
        value = {"relative": default}
    if value == "exact":
        value = {"exact": True}
    if not isinstance(value, dict):
        _, unit = _split(value)
        value = {"relative" if unit in ("", "%") else "absolute": value}
    _check_keys(path, f"measures: {measure.column}: ", value, _MEASURE_KEYS)
    for flag in ("exact", "advisory"):
        if not isinstance(value.get(flag, False), bool):
            raise ValueError(f"{flag} is true or false")
    absolute = 0.0
    if "absolute" in value:
        number, unit = _split(value["absolute"])
        factors = _UNITS[measure.unit]
        if unit not in factors:
            raise ValueError(f"'{value['absolute']}' has not the unit of {measure.column}: "
                             f"{', '.join(filter(None, factors))}")
        absolute = number * factors[unit]
    return Tolerance(parse_share(value.get("relative", 0)), absolute,
                     value.get("exact", False), value.get("advisory", False))


def _split(value: Any) -> tuple[float, str]:
    found = _QUANTITY.fullmatch(str(value).strip())
    if isinstance(value, bool) or found is None:
        raise ValueError(f"'{value}' is no quantity: write 5% or 2ms")
    return float(found[1]), found[2]


def _check_keys(path: Path, where: str, document: dict, known: set[str]) -> None:
    for key in document:
        if key not in known:
            raise Refusal(Exit.USAGE, f"{path}: {where}{key} is no key of a policy; there are "
                          f"{', '.join(sorted(known))}")


def _count(path: Path, name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < FEWEST:
        raise Refusal(Exit.USAGE, f"{path}: {name} is {value}; it is a count of at least {FEWEST}, "
                      "since no exact test of fewer pairs can reach 5 %")
    return value


def _share(path: Path, name: str, value: Any) -> float:
    try:
        return parse_share(value)
    except ValueError as error:
        raise Refusal(Exit.USAGE, f"{path}: {name}: {error}") from None


def _choice(path: Path, document: dict, name: str, default: str, other: str) -> bool:
    """Whether `other` was chosen."""
    value = document.get(name, default)
    if value not in (default, other):
        raise Refusal(Exit.USAGE, f"{path}: {name} is {value}; it is {default} or {other}")
    return value == other
