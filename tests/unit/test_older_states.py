"""A state that a worker wrote in columns is read into rows, and says the same of the account."""

from __future__ import annotations

import base64
from typing import Final

import msgspec
import pytest

from models.money.types import Transfer
from models.risk.assessment import AccountLists
from models.risk.facts import payee_facts, payer_facts
from stream.tables import decode_state

STATE: Final = base64.b64decode(
    """
    k9wAFM8ABkTGJFVUOs8ABkSc7isAGs8ABjvmbQT5W5XNA9zOASe8adwAG85pKOYAzmkqN4DOaSphsM5pKovgzmkqthDOaSrgQM5pKwpwzmkrNKDO
    aSte0M5pK4kAzmkrlLjOaSuV5M5pK5cQzmkrmDzOaSuZaM5pK5qUzmkrm8DOaSueGM5pK59EzmkroOjOaSuiZM5pK6J4zmkrotzOaSui8M5pK6ME
    zmkroyLOaSujzNwAGwDNAcrNAgvNAmzNArnNAynNA4DNA5fNA53NA67NA7zNA77NA8DNA8LNA8TNA8jNA8vNA83NA9HNA9PNA9TNA9XNA9bNA9jN
    A9nNA9rNA9vcABsAzgBH//XOAE66ZM4AVgd4zgBiE6DOAJd0aM4BIAGrzgEhiPTOASIYgM4BJW6lzgEmRn3OASZ/lM4BJpxozgEmo5/OASaxss4B
    JuK3zgEm8+nOAScTSc4BJy4MzgEncvvOASd/3M4BJ4kCzgEnk0vOASeiZ84BJ7ChzgEnsg/OASe4R5USzgCUrRrcABLOaSj48s5pKRXuzmkpHJLO
    aSke6s5pKWJ0zmkpaLTOaSmJ/M5pKaMQzmkqO3LOaSpCwM5pKlaszmkqWzTOaSqQhs5pKpsSzmkqoWbOaSrGtM5pKsl6zmkq4bLcABIAAQIDBAUG
    BwgJCgsMDQ4PEBHcABIAzTI/zV1GzWkOzXF/zYF1za4czdpezgArJw7OACtOVM4AS+V7zgBShMvOAFKpvs4AUvX2zgBTC37OAFMlRM4AUylGzgBq
    DKaYzQMo3AAYzps8O/rOaBPEDM4OWDhEznhyWLbOq+TPIM525GazzqAttr/OFNaOxc6c6jBHzkC3UtzOsu0gl845Wn/XzlCjMnHOmZwlhs5IraAo
    zqZvvfvOCY5NJM5C6DQazut5TwnOWMUQW87brLDvzqo86n/ONBhY5M6y92EB3AAYAc5pK5lpzmkrmYXOaSuZic5pK5nSzmkrmtzOaSua785pK5cE
    zmkrm+jOaSucuc5pK55LAc5pK58wzmkrn6nOaSugBc5pK6EPzmkrombOaSuifM5pK6LfAQEBzmkroysB3AAYzmkrmOnOaSuZac5pK5mFzmkrmYnO
    aSuZ0s5pK5rczmkrmu/OaSubq85pK5vozmkrnLnOaSueS85pK58SzmkrnzDOaSufqc5pK6AFzmkroQ/OaSuiZs5pK6J8zmkrot/OaSui385pK6Lz
    zmkrowXOaSujK85pK6PQxECBDZBKFrwtJIGQDBMLoZgxAKYGAgAIKCCQIRLAYoh6gi6kqCAJ7oAEExLAKwCHqy2whEgEZggTwROELT1BEEQLxEAy
    RghqihRCWQEoYJypEHDjwY9oBWDMLAAAjiCh1EBBqyRERQJAXECOIKUIAISPgBAA2MEzSHQa/BKAoisFn6mWzU/GxDiQCgIIqhQhQv//////////
    //////////8AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAJgQ3AAQzhmsbnXODyB69c54cli2zhhAl/vOyEafXM6YnLH2ztOzQ+TOWM0F
    4s7pvdtwzliU2qLOeoJt3s5TmgrXzltXxtvOUSwuRM70uAaMzpMiifncABDOaSj49M5pKRXzzmkpHJfOaSke8s5pKWJ2zmkpaLTOaSmKAs5pKjt1
    zmkqVrDOaSpbOM5pKpCNzmkqmxjOaSqhac5pKsa0zmkqyX7OaSmjEdwAEM5pKPj0zmkpFfPOaSkcl85pKR7yzmkpYnbOaSlotM5pKYoCzmkqO3XO
    aSpWsM5pKls4zmkqkI3OaSqbGM5pKqFpzmkqxrTOaSrJfs5pKuG5xADEAADEAJOczmkrnzDOaSufqc5pK6AFzmkroQ/OaSuiZs5pK6J8zmkrot/O
    aSui385pK6LzzmkrowXOaSujK85pK6PQnM5QozJxzpmcJYbOSK2gKM6mb737zgmOTSTOQug0Gs7reU8JzljFEFvO26yw786qPOp/zjQYWOTOsvdh
    AZzNAZzNCSTNO8vNDOHNCSbNCknNDFLNAsrNDjrNAW7NBjjNBCKTnM5pKYoCzmkpoxHOaSo7dc5pKkLGzmkqVrDOaSpbOM5pKpCNzmkqmxjOaSqh
    ac5pKsa0zmkqyX7OaSrhuZzO07ND5M6TIon5zljNBeLOkyKJ+c7pvdtwzliU2qLOeoJt3s5TmgrXzltXxtvOUSwuRM70uAaMzpMiifmczSxCzgAq
    TLDNJ0bOACCXJ84ABp9QzSTzzUw4zRWIzRnGzQQCzgAW42DOACqgdJPLQB6rXuCDHePLP+om/kKzEJ7OAIJ2cJPLQCSchU3DglfLQBrS8pAzW43O
    ACqgdMSQcj+mocpUPul4JSjT3f7Mux7xrye6YbC+YJZrUiX2yRWx5BXICP5rDSaCkhqOSAMwLSUXuLcGF5f/doTb+DxyAlEw0zy9+H0OyrS4q4/+
    bhcU7N2SfA0W0kLy7a6e8GBY1s8ANREhSNgg6F+bLGPIjQaZueW+QdxOBOjxuklJNrB9mlbhELBEiS9mSZ3vMrnmy0FbhUg4yOqLy0EGmhB9arE6
    zmkro9DLP9pqFTQTN3jOAJyQUADOaSrhuQHOAAFDn4QAzgABhewBzgABhnwCzgABhYIDzgABhZs=
    """
)
"""State of a simulated account after some hundred transfers, as the release before packed rows wrote it."""

