"""The lot: which transfers nobody doubts are looked at all the same, so that labels also tell of what is missed."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec

from models.risk.assessment import Assessment, Band

SPAN: Final = 1 << 64


class Lot(msgspec.Struct, frozen=True, kw_only=True):
    """Draws one in ``1 / rate`` of the allowed transfers; ``rate`` 0 draws none.

    Drawn by the transfer's id alone, so that a redelivered transfer draws the same, and
    whoever does not know ``salt`` cannot choose an id that is never looked at.
    """

    rate: float = 0.0
    salt: str = ""

    def draws(self, assessment: Assessment) -> bool:
        """Return whether somebody should look at a transfer that nothing speaks against."""
        return assessment.band is Band.ALLOW and chance(self.salt, assessment.transfer.transfer_id) < self.rate


def chance(salt: str, transfer_id: str) -> float:
    """Return a number in [0, 1), spread evenly over ids, that depends on salt and id alone.

    >>> round(chance("a salt", "t-20260317-000042"), 3)
    0.339
    """
    digest = blake2b(f"{salt}|{transfer_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / SPAN
