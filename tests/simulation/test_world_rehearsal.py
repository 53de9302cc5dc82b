"""A small seeded world in one process: what a gate that knows nothing, or everything, makes of the victims' money."""

from __future__ import annotations

from functools import cache

import pytest

from models.control.messages import BankCommand, CommandKind
from models.money.types import AccountId, split_account_id
from simulators.plan import DAY_US, HOUR_US
from simulators.rehearsal import Gate, Labelled, Rehearsal
from simulators.settings import SimulateSettings
from simulators.theft import MoneyCount

SETTINGS = SimulateSettings(seed=11, customers=800, days=3, fraud_share=0.03)


def stop_command(target: AccountId, cause: Labelled, amount_fen: int) -> BankCommand:
    bank, account = split_account_id(target)
    moment = cause.transfer.occurred_us
    return BankCommand(
        application_id=f"PS-{cause.transfer.transfer_id}",
        kind=CommandKind.PROTECTIVE_STOP,
        bank_id=bank,
        account_number=account,
        application_time_us=moment,
        expire_us=moment + 30 * DAY_US,
        reason="test",
        amount_fen=amount_fen,
    )


def all_seeing(item: Labelled) -> list[BankCommand]:
    """Stop the mule as a whole: the payee of stolen money, or the payer where it leaves the crooks' hands."""
    label = item.label
    if label is None or not label.fraud:
        return []
    leaves = label.typology.startswith("cash_out")
    return [stop_command(item.transfer.payer if leaves else item.transfer.payee, item, amount_fen=0)]


def holds_the_amount(item: Labelled) -> list[BankCommand]:
    """As the policy does: hold just the sum that came in."""
    label = item.label
    if label is None or not label.fraud or label.typology.startswith("cash_out"):
        return []
    return [stop_command(item.transfer.payee, item, amount_fen=item.transfer.amount_fen)]


def paranoid(item: Labelled) -> list[BankCommand]:
    """Stop whoever is paid anything above 2,000 yuan."""
    return [stop_command(item.transfer.payee, item, amount_fen=0)] if item.transfer.amount_fen > 200_000 else []


GATES: dict[str, tuple[Gate | None, int]] = {
    "none": (None, 0),
    "all_seeing": (all_seeing, 0),
    "all_seeing_late": (all_seeing, HOUR_US),
    "holds_the_amount": (holds_the_amount, 0),
    "paranoid": (paranoid, 0),
}


@cache
def rehearsed(name: str) -> tuple[Rehearsal, list[Labelled], MoneyCount]:
    gate, reaction_us = GATES[name]
    rehearsal = Rehearsal(SETTINGS, gate=gate, reaction_us=reaction_us)
    items = list(rehearsal.run())
    return rehearsal, items, rehearsal.money()


@pytest.mark.parametrize("name", GATES)
def test_books_balance_and_the_victims_money_is_conserved(name: str) -> None:
    rehearsal, items, money = rehearsed(name)
    assert rehearsal.books.check().balanced
    assert money.stolen == money.stopped + money.cashed_out + money.in_flight
    assert min(money.stolen, money.stopped, money.cashed_out, money.in_flight) >= 0
    paid = sum(i.transfer.amount_fen for i in items if i.label is not None and i.label.from_victim)
    assert 0 < money.stolen <= paid


@pytest.mark.parametrize("name", GATES)
def test_the_engine_knows_every_balance_that_the_banks_hold(name: str) -> None:
    rehearsal, _, _ = rehearsed(name)
    engine = rehearsal.engine
    for place, account in enumerate(engine.population.accounts):
        assert rehearsal.books.ledger.account(account.key).balance_fen == engine.town.balances[place]


def cash_outs_per_payment(name: str) -> float:
    """Steps out of the banks per payment of a victim: a count, since one large case can outweigh all other money."""
    labels = [item.label for item in rehearsed(name)[1] if item.label is not None]
    return sum(label.typology.startswith("cash_out") for label in labels) / sum(label.from_victim for label in labels)


def test_nobody_stops_anything_and_the_money_gets_away() -> None:
    _, _, money = rehearsed("none")
    assert money.stopped == 0
    assert money.cashed_out > 0.1 * money.stolen
    assert cash_outs_per_payment("none") > 0.5


def test_who_knows_the_truth_at_once_stops_nearly_everything() -> None:
    rehearsal, _, money = rehearsed("all_seeing")
    assert money.stopped > 0.9 * money.stolen
    assert money.cashed_out < 0.05 * money.stolen
    assert rehearsal.watch.stops.false == 0
    assert rehearsal.engine.counts.refused_fraud > 50, "crooks never tried again"


def test_the_later_a_gate_is_the_more_gets_away() -> None:
    at_once, late, never = map(cash_outs_per_payment, ("all_seeing", "all_seeing_late", "none"))
    assert at_once < 0.01
    assert at_once < 0.5 * late < 0.5 * never


def test_holding_just_the_sum_that_came_in_works_too() -> None:
    rehearsal, _, money = rehearsed("holds_the_amount")
    assert money.stopped > 0.85 * money.stolen
    assert rehearsal.watch.stops.false == 0


def test_stopping_every_large_payment_stops_honest_people() -> None:
    rehearsal, _, _ = rehearsed("paranoid")
    stops = rehearsal.watch.stops
    assert stops.false > 50
    assert sum(stops.false_by.values()) == stops.false
    assert rehearsal.engine.counts.refused_honest > 10 * rehearsed("none")[0].engine.counts.refused_honest


def test_crooks_go_on_with_other_accounts_when_some_are_stopped() -> None:
    stopped, free = rehearsed("holds_the_amount"), rehearsed("none")
    assert stopped[0].engine.counts.refused_fraud > 0
    assert cases_with_victims(stopped[1]) > 0.7 * cases_with_victims(free[1]), "one stop must not end the ring"


def cases_with_victims(items: list[Labelled]) -> int:
    return len({item.label.case_id for item in items if item.label is not None and item.label.from_victim})


def test_the_same_seed_lives_the_same_life() -> None:
    again = list(Rehearsal(SETTINGS).run())
    assert again == rehearsed("none")[1]


def test_another_seed_lives_another() -> None:
    other = Rehearsal(SETTINGS.model_copy(update={"seed": 12}))
    first = next(iter(other.run()))
    assert first != rehearsed("none")[1][0]


def test_transfers_come_in_order_of_time_within_the_days_asked_for() -> None:
    rehearsal, items, _ = rehearsed("none")
    times = [item.transfer.occurred_us for item in items]
    assert times == sorted(times)
    assert rehearsal.start_us <= times[0]
    assert times[-1] < rehearsal.end_us
