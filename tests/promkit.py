"""A real Prometheus over a running stack, with our rules on a faster clock.

Windows and waits are shortened here, and only here, so that every fault shows
in seconds; ``deploy/prometheus/tests`` checks the true ones with promtool.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import yaml
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from api.auth import hash_key
from cli.plan import BANKS, Keys, Plan, ports_for
from cli.supervisor import Program, Running, Supervisor
from models.money.types import us_from_iso
from models.wire import Topic
from simulators.population import build_population
from simulators.settings import WorldSettings
from simulators.tempo import derive_clock
from stream.topics import admin_client
from telemetry.clock import format_clock, wall_us
from tests.conftest import require
from tests.deploy_files import PROMETHEUS

FASTER: Final = 60
"""Windows of the rules are this much shorter in the test, but never below `SHORTEST_S`."""

SHORTEST_S: Final = 5
SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
WAIT_S: Final = 240.0
"""Only a failure waits this long; a busy machine is no failure."""

APPROVER_KEY: Final = "second-signature"
BLACK_SHOPS: Final = slice(4, None, 5)
"""Neither the busiest nor all, so that stops come by the second and not by the dozen."""

CUSTOMERS: Final = 2_000
RATE_TPS: Final = 60.0

THRESHOLDS: Final = {
    "sluice_outbox_oldest_seconds) > 60": "sluice_outbox_oldest_seconds) > 4",
    "sluice_unpublished_oldest_seconds) > 30": "sluice_unpublished_oldest_seconds) > 4",
    "sluice_audit_checked_timestamp_seconds[1d])) > 3600": "sluice_audit_checked_timestamp_seconds[1d])) > 12",
    "changes(process_start_time_seconds[15m]) > 3": "changes(process_start_time_seconds[240m]) > 1",
    'process_cpu_seconds_total{job="worker"}[5m]) > 0.9': 'process_cpu_seconds_total{job="worker"}[5m]) > 0.1',
    'sluice_program_exits_total{reason="brake"}[15m]': 'sluice_program_exits_total{reason="brake"}[240m]',
    'sluice_program_exits_total{reason="offset_gap"}[15m]': 'sluice_program_exits_total{reason="offset_gap"}[240m]',
}
"""Bounds that only hours or a machine of one's own would pass, and what the test asks instead.

