"""Commands to a bank and its feedback: the contract of the bank gateway.

The fields carry the names of the national platform's messages (read from
public bank front-ends, not from the official specification: ``docs/sources.md#platform-messages``).
A bank serves, as JSON:

* ``POST /banks/{BankID}/commands`` - body `BankCommand`, answer `BankFeedback`
* ``GET  /banks/{BankID}/commands/{ApplicationID}`` - the feedback given, or 404
* ``GET  /banks/{BankID}/accounts/{AccountNumber}/controls`` - list of `AppliedControl`

Posting a command again with the same ``ApplicationID`` must return the first
feedback and do nothing else. Times are UTC microseconds on this wire.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from models.money.types import MAX_WHOLE, Count, TimeUs

BookedFen = Annotated[int, msgspec.Meta(ge=-MAX_WHOLE, le=MAX_WHOLE)]


class CommandKind(StrEnum):
    """What a command asks of a bank; the value is the platform's code where one exists.

    The protective measures rest on Art. 18 (the bank's own power, ``docs/sources.md#anti-fraud-law``), for which
    the platform has no code; theirs are ours and begin with ``P``.
    """

    PROTECTIVE_STOP = "P00101"
    PROTECTIVE_RELEASE = "P00103"
    STOP = "100101"
    STOP_LIFT = "100103"
    STOP_EXTENSION = "100105"
    FREEZE = "100201"
    UNFREEZE = "100203"
    FREEZE_EXTENSION = "100205"


class ControlKind(StrEnum):
    """The control a bank really applied; never assumed, always from its feedback."""

    DEBIT_BLOCK = "debit_block"
    FULL_BLOCK = "full_block"
    AMOUNT_HOLD = "amount_hold"


class ResultCode(StrEnum):
    """Business result codes of the platform that Sluice acts on (``docs/sources.md#platform-results``).

    Codes outside this list stay visible as they came and never mean success.
    """

    OK = "0000"
    ACCOUNT_UNKNOWN = "0300"
    NAME_MISMATCH = "0301"
    WHITE_LISTED = "0302"
    ORIGINAL_UNKNOWN = "0400"
    FIELD_MISSING = "0500"
    DOCUMENT_MISSING = "0600"
    BANK_FAULT = "1100"
    DEFICIENT = "1200"
    STOP_FAILED = "1300"
    ALREADY_STOPPED = "1301"
    ALREADY_LIMITED_FROZEN = "1302"
    ALREADY_FULLY_FROZEN = "1303"
    TOO_MANY_STOPS = "1304"
    EXTENSION_EXPIRED = "1800"
    LIFT_EXPIRED = "1900"


class VictimTransfer(msgspec.Struct, frozen=True, rename="pascal", kw_only=True):
    """The transfer that made the order necessary; the bank matches it before acting."""

    transfer_id: str
    payer_bank: str
    payer_account: str
    amount_fen: int
    occurred_us: int


class BankCommand(msgspec.Struct, frozen=True, rename="pascal", kw_only=True, omit_defaults=True):
    """One command to the bank that holds ``account_number``.

    ``amount_fen`` limits the control to a sum (0 asks for the whole account).
    ``start_us``/``expire_us`` are the wanted period; the bank's own stop point
    in the feedback is the one that counts.
    """

    application_id: str = msgspec.field(name="ApplicationID")
    kind: CommandKind = msgspec.field(name="TxCode")
    bank_id: str = msgspec.field(name="BankID")
    account_number: str
    application_time_us: int
    expire_us: int
    reason: str
    currency: str = "CNY"
    amount_fen: int = 0
    application_type: str = "00"
    original_application_id: str = msgspec.field(name="OriginalApplicationID", default="")
    case_number: str = ""
    transfer_out: VictimTransfer | None = None
    operator: str = ""
    investigator: str = ""
    legal_document: str = ""
    feedback_deadline_us: int = 0


class BankFeedback(msgspec.Struct, frozen=True, rename="pascal", kw_only=True, omit_defaults=True):
    """A bank's answer to one command; one whose numbers no account can have is none.

    ``start_us`` is the stop point: without it nothing is effective, whatever
    ``result`` says. ``executed_fen`` is what the control really covers.
    """

    application_id: str = msgspec.field(name="ApplicationID")
    result: str
    feedback_time_us: TimeUs
    account_number: str
    control: ControlKind | None = None
    start_us: TimeUs = 0
    expire_us: TimeUs = 0
    account_balance_fen: BookedFen | None = None
    available_balance_fen: BookedFen | None = None
    executed_fen: Count | None = None
    prior_freeze_fen: Count | None = None
    failure_cause: str = ""
    feedback_remark: str = ""


class AppliedControl(msgspec.Struct, frozen=True, rename="pascal", kw_only=True, omit_defaults=True):
    """One control in force on an account, as the bank reports it."""

    application_id: str = msgspec.field(name="ApplicationID")
    kind: CommandKind = msgspec.field(name="TxCode")
    control: ControlKind
    start_us: TimeUs
    expire_us: TimeUs
    executed_fen: Count = 0
