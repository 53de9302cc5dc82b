"""Bodies and paths at the HTTP edge, as pydantic schemas. Texts hold no control characters."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from models.money.types import (
    ACCOUNT_PATTERN,
    BANK_PATTERN,
    EARLIEST_US,
    IDENTIFIER_PATTERN,
    LATEST_US,
    SPELLINGS,
    too_early,
)
from models.risk.assessment import ListLevel
from models.wire import VerdictLabel

MAX_REPORTED: int = 100
"""Transfers in one victim's report."""

PLAIN = r"^[^\x00-\x1f\x7f]*$"
SCOPE = r"^(all|(bank|rule):[!-~]+)$"

_WORDS: Final = {PLAIN: "text on one line", SCOPE: "all, bank:... or rule:...", **SPELLINGS}


def may_hold(pattern: str) -> str | None:
    """Return what a pattern lets pass, in words; ``None`` for one that there are no words for."""
    words = _WORDS.get(pattern)
    return words and f"may hold only {words}"


Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500, pattern=PLAIN)]
Reasoned = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=PLAIN)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=IDENTIFIER_PATTERN)]


def _in_microseconds(us: int) -> int:
    if us < EARLIEST_US:
        raise ValueError(too_early(us, EARLIEST_US))
    return us


TimeUs = Annotated[int, Field(gt=0, le=LATEST_US), AfterValidator(_in_microseconds)]

TransferPath = Annotated[str, Path(min_length=1, max_length=64, pattern=IDENTIFIER_PATTERN)]
OrderPath = Annotated[str, Path(pattern=r"^[A-Z]{2}-[0-9a-f]{16}$", examples=["PS-15447a8f541a252e"])]
BankPath = Annotated[str, Path(max_length=12, pattern=BANK_PATTERN, examples=["jiangnan"])]
AccountPath = Annotated[str, Path(max_length=36, pattern=ACCOUNT_PATTERN, examples=["6222021234567890"])]


class Body(BaseModel):
    """A request body; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _like(**example: Any) -> ConfigDict:
    """Return the configuration of a body with its example in OpenAPI."""
    return ConfigDict(json_schema_extra={"examples": [example]})


DOCUMENT: Final = {"number": "沪公(刑)止字〔2026〕17号", "kind": "协助冻结财产通知书", "sha256": "5e" * 32}


class DocumentBody(Body):
    """The paper an order rests on."""

    model_config = _like(**DOCUMENT)

    number: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64, pattern=PLAIN)]
    kind: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=32, pattern=PLAIN)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class SubmitBody(Body):
    """First signature: the maker vouches for the order."""

    model_config = _like(document=DOCUMENT, reason="被害人已确认系被骗")

    document: DocumentBody | None = None
    reason: Text = ""


class ApproveBody(Body):
    """Second signature. A freeze names the level of the approving organ."""

    model_config = _like(document=DOCUMENT, level="county", reason="同意")

    document: DocumentBody | None = None
    level: Literal["", "county", "city"] = ""
    reason: Text = ""


class ReasonBody(Body):
    """Why."""

    model_config = _like(reason="已核实客户身份，系本人操作")

    reason: Reasoned


class DraftBody(Body):
    """A draft made by a person, from a transfer that was assessed."""

    model_config = _like(kind="freeze", transfer_id="t-20260317-000042", reason="被害人报案", months=6)

    kind: Literal["stop", "freeze"]
    transfer_id: Id
    reason: Reasoned
    amount_fen: Annotated[int, Field(ge=0, le=10**13)] = 0
    whole_account: bool = False
    tier: Annotated[int, Field(ge=0, le=10)] = 1
    months: Annotated[int, Field(ge=1, le=12)] = 6
    round: Annotated[int, Field(ge=1, le=9)] = 1
    case_number: Annotated[str, StringConstraints(max_length=36, pattern=PLAIN)] = ""


class ReportBody(Body):
    """A victim's report."""

    model_config = _like(transfer_ids=["t-20260317-000042"], note="冒充客服诈骗")

    transfer_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_REPORTED)]
    reported_us: TimeUs | None = None
    note: Text = ""


class VerdictBody(Body):
    """What somebody found a transfer to be."""

    model_config = _like(transfer_id="t-20260317-000042", label="fraud", source="analyst", note="冒充客服诈骗")

    transfer_id: Id
    label: VerdictLabel
    source: Literal["analyst", "sample", "bank"] = "analyst"
    note: Text = ""


class ListBody(Body):
    """The level an account should get."""

    model_config = _like(level="black", reason="涉案账户名单")

    level: ListLevel
    reason: Reasoned


class TripBody(Body):
    """In which scope a person suspends automatic stops: everywhere, at one bank, or those of one rule."""

    model_config = _like(scope="all", reason="误止付增多，先停后查")

    scope: Annotated[str, StringConstraints(max_length=64, pattern=SCOPE)] = "all"
    reason: Reasoned


class RearmBody(Body):
    """Which scope of the brake to re-arm."""

    model_config = _like(scope="bank:jiangnan", reason="规则已更正")

    scope: Annotated[str, StringConstraints(max_length=64, pattern=PLAIN)] = "all"
    reason: Reasoned
