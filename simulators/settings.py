"""Settings of the fake banks, the world and the simulator, from ``SLUICE_*`` variables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from models.money.types import EARLIEST_US, LATEST_US, us_from_iso
from models.wire import TOPIC_PREFIX_PATTERN
from simulators.bounds import MAX_CUSTOMERS, MAX_DAYS, MAX_FRAUD_SHARE, MAX_HISTORY_DAYS, MAX_SEED, MIN_CUSTOMERS
from simulators.plan import DAY_US
from telemetry.logging import LogLevel
from telemetry.misconfigured import Misconfigured

DEFAULT_BANKS: Final = "jiangnan,donghai,beishan,xihe"
"""Four invented banks; each executes a stop in its own way (`simulators.commands.style_of`)."""

DEFAULT_START: Final = "2026-03-17T00:30:00Z"
"""Start of the world: Tuesday 08:30 in Shanghai, a day without a large payday."""

SHARED: Final = {
    "SLUICE_URL": "Base URL of Sluice's api; empty tells it nothing.",
    "CLOCK": "wall_origin_us:world_origin_us:speed; empty is the wall clock.",
    "TOPIC_PREFIX": "Put before the name of every topic; the same for all programs of an installation.",
    "READY_FILE": "Gets the base URL once the program does its work.",
    "LOG_LEVEL": "Least level that is logged.",
}
"""Settings under one name for every program of a machine."""


def shared(name: str, default: Any = "", **limits: Any) -> Any:
    """Return the field of a setting that all programs share: ``SLUICE_<name>``.

    It has that one alias: another would be a variable, too. ``populate_by_name`` lets code use the field's name.
    """
    return Field(default=default, validation_alias=f"SLUICE_{name}", description=SHARED[name], **limits)


def split_names(value: Any) -> Any:
    """Return the parts of a text with commas; leave anything else to pydantic.

    >>> split_names("a, b")
    ('a', 'b')
    """
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def checked_start(text: str) -> str:
    """Return the first moment of a world; raise `ValueError` unless it and all that follows can be dated.

    >>> checked_start("2026-03-17T00:30:00Z")
    '2026-03-17T00:30:00Z'
    """
    try:
        start_us = us_from_iso(text)
    except ValueError:
        raise ValueError(f"no moment such as {DEFAULT_START}: {text!r}") from None
    if not EARLIEST_US + MAX_HISTORY_DAYS * DAY_US <= start_us <= LATEST_US - MAX_DAYS * DAY_US:
        raise ValueError(f"no world begins so early or so late: {text!r}")
    return text


Start = Annotated[str, AfterValidator(checked_start)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_names), Field(min_length=1)]


class BankSettings(BaseSettings):
    """One process with many fake banks. Variables: ``SLUICE_BANK_*``."""

    model_config = SettingsConfigDict(
        env_prefix="SLUICE_BANK_", populate_by_name=True, extra="ignore", allow_inf_nan=False
    )

    host: str = Field(default="127.0.0.1", description="Address to serve on.")
    port: int = Field(default=0, ge=0, le=65535, description="Port to serve on; 0 takes a free one.")
    banks: str = Field(
        default=DEFAULT_BANKS,
        description="Banks as name[=key],...; the key signs the transfers a bank posts to Sluice.",
    )
    sluice_url: str = shared("SLUICE_URL")
    clock: str = shared("CLOCK")
    ready_file: Path | None = shared("READY_FILE", None)
    log_level: LogLevel = shared("LOG_LEVEL", "INFO")
    answer_delay_ms: float = Field(default=20.0, ge=0, description="How long a bank takes to answer a command.")
    lost_answer_s: float = Field(
        default=30.0, gt=0, description="How long a lost answer keeps its caller waiting, unless that gives up."
    )
    linger_ms: float = Field(default=5.0, ge=0, description="How long a bank gathers transfers before it posts them.")
    post_batch: int = Field(default=1000, ge=1, le=1000, description="Most transfers in one post.")
    post_timeout_s: float = Field(default=10.0, gt=0, description="Wall time a post to Sluice may take.")
    queue_limit: int = Field(
        default=50_000, ge=1, description="Transfers a bank may have to tell Sluice before it refuses to execute more."
    )

    def bank_keys(self) -> dict[str, str]:
        """Return each bank's key to Sluice; raise `Misconfigured` for a bank named twice or not at all."""
        pairs = [part.strip().partition("=") for part in self.banks.split(",")]
        keys = {name: key for name, _, key in pairs if name}
        if len(keys) != len(pairs):
            raise Misconfigured(f"SLUICE_BANK_BANKS: banks must have different names: {[name for name, _, _ in pairs]}")
        return keys


