"""Starts and stops what is measured: a broker for long, programs beside it for one run."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from bench import bare_loop, naive
from bench.kafka_wire import Route, make_topics
from bench.machine import Meter, family
from cli.plan import PARTITIONS, Keys, Plan, ports_for
from cli.supervisor import Program, Supervisor
from stream.kafka import java_program, kafka_jars
from stream.topics import ensure_topics

SCRAPE_S: Final = 5.0
"""Metrics are read as often as deploy/prometheus does."""

SCRAPE_TIMEOUT_S: Final = 2.0
NAIVE: Final = Route(naive.SOURCE, naive.SINK)
BARE: Final = Route(bare_loop.SOURCE, bare_loop.SINK)

Say = Callable[[str], None]


class Stack:
    """One broker, and programs that come and go."""

    def __init__(self, folder: Path, kind: str, say: Say) -> None:
        self._say = say
        self._folder = folder
        self._external = ":" in kind
        self._broker = Supervisor(folder / "broker", say)
        self.keys = Keys.generate()
        self.address = kind if self._external else self._broker.start(self.plan(0).broker(kind))
        ensure_topics(self.address, PARTITIONS)
        make_topics(self.address, (*_names(NAIVE), *_names(BARE)), PARTITIONS)

    def plan(self, workers: int) -> Plan:
        """Return a plan with free ports for so many workers."""
        return Plan(
            folder=self._folder,
            ports=ports_for(workers),
            keys=self.keys,
            clock="",
            seed=1,
            customers=0,
            rate_tps=0.0,
            seconds=None,
        )

    def comparison(self, module: str, **env: str) -> Program:
        """Return the program of a module of this package that is compared with; Faust keeps its files in our folder."""
        own = {"SLUICE_BROKER": self.address, "APP_DATADIR": str(self._folder / f"{module}-data")}
        return Program(name=module, args=(), module=f"bench.{module}", env={**own, **env})

    @contextlib.contextmanager
    def running(self, *programs: Program) -> Iterator[Programs]:
        """Run programs, started at once, until the block ends; their metrics are read all the time."""
        supervisor = Supervisor(self._folder / programs[0].name, self._say)
        scraper = Scraper([program.metrics_url for program in programs if program.metrics_url])
        try:
            supervisor.start_all(list(programs))
            scraper.start()
            yield Programs(supervisor, self._broker)
        finally:
            scraper.stop()
            supervisor.stop()

    def close(self) -> None:
        """Stop the broker."""
        self._broker.stop()


class Programs:
    """Programs that run now."""

    def __init__(self, supervisor: Supervisor, broker: Supervisor) -> None:
        self._supervisor = supervisor
        self._broker = broker

    def check(self) -> None:
        """Raise `cli.supervisor.ProgramDied` if one has died."""
        self._supervisor.check()

    @property
    def restarts(self) -> int:
        """How often a crash-only program was started again."""
        return sum(running.restarts for running in self._supervisor.running)

    def pids(self, prefix: str) -> list[int]:
        """Return the processes of the programs whose names begin so."""
        found = [each.process.pid for each in self._supervisor.running if each.program.name.startswith(prefix)]
        return [pid for each in found for pid in family(each)]

    def meter(self, **groups: list[int]) -> Meter:
        """Return a meter of these groups of processes and of the broker."""
        broker = [pid for each in self._broker.running for pid in family(each.process.pid)]
        return Meter({**groups, "broker": broker})


class Scraper:
    """Reads metrics pages as Prometheus would, in a thread."""

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scraper", daemon=True)
        self.pages = 0

    def start(self) -> None:
        """Start reading."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(SCRAPE_TIMEOUT_S * (1 + len(self._urls)))

    def _run(self) -> None:
        while not self._stopping.wait(SCRAPE_S):
            for url in self._urls:
                with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=SCRAPE_TIMEOUT_S) as page:
                    page.read()
                    self.pages += 1


def _names(route: Route) -> tuple[str, str]:
    return route.source, route.sink


def with_env(program: Program, **env: str) -> Program:
    """Return a program with further settings."""
    return msgspec.structs.replace(program, env={**program.env, **env})


def broker_name(kind: str) -> str:
    """Return the broker in words."""
    java = java_program()
    if kind == "kafka" and java is not None:
        (jar,) = kafka_jars().glob("kafka_2*.jar")
        told = subprocess.run([java, "-version"], capture_output=True, text=True, check=True).stderr.splitlines()[0]
        return f"Apache Kafka {jar.stem.partition('-')[2]}, one KRaft node, {told}"
    return "embedded (librdkafka's mock cluster, in memory)" if kind == "embedded" else kind
