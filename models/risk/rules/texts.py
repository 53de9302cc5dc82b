"""Words for each rule: Chinese first, then English, with the numbers that fired it."""

from __future__ import annotations

from math import expm1
from typing import Final

from models.risk.assessment import Reason
from models.risk.features import FEATURE_INDEX

Evidence = dict[str, float | int | str]

TEXTS: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "S101": (
        "付款方在收款后约 {payer_match_s} 秒内把收到的资金转出，吻合度 {payer_match}",
        "the payer passes on what came in within about {payer_match_s} s; fit {payer_match}",
        ("payer_match_s", "payer_match", "payer_match_n"),
    ),
    "S102": (
        "付款方近期收入中可疑资金占比 {payer_taint}",
        "share of suspected money in what the payer received of late: {payer_taint}",
        ("payer_taint",),
    ),
    "S201": (
        "首次向该收款方付款 {amount} 元，高于其习惯 {payer_z} 个标准差",
        "first payment to this payee, {amount} yuan, {payer_z} standard deviations above habit",
        ("amount", "payer_z"),
    ),
    "S103": (
        "收款方 24 小时内有 {payee_new_payers_24h} 个陌生付款方",
        "{payee_new_payers_24h} strangers paid the payee within 24 h",
        ("payee_new_payers_24h",),
    ),
    "S104": (
        "收款账户出现仅 {payee_age} 秒，新付款方转入 {amount} 元",
        "the payee's account is {payee_age} s old and a new payer sends {amount} yuan",
        ("payee_age", "amount"),
    ),
    "S202": (
        "付款方通话中向新收款方付款 {amount} 元",
        "payer is in a call while paying a new payee {amount} yuan",
        ("amount",),
    ),
    "S203": ("夜间向新收款方付款 {amount} 元", "{amount} yuan at night to a new payee", ("amount",)),
}

_LOG_NAMES: Final = frozenset({"amount", "payer_match_s", "payee_new_payers_24h", "payee_age", "payer_match_n"})


def evidence_of(names: tuple[str, ...], features: tuple[float, ...]) -> Evidence:
    """Return the named features as people read them."""
    return {name: _readable(name, features[FEATURE_INDEX[name]]) for name in names}


def _readable(name: str, value: float) -> float | int:
    if name == "amount":
        return round(expm1(value), 2)
    return round(expm1(value)) if name in _LOG_NAMES else round(value, 3)


def reason_of(code: str, weight: float, features: tuple[float, ...]) -> Reason:
    """Return the reason for a rule that fired."""
    zh, en, names = TEXTS[code]
    evidence = evidence_of(names, features)
    return Reason(code=code, weight=weight, zh=zh.format_map(evidence), en=en.format_map(evidence), evidence=evidence)
