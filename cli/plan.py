"""What ``sluice up`` starts: the programs, their ports, keys and settings."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from cli.supervisor import Program
from simulators.settings import DEFAULT_BANKS
from stream.exitcodes import RESTART_CODES
from stream.ports import free_ports
from stream.settings import StreamSettings

HOST = "127.0.0.1"
PARTITIONS = 4
BANKS = tuple(DEFAULT_BANKS.split(","))
KAFKA_READY_S = 600.0
"""The first start of a real Kafka fetches its jars."""

PEOPLE: Final[Mapping[str, tuple[str, ...]]] = {"analyst": ("analyst",), "approver": ("analyst", "approver")}
"""Two persons and their roles, as the api names them: enough that one drafts or submits and the other approves."""


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """Free ports of this machine, one for each program."""

    api: int
    bank: int
    world: int
    trainer: int
    workers: tuple[int, ...]


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """Secrets made for one run."""

    banks: dict[str, str]
    reporter: str
    operator: str
    snapshot: str
    people: dict[str, str] = {}
    """Keys of those of `PEOPLE` that there are."""

    @classmethod
    def generate(cls, people: Iterable[str] = ()) -> Keys:
        """Return fresh keys, some for ``people`` too."""
        return cls(
            banks={bank: secrets.token_urlsafe(24) for bank in BANKS},
            reporter=secrets.token_urlsafe(24),
            operator=secrets.token_urlsafe(24),
            snapshot=secrets.token_urlsafe(32),
            people={name: secrets.token_urlsafe(24) for name in people},
        )

    def hashed(self) -> str:
        """Return what the api needs to know of these keys: names, roles and digests, as JSON."""
        entries: list[dict[str, object]] = [
            {"name": bank, "sha256": _digest(key), "banks": [bank]} for bank, key in self.banks.items()
        ]
        entries.append({"name": "hotline", "sha256": _digest(self.reporter), "roles": ["analyst"]})
        entries.append({"name": "supervisor", "sha256": _digest(self.operator), "roles": ["operator"]})
        entries += [{"name": name, "sha256": _digest(key), "roles": PEOPLE[name]} for name, key in self.people.items()]
        return msgspec.json.encode(entries).decode()


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def ports_for(workers: int) -> Ports:
    """Return ports that are free now."""
    api, bank, world, trainer, *others = free_ports(4 + workers)
    return Ports(api=api, bank=bank, world=world, trainer=trainer, workers=tuple(others))


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the programs of one run must agree on."""

    folder: Path
    ports: Ports
    keys: Keys
    clock: str
    seed: int
    customers: int
    rate_tps: float
    seconds: float | None
    guest_name: str = ""
    """Begins the names of this run's topics and groups on a broker that is not its own; empty on one that is."""

    @property
    def topic_prefix(self) -> str:
        """What stands before every topic's name."""
        return f"{self.guest_name}." if self.guest_name else ""

    @property
    def worker_group(self) -> str:
        """Consumer group of the workers."""
        return self.guest_name or "sluice"

    @property
    def api_group(self) -> str:
        """Consumer group of the api."""
        return f"{self.worker_group}-api"

    def stream_settings(self, broker: str) -> StreamSettings:
        """Return how this run's programs use a broker; what is not the plan's comes from ``SLUICE_*`` variables."""
        return StreamSettings(
            broker=broker, partitions=PARTITIONS, topic_prefix=self.topic_prefix, group=self.worker_group
        )

    @property
    def api_url(self) -> str:
        """Base URL of the api."""
        return f"http://{HOST}:{self.ports.api}"

    @property
    def api_metrics(self) -> str:
        """Address of the api's metrics."""
        return f"{self.api_url}/metrics"

    @property
    def bank_url(self) -> str:
        """Base URL of the fake banks."""
        return f"http://{HOST}:{self.ports.bank}"

    @property
    def world_url(self) -> str:
        """Base URL of the world."""
        return f"http://{HOST}:{self.ports.world}"

    def broker(self, kind: str) -> Program:
        """Return the broker's program."""
        return Program(name="broker", args=("broker", "--kind", kind), ready_timeout_s=KAFKA_READY_S, foundation=True)

    def bank(self) -> Program:
        """Return the fake banks' program."""
        return Program(
            name="bank",
            args=("bank",),
            metrics_url=f"{self.bank_url}/metrics",
            env={
                "SLUICE_BANK_PORT": str(self.ports.bank),
                "SLUICE_BANK_BANKS": ",".join(f"{bank}={key}" for bank, key in self.keys.banks.items()),
                "SLUICE_SLUICE_URL": self.api_url,
                "SLUICE_CLOCK": self.clock,
            },
        )

    def api(self, broker: str) -> Program:
        """Return the api's program."""
        return Program(
            name="api",
            args=("api",),
            metrics_url=self.api_metrics,
            env={
                "SLUICE_BROKER": broker,
                "SLUICE_TOPIC_PREFIX": self.topic_prefix,
                "SLUICE_GROUP": self.api_group,
                "SLUICE_PORT": str(self.ports.api),
                "SLUICE_DATABASE_URL": f"sqlite:///{self.folder.absolute()}/sluice.db",
                "SLUICE_API_KEYS": self.keys.hashed(),
                "SLUICE_BANK_URL": self.bank_url,
                "SLUICE_CLOCK": self.clock,
            },
        )

    def workers(self, broker: str) -> list[Program]:
        """Return the scoring workers' programs."""
        return [
            Program(
                name=f"worker-{number}",
                args=("worker",),
                restart_codes=RESTART_CODES,
                restarts_killed=True,
                metrics_url=f"http://{HOST}:{port}/metrics",
                env={"SLUICE_WORKER_ID": f"worker-{number}", **self._stream(broker, port)},
            )
            for number, port in enumerate(self.ports.workers, start=1)
        ]

    def trainer(self, broker: str) -> Program:
        """Return the trainer's program."""
        return Program(
            name="trainer",
            args=("trainer",),
            restart_codes=RESTART_CODES,
            restarts_killed=True,
            metrics_url=f"http://{HOST}:{self.ports.trainer}/metrics",
            env=self._stream(broker, self.ports.trainer),
        )

    def world(self) -> Program:
        """Return the world's program."""
        seconds = {} if self.seconds is None else {"SLUICE_WORLD_SECONDS": str(self.seconds)}
        return Program(
            name="world",
            args=("world",),
            metrics_url=f"{self.world_url}/metrics",
            ready_timeout_s=180.0,
            env={
                "SLUICE_WORLD_PORT": str(self.ports.world),
                "SLUICE_BANK_URL": self.bank_url,
                "SLUICE_SLUICE_URL": self.api_url,
                "SLUICE_WORLD_REPORT_KEY": self.keys.reporter,
                "SLUICE_WORLD_SEED": str(self.seed),
                "SLUICE_WORLD_CUSTOMERS": str(self.customers),
                "SLUICE_WORLD_RATE_TPS": str(self.rate_tps),
                "SLUICE_WORLD_BANKS": ",".join(self.keys.banks),
                "SLUICE_CLOCK": self.clock,
                "SLUICE_WORLD_STAY": "true",
                **seconds,
            },
        )

    def _stream(self, broker: str, metrics_port: int) -> dict[str, str]:
        return {
            "SLUICE_BROKER": broker,
            "SLUICE_PARTITIONS": str(PARTITIONS),
            "SLUICE_TOPIC_PREFIX": self.topic_prefix,
            "SLUICE_GROUP": self.worker_group,
            "SLUICE_METRICS_PORT": str(metrics_port),
            "SLUICE_DATA_DIR": str(self.folder),
            "SLUICE_SNAPSHOT_KEY": self.keys.snapshot,
            "SLUICE_CLOCK": self.clock,
        }
