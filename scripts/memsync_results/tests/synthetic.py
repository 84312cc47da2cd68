"""SYNTHETIC campaigns for tests: a model's numbers, seeded, never to be kept as results.

`python -m memsync_results.tests.synthetic DIR [sweep] [REPS]` writes one to look at.
"""

import csv
import hashlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from memsync_results.layout import PLAN_COLUMNS, RUN_COLUMNS, RUN_FLAGS, RUN_TEXTS
from memsync_results.units import unit_of

CHUNK = 4096
# series, approach, options, colour, marker, bytes in flight (None: nothing is moved)
SERIES = [
    ("uffd-prefetch", "userfaultfd", "", "#E69F00", "s", 4 << 20),
    ("uffd-demand", "userfaultfd", "prefetch=none", "#0072B2", "o", CHUNK),
    ("tcp_copy", "tcp_copy", "", "#009E73", "^", 6 << 20),
    ("floor", "floor", "", "#000000", "D", None),
]
# A twin of tcp_copy and of userfaultfd, and both with a planted delay.
CONTROLS = [
    ("tcp-twin", "tcp_copy", "", "#009E73", "^", 6 << 20),
    ("tcp-planted", "tcp_copy", "planted_delay=30ms", "#009E73", "^", 6 << 20),
    ("uffd-twin", "userfaultfd", "", "#E69F00", "s", 4 << 20),
    ("uffd-planted", "userfaultfd", "planted_delay=5ms", "#E69F00", "s", 4 << 20),
]
# Beside uffd-demand, which they are compared with: prefetch policies, and one of other units.
POLICIES = [
    ("around", "userfaultfd", "around=1MiB;prefetch=around", "#D55E00", "v", CHUNK),
    ("priority", "userfaultfd", "first=0+64KiB;60MiB+1MiB;prefetch=priority", "#CC79A7", "P",
     CHUNK),
    ("background", "userfaultfd", "background=on;prefetch=none", "#56B4E9", "X", CHUNK),
    ("small-units", "userfaultfd", "prefetch=trend;unit=4KiB", "#999999", "p", CHUNK),
]
ROLES = {  # series -> role, of, workload, link, planted delay
    "tcp-twin": ("twin", "tcp_copy", "scan", "lan", 0.0),
    "tcp-planted": ("planted", "tcp_copy", "scan", "lan", 0.03),
    "uffd-twin": ("twin", "uffd-prefetch", "move", "wan", 0.0),
    "uffd-planted": ("planted", "uffd-prefetch", "move", "wan", 0.005),
}
QUICK_LINKS = [("local", None, 0.0), ("lan", 125e6, 0.001), ("wan", 12.5e6, 0.05)]
SWEEP_LINKS = [(f"rtt{ms}", 125e6, ms / 1000) for ms in (0, 1, 2, 5, 10, 20, 40)]
WORKLOADS = [("scan", "read", 32 << 20, "sequential"), ("probe", "read", 1 << 20, "random"),
             ("move", "handover", 32 << 20, "random")]


@dataclass
class Model:
    """What the campaign is to contain; the defaults are a healthy `quick`."""

    reps: int = 20
    warmup: int = 1
    links: list = field(default_factory=lambda: QUICK_LINKS)
    unsupported: set = field(default_factory=set)  # {(series, workload, link)}
    failed: dict = field(default_factory=dict)  # {(series, workload, link): status}
    seed: int = 7
    noise: float = 0.04  # standard deviation of a measure's logarithm
    slower: dict = field(default_factory=dict)  # {(series, workload, link): factor on its times}
    controls: bool = False  # a twin and a planted series of tcp_copy's scan and of one hand-over
    policies: bool = False  # series that differ in their prefetch policy alone
    columns: dict = field(default_factory=dict)  # the same value in every row
    manifest: dict = field(default_factory=dict)

    @property
    def series(self) -> list:
        return (SERIES + (CONTROLS if self.controls else [])
                + (POLICIES if self.policies else []))


