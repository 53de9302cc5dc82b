"""The rule book in settings: what each rule weighs, and from which risk on something is done.

Decodable from a JSON or TOML mapping. Everything that a decision depends on beside
its panel is here, so the version names all of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

from models.risk.rules import sections as s
from models.risk.thresholds import AlertBudget, Bands, CostSettings


class RuleSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One section for each rule, where weight 0 switches it off, and three for what is done from which risk on.

    ``base`` is the log-odds of a transfer for which no rule speaks. Raise `ValueError`
    for an alert budget that would never watch below the stop band.
    """

    base: s.LogOdds = -5.7
    bands: Bands = Bands()
    costs: CostSettings = CostSettings()
    alerts: AlertBudget = AlertBudget()

    pass_through: s.PassThrough = s.PassThrough()
    transit: s.Transit = s.Transit()
    split: s.Split = s.Split()
    pool: s.Pool = s.Pool()
    tainted_forward: s.TaintedForward = s.TaintedForward()
    fan_in: s.FanIn = s.FanIn()
    fan_out: s.FanOut = s.FanOut()
    no_residual: s.NoResidual = s.NoResidual()
    dormant: s.Dormant = s.Dormant()
    young: s.Young = s.Young()
    quick_spend: s.QuickSpend = s.QuickSpend()
    habitual: s.Habitual = s.Habitual()
    quick_payee: s.QuickPayee = s.QuickPayee()
    cash_out: s.CashOut = s.CashOut()
    round_trip: s.RoundTrip = s.RoundTrip()
    structured: s.Structured = s.Structured()
    under_limit: s.UnderLimit = s.UnderLimit()
    collector: s.Collector = s.Collector()
    busy_transit: s.BusyTransit = s.BusyTransit()
    tainted_payee: s.TaintedPayee = s.TaintedPayee()
    first_large: s.FirstLarge = s.FirstLarge()
    large_first: s.LargeFirst = s.LargeFirst()
    in_call: s.InCall = s.InCall()
    night: s.Night = s.Night()
    step_up: s.StepUp = s.StepUp()
    probe: s.Probe = s.Probe()
    new_device: s.NewDevice = s.NewDevice()
    emptying: s.Emptying = s.Emptying()
    reported_3002: s.Reported3002 = s.Reported3002()
    gather_3006: s.Gather3006 = s.Gather3006()
    scatter_3007: s.Scatter3007 = s.Scatter3007()
    repeated_3008: s.Repeated3008 = s.Repeated3008()
    for_hire: s.ForHire = s.ForHire()
    leaves: s.Leaves = s.Leaves()
    grey: s.Grey = s.Grey()

    def __post_init__(self) -> None:
        if self.alerts.floor > self.bands.stop:
            raise ValueError(f"alerts.floor {self.alerts.floor} is above bands.stop {self.bands.stop}")


DEFAULT_RULES: Final = RuleSettings()


def rules_from_mapping(mapping: Mapping[str, object]) -> RuleSettings:
    """Return settings from a decoded JSON or TOML mapping; raise `msgspec.ValidationError` that names the field.

    >>> rules_from_mapping({"pass_through": {"weight": 0.5}}).pass_through.within_s
    3600
    """
    return msgspec.convert(mapping, RuleSettings)


def rule_book_version(settings: RuleSettings, edition: str) -> str:
    """Return the version of the rules: edition of the code and digest of all settings."""
    return f"{edition}-{hashlib.sha256(msgspec.json.encode(settings)).hexdigest()[:8]}"
