"""The columns of runs.csv that results are judged by, and which kind of workload has which."""

from dataclasses import dataclass

from memsync_results.units import unit_of


@dataclass(frozen=True)
class Measure:
    """A column of runs.csv that results are judged by."""

    column: str
    title: str
    better: str  # "higher" or "lower"
    kinds: tuple[str, ...] = ("read", "update", "handover")  # of workloads that have it

    @property
    def unit(self) -> str:
        return unit_of(self.column)


THROUGHPUT = Measure("throughput_Bps", "throughput", "higher", ("read",))
FIRST_ACCESS = Measure("first_access_s", "first access", "lower", ("read",))
LATENCY_P99 = Measure("latency_p99_s", "access p99", "lower", ("read",))
FULL = Measure("full_s", "full", "lower", ("update",))
UPDATE = Measure("latency_p50_s", "one update", "lower", ("update",))  # the median of its rounds
BLACKOUT = Measure("blackout_s", "blackout", "lower", ("handover",))
SETTLE = Measure("settle_s", "settle", "lower", ("handover",))
PHASES = ("suspend_s", "collect_s", "transfer_s", "resume_s")  # contiguous, in this order

# Beside every workload's measures, so that no speed is shown without its price.
COSTS = (
    Measure("payload_B", "payload", "lower"),
    Measure("wire_tx_B", "wire src→dst", "lower"),
    Measure("wire_rx_B", "wire dst→src", "lower"),
    Measure("cpu_src_s", "CPU src", "lower"),
    Measure("cpu_dst_s", "CPU dst", "lower"),
)

# What the tables show for each kind of workload; a column without values is left out.
SHOWN: dict[str, tuple[Measure, ...]] = {
    "read": (THROUGHPUT, FIRST_ACCESS, LATENCY_P99, Measure("full_s", "full", "lower")),
    "update": (FULL, Measure("durable_s", "durable", "lower"), THROUGHPUT),
    "handover": (BLACKOUT, SETTLE, FIRST_ACCESS),
}

# By which one a kind of workload is told faster or slower first of all.
PRIMARY: dict[str, Measure] = {"read": THROUGHPUT, "update": FULL, "handover": BLACKOUT}

# What a policy may judge. A whole read's `full_s` is its throughput again, so it is judged of
# updates alone.
MEASURES = (THROUGHPUT, BLACKOUT, FULL, FIRST_ACCESS, LATENCY_P99, SETTLE, *COSTS)
