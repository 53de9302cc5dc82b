"""White, black and grey lists: one person asks for a change, another puts it in force."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection

from api.service.desk import Desk
from api.store import lists
from models.control.records import Actor, GuardFailed
from models.money.types import AccountId
from models.risk.assessment import ListLevel


class ListView(msgspec.Struct, frozen=True, kw_only=True):
    """An account's level and the change that waits, if any."""

    account: AccountId
    level: ListLevel
    reason: str = ""
    maker: str = ""
    checker: str = ""
    updated_us: int = 0
    pending: dict[str, Any] | None = None


def view(connection: Connection, account: AccountId) -> ListView:
    """Return what the lists say of an account."""
    entry, change = lists.entry(connection, account), lists.pending_change(connection, account)
    pending = None
    if change is not None:
        pending = {
            "level": change.level,
            "reason": change.reason,
            "maker": change.maker,
            "requested_us": change.requested_us,
        }
    if entry is None:
        return ListView(account=account, level=ListLevel.NONE, pending=pending)
    return ListView(
        account=account,
        level=ListLevel(entry.level),
        reason=entry.reason,
        maker=entry.maker,
        checker=entry.checker,
        updated_us=entry.updated_us,
        pending=pending,
    )


def request_change(desk: Desk, account: AccountId, level: ListLevel, reason: str, maker: Actor) -> ListView:
    """Ask for a level; raise `GuardFailed` if another change waits."""
    values = {
        "account": account,
        "level": level.value,
        "reason": reason,
        "maker": maker.name,
        "requested_us": desk.now_us,
    }
    if not lists.propose_change(desk.connection, values):
        raise GuardFailed("already_requested", "a change of this account already waits for its second person")
    desk.note("list.request", account, maker, {"level": level, "reason": reason})
    return view(desk.connection, account)


def decide_change(desk: Desk, account: AccountId, *, approve: bool, checker: Actor, reason: str = "") -> ListView:
    """Put the waiting change in force, or drop it; raise `GuardFailed` without one or for its own maker."""
    change = lists.pending_change(desk.connection, account)
    if change is None:
        raise GuardFailed("nothing_requested", "no change of this account waits")
    if change.maker == checker.name:
        raise GuardFailed("same_person", "a second person must decide on the change")
    state = "approved" if approve else "rejected"
    if not lists.decide_change(desk.connection, change.id, state, checker.name, desk.now_us):
        raise GuardFailed("nothing_requested", "somebody else has just decided on it")
    desk.note(f"list.{state}", account, checker, {"level": change.level, "maker": change.maker, "reason": reason})
    if approve:
        values = {
            "account": account,
            "level": change.level,
            "reason": change.reason,
            "maker": change.maker,
            "checker": checker.name,
            "updated_us": desk.now_us,
        }
        lists.put_level(desk.connection, values)
        desk.publish_control(account)
    return view(desk.connection, account)
