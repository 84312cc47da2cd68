"""The words of a report in plain sentences: folded, for whoever reads one for the first time."""

from memsync_results.cells import Cell
from memsync_results.comparing import YARDSTICK
from memsync_results.load import Campaign, Series
from memsync_results.measures import COSTS, SHOWN, Measure
from memsync_results.page import Block, Heading, Table
from memsync_results.units import quantity

# By column of runs.csv; a measure that isn't here is told by schema.json.
_MEANINGS = {
    "throughput_Bps": "bytes read and found right, by the time from the call of open to the last "
                      "access; connecting is in it",
    "first_access_s": "from the call of open to the first byte in hand. It takes about 3 RTT with "
                      "connecting: one to connect, one to agree on the region, one for the byte",
    "latency_p99_s": "of a read: 99 of 100 single accesses took at most this long, each timed from "
                     "its call to its bytes; of a hand-over: of the writer's operations, from when "
                     "each was due; of an update: of the sync() calls. Empty below 100 of them",
    "full_s": "until the destination holds every byte of the region; of an update: the rounds' "
              "sync() calls together. Empty where not all came",
    "durable_s": "until the bytes would survive a crash of the destination",
    "blackout_s": "downtime seen from outside: from the last operation at the source before the "
                  "stop to the end of the first correct one at the destination",
    "settle_s": "after a hand-over, until nothing is left at the source",
    "payload_B": "bytes of the region that reached the destination, framing not counted",
    "wire_tx_B": "wire: everything that the source sent, as IP packets",
    "wire_rx_B": "wire: everything that the destination sent, as IP packets",
    "cpu_src_s": "CPU time of the source's process during the measured work",
    "cpu_dst_s": "CPU time of the destination's process during the measured work",
}
_WORDS = [
    ["RTT", "round-trip time of the idle link: a packet there and its answer back"],
    ["limit (dashed in figures)", "the least of the link's rate, window ÷ RTT and how fast memory "
     "is copied: no approach can move bytes faster. The label says which binds: \"rate\", "
     "\"window\" (bytes in flight are too few for this RTT) or \"copy\""],
    ["median (a to b)", "half of the repetitions lie above it; the 95 % interval for the true "
     "median is a to b. No interval: no digit shown differs"],
    ["1.44× (1.43 to 1.45)", "how many times better, from repetitions of the same round; more "
     "than 1 is in favour of the one that is named first, for times as for throughput"],
    ["sure, p", "the chance that equals would look this different, corrected for all comparisons "
     "of this campaign; sure is p < 0.05. n rounds that all agree give the least p that there can "
     "be, comparisons × 2^(1−n): it speaks of their number and not of how large a difference is"],
    ["tie", "the interval holds 1, or the difference is too small to matter (5 % unless a policy "
     "says otherwise)"],
    ["warm-up", "a repetition before those that count; its row is in runs.csv, and in no figure"],
    ["noisy", "a repetition beside other work: its row says so in runs.csv, and schema.json how it "
     "is told"],
    ["controls", "cells that try the judging itself: an A/A twin, the same series under another "
     "name, must not differ; a planted delay of known size must be found. If not, verdicts of this "
     "campaign are INVALID"],
    ["only candidate", "no other approach can do this, or none was run"],
]


def glossary_blocks(campaign: Campaign, cells: list[Cell]) -> list[Block]:
    """What the series are, what the measures mean, and the words around them."""
    series = list(dict.fromkeys(cell.series for cell in cells))
    summaries = {entry["name"]: entry["summary"] for entry in campaign.registry["approaches"]}
    return [
        Heading("Glossary"),
        Table("Series: an approach with its options", ["series", "what it is"],
              [[one.name, _explained(one, summaries)] for one in series], folded=True),
        Table("Measures and words", ["word", "meaning"],
              [*_measure_rows(campaign, cells), *_WORDS], folded=True),
    ]


def _explained(series: Series, summaries: dict[str, str]) -> str:
    if series.role == "twin":
        return f"control: {series.of} again, under another name"
    if series.role == "planted":
        return f"control: {series.of}, made slower by {quantity(series.planted_delay_s, 's')}"
    if series.approach == YARDSTICK:
        return "no transfer: the harness's own cost; a yardstick, not ranked"
    options = series.options.replace(";", ", ") or "its options as they come"
    return f"{series.approach} with {options}: {summaries.get(series.approach, '')}"


def _measure_rows(campaign: Campaign, cells: list[Cell]) -> list[list[str]]:
    shown: dict[str, Measure] = {
        measure.column: measure
        for does in dict.fromkeys(cell.workload.does for cell in cells)
        for measure in SHOWN[does] + COSTS
        if any(cell.samples(measure.column).size for cell in cells)
    }
    return [
        [f"{measure.title} ({measure.better} is better; {column} in runs.csv)",
         _MEANINGS.get(column) or str(campaign.schema.get(column, {}).get("description") or "")]
        for column, measure in shown.items()
    ]
