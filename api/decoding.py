"""Bodies decoded by msgspec, and its complaints as problems that point at the field."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import msgspec

from api.errors import BadRequest, FieldProblem, Unprocessable
from models.wire import SCHEMA, TransferRecord

T = TypeVar("T")

_WHERE: Final = re.compile(r"^(?P<reason>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_FIELD: Final = re.compile(r"(?:missing required field|unknown field|misspelled field) `(?P<field>[^`]*)`(?:: )?")
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


class PostedTransfer(
    TransferRecord,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    tag_field="schema",
    tag=SCHEMA,
):
    """A transfer as a bank posts it; a field we do not know is a typing error, not news."""


class PostedBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several transfers; each is judged by itself."""

    transfers: list[msgspec.Raw]


decode_posted: Final = msgspec.json.Decoder(PostedTransfer)
decode_batch: Final = msgspec.json.Decoder(PostedBatch)


def decode(decoder: msgspec.json.Decoder[T], body: Any) -> T:
    """Decode a body; raise `BadRequest` if it is not JSON in UTF-8, `Unprocessable` if it says something wrong."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        problem = field_problem(str(error))
        raise Unprocessable("invalid_field", str(problem), (problem,)) from error
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise unreadable(error) from error


def unreadable(cause: Exception) -> BadRequest:
    r"""Return what kept a body from being read as a problem that names the place.

    >>> unreadable(UnicodeDecodeError("utf-8", b"{\xff", 1, 2, "invalid start byte")).detail
    'the body is not UTF-8: invalid start byte at byte 1'
    """
    match cause:
        case UnicodeDecodeError():
            return BadRequest("invalid_utf8", f"the body is not UTF-8: {cause.reason} at byte {cause.start}")
        case RecursionError():
            return BadRequest("invalid_json", "the body is nested deeper than any of ours")
        case _:
            return BadRequest("invalid_json", f"the body is not JSON: {cause}")


def field_problem(message: str) -> FieldProblem:
    """Return a complaint of msgspec as pointer and reason.

    >>> field_problem("Expected `int`, got `str` - at `$.transfers[3].amount_fen`")
    FieldProblem(pointer='/transfers/3/amount_fen', reason='Expected `int`, got `str`')
    >>> field_problem("Object missing required field `payer_bank`").pointer
    '/payer_bank'
    >>> field_problem("misspelled field `payer_bank`: may hold only digits - at `$.transfers[3]`")
    FieldProblem(pointer='/transfers/3/payer_bank', reason='may hold only digits')
    """
    match = _WHERE.match(message)
    reason, path = (match["reason"], match["path"] or "") if match else (message, "")
    steps = [name or place for name, place in _STEP.findall(path)]
    named = _FIELD.search(reason)
    if named:
        steps.append(named["field"])
        reason = reason[named.end() :] or reason
    pointer = "".join(f"/{step.replace('~', '~0').replace('/', '~1')}" for step in steps)
    return FieldProblem(pointer, reason)
