"""Features: what detectors read, made from the facts of both sides for a whole batch at once.

Every feature is finite for every valid transfer, knows only what came before
the transfer, and is rounded to `DECIMALS`, so that what is recorded is exactly
what was scored. Only additions, multiplications, divisions and comparisons are
used, which IEEE 754 rounds alike on every machine and in every batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi, sin
from struct import Struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.risk.columns import (
    CREDIT_FEATURES,
    DEBIT_FEATURES,
    FEATURE_INDEX,
    FEATURE_NAMES,
    FEATURE_SET,
    NEVER,
    RATIO_LIMIT,
    Feature,
    all_columns,
)
from models.risk.facts import FACT_INDEX, FACTS, Facts

__all__ = [
    "CREDIT_FEATURES",
    "DEBIT_FEATURES",
    "FEATURE_INDEX",
    "FEATURE_NAMES",
    "FEATURE_SET",
    "features_of",
    "ln",
    "matrix_of",
    "packed",
    "rows_of",
    "unpacked",
]

Matrix = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

DECIMALS: Final = 4
NIGHT_END_S: Final = 5 * 3_600
"""Night is 00:00-05:00 (`docs/sources.md#vendor-thresholds`; no regulator gives hours)."""

PASS_FADE_S: Final = 3_600
REVERSE_FADE_S: Final = 86_400

_FACTS: Final = Struct(f"{len(FACTS)}d")
_pack_features: Final = Struct(f"{len(FEATURE_NAMES)}d").pack
_LN2: Final = 0.6931471805599453
_SERIES: Final = tuple(2.0 / odd for odd in (15, 13, 11, 9, 7, 5, 3, 1))
"""Coefficients of ``ln((1 + s) / (1 - s)) = 2 (s + s**3/3 + s**5/5 ...)``, highest power first."""

_DAY_CURVE: Final = np.array([(sin(2 * pi * m / 1440), cos(2 * pi * m / 1440)) for m in range(1440)])


def ln(values: Matrix) -> Matrix:
    """Return natural logarithms of positive values, right to 1e-12, with the same bits on every machine.

    numpy's own may differ in the last bit between processors. The mantissa is
    brought into 0.7-1.4, where the series of eight terms is short by 2e-14.
    """
    mantissa, exponent = np.frexp(values)
    low = mantissa < 0.7071067811865476
    mantissa *= low + 1.0
    s = (mantissa - 1.0) / (mantissa + 1.0)
    square = s * s
    total = np.full_like(square, _SERIES[0])
    for coefficient in _SERIES[1:]:
        total *= square
        total += coefficient
    total *= s
    total += (exponent - low) * _LN2
    return total


def _plain(*scales: str) -> tuple[Places, Places]:
    """Return fact and feature columns of the features on these scales that copy one fact."""
    pairs = [
        (FACT_INDEX[column.source], FEATURE_INDEX[column.name])
        for column in all_columns()
        if column.scale in scales and column.source in FACT_INDEX
    ]
    return np.array([fact for fact, _ in pairs], np.intp), np.array([place for _, place in pairs], np.intp)


def _parts(column: Feature) -> list[int]:
    """Return the facts of a ratio: above, added above, below, added below; "nothing added" is the column of zeros."""
    zeros = len(FACT_INDEX)
    places = []
    for part in column.source.split("/"):
        names = [name.strip() for name in part.split("+")]
        places += [FACT_INDEX[names[0]], FACT_INDEX[names[1]] if len(names) > 1 else zeros]
    return places


def _ratios(scale: str) -> tuple[Places, ...]:
    """Return the four fact columns and the feature column of the ratios on this scale."""
    columns = [column for column in all_columns() if column.scale == scale and "/" in column.source]
    return tuple(np.array([(*_parts(column), FEATURE_INDEX[column.name]) for column in columns], np.intp).T)


_COUNTS: Final = _plain("n")
_SUMS: Final = _plain("yuan")
_AGES: Final = _plain("s")
_AS_THEY_ARE: Final = _plain("share", "flag", "tri", "z")
_LN_RATIOS: Final = _ratios("ln")
_SHARES: Final = _ratios("share")


def packed(facts: Facts) -> bytes:
    """Return facts as bytes, doubles in the order of `FACTS`; ``struct`` packs tuples in half of numpy's time."""
    return _FACTS.pack(*facts)


def unpacked(row: bytes) -> Facts:
    """Return the facts of `packed`'s bytes, all of them floats now."""
    return _FACTS.unpack(row)


def matrix_of(rows: Sequence[bytes]) -> Matrix:
    """Return packed facts of transfers as a matrix (n x facts)."""
    return np.frombuffer(b"".join(rows), np.float64).reshape(len(rows), len(FACTS))


def rows_of(features: Sequence[tuple[float, ...]]) -> Matrix:
    """Return recorded features of transfers as a matrix (n x features)."""
    packed = b"".join([_pack_features(*row) for row in features])
    return np.frombuffer(packed, np.float64).reshape(len(features), len(FEATURE_NAMES))


