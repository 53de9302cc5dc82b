"""Result codes and controls (``docs/sources.md#platform-results``), one behaviour a test.

Over HTTP they are tested as a contract.
"""

from __future__ import annotations

from typing import Any

import pytest

from models.control.messages import BankFeedback, CommandKind, ControlKind, ResultCode, VictimTransfer
from models.money.types import AccountId
from simulators.books import BankBooks, Refusal
from simulators.commands import ALREADY_HANDLED, BAD_AMOUNT, OUTSIDE_LEGAL_FORCE, STOP_SPAN_US
from tests.bankkit import HOUR_US, T0, books_with, command, freeze, opening, protective, stop, transfer, two_accounts

A = AccountId("debit/A")


def pay(books: BankBooks, amount_fen: int, now_us: int = T0, transfer_id: str = "t1", **more: Any) -> str:
    return books.execute(transfer(amount_fen=amount_fen, transfer_id=transfer_id, **more), now_us)[0].refusal


def test_protective_stop_holds_the_amount_and_lets_the_rest_go() -> None:
    books = two_accounts()
    feedback = books.command(protective(amount_fen=30_000), T0)
    assert feedback.result == ResultCode.OK
    assert feedback.control is ControlKind.AMOUNT_HOLD
    assert (feedback.start_us, feedback.expire_us) == (T0, T0 + 24 * HOUR_US)
    assert (feedback.account_balance_fen, feedback.available_balance_fen, feedback.executed_fen) == (
        100_000,
        70_000,
        30_000,
    )
    assert pay(books, 70_001) == Refusal.HELD
    assert pay(books, 70_000, transfer_id="t2") == ""


def test_protective_stop_without_an_amount_blocks_every_debit_but_no_credit() -> None:
    books = two_accounts()
    assert books.command(protective(amount_fen=0), T0).control is ControlKind.DEBIT_BLOCK
    assert pay(books, 1) == Refusal.DEBIT_BLOCKED
    assert pay(books, 1, transfer_id="t2", payer="hold/B", payee="debit/A") == ""


def test_a_short_balance_is_told_and_later_credits_fill_the_hold() -> None:
    books = two_accounts(balance_fen=10_000)
    feedback = books.command(protective(amount_fen=30_000), T0)
    assert feedback.result == ResultCode.DEFICIENT
    assert feedback.executed_fen == 10_000
    assert pay(books, 15_000, payer="hold/B", payee="debit/A") == ""
    assert books.available_fen(A, T0) == 0
    assert books.controls_of(A, T0)[0].executed_fen == 25_000


def test_holds_of_several_orders_add_up() -> None:
    books = two_accounts()
    books.command(protective("a1", 30_000), T0)
    second = books.command(protective("a2", 80_000), T0)
    assert second.result == ResultCode.DEFICIENT
    assert second.executed_fen == 70_000
    assert books.available_fen(A, T0) == 0


def test_a_control_ends_by_itself_to_the_microsecond() -> None:
    books = two_accounts()
    books.command(stop(), T0)
    end_us = T0 + STOP_SPAN_US
    assert pay(books, 1, end_us - 1) == Refusal.DEBIT_BLOCKED
    assert pay(books, 1, end_us, "t2") == ""
    assert books.controls_of(A, end_us) == []


def test_the_span_of_a_stop_is_48_hours_from_the_banks_stop_point_whatever_was_asked() -> None:
    feedback = two_accounts().command(stop(expire_us=T0 + HOUR_US), T0 + 5)
    assert (feedback.start_us, feedback.expire_us) == (T0 + 5, T0 + 5 + STOP_SPAN_US)


@pytest.mark.parametrize(
    ("bank", "amount_fen", "control"),
    [
        ("debit", 1_000, ControlKind.DEBIT_BLOCK),
        ("full", 1_000, ControlKind.FULL_BLOCK),
        ("hold", 1_000, ControlKind.AMOUNT_HOLD),
        ("hold", 0, ControlKind.DEBIT_BLOCK),
    ],
)
def test_each_bank_executes_a_stop_in_its_own_way(bank: str, amount_fen: int, control: ControlKind) -> None:
    books = books_with(opening(bank, "A"))
    assert books.command(stop(target=f"{bank}/A", amount_fen=amount_fen), T0).control is control


def test_a_full_block_refuses_credits_too() -> None:
    books = books_with(opening("full", "A"), opening("hold", "B"))
    books.command(stop(target="full/A"), T0)
    assert pay(books, 1, payer="hold/B", payee="full/A") == Refusal.CREDIT_BLOCKED
    assert pay(books, 1, transfer_id="t2", payer="full/A", payee="hold/B") == Refusal.DEBIT_BLOCKED


