"""Which cells of two campaigns may be compared, and their repetitions pair by pair.

Refuses what would make a comparison meaningless: other work, another kind of link, another
machine. Repetitions pair by block, the round in which both cells ran.
"""

from dataclasses import dataclass

import numpy as np

from memsync_results.cells import Cell
from memsync_results.exits import Exit, Refusal
from memsync_results.load import Campaign

# What makes two workloads of one name the same work; the bytes are compared by their hash.
_WORK = ("does", "region_B", "chunk_B", "content", "access", "touch_B", "accesses")
_SHAPE = ("rate_Bps", "rtt_s", "loss_ratio", "jitter_s", "engine")


@dataclass(frozen=True)
class Pair:
    """The same cell in two campaigns (or two series of one): base and head."""

    base: Cell
    head: Cell

    def values(self, column: str, keep_noisy: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """What base and head measured in the blocks that both have: (n,) and (n,)."""
        blocks, of_base = self.base.by_block(column, keep_noisy)
        head_blocks, of_head = self.head.by_block(column, keep_noisy)
        _, at_base, at_head = np.intersect1d(blocks, head_blocks, return_indices=True)
        return of_base[at_base], of_head[at_head]


def cell_key(cell: Cell) -> tuple[str, str, str]:
    return cell.workload.name, cell.link.name, cell.series.name


def original_of(control: Cell, cells: list[Cell]) -> Cell | None:
    """What a control is compared with: the series it is of, at the same workload and link."""
    key = (control.workload.name, control.link.name, control.series.of)
    return next((cell for cell in cells if cell_key(cell) == key), None)


def match_cells(
    base: list[Cell], head: list[Cell]
) -> tuple[list[Pair], list[Cell], list[Cell]]:
    """Pairs in head's order, then the cells that only the base has, then those only head has."""
    of_base = {cell_key(cell): cell for cell in base}
    of_head = {cell_key(cell): cell for cell in head}
    pairs = [Pair(of_base[key], cell) for key, cell in of_head.items() if key in of_base]
    return (
        pairs,
        [cell for key, cell in of_base.items() if key not in of_head],
        [cell for key, cell in of_head.items() if key not in of_base],
    )


def were_interleaved(base: Campaign, head: Campaign) -> bool:
    """Whether both were run round by round in turns, as `memsync ab` does."""
    token = head.manifest.get("interleaved")
    return bool(token) and token == base.manifest.get("interleaved")


def check_comparable(base: Campaign, head: Campaign) -> list[str]:
    """Refuses two campaigns whose figures mean different things; returns warnings.

    Raises Refusal: USAGE for other workloads, links, engines, options or bytes under the same
    names, INCOMPLETE for a baseline of another machine, which is no baseline.
    """
    _refuse_other(base, head, "workload", base.workloads, head.workloads, _WORK)
    _refuse_other(base, head, "link", base.links, head.links, _SHAPE)
    _refuse_other(base, head, "series", base.series, head.series, ("approach", "options"))
    if not set(base.workloads) & set(head.workloads) or not set(base.links) & set(head.links):
        raise Refusal(Exit.USAGE, f"{base.directory} and {head.directory} share no workload or no "
                      "link: they asked different questions; run the same suite twice")
    if engines := _unlike(base, head, "link_engine"):
        raise Refusal(
            Exit.USAGE,
            f"{base.directory} used link engine {engines[0]}, {head.directory} {engines[1]}: rows "
            "of different engines are never pooled; name one engine in the suite",
        )
    for workload in base.workloads:
        if digests := _unlike(base, head, "content_hash", workload):
            raise Refusal(
                Exit.USAGE,
                f"workload {workload} moved other bytes in {base.directory} (content_hash "
                f"{digests[0]}) than in {head.directory} ({digests[1]}): give both the same seed, "
                "or a file with --content",
            )
    if hosts := _unlike(base, head, "host_id"):
        raise Refusal(
            Exit.INCOMPLETE,
            f"{base.directory} was measured on host {hosts[0]}, {head.directory} on {hosts[1]}: "
            "figures of two machines can't be compared; measure a baseline here (memsync run), or "
            "both at once (memsync ab)",
        )
    return _warnings(base, head)


def _refuse_other(base: Campaign, head: Campaign, what: str, of_base: dict, of_head: dict,
                  fields: tuple[str, ...]) -> None:
    for name in of_base.keys() & of_head.keys():
        for field in fields:
            old, new = getattr(of_base[name], field), getattr(of_head[name], field)
            if old != new:
                raise Refusal(
                    Exit.USAGE,
                    f"{what} {name} has {field} {old} in {base.directory} and {new} in "
                    f"{head.directory}: figures of different work can't be compared; run both "
                    "from one suite file",
                )


def _unlike(base: Campaign, head: Campaign, column: str, workload: str | None = None) -> list[str]:
    """What each side's rows (of one workload) say in `column`; [] where it is the same, or where
    a side says nothing."""
    said = []
    for runs in (base.runs, head.runs):
        here = runs if workload is None else runs[runs["workload"] == workload]
        said.append(", ".join(sorted(here[column].dropna().unique())))
    return said if all(said) and said[0] != said[1] else []


def _warnings(base: Campaign, head: Campaign) -> list[str]:
    warnings = []
    if not were_interleaved(base, head):
        warnings.append(
            "the two campaigns were run one after the other, so whatever changed on this machine "
            "between them counts as an effect; memsync ab takes turns round by round"
        )
    for what, column in (("kernels", "kernel"), ("congestion control", "tcp_cc")):
        if found := _unlike(base, head, column):
            warnings.append(f"different {what}: {' and '.join(found)}")
    awake = [(c.env or {}).get("cpus_kept_awake") for c in (base, head)]
    if None not in awake and awake[0] != awake[1]:
        warnings.append("idle CPUs could sleep in one of the two campaigns only: latencies differ "
                        "by up to 0.1 ms for that alone")
    return warnings
