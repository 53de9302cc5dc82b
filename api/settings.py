"""Settings of the api, from ``SLUICE_*`` variables. Spans in seconds are of world time unless they say wall."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.control.brake import BrakeLimits
from models.control.deadlines import Clocks
from models.control.policy import PolicySettings
from models.risk.lot import Lot
from models.wire import TOPIC_PREFIX_PATTERN
from telemetry.logging import LogLevel

SECOND_US = 1_000_000

Positive = Annotated[float, Field(gt=0)]


class ApiSettings(BaseSettings):
    """Everything the api needs to know; `run_api` takes one of these."""

    model_config = SettingsConfigDict(env_prefix="SLUICE_", extra="ignore", frozen=True)

    # --- where things are
    broker: str = Field(description="HOST:PORT of a Kafka broker, or several with commas.")
    database_url: str = Field(default="sqlite:///.run/sluice.db", description="SQLite file or PostgreSQL database.")
    migrate: bool = Field(default=True, description="Bring the database to the current schema at the start.")
    host: str = Field(default="127.0.0.1", description="Address to serve on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to serve on; 0 takes a free one.")
    ready_file: Path | None = Field(default=None, description="Gets the base URL once the api answers.")
    log_level: LogLevel = Field(default="INFO", description="Least level logged.")
    clock: str = Field(default="", description="wall_origin_us:world_origin_us:speed; empty is the wall clock.")
    instance: str = Field(
        default="api",
        pattern=r"^[0-9A-Za-z_\-]{1,64}$",
        description="Name of this replica; stable over restarts, different between replicas.",
    )
    topic_prefix: str = Field(
        default="",
        pattern=TOPIC_PREFIX_PATTERN,
        description="Put before the name of every topic; the same for all programs of an installation.",
    )
    group: str = Field(default="sluice-api", pattern=r"^[0-9A-Za-z_\-]{1,64}$", description="Consumer group.")

    # --- who may do what, and which banks there are
    api_keys: SecretStr = Field(default=SecretStr("[]"), description="JSON list of keys, hashed (see api/auth.py).")
    api_keys_file: Path | None = Field(default=None, description="File with such a list; both may be given.")
    banks: dict[str, str] = Field(default={}, description="JSON object: bank code to base URL; empty is bank_url.")
    bank_url: str = Field(default="", description="Base URL of the banks that have none of their own.")
    bank_token: SecretStr = Field(default=SecretStr(""), description="Bearer token sent to the banks.")

    # --- intake
    max_body_bytes: int = Field(default=1_000_000, ge=1_000, description="Longest request body.")
    max_batch: int = Field(default=1_000, ge=1, le=1_000, description="Most transfers in one batch.")
    confirm_timeout_s: Positive = Field(default=5.0, description="Wall time the broker may take to confirm.")
    linger_ms: float = Field(default=1.0, ge=0, le=100, description="How long the producer gathers records.")
    future_tolerance_s: float = Field(default=300.0, ge=0, description="How far in the future a transfer may lie.")
    waiter_poll_ms: int = Field(
        default=0, ge=0, description="With several replicas: how often a waiting request looks into the database."
    )

    # --- traces
    trace_sample: float = Field(
        default=0.0, ge=0, le=1, description="Share of transfers, of those without a bank's trace, whose spans leave."
    )
    otlp_endpoint: str = Field(default="", description="OTLP/HTTP address of a collector of spans; empty sends none.")

    # --- feed
    fetch_wait_ms: int = Field(default=5, ge=1, le=1_000, description="How long the broker gathers before it answers.")
    persist_every_ms: int = Field(
        default=100, ge=1, le=5_000, description="Longest wait before assessments are stored."
    )
    persist_max: int = Field(default=500, ge=1, le=5_000, description="Most assessments stored in one transaction.")

    # --- labels
    review_sample_rate: float = Field(
        default=0.0005, ge=0, le=1, description="Share of allowed transfers drawn by lot for analysts; 0 draws none."
    )
    review_sample_salt: SecretStr = Field(
        default=SecretStr(""), description="Secret of that lot; who knows it can choose ids that are never drawn."
    )

    # --- banks
    bank_timeout_s: Positive = Field(default=5.0, description="Wall time one call to a bank may take.")
    bank_concurrency: int = Field(default=8, ge=1, le=256, description="Calls under way to one bank.")
    breaker_failures: int = Field(default=5, ge=1, description="Failures in a row that open a bank's breaker.")
    breaker_open_s: Positive = Field(default=5.0, description="Wall time before an open breaker tries again.")
    retry_first_s: Positive = Field(default=0.2, description="Wall time before the first repetition of a call.")
    retry_max_s: Positive = Field(default=30.0, description="Longest wall time between repetitions.")
    seed: int = Field(default=1, description="Seed of the jitter of repetitions.")

    # --- policy and clocks
    hold_s: Positive = Field(default=86_400.0, description="Longest protective stop, from the bank's stop point.")
    cooldown_s: float = Field(default=86_400.0, ge=0, description="Rest of an account after a person released it.")
    max_amount_holds: int = Field(default=5, ge=1, description="Amount-limited stops before the whole account.")
    freeze_months: int = Field(default=6, ge=1, le=12, description="Term of drafted freezes.")
    feedback_s: Positive = Field(default=60.0, description="Time a bank has to answer a command.")
    feedback_min_wall_s: Positive = Field(default=2.0, description="The same in wall time; the later one counts.")
    review_s: Positive = Field(default=1_800.0, description="Time in which a person should look at a protective stop.")
    reconcile_s: Positive = Field(default=60.0, description="How often an unclear order is checked with its bank.")
    retry_release_s: Positive = Field(default=300.0, description="How often a failed release is tried again.")
    timer_ms: int = Field(default=500, ge=10, le=10_000, description="Wall time between two looks at the clocks.")

    # --- brake
    brake_per_minute: int = Field(default=300, ge=1, description="Automatic stops per minute.")
    brake_per_bank_minute: int = Field(default=120, ge=1, description="Automatic stops per minute at one bank.")
    brake_per_rule_minute: int = Field(default=240, ge=1, description="Automatic stops per minute by one rule.")
    brake_share: float = Field(default=0.05, gt=0, le=1, description="Largest share of transfers stopped.")
    brake_share_window_s: Positive = Field(default=600.0, description="Window of that share.")
    brake_share_min_transfers: int = Field(default=1_000, ge=1, description="Fewest transfers for that share.")

    def lot(self) -> Lot:
        """Return the lot by which allowed transfers are drawn for a look."""
        return Lot(rate=self.review_sample_rate, salt=self.review_sample_salt.get_secret_value())

    def policy(self) -> PolicySettings:
        """Return the policy's settings."""
        return PolicySettings(
            hold_us=int(self.hold_s * SECOND_US),
            cooldown_us=int(self.cooldown_s * SECOND_US),
            max_amount_holds=self.max_amount_holds,
            freeze_months=self.freeze_months,
        )

    def clocks(self) -> Clocks:
        """Return the clocks of orders."""
        return Clocks(
            feedback_us=int(self.feedback_s * SECOND_US),
            review_us=int(self.review_s * SECOND_US),
            reconcile_us=int(self.reconcile_s * SECOND_US),
            retry_us=int(self.retry_release_s * SECOND_US),
        )

    def brake_limits(self) -> BrakeLimits:
        """Return the brake's limits."""
        return BrakeLimits(
            per_minute=self.brake_per_minute,
            per_bank_minute=self.brake_per_bank_minute,
            per_rule_minute=self.brake_per_rule_minute,
            share=self.brake_share,
            share_window_us=int(self.brake_share_window_s * SECOND_US),
            share_min_transfers=self.brake_share_min_transfers,
        )
