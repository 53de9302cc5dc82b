"""What the simulated people want to do: intents to pay, with labels that only the judge may read."""

from __future__ import annotations

from typing import Final

import msgspec

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
SHANGHAI_US: Final = 8 * HOUR_US
"""Shanghai is UTC+8 all year."""


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """The truth about a transfer of a crime. Honest transfers have none.

    ``fraud`` is what goes into ``is_fraud``: the victim's payments and every
    hop of the money on its way out, but not what crooks pay back as bait
    (``to_victim``): nobody should be stopped for receiving that.
    ``from_victim`` marks what a victim pays.
    """

    typology: str
    case_id: str
    fraud: bool = True
    from_victim: bool = False
    to_victim: bool = False


class Intent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One wish to pay at world time ``at_us``; accounts are indexes into the population."""

    at_us: int
    payer: int
    payee: int
    amount_fen: int
    channel: str
    label: Label | None = None
    in_call: bool | None = None
    device: str = ""


def yuan(amount: float) -> int:
    """Return fen of an amount in yuan, to the nearest fen.

    >>> yuan(12.34)
    1234
    """
    return round(amount * 100)


def local_second(at_us: int) -> int:
    """Return the second of the day in Shanghai.

    >>> local_second(0) // 3600
    8
    """
    return (at_us + SHANGHAI_US) % DAY_US // SECOND_US


def local_day(at_us: int) -> int:
    """Return the number of the day in Shanghai since 1970-01-01."""
    return (at_us + SHANGHAI_US) // DAY_US


def day_start_us(day: int) -> int:
    """Return the UTC time at which a Shanghai day begins.

    >>> local_day(day_start_us(20_000)), local_day(day_start_us(20_000) - 1)
    (20000, 19999)
    """
    return day * DAY_US - SHANGHAI_US
