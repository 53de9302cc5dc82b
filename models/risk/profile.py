"""What is remembered of one account: frozen, bounded, event time only.

The clock of a profile is the latest event time it has seen and never goes
back. An event at most `LATE_TOLERANCE_S` behind the clock is placed where it
belongs. One that is later still is *late*: it counts in the totals that have no
window (`Flow.count`, known counterparties, re-posted ids), and changes nothing
else, so that a backlog posted a day late cannot look like a burst.
"""

from __future__ import annotations

from hashlib import blake2b
from math import exp2, log1p
from typing import Final
from zlib import crc32

import msgspec

from models.money.types import Transfer
from models.risk.peers import NO_PEERS, Peers, is_kept, meet, peer_hash
from models.risk.recent import Recent, remember
from models.risk.windows import EMPTY_FLOW, HOUR_S, SUM_LIMIT_FEN, Flow, add, count_late

LATE_TOLERANCE_S: Final = 3_600
"""How far behind the clock an event may be and still count in the windows (ours)."""

IDS_KEPT: Final = 64
"""Ids of an account's latest debits that are always remembered."""

BATCH_IDS_KEPT: Final = 1_024
"""As many are remembered of the debits of the last hour: a batch holds up to 1,000 transfers, and may be all one
payroll's, posted again after the broker was away."""

ID_BYTES: Final = 8

TAINT_HALF_LIFE_S: Final = 12 * 3_600
"""Half-life of the suspicion that clings to received money (ours; 82 % of real hops come within a day)."""

HABIT_RATE: Final = 0.05
"""Weight of the newest amount in an account's habit once it has 20 of them (ours)."""

QUICK_S: Final = 600
QUICK_LEAST: Final = 0.15
QUICK_MOST: Final = 6.0
"""A debit passes a credit on if it comes this soon after it (real hops: median 384 s) and its amount is between
these multiples of it (a part, or a pool), which a shop's evening sweep is not (ours)."""

QUICK_RATE: Final = 0.2
"""Weight of the newest debit in the habit of passing on (ours)."""

MAX_PROFILE_BYTES: Final = 11_264
"""No encoded profile is larger, whatever the account does; one that pays less than `IDS_KEPT` times an hour takes
at most a third of it."""


