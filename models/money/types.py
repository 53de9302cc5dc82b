"""Accounts, amounts and transfers, validated once at the edge."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, NewType

import msgspec

AccountId = NewType("AccountId", str)
"""``bank/account``: the key of an account on every topic and in every table."""

MAX_AMOUNT_FEN = 10**13
"""100 billion yuan; a larger single transfer is a typing error, not money."""

LATEST_US = 4_102_444_800_000_000
"""2100-01-01 UTC in microseconds: anything later is a unit error."""

MAX_WHOLE = 2**53 - 1
"""Largest whole number on any wire, which every database and every double holds (as a time: the year 2255)."""

# ``$`` alone would let a trailing newline pass.
Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z_.:\-]+$(?!\n)")]
BankCode = Annotated[str, msgspec.Meta(min_length=1, max_length=12, pattern=r"^[0-9A-Za-z_\-]+$(?!\n)")]
AccountNumber = Annotated[str, msgspec.Meta(min_length=1, max_length=36, pattern=r"^[0-9A-Za-z_.\-]+$(?!\n)")]
Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}$(?!\n)")]
AmountFen = Annotated[int, msgspec.Meta(gt=0, le=MAX_AMOUNT_FEN)]
BalanceFen = Annotated[int, msgspec.Meta(ge=-MAX_AMOUNT_FEN, le=MAX_AMOUNT_FEN)]
EventTimeUs = Annotated[int, msgspec.Meta(gt=0, le=LATEST_US)]
TimeUs = Annotated[int, msgspec.Meta(ge=0, le=MAX_WHOLE)]
"""A time that may be unknown (0) or lie ahead."""

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_WHOLE)]
"""A count, an offset, or a sum in fen."""

ShortText = Annotated[str, msgspec.Meta(max_length=64)]


class AmountError(ValueError):
    """An amount is not a positive number of yuan with at most two decimals."""


class Transfer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One executed account-to-account transfer, as a bank posts it.

    Amounts are integer fen (1/100 of the currency unit); times are UTC
    microseconds. Fields with a default are what a bank may or may not know:
    ``None`` (or empty text) means "not told", never "no".
    """

    transfer_id: Identifier
    payer_bank: BankCode
    payer_account: AccountNumber
    payee_bank: BankCode
    payee_account: AccountNumber
    amount_fen: AmountFen
    occurred_us: EventTimeUs
    currency: Currency = "CNY"
    """Carried into orders and read by nothing else: profiles and rules add every amount as if it were in CNY."""
    channel: ShortText = ""
    payer_balance_after_fen: BalanceFen | None = None
    payee_balance_after_fen: BalanceFen | None = None
    payer_opened_us: EventTimeUs | None = None
    payee_opened_us: EventTimeUs | None = None
    payee_known: bool | None = None
    """Whether the payer's bank has seen this payer pay this payee before."""
    in_call: bool | None = None
    """Whether the payer was in a phone call while paying."""
    device_id: ShortText = ""
    ip: ShortText = ""

    @property
    def payer(self) -> AccountId:
        """Key of the paying account."""
        return account_id(self.payer_bank, self.payer_account)

    @property
    def payee(self) -> AccountId:
        """Key of the receiving account."""
        return account_id(self.payee_bank, self.payee_account)


def account_id(bank: str, account: str) -> AccountId:
    """Return the key of an account.

    >>> account_id("icbc", "6222021234567890")
    'icbc/6222021234567890'
    """
    return AccountId(f"{bank}/{account}")


def split_account_id(key: AccountId) -> tuple[str, str]:
    """Return ``(bank, account)`` of a key.

    >>> split_account_id(account_id("icbc", "62"))
    ('icbc', '62')
    """
    bank, _, account = key.partition("/")
    return bank, account


def fen_from_yuan(text: str) -> int:
    """Return exact fen of a decimal amount in yuan; raise `AmountError` otherwise.

    >>> fen_from_yuan("680.23")
    68023
    """
    try:
        fen = Decimal(text) * 100
    except InvalidOperation as error:
        raise AmountError(f"not an amount in yuan: {text!r}") from error
    if not fen.is_finite() or fen != fen.to_integral_value() or not 0 < fen <= MAX_AMOUNT_FEN:
        raise AmountError(f"not a positive amount in yuan with two decimals: {text!r}")
    return int(fen)


def yuan_from_fen(fen: int) -> str:
    """Return an amount in yuan with two decimals.

    >>> yuan_from_fen(68023)
    '680.23'
    """
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def us_from_iso(text: str) -> int:
    """Return UTC microseconds of an ISO-8601 time; a time without zone is UTC.

    >>> us_from_iso("1970-01-01T00:00:01Z")
    1000000
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def iso_from_us(us: int) -> str:
    """Return a UTC time in ISO-8601 with a ``Z``.

    >>> iso_from_us(1000000)
    '1970-01-01T00:00:01Z'
    """
    moment = datetime.fromtimestamp(us // 1_000_000, UTC).replace(microsecond=us % 1_000_000)
    return moment.isoformat().replace("+00:00", "Z")
