"""Takes in posted transfers: registered once, on the topic, confirmed by the broker, then answered."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from api.producer import BrokerAway, Record, TopicProducer
from api.registry import Registry
from api.store.transfers import Registered, Registration, Standing
from api.traces import Traces
from models.wire import ACCEPTED_HEADER, Topic, TransferRecord, encode
from telemetry import metrics
from telemetry.clock import wall_us
from telemetry.tracing import Trace, record_header

DIGEST_BYTES: Final = 16
DIGEST_SALT: Final = b"sluice transfer 1\n"


class Status(StrEnum):
    """What became of one posted transfer."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    UNAVAILABLE = "unavailable"


class Outcome(msgspec.Struct, frozen=True):
    """Status and wall time of the first acceptance; ``registered`` is the digest of the content that counts."""

    status: Status
    accepted_wall_us: int
    registered: bytes = b""


class _Posted(msgspec.Struct, frozen=True):
    """A transfer with the bytes that go to the topic and their digest."""

    transfer: TransferRecord
    value: bytes
    digest: bytes
    trace: Trace


class _Flight(msgspec.Struct):
    """A post under way; a second post of one of its transfers waits for it."""

    digests: dict[str, bytes]
    future: asyncio.Future[dict[str, Outcome]]


def digest_of(value: bytes) -> bytes:
    """Return the digest by which a re-posted transfer is recognised: of our own encoding, so layout does not count."""
    return hashlib.sha256(DIGEST_SALT + value).digest()[:DIGEST_BYTES]


class Intake:
    """Accepts transfers. Nothing is answered as accepted before the broker has confirmed it."""

    def __init__(self, registry: Registry, producer: TopicProducer, traces: Traces) -> None:
        self._registry = registry
        self._producer = producer
        self._traces = traces
        self._flights: dict[str, _Flight] = {}

    async def accept(self, transfers: Sequence[TransferRecord], parent: Trace | None = None) -> list[Outcome]:
        """Return what became of each transfer; raise `StoreAway` if nothing could be registered.

        ``parent`` is the trace of the request that posts them.
        """
        posted = [_posted(transfer, self._traces.of_transfer(parent)) for transfer in transfers]
        answers: list[Outcome | None] = [None] * len(posted)
        while open_ := [place for place, answer in enumerate(answers) if answer is None]:
            told = await self._round([posted[place] for place in open_])
            for place, answer in zip(open_, told, strict=True):
                answers[place] = answer
        done = [answer for answer in answers if answer is not None]
        _count(posted, done)
        return done

    async def _round(self, posted: Sequence[_Posted]) -> list[Outcome | None]:
        """Post what no request is posting, and wait for what another posts; ``None`` for what is to be posted yet."""
        own: dict[str, _Posted] = {}
        for each in posted:
            if each.transfer.transfer_id not in self._flights:
                own.setdefault(each.transfer.transfer_id, each)
        others = {
            each.transfer.transfer_id: self._flights[each.transfer.transfer_id]
            for each in posted
            if each.transfer.transfer_id not in own
        }
        done = await self._fly(own) if own else {}
        answers: list[Outcome | None] = []
        for each in posted:
            transfer_id = each.transfer.transfer_id
            if own.get(transfer_id) is each:
                answers.append(done[transfer_id])
            elif transfer_id in own:
                answers.append(_again(own[transfer_id].digest, each.digest, done[transfer_id]))
            else:
                answers.append(await _joined(others[transfer_id], each))
        return answers

    async def _fly(self, own: dict[str, _Posted]) -> dict[str, Outcome]:
        """Register, produce and confirm transfers that no other request is posting."""
        digests = {key: each.digest for key, each in own.items()}
        flight = _Flight(digests, asyncio.get_running_loop().create_future())
        self._flights.update(dict.fromkeys(own, flight))
        outcomes: dict[str, Outcome] = {}
        try:
            outcomes = await self._post(own)
        finally:
            for key in own:
                del self._flights[key]
            flight.future.set_result(outcomes)
        return outcomes

    async def _post(self, own: dict[str, _Posted]) -> dict[str, Outcome]:
        now = wall_us()
        registered = await self._registry.register([_registration(each, now) for each in own.values()])
        to_send = [key for key in own if registered[key].standing in (Standing.NEW, Standing.UNCONFIRMED)]
        try:
            flags = await self._producer.send([_record(own[key], registered[key]) for key in to_send])
        except BrokerAway:
            flags = [False] * len(to_send)
        sent = dict(zip(to_send, flags, strict=True))
        self._registry.confirm(key for key, confirmed in sent.items() if confirmed)
        return {key: _outcome(registered[key], sent.get(key)) for key in own}


def _posted(transfer: TransferRecord, trace: Trace) -> _Posted:
    value = encode(transfer)
    return _Posted(transfer, value, digest_of(value), trace)


def _registration(posted: _Posted, now_wall_us: int) -> Registration:
    transfer = posted.transfer
    return Registration(
        transfer_id=transfer.transfer_id,
        digest=posted.digest,
        accepted_wall_us=now_wall_us,
        payer_bank=transfer.payer_bank,
        payee_bank=transfer.payee_bank,
    )


def _record(posted: _Posted, registered: Registered) -> Record:
    accepted = (ACCEPTED_HEADER, str(registered.accepted_wall_us).encode())
    headers = [accepted, record_header(posted.trace)]
    return Record(Topic.TRANSFERS.value, posted.transfer.payer.encode(), posted.value, headers)


def _outcome(registered: Registered, confirmed: bool | None) -> Outcome:
    status = {Standing.CONFLICT: Status.CONFLICT, Standing.CONFIRMED: Status.DUPLICATE}.get(registered.standing)
    if status is None:
        status = Status.ACCEPTED if confirmed else Status.UNAVAILABLE
    return Outcome(status, registered.accepted_wall_us, registered.digest)


def _again(first_digest: bytes, digest: bytes, first: Outcome) -> Outcome | None:
    """Return the outcome of a second post of a transfer whose first post is known; ``None`` if that does not tell.

    It does not if the first was in conflict with what is registered, and the second is that.
    """
    if digest != first_digest:
        registered = first.status is Status.CONFLICT and digest == first.registered
        return None if registered else Outcome(Status.CONFLICT, first.accepted_wall_us)
    status = Status.DUPLICATE if first.status is Status.ACCEPTED else first.status
    return Outcome(status, first.accepted_wall_us)


async def _joined(flight: _Flight, posted: _Posted) -> Outcome | None:
    """Wait for another request's post; if nothing came of it, this one is as unavailable, whatever its content."""
    transfer_id = posted.transfer.transfer_id
    outcomes = await asyncio.shield(flight.future)
    first = outcomes.get(transfer_id)
    if first is None:
        return Outcome(Status.UNAVAILABLE, 0)
    return _again(flight.digests[transfer_id], posted.digest, first)


def _count(posted: Sequence[_Posted], answers: Sequence[Outcome]) -> None:
    accepted: Counter[str] = Counter()
    repeated = 0
    for each, answer in zip(posted, answers, strict=True):
        if answer.status is Status.ACCEPTED:
            accepted[each.transfer.payer_bank] += 1
        elif answer.status is Status.DUPLICATE:
            repeated += 1
    for bank, number in accepted.items():
        metrics.TRANSFERS_ACCEPTED.labels(bank).inc(number)
    if repeated:
        metrics.TRANSFERS_DUPLICATE.labels("reposted").inc(repeated)
