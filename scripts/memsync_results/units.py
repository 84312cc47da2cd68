"""The one place where a number becomes text: SI prefixes, so MB means 1e6 bytes."""

import math

UNIT_OF_SUFFIX = {"_Bps": "B/s", "_B": "B", "_s": "s"}

_PREFIXES = {-9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}


def unit_of(column: str) -> str:
    """The SI unit a column's name ends in: `full_s` -> "s"; "" for counts and ratios."""
    for suffix, unit in UNIT_OF_SUFFIX.items():
        if column.endswith(suffix):
            return unit
    return ""


def quantity(
    value: float | None, unit: str, digits: int = 3, like: float | None = None
) -> str:
    """`digits` significant digits with an SI prefix: 1.25e8 "B/s" -> "125 MB/s".

    A number without a unit keeps its size (0.95, 4096); None and NaN give "". The prefix is
    that of `like` where one is given, so that the labels of an axis share theirs.
    """
    if value is None or math.isnan(value):
        return ""
    exponent = _exponent(value if like is None else like, unit, digits)
    return f"{_significant(value / 10.0**exponent, digits)} {_PREFIXES[exponent]}{unit}".rstrip()


def interval(median: float, low: float, high: float, unit: str) -> tuple[str, str]:
    """A median and its interval, one prefix and the same decimals: ("3.52 GB/s", "3.46 to 3.59").

    The second text is empty where no digit shown differs. An end that would need four digits
    before the point takes all three to its own prefix, at most one step up.
    """
    if low == median == high:
        return quantity(median, unit), ""
    largest = max(abs(low), abs(high))
    exponent = _exponent(median or largest, unit, 3)
    if unit and largest >= 1000 * 10.0**exponent and exponent < max(_PREFIXES):
        exponent += 3
    scaled = [value / 10.0**exponent for value in (median, low, high)]
    is_counted = unit == "B" and exponent == 0
    decimals = 0 if is_counted else _decimals(scaled[0] or largest / 10.0**exponent)
    middle, *ends = (f"{value:.{decimals}f}" for value in scaled)
    text = f"{middle} {_PREFIXES[exponent]}{unit}".rstrip()
    return text, "" if set(ends) == {middle} else " to ".join(ends)


def rate(bytes_per_second: float | None) -> str:
    """A link's rate as networks name it: 1.25e8 -> "1 Gbit/s"; None -> "unlimited"."""
    if bytes_per_second is None or math.isnan(bytes_per_second):
        return "unlimited"
    return quantity(8 * bytes_per_second, "bit/s")


def size(region_bytes: float | None) -> str:
    """A power-of-two size as suites write it: 67108864 -> "64 MiB"; else SI, exact below 1 MB."""
    if region_bytes is None or math.isnan(region_bytes):
        return ""
    whole = int(region_bytes)
    for prefix, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if whole >= factor and whole % factor == 0:
            return f"{whole // factor} {prefix}"
    return f"{whole} B" if whole < 1_000_000 else quantity(whole, "B")


def _exponent(value: float, unit: str, digits: int) -> int:
    """Which of the prefixes suits a value, after rounding: 999.9 kB is 1 MB."""
    if value == 0 or not unit:
        return 0
    rounded = float(f"{abs(value):.{digits - 1}e}")
    exponent = 3 * math.floor(math.log10(rounded) / 3)
    return min(max(exponent, min(_PREFIXES)), max(_PREFIXES))


def _significant(value: float, digits: int) -> str:
    """Fixed-point text with at least `digits` significant digits and no trailing zeros."""
    if value == 0:
        return "0"
    decimals = _decimals(value, digits)
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _decimals(value: float, digits: int = 3) -> int:
    """After the point, so that `value` shows at least that many digits; 0 shows none."""
    return max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