def features_of(facts: Matrix, rule_risks: Matrix) -> Matrix:
    """Return features (n x features, in the order of `FEATURE_NAMES`) of facts (n x facts) and the rules' risks (n)."""
    known = np.concatenate((facts, np.zeros((len(facts), 1))), axis=1)
    rows = np.empty((len(facts), len(FEATURE_NAMES)))
    _put_logarithms(known, rows)
    rows[:, _AS_THEY_ARE[1]] = known[:, _AS_THEY_ARE[0]]
    _put_shares(known, rows)
    _put_time_of_day(known, rows)
    _put_crosses(known, rows)
    rows[:, FEATURE_INDEX["rule_risk"]] = rule_risks
    return np.round(rows, DECIMALS)


def _put_logarithms(known: Matrix, rows: Matrix) -> None:
    """Fill all columns on the scales ``n``, ``yuan``, ``s`` and ``ln``, by one call of `ln`."""
    counts, sums, ages = known[:, _COUNTS[0]], known[:, _SUMS[0]], known[:, _AGES[0]]
    above, below, told = _divide(known, _LN_RATIOS)
    ratios = np.where(told, above, 1.0) / np.where(told, below, 1.0)
    logarithms = ln(np.concatenate((counts + 1.0, sums * 0.01 + 1.0, np.maximum(ages, 0.0) + 1.0, ratios), axis=1))
    first_sum, first_age = counts.shape[1], counts.shape[1] + sums.shape[1]
    first_ratio = first_age + ages.shape[1]
    rows[:, _COUNTS[1]] = logarithms[:, :first_sum]
    rows[:, _SUMS[1]] = logarithms[:, first_sum:first_age]
    rows[:, _AGES[1]] = np.where(ages < 0.0, NEVER, np.minimum(logarithms[:, first_age:first_ratio], NEVER))
    rows[:, _LN_RATIOS[4]] = np.clip(logarithms[:, first_ratio:], -RATIO_LIMIT, RATIO_LIMIT)


def _put_shares(known: Matrix, rows: Matrix) -> None:
    above, below, told = _divide(known, _SHARES)
    rows[:, _SHARES[4]] = np.where(told, np.minimum(above / np.where(told, below, 1.0), 1.0), 0.0)


def _divide(known: Matrix, plan: tuple[Places, ...]) -> tuple[Matrix, Matrix, npt.NDArray[np.bool_]]:
    """Return both parts of the ratios, and where there is one: neither part is nothing or not known."""
    first_below = known[:, plan[2]]
    above, below = known[:, plan[0]] + known[:, plan[1]], first_below + known[:, plan[3]]
    return above, below, (above > 0.0) & (below > 0.0) & (first_below >= 0.0)


def _put_time_of_day(known: Matrix, rows: Matrix) -> None:
    second, fen = known[:, FACT_INDEX["day_second"]], known[:, FACT_INDEX["amount_fen"]]
    rows[:, FEATURE_INDEX["hour_sin"] : FEATURE_INDEX["hour_cos"] + 1] = _DAY_CURVE[(second // 60).astype(np.intp)]
    rows[:, FEATURE_INDEX["night"]] = second < NIGHT_END_S
    rows[:, FEATURE_INDEX["round"]] = (fen % 10_000 == 0) * 0.5 + (fen % 100_000 == 0) * 0.5


def _put_crosses(known: Matrix, rows: Matrix) -> None:
    """Fill what is made of several columns, so that a linear detector can see them act together."""

    def fact(name: str) -> Matrix:
        return known[:, FACT_INDEX[name]]

    def put(name: str, values: npt.NDArray[np.floating[Any]]) -> None:
        rows[:, FEATURE_INDEX[name]] = values

    def feature(name: str) -> Matrix:
        return rows[:, FEATURE_INDEX[name]]

    for side in ("payer", "payee"):
        put(f"{side}_idle", np.minimum(feature(f"{side}_since_in"), feature(f"{side}_since_out")))
    is_new = (fact("pair_age_s") < 0.0) * 1.0
    reverse_s = fact("reverse_s")
    put("pair_new", is_new)
    put("pair_age", feature("pair_age") * (1.0 - is_new))
    put("reverse_seen", (reverse_s >= 0.0) * 1.0)
    put("reverse_recent", np.where(reverse_s < 0.0, 0.0, 1.0 / (1.0 + np.maximum(reverse_s, 0.0) / REVERSE_FADE_S)))
    put("payer_pass", fact("match") / (1.0 + np.maximum(fact("match_s"), 0.0) / PASS_FADE_S))
    put("new_pass", is_new * feature("payer_pass"))
    put("new_z", is_new * np.maximum(feature("payer_z"), 0.0))
    put("new_spree", is_new * feature("payer_new_payees_24h"))
    put("new_gather", is_new * feature("payee_new_payers_24h"))
