"""Lists and controls in force, as every worker and the trainer know them: the whole topic ``controls``."""

from __future__ import annotations

from typing import Final

from models.money.types import AccountId
from models.risk.assessment import AccountLists, ListLevel
from models.wire import UNREADABLE, ControlEntry, decode_control
from stream.deadletter import Fault, RecordFault
from stream.follower import Record
from telemetry.metrics import FOLLOWED_UNUSABLE

NO_LISTS: Final = AccountLists()
UNKNOWN: Final = ControlEntry(account=AccountId(""))


def read_control(record: Record) -> ControlEntry | None:
    """Return the entry of a record, ``None`` for a tombstone; raise `RecordFault` for what is neither."""
    if record.key is None:
        raise RecordFault(Fault.KEY, "a control without an account")
    if record.value is None:
        return None
    try:
        return decode_control(record.value)
    except UNREADABLE as error:
        raise RecordFault(Fault.MALFORMED, str(error)) from error


class Controls:
    """The latest entry of each account; written by a follower's thread, read by the stages."""

    def __init__(self) -> None:
        self._entries: dict[AccountId, ControlEntry] = {}

    def follow(self, record: Record) -> None:
        """Take a record of the topic; pass by what cannot be used, which is `stream.inspector`'s to set aside."""
        try:
            entry = read_control(record)
        except RecordFault as error:
            FOLLOWED_UNUSABLE.labels(record.topic, error.fault.value).inc()
            return
        if entry is not None:
            self.apply(entry)
        elif record.key is not None:
            self.forget(AccountId(record.key.decode(errors="replace")))

    def apply(self, entry: ControlEntry) -> None:
        """Put an entry in the place of the account's last one."""
        self._entries[entry.account] = entry

    def forget(self, account: AccountId) -> None:
        """Drop what is known of an account (a tombstone on the topic)."""
        self._entries.pop(account, None)

    def lists(self, payer: AccountId, payee: AccountId) -> AccountLists:
        """Return levels and proven frauds of both accounts; no time ends them, only the account's next entry."""
        entries = self._entries
        payer_entry, payee_entry = entries.get(payer, UNKNOWN), entries.get(payee, UNKNOWN)
        if payer_entry is UNKNOWN and payee_entry is UNKNOWN:
            return NO_LISTS
        return AccountLists(
            payer=payer_entry.level,
            payee=payee_entry.level,
            payer_proven_paid=payer_entry.proven_paid,
            payer_proven_received=payer_entry.proven_received,
            payee_proven_paid=payee_entry.proven_paid,
            payee_proven_received=payee_entry.proven_received,
        )

    def in_doubt(self, account: AccountId, since_us: int) -> bool:
        """Return whether an account is on the black list, or an order has doubted it since a world time (UTC us)."""
        entry = self._entries.get(account, UNKNOWN)
        # A hold that an older api published tells nothing of doubt.
        held = entry.control is not None
        return held or entry.level is ListLevel.BLACK or entry.doubted_until_us > since_us

    def __len__(self) -> int:
        return len(self._entries)
