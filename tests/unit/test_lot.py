"""The lot by which transfers nobody doubts are looked at."""

from __future__ import annotations

import pytest

from models.risk.assessment import Band
from models.risk.lot import Lot
from tests.apikit import assessed, transfer

MANY = [assessed(transfer(transfer_id=f"t-{number}"), Band.ALLOW) for number in range(20_000)]


def drawn(lot: Lot) -> set[str]:
    return {each.transfer.transfer_id for each in MANY if lot.draws(each)}


def test_the_lot_draws_its_share_and_the_same_ones_again() -> None:
    lot = Lot(rate=0.02, salt="s")
    assert len(drawn(lot)) == pytest.approx(400, rel=0.2)
    assert drawn(lot) == drawn(Lot(rate=0.02, salt="s"))
    assert drawn(lot) <= drawn(Lot(rate=0.05, salt="s"))


def test_another_salt_draws_others() -> None:
    assert len(drawn(Lot(rate=0.02, salt="s")) & drawn(Lot(rate=0.02, salt="t"))) < 40


def test_a_rate_of_0_draws_none_and_one_of_1_all() -> None:
    assert not drawn(Lot())
    assert len(drawn(Lot(rate=1.0))) == len(MANY)


@pytest.mark.parametrize("band", [Band.WATCH, Band.STOP])
def test_what_is_looked_at_anyway_is_not_drawn(band: Band) -> None:
    assert not Lot(rate=1.0).draws(assessed(transfer(), band))