class Habit(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Moving mean and variance of ``log1p(amount in fen)``, and the largest amount."""

    mean: float = 0.0
    variance: float = 0.0
    max_fen: int = 0


class AccountProfile(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One account as its transfers have shown it; see the module for order and lateness.

    ``opened_us`` is 0 until a bank tells it, ``balance_fen`` None until then (and
    carried on by the amounts seen since). ``fresh_fen`` is the money received, and
    ``taint_fen`` the suspected part of it, both halved every `TAINT_HALF_LIFE_S`
    since ``taint_s``.
    ``quick`` is the moving share of debits that passed on a credit within `QUICK_S`.
    ``ids_s`` is the second since which the latest ``ids_since`` debits came; an hour
    later all but these, or `IDS_KEPT`, are forgotten, and the hour begins anew.
    """

    latest_us: int = 0
    first_us: int = 0
    opened_us: int = 0
    inflow: Flow = EMPTY_FLOW
    outflow: Flow = EMPTY_FLOW
    payers: Peers = NO_PEERS
    payees: Peers = NO_PEERS
    credits: Recent = Recent()
    debits: Recent = Recent()
    received: Habit = Habit()
    paid: Habit = Habit()
    debit_ids: bytes = b""
    fresh_fen: float = 0.0
    taint_fen: float = 0.0
    taint_s: int = 0
    quick: float = 0.0
    balance_fen: int | None = None
    device: int = 0
    ids_s: int = 0
    ids_since: int = 0

    def observe_debit(self, transfer: Transfer) -> AccountProfile:
        """Return the profile of the payer after ``transfer``."""
        peer = peer_hash(transfer.payee_bank, transfer.payee_account)
        return self.after_debit(transfer, peer, id_digest(transfer.transfer_id))

    def after_debit(self, transfer: Transfer, peer: int, digest: bytes) -> AccountProfile:
        """Return the same as `observe_debit`, with the hashes that the caller has already made."""
        at_us = transfer.occurred_us
        at_s, now_us = at_us // 1_000_000, max(at_us, self.latest_us)
        ids, ids_s, ids_since = _ids_after(self, digest, now_us // 1_000_000)
        if self.is_late(at_us):
            return msgspec.structs.replace(
                self,
                outflow=count_late(self.outflow),
                payees=_know(self.payees, peer, at_s),
                debit_ids=ids,
                ids_s=ids_s,
                ids_since=ids_since,
            )
        fen = transfer.amount_fen
        return AccountProfile(
            now_us,
            self.first_us or at_us,
            transfer.payer_opened_us or self.opened_us,
            self.inflow,
            add(self.outflow, at_s=at_s, now_s=now_us // 1_000_000, fen=fen),
            self.payers,
            meet(self.payees, peer, at_s),
            self.credits,
            remember(self.debits, at_s, peer, fen),
            self.received,
            _learn(self.paid, self.outflow.count, fen),
            ids,
            self.fresh_fen,
            self.taint_fen,
            self.taint_s,
            self.quick + QUICK_RATE * (_passes_on(self.credits, at_s, fen) - self.quick),
            balance_after(self, transfer.payer_balance_after_fen, -fen),
            crc32(transfer.device_id.encode()) if transfer.device_id else self.device,
            ids_s,
            ids_since,
        )

    def observe_credit(self, transfer: Transfer, suspicion: float = 0.0) -> AccountProfile:
        """Return the profile of the payee after ``transfer``, of which the share ``suspicion`` (0-1) is suspected."""
        at_us = transfer.occurred_us
        at_s, now_us = at_us // 1_000_000, max(at_us, self.latest_us)
        peer = peer_hash(transfer.payer_bank, transfer.payer_account)
        if self.is_late(at_us):
            return msgspec.structs.replace(self, inflow=count_late(self.inflow), payers=_know(self.payers, peer, at_s))
        fen, now_s = transfer.amount_fen, now_us // 1_000_000
        fade = exp2((self.taint_s - now_s) / TAINT_HALF_LIFE_S)
        return AccountProfile(
            now_us,
            self.first_us or at_us,
            transfer.payee_opened_us or self.opened_us,
            add(self.inflow, at_s=at_s, now_s=now_s, fen=fen),
            self.outflow,
            meet(self.payers, peer, at_s),
            self.payees,
            remember(self.credits, at_s, peer, fen),
            self.debits,
            _learn(self.received, self.inflow.count, fen),
            self.paid,
            self.debit_ids,
            self.fresh_fen * fade + fen,
            self.taint_fen * fade + suspicion * fen,
            now_s,
            self.quick,
            balance_after(self, transfer.payee_balance_after_fen, fen),
            self.device,
            self.ids_s,
            self.ids_since,
        )

    def is_late(self, at_us: int) -> bool:
        """Return whether an event of this time is beyond the tolerance."""
        return at_us < self.latest_us - LATE_TOLERANCE_S * 1_000_000

    def has_debit(self, digest: bytes) -> bool:
        """Return whether a transfer with this `id_digest` is among the debits that are remembered by their ids."""
        return digest in self.debit_ids

    @property
    def taint(self) -> float:
        """Suspected share of the money received of late, the latest counting most."""
        return self.taint_fen / self.fresh_fen if self.fresh_fen else 0.0


EMPTY_PROFILE: Final = AccountProfile()


def id_digest(transfer_id: str) -> bytes:
    """Return the 64-bit digest by which a re-posted transfer is recognised."""
    return blake2b(transfer_id.encode(), digest_size=ID_BYTES).digest()


def balance_after(profile: AccountProfile, told_fen: int | None, change_fen: int) -> int | None:
    """Return the balance after a transfer: as told, else carried on from the last one told, else None."""
    if told_fen is not None:
        return told_fen
    if profile.balance_fen is None:
        return None
    return min(max(profile.balance_fen + change_fen, -SUM_LIMIT_FEN), SUM_LIMIT_FEN)


def _ids_after(profile: AccountProfile, digest: bytes, now_s: int) -> tuple[bytes, int, int]:
    """Return the remembered ids after one more debit, the second their hour began, and how many came since."""
    if now_s < profile.ids_s + HOUR_S:
        return profile.debit_ids[-(BATCH_IDS_KEPT - 1) * ID_BYTES :] + digest, profile.ids_s, profile.ids_since + 1
    kept = min(max(profile.ids_since, IDS_KEPT - 1), BATCH_IDS_KEPT - 1)
    return profile.debit_ids[-kept * ID_BYTES :] + digest, now_s, 1


def _passes_on(credits: Recent, at_s: int, fen: int) -> bool:
    """Return whether a debit passes on the latest credit at once."""
    if not credits.events or abs(at_s - credits.latest_s()) > QUICK_S:
        return False
    last_fen = credits.latest_fen()
    return QUICK_LEAST * last_fen <= fen <= QUICK_MOST * last_fen


def _learn(habit: Habit, seen: int, fen: int) -> Habit:
    """Return the habit after the amount that follows ``seen`` others (exponential moving mean and variance)."""
    rate = max(1.0 / (seen + 1), HABIT_RATE)
    delta = log1p(fen) - habit.mean
    step = rate * delta
    return Habit(habit.mean + step, (1.0 - rate) * (habit.variance + delta * step), max(habit.max_fen, fen))


def _know(peers: Peers, peer: int, at_s: int) -> Peers:
    """Return the memory after a late contact: an unknown peer becomes known, a known one stays as it is."""
    return peers if is_kept(peers, peer) else meet(peers, peer, at_s)


_encoder = msgspec.msgpack.Encoder()
encode_profile = _encoder.encode
"""Return the bytes of a profile, at most `MAX_PROFILE_BYTES`."""

decode_profile = msgspec.msgpack.Decoder(AccountProfile).decode
"""Return the profile of `encode_profile`'s bytes; raise `msgspec.DecodeError` for others."""
