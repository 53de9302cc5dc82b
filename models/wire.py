"""Topics, keys, and bytes <-> types: all that the programs agree on.

Every record is JSON made by msgspec and carries a ``schema`` number; only `credits`,
which none but the workers write and read, is msgpack, which costs them less. Keys are
UTF-8. Every producer must place keys as the Java client does (murmur2); with
librdkafka that is ``PARTITIONER``, kafka-python and aiokafka do it by default.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from models.control.messages import ControlKind
from models.money.types import AccountId, Count, TimeUs, Transfer
from models.risk.assessment import Assessment, DebitView, ListLevel

PARTITIONER: Final = "murmur2_random"
"""librdkafka's name of the Java client's partitioner."""

ACCEPTED_HEADER: Final = "sluice-accepted-us"
"""Record header of ``transfers``: wall-clock time of acceptance, decimal UTC microseconds.

Where a bank writes to Kafka itself and sets none, the record's timestamp counts."""

SCHEMA: Final = 1
"""Schema number of every record below; a record of another number is refused."""

DAY_MS: Final = 86_400_000

MAX_MESSAGE_BYTES: Final = 1_000_000
"""Largest message that a producer sends, framing included; ``models`` and ``snapshots`` have a limit of their own."""

MAX_CONTENT_BYTES: Final = 950_000
"""Bytes of key and value that fit into it with the headers we send."""


UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding raises for bytes that are no record; the last for what is nested deeper than any is."""


class Topic(StrEnum):
    """Names of the topics (``docs/architecture.md#topics``)."""

    TRANSFERS = "transfers"
    CREDITS = "credits"
    ASSESSMENTS = "assessments"
    VERDICTS = "verdicts"
    MODELS = "models"
    SNAPSHOTS = "snapshots"
    CONTROLS = "controls"
    DEAD_LETTERS = "dead-letters"


TOPIC_PREFIX_PATTERN: Final = r"^[0-9A-Za-z._\-]{0,100}$"
"""What may stand before every topic's name, so that one broker carries several installations: Kafka's alphabet, and
short enough for the longest name to fit its 249 characters."""


class TopicPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How a topic is to be created; ``partitions`` 0 means "as many as the stages have"."""

    topic: Topic
    partitions: int = 0
    retention_ms: int = -1
    compacted: bool = False


TOPIC_PLANS: Final = (
    TopicPlan(topic=Topic.TRANSFERS, retention_ms=7 * DAY_MS),
    TopicPlan(topic=Topic.CREDITS, retention_ms=1 * DAY_MS),
    TopicPlan(topic=Topic.ASSESSMENTS, retention_ms=7 * DAY_MS),
    TopicPlan(topic=Topic.VERDICTS, partitions=1, compacted=True),
    TopicPlan(topic=Topic.MODELS, partitions=1, compacted=True),
    TopicPlan(topic=Topic.SNAPSHOTS, partitions=1, retention_ms=7 * DAY_MS),
    TopicPlan(topic=Topic.CONTROLS, partitions=1, compacted=True),
    TopicPlan(topic=Topic.DEAD_LETTERS, partitions=1, retention_ms=30 * DAY_MS),
)


class TransferRecord(Transfer, frozen=True, kw_only=True, omit_defaults=True, tag_field="schema", tag=SCHEMA):
    """Value on ``transfers``: a transfer and its schema number. Key: payer account."""


class CreditRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="schema", tag=SCHEMA):
    """Value on ``credits``: a transfer with the payer's view. Key: payee account.

    ``source_partition``/``source_offset`` place it on ``transfers``; the payee's
    side applies each source offset once.
    """

    transfer: Transfer
    view: DebitView
    source_partition: Count
    source_offset: Count
    accepted_us: TimeUs
    debited_us: TimeUs


class VerdictLabel(StrEnum):
    """What somebody found a transfer to be."""

    FRAUD = "fraud"
    HONEST = "honest"


class VerdictSource(StrEnum):
    """Who found a transfer to be something; ``sample`` is an analyst's answer about one drawn by lot."""

    BANK = "bank"
    VICTIM_REPORT = "victim_report"
    SAMPLE = "sample"
    ANALYST = "analyst"


SOURCE_RANK: Final = {source.value: rank for rank, source in enumerate(VerdictSource, start=1)}
"""Of two sources that contradict each other the higher one counts, whichever spoke last.

A bank does not clear what a victim has reported; whoever looked into it does.
"""


def rank_of(source: str) -> int:
    """Return how much a verdict's source counts; 0 for one that this release does not know.

    >>> rank_of("analyst") > rank_of("sample") > rank_of("victim_report") > rank_of("bank") > rank_of("oracle")
    True
    """
    return SOURCE_RANK.get(source, 0)


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="schema", tag=SCHEMA):
    """Value on ``verdicts``: a label with the features as they were when scored. Key: transfer id.

    ``source`` is a `VerdictSource`. Since the topic keeps one verdict a transfer, the
    api puts there only the one that counts. ``sample_rate`` is the chance with which
    the transfer was drawn by lot, 1 where no lot was drawn.
    """

    transfer_id: str
    label: VerdictLabel
    source: str
    decided_us: TimeUs
    features: tuple[float, ...]
    feature_set: str
    sample_rate: float = 1.0


class ControlEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="schema", tag=SCHEMA):
    """Value on ``controls``: all that is known of an account, since the topic keeps one record of each. Key: account.

    Each fact has an end of its own or none; ``updated_us`` is the world time of the record.
    """

    account: AccountId
    level: ListLevel = ListLevel.NONE
    """In force until another record says otherwise."""
    control: ControlKind | None = None
    """The strongest control in force at the bank, that of ``order_id``; of equal ones the last to end."""
    order_id: str = ""
    control_until_us: TimeUs = msgspec.field(default=0, name="until_us")
    """World time at which that control ends by itself."""
    updated_us: TimeUs = 0
    proven_paid: Count = 0
    """Transfers of this account that verdicts found to be fraud and in which it paid; the api counts them."""
    proven_received: Count = 0
    """The same in which it received."""
    doubted_until_us: TimeUs = 0
    """World time up to which an order doubts the account (`models.control.policy.doubted_until_us`)."""


class ModelSnapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="schema", tag=SCHEMA):
    """Value on ``models`` and ``snapshots``: one detector's published state.

    Key on ``models``: detector name, so that the latest stays. Key on ``snapshots``:
    `archive_key`; every version stays as long as the assessments that name it.
    ``digest`` is the SHA-256 of ``payload``; ``signature`` an HMAC-SHA-256 over
    name, version and digest with the trainer's key.
    """

    detector: str
    version: str
    feature_set: str
    created_us: TimeUs
    payload: bytes
    digest: str
    signature: str


def archive_key(detector: str, version: str) -> str:
    """Return the key of one version of a detector on ``snapshots``.

    >>> archive_key("panel", "p-0123456789ab")
    'panel/p-0123456789ab'
    """
    return f"{detector}/{version}"


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="schema", tag=SCHEMA):
    """Value on ``dead-letters``: the original bytes with place and reason. Key: original key."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    reason: str
    detail: str
    program: str
    seen_us: int


MAX_LETTER_VALUE_BYTES: Final = 600_000
"""Bytes of an original kept in a dead letter: as base64 they must fit a record of 1 MB."""

MAX_LETTER_KEY_BYTES: Final = 10_000
MAX_LETTER_DETAIL: Final = 500


def dead_letter(
    *,
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    reason: str,
    detail: str,
    program: str,
    seen_us: int,
) -> DeadLetter:
    """Return the dead letter of a record, cut (and saying so) where the broker would refuse it whole.

    What is cut off still lies on the source topic, at the place the letter names.
    """
    if value is not None and len(value) > MAX_LETTER_VALUE_BYTES:
        detail = f"value cut from {len(value)} to {MAX_LETTER_VALUE_BYTES} bytes; {detail}"
        value = value[:MAX_LETTER_VALUE_BYTES]
    if key is not None and len(key) > MAX_LETTER_KEY_BYTES:
        detail = f"key cut from {len(key)} to {MAX_LETTER_KEY_BYTES} bytes; {detail}"
        key = key[:MAX_LETTER_KEY_BYTES]
    return DeadLetter(
        topic=topic,
        partition=partition,
        offset=offset,
        key=key,
        value=value,
        reason=reason,
        detail=detail[:MAX_LETTER_DETAIL],
        program=program,
        seen_us=seen_us,
    )


_encoder = msgspec.json.Encoder()
_packer = msgspec.msgpack.Encoder()


def encode(record: msgspec.Struct) -> bytes:
    """Return the bytes of any record of this module or an `Assessment`, except a `CreditRecord`."""
    return _encoder.encode(record)


def encode_credit(record: CreditRecord) -> bytes:
    """Return the bytes of a record of `credits`."""
    return _packer.encode(record)


decode_transfer = msgspec.json.Decoder(TransferRecord).decode
decode_credit = msgspec.msgpack.Decoder(CreditRecord).decode
decode_assessment = msgspec.json.Decoder(Assessment).decode
decode_verdict = msgspec.json.Decoder(Verdict).decode
decode_control = msgspec.json.Decoder(ControlEntry).decode
decode_snapshot = msgspec.json.Decoder(ModelSnapshot).decode
decode_dead_letter = msgspec.json.Decoder(DeadLetter).decode