PAYER_FACTS: Final = (
    50000, 35724, 0, 0, 0, 0, 0, 0, 0, 8, 15501, 28, 73729, 465, 14221829, 988, 19381353, 0, 0, 0, 0, 0, 0, 6,
    4326236, 18, 9743642, 24, 311, 311, 18, 808, 0, 8, 16, 7, 16, 60, 49747, 9757006, 1, 177062,
    0.41272478185134487, 0.025664623494031088, 1058, 2.29497527605329e-06, 6, 301, 0.18104473223231082, 2793588,
    10210560, 165146, -1, 0, 0, 0, 0, 0,
)  # fmt: skip
PAYEE_FACTS: Final = (
    0, 0, 8, 15501, 28, 73729, 465, 14221829, 988, 19381353, 0, 0, 0, 0, 0, 0, 6, 4326236, 18, 9743642, 24, 311,
    311, 18, 808, 0, 8, 16, 7, 16, 60, 49747, 9757006, 1, 177062, 0.41272478185134487, 0.025664623494031088,
    2.7316965537696025, 8550000, 10260560, 0, 0, 0, 0, 0,
)  # fmt: skip
"""What that release said of it a minute after its latest transfer."""


def test_a_state_in_columns_says_the_same_in_rows() -> None:
    state = decode_state(STATE)
    profile = state.profile
    transfer = Transfer(
        transfer_id="t",
        payer_bank="a",
        payer_account="1",
        payee_bank="b",
        payee_account="2",
        amount_fen=50_000,
        occurred_us=profile.latest_us + 60_000_000,
    )
    assert payer_facts(profile, transfer, profile.payees.rows()[3][0]) == PAYER_FACTS
    assert payee_facts(profile, transfer, AccountLists()) == PAYEE_FACTS
    assert (state.debit_offset, state.credit_offsets) == (82847, {0: 99820, 1: 99964, 2: 99714, 3: 99739})


def test_it_is_written_in_rows_from_then_on() -> None:
    state = decode_state(STATE)
    assert decode_state(state.encode()) == state


def test_a_state_of_neither_form_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_state(msgspec.msgpack.encode([1, 2, 3]))


@pytest.mark.parametrize("column", [[2**40] * 12, [1] * 11], ids=["number", "length"])
def test_columns_that_no_account_has_are_refused(column: list[int]) -> None:
    state = msgspec.msgpack.decode(STATE, strict=False)
    state[0][7][0] = column
    with pytest.raises(ValueError, match=r"too large|longer"):
        decode_state(msgspec.msgpack.encode(state))
