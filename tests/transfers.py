"""Shorthand for single transfers, and Hypothesis strategies for any valid ones."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from models.money.types import LATEST_US, MAX_AMOUNT_FEN, Transfer

NOON_US = 1_704_081_600_000_000
"""2024-01-01 12:00 in Shanghai."""

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US


def pay(payer: str, payee: str, yuan: float, *, at_us: int = NOON_US, name: str = "", **more: Any) -> Transfer:
    """Return a transfer between accounts of one bank; its id follows from them unless it has a name."""
    return Transfer(
        transfer_id=name or f"{payer}-{payee}-{at_us}",
        payer_bank="b1",
        payer_account=payer,
        payee_bank="b1",
        payee_account=payee,
        amount_fen=round(yuan * 100),
        occurred_us=at_us,
        **more,
    )


def _optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


balances = st.integers(-MAX_AMOUNT_FEN, MAX_AMOUNT_FEN)
amounts = st.one_of(st.integers(1, 10**8), st.integers(1, MAX_AMOUNT_FEN))
times_us = st.one_of(st.integers(1, LATEST_US), st.integers(NOON_US, NOON_US + 40 * DAY_US))

any_transfers = st.builds(
    Transfer,
    transfer_id=st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True),
    payer_bank=st.sampled_from(["b1", "b2"]),
    payer_account=st.sampled_from("ABCDEF"),
    payee_bank=st.sampled_from(["b1", "b2"]),
    payee_account=st.sampled_from("ABCDEF"),
    amount_fen=amounts,
    occurred_us=times_us,
    channel=st.sampled_from(["", "MOBILE", "atm", "USDT"]),
    payer_balance_after_fen=_optional(balances),
    payee_balance_after_fen=_optional(balances),
    payer_opened_us=_optional(times_us),
    payee_opened_us=_optional(times_us),
    payee_known=st.sampled_from([None, True, False]),
    in_call=st.sampled_from([None, True, False]),
    device_id=st.sampled_from(["", "d1", "d2"]),
)
"""Any transfer of the right form, at any time after 1970, among twelve accounts, so that they meet often."""


def check_valid(transfer: Transfer) -> Transfer:
    """Return the transfer if the wire would accept it (`msgspec` checks limits only when decoding)."""
    return msgspec.json.decode(msgspec.json.encode(transfer), type=Transfer)
