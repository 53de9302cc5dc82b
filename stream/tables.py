"""Profiles in a Faust table, with a write path of our own (``docs/decisions/0003``).

Faust keeps the table: it recovers it from the changelog, holds standby copies
and its RocksDB files. Writing goes around it: a stage assigns frozen states
here, `stream.epoch` writes the last value of each changed key to the changelog
once per epoch, and only then does a store that outlives the process get them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

import msgspec
from aiokafka.partitioner import murmur2
from faust.types import TP
from rocksdict import WriteBatch

from models.risk.profile import EMPTY_PROFILE, AccountProfile
from stream.older_states import decode_older_state

NO_OFFSET: Final = -1
PARTITION_CACHE: Final = 65_536
STATE_CACHE: Final = 50_000
"""Decoded states that the RocksDB store keeps in memory."""


class Misplaced(Exception):
    """A record lies on another partition than its key belongs to; the producer uses another partitioner."""


class AccountState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A profile with the source offsets applied to it: what makes a redelivery harmless.

    ``debit_offset`` is the last offset on ``transfers`` applied to the payer's
    side; an account pays on one partition only. ``credit_offsets`` holds, for
    each partition of ``transfers`` that has paid this account, the last one
    applied to the payee's side.
    """

    profile: AccountProfile = EMPTY_PROFILE
    debit_offset: int = NO_OFFSET
    credit_offsets: dict[int, int] = {}

    def has_debit(self, offset: int) -> bool:
        """Return whether the payer's side has applied this offset of its partition."""
        return offset <= self.debit_offset

    def has_credit(self, partition: int, offset: int) -> bool:
        """Return whether the payee's side has applied this offset of this source partition."""
        return offset <= self.credit_offsets.get(partition, NO_OFFSET)

    def debited(self, profile: AccountProfile, offset: int) -> AccountState:
        """Return the state after a debit."""
        return AccountState(profile, offset, self.credit_offsets)

    def credited(self, profile: AccountProfile, partition: int, offset: int) -> AccountState:
        """Return the state after a credit."""
        return AccountState(profile, self.debit_offset, {**self.credit_offsets, partition: offset})

    def encode(self) -> bytes:
        """Return the changelog value (msgpack)."""
        return _encode(self)


EMPTY_STATE: Final = AccountState()
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(AccountState).decode


def decode_state(value: bytes) -> AccountState:
    """Return the state of a changelog value, also of one in the older form.

    Raises `msgspec.DecodeError` for other bytes, `ValueError` for columns that no account has.
    """
    try:
        return _decode(value)
    except msgspec.ValidationError:
        older = decode_older_state(value)
        return AccountState(older.profile, older.debit_offset, older.credit_offsets)


@lru_cache(PARTITION_CACHE)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition a key belongs to, as the Java client places it.

    >>> partition_of(b"icbc/6222021234567890", 4)
    0
    """
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def _check_place(key: bytes, partition: int, right: int) -> None:
    if partition != right:
        raise Misplaced(f"key of {len(key)} bytes belongs to partition {right}, found on {partition}")


class Change(NamedTuple):
    """A changed state with its partition and the changelog's value of it."""

    partition: int
    state: AccountState
    value: bytes


class Profiles(Protocol):
    """Account states by key (UTF-8 of the account id)."""

    def get(self, key: bytes, partition: int) -> AccountState:
        """Return a state, `EMPTY_STATE` for an unknown account; raise `Misplaced`."""
        ...

    def put(self, key: bytes, partition: int, state: AccountState) -> None:
        """Assign a state; the caller sees to its changelog record."""
        ...

    def committed(self, changes: Mapping[bytes, Change], offsets: Mapping[int, int]) -> None:
        """Take note that the changelog holds ``changes``, up to ``offsets`` by partition."""
        ...

    def forget(self) -> None:
        """Drop what was read and not changed: another worker may own the accounts from now on."""
        ...

    def __len__(self) -> int: ...


class MemoryProfiles:
    """States in the dictionary of Faust's memory store.

    Recovery leaves encoded states there; each is decoded when first needed.
    """

    def __init__(self, store: Any, partitions: int) -> None:
        self._states: MutableMapping[bytes, AccountState | bytes] = store.data
        self._places: MutableMapping[bytes, int] = store._key_partition  # Faust prunes by it after a rebalance
        self._partitions = partitions

    def get(self, key: bytes, partition: int) -> AccountState:
        """Return a state; see `Profiles.get`."""
        state = self._states.get(key)
        if state is None:
            _check_place(key, partition, partition_of(key, self._partitions))
            return EMPTY_STATE
        _check_place(key, partition, self._places[key])
        if type(state) is bytes:
            state = self._states[key] = decode_state(state)
        return state  # type: ignore[return-value]  # bytes were decoded above

    def put(self, key: bytes, partition: int, state: AccountState) -> None:
        """Assign a state; see `Profiles.put`."""
        self._states[key] = state
        self._places[key] = partition

    def committed(self, changes: Mapping[bytes, Change], offsets: Mapping[int, int]) -> None:
        """Do nothing: this memory does not outlive the process."""

    def forget(self) -> None:
        """Do nothing: recovery replaces what others have changed."""

    def __len__(self) -> int:
        return len(self._states)


class RocksProfiles:
    """States in the RocksDB files of Faust's store, changed ones in memory until they are committed.

    So no file ever holds a change that the changelog lacks. A bounded part is
    kept decoded.
    """

    def __init__(self, store: Any, changelog: str, partitions: int) -> None:
        self._store = store
        self._changelog = changelog
        self._partitions = partitions
        self._dirty: dict[bytes, AccountState] = {}
        self._clean: dict[bytes, AccountState] = {}

    def get(self, key: bytes, partition: int) -> AccountState:
        """Return a state; see `Profiles.get`."""
        _check_place(key, partition, partition_of(key, self._partitions))
        state = self._dirty.get(key, self._clean.get(key))
        if state is None:
            value = self._store._db_for_partition(partition).get(key)
            state = EMPTY_STATE if value is None else decode_state(value)
            self._keep(key, state)
        return state

    def put(self, key: bytes, partition: int, state: AccountState) -> None:
        """Assign a state; see `Profiles.put`."""
        _check_place(key, partition, partition_of(key, self._partitions))
        self._dirty[key] = state

    def committed(self, changes: Mapping[bytes, Change], offsets: Mapping[int, int]) -> None:
        """Write committed states, then the changelog offsets they go up to."""
        batches: dict[int, WriteBatch] = defaultdict(lambda: WriteBatch(raw_mode=True))
        for key, (partition, state, value) in changes.items():
            batches[partition].put(key, value)
            self._keep(key, state)
            if self._dirty.get(key) is state:
                del self._dirty[key]
        for partition, batch in batches.items():
            self._store._db_for_partition(partition).write(batch)
        for partition, offset in offsets.items():
            self._store.set_persisted_offset(TP(self._changelog, partition), offset)

    def forget(self) -> None:
        """Drop decoded states; see `Profiles.forget`."""
        self._clean.clear()

    def _keep(self, key: bytes, state: AccountState) -> None:
        if len(self._clean) >= STATE_CACHE:
            self._clean.pop(next(iter(self._clean)))
        self._clean[key] = state

    def __len__(self) -> int:
        return len(self._clean) + len(self._dirty)
