"""The table of the order machines as a whole, and the page that is drawn from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.control.diagram import MEANINGS, orders_page
from models.control.states import IN_FORCE, OrderEvent, OrderKind, OrderState, Purpose
from models.control.table import INITIAL, ROWS, TABLE, states_of, terminal_states

E, K, S = OrderEvent, OrderKind, OrderState


def test_one_row_for_each_kind_source_and_event() -> None:
    assert len(ROWS) == len(TABLE)


@pytest.mark.parametrize("kind", list(K))
def test_every_state_is_reached_from_the_beginning(kind: OrderKind) -> None:
    reached: set[OrderState] = set(INITIAL[kind])
    while True:
        more = {row.target for row in TABLE if row.kind is kind and row.source in reached and row.target} - reached
        if not more:
            break
        reached |= more
    assert reached == states_of(kind)
    assert {row.source for row in TABLE if row.kind is kind} <= reached


@pytest.mark.parametrize("kind", list(K))
def test_every_state_leads_to_an_end(kind: OrderKind) -> None:
    ends = set(terminal_states(kind))
    while True:
        more = {row.source for row in TABLE if row.kind is kind and (row.target in ends or row.target is None)} - ends
        if not more:
            break
        ends |= more
    assert ends == states_of(kind)


def test_terminal_states() -> None:
    assert terminal_states(K.STOP) == {S.REJECTED, S.CANCELLED, S.REFUSED, S.LIFTED, S.SUPERSEDED, S.EXPIRED}
    assert terminal_states(K.FREEZE) == {S.REJECTED, S.CANCELLED, S.REFUSED, S.LIFTED, S.EXPIRED}


def test_whatever_leads_into_force_from_outside_requires_the_stop_point() -> None:
    for row in TABLE:
        enters = row.target in IN_FORCE and row.source not in IN_FORCE
        if enters:
            assert "Feedback carries the bank's stop point" in {(g.__doc__ or "").rstrip(".") for g in row.guards}


def test_nothing_of_the_machine_leaves_for_a_bank_without_two_persons_but_protective_stops() -> None:
    applying = {(row.kind, row.source) for row in TABLE if row.purpose is Purpose.APPLY and row.event is E.DISPATCH}
    assert applying == {(K.STOP, S.APPROVED), (K.FREEZE, S.APPROVED)}


def test_page_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "orders.md"
    assert set(MEANINGS) == set(E), "the page says what each event means"
    assert page.read_text() == orders_page(), "write docs/orders.md anew: models.control.diagram.orders_page()"
