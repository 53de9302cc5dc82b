"""Accounts, amounts and transfers, validated once at the edge."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final, NamedTuple, NewType

import msgspec

AccountId = NewType("AccountId", str)
"""``bank/account``: the key of an account on every topic and in every table."""

MAX_AMOUNT_FEN = 10**13
"""100 billion yuan; a larger single transfer is a typing error, not money."""

LATEST_US = 4_102_444_800_000_000
"""2100-01-01 UTC in microseconds: anything later is a unit error."""

EARLIEST_US = 946_684_800_000_000
"""2000-01-01 UTC in microseconds: a transfer that occurred before it is dated in another unit."""

EARLIEST_OPENED_US = LATEST_US // 1_000
"""1970-02-17 UTC: an account opened before it is dated in another unit, since milliseconds up to 2100 lie there."""

MAX_WHOLE = 2**53 - 1
"""Largest whole number on any wire, which every database and every double holds (as a time: the year 2255)."""

IDENTIFIER_PATTERN = r"^[0-9A-Za-z_.:\-]+$"
BANK_PATTERN = r"^[0-9A-Za-z_\-]+$"
ACCOUNT_PATTERN = r"^[0-9A-Za-z_.\-]+$"
CURRENCY_PATTERN = r"^[A-Z]{3}$"

SPELLINGS = {
    IDENTIFIER_PATTERN: "digits, Latin letters and `_ . : -`",
    BANK_PATTERN: "digits, Latin letters, `_` and `-`",
    ACCOUNT_PATTERN: "digits, Latin letters and `_ . -`",
    CURRENCY_PATTERN: "three Latin capitals",
}
"""What each pattern lets pass, in words."""


def _spelt(pattern: str, least: int, most: int) -> msgspec.Meta:
    """Return the constraints of a text with a pattern that schemas tell and `Transfer` checks."""
    return msgspec.Meta(min_length=least, max_length=most, extra_json_schema={"pattern": pattern})


Identifier = Annotated[str, _spelt(IDENTIFIER_PATTERN, 1, 64)]
BankCode = Annotated[str, _spelt(BANK_PATTERN, 1, 12)]
AccountNumber = Annotated[str, _spelt(ACCOUNT_PATTERN, 1, 36)]
Currency = Annotated[str, _spelt(CURRENCY_PATTERN, 3, 3)]
AmountFen = Annotated[int, msgspec.Meta(gt=0, le=MAX_AMOUNT_FEN)]
BalanceFen = Annotated[int, msgspec.Meta(ge=-MAX_AMOUNT_FEN, le=MAX_AMOUNT_FEN)]
EventTimeUs = Annotated[int, msgspec.Meta(gt=0, le=LATEST_US)]
TimeUs = Annotated[int, msgspec.Meta(ge=0, le=MAX_WHOLE)]
"""A time that may be unknown (0) or lie ahead."""

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_WHOLE)]
"""A count, an offset, or a sum in fen."""

ShortText = Annotated[str, msgspec.Meta(max_length=64)]


def _says(description: str) -> msgspec.Meta:
    """Return what a schema says of a field."""
    return msgspec.Meta(description=description)


class AmountError(ValueError):
    """An amount is not a positive number of yuan with at most two decimals."""


class MisspelledError(ValueError):
    """A field holds characters that its pattern does not let pass.

    >>> str(MisspelledError("currency", CURRENCY_PATTERN))
    'misspelled field `currency`: may hold only three Latin capitals'
    """

    def __init__(self, field: str, pattern: str) -> None:
        super().__init__(f"misspelled field `{field}`: may hold only {SPELLINGS[pattern]}")


_SPELT: Final = {
    "transfer_id": IDENTIFIER_PATTERN,
    "payer_bank": BANK_PATTERN,
    "payer_account": ACCOUNT_PATTERN,
    "payee_bank": BANK_PATTERN,
    "payee_account": ACCOUNT_PATTERN,
    "currency": CURRENCY_PATTERN,
}
_ALL_SPELT: Final = re.compile("\n".join(pattern.strip("^$") for pattern in _SPELT.values())).fullmatch
"""Matches the lines of a transfer's texts: one look at all of them costs a third of six."""


