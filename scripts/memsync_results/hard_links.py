"""What becomes of each approach on a link that is no plain one: a destination that can't be
dialled, a link that is dead for a while."""

import numpy as np
import pandas as pd

from memsync_results.load import Campaign, Link, Series, Workload
from memsync_results.page import Block, Heading, Paragraph, Table
from memsync_results.units import quantity

WORKS, RESUMES, ERRS, WAITS = "works", "resumes", "errs", "waits"
_UNTOUCHED = 0.5  # of the outage: whoever takes less than that longer was not stopped by it


def hard_link_blocks(campaign: Campaign) -> list[Block]:
    """A table per such link; nothing where all links are plain."""
    hard = [link for link in campaign.links.values() if is_hard(link)]
    tables = [table for link in hard if (table := _table(campaign, link)) is not None]
    if not tables:
        return []
    return [
        Heading("Which approaches still work"),
        Paragraph(
            f"{WORKS}: every byte was right. {RESUMES}: likewise, after the link was mended; how "
            "much longer it took than over the same link without a cut, and how many more bytes "
            f"the source sent, where the campaign has such a link. {ERRS}: ended by itself with an "
            f"error that names the reason, so long after it began. {WAITS}: had neither ended nor "
            "failed when the time of the repetition was over. n/a: it can't do this anywhere."),
        *tables,
    ]


def is_hard(link: Link) -> bool:
    return link.dials != "any" or link.cut_s is not None


def _table(campaign: Campaign, link: Link) -> Table | None:
    runs = campaign.runs[campaign.runs["link"] == link.name]
    workloads = [one for one in campaign.workloads.values() if (runs["workload"] == one.name).any()]
    if not workloads:
        return None
    rows = [[series.name, *(_verdict(campaign, series, workload, link) for workload in workloads)]
            for series in campaign.series.values() if (runs["series"] == series.name).any()]
    return Table(f"{link.name}: {_describe(link)}", ["series", *(one.name for one in workloads)],
                 rows)


def _describe(link: Link) -> str:
    words = []
    if link.dials != "any":
        words.append("only the destination can open a connection")
    if link.cut_s is not None:
        words.append(f"dead for {quantity(link.cut_s, 's')}, {quantity(link.cut_after_s or 0, 's')} "
                     "after the destination opened")
    return "; ".join(words)


def _verdict(campaign: Campaign, series: Series, workload: Workload, link: Link) -> str:
    rows = _rows(campaign, series, workload, link)
    if rows.empty:
        return ""
    counts = rows["status"].value_counts()
    bad = counts.drop(labels=["ok"], errors="ignore")
    if bad.empty:
        return _word_of_ok(campaign, rows, series, workload, link)
    status = str(bad.index[0])
    some = f" ({bad.iloc[0]} of {len(rows)})" if len(rows) > bad.iloc[0] else ""
    failed = rows[rows["status"] == status]
    detail = str(failed["status_detail"].iloc[0] or "")
    if status == "unsupported":
        return "n/a"
    if status == "timeout":
        return f"{WAITS}{some}: not done after {_after(failed)}"
    if status in ("failed", "crashed"):
        return f"{ERRS}{some} after {_after(failed)}: {detail}"
    return f"{status}{some}: {detail}"


def _after(rows: pd.DataFrame) -> str:
    times = _values(rows, "gave_up_s")
    return quantity(float(np.median(times)), "s") if times.size else "a while"


def _word_of_ok(campaign: Campaign, rows: pd.DataFrame, series: Series, workload: Workload,
                link: Link) -> str:
    if link.cut_s is None:
        return WORKS
    plain = _plain_twin(campaign, link)
    before = _rows(campaign, series, workload, plain) if plain else rows.iloc[:0]
    before = before[before["status"] == "ok"]
    if before.empty:
        return RESUMES
    longer = _median(rows, "duration_s") - _median(before, "duration_s")
    if longer < _UNTOUCHED * link.cut_s:
        return f"{WORKS}: the cut did not stop it"
    more = _median(rows, "wire_tx_B") - _median(before, "wire_tx_B")
    sent = f", {quantity(more, 'B')} more sent" if more > 0 else ""
    return f"{RESUMES}: {quantity(longer, 's')} longer{sent}"


def _plain_twin(campaign: Campaign, link: Link) -> Link | None:
    """The link that differs only in never being cut."""
    for other in campaign.links.values():
        if other.cut_s is None and (
            (other.rate_Bps, other.rtt_s, other.loss_ratio, other.jitter_s, other.dials)
            == (link.rate_Bps, link.rtt_s, link.loss_ratio, link.jitter_s, link.dials)
        ):
            return other
    return None


def _rows(campaign: Campaign, series: Series, workload: Workload, link: Link) -> pd.DataFrame:
    runs = campaign.runs
    return runs[(runs["series"] == series.name) & (runs["workload"] == workload.name)
                & (runs["link"] == link.name) & (runs["is_warmup"] != 1)]


def _values(rows: pd.DataFrame, column: str) -> np.ndarray:
    """(n,) what was measured; none where these results are older than the column."""
    if column not in rows.columns:
        return np.empty(0)
    values = rows[column].to_numpy(dtype=float)
    return values[~np.isnan(values)]


def _median(rows: pd.DataFrame, column: str) -> float:
    values = _values(rows, column)
    return float(np.median(values)) if values.size else 0.0
