"""A clock moved by hand and a pretended system under load, for tests of the bench."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from bench.stats import Latency
from bench.throughput import Calm, Seen, Trial

SECOND_US = 1_000_000


class HandClock:
    """Sleeping moves it."""

    def __init__(self, start_us: int = 1_000 * SECOND_US) -> None:
        self.us = start_us
        self.start_us = start_us

    def now_us(self) -> int:
        return self.us

    def sleep(self, seconds: float) -> None:
        self.us += max(1, round(seconds * SECOND_US))


class Server:
    """A wire to a server that needs ``service_us`` for each thing and does nothing from ``stall_us`` on for a while."""

    def __init__(
        self, clock: HandClock, *, service_us: int, stall: tuple[int, int] = (0, 0), twice: bool = False
    ) -> None:
        self._clock = clock
        self._service_us = service_us
        self._stall = tuple(clock.start_us + each for each in stall)
        self._free_us = 0
        self._out: deque[tuple[int, int]] = deque()
        self._twice = twice
        self.sent_us: list[int] = []
        self.due_us: list[int] = []

    def send(self, number: int, due_us: int) -> None:
        self.sent_us.append(self._clock.us)
        self.due_us.append(due_us)
        done_us = max(self._clock.us, self._free_us) + self._service_us
        if self._stall[0] <= done_us < self._stall[1]:
            done_us = self._stall[1] + self._service_us
        self._free_us = done_us
        self._out.extend([(done_us, number)] * (2 if self._twice else 1))

    def arrived(self) -> Sequence[int]:
        found = []
        while self._out and self._out[0][0] <= self._clock.us:
            found.append(self._out.popleft()[1])
        return found


def trial(rate: float, held: bool = True) -> Trial:
    latency = Latency(p50=8.0, p99=20.0, p999=30.0, worst=31.0, count=100)
    cpu = {"subject": 100.0, "broker": 40.0}
    return Trial(rate=rate, held=held, backlog_s=0.0, latency_ms=latency, loader_delay_ms=0.1, cpu_us_per_transfer=cpu)


def seen(rates: dict[str, list[float]], panel: str = "p-1") -> Seen:
    """Return what runs with these highest rates leave behind."""
    calm = [
        Calm(
            latency_ms=Latency(p50=8.0 + run, p99=20.0 + run, p999=30.0, worst=31.0, count=100),
            cpu_us_per_transfer={"subject": 150.0, "broker": 90.0},
            threads_us_per_transfer={"main": 100.0, "other": 30.0, "librdkafka": 20.0},
            worker_mb=120.0,
        )
        for run in range(len(rates["one_worker"]))
    ]
    trials = {name: [trial(rate) for rate in found] for name, found in rates.items()}
    return Seen(rates=rates, trials=trials, calm=calm, panel=panel)


Holds = Callable[[float], bool]
