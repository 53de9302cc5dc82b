"""Metrics and log lines of what was committed."""

from __future__ import annotations

from typing import Final

import structlog

from api.service.desk import Change, Effects, has_ended, is_present
from models.control.states import OrderEvent, OrderKind, OrderState
from telemetry import metrics
from telemetry.clock import wall_us

log = structlog.get_logger(__name__)

ALARMING: Final = frozenset({OrderState.UNCONFIRMED, OrderState.RELEASE_FAILED, OrderState.LIFT_FAILED})


def observe(effects: Effects) -> None:
    """Move the metrics of orders and of the brake; write one log line per change of state."""
    for change in effects.changes:
        _observe_change(change)
    for outcome in effects.outcomes:
        metrics.STOP_BAND.labels(outcome).inc()
    _observe_brake(effects)
    for each in effects.labels:
        metrics.VERDICTS.labels(each.label, each.source).inc()
        metrics.VERDICT_DELAY.labels(each.label, each.source).observe(each.delay_us / 1e6)
        if each.false_stop_bank:
            metrics.FALSE_STOPS.labels(each.false_stop_bank).inc()


def _observe_brake(effects: Effects) -> None:
    for cap in effects.withheld:
        metrics.BRAKE_WITHHELD.labels(cap).inc()
    for trip in effects.tripped:
        metrics.BRAKE_TRIPPED.set(1)
        log.critical(
            "BRAKE TRIPPED: automatic stops are suspended, Sluice only advises until a person re-arms it",
            scope=trip.scope,
            cap=trip.cap,
            count=trip.count,
        )


def _observe_change(change: Change) -> None:
    before, after = change.before, change.after
    if before is None:
        amount = after.victim.amount_fen if after.victim else after.amount_fen
        metrics.MONEY_AT_RISK.labels(after.kind, after.bank).inc(amount)
    if before is not None and before.state is after.state:
        return
    metrics.ORDER_EVENTS.labels(after.kind, after.state, after.bank).inc()
    level = log.warning if after.state in ALARMING else log.info
    level(
        "order changed",
        order_id=after.order_id,
        kind=after.kind,
        event_name=change.event or "open",
        before=before.state if before else "",
        state=after.state,
        bank=after.bank,
        account=after.account,
        result=after.result,
    )
    if before is not None and is_present(after) and not is_present(before):
        metrics.MONEY_HELD.labels(after.kind, after.bank).inc(after.executed_fen)
        _observe_latency(change)
    if before is not None and is_present(before) and has_ended(after):
        metrics.MONEY_RELEASED.labels(after.kind, after.bank, after.state).inc(after.executed_fen)


def _observe_latency(change: Change) -> None:
    """Wall time from acceptance and from assessment to the bank's confirmation of a protective stop."""
    stamps, after = change.stamps, change.after
    if after.kind is not OrderKind.PROTECTIVE_STOP or change.event is OrderEvent.AMEND:
        return
    now = wall_us()
    if stamps.assessed_wall_us:
        metrics.STOP_CONFIRM_LATENCY.labels(after.bank).observe((now - stamps.assessed_wall_us) / 1e6)
    if stamps.accepted_wall_us:
        metrics.STAGE_LATENCY.labels("stop_confirmed").observe((now - stamps.accepted_wall_us) / 1e6)
