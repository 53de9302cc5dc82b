"""The simulated crimes have the shape of real ones, and the honest life around them hides them."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np

from models.money.types import AccountId
from simulators.rehearsal import Labelled, Rehearsal
from simulators.scripts import SCAMS
from simulators.settings import SimulateSettings

SETTINGS = SimulateSettings(seed=21, customers=1_200, days=10, fraud_share=0.03)
"""Ten times the default share of fraud, so that ten days of a small town hold enough of it."""

TIMES_DEFAULT = 10


@cache
def lived() -> list[Labelled]:
    return list(Rehearsal(SETTINGS).run())


def fraud() -> list[Labelled]:
    return [item for item in lived() if item.label is not None and item.label.fraud]


def hops() -> list[tuple[float, float]]:
    """Seconds since the payer's last inflow, and the amount over that inflow, of each hop of stolen money."""
    last: dict[AccountId, tuple[int, int]] = {}
    found = []
    for item in lived():
        transfer, label = item.transfer, item.label
        if label is not None and label.fraud and not label.from_victim and transfer.payer in last:
            moment, amount = last[transfer.payer]
            found.append(((transfer.occurred_us - moment) / 1e6, transfer.amount_fen / amount))
        last[transfer.payee] = (transfer.occurred_us, transfer.amount_fen)
    return found


def test_the_share_of_fraud_is_about_what_was_asked_for() -> None:
    assert 0.02 < len(fraud()) / len(lived()) < 0.04


def test_money_is_passed_on_as_fast_as_on_real_chains() -> None:
    """10 % within 12 s, 25 % within 72 s, median 384 s, 68 % within 1 h, 82 % within 24 h.

    Source: ``docs/sources.md#real-hops``.
    The slowest hops fall beyond the ten days, and parts of one sum follow each other quickly.
    """
    waits = [wait for wait, _ in hops()]
    shares = [sum(wait <= bound for wait in waits) / len(waits) for bound in (12, 72, 384, 3_600, 86_400)]
    assert np.allclose(shares, [0.10, 0.25, 0.50, 0.68, 0.82], atol=0.15), shares


def test_less_than_half_of_the_hops_forward_what_came_in() -> None:
    same = [0.88 <= ratio <= 1.12 for _, ratio in hops()]
    assert 0.34 < sum(same) / len(same) < 0.54


def test_every_scam_and_every_way_out_occurs() -> None:
    seen = {item.label.typology for item in fraud() if item.label is not None}
    ways = {"pass_through", "split", "pool", "score_running", "cash_out_atm", "cash_out_goods", "cash_out_otc"}
    assert seen == set(SCAMS) | ways


def test_mule_accounts_serve_several_cases() -> None:
    cases: dict[AccountId, set[str]] = {}
    for item in fraud():
        if item.label is not None and item.label.from_victim:
            cases.setdefault(item.transfer.payee, set()).add(item.label.case_id)
    assert sum(len(served) > 1 for served in cases.values()) > 0.2 * len(cases)


def test_no_channel_and_no_bank_is_the_crooks_own() -> None:
    honest = Counter(item.transfer.channel for item in lived() if item.label is None)
    for channel, count in Counter(item.transfer.channel for item in fraud()).items():
        assert honest[channel] > 10 * count / TIMES_DEFAULT, channel


def test_no_kind_of_account_is_the_crooks_own() -> None:
    """Each account that takes stolen money also lives an honest life or belongs to a kind of which most do."""
    honest = {item.transfer.payer for item in lived() if item.label is None}
    honest |= {item.transfer.payee for item in lived() if item.label is None}
    takers = {item.transfer.payee for item in fraud()}
    assert len(takers & honest) > 0.5 * len(takers)


def test_round_sums_tell_nothing() -> None:
    def round_share(items: list[Labelled]) -> float:
        large = [item for item in items if 50_000 <= item.transfer.amount_fen <= 5_000_000]
        return sum(item.transfer.amount_fen % 10_000 == 0 for item in large) / len(large)

    assert abs(round_share(fraud()) - round_share([i for i in lived() if i.label is None])) < 0.2


def test_honest_people_too_pass_money_on_within_minutes() -> None:
    """Look-alikes: at the default share of fraud they outnumber all fraud rows."""
    last: dict[AccountId, tuple[int, int]] = {}
    quick = 0
    for item in lived():
        transfer = item.transfer
        moment, amount = last.get(transfer.payer, (0, 1))
        fast = transfer.occurred_us - moment < 600_000_000
        quick += item.label is None and fast and 0.85 <= transfer.amount_fen / amount <= 1.05
        last[transfer.payee] = (transfer.occurred_us, transfer.amount_fen)
    assert quick > len(fraud()) / TIMES_DEFAULT


def test_what_a_bank_tells_has_gaps_and_only_of_its_own_customers() -> None:
    transfers = [item.transfer for item in lived()]
    own = [t for t in transfers if t.payer_bank == t.payee_bank]
    foreign = [t for t in transfers if t.payer_bank != t.payee_bank]
    assert all(t.payee_balance_after_fen is not None and t.payee_opened_us is not None for t in own)
    assert all(t.payee_balance_after_fen is None and t.payee_opened_us is None for t in foreign)
    for field in ("in_call", "device_id", "ip", "payee_known"):
        told = sum(getattr(t, field) not in (None, "") for t in transfers) / len(transfers)
        assert 0.2 < told <= 1.0, field
