"""A worker that is frozen for longer than its session, with a changelog write at hand, and wakes up.

Stock Faust's write lands over what its successor has written meanwhile, and the
successor's records are committed: they are in no table any more. Ours ends instead.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from stream.exitcodes import ExitCode
from stream.tables import AccountState, decode_state
from stream.topics import changelog_topic, ensure_topics
from tests.enginekit import (
    SHORT_SESSION,
    Tally,
    changelog,
    committed,
    count,
    counts_table,
    numbers,
    stock_app,
    until,
    working,
    write,
)
from tests.integration.stock_worker import FREEZES_AT
from tests.streamkit import Eye, WorkerProcess, assessments, ids, post, transfer

pytestmark = pytest.mark.slow


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    """Yield a stack of what to do at the end, however the test ends."""
    with ExitStack() as stack:
        yield stack


@contextmanager
def stock_worker(address: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker of stock Faust in a process of its own."""
    command = [sys.executable, "-m", "tests.integration.stock_worker", address, str(folder / "frozen")]
    with (folder / "frozen.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def stands_still(process: subprocess.Popen[bytes]) -> bool:
    return os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None


async def test_a_stock_worker_that_wakes_up_writes_over_its_successors_table(address: str, tmp_path: Path) -> None:
    successor = stock_app(address, tmp_path / "successor", **SHORT_SESSION)
    table = counts_table(successor)

    async def agent(stream: Any) -> None:
        async for event in stream.events():
            count(table, event.message.offset)

    with stock_worker(address, tmp_path) as frozen:
        write(address, *numbers(0, FREEZES_AT))
        await until(lambda: committed(address) == FREEZES_AT)
        await until(lambda: changelog(address) == [Tally(1, 0), Tally(2, 1)])
        write(address, *numbers(FREEZES_AT, FREEZES_AT + 1))
        await until(lambda: stands_still(frozen))
        write(address, *numbers(FREEZES_AT + 1, 5))
        async with working(successor, agent):
            await until(lambda: committed(address) == 5)
            await until(lambda: changelog(address)[-1] == Tally(5, 4))
            before = successor.consumer_generation_id
            frozen.send_signal(signal.SIGCONT)
            await until(lambda: successor.consumer_generation_id > before and not successor.rebalancing)
            await until(lambda: changelog(address)[-1] == Tally(FREEZES_AT + 1, FREEZES_AT))
            write(address, *numbers(5, 6))
            await until(lambda: committed(address) == 6)
    assert changelog(address)[-1] == Tally(4, 5), "six records are committed, and four are counted"


def paying(states: list[AccountState]) -> tuple[int, int]:
    """Return how many transfers the last state of the paying account knows, and the last one's offset."""
    last = [state for state in states if state.profile.outflow.count][-1]
    return last.profile.outflow.count, last.debit_offset


async def test_ours_that_wakes_up_writes_nothing_and_ends(address: str, tmp_path: Path, cleanup: ExitStack) -> None:
    ensure_topics(address, 4)
    module, settings = "tests.integration.freezing_worker", {"session_timeout_s": 4.0, "confirm_timeout_s": 3.0}
    worker = WorkerProcess(address, tmp_path, "frozen", module=module, **settings)
    cleanup.callback(worker.kill)
    worker.start()
    frozen: Any = worker.process
    post(address, [transfer(number) for number in range(10)])
    await until(lambda: stands_still(frozen))
    successor = WorkerProcess(address, tmp_path, "successor")
    cleanup.callback(successor.kill)
    successor.start()
    post(address, [transfer(number) for number in range(10, 15)])
    view, eye = assessments(address), Eye(address, changelog_topic("sluice"), decode_state)
    view.until(lambda seen: len(set(ids(seen))) == 15)
    assert successor.stop() == ExitCode.OK
    assert paying(eye.settle()) == (15, 14)
    before = len(eye.seen)
    worker.signal(signal.SIGCONT)
    assert worker.wait() == ExitCode.UNCONFIRMED
    assert b"this process stood still" in worker.log.read_bytes()
    assert len(eye.settle()) == before
    eye.close()
    view.close()
