"""Small tables packed into bytes: what an account remembers, a row after the other.

A number in a tuple is an object of 32 bytes somewhere in memory, and an account
has hundreds: copying a column or encoding a state touches them all, and a worker
with ten thousand accounts waits for memory then. Packed rows of 12 or 16 bytes lie
together, are copied at once, and go to the changelog as they are (ADR 0014).

Rows are little-endian on every machine, so that a state may be read on another one.
Times are whole seconds since 1970 (until 2106), as are the 32-bit words of a row.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from struct import Struct
from typing import Final

WORD: Final = 4
"""Bytes of one 32-bit word."""


class ByteOrderError(RuntimeError):
    """This machine is big-endian, and Sluice reads packed words as they lie."""


if sys.byteorder != "little":
    raise ByteOrderError("Sluice runs on little-endian machines only (x86-64, ARM64)")


def pack_rows(shape: Struct, rows: Iterable[tuple[int, ...]]) -> bytes:
    """Return rows packed one after the other; raise `struct.error` for a number that does not fit its place.

    >>> pack_rows(Struct("<HH"), [(1, 2), (3, 4)])
    b'\\x01\\x00\\x02\\x00\\x03\\x00\\x04\\x00'
    """
    return b"".join([shape.pack(*row) for row in rows])


def words(rows: bytes) -> memoryview[int]:
    """Return packed rows as their 32-bit words; a column of rows of ``n`` words is ``words(rows)[place::n]``.

    >>> words(bytes([1, 0, 0, 0, 2, 1, 0, 0])).tolist()
    [1, 258]
    """
    return memoryview(rows).cast("I")
