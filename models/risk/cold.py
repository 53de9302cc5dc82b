"""The label-free score: on which grounds a transfer is suspected before anybody has said what fraud is.

Each ground is a plain sum with odds of its own, and the odds are added: it is
enough that one of them holds. The weights are ours, rounded from a fit on
simulated towns (`docs/detection.md#without-labels`); no label reaches them at work.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from models.risk.columns import RULE_RISK
from models.risk.features import FEATURE_INDEX, ln

Rows = npt.NDArray[np.float64]

RULE_FLOOR: Final = 0.00005
"""Rules' risks are kept this far from 0 and 1 before their logit is taken: they are recorded with four decimals."""

LIMIT: Final = 40.0
"""Beyond this logit nothing more is said; so no feature, however wild, overflows."""

LEAST_ODDS: Final = 0.0005
"""Nobody is beyond suspicion. It moves no ranking, but tells learners that one innocent row is like another: without
it the blend took the few rows that selective labels have for proof of very large differences."""

STAIN: Final = 100.0
STAINED: Final = ("payer_taint", "payee_taint")
"""Where a ground asks for the stain, a suspected share is ``ln(1 + 100 * share) / ln(101)``: it says most at first."""


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """Why a transfer may be fraud: intercept, what rules and surprise (both logits) add, and weights of features.

    ``stained`` are weights of the features in `STAINED` on the scale of the stain.
    """

    intercept: float
    rules: float = 0.0
    surprise: float = 0.0
    features: Mapping[str, float] = {}
    stained: Mapping[str, float] = {}


STRANGE: Final = Ground(
    intercept=-2.2,
    rules=0.3,
    surprise=1.0,
    features={
        "pair_new": 1.0,
        "payer_taint": 3.0,
        "payer_quick": 3.0,
        "payee_quick": 3.0,
        "payer_since_in": -0.2,
        "payer_out_n_7d": -0.9,
        "payee_out_n_7d": -0.8,
        "payer_payers_24h": -1.0,
        "reverse_seen": -2.5,
    },
)
"""Looks as risky as hardly any transfer, and both accounts have little life of their own.

Surprise alone takes everybody who does something for the first time for a mule;
bills and shops of every week, and people who pay each other, speak for innocence.
"""

FOR_HIRE: Final = Ground(
    intercept=-2.2,
    rules=0.1,
    features={
        "amount": 0.4,
        "payer_pass": 2.0,
        "payer_quick": 5.0,
        "payee_quick": 7.0,
        "payer_since_in": -0.25,
        "payee_since_in": -0.25,
        "payee_in_n_1h": 0.5,
        "payee_in_1h": 0.13,
        "payee_new_payers_24h": 1.0,
        "payee_payers_24h": -2.0,
        "payer_payers_24h": -1.0,
        "payer_out_n_7d": -0.5,
        "payee_out_n_7d": -0.4,
        "reverse_seen": -2.0,
    },
    stained={"payer_taint": 2.0, "payee_taint": 2.5},
)
"""Money that has just come in, or comes from suspicion, goes on to an account that few pay and that passes on at once.

Who is paid by many every day is a shop; who pays much every week has a life. Needs no surprise: where hops
take minutes it finds mules at work, where times say nothing it says little.
"""

CERTAIN: Final = Ground(intercept=-17.0, rules=2.0)
"""Rules that speak as loudly as those of the whole account (C01, C02): taken at their word, whatever else is said."""

FIRING: Final = Ground(intercept=-2.5, rules=2.0)
"""In place of `CERTAIN` before it is known what is usual: rules that fire hard (0.9 and above)."""

GROUNDS: Final = (STRANGE, FOR_HIRE, CERTAIN)
FIRST_GROUNDS: Final = (STRANGE, FOR_HIRE, FIRING)

READ_FEATURES: Final = tuple(dict.fromkeys(name for one in GROUNDS for name in (*one.features, *one.stained)))
"""All features that the grounds read, but for the rules' risk and what the surprise is made of."""

