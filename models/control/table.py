"""The state machines of all orders, as data. `step` in `models.control.orders` is their only interpreter.

Sources, in ``docs/sources.md``: ``#anti-fraud-law`` (protective stop), ``#notice-86`` (stop payment),
``#procedure-rules`` (freeze), ``#platform-results`` (what a bank's answer does).
The diagrams in ``docs/orders.md`` are drawn from these rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from models.control import guards as g
from models.control.states import OrderEvent as E
from models.control.states import OrderKind as K
from models.control.states import OrderState as S
from models.control.states import Purpose


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """One row: in ``source``, ``event`` leads to ``target`` if every guard holds.

    ``target`` None goes back to the state the order came from or, ``as_before``,
    on to where the event leads from there. ``purpose`` names the command to the
    bank that the transition makes.
    """

    kind: K
    source: S
    event: E
    target: S | None
    as_before: bool = False
    guards: tuple[g.Guard, ...] = ()
    purpose: Purpose | None = None


INITIAL: Final = {K.PROTECTIVE_STOP: (S.PROPOSED,), K.STOP: (S.DRAFT, S.BANK_FIRST_EFFECTIVE), K.FREEZE: (S.DRAFT,)}
"""States in which an order may be made."""


def _rows(
    kind: K, sources: Iterable[S], event: E, target: S | None, *guards: g.Guard, purpose: Purpose | None = None
) -> list[Transition]:
    return [
        Transition(kind=kind, source=source, event=event, target=target, guards=guards, purpose=purpose)
        for source in sources
    ]


def _stays(kind: K, states: Iterable[S], event: E, *guards: g.Guard) -> list[Transition]:
    """The order is changed or noted, its state is not."""
    return [Transition(kind=kind, source=state, event=event, target=state, guards=guards) for state in states]


def _answers(kind: K, sources: Iterable[S], outcomes: Mapping[E, S | None], *guards: g.Guard) -> list[Transition]:
    """Answers of a bank to the open command: each event and where it leads."""
    rows: list[Transition] = []
    for event, target in outcomes.items():
        rows += _rows(kind, sources, event, target, g.answers_command, *guards)
    return rows


def _going(kind: K, state: S, gone: S, expired: S, failed: S) -> list[Transition]:
    """A control on its way out: it is gone only when the bank says so."""
    return [
        *_answers(kind, (state,), {E.BANK_OK: gone, E.BANK_GONE: expired}),
        *_answers(kind, (state,), {E.BANK_REFUSED: failed, E.BANK_FAILED: failed, E.BANK_UNCLEAR: failed}),
        *_rows(kind, (state,), E.BANK_FAULT, state, g.answers_command, purpose=Purpose.RELEASE),
        *_stays(kind, (state,), E.FEEDBACK_OVERDUE),
        *_rows(kind, (state,), E.CONTROL_ABSENT, gone, g.control_gone, g.was_in_force),
    ]


def _asked(kind: K, waiting: S, unsuccessful: S, refused: S) -> list[Transition]:
    """The bank was asked for a control and may answer no, not clearly, or not at all."""
    both = (waiting, S.UNCONFIRMED)
    return [
        *_answers(kind, both, {E.BANK_REFUSED: refused, E.BANK_FAILED: unsuccessful, E.BANK_UNCLEAR: S.UNCONFIRMED}),
        *_rows(kind, both, E.BANK_FAULT, waiting, g.answers_command, purpose=Purpose.APPLY),
        *_rows(kind, (waiting,), E.FEEDBACK_OVERDUE, S.UNCONFIRMED),
        *_rows(kind, (S.UNCONFIRMED,), E.CONTROL_ABSENT, unsuccessful, g.control_gone),
    ]


def _lifts(kind: K, states: tuple[S, ...]) -> list[Transition]:
    """The end of an order by persons: one asks, another approves or refuses."""
    return [
        *_stays(kind, states, E.REQUEST_LIFT, g.person, g.reasoned, g.nothing_requested),
        *_stays(kind, states, E.REJECT_REQUEST, g.something_requested, g.other_than_requester),
        *_rows(
            kind, states, E.APPROVE_LIFT, S.LIFTING, g.lift_requested, g.other_than_requester, purpose=Purpose.RELEASE
        ),
    ]


def _changes(kind: K, in_force: tuple[S, ...], *extension_guards: g.Guard) -> list[Transition]:
    """Lift and extension of an order in force: one person asks, another approves."""
    return [
        *_lifts(kind, in_force),
        *_stays(kind, in_force, E.REQUEST_EXTENSION, g.person, g.reasoned, g.nothing_requested, g.before_expiry),
        *_rows(
            kind, in_force, E.APPROVE_EXTENSION, S.EXTENDING,
            g.extension_requested, g.other_than_requester, g.before_expiry, *extension_guards, purpose=Purpose.EXTEND,
        ),
        *_stays(kind, in_force, E.REMIND),
        *_rows(kind, (*in_force, S.EXTENDING, S.LIFT_FAILED), E.EXPIRE, S.EXPIRED, g.at_expiry, g.control_gone),
        *_stays(kind, (S.EXTENDING,), E.FEEDBACK_OVERDUE),
        *_answers(
            kind, (S.EXTENDING,),
            {E.BANK_OK: None, E.BANK_REFUSED: None, E.BANK_FAILED: None, E.BANK_UNCLEAR: None, E.BANK_GONE: S.EXPIRED},
        ),
        *_rows(kind, (S.EXTENDING,), E.BANK_FAULT, S.EXTENDING, g.answers_command, purpose=Purpose.EXTEND),
        *_going(kind, S.LIFTING, S.LIFTED, S.EXPIRED, S.LIFT_FAILED),
        *_rows(kind, (S.LIFT_FAILED,), E.RETRY, S.LIFTING, purpose=Purpose.RELEASE),
        *_rows(kind, (S.LIFT_FAILED,), E.CONTROL_ABSENT, S.LIFTED, g.control_gone, g.was_in_force),
    ]  # fmt: skip


_SECOND_SIGNATURE: Final = (g.second_person, g.documented, g.same_document)


def _protective() -> list[Transition]:
    kind, applied = K.PROTECTIVE_STOP, (S.APPLIED, S.UNDER_REVIEW)
    return [
        *_answers(kind, (S.PROPOSED, S.UNCONFIRMED), {E.BANK_OK: S.APPLIED, E.BANK_DEFICIENT: S.APPLIED}, g.stop_point),
        *_asked(kind, S.PROPOSED, S.FAILED, S.DECLINED),
        *_stays(kind, applied, E.AMEND),
        *_stays(kind, (S.PROPOSED, S.UNCONFIRMED), E.AMEND),
        *_rows(kind, (S.APPLIED,), E.TAKE_REVIEW, S.UNDER_REVIEW, g.person),
        *_stays(kind, applied, E.REMIND),
        *_rows(kind, applied, E.RELEASE, S.RELEASING, g.person, g.reasoned, purpose=Purpose.RELEASE),
        *_rows(kind, applied, E.CONVERT, S.CONVERTING, purpose=Purpose.RELEASE),
        *_rows(kind, applied, E.EXPIRE, S.EXPIRING, g.at_expiry, purpose=Purpose.RELEASE),
        *_going(kind, S.RELEASING, S.RELEASED, S.EXPIRED, S.RELEASE_FAILED),
        *_going(kind, S.CONVERTING, S.CONVERTED, S.CONVERTED, S.RELEASE_FAILED),
        *_going(kind, S.EXPIRING, S.EXPIRED, S.EXPIRED, S.RELEASE_FAILED),
        *_rows(kind, (S.RELEASE_FAILED,), E.RETRY, None, purpose=Purpose.RELEASE),
        Transition(
            kind=kind, source=S.RELEASE_FAILED, event=E.CONTROL_ABSENT,
            target=None, as_before=True, guards=(g.control_gone, g.was_in_force),
        ),
    ]  # fmt: skip


def _stop() -> list[Transition]:
    kind, effective = K.STOP, (S.EFFECTIVE, S.EFFECTIVE_DEFICIENT)
    bank_first = (S.BANK_FIRST_EFFECTIVE,)
    return [
        *_stays(kind, (S.DRAFT,), E.AMEND),
        *_stays(kind, (S.SUBMITTED,), E.AMEND, g.nothing_else, g.same_document),
        *_rows(kind, (S.DRAFT,), E.SUBMIT, S.SUBMITTED, g.person, g.documented, g.names_victim),
        *_rows(kind, (S.DRAFT, S.SUBMITTED), E.CANCEL, S.CANCELLED, g.own_order),
        *_rows(kind, (S.SUBMITTED,), E.APPROVE, S.APPROVED, *_SECOND_SIGNATURE, g.under_two_stops),
        *_rows(kind, (S.SUBMITTED,), E.REJECT, S.REJECTED, g.second_person, g.reasoned),
        *_rows(kind, (S.APPROVED,), E.DISPATCH, S.DISPATCHED, g.under_two_stops, purpose=Purpose.APPLY),
        *_answers(kind, (S.DISPATCHED, S.UNCONFIRMED), {E.BANK_OK: S.EFFECTIVE}, g.stop_point),
        *_answers(kind, (S.DISPATCHED, S.UNCONFIRMED), {E.BANK_DEFICIENT: S.EFFECTIVE_DEFICIENT}, g.stop_point),
        *_asked(kind, S.DISPATCHED, S.REFUSED, S.REFUSED),
        *_rows(kind, bank_first, E.LINK_PAPER, S.EFFECTIVE, g.person, g.documented),
        *_rows(kind, bank_first, E.PAPER_OVERDUE, S.LIFTING, purpose=Purpose.RELEASE),
        *_rows(kind, bank_first, E.EXPIRE, S.EXPIRED, g.at_expiry, g.control_gone),
        *_rows(kind, effective, E.SUPERSEDE, S.SUPERSEDED),
        *_changes(kind, effective, g.extension_left),
    ]


def _freeze() -> list[Transition]:
    kind = K.FREEZE
    effective = (S.EFFECTIVE_FULL, S.EFFECTIVE_LIMITED, S.EFFECTIVE_DEFICIENT, S.PARTLY_RETURNED)
    answered = {
        E.BANK_FULL: S.EFFECTIVE_FULL, E.BANK_OK: S.EFFECTIVE_LIMITED, E.BANK_DEFICIENT: S.EFFECTIVE_DEFICIENT,
    }  # fmt: skip
    return [
        *_stays(kind, (S.DRAFT,), E.AMEND),
        *_stays(kind, (S.REVIEWED,), E.AMEND, g.nothing_else, g.same_document),
        *_rows(kind, (S.DRAFT,), E.SUBMIT, S.REVIEWED, g.person, g.documented, g.names_victim),
        *_rows(kind, (S.DRAFT, S.REVIEWED), E.CANCEL, S.CANCELLED, g.own_order),
        *_rows(kind, (S.REVIEWED,), E.APPROVE, S.APPROVED, *_SECOND_SIGNATURE, g.level_suffices),
        *_rows(kind, (S.REVIEWED,), E.REJECT, S.REJECTED, g.second_person, g.reasoned),
        *_rows(kind, (S.APPROVED,), E.DISPATCH, S.DISPATCHED, purpose=Purpose.APPLY),
        *_answers(kind, (S.DISPATCHED, S.UNCONFIRMED), answered, g.stop_point),
        *_answers(kind, (S.DISPATCHED, S.UNCONFIRMED), {E.BANK_QUEUED: S.QUEUED}),
        *_asked(kind, S.DISPATCHED, S.REFUSED, S.REFUSED),
        *_answers(kind, (S.QUEUED,), answered, g.stop_point),
        *_lifts(kind, (S.QUEUED,)),
        *_rows(kind, effective, E.RETURN_PART, S.PARTLY_RETURNED, g.person, g.documented),
        *_changes(kind, effective, g.level_suffices),
    ]  # fmt: skip


TABLE: Final = (*_protective(), *_stop(), *_freeze())
"""All rows; one row for each kind, source and event."""

ROWS: Final = {(row.kind, row.source, row.event): row for row in TABLE}

RETURNING: Final = frozenset(row.source for row in TABLE if row.target is None)
"""States that lead back to the one before, which an order in them remembers."""


def states_of(kind: K) -> frozenset[S]:
    """Return every state an order of this kind can be in."""
    reached = {row.target for row in TABLE if row.kind is kind and row.target}
    return frozenset(reached.union(INITIAL[kind]))


def terminal_states(kind: K) -> frozenset[S]:
    """Return the states an order of this kind never leaves.

    >>> sorted(state.value for state in terminal_states(K.PROTECTIVE_STOP))
    ['converted', 'declined', 'expired', 'failed', 'released']
    """
    return states_of(kind) - {row.source for row in TABLE if row.kind is kind}
