"""Where a campaign's numbers come from: the link as measured, the machine, the program."""

import json
from typing import Any

import pandas as pd

from memsync_results.load import Campaign, Link
from memsync_results.page import Block, Heading, Paragraph, Table
from memsync_results.units import quantity, rate

# Of a kernel's command line, what bears on timing.
_TIMING = (
    "amd_pstate", "clocksource", "cpufreq", "cpuidle", "haltpoll", "idle", "intel_idle",
    "intel_pstate", "irqaffinity", "isolcpus", "mitigations", "nmi_watchdog", "nohz", "nosmt",
    "nosoftlockup", "preempt", "processor.max_cstate", "rcu_nocb", "skew_tick",
    "transparent_hugepage", "tsc",
)
_HOSTS_CC = "net/ipv4/tcp_congestion_control"


def calibration_blocks(campaign: Campaign) -> list[Block]:
    """One line per link: what was asked of it and what it gave."""
    return [
        Heading("Link calibration"),
        Table("Asked for and measured before each repetition: medians over the rows of each link",
              ["link", "engine", "RTT asked", "RTT p50", "RTT p99", "rate asked", "rate measured",
               "loss asked", "jitter asked", "rows in tolerance"],
              [_link_row(campaign, link) for link in campaign.links.values()]),
        Paragraph("Every single calibration: calibration.json." if campaign.calibration else
                  "No calibration.json: nothing was calibrated."),
    ]


def _link_row(campaign: Campaign, link: Link) -> list[str]:
    here = campaign.runs[campaign.runs["link"] == link.name]
    checked = here["link_ok"].dropna()
    measured_rate = _median(here["rate_meas_Bps"])
    return [
        link.name, ", ".join(sorted(here["link_engine"].dropna().unique())) or link.engine,
        quantity(link.rtt_s, "s"), quantity(_median(here["rtt_p50_meas_s"]), "s"),
        quantity(_median(here["rtt_p99_meas_s"]), "s"),
        rate(link.rate_Bps), rate(measured_rate) if measured_rate else "",
        f"{100 * link.loss_ratio:.3g} %", quantity(link.jitter_s, "s"),
        f"{int(checked.sum())}/{len(checked)}" if len(checked) else "not checked",
    ]


def _median(column: pd.Series) -> float | None:
    """The median of what was measured; None when nothing was."""
    return None if column.isna().all() else float(column.median())


def environment_blocks(campaign: Campaign) -> list[Block]:
    """Machine and program, as the rows say and as the campaign wrote them down."""
    ran = campaign.runs[["kernel", "host_id", "tcp_cc", "git_sha", "build_id", "tool_version"]]
    rows = [[column, ", ".join(sorted(ran[column].dropna().unique()))] for column in ran]
    blocks: list[Block] = [
        Heading("Environment"),
        Table("What the rows say of themselves", ["what", "value"],
              [row for row in rows if row[1]]),
        _facts("The campaign (manifest.json)", campaign.manifest),
    ]
    if isinstance(campaign.env, dict):
        env = dict(campaign.env)
        if line := env.pop("kernel_command_line", ""):
            env["kernel_command_line, what bears on timing"] = _timing_flags(str(line)) or "nothing"
        if isinstance(sysctls := env.get("sysctl"), dict) and _HOSTS_CC in sysctls:
            env["sysctl"] = {f"{key} (the host's; the links used tcp_cc of the rows)"
                             if key == _HOSTS_CC else key: value for key, value in sysctls.items()}
        blocks.append(_facts("The machine (env.json)", env))
    elif campaign.env is not None:
        blocks.append(_facts("The machine (env.json)", campaign.env))
    return blocks


def _timing_flags(line: str) -> str:
    return " ".join(word for word in line.split() if word.startswith(_TIMING))


def _facts(name: str, document: Any) -> Table:
    """Any JSON document as a folded table of path and value."""
    return Table(name, ["what", "value"], [list(fact) for fact in _flatten(document, "")],
                 folded=True)


def _flatten(value: Any, path: str) -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        return [fact for key, inner in value.items()
                for fact in _flatten(inner, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list) and any(isinstance(inner, (dict, list)) for inner in value):
        return [fact for k, inner in enumerate(value) for fact in _flatten(inner, f"{path}[{k}]")]
    if isinstance(value, list):
        return [(path, " ".join(map(str, value)))]
    return [(path, value if isinstance(value, str) else json.dumps(value))]
