"""Victims' reports and analysts' verdicts: labels for the trainer, and money to be held."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import count
from typing import Final

import msgspec
import structlog

from api.service.desk import Desk, Labelled, is_present
from api.service.triage import Taken, carry_out, standing_of
from api.store import audit, orders, samples, transfers, verdicts
from models.control.brake import Brake
from models.control.handover import covers
from models.control.orders import order_id_of, takes
from models.control.policy import Action, Decision, Standing, Why, decide, is_released, target_of
from models.control.records import Actor, GuardFailed, Order
from models.control.states import AWAITING_BANK, IN_FORCE, OrderEvent, OrderKind
from models.money.types import AccountId
from models.risk.assessment import Assessment, Band, Reason, Severity
from models.wire import Topic, Verdict, VerdictLabel, VerdictSource, decode_assessment, rank_of

log = structlog.get_logger(__name__)

VICTIM_REPORT: Final = VerdictSource.VICTIM_REPORT.value
REPORTED_AGAIN: Final = "report.again"
"""Entry of the audit trail about a transfer that somebody has reported after another."""

REPORT_ROUND: Final = 2
"""A report makes an order of its own, told apart from the machine's order for the same transfer (ours); a later
one if that has ended and the transfer is reported again."""


class NotAssessed(Exception):
    """The transfer has no assessment (yet), so there are no features to label."""

    def __init__(self, transfer_id: str) -> None:
        super().__init__(transfer_id)
        self.transfer_id = transfer_id


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A victim says that these transfers were fraud."""

    transfer_ids: tuple[str, ...]
    reported_us: int
    note: str = ""


class ReportResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a report led to, by transfer; ``state`` is that of the order now."""

    report_id: str
    duplicate: bool
    verdicts: int
    orders: list[dict[str, str]]


def report_id_of(transfer_ids: tuple[str, ...]) -> str:
    """Return the id of a report; the same transfers make the same report.

    >>> report_id_of(("b", "a")) == report_id_of(("a", "b"))
    True
    """
    text = "sluice report 1|" + "|".join(sorted(set(transfer_ids)))
    return "RP-" + hashlib.sha256(text.encode()).hexdigest()[:16]


def load_assessment(desk: Desk, transfer_id: str) -> Assessment:
    """Return a transfer's assessment; raise `NotAssessed`."""
    row = transfers.find_assessment(desk.connection, transfer_id)
    if row is None:
        raise NotAssessed(transfer_id)
    return decode_assessment(row.body)


def file_report(desk: Desk, brake: Brake, report: Report, actor: Actor) -> ReportResult:
    """Record a report, label its transfers as fraud, and hold the money where nothing holds it yet.

    Raises `NotAssessed` if any transfer is unknown to the assessments.
    """
    found = [load_assessment(desk, each) for each in report.transfer_ids]
    report_id = report_id_of(report.transfer_ids)
    new = verdicts.record_report(
        desk.connection,
        {
            "report_id": report_id,
            "reported_by": actor.name,
            "transfer_ids": msgspec.json.encode(report.transfer_ids).decode(),
            "note": report.note,
            "reported_us": report.reported_us,
        },
    )
    if new:
        desk.note("report.file", report_id, actor, {"transfer_ids": report.transfer_ids, "note": report.note})
    labelled = sum(
        label(desk, each, VerdictLabel.FRAUD, VICTIM_REPORT, actor, at_us=report.reported_us) for each in found
    )
    done = [(each.transfer.transfer_id, _hold(desk, brake, each, report_id, actor)) for each in found]
    for each in found:
        _note_reporter(desk, each.transfer.transfer_id, report_id, actor)
    return ReportResult(
        report_id=report_id,
        duplicate=not new,
        verdicts=labelled,
        orders=[
            {
                "transfer_id": key,
                "action": taken.action,
                "why": taken.why or "",
                "order_id": taken.order_id,
                "state": _state_of(desk, taken.order_id),
            }
            for key, taken in done
        ],
    )


