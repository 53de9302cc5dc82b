"""Names, order, scale and source of the features; `features` makes them."""

from __future__ import annotations

from typing import Final

import msgspec

RATIO_LIMIT: Final = 8.0
"""Logarithms of ratios are cut here, at about 3,000 to one."""

NEVER: Final = 20.0
"""Stands for "never" on the ``s`` scale: e**20 seconds are 15 years."""

SCALES: Final = {
    "n": "log1p of a count",
    "yuan": "log1p of yuan",
    "s": f"log1p of seconds, {NEVER:.0f} for never",
    "ln": f"logarithm of a ratio, within {RATIO_LIMIT:.0f}, 0 if a part is nothing",
    "share": "0 to 1, 0 if not known",
    "flag": "0 or 1",
    "tri": "1 yes, -1 no, 0 not told",
    "z": "standard deviations, within 6",
    "sine": "-1 to 1",
}


class Feature(msgspec.Struct, frozen=True):
    """One column: name, scale (a key of `SCALES`), meaning, and what it is made of.

    ``source`` names the fact of a plain column, or ``above / below`` of a ratio
    or share, each a fact or a sum of facts; empty for one with code of its own.
    """

    name: str
    scale: str
    meaning: str
    source: str = ""


def _columns(table: str) -> tuple[Feature, ...]:
    rows = (line.split("|") for line in table.strip().splitlines())
    return tuple(Feature(*(part.strip() for part in row)) for row in rows)


def _account_columns(side: str) -> tuple[Feature, ...]:
    """Return the columns that both accounts of a transfer have."""
    return _columns(_ACCOUNT_TABLE.replace("@", side))


_ACCOUNT_TABLE: Final = """
@_in_n_10m | n | credits of the @, 10 min | @_in_n_10m
@_in_n_1h | n | credits of the @, 1 h | @_in_n_1h
@_in_n_24h | n | credits of the @, 24 h | @_in_n_24h
@_in_n_7d | n | credits of the @, 7 d | @_in_n_7d
@_in_10m | yuan | received by the @, 10 min | @_in_fen_10m
@_in_1h | yuan | received by the @, 1 h | @_in_fen_1h
@_in_24h | yuan | received by the @, 24 h | @_in_fen_24h
@_in_7d | yuan | received by the @, 7 d | @_in_fen_7d
@_out_n_1m | n | debits of the @, 1 min | @_out_n_1m
@_out_n_10m | n | debits of the @, 10 min | @_out_n_10m
@_out_n_1h | n | debits of the @, 1 h | @_out_n_1h
@_out_n_24h | n | debits of the @, 24 h | @_out_n_24h
@_out_n_7d | n | debits of the @, 7 d | @_out_n_7d
@_out_1h | yuan | paid by the @, 1 h | @_out_fen_1h
@_out_24h | yuan | paid by the @, 24 h | @_out_fen_24h
@_out_7d | yuan | paid by the @, 7 d | @_out_fen_7d
@_payers_24h | n | distinct accounts that paid the @, 24 h | @_payers_24h
@_payers_7d | n | distinct accounts that paid the @, 7 d | @_payers_7d
@_payers_ever | n | distinct accounts that ever paid the @ | @_payers_ever
@_payees_24h | n | distinct payees of the @, 24 h | @_payees_24h
@_payees_7d | n | distinct payees of the @, 7 d | @_payees_7d
@_payees_ever | n | distinct payees of the @, ever | @_payees_ever
@_new_payers_24h | n | accounts that first paid the @ within 24 h | @_new_payers_24h
@_new_payees_24h | n | payees that the @ first paid within 24 h | @_new_payees_24h
@_since_in | s | time since the @ last received money | @_since_in_s
@_since_out | s | time since the @ last paid | @_since_out_s
@_idle | s | time since the @'s last transfer either way
@_age | s | since the @'s account was opened, or first seen | @_age_s
@_opening_told | flag | a bank has told when the @'s account was opened | @_opening_told
@_seen | s | since the @ was first seen here | @_seen_s
@_quick | share | habit of the @ to pass a credit on within 10 min | @_quick
@_taint | share | suspected part of what the @ received of late (half-life 12 h) | @_taint
"""

