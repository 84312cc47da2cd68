"""Is the gate red where it must be and green where it must?

One small real campaign holds each cell three times: itself, its A/A twin, and with a planted
delay. Baselines and candidates are cut from its rows, some of them damaged on purpose, and the
gate judges them as a user would call it, in a process of its own.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from memsync_results.controls import PLANTED, TWIN
from memsync_results.digests import digest_of
from memsync_results.exits import Exit, Refusal

ROOT = Path(__file__).parents[2]
Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Case:
    """A candidate campaign and what the gate must say of it."""

    name: str
    expected: Exit
    roles: dict[str, str]  # workload -> whose rows stand for the original series: "", twin, planted
    damage: Callable[[Path], None] = lambda _: None
    keeps_controls: bool = False
    is_signed: bool = True  # its digests are those of the damaged files


def run_selftest(out: Path | None, as_json: bool) -> Exit:
    """Runs the campaign and every case; REGRESSION unless each case ends as it must."""
    folder = out or Path(tempfile.mkdtemp(prefix="memsync-selftest-"))
    campaign = folder / "campaign"
    _run_campaign(campaign)
    baseline = folder / "baseline"
    _cut(campaign, baseline, {}, keeps_controls=False)
    results = []
    for case in CASES:
        candidate = folder / case.name
        _cut(campaign, candidate, case.roles, case.keeps_controls)
        case.damage(candidate)
        if case.is_signed:
            _sign(candidate)
        done = _gate(candidate, baseline)
        results.append({"case": case.name, "expected": int(case.expected),
                        "got": done.returncode, "ok": done.returncode == case.expected,
                        "said": _first_line(done)})
        if not as_json:
            row = results[-1]
            print(f"{'ok ' if row['ok'] else 'NOT'} {case.name}: exit {row['got']}, expected "
                  f"{row['expected']}: {row['said']}", flush=True)
    passed = all(row["ok"] for row in results)
    if as_json:
        print(json.dumps({"ok": passed, "cases": results, "results": str(folder)}, indent=1))
    else:
        print(f"the gate {'is red and green where it must be' if passed else 'CANNOT be trusted'}")
        print(folder)
    return Exit.OK if passed else Exit.REGRESSION


def _run_campaign(campaign: Path) -> None:
    program = os.environ.get("MEMSYNC_PROGRAM") or str(ROOT / "build" / "release" / "memsync")
    if campaign.exists():
        raise Refusal(Exit.USAGE, f"{campaign} is there already: choose another --out")
    campaign.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([program, "run", str(ROOT / "harness" / "suites" / "selftest.yaml"),
                           "--out", str(campaign)], stdout=subprocess.DEVNULL, check=False)
    if done.returncode == Exit.INTERRUPTED:
        raise KeyboardInterrupt
    if done.returncode != Exit.OK:
        raise Refusal(Exit.INCOMPLETE, f"the self-test's campaign did not end well (exit "
                      f"{done.returncode}): {campaign}")


def _gate(candidate: Path, baseline: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "memsync_results", "gate", str(candidate), "--baseline",
         str(baseline), "--annotations", "none"], capture_output=True, text=True, check=False)


def _first_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if lines else "nothing"


def _cut(campaign: Path, into: Path, roles: dict[str, str], keeps_controls: bool) -> None:
    """Copies a campaign so that, per workload, the rows of a role stand for the original series.

    Without `keeps_controls` only those are left: the copy looks like a campaign of its own.
    """
    shutil.copytree(campaign, into)
    registry = _read_json(into / "registry.json")
    if keeps_controls:
        return
    stands_for = {}  # (series, workload) -> the name it gets
    for entry in registry["series"]:
        for workload in registry["workloads"]:
            wanted = roles.get(workload["name"], "")
            if (entry.get("role") or "") == wanted or entry["approach"] == "floor":
                stands_for[entry["series"], workload["name"]] = entry.get("of") or entry["series"]
    for name in ("plan.csv", "runs.csv"):
        rows = []
        for row in _read_rows(into / name):
            original = stands_for.get((row["series"], row["workload"]))
            if original is None:
                continue
            row["cell_id"] = row["cell_id"].replace(row["series"], original, 1)
            row["series"] = original
            rows.append(row)
        _write_rows(into / name, rows, _header(into / name))
    registry["series"] = [e for e in registry["series"] if not e.get("role")]
    _write_json(into / "registry.json", registry)
    _sign(into)


def _role(registry: dict, row: dict[str, str]) -> str:
    return next((e.get("role") or "" for e in registry["series"] if e["series"] == row["series"]),
                "")


def _drop_cell(candidate: Path) -> None:
    gone = _read_rows(candidate / "plan.csv")[0]["cell_id"]
    for name in ("plan.csv", "runs.csv"):
        _write_rows(candidate / name,
                    [r for r in _read_rows(candidate / name) if r["cell_id"] != gone],
                    _header(candidate / name))


def _set_status(status: str) -> Callable[[Path], None]:
    """One measured repetition ends so, and has no measures any more."""
    measures = ("throughput_Bps", "first_access_s", "latency_p99_s", "full_s", "blackout_s",
                "settle_s", "payload_B", "wire_tx_B", "wire_rx_B", "cpu_src_s", "cpu_dst_s")

    def damage(candidate: Path) -> None:
        rows = _read_rows(candidate / "runs.csv")
        row = next(r for r in rows if r["is_warmup"] == "0" and r["approach"] != "floor")
        row |= {"status": status, "status_detail": f"planted: {status}"}
        row |= dict.fromkeys(measures, "")
        _write_rows(candidate / "runs.csv", rows, _header(candidate / "runs.csv"))

    return damage


def _scale(column: str, factor: float, role: str) -> Callable[[Path], None]:
    """A control that measures what it can't."""

    def damage(candidate: Path) -> None:
        registry = _read_json(candidate / "registry.json")
        rows = _read_rows(candidate / "runs.csv")
        for row in rows:
            if _role(registry, row) == role and row[column]:
                row[column] = repr(float(row[column]) * factor)
        _write_rows(candidate / "runs.csv", rows, _header(candidate / "runs.csv"))

    return damage


