"""The variants of `bench.ablation`: groups of features, sets of rules, learners."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from models.risk.cold import READ_FEATURES
from models.risk.features import FEATURE_NAMES
from models.risk.learning.novelty import WATCHED
from models.risk.rules.book import RULES

GROUPS: Final = {
    "the pair's history": r"pair_.*|reverse_.*",
    "windows of 1 min to 1 h": r".*_(in|out)(_n)?_(1m|10m|1h)",
    "windows of 24 h and 7 d": r".*_(in|out)(_n)?_(24h|7d)",
    "counterparties of an account": r"(payer|payee)_(new_)?(payers|payees)_.*|new_spree|new_gather",
    "passing on (match, drain, turnover, tempo)": (
        r"payer_(drain|match).*|payer_to_last_in|(payer|new)_pass|.*_turnover_.*|.*_(quick|since_in|since_out|idle)"
    ),
    "habit of amounts": r".*_(z|over_max)|step_up|probe|alike_.*|payee_share_24h",
    "age of the accounts": r".*_(age|seen|opening_told)",
    "taint": r".*_taint",
    "proven frauds": r".*_proven_.*",
    "told by banks (call, device, balance, cash)": (
        r"in_call|stranger_to_bank|device_changed|cash_channel|payer_emptied|payee_bare"
    ),
    "amount, time of day, bank": r"amount|hour_.*|night|round|same_bank",
    "risk by rules": r"rule_risk",
}
"""Each group of features as a pattern; a feature belongs to the first that matches its whole name."""

FLOW: Final = ("windows of 1 min to 1 h", "passing on (match, drain, turnover, tempo)", "taint")


class Variant(msgspec.Struct, frozen=True):
    """What is left out: columns held at 0, rules' sections, learners (learner's settings), or all but the rules."""

    name: str
    held: tuple[str, ...] = ()
    rules_out: frozenset[str] = frozenset()
    learning: dict[str, Any] = {}
    rules_alone: bool = False


def members(group: str) -> tuple[str, ...]:
    """Return the features of a group."""
    return tuple(name for name in FEATURE_NAMES if group_of(name) == group)


def group_of(feature: str) -> str:
    """Return the group of a feature."""
    return next(group for group, pattern in GROUPS.items() if re.fullmatch(pattern, feature))


def _sections(prefix: str) -> frozenset[str]:
    return frozenset(rule.section for rule in RULES if rule.code.startswith(prefix))


RULES_LEFT_OUT: Final = {
    "all": _sections(""),
    "of accounts for hire (M)": _sections("M"),
    "of victims (V)": _sections("V"),
    "of the platform (3002-3008)": _sections("3"),
    "of the whole account (C)": _sections("C"),
}

HELD_WITHOUT_LABELS: Final = frozenset(WATCHED) | frozenset(READ_FEATURES)
"""All features that the label-free score reads; to hold another one changes nothing."""

OWN_LIFE: Final = tuple(name for name in READ_FEATURES if name not in WATCHED)
"""What speaks for or against an account by the life it has of its own, beyond surprise."""

NO_FLOW: Final = Variant("without all flow", held=tuple(name for group in FLOW for name in members(group)))
NO_RULES: Final = Variant("without rules", held=("rule_risk", *members("taint")), rules_out=RULES_LEFT_OUT["all"])


def _without_groups(read: frozenset[str]) -> list[Variant]:
    """Return a variant for each group of features of which any is read."""
    groups = [(group, members(group)) for group in GROUPS if group != "risk by rules"]
    return [Variant(f"without {group}", held=names) for group, names in groups if not read.isdisjoint(names)]


def _without_rules() -> list[Variant]:
    """Return a variant for each set of rules, but for all of them."""
    return [Variant(f"without rules {name}", rules_out=out) for name, out in RULES_LEFT_OUT.items() if name != "all"]


def labelled_variants() -> list[Variant]:
    """Return the variants that learn from labels."""
    return [
        Variant("everything"),
        *_without_groups(frozenset(FEATURE_NAMES)),
        NO_FLOW,
        NO_RULES,
        *_without_rules(),
        Variant("without trees", learning={"use_forest": False}),
        Variant("without online linear", learning={"use_linear": False}),
        Variant("without novelty", learning={"use_novelty": False}),
    ]


def unlabelled_variants() -> list[Variant]:
    """Return the variants without any label."""
    return [
        Variant("everything"),
        Variant("rules alone", rules_alone=True),
        Variant("without novelty", learning={"use_novelty": False}),
        NO_RULES,
        *_without_rules(),
        *_without_groups(HELD_WITHOUT_LABELS),
        Variant("without an account's own life", held=OWN_LIFE),
        NO_FLOW,
    ]