def test_the_same_application_id_gets_the_first_feedback_and_does_nothing() -> None:
    books = two_accounts()
    first = books.command(protective(amount_fen=30_000), T0)
    again = books.command(protective(amount_fen=99_000), T0 + HOUR_US)
    assert again == first
    assert len(books.controls_of(A, T0 + HOUR_US)) == 1
    assert books.available_fen(A, T0 + HOUR_US) == 70_000


def test_a_third_stop_is_refused_and_an_extension_counts_as_the_second() -> None:
    books = two_accounts()
    books.command(stop("s1"), T0)
    assert books.command(stop("s2"), T0 + 1).result == ResultCode.ALREADY_STOPPED
    extension = command(CommandKind.STOP_EXTENSION, "e1", original_application_id="s1")
    extended = books.command(extension, T0 + HOUR_US)
    assert extended.result == ResultCode.OK
    assert extended.expire_us == T0 + 2 * STOP_SPAN_US
    later = T0 + 2 * STOP_SPAN_US
    assert books.command(stop("s3"), later).result == ResultCode.TOO_MANY_STOPS
    again = command(CommandKind.STOP_EXTENSION, "e2", original_application_id="s1")
    assert books.command(again, T0 + 2 * HOUR_US).result == ResultCode.TOO_MANY_STOPS


def test_two_stops_in_a_row_are_allowed_a_third_is_not() -> None:
    books = two_accounts()
    assert books.command(stop("s1"), T0).result == ResultCode.OK
    assert books.command(stop("s2"), T0 + STOP_SPAN_US).result == ResultCode.OK
    assert books.command(stop("s3"), T0 + 2 * STOP_SPAN_US).result == ResultCode.TOO_MANY_STOPS


def test_a_paper_after_the_fact_links_to_the_stop_and_does_not_repeat_it() -> None:
    books = two_accounts()
    first = books.command(stop("s1", application_type="02", legal_document=""), T0)
    assert first.result == ResultCode.OK
    paper = books.command(stop("p1", application_type="04", original_application_id="s1"), T0 + HOUR_US)
    assert (paper.result, paper.start_us, paper.expire_us) == (ResultCode.OK, T0, T0 + STOP_SPAN_US)
    assert paper.application_id == "p1"
    assert len(books.controls_of(A, T0 + HOUR_US)) == 1
    assert books.command(stop("s2"), T0 + STOP_SPAN_US).result == ResultCode.OK, "the paper was counted as a stop"


def test_a_paper_for_a_stop_nobody_made_creates_none() -> None:
    books = two_accounts()
    paper = stop("p1", application_type="05", original_application_id="nothing")
    assert books.command(paper, T0).result == ResultCode.ORIGINAL_UNKNOWN
    assert books.controls_of(A, T0) == []


@pytest.mark.parametrize(
    ("lift", "make"),
    [
        (CommandKind.PROTECTIVE_RELEASE, protective),
        (CommandKind.STOP_LIFT, stop),
        (CommandKind.UNFREEZE, freeze),
    ],
)
def test_a_lift_frees_the_account_once(lift: CommandKind, make: Any) -> None:
    books = two_accounts()
    books.command(make("o1"), T0)
    assert books.command(command(lift, "l1", original_application_id="o1"), T0 + 1).result == ResultCode.OK
    assert books.available_fen(A, T0 + 1) == 100_000
    assert books.command(command(lift, "l2", original_application_id="o1"), T0 + 2).result == ALREADY_HANDLED
    assert books.command(command(lift, "l3", original_application_id="o9"), T0).result == ResultCode.ORIGINAL_UNKNOWN
    end_us = books.command(make("o2"), T0 + 3).expire_us
    late = command(lift, "l4", original_application_id="o2", expire_us=end_us + HOUR_US)
    assert books.command(late, end_us).result == ResultCode.LIFT_EXPIRED


def test_a_lift_of_another_kind_of_control_finds_no_original() -> None:
    books = two_accounts()
    books.command(protective("o1"), T0)
    lift = command(CommandKind.STOP_LIFT, "l1", original_application_id="o1")
    assert books.command(lift, T0 + 1).result == ResultCode.ORIGINAL_UNKNOWN
    assert books.available_fen(A, T0 + 1) == 70_000


def test_an_extension_after_the_end_is_refused_with_1800() -> None:
    books = two_accounts()
    books.command(stop("s1"), T0)
    late = command(CommandKind.STOP_EXTENSION, "e1", original_application_id="s1")
    assert books.command(late, T0 + STOP_SPAN_US).result == ResultCode.EXTENSION_EXPIRED


def test_a_freeze_is_extended_before_its_end() -> None:
    books = two_accounts()
    until = books.command(freeze("f1", amount_fen=5_000), T0).expire_us
    longer = command(CommandKind.FREEZE_EXTENSION, "e1", original_application_id="f1", expire_us=until + HOUR_US)
    assert books.command(longer, until - 1).expire_us == until + HOUR_US
    assert pay(books, 96_000, until) == Refusal.HELD