def _empty(candidate: Path) -> None:
    _write_rows(candidate / "runs.csv", [], _header(candidate / "runs.csv"))


def _set_throughput(text: str) -> Callable[[Path], None]:
    def damage(candidate: Path) -> None:
        rows = _read_rows(candidate / "runs.csv")
        next(row for row in rows if row["throughput_Bps"])["throughput_Bps"] = text
        _write_rows(candidate / "runs.csv", rows, _header(candidate / "runs.csv"))

    return damage


def _sign(candidate: Path) -> None:
    """Writes the digests of the files as they are now, so that the gate looks further."""
    manifest = _read_json(candidate / "manifest.json")
    manifest["files"] = {name: digest_of(candidate / name) for name in manifest["files"]}
    _write_json(candidate / "manifest.json", manifest)


def _header(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file))


def _read_rows(path: Path) -> Rows:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write_rows(path: Path, rows: Rows, header: list[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def _write_json(path: Path, document: dict) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


_AGAIN = {"scan": TWIN, "move": TWIN}
CASES = (
    Case("nothing-changed", Exit.OK, _AGAIN),
    Case("slow-down", Exit.REGRESSION, {**_AGAIN, "scan": PLANTED}),
    Case("longer-downtime", Exit.REGRESSION, {**_AGAIN, "move": PLANTED}),
    Case("missing-cell", Exit.INCOMPLETE, _AGAIN, _drop_cell),
    Case("crash", Exit.INCOMPLETE, _AGAIN, _set_status("crashed")),
    Case("wrong-bytes", Exit.REGRESSION, _AGAIN, _set_status("corrupt")),
    Case("damaged-row", Exit.USAGE, _AGAIN, _set_throughput("NaN")),
    Case("impossible-value", Exit.USAGE, _AGAIN, _set_throughput("-5")),
    Case("edited-afterwards", Exit.INCOMPLETE, _AGAIN, _set_throughput("1"), is_signed=False),
    Case("empty-campaign", Exit.INCOMPLETE, _AGAIN, _empty),
    Case("twin-differs", Exit.INCONCLUSIVE, {}, _scale("throughput_Bps", 0.8, TWIN), True),
    Case("planted-not-found", Exit.INCONCLUSIVE, {}, _scale("throughput_Bps", 1.3, PLANTED), True),
)
