import pytest

from memsync_results.units import interval, quantity, rate, size, unit_of


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1e6, "B", "1 MB"), (1 << 20, "B", "1.05 MB"), (999_900, "B", "1 MB"),
        (999, "B", "999 B"), (0, "s", "0 s"), (0.0125, "s", "12.5 ms"), (5.5e-5, "s", "55 µs"),
        (1e-12, "s", "0.001 ns"), (120, "s", "120 s"), (1.25e8, "B/s", "125 MB/s"),
        (-0.002, "s", "-2 ms"), (0.95, "", "0.95"), (4096, "", "4096"),
        (None, "s", ""), (float("nan"), "s", ""), (5e15, "B", "5000 TB"),
    ],
)
def test_quantity(value, unit, text):
    assert quantity(value, unit) == text


def test_an_interval_shares_the_prefix_of_its_median():
    assert interval(93e6, 92.7e6, 93.4e6, "B/s") == ("93.0 MB/s", "92.7 to 93.4")
    assert interval(843e-6, 625e-6, 1473e-6, "s") == ("0.843 ms", "0.625 to 1.473")
    assert interval(1.2e6, 0.9e6, 2e9, "B/s") == ("0.00120 GB/s", "0.00090 to 2.00000")
    assert interval(0.0, 0.0, 0.002, "s") == ("0.00 ms", "0.00 to 2.00")
    assert interval(2.5e6, 2.499e6, 2.501e6, "B/s") == ("2.50 MB/s", "")
    assert interval(5.0, 5.0, 5.0, "s") == ("5 s", "")
    assert interval(4.0, 3.0, 5.0, "B") == ("4 B", "3 to 5")


def test_rates_count_bits_and_sizes_binary_units():
    assert (rate(1.25e8), rate(12.5e6), rate(None)) == ("1 Gbit/s", "100 Mbit/s", "unlimited")
    assert (size(64 << 20), size(4096), size(1), size(4097)) == ("64 MiB", "4 KiB", "1 B", "4097 B")


def test_the_unit_is_the_suffix():
    columns = ("full_s", "limit_Bps", "payload_B", "rep", "efficiency_ratio")
    assert [unit_of(column) for column in columns] == ["s", "B/s", "B", "", ""]