A program's restart takes here as long as in life, so windows that must reach back over one are hardly shorter.
"""


def shortened(duration: str, least_s: int = SHORTEST_S) -> str:
    """Return a duration divided by `FASTER`.

    >>> shortened("1h"), shortened("1m")
    ('60s', '5s')
    """
    number, unit = int(duration[:-1]), duration[-1]
    return f"{max(least_s, number * SECONDS[unit] // FASTER)}s"


def faster_rules(name: str) -> str:
    """Return a rule file with every window, offset and ``for`` shortened and `THRESHOLDS` put in."""
    text = (PROMETHEUS / name).read_text()
    for real, eased in THRESHOLDS.items():
        text = text.replace(real, eased)
    loaded = yaml.safe_load(text)
    for group in loaded["groups"]:
        group.pop("interval", None)
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"\[(\d+[smhd])\]", lambda hit: f"[{shortened(hit[1])}]", rule["expr"])
            rule["expr"] = re.sub(r"offset (\d+[smhd])", lambda hit: f"offset {shortened(hit[1])}", rule["expr"])
            if "for" in rule:
                rule["for"] = shortened(rule["for"], 1)
    return yaml.safe_dump(loaded, allow_unicode=True, width=1000)


class Stack:
    """Everything that ``sluice up`` runs, with programs that a test may stop, kill and start again."""

    def __init__(self, folder: Path, broker_kind: str, workers: int, settings: Mapping[str, str]) -> None:
        self._world = world = WorldSettings(seed=7, customers=CUSTOMERS, rate_tps=RATE_TPS, seconds=None)
        self.plan = Plan(
            folder=folder,
            ports=ports_for(workers),
            keys=Keys.generate(),
            clock=format_clock(derive_clock(world, wall_us())),
            seed=7,
            customers=CUSTOMERS,
            rate_tps=RATE_TPS,
            seconds=None,
        )
        self._kind = broker_kind
        self._settings = {**settings, "SLUICE_API_KEYS": _with_approver(self.plan.keys.hashed())}
        self._honest: set[str] = set()
        self.notes: list[str] = []
        self.supervisor = Supervisor(folder, self.notes.append)
        self.broker = ""
        self.http = httpx.Client(timeout=WAIT_S)

    def start(self) -> None:
        """Start everything in the order of ``sluice up`` and return once the world is live."""
        plan, supervisor = self.plan, self.supervisor
        self.broker = supervisor.start(plan.broker(self._kind))
        supervisor.start_all([self._set(each) for each in self.streams()])
        supervisor.start_all([self._set(plan.api(self.broker)), self._set(plan.bank())])
        supervisor.start(self._set(plan.world()))

    def streams(self) -> list[Program]:
        """Return the stream's programs."""
        return [*self.plan.workers(self.broker), self.plan.trainer(self.broker)]

    def _set(self, program: Program, **settings: str) -> Program:
        env = {**program.env, **self._settings, **settings}
        return msgspec.structs.replace(program, env=env, ready_timeout_s=WAIT_S)

    def stop(self) -> None:
        """Stop all of it."""
        self.supervisor.stop()
        self.http.close()

    def running(self, name: str) -> Running:
        """Return a program that was started."""
        return self.supervisor.find(name)

    def signal(self, name: str, number: int) -> None:
        """Send a signal to one program, started by us."""
        os.kill(self.running(name).process.pid, number)

    def kill(self, name: str) -> None:
        """End one program at once and leave it down."""
        self.running(name).process.kill()
        self.running(name).process.wait()

    @contextmanager
    def frozen_broker(self) -> Iterator[None]:
        """Let the broker stand still, as one whose disk does not answer; Kafka is a child of its program."""
        parent = self.running("broker").process.pid
        (child,) = (int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split())
        os.kill(child, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(child, signal.SIGCONT)

    def rearm_brake(self) -> None:
        """Let stops be made again: after a pause they are too large a share of too few transfers, by chance."""
        headers = {"X-Api-Key": self.plan.keys.operator}
        path = f"{self.plan.api_url}/v1/admin/brake:rearm"
        self.http.post(path, json={"reason": "the broker is back"}, headers=headers).raise_for_status()

    def restart(self, *names: str, **settings: str) -> None:
        """Start programs again that have ended, with other settings if any, and wait until they are ready."""
        for name in names:
            running = self.running(name)
            running.program = self._set(running.program, **settings)
            running.restart()
        for name in names:
            self.supervisor.wait_ready(self.running(name))

    def revive(self) -> None:
        """Start again, as ``sluice up`` does, what ended by an exit code that asks for it."""
        for running in self.supervisor.running:
            if running.process.poll() in running.program.restart_codes:
                self.notes.append(f"{running.program.name} ended by exit code {running.process.returncode}")
                running.restart()

    def ended_by(self, name: str, code: int) -> bool:
        """Return whether a program has ended by an exit code, and not by one that asks for a restart."""
        self.revive()
        return self.running(name).process.poll() == code

    @contextmanager
    def locked_database(self) -> Iterator[None]:
        """Hold the right to write to the api's database, as a tool that somebody left open would."""
        connection = sqlite3.connect(self.plan.folder / "sluice.db", timeout=WAIT_S, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
        finally:
            connection.close()

    @contextmanager
    def refused_records(self, topic: Topic) -> Iterator[None]:
        """Let the broker refuse every record of a topic as too large."""
        self._limit_records(topic, AlterConfigOpType.SET)
        try:
            yield
        finally:
            self._limit_records(topic, AlterConfigOpType.DELETE)

    def _limit_records(self, topic: Topic, how: AlterConfigOpType) -> None:
        limit = ConfigEntry("max.message.bytes", "1", incremental_operation=how)
        resource = ConfigResource(ResourceType.TOPIC, topic.value, incremental_configs=[limit])
        admin = admin_client(self.broker)
        (done,) = admin.incremental_alter_configs([resource]).values()
        done.result(WAIT_S)

    def targets(self) -> list[dict[str, Any]]:
        """Return scrape targets as Prometheus reads them from a file."""
        return [
            {
                "targets": [running.program.metrics_url.removeprefix("http://").removesuffix("/metrics")],
                "labels": {"job": running.program.name.split("-")[0], "region": "local"},
            }
            for running in self.supervisor.running
            if running.program.metrics_url
        ]

    def fault(self, bank: str, **plan: Any) -> None:
        """Put a fault plan of `simulators.faults` in force at one bank."""
        self.http.post(f"{self.plan.bank_url}/faults", json={"bank": bank, **plan}).raise_for_status()

    def heal(self) -> None:
        """End all faults of banks."""
        self.http.delete(f"{self.plan.bank_url}/faults").raise_for_status()

    def api(self, method: str, path: str, key: str, body: Any = None, **params: Any) -> Any:
        """Call the api as the holder of ``key`` and return the decoded answer."""
        headers = {"Authorization": f"Bearer {key}"}
        answer = self.http.request(method, f"{self.plan.api_url}{path}", headers=headers, json=body, params=params)
        answer.raise_for_status()
        return answer.json()

    def blacklist_shops(self) -> None:
        """Put some shops on the black list: from now on stops are certain, whatever the detectors have learned."""
        world = self._world
        town = build_population(
            seed=world.seed, customers=world.customers, banks=BANKS, start_us=us_from_iso(world.start)
        )
        for shop in (town.accounts[index] for index in town.merchants[BLACK_SHOPS]):
            path = f"/v1/lists/{shop.bank}/{shop.number}"
            self.api("PUT", path, self.plan.keys.reporter, {"level": "black", "reason": "for the test"})
            self.api("POST", f"{path}/approve", APPROVER_KEY)

    def find_honest(self) -> None:
        """Say once of every transfer under a protective stop that it was honest; one not yet stored waits."""
        key = self.plan.keys.reporter
        orders = self.api("GET", "/v1/orders", key, kind="protective_stop", limit=200)["orders"]
        stopped = {transfer_id for order in orders for transfer_id in order["transfer_ids"]}
        for transfer_id in sorted(stopped - self._honest):
            body = {"transfer_id": transfer_id, "label": "honest"}
            headers = {"Authorization": f"Bearer {key}"}
            answer = self.http.post(f"{self.plan.api_url}/v1/verdicts", json=body, headers=headers)
            assert answer.status_code in {202, 404}, answer.text
            if answer.status_code == 202:
                self._honest.add(transfer_id)


def _with_approver(keys: str) -> str:
    """Return the api's keys with one more, of a person who gives the second signature."""
    second = {"name": "second", "sha256": hash_key(APPROVER_KEY), "roles": ["approver"]}
    return msgspec.json.encode([*msgspec.json.decode(keys), second]).decode()


class Prometheus:
    """One Prometheus server on a free port of loopback, that watches a stack."""

    def __init__(self, folder: Path, stack: Stack, port: int) -> None:
        self._stack = stack
        program = shutil.which("prometheus")
        require(program is not None, "prometheus")
        folder.mkdir(parents=True)
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["recording.yml", "alerts.yml"],
            "scrape_configs": [{"job_name": "sluice", "file_sd_configs": [{"files": ["targets.json"]}]}],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        (folder / "targets.json").write_bytes(msgspec.json.encode(stack.targets()))
        for name in ("recording.yml", "alerts.yml"):
            (folder / name).write_text(faster_rules(name))
        command = [str(program), "--config.file=prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn", "--query.lookback-delta=10s"]
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(command, cwd=folder, stdout=self._log, stderr=self._log)
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=WAIT_S)
        self.seen: dict[str, dict[str, str]] = {}
        """Every alert that was seen firing, with the labels of the first."""

    def stop(self) -> None:
        """Stop the server."""
        self._process.terminate()
        self._process.wait(WAIT_S)
        self._http.close()
        self._log.close()

    def ready(self) -> bool:
        """Return whether the server answers."""
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def query(self, expression: str) -> list[float]:
        """Return the values of an instant query, those that are no number left out."""
        answer = self._http.post("/api/v1/query", data={"query": expression}).json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        data = answer["data"]
        samples = data["result"] if data["resultType"] == "vector" else [{"value": data["result"]}]
        values = [float(sample["value"][1]) for sample in samples]
        return [value for value in values if not math.isnan(value)]

    def labels(self, expression: str) -> list[dict[str, str]]:
        """Return the labels of an instant query's series, to say more of a failure."""
        answer = self._http.post("/api/v1/query", data={"query": expression}).json()
        return [series["metric"] for series in answer["data"]["result"]]

    def has_shown(self, expression: str) -> bool:
        """Return whether a query had any number in the last hour, as a panel over that time would show."""
        now = time.time()
        span = {"query": expression, "start": now - 3600, "end": now, "step": 2}
        answer = self._http.post("/api/v1/query_range", data=span).json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        values = (value for series in answer["data"]["result"] for _, value in series["values"])
        return any(not math.isnan(float(value)) for value in values)

    def firing(self) -> set[str]:
        """Return the alerts firing now, and remember them; keep the stack alive meanwhile."""
        self._stack.revive()
        alerts = self._http.get("/api/v1/alerts").json()["data"]["alerts"]
        now = {each["labels"]["alertname"]: each["labels"] for each in alerts if each["state"] == "firing"}
        self.seen = {**now, **self.seen}
        return set(now)

    def unhealthy_rules(self) -> list[str]:
        """Return what rules could not be evaluated, and why."""
        groups = self._http.get("/api/v1/rules").json()["data"]["groups"]
        return [
            f"{rule['name']}: {rule['lastError']}"
            for group in groups
            for rule in group["rules"]
            if rule.get("lastError")
        ]


def wait_until(reached: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
    """Return once ``reached`` says so; fail with ``what`` was waited for."""
    deadline = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.25)