def _state_of(desk: Desk, order_id: str) -> str:
    order = orders.get(desk.connection, order_id) if order_id else None
    return order.state.value if order else ""


def _note_reporter(desk: Desk, transfer_id: str, report_id: str, actor: Actor) -> None:
    """Note who reported a transfer, also where another did before and no order takes the name any more."""
    if actor.name not in reporters_of(desk, transfer_id):
        desk.note(REPORTED_AGAIN, transfer_id, actor, {"report_id": report_id})
    for order in orders.of_transfer(desk.connection, transfer_id):
        if actor.name not in order.reporters and takes(order, OrderEvent.AMEND):
            desk.change(order.order_id, OrderEvent.AMEND, actor, reporters=(actor.name,))


def reporters_of(desk: Desk, transfer_id: str) -> tuple[str, ...]:
    """Return who reported a transfer: none of them gives the second signature to an order about it."""
    said = verdicts.of_transfer(desk.connection, transfer_id)
    names = [each.decided_by for each in said if each.source == VICTIM_REPORT]
    names += [name for order in orders.of_transfer(desk.connection, transfer_id) for name in order.reporters]
    names += [each.actor for each in audit.read(desk.connection, subject=transfer_id) if each.action == REPORTED_AGAIN]
    return tuple(dict.fromkeys(names))


def _hold(desk: Desk, brake: Brake, assessment: Assessment, report_id: str, actor: Actor) -> Taken:
    """Confirm the order that holds this transfer's money, or make one; a freeze is drafted for what is in force."""
    reported = _as_reported(assessment)
    target = target_of(reported)
    existing = [
        order
        for order in orders.of_transfer(desk.connection, assessment.transfer.transfer_id)
        if order.kind is OrderKind.PROTECTIVE_STOP and target is not None and order.target == target.key
    ]
    for order in existing:
        if order.state in AWAITING_BANK | IN_FORCE:
            if is_present(order):
                desk.draft_freeze(order)
            return Taken(action=Action.ORDER, order_id=order.order_id)
    known = standing_of(desk, target)
    if not any(order.reporters and is_released(order) for order in existing):  # by a person, who knew of the report
        known = msgspec.structs.replace(known, released_us=0)
    decision = decide(reported, known, desk.rules.policy, desk.now_us)
    if decision.action is Action.ORDER and decision.order is not None:
        own = _own_order(desk, decision.order, report_id, actor)
        decision = _unless_covered(msgspec.structs.replace(decision, order=own), own, known)
    taken = carry_out(desk, brake, reported, decision)
    holding = orders.get(desk.connection, taken.order_id) if taken.action is Action.ATTACHED else None
    if holding is not None and holding.kind is OrderKind.PROTECTIVE_STOP and is_present(holding):
        desk.draft_freeze(holding)
    return taken


def _unless_covered(decision: Decision, own: Order, known: Standing) -> Decision:
    """Return the decision, or that the money is held by a police order in force."""
    for order in known.open_orders:
        if order.kind is not OrderKind.PROTECTIVE_STOP and order.state in IN_FORCE and covers(order, own):
            return Decision(action=Action.ATTACHED, order=order, why=Why.BLOCKED_ALREADY)
    return decision


def _own_order(desk: Desk, order: Order, report_id: str, actor: Actor) -> Order:
    """Return the report's own order, of the first round that none was made in; those made before hold nothing."""
    ids = (order_id_of(order.kind, order.transfer_ids[0], order.target, round_) for round_ in count(REPORT_ROUND))
    order_id = next(each for each in ids if orders.get(desk.connection, each) is None)
    return msgspec.structs.replace(order, order_id=order_id, case_number=report_id, reporters=(actor.name,))


def _as_reported(assessment: Assessment) -> Assessment:
    reason = Reason(
        code=VICTIM_REPORT,
        weight=1.0,
        zh="被害人报案，称该笔转账系被骗",
        en="The victim reported this transfer as fraud",
        severity=Severity.CRITICAL,
    )
    return msgspec.structs.replace(assessment, band=Band.STOP, reasons=(reason, *assessment.reasons))


