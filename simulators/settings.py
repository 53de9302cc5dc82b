"""Settings of the fake banks, the world and the simulator, from ``SLUICE_*`` variables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DEFAULT_BANKS: Final = "jiangnan,donghai,beishan,xihe"
"""Four invented banks; each executes a stop in its own way (`simulators.commands.style_of`)."""

DEFAULT_START: Final = "2026-03-17T00:30:00Z"
"""Start of the world: Tuesday 08:30 in Shanghai, a day without a large payday."""


def shared(name: str) -> AliasChoices:
    """Return the alias of a setting that all programs of one machine share."""
    return AliasChoices(f"SLUICE_{name}", name.lower())


class BankSettings(BaseSettings):
    """One process with many fake banks. Variables: ``SLUICE_BANK_*``.

    ``banks`` is ``name[=key],...``: the key signs the transfers the bank posts to
    ``sluice_url`` (empty posts nothing). ``clock`` is the setting of `telemetry.clock.parse_clock`.
    """

    model_config = SettingsConfigDict(env_prefix="SLUICE_BANK_", populate_by_name=True, extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    banks: str = DEFAULT_BANKS
    sluice_url: str = Field(default="", validation_alias=shared("SLUICE_URL"))
    clock: str = Field(default="", validation_alias=shared("CLOCK"))
    ready_file: Path | None = Field(default=None, validation_alias=shared("READY_FILE"))
    log_level: str = Field(default="INFO", validation_alias=shared("LOG_LEVEL"))
    answer_delay_ms: float = Field(default=20.0, ge=0)
    lost_answer_s: float = Field(default=30.0, gt=0)
    linger_ms: float = Field(default=5.0, ge=0)
    post_batch: int = Field(default=1000, ge=1, le=1000)
    post_timeout_s: float = Field(default=10.0, gt=0)
    queue_limit: int = Field(default=50_000, ge=1)

    def bank_keys(self) -> dict[str, str]:
        """Return each bank's key to Sluice; raise `ValueError` for a bank named twice or not at all."""
        pairs = [part.strip().partition("=") for part in self.banks.split(",")]
        keys = {name: key for name, _, key in pairs if name}
        if len(keys) != len(pairs):
            raise ValueError(f"banks must have different names: {[name for name, _, _ in pairs]}")
        return keys


class SimulateSettings(BaseSettings):
    """An open-loop world written to a file or a topic. Variables: ``SLUICE_SIMULATE_*``.

    ``fraud_share`` is the share of rows that are fraud, met on the average.
    """

    model_config = SettingsConfigDict(env_prefix="SLUICE_SIMULATE_", extra="ignore")

    seed: int = 1
    customers: int = Field(default=10_000, ge=100, le=1_000_000)
    days: float = Field(default=14.0, gt=0, le=3660)
    fraud_share: float = Field(default=0.003, ge=0, le=0.2)
    start: str = "2026-03-02T16:00:00Z"
    banks: Annotated[tuple[str, ...], NoDecode] = tuple(DEFAULT_BANKS.split(","))
    rate_tps: float = Field(default=300.0, gt=0)
    limit: int | None = Field(default=None, ge=1)


class WorldSettings(BaseSettings):
    """The closed-loop world. Variables: ``SLUICE_WORLD_*``.

    ``rate_tps`` and ``customers`` together fix how fast the world's clock must
    run (`simulators.world.derive_clock`); every process gets that clock.
    ``seconds`` is the length of the live phase on the wall; ``None`` never ends. At the
    end the status is written to ``status_file`` and the process ends, or stays to be asked
    (``stay``). The ready file appears when the live phase begins.
    ``cases_per_10k_day`` is far above life (which has about one per 10,000
    customers and week), so that a minute shows tens of cases.
    """

    model_config = SettingsConfigDict(env_prefix="SLUICE_WORLD_", populate_by_name=True, extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    bank_url: str = Field(default="http://127.0.0.1:8200", validation_alias=shared("BANK_URL"))
    sluice_url: str = Field(default="", validation_alias=shared("SLUICE_URL"))
    report_key: str = ""
    clock: str = Field(default="", validation_alias=shared("CLOCK"))
    ready_file: Path | None = Field(default=None, validation_alias=shared("READY_FILE"))
    log_level: str = Field(default="INFO", validation_alias=shared("LOG_LEVEL"))
    seed: int = 1
    customers: int = Field(default=10_000, ge=100, le=1_000_000)
    rate_tps: float = Field(default=150.0, gt=0)
    seconds: float | None = Field(default=None, gt=0)
    start: str = DEFAULT_START
    banks: Annotated[tuple[str, ...], NoDecode] = tuple(DEFAULT_BANKS.split(","))
    cases_per_10k_day: float = Field(default=240.0, ge=0)
    history_transfers: int = Field(default=20_000, ge=0)
    history_days: float = Field(default=3.0, gt=0, le=60)
    tick_ms: float = Field(default=20.0, gt=0)
    settle_s: float = Field(default=1.5, ge=0)
    drain_s: float = Field(default=3.0, ge=0)
    status_file: Path | None = None
    stay: bool = False
