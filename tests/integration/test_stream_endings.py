"""How a worker ends: in order when asked, at once and with a code of its own where going on could harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from models.wire import Topic, encode
from stream.exitcodes import ExitCode
from stream.topics import ensure_topics
from tests.streamkit import (
    READY_TIMEOUT_S,
    WorkerProcess,
    assessments,
    dead_letters,
    ids,
    new_producer,
    post,
    post_raw,
    transfer,
)


class BrokerProcess:
    """An embedded broker in a process of its own, which can be stopped, frozen and killed."""

    def __init__(self, folder: Path) -> None:
        ready = folder / "broker.ready"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "broker", "--ready-file", str(ready)], stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not ready.exists():
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self.address = ready.read_text().strip()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def steady_load(address: str) -> Iterator[None]:
    """Keep posting, so that there is always something in flight."""
    ending = threading.Event()

    def run() -> None:
        producer, number = new_producer(address), 0
        while not ending.wait(0.001):
            number += 1
            record = transfer(number, f"A{number % 50}", f"B{number % 50}")
            producer.produce(Topic.TRANSFERS, encode(record), record.payer.encode())
            producer.poll(0)
        producer.purge()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    process = BrokerProcess(tmp_path)
    ensure_topics(process.address, 4)
    yield process
    process.kill()


@pytest.fixture
def worker(broker: BrokerProcess, tmp_path: Path) -> Iterator[WorkerProcess]:
    process = WorkerProcess(broker.address, tmp_path)
    yield process
    process.kill()


def last_words(worker: WorkerProcess) -> str:
    return next(str(event["why"]) for event in reversed(worker.events()) if event["event"] == "worker ends")


def test_asked_to_stop_it_commits_and_goes(broker: BrokerProcess, worker: WorkerProcess, tmp_path: Path) -> None:
    worker.start()
    post(broker.address, [transfer(i, f"A{i}", f"B{i}") for i in range(200)])
    view = assessments(broker.address)
    view.until(lambda seen: len(seen) > 0)
    assert worker.stop() == ExitCode.OK
    again = WorkerProcess(broker.address, tmp_path, "next").start()
    view.until(lambda seen: len(set(ids(seen))) == 200)
    assert len(view.settle()) == 200
    assert again.stop() == ExitCode.OK
    view.close()


def test_asked_to_stop_while_it_starts_it_goes(broker: BrokerProcess, worker: WorkerProcess) -> None:
    worker.start(wait=False)
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not worker.log.exists() or b"broker answers" not in worker.log.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1.5)
    worker.signal(signal.SIGTERM)
    assert worker.wait() in {ExitCode.OK, ExitCode.SHUTDOWN_TIMEOUT}


def test_asked_to_stop_without_a_broker_it_goes_all_the_same(broker: BrokerProcess, worker: WorkerProcess) -> None:
    worker.start()
    broker.kill()
    time.sleep(0.5)
    worker.signal(signal.SIGTERM)
    assert worker.wait() in {ExitCode.OK, ExitCode.SHUTDOWN_TIMEOUT}


def test_an_unconfirmed_write_ends_it_before_its_session_ends(broker: BrokerProcess, worker: WorkerProcess) -> None:
    worker.start()
    with steady_load(broker.address):
        view = assessments(broker.address)
        view.until(lambda seen: len(seen) > 0)
        broker.freeze()
        assert worker.wait() == ExitCode.UNCONFIRMED
    assert last_words(worker) == "unconfirmed"


def test_without_a_broker_it_gives_up_after_a_while(tmp_path: Path) -> None:
    worker = WorkerProcess("127.0.0.1:9", tmp_path, broker_wait_s=1).start(wait=False)
    assert worker.wait() == ExitCode.BROKER_AWAY


def test_with_other_partitions_than_the_topics_have_it_does_not_start(broker: BrokerProcess, tmp_path: Path) -> None:
    worker = WorkerProcess(broker.address, tmp_path, partitions=8).start(wait=False)
    assert worker.wait() == ExitCode.MISCONFIGURED
    assert "an account's records would go to different workers" in worker.tail()


def test_a_flood_of_bad_records_trips_the_brake(broker: BrokerProcess, tmp_path: Path) -> None:
    worker = WorkerProcess(broker.address, tmp_path, brake_window=50).start()
    for number in range(60):
        post_raw(broker.address, Topic.TRANSFERS, b"k%d" % number, b"not a transfer")
    assert worker.wait() == ExitCode.BRAKE


def test_a_bug_in_an_agent_ends_the_worker_and_loses_nothing(broker: BrokerProcess, tmp_path: Path) -> None:
    """Stock Faust would start the agent anew, without the batch it had taken."""
    buggy = WorkerProcess(broker.address, tmp_path, "buggy", module="tests.integration.buggy_worker").start()
    post(broker.address, [transfer(i, f"A{i}", f"B{i}") for i in range(50)])
    assert buggy.wait() == ExitCode.ENGINE_FAILED
    whole = WorkerProcess(broker.address, tmp_path, "whole").start()
    view = assessments(broker.address)
    view.until(lambda seen: len(set(ids(seen))) == 50)
    assert dead_letters(broker.address).settle() == []
    assert whole.stop() == ExitCode.OK
    view.close()


def test_exit_codes_do_not_meet_the_shells() -> None:
    assert all(64 <= code < 126 for code in ExitCode if code)
    assert os.name == "posix"
