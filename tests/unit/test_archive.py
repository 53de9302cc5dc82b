"""An archive keeps a part once, gives every payload back to the byte, and refuses what it cannot."""

from __future__ import annotations

import numpy as np
import pytest

from models.risk.archive import ArchiveError, cut, joined, wanted
from models.risk.learning.learner import Learner
from models.risk.snapshot import MAX_PAYLOAD_BYTES
from tests.learnkit import SMALL, made_up


@pytest.fixture(scope="module")
def payloads() -> list[bytes]:
    learner = Learner(seed=1, settings=SMALL)
    found = [learner.snapshots()[0].payload]
    for round_number in range(6):
        rows, fraud = made_up(1_500, seed=round_number)
        learner.observe(rows, at_us=round_number)
        learner.learn(rows, fraud, np.ones(len(rows)))
        if round_number == 1:
            learner.refit(round_number)
        found.append(learner.snapshots()[0].payload)
    return found


def test_every_payload_comes_back_to_the_byte(payloads: list[bytes]) -> None:
    assert len(set(payloads)) == len(payloads)
    for payload in payloads:
        made = cut(payload)
        assert joined(made.frame, made.parts) == payload
        assert set(wanted(made.frame)) == set(made.parts)


def test_what_did_not_change_is_one_part(payloads: list[bytes]) -> None:
    kept: dict[str, bytes] = {}
    for payload in payloads[2:]:
        kept |= cut(payload).parts
    assert sum(map(len, kept.values())) < 0.6 * sum(map(len, payloads[2:]))


def test_a_missing_part_and_foreign_bytes_are_refused(payloads: list[bytes]) -> None:
    made = cut(payloads[-1])
    with pytest.raises(ArchiveError):
        joined(made.frame, {})
    for strange in (b"", b"\x93\x01\x02\x03", b"{}", b"\x81\x01\x02", payloads[-1] + b"x", payloads[-1][:-1]):
        with pytest.raises(ArchiveError):
            cut(strange)
    assert len(payloads[-1]) < MAX_PAYLOAD_BYTES
