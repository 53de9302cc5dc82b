"""The crash proof, on a real Kafka: nothing is lost, counted twice or ordered twice, whoever dies.

20,000 transfers at 1,000 a second, two workers, an api that orders stops at fake
banks. The api is killed (``kill -9``) while a bank acts and started again, a worker
is killed and a third joins, then the broker is killed and started again. Workers are
crash-only, so they are supervised: an exit code that asks for it starts them anew.

    python -m tests.integration.crash_proof --times 10
"""

from __future__ import annotations

import argparse
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from models.control.policy import Action
from models.money.types import account_id
from models.risk.assessment import Assessment, Band
from stream.exitcodes import RESTART_CODES, ExitCode
from stream.kafka import LocalKafka
from stream.tables import partition_of
from stream.topics import ensure_topics
from tests.integration.crash_audit import audit
from tests.integration.crash_desk import BANK, Desk
from tests.integration.crash_load import LISTED, Load
from tests.integration.crash_orders import Found, faults
from tests.streamkit import WorkerProcess, assessments

PARTITIONS = 4
ORDERS_AT_LEAST = 60
"""With fewer, "no order is made twice" says little."""

KILL_API_AT, KILL_WORKER_AT, LEAVE_AT, KILL_BROKER_AT = 0.1, 0.2, 0.6, 0.75
"""Shares of the load after which the blows fall."""

BROKER_DOWN_S = 3.0
FROZEN_S = 9.0
"""Longer than the session of 6 s."""

SETTLE_TIMEOUT_S = 240.0
AGAIN_S = 10.0
"""A worker's partitions score again within this time of its death; asked of the long run only."""


class Outcome(msgspec.Struct, kw_only=True):
    """What one run of the proof showed."""

    accepted: int = 0
    assessed: int = 0
    repeated: int = 0
    missing: int = 0
    wrong_profiles: int = 0
    profiles: int = 0
    scoring_again_s: float = 0.0
    caught_up_s: float = 0.0
    stored: int = 0
    stop_band: int = 0
    orders: int = 0
    attached: int = 0
    executed: int = 0
    unheard: int = 0
    """Stops in force at the bank of which the api had not heard when it was killed."""
    wrong_orders: int = 0
    exits: dict[str, int] = {}

    @property
    def proven(self) -> bool:
        """Whether nothing was lost, nothing counted twice and nothing ordered twice."""
        died = any(name.startswith("DIED") for name in self.exits)
        whole = self.stored == self.accepted > 0 and not self.missing and not self.wrong_profiles and not died
        return whole and self.orders >= ORDERS_AT_LEAST and not self.wrong_orders

    def count_orders(self, stops: Sequence[Assessment], found: Found) -> None:
        """Count what was done about the stop band, and what of it is wrong."""
        wrong = faults(stops, {account_id(BANK, each) for each in LISTED}, found)
        print(*wrong[:20], sep="\n", end="\n" if wrong else "")
        actions = Counter(action for action, _ in found.taken.values())
        self.stop_band, self.orders, self.attached = len(stops), actions[Action.ORDER], actions[Action.ATTACHED]
        self.stored, self.executed, self.wrong_orders = found.stored, len(found.executed), len(wrong)


class Supervisor(threading.Thread):
    """Starts workers again when their exit code asks for it, and counts why."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._workers: list[WorkerProcess] = []
        self._stopping = threading.Event()
        self.exits: Counter[str] = Counter()

    def add(self, worker: WorkerProcess) -> None:
        self._workers.append(worker)

    def kill_first(self) -> float:
        """Kill the first worker for good; return when."""
        self._workers.pop(0).kill()
        return time.time()

    def stop_first(self) -> int | None:
        """Stop the first worker in order; return its exit code."""
        return self._workers.pop(0).stop()

    def run(self) -> None:
        while not self._stopping.wait(0.05):
            for worker in list(self._workers):
                code = worker.process.poll() if worker.process else None
                if code is not None:
                    self._ended(worker, code)

    def _ended(self, worker: WorkerProcess, code: int) -> None:
        """Start a worker again; any other end than by one of its own codes is a failure of the proof."""
        if code in RESTART_CODES:
            self.exits[ExitCode(code).name.lower()] += 1
        else:
            self.exits[f"DIED {code}"] += 1
            print(worker.tail())
        worker.start(wait=False)

    def note(self, program: str, code: int | None) -> None:
        """Note how a program ended that should have run until it was asked to stop."""
        if code != ExitCode.OK:
            self.exits[f"DIED {program} {code}"] += 1

    def stop(self) -> None:
        self._stopping.set()
        self.join()
        for worker in self._workers:
            worker.stop()


class Watch(threading.Thread):
    """Notes when each assessment came."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self._eye = assessments(address)
        self._stopping = threading.Event()
        self.came: dict[str, tuple[float, Assessment]] = {}
        self.total = 0

    def run(self) -> None:
        while not self._stopping.is_set():
            if self._eye.look():
                found: Assessment = self._eye.seen.pop()
                self.total += 1
                self.came.setdefault(found.transfer.transfer_id, (time.time(), found))

    def wait_for(self, load: Load) -> float:
        """Wait until every accepted transfer has an assessment; return when, or give up."""
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        load.join()
        load.check()
        while len(self.came) < len(load.accepted) and time.monotonic() < deadline:
            time.sleep(0.05)
        return time.time()

    @property
    def stops(self) -> list[Assessment]:
        """The first assessment of each transfer in the stop band, those of one account in their order."""
        return [found for _, found in self.came.values() if found.band is Band.STOP]

    def stop(self) -> None:
        self._stopping.set()
        self.join()
        self._eye.close()


