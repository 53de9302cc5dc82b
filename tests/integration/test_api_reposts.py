"""One transfer posted twice at the same time: whoever comes second is told what is true of its own content."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from api.intake import Intake, Outcome, Status
from api.store.database import StoreAway
from models.wire import TransferRecord, decode_transfer, encode
from stream.broker import EmbeddedBroker
from tests.apikit import Api, running, settings_for, transfer

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    broker = EmbeddedBroker()
    async with running(settings_for(broker.bootstrap, tmp_path_factory.mktemp("api"))) as running_api:
        yield running_api


def contents() -> list[TransferRecord]:
    """Return three transfers of one id: the first is what will be registered."""
    first = decode_transfer(encode(transfer()))
    return [first, *(msgspec.structs.replace(first, amount_fen=fen) for fen in (1, 2))]


async def statuses(intake: Intake, *posts: list[TransferRecord]) -> list[list[Status]]:
    """Post at once; a later post joins what an earlier one is posting."""
    told: list[list[Outcome]] = await asyncio.gather(*(intake.accept(each) for each in posts))
    return [[outcome.status for outcome in each] for each in told]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("places", [*itertools.permutations(range(3))])
async def test_other_content_first_does_not_refuse_what_is_registered(
    api: Api, places: tuple[int, ...], together: bool
) -> None:
    known = contents()
    assert await statuses(api.runtime.intake, known[:1]) == [[Status.ACCEPTED]]
    posts = [known[place] for place in places]
    found = await statuses(api.runtime.intake, *([posts] if together else [[each] for each in posts]))
    assert list(itertools.chain(*found)) == [Status.CONFLICT if place else Status.DUPLICATE for place in places]


async def test_a_post_that_failed_says_nothing_of_other_content(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    first, other, _ = contents()

    async def away(*_args: Any) -> Any:
        await asyncio.sleep(0)
        raise StoreAway("away")

    with monkeypatch.context() as patch:
        patch.setattr(api.runtime.registry, "register", away)
        posts = [api.runtime.intake.accept([each]) for each in (first, other)]
        lost, joined = await asyncio.gather(*posts, return_exceptions=True)
    assert isinstance(lost, StoreAway)
    assert not isinstance(joined, BaseException)
    assert joined[0].status is Status.UNAVAILABLE
    assert await statuses(api.runtime.intake, [other]) == [[Status.ACCEPTED]]
