"""What a results directory must hold: columns of the tables and the shape of registry.json."""

SCHEMA_VERSION = 1

STATUSES = (
    "ok", "unsupported", "failed", "crashed", "timeout", "corrupt", "interrupted", "invalid",
)
DOES = ("read", "update", "handover")

PLAN_COLUMNS = (
    "cell_id approach series workload link status reason estimated_s reps warmup".split()
)
PLAN_NUMBERS = {"estimated_s", "reps", "warmup"}

RUN_COLUMNS = """
schema_version campaign_id run_id cell_id suite block order_in_block order_global rep is_warmup seed
approach series attachment transport backend workload access_pattern region_B chunk_B content
content_hash cold placement receivers dirty_ratio write_rate_Bps options
link link_engine tcp_cc rate_cfg_Bps rtt_cfg_s loss_cfg_ratio queue_cfg_B rate_meas_Bps
rtt_p50_meas_s rtt_p99_meas_s link_ok
status status_detail exit_code signal log_path t_start_utc duration_s
open_s first_access_s accesses checked_B throughput_Bps latency_p50_s latency_p99_s latency_max_s
full_s durable_s prefetched_at_open_B
blackout_s suspend_s collect_s transfer_s resume_s settle_s
payload_B window_B wire_tx_B wire_rx_B wire_pkts amplification_ratio limit_Bps limit_by
efficiency_ratio
cpu_src_s cpu_dst_s cpu_link_s peak_rss_src_B peak_rss_dst_B minor_faults major_faults ctx_switches
integrity_ok psi_cpu_ratio psi_mem_ratio steal_s load1 noisy
host_id kernel git_sha git_dirty build_id config_sha256 tool_version
""".split()

# Kept as text: names, hashes, and numbers that are only names (a 64-bit seed is no float).
RUN_TEXTS = set(
    """
campaign_id run_id cell_id suite seed approach series attachment transport backend workload
access_pattern content content_hash cold placement options link link_engine tcp_cc status
status_detail exit_code signal log_path t_start_utc limit_by host_id kernel git_sha build_id
config_sha256 tool_version
""".split()
)
RUN_NUMBERS = set(RUN_COLUMNS) - RUN_TEXTS
# Columns that results of an earlier version don't have.
RUN_LATER_NUMBERS = {"cut_after_cfg_s", "cut_cfg_s", "cut_s", "gave_up_s", "lag_first_s",
                     "lag_all_s"}
RUN_FLAGS = {"is_warmup", "link_ok", "integrity_ok", "noisy", "git_dirty"}  # 0 or 1
# Whatever was done took some time.
RUN_POSITIVE = {"duration_s", "full_s", "blackout_s", "throughput_Bps"}
RUN_REQUIRED = ("schema_version", "run_id", "cell_id", "is_warmup", "series", "workload", "link",
                "status")  # never empty, whatever the status


def _record(required: dict[str, dict], optional: dict[str, dict] | None = None) -> dict:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }


def _list_of(record: dict) -> dict:
    return {"type": "array", "items": record}


_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_AMOUNT = {"type": "number", "minimum": 0}
_AMOUNT_OR_NULL = {"type": ["number", "null"], "minimum": 0}

_MEASURED_CELL = _record({"series": _TEXT, "workload": _TEXT, "link": _TEXT, "column": _TEXT})
_DEMAND = _record({
    "id": _TEXT, "what": _TEXT, "ours": _MEASURED_CELL,
    "against": {"anyOf": [_MEASURED_CELL, {"type": "null"}]}, "limit": _TEXT_OR_NULL,
    "required": _TEXT, "comparison": {"enum": [">=", "<=", ">", "<"]}, "bound": _AMOUNT,
    "pairs": {"type": "integer", "minimum": 1},
})

# Only what the figures and the report lean on; anything more may be there.
REGISTRY_SCHEMA = _record(
    {
        "schema_version": {"type": "integer"},
        "suite": _record({"name": _TEXT}, {"question": _TEXT_OR_NULL, "hypothesis": _TEXT_OR_NULL}),
        "approaches": _list_of(
            _record({"name": _TEXT, "summary": _TEXT},
                    {"reference": _TEXT_OR_NULL, "exact": {"type": "array", "items": _TEXT}})
        ),
        "series": _list_of(
            _record(
                {
                    "series": _TEXT,
                    "approach": _TEXT,
                    "options": _TEXT_OR_NULL,
                    "colour": {"type": "string", "pattern": "^#[0-9A-Fa-f]{6}$"},
                    "marker": {"type": "string", "pattern": "^[os^vD<>pPX*hHd8+x]$"},
                },
                {"role": {"enum": ["", "twin", "planted", None]}, "of": _TEXT_OR_NULL,
                 "planted_delay_s": _AMOUNT_OR_NULL},
            )
        ),
        "workloads": _list_of(
            _record(
                {"name": _TEXT, "does": {"enum": list(DOES)}, "region_B": _AMOUNT,
                 "chunk_B": _AMOUNT},
                {"content": _TEXT_OR_NULL, "access": _TEXT_OR_NULL, "touch_B": _AMOUNT_OR_NULL,
                 "accesses": _AMOUNT_OR_NULL},
            )
        ),
        "links": _list_of(
            _record(
                {"name": _TEXT, "rate_Bps": _AMOUNT_OR_NULL, "rtt_s": _AMOUNT},
                {"loss_ratio": _AMOUNT_OR_NULL, "jitter_s": _AMOUNT_OR_NULL,
                 "engine": _TEXT_OR_NULL, "dials": {"enum": ["any", "destination"]},
                 "cut_after_s": _AMOUNT_OR_NULL, "cut_s": _AMOUNT_OR_NULL},
            )
        ),
        "exclusions": _list_of(_record({"because": _TEXT})),
    },
    {"demands": _list_of(_DEMAND)},
)