def scoring_again_s(watch: Watch, killed_at: float) -> float:
    """Return how long after a death every partition had an assessment of a transfer accepted later."""
    first: dict[int, float] = {}
    for at, found in watch.came.values():
        if found.stages.accepted_us > killed_at * 1_000_000:
            place = partition_of(found.transfer.payee.encode(), PARTITIONS)
            first[place] = min(at, first.get(place, at))
    return max(first.values()) - killed_at if len(first) == PARTITIONS else float("inf")


def prove(
    folder: Path,
    *,
    blows: Blows | None = None,
    count: int = 20_000,
    rate: float = 1_000.0,
    seed: int = 1,
    **settings: Any,
) -> Outcome:
    """Run a proof once in an empty folder; ``settings`` are the workers'."""
    with running(folder) as (kafka, desk):
        workers = [WorkerProcess(kafka.bootstrap, folder, f"worker-{n}", **settings) for n in (1, 2, 3)]
        supervisor, watch = Supervisor(), Watch(kafka.bootstrap)
        for worker in workers[:2]:
            supervisor.add(worker.start())
        load = Load(kafka.bootstrap, count, rate, seed)
        for thread in (supervisor, watch, load):
            thread.start()
        try:
            outcome = (blows or kill_worker_and_broker)(Scene(kafka, load, watch, supervisor, workers, desk))
            outcome.count_orders(watch.stops, desk.found())
            supervisor.note("api", desk.stop())
        finally:
            supervisor.stop()
            watch.stop()
        outcome.exits = dict(supervisor.exits)
        outcome.profiles, outcome.wrong_profiles = audit(kafka.bootstrap)
        return outcome


@contextmanager
def running(folder: Path) -> Iterator[tuple[LocalKafka, Desk]]:
    """Give a broker with its topics, and an api with its banks, until the block ends."""
    with LocalKafka(folder / "kafka") as kafka:
        ensure_topics(kafka.bootstrap, PARTITIONS)
        with Desk(kafka.bootstrap, folder, LISTED) as desk:
            yield kafka, desk


class Scene(NamedTuple):
    """What the blows fall on; the first two workers run, the third waits."""

    kafka: LocalKafka
    load: Load
    watch: Watch
    supervisor: Supervisor
    workers: list[WorkerProcess]
    desk: Desk


Blows = Callable[[Scene], Outcome]


def kill_worker_and_broker(scene: Scene) -> Outcome:
    """Kill the api and start it again, kill a worker and let a third join, kill the broker and start it again."""
    scene.load.wait_for(KILL_API_AT)
    unheard = scene.desk.kill_in_the_act()
    scene.load.wait_for(KILL_WORKER_AT)
    killed_at = scene.supervisor.kill_first()
    scene.supervisor.add(scene.workers[2].start(wait=False))
    scene.load.wait_for(KILL_BROKER_AT)
    scene.kafka.kill()
    broker_killed_at = time.time()
    time.sleep(BROKER_DOWN_S)
    scene.kafka.start()
    outcome = settle(scene, broker_killed_at)
    outcome.scoring_again_s = round(scoring_again_s(scene.watch, killed_at), 2)
    outcome.unheard = unheard
    return outcome


def freeze_worker(scene: Scene) -> Outcome:
    """Freeze a worker for longer than its session, so that it wakes up as one that was given up."""
    scene.load.wait_for(KILL_WORKER_AT)
    frozen_at = time.time()
    scene.workers[0].signal(signal.SIGSTOP)
    time.sleep(FROZEN_S)
    scene.workers[0].signal(signal.SIGCONT)
    return settle(scene, frozen_at)


def join_and_leave(scene: Scene) -> Outcome:
    """Let a third worker join, then stop the first in order: planned changes, for which nobody need end."""
    scene.load.wait_for(KILL_WORKER_AT)
    scene.supervisor.add(scene.workers[2].start(wait=False))
    scene.load.wait_for(LEAVE_AT)
    left_at = time.time()
    assert scene.supervisor.stop_first() == ExitCode.OK
    return settle(scene, left_at)


def settle(scene: Scene, since: float) -> Outcome:
    """Wait until all is assessed, stored and stopped, and count."""
    load, watch = scene.load, scene.watch
    caught_up_at = watch.wait_for(load)
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    while not scene.desk.settled(len(load.accepted)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return Outcome(
        accepted=len(load.accepted),
        assessed=len(watch.came),
        repeated=watch.total - len(watch.came),
        missing=len(load.accepted - watch.came.keys()),
        caught_up_s=round(caught_up_at - since, 2),
    )


def main() -> None:
    """Run the proof several times; end with 1 if any run fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=1_000.0)
    parser.add_argument("--store", choices=("memory", "rocksdb"), default="memory")
    parser.add_argument("--standby", type=int, default=0)
    parser.add_argument("--freeze", action="store_true", help="freeze a worker instead of killing")
    options = parser.parse_args()
    failed = 0
    for seed in range(1, options.times + 1):
        with tempfile.TemporaryDirectory(prefix="sluice-crash-") as folder:
            blows = freeze_worker if options.freeze else kill_worker_and_broker
            outcome = prove(
                Path(folder),
                blows=blows,
                count=options.count,
                rate=options.rate,
                seed=seed,
                store=options.store,
                standby_replicas=options.standby,
            )
        good = outcome.proven and outcome.scoring_again_s <= AGAIN_S
        failed += not good
        print(seed, "proven" if good else "FAILED", msgspec.json.encode(outcome).decode(), flush=True)
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    main()