DEBIT_COLUMNS: Final = (
    *_columns(
        """
amount | yuan | amount of the transfer | amount_fen
hour_sin | sine | time of day in Asia/Shanghai, to the minute
hour_cos | sine | time of day in Asia/Shanghai, to the minute
night | flag | 00:00-05:00 in Asia/Shanghai
round | share | 1 for whole 1,000 yuan, 0.5 for whole 100 yuan
same_bank | flag | both accounts are with one bank | same_bank
cash_channel | flag | a channel that ends in cash, goods or crypto | cash_channel
in_call | tri | the payer was in a phone call | in_call
stranger_to_bank | tri | the payer's bank has never seen this payer pay this payee | stranger_to_bank
device_changed | tri | another device than at the last debit that named one | device_changed
"""
    ),
    *_account_columns("payer"),
    *_columns(
        """
payer_drain_10m | ln | paid with this transfer to received, 10 min | payer_out_fen_10m + amount_fen / payer_in_fen_10m
payer_drain_1h | ln | paid with this transfer to received, 1 h | payer_out_fen_1h + amount_fen / payer_in_fen_1h
payer_drain_24h | ln | paid with this transfer to received, 24 h | payer_out_fen_24h + amount_fen / payer_in_fen_24h
payer_drain_7d | ln | paid with this transfer to received, 7 d | payer_out_fen_7d + amount_fen / payer_in_fen_7d
payer_to_last_in | ln | amount to the payer's last credit | amount_fen / last_in_fen
payer_match | share | fit of paid-since to received-since, best of the last pools of 1-6 credits | match
payer_match_n | n | credits in the pool that fits best | match_n
payer_match_s | s | age of the oldest credit of the pool that fits best | match_s
payer_pass | share | fit of the best pool, fading with its age (half at 1 h)
payer_z | z | amount against the payer's habit | payer_z
payer_over_max | ln | amount to the largest debit before | amount_fen / payer_max_fen
payer_emptied | share | part of the payer's balance that leaves now | amount_fen / payer_balance_fen + amount_fen
pair_new | flag | the payer has not paid this payee before
pair_age | s | time since the payer first paid this payee | pair_age_s
reverse_seen | flag | the payee has paid the payer before
reverse_recent | share | the payee paid the payer lately, fading (half at 24 h)
step_up | ln | amount to the last debit to the same payee | amount_fen / last_pair_fen
probe | ln | amount to the smallest debit of the last hour | amount_fen / least_1h_fen
alike_out | n | of the last debits within 24 h those of about the same amount (2 %) | alike_out
new_pass | share | payer_pass if the pair is new
new_z | z | payer_z above 0 if the pair is new
new_spree | n | payer_new_payees_24h if the pair is new
"""
    ),
)

CREDIT_COLUMNS: Final = (
    *_account_columns("payee"),
    *_columns(
        """
payee_turnover_24h | ln | paid to received by the payee, 24 h | payee_out_fen_24h / payee_in_fen_24h
payee_turnover_7d | ln | paid to received by the payee, 7 d | payee_out_fen_7d / payee_in_fen_7d
payee_z | z | amount against what the payee usually receives | payee_z
payee_over_max | ln | amount to the largest credit before | amount_fen / payee_max_fen
payee_share_24h | share | this amount in all that the payee received, 24 h | amount_fen / payee_in_fen_24h + amount_fen
payee_bare | share | part of the payee's balance that this amount makes up | amount_fen / payee_balance_fen + amount_fen
alike_in | n | of the payee's last credits within 24 h those of about this amount (2 %) | alike_in
new_gather | n | payee_new_payers_24h if the pair is new
payer_proven_paid | n | proven frauds in which the payer had paid, when scored | payer_proven_paid
payer_proven_received | n | proven frauds in which the payer had received, when scored | payer_proven_received
payee_proven_paid | n | proven frauds in which the payee had paid, when scored | payee_proven_paid
payee_proven_received | n | proven frauds in which the payee had received, when scored | payee_proven_received
rule_risk | share | what the rules make of it, before lists
"""
    ),
)

DEBIT_FEATURES: Final = tuple(column.name for column in DEBIT_COLUMNS)
CREDIT_FEATURES: Final = tuple(column.name for column in CREDIT_COLUMNS)
FEATURE_NAMES: Final = DEBIT_FEATURES + CREDIT_FEATURES
"""Order of `Assessment.features`."""

FEATURE_SET: Final = "f5"
"""Changes whenever the order or the meaning of a fact or a feature changes."""

FEATURE_INDEX: Final = {name: index for index, name in enumerate(FEATURE_NAMES)}
RULE_RISK: Final = FEATURE_INDEX["rule_risk"]
"""Column of what the rules make of a transfer, which every panel is given beside the features."""


def all_columns() -> tuple[Feature, ...]:
    """Return the columns in the order of `FEATURE_NAMES`."""
    return DEBIT_COLUMNS + CREDIT_COLUMNS