class Transfer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One executed account-to-account transfer, as a bank posts it.

    Amounts are integer fen (1/100 of the currency unit); times are UTC
    microseconds. Fields with a default are what a bank may or may not know:
    ``None`` (or empty text) means "not told", never "no". However one is made, its
    texts are spelt as `SPELLINGS` has it, or there is `MisspelledError`
    (in `msgspec.ValidationError` where it was decoded).
    """

    transfer_id: Annotated[Identifier, _says("The bank's own id of the transfer, never used for another.")]
    payer_bank: Annotated[BankCode, _says("Code of the bank that is debited, as Sluice is configured with it.")]
    payer_account: Annotated[AccountNumber, _says("Number of the account that pays.")]
    payee_bank: Annotated[BankCode, _says("Code of the bank that is credited.")]
    payee_account: Annotated[AccountNumber, _says("Number of the account that receives.")]
    amount_fen: Annotated[AmountFen, _says("Amount in fen, 1/100 of the currency unit: 680.23 yuan are 68023.")]
    occurred_us: Annotated[
        EventTimeUs,
        _says("When the transfer was executed, in microseconds since 1970-01-01 UTC; before 2000 is refused."),
    ]
    currency: Annotated[
        Currency, _says("ISO 4217. Repeated in orders only: every amount and balance counts as if it were in CNY.")
    ] = "CNY"
    channel: Annotated[ShortText, _says("How it was paid, in the bank's words. Empty means not told.")] = ""
    payer_balance_after_fen: Annotated[
        BalanceFen | None,
        _says("Payer's balance in fen after this transfer. Null means not told: the last one told is carried on."),
    ] = None
    payee_balance_after_fen: Annotated[
        BalanceFen | None,
        _says("Payee's balance in fen after this transfer. Null means not told: the last one told is carried on."),
    ] = None
    payer_opened_us: Annotated[
        EventTimeUs | None,
        _says(
            "When the payer's account was opened, in microseconds since 1970-01-01 UTC. "
            "Null means not told: an account is then as old as it was told before, else as its first transfer."
        ),
    ] = None
    payee_opened_us: Annotated[
        EventTimeUs | None, _says("When the payee's account was opened; unit and null as in `payer_opened_us`.")
    ] = None
    payee_known: Annotated[
        bool | None,
        _says("Whether the payer's bank has seen this payer pay this payee before. Null means not told, not no."),
    ] = None
    in_call: Annotated[
        bool | None, _says("Whether the payer was in a phone call while paying. Null means not told, not no.")
    ] = None
    device_id: Annotated[
        ShortText, _says("Device the payer used; a change of it is noticed. Empty means not told.")
    ] = ""
    ip: Annotated[ShortText, _says("Address the payer paid from; read by no rule. Empty means not told.")] = ""

    def __post_init__(self) -> None:
        texts = (
            f"{self.transfer_id}\n{self.payer_bank}\n{self.payer_account}\n"
            f"{self.payee_bank}\n{self.payee_account}\n{self.currency}"
        )
        if _ALL_SPELT(texts) is None:
            for field, pattern in _SPELT.items():
                if not re.fullmatch(pattern, getattr(self, field)):
                    raise MisspelledError(field, pattern)

    @property
    def payer(self) -> AccountId:
        """Key of the paying account."""
        return account_id(self.payer_bank, self.payer_account)

    @property
    def payee(self) -> AccountId:
        """Key of the receiving account."""
        return account_id(self.payee_bank, self.payee_account)


class TimeFault(NamedTuple):
    """A field whose time cannot be meant in microseconds, and why not."""

    field: str
    reason: str


def time_fault(transfer: Transfer) -> TimeFault | None:
    """Return the first time of a transfer that cannot be meant in microseconds, or ``None``.

    Apart from the type, so that profiles and rules are free of it: whoever takes transfers in asks.
    """
    if transfer.occurred_us < EARLIEST_US:
        return TimeFault("occurred_us", too_early(transfer.occurred_us, EARLIEST_US))
    payer_us, payee_us = transfer.payer_opened_us, transfer.payee_opened_us
    if payer_us is not None and payer_us < EARLIEST_OPENED_US:
        return TimeFault("payer_opened_us", too_early(payer_us, EARLIEST_OPENED_US))
    if payee_us is not None and payee_us < EARLIEST_OPENED_US:
        return TimeFault("payee_opened_us", too_early(payee_us, EARLIEST_OPENED_US))
    return None


def too_early(given: int, earliest_us: int) -> str:
    """Return why a time is refused, with the unit it was probably given in.

    >>> too_early(1_773_707_500, EARLIEST_US)
    '1773707500 lies before 2000-01-01 and looks like seconds; microseconds since 1970-01-01 UTC are wanted'
    """
    unit = " and looks like seconds" if given <= LATEST_US // 1_000_000 else ""
    unit = unit or (" and looks like milliseconds" if given <= LATEST_US // 1_000 else "")
    return f"{given} lies before {iso_from_us(earliest_us)[:10]}{unit}; microseconds since 1970-01-01 UTC are wanted"


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