COLUMNS: Final = tuple(FEATURE_INDEX[name] for name in READ_FEATURES)
_TAKEN: Final = np.array([*COLUMNS, *(FEATURE_INDEX[name] for name in STAINED)], dtype=np.intp)
_LN_STAIN: Final = log(1.0 + STAIN)


def _row_of(ground: Ground) -> Rows:
    """Return the ground's weights in the order of `_TAKEN`."""
    plain = {FEATURE_INDEX[name]: weight for name, weight in ground.features.items()}
    stained = [ground.stained.get(name, 0.0) for name in STAINED]
    return np.array([*(plain.get(column, 0.0) for column in COLUMNS), *stained])


_WEIGHTS: Final = np.array([_row_of(ground) for ground in GROUNDS])
"""Rows are grounds; those of `FIRST_GROUNDS` read the same."""


def grounds_of(surprise: Rows | None) -> tuple[Ground, ...]:
    """Return the grounds there are; ``surprise`` is None as long as it is not known what is usual."""
    return FIRST_GROUNDS if surprise is None else GROUNDS


def rule_logits(rule_risks: Rows) -> Rows:
    """Return the logits of the rules' risks (n), kept within `RULE_FLOOR`."""
    risks = np.clip(rule_risks, RULE_FLOOR, 1.0 - RULE_FLOOR)
    logits: Rows = np.log(risks / (1.0 - risks))
    return logits


def cold_logits(rows: Rows, rule_risks: Rows, surprise: Rows | None) -> Rows:
    """Return the logits before any label (n), from features (n x f), the rules' risks and the surprise (each n).

    Where fraud is as rare as in life they are too high, which the first labels correct.
    """
    logits: Rows = np.log(cold_odds(rows, rule_risks, surprise).sum(axis=1) + LEAST_ODDS)
    return logits


def cold_odds(rows: Rows, rule_risks: Rows, surprise: Rows | None) -> Rows:
    """Return the odds of each of `grounds_of` (n x 3)."""
    rules, read = rule_logits(rule_risks), _read(rows)
    logits = np.empty((len(rows), len(GROUNDS)))
    for place, ground in enumerate(grounds_of(surprise)):
        logits[:, place] = ground.intercept + ground.rules * rules
        if surprise is not None and ground.surprise:
            logits[:, place] += ground.surprise * surprise
        if ground.features:
            logits[:, place] += (read * _WEIGHTS[place]).sum(axis=1)
    odds: Rows = np.exp(np.clip(logits, -LIMIT, LIMIT))
    return odds


def _read(rows: Rows) -> Rows:
    """Return what the grounds read of the features (n x k, in the order of `_TAKEN`)."""
    read = rows.take(_TAKEN, axis=1)
    stained = slice(len(COLUMNS), None)
    read[:, stained] = ln(1.0 + STAIN * read[:, stained]) / _LN_STAIN
    return read


def cold_parts(row: Rows, usual: Rows, surprise: Rows | None, surprises: Rows) -> Rows:
    """Return what each feature adds to the logit of one row (features), against a usual one.

    ``surprises`` are the features' parts of the surprise. The odds of the grounds are added, so
    each ground speaks for its share of the sum; the rules count from the lowest risk that they give.
    """
    rows, lowest = row[None, :], np.zeros(1)
    odds = cold_odds(rows, rows[:, RULE_RISK], surprise)[0]
    shares, grounds = odds / odds.sum(), grounds_of(surprise)
    parts: Rows = surprises * sum(share * one.surprise for share, one in zip(shares, grounds, strict=True))
    np.add.at(parts, _TAKEN, (shares @ _WEIGHTS) * (_read(rows) - _read(usual[None, :]))[0])
    raised = float((rule_logits(rows[:, RULE_RISK]) - rule_logits(lowest))[0])
    parts[RULE_RISK] += raised * sum(share * one.rules for share, one in zip(shares, grounds, strict=True))
    return parts
