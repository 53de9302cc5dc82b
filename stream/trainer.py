"""The trainer: one process that learns from assessments and verdicts and publishes signed snapshots.

What the learner makes serves only as the contest of panels allows (`models.risk.contest`).
State and the offsets read up to are saved in one file, so a start goes on where
the last save was; without the file it learns anew from what the topics still hold.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from models.risk.assessment import Assessment
from models.risk.contest import Contest, Outcome
from models.risk.features import FEATURE_NAMES, FEATURE_SET, rows_of
from models.risk.learning.learner import Learner
from models.risk.rules.settings import DEFAULT_RULES, RuleSettings
from models.risk.snapshot import ForestState
from models.risk.thresholds import AlertThreshold
from models.wire import UNREADABLE, Topic, VerdictLabel, decode_assessment, decode_verdict
from stream.controls import Controls
from stream.deadletter import Fault, Quarantine
from stream.exitcodes import ExitCode
from stream.follower import Behind, Follower, Record, record_of
from stream.labels import Labels, key_of, weight_of
from stream.publisher import Publisher, SnapshotTooLarge, new_producer
from stream.quiet import quiet_engine
from stream.ready import announce_ready
from stream.rulebook import RulesUnreadable, read_rules
from stream.settings import TrainerSettings
from stream.startup import prepare_broker
from stream.trainer_state import Positions, load_state, save_state
from stream.watch import Watch
from telemetry.clock import Clock, parse_clock
from telemetry.logging import configure_logging
from telemetry.metrics import DRIFT_ALARM, TRAINER_LEARNED, identify, serve_metrics

log = structlog.get_logger(__name__)

SEED: Final = 20_240_101
BATCH_MAX: Final = 500
BATCH_WAIT_S: Final = 0.2
FETCH_BYTES: Final = 256 * 1024
SAVE_EVERY_S: Final = 300.0
"""A learner's state is some 60 MB when it has seen much."""

FLUSH_TIMEOUT_S: Final = 2.0
METADATA_TIMEOUT_S: Final = 10.0
FOLLOW_TIMEOUT_S: Final = 60.0
STATE_FILE: Final = "trainer.state"
REPORT_FILE: Final = "shadow.json"

NO_LABELS: Final = (np.empty((0, len(FEATURE_NAMES))), np.empty(0, bool), np.empty(0))
"""Judged now and then, since a trial without labels must end too."""

Labelled = tuple[int, tuple[float, ...], bool, float]
"""Key of the transfer, features, whether it was a fraud, weight."""


def run_trainer(settings: TrainerSettings) -> int:
    """Run the trainer until SIGTERM or SIGINT; return an exit code of `stream.exitcodes`.

    SIGUSR1 is an operator's word that the inputs of today are normal: it ends the alarm on inputs.
    """
    configure_logging("trainer", settings.log_level)
    quiet_engine()
    os.nice(settings.niceness)
    if not settings.snapshot_key.get_secret_value():
        log.error("the trainer needs SLUICE_SNAPSHOT_KEY to sign its snapshots")
        return ExitCode.MISCONFIGURED
    try:
        rules = read_rules(settings.rules_file)
    except RulesUnreadable as error:
        log.error("the rules cannot be read", reason=str(error))
        return ExitCode.MISCONFIGURED
    code, _ = prepare_broker(settings)
    if code is not ExitCode.OK:
        return code
    stopping, accepting = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    signal.signal(signal.SIGUSR1, lambda *_: accepting.set())
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    serve_metrics(settings.metrics_host, settings.metrics_port)
    identify("trainer")
    return train(settings, rules, stopping, accepting)


def train(
    settings: TrainerSettings, rules: RuleSettings, stopping: threading.Event, accepting: threading.Event
) -> ExitCode:
    """Train until told to stop, or until something ends it; return which."""
    try:
        trainer = Trainer(settings, clock=parse_clock(settings.clock), rules=rules)
        announce_ready(settings.ready_file, "trainer")
        trainer.run(stopping, accepting)
    except SnapshotTooLarge as error:
        log.error("the snapshot is too large", reason=str(error))
        return ExitCode.MISCONFIGURED
    except (KafkaException, Behind) as error:
        log.error("the broker has gone", reason=str(error))
        return ExitCode.BROKER_AWAY
    return ExitCode.OK