def write_campaign(directory: Path, model: Model | None = None) -> Path:
    """Writes a whole results directory and returns it."""
    model = model or Model()
    directory.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(model.seed)
    cells = [
        (series, workload, link)
        for workload in WORKLOADS for link in model.links for series in model.series
        if not (series[0] == "tcp_copy" and workload[1] == "handover")
        and (series[0] not in ROLES or ROLES[series[0]][2:4] == (workload[0], link[0]))
    ]
    plan, runs = [], []
    for number, (series, workload, link) in enumerate(cells):
        key = (series[0], workload[0], link[0])
        cell_id = f"c{number:03d}"
        unsupported = key in model.unsupported
        plan.append({
            "cell_id": cell_id, "approach": series[1], "series": series[0],
            "workload": workload[0], "link": link[0],
            "status": "unsupported" if unsupported else "planned",
            "reason": "this kernel has no userfaultfd" if unsupported else "",
            "estimated_s": 1, "reps": model.reps, "warmup": model.warmup,
        })
        total = 1 if unsupported else model.reps + model.warmup
        for index in range(total):
            row = _row(cell_id, index, index < model.warmup and not unsupported, series, workload,
                       link)
            status = "unsupported" if unsupported else "ok"
            if key in model.failed and index % 2:
                status = model.failed[key]
            row["status"] = status
            if status == "ok":
                row |= _measures(random, series, workload, link, row["is_warmup"], model.noise)
                _slow_down(row, model.slower.get(key, 1.0), ROLES.get(series[0], (0.0,))[-1])
                if row.get("throughput_Bps"):
                    row["duration_s"] = row["checked_B"] / row["throughput_Bps"]
            else:
                row["status_detail"] = f"a synthetic {status}, told with, a comma"
            row |= model.columns
            runs.append(row)
    _write_csv(directory / "plan.csv", PLAN_COLUMNS, plan)
    later = [column for column in model.columns if column not in RUN_COLUMNS]
    _write_csv(directory / "runs.csv", [*RUN_COLUMNS, *later], runs)
    _write_documents(directory, model)
    sign(directory)
    return directory


def sign(directory: Path) -> None:
    """Writes the digests of the files into the manifest, as a campaign does at its end."""
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["files"] = {
        name: hashlib.sha256((directory / name).read_bytes()).hexdigest()
        for name in ("plan.csv", "runs.csv", "suite.yaml", "schema.json", "registry.json",
                     "env.json", "calibration.json")
    }
    path.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _row(cell_id: str, index: int, is_warmup: bool, series: tuple, workload: tuple,
         link: tuple) -> dict:
    return {
        "schema_version": 1, "campaign_id": "synthetic", "run_id": f"{cell_id}-{index}",
        "cell_id": cell_id, "suite": "synthetic", "block": index, "rep": index,
        "is_warmup": int(is_warmup), "seed": 18446744073709551615, "approach": series[1],
        "series": series[0], "workload": workload[0], "access_pattern": workload[3],
        "region_B": workload[2], "chunk_B": CHUNK, "content": "text", "options": series[2],
        "link": link[0], "link_engine": "tun", "rate_cfg_Bps": link[1], "rtt_cfg_s": link[2],
        "loss_cfg_ratio": 0, "git_dirty": 0, "host_id": "synthetic", "tool_version": "0.1.0",
    }


def _measures(random: np.random.Generator, series: tuple, workload: tuple, link: tuple,
              is_warmup: int, spread: float) -> dict:
    """A crude model of physics: a window over an RTT, a rate, a floor; a slow warm-up."""
    window = series[5]
    rtt = (link[2] + 55e-6) * (3 if is_warmup else 1)
    rate = min(link[1] or 4e9, 4e9)
    noise = random.lognormal(0, spread, 8)
    common = {
        "rate_meas_Bps": 0.99 * rate, "rtt_p50_meas_s": link[2] + 50e-6,
        "rtt_p99_meas_s": link[2] + 90e-6, "link_ok": 1, "integrity_ok": 1, "noisy": 0,
        "cpu_src_s": 0.02 * noise[4], "cpu_dst_s": 0.03 * noise[5],
    }
    if workload[1] == "read":
        moved = workload[2]
        if window is None:
            speed, first, limit, limited_by = 8e9 * noise[0], 4e-6 * noise[1], None, None
        else:
            limit = min(rate, window / rtt)
            limited_by = "window" if window / rtt < rate else "rate"
            speed, first = 0.9 * limit * noise[0], rtt + 90e-6 * noise[1]
            if series[1] == "tcp_copy":
                first = rtt + moved / rate * noise[1]
        return common | {
            "open_s": 2 * rtt, "first_access_s": first, "checked_B": moved,
            "throughput_Bps": speed, "full_s": moved / speed, "latency_p99_s": 1.4 * rtt * noise[2],
            "limit_Bps": limit, "limit_by": limited_by, "window_B": window,
            "payload_B": moved if window else 0, "wire_tx_B": 1.04 * moved if window else 0,
            "wire_rx_B": 0.01 * moved if window else 0,
        }
    phases = {"suspend_s": 3e-4 * noise[0], "collect_s": 2e-4 * noise[1],
              "transfer_s": 1e-4 * noise[2] if window is None else rtt * noise[2],
              "resume_s": 5e-4 * noise[3]}
    settle = None if window is None else workload[2] / min(rate, window / rtt) * noise[6]
    return common | phases | {"blackout_s": sum(phases.values()) + 4e-4 * noise[7],
                              "settle_s": settle, "payload_B": workload[2] if window else 0}


