"""No log line shows an account number, wherever in the line it hides."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from telemetry.logging import ACCOUNT_FIELDS, CLEAR_FIELDS, MAX_DEPTH, configure_logging, mask, mask_value
from telemetry.tracing import Trace, logged

ACCOUNT = "6222021234567890"
MASKED = "622202******7890"


@pytest.fixture(autouse=True)
def fresh_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def logged_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_names_program_level_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("worker")
    structlog.get_logger().warning("batch refused", size=3)
    (line,) = logged_lines(capsys)
    assert line["program"] == "worker"
    assert line["level"] == "warning"
    assert line["event"] == "batch refused"
    assert line["size"] == 3
    assert line["timestamp"].endswith("Z")


def test_levels_below_the_configured_one_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("worker", level="WARNING")
    structlog.get_logger().info("chatter")
    logging.getLogger("aiokafka").info("chatter")
    assert logged_lines(capsys) == []


@pytest.mark.parametrize("field", sorted(ACCOUNT_FIELDS))
def test_account_fields_are_masked_whole(field: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("api")
    structlog.get_logger().info("seen", **{field: "A11835"})
    (line,) = logged_lines(capsys)
    assert line[field] == "A1****"


@pytest.mark.parametrize(
    "value",
    [
        f"paid to icbc/{ACCOUNT} at once",
        int(ACCOUNT),
        [ACCOUNT, {"deep": (ACCOUNT,)}],
        {ACCOUNT: 1},
        b"6222021234567890",
        ValueError(f"no account {ACCOUNT}"),
    ],
    ids=["text", "number", "containers", "key", "bytes", "object"],
)
def test_an_account_hides_nowhere(value: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("api")
    structlog.get_logger().info("seen", detail=value)
    text = capsys.readouterr().err
    assert ACCOUNT not in text
    assert MASKED in text


def test_an_account_in_a_traceback_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("api")
    try:
        raise ValueError(f"no account {ACCOUNT}")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = logged_lines(capsys)
    assert ACCOUNT not in line["exception"]
    assert f"ValueError: no account {MASKED}" in line["exception"]


def test_libraries_that_use_the_standard_logger_are_masked_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("worker")
    logging.getLogger("aiokafka").error("bad key %s", ACCOUNT)
    (line,) = logged_lines(capsys)
    assert line["event"] == f"bad key {MASKED}"
    assert line["level"] == "error"


@pytest.mark.parametrize("field", sorted(CLEAR_FIELDS - {"timestamp"}))
def test_identifiers_stay_searchable(field: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("api")
    structlog.get_logger().info("seen", **{field: "20261103000123456789"})
    (line,) = logged_lines(capsys)
    assert line[field] == "20261103000123456789"


def test_lines_inside_a_trace_carry_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("api")
    log = structlog.get_logger()
    with logged(Trace("1234567890" * 3 + "ab", "12345678901234ab")):
        log.info("inside")
    with logged(None):
        log.info("outside")
    inside, outside = logged_lines(capsys)
    assert inside["trace_id"] == "1234567890" * 3 + "ab"
    assert "trace_id" not in outside


def test_containers_deeper_than_the_limit_are_still_masked() -> None:
    value: Any = ACCOUNT
    for _ in range(MAX_DEPTH + 3):
        value = [value]
    shown = json.dumps(mask_value("detail", value))
    assert ACCOUNT not in shown
    assert MASKED in shown


@given(st.from_regex(r"[0-9]{11,30}", fullmatch=True))
def test_a_mask_keeps_length_and_shows_ten_digits(number: str) -> None:
    shown = mask(number)
    assert len(shown) == len(number)
    assert shown.replace("*", "") == number[:6] + number[-4:]


@given(st.text(max_size=10))
def test_a_short_number_shows_at_most_two_characters(number: str) -> None:
    _, _, tail = number.rpartition("/")
    _, _, shown = mask(number).rpartition("/")
    assert shown == tail[:2] + "*" * max(len(tail) - 2, 1)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(plain)
def test_masking_never_fails_and_stays_json(value: Any) -> None:
    json.dumps(mask_value("detail", value))