class Trainer:
    """Reads, learns, refits in a thread, publishes, saves."""

    def __init__(self, settings: TrainerSettings, *, clock: Clock, rules: RuleSettings = DEFAULT_RULES) -> None:
        self._settings = settings
        self._stop_from = rules.bands.stop
        self._clock = clock
        self._path = settings.data_dir / STATE_FILE
        restored = load_state(self._path)
        self.learner = Learner(seed=SEED) if restored is None else restored.learner
        maturity_us = int(settings.maturity_s * 1_000_000)
        self.labels = Labels(maturity_us=maturity_us) if restored is None else restored.labels
        self.labels.mature_after(maturity_us)
        self._positions: Positions = {} if restored is None else restored.positions
        self.watch = Watch(Contest(self.learner.panel()) if restored is None else restored.contest, rules)
        self._alerts = AlertThreshold(rules.alerts)
        self._watch_from = self.watch.contest.champion.watch_from
        self._reader = _reader(settings.broker)
        self._producer = new_producer(settings.broker)
        key = settings.snapshot_key.get_secret_value().encode()
        self._publisher = Publisher(self._producer, key, topic_prefix=settings.topic_prefix)
        self._verdicts = settings.on_broker(Topic.VERDICTS)
        self._assessments = settings.on_broker(Topic.ASSESSMENTS)
        self._quarantine = Quarantine("trainer")
        self._controls = Controls()
        self._follower = Follower(settings.broker, settings.on_broker(Topic.CONTROLS), self._controls.follow)
        self._refit: Refit | None = None
        self._next_publish_s = time.monotonic() + settings.publish_every_s
        self._next_save_s = time.monotonic() + SAVE_EVERY_S
        self._show_alarms()
        log.info("trainer begins", restored=restored is not None, features=FEATURE_SET)

    def run(self, stopping: threading.Event, accepting: threading.Event) -> None:
        """Work until told to stop, then save; take the inputs for normal when told so."""
        self.begin(stopping)
        while not stopping.is_set():
            self.step()
            if accepting.is_set():
                accepting.clear()
                self.accept_inputs()
        self.save()
        self.close()

    def close(self) -> None:
        """Let go of the broker."""
        self._follower.stop()
        self._producer.flush(FLUSH_TIMEOUT_S)
        self._reader.close()

    def begin(self, stopping: threading.Event) -> None:
        """Read all controls and verdicts there are before anything can count as honest; then assessments, too.

        Raises `Behind` if the controls cannot be read in time.
        """
        self._follower.start(FOLLOW_TIMEOUT_S)
        verdicts, assessments = self._places(self._verdicts), self._places(self._assessments)
        ends = {p.partition: self._reader.get_watermark_offsets(p, METADATA_TIMEOUT_S)[1] for p in verdicts}
        self._reader.assign(verdicts)
        while not stopping.is_set() and not self._has_read(self._verdicts, ends):
            self._learn(self._noted(self._read())[1])
        self._reader.assign(self._places(self._verdicts) + assessments)

    def _places(self, topic: str) -> list[TopicPartition]:
        """Return all partitions of a topic, each where it was read to."""
        read = self._positions.get(topic, {})
        found = self._reader.list_topics(topic, timeout=METADATA_TIMEOUT_S).topics[topic].partitions
        return [TopicPartition(topic, number, read.get(number, OFFSET_BEGINNING)) for number in found]

    def _has_read(self, topic: str, ends: Mapping[int, int]) -> bool:
        read = self._positions.get(topic, {})
        return all(read.get(number, 0) >= end for number, end in ends.items())

    def step(self) -> None:
        """Take what has come, learn from it, and do what is due; raise what has ended the following of controls."""
        self._follower.check()
        self.take(self._read())
        self._refit_if_due()
        now_s = time.monotonic()
        if now_s >= self._next_publish_s:
            self._act(self.watch.judge(*NO_LABELS, self._clock.now_us()))
            self.publish()
        if now_s >= self._next_save_s:
            self.save()

    def _read(self) -> list[Record]:
        messages = self._reader.consume(BATCH_MAX, BATCH_WAIT_S)
        self._producer.poll(0)
        return [record_of(message) for message in messages if message.error() is None]

    def take(self, records: Iterable[Record]) -> None:
        """Learn from records of both topics, and from what has matured meanwhile."""
        assessed, labelled = self._noted(records)
        for item in self.labels.matured(self._clock.now_us(), self._controls.in_doubt):
            labelled.append((key_of(item.transfer_id), item.features, False, item.weight))
            self.watch.label(item.transfer_id, fraud=False)
        self._observe(assessed)
        self._learn(labelled)

    def _noted(self, records: Iterable[Record]) -> tuple[list[Assessment], list[Labelled]]:
        """Note what records say; return the assessments among them, and what verdicts give to learn."""
        assessed: list[Assessment] = []
        labelled: list[Labelled] = []
        for record in records:
            self._positions.setdefault(record.topic, {})[record.partition] = record.offset + 1
            try:
                if record.topic == self._assessments:
                    self._note_assessment(record, assessed)
                elif record.value is not None:
                    self._note_verdict(record, labelled)
            except UNREADABLE as error:
                self._refuse(record, str(error))
        return assessed, labelled

    def _note_assessment(self, record: Record, assessed: list[Assessment]) -> None:
        assessment = decode_assessment(record.value or b"")
        if fits(assessment.feature_set, assessment.features):
            self.labels.assessed(assessment)
            assessed.append(assessment)

    def _note_verdict(self, record: Record, labelled: list[Labelled]) -> None:
        verdict = decode_verdict(record.value or b"")
        if not self.labels.judged(verdict):
            return
        fraud, number = verdict.label is VerdictLabel.FRAUD, key_of(verdict.transfer_id)
        self.watch.label(verdict.transfer_id, fraud=fraud)
        if fits(verdict.feature_set, verdict.features):
            labelled.append((number, verdict.features, fraud, weight_of(verdict)))
        else:
            self.learner.take_back(np.array([number]))

    def _refuse(self, record: Record, detail: str) -> None:
        key, value = self._quarantine.letter(record, Fault.MALFORMED, detail)
        self._producer.produce(self._settings.on_broker(Topic.DEAD_LETTERS), value, key)

    def _observe(self, assessed: Sequence[Assessment]) -> None:
        if assessed:
            rows = rows_of([item.features for item in assessed])
            self.watch.observe(assessed, rows)
            self._alerts.observe(item.risk for item in assessed)
            self.learner.observe(rows, at_us=max(item.transfer.occurred_us for item in assessed))

    def _learn(self, labelled: Sequence[Labelled]) -> None:
        if not labelled:
            return
        keys, features, fraud, weights = zip(*labelled, strict=True)
        table = rows_of(features), np.array(fraud, bool), np.array(weights, np.float64)
        self._act(self.watch.judge(*table, self._clock.now_us()))
        self.learner.learn(*table, keys=np.array(keys, np.int64))
        frauds = sum(fraud)
        TRAINER_LEARNED.labels("panel", "fraud").inc(frauds)
        TRAINER_LEARNED.labels("panel", "honest").inc(len(fraud) - frauds)

    def _refit_if_due(self) -> None:
        """Fit the trees in a thread, one fit at a time, and none while others are on trial."""
        if self._refit is None:
            contest = self.watch.contest
            if (contest.apart or not contest.on_trial) and self.learner.due(self._clock.now_us()):
                self._refit = Refit(self.learner.refit_job(self._clock.now_us()))
        elif self._refit.done:
            forest, self._refit = self._refit.result(), None
            self.adopt(forest)

    def adopt(self, forest: ForestState) -> None:
        """Take new trees: the first ones serve at once, later ones go on trial."""
        self.learner.adopt(forest)
        self.watch.refitted(self.learner.panel(), self._clock.now_us())
        self.publish()

    def _act(self, outcome: Outcome | None) -> None:
        """Make learner and workers follow what labels have decided about panels."""
        if outcome is None:
            return
        contest = self.watch.contest
        if outcome is not Outcome.PROMOTED:
            self.learner.fall_back(contest.champion.state.forest)
            if contest.apart:
                self.watch.challenge(self.learner.panel(), self._clock.now_us())
        self.publish()

    def publish(self) -> None:
        """Put what the champion has learned online into service, and tell how the contest stands."""
        self._next_publish_s = time.monotonic() + self._settings.publish_every_s
        contest = self.watch.contest
        contest.follow(self.learner.panel())
        threshold = self._alerts.watch_from(at_most=self._stop_from)
        if threshold is not None:
            self._watch_from = threshold
        contest.watch_from(self._watch_from)
        self._publisher.publish(contest.champion)
        self._show_alarms()
        self.watch.tell(self._settings.data_dir / REPORT_FILE, self._clock.now_us())

    def _show_alarms(self) -> None:
        for name, on in self.learner.health().alarms.items():
            DRIFT_ALARM.labels(name).set(on)

    def accept_inputs(self) -> None:
        """Compare inputs with those of today from now on; say what had shifted."""
        log.warning("inputs accepted as normal", shifted=self.learner.health().shifted_features)
        self.learner.accept_inputs()
        self.publish()

    def save(self) -> None:
        """Save learner, labels and positions in one file, all of it or nothing."""
        self._next_save_s = time.monotonic() + SAVE_EVERY_S
        save_state(self._path, self.learner, self.watch.contest, self.labels, self._positions)


class Refit:
    """One fit of the trees, in a thread that a stopping trainer does not wait for."""

    def __init__(self, job: Any) -> None:
        self._forest: ForestState | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(job,), name="refit", daemon=True)
        self._thread.start()

    def _run(self, job: Any) -> None:
        try:
            self._forest = job.run()
        except BaseException as error:
            self._failure = error
            log.error("refit failed", exc_info=error)

    @property
    def done(self) -> bool:
        """Whether the fit has ended."""
        return not self._thread.is_alive()

    def result(self) -> ForestState:
        """Return the trees; raise what ended the fit without any."""
        if self._forest is None:
            raise self._failure or RuntimeError("the fit ended without trees")
        return self._forest


def fits(feature_set: str, features: Sequence[float]) -> bool:
    """Return whether features can be learned from: those of this release, all of them."""
    return feature_set == FEATURE_SET and len(features) == len(FEATURE_NAMES)


def _reader(broker: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": "sluice-trainer",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            # It is in no hurry: an answer for every record would cost the broker more than the work costs here.
            "fetch.min.bytes": FETCH_BYTES,
            "fetch.wait.max.ms": int(BATCH_WAIT_S * 1000),
            "log_level": 2,
        }
    )
