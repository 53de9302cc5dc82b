"""A time in another unit than microseconds is told from one that can be meant."""

from __future__ import annotations

import msgspec
import pytest

from models.money.types import EARLIEST_OPENED_US, EARLIEST_US, LATEST_US, time_fault, us_from_iso
from tests.transfers import NOON_US, pay

OPENED_1985_US = us_from_iso("1985-05-01T00:00:00Z")


@pytest.mark.parametrize("field", ["occurred_us", "payer_opened_us", "payee_opened_us"])
@pytest.mark.parametrize(("divisor", "unit"), [(1_000_000, "seconds"), (1_000, "milliseconds")])
@pytest.mark.parametrize("meant_us", [EARLIEST_US, NOON_US, LATEST_US])
def test_a_time_in_a_larger_unit_is_named_with_it(field: str, divisor: int, unit: str, meant_us: int) -> None:
    given = meant_us // divisor - (meant_us == LATEST_US)
    fault = time_fault(msgspec.structs.replace(pay("a", "b", 1), **{field: given}))
    assert fault is not None
    assert fault.field == field
    assert fault.reason.startswith(f"{given} lies before ")
    assert f"looks like {unit};" in fault.reason
    assert "microseconds since 1970-01-01 UTC are wanted" in fault.reason


def test_a_time_before_2000_is_not_called_another_unit() -> None:
    fault = time_fault(pay("a", "b", 1, at_us=EARLIEST_US - 1))
    assert fault is not None
    assert "lies before 2000-01-01;" in fault.reason


@pytest.mark.parametrize("opened_us", [None, EARLIEST_OPENED_US, OPENED_1985_US, NOON_US])
def test_what_can_be_meant_passes(opened_us: int | None) -> None:
    for at_us in (EARLIEST_US, NOON_US, LATEST_US):
        transfer = pay("a", "b", 1, at_us=at_us, payer_opened_us=opened_us, payee_opened_us=opened_us)
        assert time_fault(transfer) is None
