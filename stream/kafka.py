"""A real Apache Kafka on this machine without Docker: one KRaft node on Java 17.

The jars come from Maven Central by the small pom in ``deploy/kafka`` and are
kept, so that only the first start needs the network.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import time
import uuid
from pathlib import Path
from string import Template
from types import TracebackType
from typing import Final, Self

from stream.leash import leashed
from stream.ports import free_ports
from stream.topics import BrokerAway, wait_for_broker

JVM: Final = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""For a broker that shares few cores and lives for minutes: compiling well costs more than it gives back.

At 1,000 transfers/s with the defaults (G1, both compilers) the first 20 seconds have a p99 of hundreds of
milliseconds, and 30 ms only then; with these it is 30 ms from the start."""

QUIET: Final = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
FETCH_TIMEOUT_S: Final = 600.0
FORMAT_TIMEOUT_S: Final = 60.0
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 20.0


class KafkaUnavailable(Exception):
    """Java or the broker's jars are missing and could not be fetched."""


def java_program() -> str | None:
    """Return the path of a Java runtime, or ``None``."""
    home = os.environ.get("JAVA_HOME")
    return (shutil.which("java", path=f"{home}/bin") if home else None) or shutil.which("java")


CHECKOUT: Final = Path(__file__).resolve().parent.parent


def _deploy_folder() -> Path:
    """Return the folder of pom and properties: of a checkout, or of an installed sluice."""
    folder = CHECKOUT / "deploy" / "kafka"
    return folder if folder.is_dir() else Path(sysconfig.get_path("data")) / "share" / "sluice" / "kafka"


def _kept_jars() -> Path:
    """Return where fetched jars are kept: in a checkout, or in the user's cache."""
    if (CHECKOUT / "deploy").is_dir():
        return CHECKOUT / ".run" / "kafka" / "libs"
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "sluice" / "kafka" / "libs"


def kafka_jars() -> Path:
    """Return the folder of the broker's jars, fetched once by Maven.

    ``SLUICE_KAFKA_HOME`` names a folder of jars (or a Kafka distribution) that
    is there already. Raises `KafkaUnavailable`.
    """
    home = os.environ.get("SLUICE_KAFKA_HOME")
    if home:
        libs = Path(home) / "libs"
        return libs if libs.is_dir() else Path(home)
    libs = _kept_jars()
    if not libs.is_dir():
        _fetch_jars(libs)
    return libs


def _fetch_jars(libs: Path) -> None:
    """Let Maven copy the jars beside their place, then move them there in one step."""
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaUnavailable("the broker's jars are missing and there is no Maven (mvn) to fetch them")
    libs.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=libs.parent) as folder:
        command = [maven, "-q", "-B", "-f", str(_deploy_folder() / "pom.xml"), "dependency:copy-dependencies"]
        command += ["-DincludeScope=runtime", f"-DoutputDirectory={folder}/libs"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)  # noqa: S603
        except subprocess.TimeoutExpired as error:
            raise KafkaUnavailable(f"Maven did not fetch the broker's jars in {FETCH_TIMEOUT_S:.0f} s") from error
        if done.returncode:
            raise KafkaUnavailable(f"Maven could not fetch the broker's jars:\n{done.stdout[-2000:]}")
        with contextlib.suppress(OSError):  # another process was faster
            Path(folder, "libs").rename(libs)


class LocalKafka:
    """One broker with its data folder; may be stopped, killed and started again on the same port.

    >>> LocalKafka(Path("/tmp/none"), port=19092).bootstrap
    '127.0.0.1:19092'
    """

    def __init__(self, home: Path, *, port: int = 0) -> None:
        self._home = home
        spare = free_ports(2)
        self._port = port or spare[0]
        self._controller_port = next(each for each in spare if each != self._port)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """Address for clients."""
        return f"127.0.0.1:{self._port}"

    @property
    def log(self) -> Path:
        """What the broker printed."""
        return self._home / "kafka.log"

    @property
    def alive(self) -> bool:
        """Whether the broker's process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Start the broker, wait until it answers, return its address.

        Raises `KafkaUnavailable` if Java or jars are missing or the broker ends at once,
        `BrokerAway` if it does not answer in time.
        """
        properties = self._home / "server.properties"
        if not properties.exists():
            self._format(properties)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the program we were asked to run
                leashed(self._java("kafka.Kafka", str(properties)), signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait_until_it_answers()
        return self.bootstrap

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if not self.alive:
                raise KafkaUnavailable(f"the broker ended at once:\n{self.log.read_text()[-2000:]}")
            try:
                wait_for_broker(self.bootstrap, 1.0)
            except BrokerAway:
                continue
            return
        raise BrokerAway(f"the broker did not answer in {START_TIMEOUT_S:.0f} s, see {self.log}")

    def _java(self, main: str, *args: str) -> list[str]:
        java = java_program()
        if java is None:
            raise KafkaUnavailable("there is no Java runtime; Kafka 4 needs Java 17")
        return [java, *JVM, QUIET, "-cp", str(kafka_jars() / "*"), main, *args]

    def _format(self, properties: Path) -> None:
        """Write the broker's settings and format its storage, both once."""
        self._home.mkdir(parents=True, exist_ok=True)
        template = Template((_deploy_folder() / "server.properties").read_text())
        draft = properties.with_suffix(".draft")
        draft.write_text(
            template.substitute(PORT=self._port, CONTROLLER_PORT=self._controller_port, DATA=self._home / "data")
        )
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = self._java("kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(draft))
        done = subprocess.run(command, capture_output=True, text=True, timeout=FORMAT_TIMEOUT_S, check=False)  # noqa: S603
        if done.returncode:
            raise KafkaUnavailable(f"the broker's storage could not be formatted:\n{done.stderr[-2000:]}")
        draft.rename(properties)

    def stop(self) -> None:
        """Stop the broker in order; kill it if it takes longer than `STOP_TIMEOUT_S`."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the broker at once (``kill -9``); its data stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
