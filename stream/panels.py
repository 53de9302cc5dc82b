"""The panel in use by a worker: the latest snapshot on ``models`` that is signed, sound and of our features."""

from __future__ import annotations

import threading

import structlog

from models.risk.features import FEATURE_SET
from models.risk.panel import Panel, panel_from_snapshot
from models.risk.scorer import Scorer
from models.risk.snapshot import SnapshotError
from models.signing import SignatureError, verify_snapshot
from models.wire import UNREADABLE, decode_snapshot
from stream.deadletter import Fault, RecordFault
from stream.follower import Record
from telemetry.metrics import DETECTOR_VERSION, FOLLOWED_UNUSABLE

log = structlog.get_logger(__name__)


def read_panel(record: Record, *, key: bytes) -> Panel | None:
    """Return the panel of a record, ``None`` if it is of other features; raise `RecordFault` for no sound one."""
    try:
        snapshot = decode_snapshot(record.value or b"")
        verify_snapshot(snapshot, key=key)
        if snapshot.feature_set == FEATURE_SET:
            return panel_from_snapshot(snapshot.payload)
    except SignatureError as error:
        raise RecordFault(Fault.SIGNATURE, str(error)) from error
    except (SnapshotError, *UNREADABLE) as error:
        raise RecordFault(Fault.MALFORMED, str(error)) from error
    return None


class CurrentScorer:
    """The scorer of a worker; batches that have begun keep the one they began with."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._show(scorer.panel.version, 1)

    def __call__(self) -> Scorer:
        """Return the scorer to begin a batch with."""
        return self._scorer

    def swap(self, panel: Panel) -> None:
        """Score with another panel from the next batch on."""
        self._show(self._scorer.panel.version, 0)
        self._scorer = self._scorer.with_panel(panel)
        self._show(panel.version, 1)
        log.info("panel in use", version=panel.version)

    def _show(self, version: str, in_use: int) -> None:
        if in_use:
            DETECTOR_VERSION.labels("panel", version).set(1)
        else:
            DETECTOR_VERSION.remove("panel", version)


class Panels:
    """Follows ``models``: of what is there at the start only the last, then each as it comes."""

    def __init__(self, scorer: CurrentScorer, *, key: bytes) -> None:
        self._scorer = scorer
        self._key = key
        self._turn = threading.Lock()
        self._waiting: Record | None = None
        self._live = False
        if not key:
            log.warning("no SLUICE_SNAPSHOT_KEY: snapshots cannot be checked and are ignored")

    def follow(self, record: Record) -> None:
        """Take a record of the topic."""
        with self._turn:
            if self._live:
                self._try(record)
            else:
                self._waiting = record

    def go_live(self) -> None:
        """Put the last of what was there into service."""
        with self._turn:
            self._live = True
            if self._waiting is not None:
                self._try(self._waiting)
                self._waiting = None

    def _try(self, record: Record) -> None:
        if not self._key:
            return
        try:
            panel = read_panel(record, key=self._key)
        except RecordFault as error:
            FOLLOWED_UNUSABLE.labels(record.topic, error.fault.value).inc()
            log.warning("snapshot ignored", offset=record.offset, fault=error.fault.value, detail=str(error))
            return
        if panel is None:
            log.warning("snapshot ignored: of other features", offset=record.offset, ours=FEATURE_SET)
        else:
            self._scorer.swap(panel)
