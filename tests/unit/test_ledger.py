from __future__ import annotations

import pytest

from models.money.types import AccountId
from simulators.ledger import MAX_ENTRIES_KEPT, MAX_PAYEES_KEPT, AccountExists, Ledger, ShortFunds, UnknownAccount
from tests.bankkit import T0, opening

A, B = AccountId("debit/A"), AccountId("hold/B")


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger(["debit", "hold"])
    ledger.open(opening("debit", "A", 100_000))
    ledger.open(opening("hold", "B", 50_000))
    return ledger


def post(ledger: Ledger, payer: AccountId, payee: AccountId, amount_fen: int, transfer_id: str = "t") -> None:
    ledger.post(
        payer=ledger.account(payer),
        payee=ledger.account(payee),
        amount_fen=amount_fen,
        transfer_id=transfer_id,
        occurred_us=T0,
    )


def test_a_transfer_between_banks_goes_through_clearing(ledger: Ledger) -> None:
    post(ledger, A, B, 30_000)
    check = ledger.check()
    assert check.balanced
    assert (ledger.account(A).balance_fen, ledger.account(B).balance_fen) == (70_000, 80_000)
    assert check.banks["debit"].clearing_fen == 30_000
    assert check.banks["hold"].clearing_fen == -30_000
    assert (check.transfers, check.moved_fen) == (1, 30_000)


def test_a_transfer_inside_a_bank_leaves_clearing_alone(ledger: Ledger) -> None:
    ledger.open(opening("debit", "C", 0))
    post(ledger, A, AccountId("debit/C"), 1)
    assert ledger.check().banks["debit"].clearing_fen == 0


@pytest.mark.parametrize("amount_fen", [0, -5, 100_001])
def test_what_the_balance_does_not_cover_is_refused_and_posts_nothing(ledger: Ledger, amount_fen: int) -> None:
    with pytest.raises(ShortFunds):
        post(ledger, A, B, amount_fen)
    assert ledger.account(A).balance_fen == 100_000
    assert not ledger.account(A).entries
    assert ledger.check().balanced


def test_opening_twice_on_the_same_terms_pays_in_once(ledger: Ledger) -> None:
    again = ledger.open(opening("debit", "A", 100_000))
    assert again is ledger.account(A)
    assert ledger.check().banks["debit"].customers_fen == 100_000
    with pytest.raises(AccountExists):
        ledger.open(opening("debit", "A", 1))


def test_unknown_bank_unknown_account_and_negative_opening_are_refused(ledger: Ledger) -> None:
    with pytest.raises(UnknownAccount):
        ledger.open(opening("nobody", "A"))
    with pytest.raises(UnknownAccount):
        ledger.account(AccountId("debit/Z"))
    with pytest.raises(ShortFunds):
        ledger.open(opening("debit", "Z", -1))


def test_audit_names_a_balance_that_its_entries_do_not_explain(ledger: Ledger) -> None:
    ledger.account(A).balance_fen += 1
    check = ledger.check()
    assert not check.balanced
    assert any("its entries say 100000" in fault for fault in check.faults)
    assert any("books are off by 1 fen" in fault for fault in check.faults)


def test_audit_finds_a_credit_without_its_debit(ledger: Ledger) -> None:
    ledger.account(B).credited_fen += 7
    assert any("differ" in fault for fault in ledger.check().faults)


def test_entries_are_bounded_while_totals_are_not(ledger: Ledger) -> None:
    for number in range(MAX_ENTRIES_KEPT + 10):
        post(ledger, A, B, 1, f"t{number}")
    account = ledger.account(A)
    assert len(account.entries) == MAX_ENTRIES_KEPT
    assert account.debited_fen == MAX_ENTRIES_KEPT + 10
    assert account.entries[-1].balance_after_fen == account.balance_fen


def test_a_bank_that_has_forgotten_payees_says_it_does_not_know(ledger: Ledger) -> None:
    account = ledger.account(A)
    assert account.knows(B) is False
    account.remember(B)
    assert account.knows(B) is True
    for number in range(MAX_PAYEES_KEPT):
        account.remember(AccountId(f"hold/{number}"))
    assert account.knows(B) is True
    assert account.knows(AccountId("hold/new")) is None
    assert len(account.payees) == MAX_PAYEES_KEPT
