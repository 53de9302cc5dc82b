"""A feed that ends with records in its hands leaves the group and commits none of them: they come to the next one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from api.feed import Feed, FeedSettings
from api.feedsink import Poison, Unstored
from api.store.database import StoreAway
from api.store.transfers import AssessedRow
from models.risk.assessment import Assessment
from tests.apikit import Topics, assessed, transfer
from tests.promkit import wait_until

GROUP = "endings"


class Sink:
    """Keeps what it is given, or fails as told."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.asked = 0
        self.stored: list[str] = []

    def act(self, found: Sequence[tuple[Assessment, bytes]]) -> list[AssessedRow]:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return [AssessedRow(assessment=assessment, body=body) for assessment, body in found]

    def trace(self, rows: Sequence[AssessedRow], headers: Sequence[Any]) -> None:
        """Keep nothing of it."""

    def store(self, unstored: Sequence[Unstored]) -> list[Poison]:
        for each in unstored:
            assert isinstance(each.record, AssessedRow)
            self.stored.append(each.record.assessment.transfer.transfer_id)
        return []


def feed_to(address: str, sink: Sink) -> Feed:
    settings = FeedSettings(broker=address, group=GROUP, fetch_wait_ms=5, persist_every_s=0.05, persist_max=100)
    return Feed(settings, sink)  # type: ignore[arg-type]


@pytest.mark.parametrize("failure", [KeyError("a bug"), StoreAway("away")], ids=["a bug", "no database"])
def test_what_it_could_not_act_on_comes_to_the_next_one(address: str, failure: Exception) -> None:
    found = assessed(transfer())
    Topics(address).assess(found)
    failing = Sink(failure)
    first = feed_to(address, failing)
    first.start()
    wait_until(lambda: failing.asked > 0, "it is asked to act")
    first.stop()
    assert (first.failure is None) == isinstance(failure, StoreAway)
    assert failing.stored == []
    whole = Sink()
    second = feed_to(address, whole)
    second.start()
    wait_until(lambda: bool(whole.stored), "the record is stored")
    second.stop()
    assert whole.stored == [found.transfer.transfer_id]