def take_verdict(desk: Desk, verdict: Verdict) -> bool:
    """Keep a verdict that came by its topic from another program; return whether it said something new.

    Where it took the place of one that counts more, that one is put on the topic again.
    """
    desk.exclude_others()
    if not verdicts.record_verdict(desk.connection, verdict, "topic"):
        return False
    known = transfers.find_assessment(desk.connection, verdict.transfer_id)
    if known is None:
        return True
    for account in (known.payer, known.payee):
        desk.publish_control(AccountId(account))
    counts = verdicts.counting(desk.connection, verdict.transfer_id)
    if counts is not None and rank_of(counts.source) > rank_of(verdict.source):
        assessment, label_known = decode_assessment(known.body), VerdictLabel(counts.label)
        restated = _verdict(desk, assessment, label_known, counts.source, at_us=counts.decided_us)
        desk.publish(Topic.VERDICTS, verdict.transfer_id, restated)
    return True


def place_verdicts(desk: Desk, assessments: Sequence[Assessment]) -> None:
    """Count the verdicts that came before these assessments, which name the accounts they are about."""
    named = {each.transfer.transfer_id: each.transfer for each in assessments}
    waiting = verdicts.unplaced(desk.connection, list(named))
    if not waiting:
        return
    desk.exclude_others()
    for transfer_id in sorted(waiting):
        verdicts.place(desk.connection, named[transfer_id])
    for account in sorted({account for each in waiting for account in (named[each].payer, named[each].payee)}):
        desk.publish_control(account)


def _verdict(desk: Desk, assessment: Assessment, verdict: VerdictLabel, source: str, *, at_us: int) -> Verdict:
    """Return a verdict with the features as scored and, of a sample, the chance with which it was drawn."""
    transfer_id = assessment.transfer.transfer_id
    drawn = samples.rate_of(desk.connection, transfer_id) if source == VerdictSource.SAMPLE else None
    return Verdict(
        transfer_id=transfer_id,
        label=verdict,
        source=source,
        decided_us=at_us,
        features=assessment.features,
        feature_set=assessment.feature_set,
        sample_rate=drawn or 1.0,
    )


def label(
    desk: Desk,
    assessment: Assessment,
    verdict: VerdictLabel,
    source: str,
    actor: Actor,
    *,
    at_us: int,
    note: str = "",
) -> bool:
    """Record a verdict with the features as scored, for topic and audit; return whether it said something new.

    Raises `GuardFailed` if its source is a sample and the transfer was not drawn.
    """
    transfer = assessment.transfer
    if source == VerdictSource.SAMPLE and samples.rate_of(desk.connection, transfer.transfer_id) is None:
        raise GuardFailed("not_drawn", "the transfer was not drawn by lot; say it as analyst")
    record = _verdict(desk, assessment, verdict, source, at_us=at_us)
    desk.exclude_others()
    cleared = any(
        each.label == VerdictLabel.HONEST for each in verdicts.of_transfer(desk.connection, transfer.transfer_id)
    )
    if not verdicts.record_verdict(desk.connection, record, actor.name):
        return False
    counts = verdicts.counting(desk.connection, transfer.transfer_id)
    if counts is None or rank_of(counts.source) <= rank_of(source):
        desk.publish(Topic.VERDICTS, transfer.transfer_id, record)
    for account in (transfer.payer, transfer.payee):
        desk.publish_control(account)
    told = {"label": verdict, "source": source} | ({"note": note} if note else {})
    desk.note("verdict", transfer.transfer_id, actor, told)
    clears = verdict is VerdictLabel.HONEST and not cleared
    held = orders.of_transfer(desk.connection, transfer.transfer_id) if clears else []
    stopped = [order for order in held if order.kind is OrderKind.PROTECTIVE_STOP and order.stop_point_us]
    desk.effects.labels.append(
        Labelled(
            label=verdict.value,
            source=source,
            delay_us=max(0, at_us - transfer.occurred_us),
            false_stop_bank=stopped[0].bank if stopped else "",
        )
    )
    return True