class SimulateSettings(BaseSettings):
    """An open-loop world written to a file or a topic. Variables: ``SLUICE_SIMULATE_*``."""

    model_config = SettingsConfigDict(
        env_prefix="SLUICE_SIMULATE_", populate_by_name=True, extra="ignore", allow_inf_nan=False
    )

    seed: int = Field(default=1, ge=0, le=MAX_SEED, description="The same seed makes the same transfers.")
    customers: int = Field(default=10_000, ge=MIN_CUSTOMERS, le=MAX_CUSTOMERS, description="People in the world.")
    days: float = Field(default=14.0, gt=0, le=MAX_DAYS, description="Days of the world.")
    fraud_share: float = Field(
        default=0.003, ge=0, le=MAX_FRAUD_SHARE, description="Share of rows that are fraud, met on the average."
    )
    start: Start = Field(default="2026-03-02T16:00:00Z", description="First moment of the world, ISO-8601 UTC.")
    banks: Names = Field(default=tuple(DEFAULT_BANKS.split(",")), description="Banks, with commas.")
    rate_tps: float = Field(default=300.0, gt=0, description="Transfers per second when publishing to a broker.")
    limit: int | None = Field(default=None, ge=1, description="End after so many transfers.")
    topic_prefix: str = shared("TOPIC_PREFIX", pattern=TOPIC_PREFIX_PATTERN)


class WorldSettings(BaseSettings):
    """The closed-loop world. Variables: ``SLUICE_WORLD_*``.

    ``rate_tps`` and ``customers`` together fix how fast the world's clock must
    run (`simulators.tempo.derive_clock`); every process gets that clock.
    Crime is far commoner than in life (about one case per 10,000 customers and
    week), so that a minute shows tens of cases.
    """

    model_config = SettingsConfigDict(
        env_prefix="SLUICE_WORLD_", populate_by_name=True, extra="ignore", allow_inf_nan=False
    )

    host: str = Field(default="127.0.0.1", description="Address to serve on.")
    port: int = Field(default=0, ge=0, le=65535, description="Port to serve on; 0 takes a free one.")
    bank_url: str = Field(
        default="http://127.0.0.1:8200",
        validation_alias="SLUICE_BANK_URL",
        description="Base URL of the fake banks.",
    )
    sluice_url: str = shared("SLUICE_URL")
    report_key: str = Field(default="", description="Key under which victims' reports are filed.")
    clock: str = shared("CLOCK")
    ready_file: Path | None = Field(
        default=None,
        validation_alias="SLUICE_READY_FILE",
        description="Gets the base URL once the live phase begins.",
    )
    log_level: LogLevel = shared("LOG_LEVEL", "INFO")
    seed: int = Field(default=1, ge=0, le=MAX_SEED, description="Seed of people, crooks and chance.")
    customers: int = Field(default=10_000, ge=MIN_CUSTOMERS, le=MAX_CUSTOMERS, description="People in the world.")
    rate_tps: float = Field(default=150.0, gt=0, description="Transfers per wall second in the live phase.")
    seconds: float | None = Field(default=None, gt=0, description="Wall time of the live phase; without it, no end.")
    start: Start = Field(default=DEFAULT_START, description="World time at which the live phase is meant to begin.")
    banks: Names = Field(default=tuple(DEFAULT_BANKS.split(",")), description="Banks, with commas.")
    cases_per_10k_day: float = Field(
        default=160.0, ge=0, description="Crimes begun per 10,000 customers and day of the world."
    )
    history_transfers: int = Field(
        default=20_000, ge=0, description="Honest transfers posted before the live phase, so that accounts are known."
    )
    history_days: float = Field(
        default=3.0, gt=0, le=MAX_HISTORY_DAYS, description="Days before the start they are spread over."
    )
    tick_ms: float = Field(default=20.0, gt=0, description="Wall time between two batches of payments.")
    settle_s: float = Field(
        default=1.5, ge=0, description="Wall time without a new control after which the history counts as settled."
    )
    drain_s: float = Field(default=3.0, ge=0, description="Wall time the last stops have to arrive at the end.")
    status_file: Path | None = Field(default=None, description="Gets the final status as JSON.")
    stay: bool = Field(default=False, description="Keep answering after the end instead of ending the process.")
