"""The result of ``sluice up``: one object, printed as JSON or as a table."""

from __future__ import annotations

import msgspec
from rich.table import Table

from cli.quantiles import Quantiles
from cli.readings import Money, StopCounts
from models.money.types import yuan_from_fen


class TransferCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Transfers over the whole run, the history that warms the profiles included.

    ``duplicate`` counts what was recognised and left alone, ``repeated`` assessments that were sent a second time
    since a worker did again what it had not acknowledged; whoever reads them knows them by the transfer's id.
    """

    accepted: int
    assessed: int
    duplicate: int
    repeated: int
    dead: int


class Latencies(msgspec.Struct, frozen=True, kw_only=True):
    """Wall-clock latencies of the live phase in milliseconds."""

    accept_to_assess: Quantiles
    assess_to_stop_sent: Quantiles
    assess_to_stop_confirmed: Quantiles


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """Orders by kind and state."""

    protective_stop: dict[str, int]
    stop: dict[str, int]
    freeze: dict[str, int]


class FalseStops(msgspec.Struct, frozen=True, kw_only=True):
    """False stops by phase; those of the live phase by whom they hit, dealers in coins among them as ``otc``."""

    live: dict[str, int]
    history: int

    @classmethod
    def of(cls, stops: StopCounts) -> FalseStops:
        """Return the false ones of the world's stops."""
        return cls(live=stops.false_by, history=stops.in_history)


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of everything did."""

    broker: str
    seconds: float
    transfers: TransferCounts
    rate_tps: float
    bands: dict[str, int]
    stop_band: dict[str, int]
    """What became of transfers in the stop band: orders, and why others made none."""
    latency_ms: Latencies
    orders: Orders
    money_fen: Money
    false_stops: int
    """Accounts that no crook controlled when a protective stop first became effective on them: people, merchants,
    firms and dealers, stopped in the live phase or in the history before it."""
    false_stops_by: FalseStops
    false_stops_per_10k_day: float
    """Of the live phase alone, per 10,000 customers and simulated day."""
    customers: int
    simulated_days: float
    restarts: dict[str, int]
    reconciled: bool
    breaches: list[str]
    stopped_by_hand: bool = False
    """Stopped by a signal, with transfers under way; whether all reconciles was then not checked."""


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def _states(states: dict[str, int]) -> str:
    return ", ".join(f"{state} {count:,}" for state, count in sorted(states.items())) or "none"


def _reconciled(summary: Summary) -> str:
    if summary.reconciled:
        return "yes"
    return ("" if summary.stopped_by_hand else "[bold red]NO[/]: ") + "; ".join(summary.breaches)


def summary_table(summary: Summary) -> Table:
    """Return the summary as a table for the terminal."""
    table = Table(title=f"Sluice · {summary.seconds:.0f} s on broker {summary.broker}", show_header=False)
    counts, latency, money = summary.transfers, summary.latency_ms, summary.money_fen
    assess, sent, confirm = latency.accept_to_assess, latency.assess_to_stop_sent, latency.assess_to_stop_confirmed
    rows = [
        ("transfers accepted / assessed", f"{counts.accepted:,} / {counts.assessed:,}"),
        ("duplicates recognised / dead letters", f"{counts.duplicate:,} / {counts.dead:,}"),
        ("assessed again after redelivery", f"{counts.repeated:,}"),
        ("rate", f"{summary.rate_tps:.0f} transfers/s"),
        ("decisions", _states(summary.bands)),
        ("of the stop band", _states(summary.stop_band)),
        ("accepted -> assessed", f"p50 {_ms(assess.p50)}   p99 {_ms(assess.p99)}   p99.9 {_ms(assess.p999)}"),
        ("assessed -> stop sent", f"p50 {_ms(sent.p50)}   p99 {_ms(sent.p99)}"),
        ("assessed -> stop confirmed", f"p50 {_ms(confirm.p50)}   p99 {_ms(confirm.p99)}"),
        ("protective stops", _states(summary.orders.protective_stop)),
        ("police stops (drafts until two sign)", _states(summary.orders.stop)),
        ("freezes (drafts until two sign)", _states(summary.orders.freeze)),
        ("victims' money stolen", f"{yuan_from_fen(money.stolen)} yuan"),
        ("  stopped", f"{yuan_from_fen(money.stopped)} yuan ({_share(money.stopped, money.stolen)})"),
        ("  cashed out", f"{yuan_from_fen(money.cashed_out)} yuan ({_share(money.cashed_out, money.stolen)})"),
        ("  still moving", f"{yuan_from_fen(money.in_flight)} yuan ({_share(money.in_flight, money.stolen)})"),
        ("false stops: accounts of no crook", f"{summary.false_stops}"),
        ("  in the history, before anything was stolen", f"{summary.false_stops_by.history}"),
        ("  live, by whom they hit", _states(summary.false_stops_by.live)),
        ("  live, per 10,000 customers and day", f"{summary.false_stops_per_10k_day:.1f}"),
        ("customers, simulated days", f"{summary.customers:,}, {summary.simulated_days:.2f}"),
        ("restarts", _states(summary.restarts)),
        ("reconciled", _reconciled(summary)),
    ]
    for name, value in rows:
        table.add_row(name, value)
    return table
