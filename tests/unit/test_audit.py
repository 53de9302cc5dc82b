"""The audit chain: test vectors of its byte layout, and every kind of tampering it must show."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.control.audit import GENESIS, SM3, AuditEntry, digest_of, layout, next_entry, verify_chain


def chain(length: int = 4) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    for number in range(length):
        last = entries[-1] if entries else None
        entries.append(
            next_entry(
                last.seq if last else 0,
                last.digest if last else GENESIS,
                at_us=1_000 + number,
                actor="ann",
                action="order.approve",
                subject=f"FR-{number}",
                detail='{"reason":"冻结"}',
            )
        )
    return entries


def test_vector_of_the_layout() -> None:
    (entry,) = chain(1)
    expected = (
        b"SLUICE-AUDIT"
        + bytes.fromhex("0001" + "0000000000000001" + "00" * 32 + "00000000000003e8")
        + bytes.fromhex("00000003")
        + b"ann"
        + bytes.fromhex("0000000d")
        + b"order.approve"
        + bytes.fromhex("00000004")
        + b"FR-0"
        + bytes.fromhex("00000013")
        + '{"reason":"冻结"}'.encode()
    )
    assert layout(entry) == expected
    assert entry.digest == hashlib.sha256(expected).digest()
    assert entry.digest.hex() == "a9587bdccaf8548faa8360748cb1f39f4c83cd26c26e69616a6bc8e1536ea54d"


def test_sm3_vector_of_the_standard_and_of_an_entry() -> None:
    if "sm3" not in hashlib.algorithms_available:
        pytest.skip("this OpenSSL has no SM3")
    # GM/T 0004-2012, example 1.
    expected = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    assert hashlib.new("sm3", b"abc").hexdigest() == expected
    entry = next_entry(0, GENESIS, at_us=1, actor="a", action="b", subject="c", detail="d", algorithm=SM3)
    assert entry.digest != chain(1)[0].digest
    assert verify_chain([entry]).breach == ""


def test_intact_chain() -> None:
    report = verify_chain(chain())
    assert (report.breach, report.entries, report.last_seq, report.last_digest) == ("", 4, 4, chain()[-1].digest)


def test_check_can_begin_in_the_middle() -> None:
    entries = chain()
    assert verify_chain(entries[2:], seq=2, previous=entries[1].digest).breach == ""
    assert verify_chain(entries[2:], seq=2, previous=GENESIS).breach


@pytest.mark.parametrize("field", ["actor", "action", "subject", "detail"])
def test_changed_text(field: str) -> None:
    entries = chain()
    entries[1] = msgspec.structs.replace(entries[1], **{field: "x"})
    assert "entry 2 was changed" in verify_chain(entries).breach


def test_changed_time() -> None:
    entries = chain()
    entries[1] = msgspec.structs.replace(entries[1], at_us=7)
    assert "entry 2 was changed" in verify_chain(entries).breach


def test_changed_and_resealed_breaks_the_next_link() -> None:
    entries = chain()
    forged = msgspec.structs.replace(entries[1], actor="eve")
    entries[1] = msgspec.structs.replace(forged, digest=digest_of(forged))
    assert "entry 3 does not follow" in verify_chain(entries).breach


def test_removed_entry_and_swapped_entries() -> None:
    entries = chain()
    assert "entry 2 is missing" in verify_chain([entries[0], *entries[2:]]).breach
    assert verify_chain([entries[0], entries[2], entries[1], entries[3]]).breach


def test_unknown_layout_and_algorithm() -> None:
    (entry,) = chain(1)
    for strange in ({"version": 2}, {"algorithm": "md5"}):
        assert "unknown" in verify_chain([msgspec.structs.replace(entry, **strange)]).breach
    with pytest.raises(ValueError, match="layout"):
        layout(msgspec.structs.replace(entry, version=2))
    with pytest.raises(ValueError, match="algorithm"):
        digest_of(msgspec.structs.replace(entry, algorithm="md5"))


@given(st.lists(st.text(max_size=8), min_size=4, max_size=4), st.integers(0, 3), st.integers(1, 8))
def test_text_cannot_move_between_fields_unseen(fields: list[str], place: int, shift: int) -> None:
    joined = "".join(fields)
    cut = [*fields]
    if place < 3:
        both = cut[place] + cut[place + 1]
        cut[place], cut[place + 1] = both[:shift], both[shift:]
    one, other = (
        AuditEntry(seq=1, previous=GENESIS, at_us=1, actor=w, action=x, subject=y, detail=z, digest=b"")
        for w, x, y, z in (fields, cut)
    )
    assert "".join(cut) == joined
    assert (layout(one) == layout(other)) == (fields == cut)
