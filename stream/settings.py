"""Settings of the stream's programs, read from ``SLUICE_*`` variables when a program starts."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.wire import TOPIC_PREFIX_PATTERN
from telemetry.logging import LogLevel


class StreamSettings(BaseSettings):
    """What worker and trainer share."""

    model_config = SettingsConfigDict(env_prefix="SLUICE_", extra="ignore", frozen=True)

    broker: str = Field(description="HOST:PORT of a Kafka broker, or several with commas.")
    partitions: int = Field(default=4, ge=1, le=1024, description="Partitions of both stages; never changed later.")
    replication: int = Field(default=1, ge=1, le=5, description="Copies the broker keeps of topics made by code.")
    topic_prefix: str = Field(
        default="",
        pattern=TOPIC_PREFIX_PATTERN,
        description="Put before the name of every topic; the same for all programs of an installation.",
    )
    group: str = Field(
        default="sluice", pattern=r"^[0-9A-Za-z_\-]{1,64}$", description="Consumer group of all workers."
    )
    data_dir: Path = Field(default=Path(".run/stream"), description="Folder of local state; may be lost at any time.")
    metrics_host: str = Field(default="127.0.0.1", description="Address that serves /metrics.")
    metrics_port: int = Field(default=0, ge=0, le=65535, description="Port that serves /metrics; 0 serves none.")
    clock: str = Field(default="", description="wall_origin_us:world_origin_us:speed; empty is the wall clock.")
    rules_file: Path | None = Field(
        default=None, description="TOML or JSON file of what differs from the rule book (docs/rules.md); one for all."
    )
    snapshot_key: SecretStr = Field(default=SecretStr(""), description="Key that signs model snapshots.")
    ready_file: Path | None = Field(default=None, description="Written once the program does its work.")
    log_level: LogLevel = Field(default="INFO", description="Least level logged.")
    broker_wait_s: float = Field(default=60.0, gt=0, description="How long to wait for the broker at the start.")
    shutdown_timeout_s: float = Field(default=6.0, gt=0, description="Longest time that stopping may take.")

    def on_broker(self, topic: str) -> str:
        """Return the name that a topic has on the broker."""
        return self.topic_prefix + topic


class WorkerSettings(StreamSettings):
    """Settings of one scoring worker."""

    worker_id: str = Field(default="worker", pattern=r"^[0-9A-Za-z_\-]{1,64}$", description="Name in logs and group.")
    store: Literal["memory", "rocksdb"] = Field(default="memory", description="Where a worker keeps its profiles.")
    standby_replicas: int = Field(default=0, ge=0, le=4, description="Workers that keep a warm copy of a partition.")
    session_timeout_s: float = Field(default=6.0, ge=3.0, le=60.0, description="After this silence a worker is dead.")
    confirm_timeout_s: float = Field(
        default=4.0, gt=0, description="A write unconfirmed for longer ends the worker; less than the session timeout."
    )
    drain_timeout_s: float = Field(
        default=3.0, gt=0, description="Longest wait for work in flight at a planned change."
    )
    batch_max: int = Field(
        default=100,
        ge=1,
        le=5_000,
        description="Records from which a stage takes no more at once (more would outgrow a cache).",
    )
    linger_ms: float = Field(default=1.0, ge=0, le=100, description="How long the producer gathers records to send.")
    fetch_wait_ms: int = Field(
        default=500, ge=1, le=1_500, description="How long the broker holds an answer without records."
    )
    fetch_pause_ms: float = Field(
        default=8.0, ge=0, le=100, description="Shortest time between two requests for records: latency against CPU."
    )
    future_tolerance_s: float = Field(default=300.0, ge=0, description="World time by which a transfer may be early.")
    brake_window: int = Field(default=1_000, ge=10, description="Latest records the dead-letter brake looks at.")
    brake_share: float = Field(default=0.5, gt=0, le=1, description="Share of bad records above which a worker stops.")

    @model_validator(mode="after")
    def _writes_end_before_the_session(self) -> Self:
        if self.confirm_timeout_s >= self.session_timeout_s:
            raise ValueError("confirm_timeout_s must be less than session_timeout_s, or a late write could land")
        return self


class TrainerSettings(StreamSettings):
    """Settings of the trainer."""

    publish_every_s: float = Field(default=30.0, gt=0, description="Wall time between two published snapshots.")
    maturity_s: float = Field(
        default=86_400.0, ge=0, description="World time after which a transfer nobody doubted counts as honest."
    )
    niceness: int = Field(
        default=10, ge=0, le=19, description="How far the trainer gives way to the critical path on its machine."
    )
