"""Conditions of the transitions. Each raises `GuardFailed` with a code of its own, or returns.

A guard's first docstring line is its label in the diagram.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from models.control.records import MACHINE, Act, GuardFailed, Order
from models.control.states import ActorKind, RequestKind

Guard = Callable[[Order, Act], None]

MAX_STOPS: Final = 2
"""Stops allowed on one account (``docs/sources.md#notice-86``); an extension counts as one (our careful reading)."""

COUNTY: Final = "county"
CITY: Final = "city"
LONG_FREEZE_MONTHS: Final = 6
"""Longest freeze a county head may approve; up to 12 months needs the city.

Art. 243 of ``docs/sources.md#procedure-rules``.
"""


def _require(holds: bool, code: str, message: str) -> None:
    if not holds:
        raise GuardFailed(code, message)


def person(_order: Order, act: Act) -> None:
    """A person acts."""
    _require(act.actor.kind is ActorKind.PERSON, "person_required", "only a person may do this")


def reasoned(_order: Order, act: Act) -> None:
    """A reason is given."""
    _require(bool(act.reason.strip()), "reason_required", "a reason must be given")


def own_order(order: Order, act: Act) -> None:
    """The maker acts; anyone may for the machine's drafts."""
    person(order, act)
    allowed = order.maker in (act.actor.name, MACHINE.name) or any(s.name == act.actor.name for s in order.signatures)
    _require(allowed, "not_maker", "only the maker of the order may do this")


def second_person(order: Order, act: Act) -> None:
    """Checker is not maker, signer or raiser."""
    person(order, act)
    involved = {order.maker, *order.reporters, *(signature.name for signature in order.signatures)}
    _require(act.actor.name not in involved, "same_person", "a second person, who had no part in it, must do this")


def other_than_requester(order: Order, act: Act) -> None:
    """Checker is not the requester."""
    person(order, act)
    requester = order.request.maker if order.request else ""
    _require(act.actor.name != requester, "same_person", "a person other than the requester must do this")


def documented(order: Order, act: Act) -> None:
    """A legal document is attached."""
    present = act.document or order.document
    _require(present is not None, "document_required", "the legal document is missing (the bank would answer 0600)")


def same_document(order: Order, act: Act) -> None:
    """The document is the one signed first."""
    same = act.document is None or order.document is None or act.document == order.document
    _require(same, "other_document", "the first signature stands under another document; reject the order instead")


def nothing_else(_order: Order, act: Act) -> None:
    """Only who reported the money is added."""
    _require(not act.transfer_ids and not act.amount_fen, "signed_already", "what was signed is not changed any more")


def names_victim(order: Order, _act: Act) -> None:
    """Victim transfer is named with amount and time."""
    victim = order.victim
    complete = victim is not None and victim.amount_fen > 0 and victim.occurred_us > 0 and bool(victim.payer_account)
    _require(complete, "victim_required", "the victim's transfer with account, amount and time must be named")


def under_two_stops(_order: Order, act: Act) -> None:
    """Fewer than two earlier stops."""
    few = act.earlier_stops < MAX_STOPS
    _require(few, "too_many_stops", "the account was stopped twice, or is about to be (the bank would answer 1304)")


def extension_left(order: Order, act: Act) -> None:
    """The extension is at most the second stop."""
    used = act.earlier_stops + 1 + order.extended
    _require(used < MAX_STOPS, "too_many_stops", "an extension counts as a stop, and two are the limit")


def before_expiry(order: Order, act: Act) -> None:
    """Before expiry."""
    _require(act.at_us < order.expire_us, "expired", "the control has expired (the bank would answer 1800)")


def at_expiry(order: Order, act: Act) -> None:
    """At or after expiry."""
    _require(act.at_us >= order.expire_us > 0, "not_expired", "the control has not expired yet")


def control_gone(_order: Order, act: Act) -> None:
    """The bank reports the control gone."""
    _require(act.control_gone, "control_in_force", "the bank still reports the control")


def was_in_force(order: Order, _act: Act) -> None:
    """The control was in force."""
    was = order.stop_point_us > 0
    _require(was, "never_in_force", "no bank lists a freeze that waits in its queue, so its absence says nothing")


def stop_point(_order: Order, act: Act) -> None:
    """Feedback carries the bank's stop point."""
    given = act.feedback is not None and act.feedback.start_us > 0
    _require(given, "no_stop_point", "without the bank's stop point nothing is in force")


def answers_command(order: Order, act: Act) -> None:
    """Feedback answers the open command."""
    feedback = act.feedback
    ours = feedback is not None and feedback.application_id == order.application_id and order.purpose is not None
    _require(ours, "stale_feedback", "the feedback does not answer the order's open command")
    same = feedback is not None and feedback.account_number == order.account
    _require(same, "other_account", "the feedback names another account")


def lift_requested(order: Order, _act: Act) -> None:
    """A lift was requested."""
    asked = order.request is not None and order.request.kind is RequestKind.LIFT
    _require(asked, "nothing_requested", "nobody has requested a lift")


def extension_requested(order: Order, _act: Act) -> None:
    """An extension was requested."""
    asked = order.request is not None and order.request.kind is RequestKind.EXTENSION
    _require(asked, "nothing_requested", "nobody has requested an extension")


def nothing_requested(order: Order, _act: Act) -> None:
    """No other request waits."""
    _require(order.request is None, "already_requested", "a request already waits for its second person")


def something_requested(order: Order, _act: Act) -> None:
    """A request waits."""
    _require(order.request is not None, "nothing_requested", "no request waits")


def level_suffices(order: Order, act: Act) -> None:
    """Level of approval fits the term."""
    _require(act.level in (COUNTY, CITY), "level_required", "the level of approval must be county or city")
    high_enough = act.level == CITY or order.months <= LONG_FREEZE_MONTHS
    _require(high_enough, "level_too_low", "more than six months needs the head of a city-level organ (Art. 243)")
