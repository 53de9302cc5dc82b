"""Every metric of Sluice, declared once with its meaning.

Names follow Prometheus: base units, ``_total`` on counters. Labels never hold
an account. Latency is wall time from acceptance on, so stages are cumulative.
Dashboards and alert rules use only what is declared here (a test says so).
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from telemetry.compiled import running_form
from telemetry.histogram import BatchHistogram
from telemetry.misconfigured import Misconfigured, cannot_serve

BORROWED: Final = {
    "up": "1 if Prometheus reached the process at its last scrape, made by Prometheus.",
    "ALERTS": "One series per alert that is pending or firing, made by Prometheus.",
    "process_cpu_seconds_total": "CPU time of the process, made by prometheus-client.",
    "process_resident_memory_bytes": "Memory of the process, made by prometheus-client.",
    "process_open_fds": "Open files and sockets of the process, made by prometheus-client.",
    "process_max_fds": "How many it may open, made by prometheus-client.",
    "process_start_time_seconds": "When the process started, made by prometheus-client.",
}
"""Metrics that others make and that dashboards and rules may use beside ours."""

LATENCY_BUCKETS = (
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.035, 0.05, 0.075,
    0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0,
)  # fmt: skip
"""Seconds; resolves 1 ms to 10 s."""

BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)

DELAY_BUCKETS = (60, 300, 900, 3_600, 4 * 3_600, 12 * 3_600, 86_400, 3 * 86_400, 7 * 86_400, 14 * 86_400, 30 * 86_400)
"""Seconds of the world; resolves a minute to a month."""

# --- processes ---------------------------------------------------------------
BUILD_INFO = Gauge(
    "sluice_build_info",
    "1; names the program, its version, and the form of the scoring modules: compiled or plain.",
    ["program", "version", "scoring"],
)

PROGRAM_EXITS = Counter(
    "sluice_program_exits_total", "Earlier runs of this program that ended themselves, by reason.", ["reason"]
)

# --- critical path -----------------------------------------------------------
STAGE_LATENCY = BatchHistogram(
    "sluice_stage_latency_seconds",
    "Wall time from acceptance of a transfer to the end of a stage: debited, assessed, stop_sent, stop_confirmed.",
    ["stage"],
    buckets=LATENCY_BUCKETS,
)
TRANSFERS_ACCEPTED = Counter(
    "sluice_transfers_accepted_total", "Transfers taken in and confirmed by the broker.", ["bank"]
)
TRANSFERS_REFUSED = Counter("sluice_transfers_refused_total", "Transfers refused at the edge.", ["reason"])
TRANSFERS_ASSESSED = Counter("sluice_transfers_assessed_total", "Transfers assessed, by band.", ["band"])
TRANSFERS_DUPLICATE = Counter(
    "sluice_transfers_duplicate_total",
    "Transfers recognised as seen before: reposted (same id) or redelivered (same source offset).",
    ["kind"],
)
TRANSFERS_LATE = Counter("sluice_transfers_late_total", "Transfers older than the tolerance of the account's windows.")
RULE_HITS = Counter("sluice_rule_hits_total", "Rules that fired, by code.", ["rule"])
DETECTOR_VERSION = Gauge("sluice_detector_version_info", "1 for the detector snapshot in use.", ["detector", "version"])
DEAD_LETTERS = Counter("sluice_dead_letters_total", "Records quarantined, by topic and reason.", ["topic", "reason"])
FOLLOWED_UNUSABLE = Counter(
    "sluice_followed_unusable_total",
    "Records of a followed topic that this process passed by; each start counts those that still lie there anew.",
    ["topic", "reason"],
)
OFFSET_GAPS = Counter("sluice_offset_gaps_total", "Breaks in the contiguous offsets of a topic.", ["topic"])
CONSUMER_LAG = Gauge("sluice_consumer_lag_records", "Records not yet acknowledged.", ["topic", "partition"])
BATCH_SIZE = Histogram("sluice_batch_records", "Records per batch of a stage.", ["stage"], buckets=BATCH_BUCKETS)
COMMIT_LATENCY = Histogram(
    "sluice_commit_latency_seconds",
    "Time to confirm a batch's outputs and changelog before it is acknowledged.",
    buckets=LATENCY_BUCKETS,
)
PROFILES = Gauge("sluice_profiles", "Account profiles held by this worker.")

# --- orders and banks --------------------------------------------------------
ORDERS = Gauge("sluice_orders", "Orders by kind, state and bank.", ["kind", "state", "bank"])
ORDER_EVENTS = Counter("sluice_order_events_total", "State changes of orders.", ["kind", "state", "bank"])
STOP_SENT_LATENCY = Histogram(
    "sluice_stop_sent_latency_seconds",
    "Wall time from assessment to the sending of a protective stop to its bank.",
    ["bank"],
    buckets=LATENCY_BUCKETS,
)
STOP_CONFIRM_LATENCY = Histogram(
    "sluice_stop_confirm_latency_seconds",
    "Wall time from assessment to the bank's confirmation of a protective stop.",
    ["bank"],
    buckets=LATENCY_BUCKETS,
)
BANK_CALLS = Counter(
    "sluice_bank_calls_total", "Calls to a bank, by what they are (command, inquiry) and their outcome.",
    ["bank", "call", "outcome"],
)  # fmt: skip
BREAKER_OPEN = Gauge(
    "sluice_bank_breaker_open", "1 while a bank's breaker is open, for commands or inquiries.", ["bank"]
)
OUTBOX_PENDING = Gauge("sluice_outbox_pending", "Commands committed and not yet answered.", ["bank"])
OUTBOX_OLDEST = Gauge("sluice_outbox_oldest_seconds", "Age of the oldest unanswered command.", ["bank"])
BANK_REFUSALS = Counter(
    "sluice_bank_refusals_total", "Feedback of a bank that is not success, by result code.", ["bank", "result"]
)
ORDERS_LAPSING = Gauge(
    "sluice_orders_lapsing",
    "Controls in force that lapse within a span of world time (1h, 6h, 24h; each includes the shorter ones).",
    ["kind", "bank", "within"],
)
ORDER_OLDEST = Gauge(
    "sluice_order_oldest_seconds",
    "World time since the oldest order entered a state in which it waits for a bank or a person; 0 without one.",
    ["kind", "state", "bank"],
)
MONEY_AT_RISK = Counter(
    "sluice_money_at_risk_fen_total",
    "Amounts of the transfers for which an order was made; the freeze after a stop is about the same money.",
    ["kind", "bank"],
)
MONEY_HELD = Counter(
    "sluice_money_held_fen_total", "Money that controls really cover, as banks confirmed it.", ["kind", "bank"]
)
MONEY_RELEASED = Counter(
    "sluice_money_released_fen_total",
    "Money that a control no longer covers, by how it ended: released, expired, converted.",
    ["kind", "bank", "state"],
)
MONEY_RETURNED = Counter(
    "sluice_money_returned_fen_total", "Money returned to victims out of what was frozen.", ["kind", "bank"]
)
FALSE_STOPS = Counter(
    "sluice_false_stops_total", "Protective stops whose transfer a person then found honest.", ["bank"]
)
UNPUBLISHED_OLDEST = Gauge(
    "sluice_unpublished_oldest_seconds",
    "Age of the oldest record committed for controls or verdicts that the broker has not confirmed; 0 without one.",
)
DATABASE_AWAY = Gauge("sluice_database_away", "1 while the api cannot read its database, or cannot write.", ["work"])
BROKER_AWAY = Gauge("sluice_broker_away", "1 while no broker answers the api.")
BRAKE_TRIPPED = Gauge("sluice_brake_tripped", "1 while automatic stops are suspended (advise only).")
BRAKE_WITHHELD = Counter(
    "sluice_brake_withheld_total", "Automatic stops the brake withheld, by the cap that was reached.", ["cap"]
)
STOP_BAND = Counter(
    "sluice_stop_band_total",
    "What became of transfers in the stop band: an order, attached to one there is, or why none was made.",
    ["outcome"],
)
AUDIT_INTACT = Gauge(
    "sluice_audit_chain_intact", "1 if the last check found every link of the audit chain intact, 0 if one is broken."
)
AUDIT_CHECKED = Gauge("sluice_audit_checked_timestamp_seconds", "Wall time of the last check of the audit chain.")
VERDICTS = Counter("sluice_verdicts_total", "Verdicts received, by label and source.", ["label", "source"])
VERDICT_DELAY = Histogram(
    "sluice_verdict_delay_seconds",
    "World time from a transfer to its verdict.",
    ["label", "source"],
    buckets=DELAY_BUCKETS,
)

# --- detection ---------------------------------------------------------------
TRAINER_LEARNED = Counter("sluice_trainer_learned_total", "Examples a detector learned from.", ["detector", "label"])
SNAPSHOTS_PUBLISHED = Counter("sluice_snapshots_published_total", "Model snapshots published.", ["detector"])
DRIFT_ALARM = Gauge(
    "sluice_drift_alarm",
    "1 while a drift detector is in alarm; signal fallback: while the last good panel serves.",
    ["signal"],
)
SHADOW_TRANSFERS = Counter(
    "sluice_shadow_transfers_total",
    "Live transfers that a rival of the champion scored beside it; rival: challenger or last_good.",
    ["rival"],
)
SHADOW_STOPS = Counter(
    "sluice_shadow_stops_total",
    "Of these, those that the champion_only, the rival_only or both would have stopped.",
    ["rival", "who"],
)
SHADOW_LABELLED = Counter(
    "sluice_shadow_labelled_stops_total",
    "Stops of either panel, real or not, that a label has found fraud or honest.",
    ["rival", "panel", "label"],
)
SHADOW_LOSS_GAP = Gauge(
    "sluice_shadow_loss_gap",
    "Mean log loss on new labels of the rival less that of the champion; below 0 the rival is better.",
    ["rival"],
)
SHADOW_ON_TRIAL = Gauge("sluice_shadow_on_trial", "1 while a challenger is on trial beside the champion.")
CONTESTS = Counter(
    "sluice_contests_total", "Judgements on panels by outcome: promoted, rejected, fell_back.", ["outcome"]
)

# --- the simulated world (demo and tests) ------------------------------------
WORLD_MONEY = Gauge(
    "sluice_world_money_fen",
    "Victims' money in the simulated world: stolen, stopped, cashed_out, in_flight.",
    ["state"],
)
WORLD_TRANSFERS = Counter("sluice_world_transfers_total", "Transfers the world's banks executed.", ["kind"])
WORLD_FALSE_STOPS = Gauge(
    "sluice_world_false_stops", "Accounts that no crook controls on which a protective stop took effect, live phase."
)
WORLD_CUSTOMERS = Gauge("sluice_world_customers", "Customers living in the world.")
WORLD_DAYS = Gauge("sluice_world_days", "Simulated days that have passed.")


def identify(program: str) -> None:
    """Name this process in ``sluice_build_info`` with the installed version and the form that scores."""
    try:
        installed = version("sluice")
    except PackageNotFoundError:
        installed = "unknown"
    BUILD_INFO.labels(program, installed, running_form().value).set(1)


def serve_metrics(host: str, port: int) -> None:
    """Serve ``/metrics`` on ``host:port`` from a thread of this process; port 0 serves nothing.

    Raises `Misconfigured` if the port is taken.
    """
    if not port:
        return
    try:
        start_http_server(port, addr=host)
    except OSError as error:
        raise Misconfigured(cannot_serve(host, port, error)) from error