def _slow_down(row: dict, factor: float, delay_s: float) -> None:
    """Everything takes `factor` times as long, and then `delay_s` more."""
    if row.get("throughput_Bps"):
        row["full_s"] = row["full_s"] * factor + delay_s
        row["throughput_Bps"] = row["checked_B"] / row["full_s"]
        row["first_access_s"] = row["first_access_s"] * factor + delay_s
    if row.get("blackout_s"):
        row["blackout_s"] = row["blackout_s"] * factor + delay_s


def _write_csv(path: Path, columns: list[str], rows: list[dict]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: "" if v is None else v for k, v in row.items()} for row in rows)


def _write_documents(directory: Path, model: Model) -> None:
    documents = {
        "registry.json": {
            "schema_version": 1, "tool_version": "0.1.0",
            "suite": {"name": "synthetic",
                      "question": "Does prefetching hide a link's latency from a reader?",
                      "hypothesis": "A window of one BDP reaches 80 % of the raw stream & <demand> "
                                    "faults alone stay at chunk/RTT.",
                      "reps": model.reps, "seed": model.seed},
            "approaches": [
                {"name": name, "summary": f"summary of {name}", "reference": "",
                 "capabilities": {}, "options": [],
                 "exact": ["payload_B"] if name == "tcp_copy" else []}
                for name in ("userfaultfd", "tcp_copy", "floor")
            ],
            "series": [
                {"series": s[0], "approach": s[1], "options": s[2], "colour": s[3], "marker": s[4],
                 "role": ROLES.get(s[0], ("",))[0], "of": ROLES.get(s[0], ("", ""))[1],
                 "planted_delay_s": ROLES.get(s[0], (0.0,))[-1]}
                for s in model.series
            ],
            "workloads": [
                {"name": w[0], "does": w[1], "region_B": w[2], "chunk_B": CHUNK, "content": "text",
                 "access": w[3], "touch_B": 4096, "accesses": w[2] // 4096}
                for w in WORKLOADS
            ],
            "links": [
                {"name": link[0], "rate_Bps": link[1], "rtt_s": link[2], "loss_ratio": 0,
                 "jitter_s": 0, "engine": "tun"}
                for link in model.links
            ],
            "exclusions": [{"approach": "tcp_copy", "workload": "move", "link": None,
                            "because": "it has no hand-over"}],
        },
        "manifest.json": {"schema_version": 1, "campaign_id": "synthetic", "git_sha": "0" * 40,
                          "git_dirty": False, "argv": ["memsync", "run", "synthetic"],
                          "complete": True, **model.manifest},
        "schema.json": {"columns": [
            {"name": name, "type": "string" if name in RUN_TEXTS else
             "boolean" if name in RUN_FLAGS else "number", "unit": unit_of(name), "direction": "",
             "description": f"what {name} means"} for name in RUN_COLUMNS
        ]},
        "calibration.json": {"schema_version": 1, "links": [{"name": link[0], "ok": True}
                                                            for link in model.links]},
        "env.json": {"kernel": "6.1.0-synthetic", "cpus": 2, "limits": {"nofile": 1024}},
    }
    for name, document in documents.items():
        (directory / name).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (directory / "suite.yaml").write_text("schema: 1\nsuite: synthetic  # <not> measured\n")


if __name__ == "__main__":
    kind = sys.argv[2] if len(sys.argv) > 2 else "quick"
    reps = int(sys.argv[3]) if len(sys.argv) > 3 else 20
    broken = Model(
        reps=reps, links=SWEEP_LINKS if kind == "sweep" else QUICK_LINKS,
        unsupported={("uffd-prefetch", "move", "wan"), ("uffd-prefetch", "scan", "rtt10"),
                     ("uffd-prefetch", "probe", "lan"), ("uffd-prefetch", "move", "rtt40")},
        failed={("uffd-demand", "scan", "lan"): "timeout"},
    )
    print(write_campaign(Path(sys.argv[1]), broken))