def test_stops_meet_freezes_with_the_platforms_codes() -> None:
    limited, full = two_accounts(), two_accounts()
    limited.command(freeze(amount_fen=1_000), T0)
    full.command(freeze(amount_fen=0), T0)
    assert limited.command(stop(), T0).result == ResultCode.ALREADY_LIMITED_FROZEN
    assert full.command(stop(), T0).result == ResultCode.ALREADY_FULLY_FROZEN
    assert full.command(protective(), T0).result == ResultCode.ALREADY_FULLY_FROZEN
    assert limited.command(protective(), T0).result == ResultCode.OK


def test_a_second_freeze_waits_for_the_first_and_then_starts_when_that_ended() -> None:
    books = two_accounts()
    first = books.command(freeze("f1", amount_fen=60_000), T0)
    queued = books.command(freeze("f2", amount_fen=90_000, expire_us=first.expire_us + HOUR_US), T0 + 1)
    assert (queued.result, queued.start_us, queued.executed_fen) == (ResultCode.OK, 0, 0)
    assert queued.prior_freeze_fen == 60_000
    assert books.available_fen(A, T0 + 2) == 40_000
    later = first.expire_us + 5
    assert books.available_fen(A, later) == 10_000
    found = books.feedback("debit", "f2", later)
    assert found is not None
    assert found.start_us == first.expire_us
    assert books.command(freeze("f2", amount_fen=90_000), later) == queued, "a repeated post gets the first feedback"


def test_lifting_the_first_freeze_starts_the_queued_one() -> None:
    books = two_accounts()
    books.command(freeze("f1", amount_fen=60_000), T0)
    books.command(freeze("f2", amount_fen=90_000), T0 + 1)
    books.command(command(CommandKind.UNFREEZE, "l1", original_application_id="f1"), T0 + 2)
    assert [control.application_id for control in books.controls_of(A, T0 + 2)] == ["f2"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"reason": ""}, ResultCode.FIELD_MISSING),
        ({"operator": ""}, ResultCode.FIELD_MISSING),
        ({"investigator": "li"}, ResultCode.FIELD_MISSING),
        ({"transfer_out": None}, ResultCode.FIELD_MISSING),
        ({"application_type": "04"}, ResultCode.FIELD_MISSING),
        ({"legal_document": ""}, ResultCode.DOCUMENT_MISSING),
        ({"amount_fen": -1}, BAD_AMOUNT),
        ({"account_number": "Z"}, ResultCode.ACCOUNT_UNKNOWN),
    ],
)
def test_a_stop_with_a_fault_is_refused_and_changes_nothing(change: dict[str, Any], code: str) -> None:
    books = two_accounts()
    order = stop()
    feedback = books.command(type(order)(**{f: getattr(order, f) for f in order.__struct_fields__} | change), T0)
    assert feedback.result == code
    assert feedback.start_us == 0
    assert feedback.control is None
    assert books.controls_of(A, T0) == []


@pytest.mark.parametrize("make", [protective, freeze])
def test_a_period_that_is_over_is_outside_the_orders_legal_force(make: Any) -> None:
    feedback: BankFeedback = two_accounts().command(make(expire_us=T0), T0)
    assert feedback.result == OUTSIDE_LEGAL_FORCE


def test_white_listed_accounts_are_beyond_any_control() -> None:
    books = books_with(opening("debit", "A", white_listed=True))
    for make in (protective, stop, freeze):
        assert books.command(make(), T0).result == ResultCode.WHITE_LISTED


def test_a_victims_transfer_with_another_amount_than_the_books_show_stops_nothing() -> None:
    books = two_accounts()
    pay(books, 10_000, payer="hold/B", payee="debit/A", transfer_id="victim-1")
    wrong = VictimTransfer(
        transfer_id="victim-1", payer_bank="hold", payer_account="B", amount_fen=10_001, occurred_us=T0
    )
    assert books.command(stop("s1", transfer_out=wrong), T0).result == BAD_AMOUNT
    assert books.command(stop("s2"), T0).result == ResultCode.OK


def test_the_journal_tells_every_change_once() -> None:
    books = two_accounts()
    books.command(protective("a1"), T0)
    entries, following = books.journal(0)
    assert [(entry.application_id, entry.ended_us) for entry in entries] == [("a1", 0)]
    books.command(command(CommandKind.PROTECTIVE_RELEASE, "r1", original_application_id="a1"), T0 + 7)
    entries, _ = books.journal(following)
    assert [(entry.application_id, entry.ended_us) for entry in entries] == [("a1", T0 + 7)]
