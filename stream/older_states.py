"""Reads the states that workers wrote before an account's memory was packed into rows (ADR 0014).

Such a state has columns of numbers where `models.risk.rows` has bytes. A worker reads both and writes its own form
only, so the old one leaves the changelog with each account's next transfer.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from models.risk.peers import CONTACT, Peers
from models.risk.profile import AccountProfile, Habit
from models.risk.recent import EVENT, Recent
from models.risk.rows import pack_rows
from models.risk.windows import COUNT_MASK, ENTRY, Flow

Numbers = tuple[int, ...]


class _Flow(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    count: int
    fen: int
    starts: Numbers
    counts: Numbers
    fens: Numbers

    def packed(self) -> Flow:
        counts = [count & COUNT_MASK for count in self.counts]
        return Flow(self.count, self.fen, pack_rows(ENTRY, zip(self.starts, counts, self.fens, strict=True)))


class _Peers(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    ever: int
    hashes: Numbers
    first_s: Numbers
    last_s: Numbers
    bloom: bytes
    bloom_before: bytes
    day: int
    days: bytes

    def packed(self) -> Peers:
        contacts = pack_rows(CONTACT, zip(self.hashes, self.first_s, self.last_s, strict=True))
        return Peers(self.ever, contacts, self.bloom, self.bloom_before, self.day, self.days)


class _Recent(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    at_s: Numbers
    peers: Numbers
    fens: Numbers

    def packed(self) -> Recent:
        return Recent(pack_rows(EVENT, zip(self.at_s, self.peers, self.fens, strict=True)))


class _Profile(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    latest_us: int
    first_us: int
    opened_us: int
    inflow: _Flow
    outflow: _Flow
    payers: _Peers
    payees: _Peers
    credits: _Recent
    debits: _Recent
    received: Habit
    paid: Habit
    debit_ids: bytes
    fresh_fen: float
    taint_fen: float
    taint_s: int
    quick: float
    balance_fen: int | None
    device: int
    ids_s: int
    ids_since: int

    def packed(self) -> AccountProfile:
        return AccountProfile(
            self.latest_us,
            self.first_us,
            self.opened_us,
            self.inflow.packed(),
            self.outflow.packed(),
            self.payers.packed(),
            self.payees.packed(),
            self.credits.packed(),
            self.debits.packed(),
            self.received,
            self.paid,
            self.debit_ids,
            self.fresh_fen,
            self.taint_fen,
            self.taint_s,
            self.quick,
            self.balance_fen,
            self.device,
            self.ids_s,
            self.ids_since,
        )


class OlderState(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """An account's state in columns: profile, offset of the last debit, offsets of the last credits by partition."""

    older: _Profile
    debit_offset: int
    credit_offsets: dict[int, int]

    @property
    def profile(self) -> AccountProfile:
        """The profile in today's form; raises `ValueError` for columns of unequal length or too large numbers."""
        try:
            return self.older.packed()
        except struct.error as error:
            raise ValueError(f"a number is too large for a row: {error}") from error


decode_older_state: Final = msgspec.msgpack.Decoder(OlderState).decode
"""Return the state of a changelog value in columns; raise `msgspec.DecodeError` for other bytes."""
