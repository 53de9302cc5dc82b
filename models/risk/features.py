"""Names, order and meaning of the features; how they are made is in `payer_side` and `payee_side`.

Scales, so that a linear detector can use them as they are: ``n`` is
``log1p(count)``, ``yuan`` is ``log1p(yuan)``, ``s`` is ``log1p(seconds)``,
``ln`` a natural logarithm of a ratio cut at `RATIO_LIMIT`, ``flag`` 0 or 1,
``tri`` 1 yes, -1 no, 0 not told, ``share`` 0 to 1, ``z`` standard deviations.
Every feature is finite for every valid transfer, and knows only what came before it.
"""

from __future__ import annotations

from typing import Final

import msgspec

RATIO_LIMIT: Final = 8.0
"""Ratios are cut at e**8, about 3,000 to one."""

Z_LIMIT: Final = 6.0

NEVER_S: Final = 20.0
"""Stands for "never" on the ``s`` scale: e**20 seconds are 15 years."""


class Feature(msgspec.Struct, frozen=True):
    """One column: its name, its scale (see the module) and what it says."""

    name: str
    scale: str
    meaning: str


def _columns(*rows: str) -> tuple[Feature, ...]:
    return tuple(Feature(*(part.strip() for part in row.split("|"))) for row in rows)


DEBIT_COLUMNS: Final = _columns(
    "amount | yuan | amount of the transfer",
    "hour_sin | sine | time of day in Asia/Shanghai",
    "hour_cos | cosine | time of day in Asia/Shanghai",
    "night | flag | 00:00-05:00 in Asia/Shanghai",
    "round | share | 1 for whole 1,000 yuan, 0.5 for whole 100 yuan",
    "same_bank | flag | both accounts are with one bank",
    "cash_channel | flag | a channel that ends in cash, a purchase or crypto",
    "in_call | tri | payer was in a phone call",
    "stranger_to_bank | tri | payer's bank has never seen this payer pay this payee",
    "device_changed | tri | another device than at the last debit that named one",
    "payer_in_n_10m | n | credits of the payer, 10 min",
    "payer_in_n_1h | n | credits of the payer, 1 h",
    "payer_in_n_24h | n | credits of the payer, 24 h",
    "payer_in_n_7d | n | credits of the payer, 7 d",
    "payer_in_10m | yuan | received by the payer, 10 min",
    "payer_in_1h | yuan | received by the payer, 1 h",
    "payer_in_24h | yuan | received by the payer, 24 h",
    "payer_in_7d | yuan | received by the payer, 7 d",
    "payer_out_n_1m | n | debits of the payer, 1 min",
    "payer_out_n_10m | n | debits of the payer, 10 min",
    "payer_out_n_1h | n | debits of the payer, 1 h",
    "payer_out_n_24h | n | debits of the payer, 24 h",
    "payer_out_n_7d | n | debits of the payer, 7 d",
    "payer_out_1h | yuan | paid by the payer, 1 h",
    "payer_out_24h | yuan | paid by the payer, 24 h",
    "payer_out_7d | yuan | paid by the payer, 7 d",
    "payer_payers_24h | n | distinct accounts that paid the payer, 24 h",
    "payer_payers_7d | n | distinct accounts that paid the payer, 7 d",
    "payer_payers_ever | n | distinct accounts that ever paid the payer",
    "payer_payees_24h | n | distinct payees of the payer, 24 h",
    "payer_payees_7d | n | distinct payees of the payer, 7 d",
    "payer_payees_ever | n | distinct payees of the payer, ever",
    "payer_new_payees_24h | n | payees the payer first paid within 24 h",
    "payer_new_payers_24h | n | accounts that first paid the payer within 24 h",
    "payer_since_in | s | time since the payer last received money",
    "payer_since_out | s | time since the payer last paid",
    "payer_idle | s | time since the payer's last transfer either way",
    "payer_age | s | since opening, or since first seen",
    "payer_drain_10m | ln | paid with this transfer to received, 10 min (0 if nothing came in)",
    "payer_drain_1h | ln | paid with this transfer to received, 1 h (0 if nothing came in)",
    "payer_drain_24h | ln | paid with this transfer to received, 24 h (0 if nothing came in)",
    "payer_drain_7d | ln | paid with this transfer to received, 7 d (0 if nothing came in)",
    "payer_to_last_in | ln | amount to the payer's last credit (0 if none)",
    "payer_match | share | how well paid-since to received-since fits one of the last pools of 1-6 credits",
    "payer_match_n | n | credits in the pool that fits best",
    "payer_match_s | s | age of the oldest credit of the pool that fits best",
    "payer_pass | share | fit of the best pool, fading with its age (1 h)",
    "payer_quick | share | habit of paying within 10 min of a credit",
    "payer_taint | share | suspected part of what the payer received of late",
    "payer_z | z | amount against the payer's habit",
    "payer_over_max | ln | amount to the largest debit before (0 if none)",
    "payer_emptied | share | part of the payer's balance that leaves with this transfer (0 if not known)",
    "pair_new | flag | the payer has not paid this payee before",
    "pair_age | s | time since the payer first paid this payee (0 if new)",
    "reverse_seen | flag | the payee has paid the payer before",
    "reverse_recent | share | the payee paid the payer lately, fading (24 h)",
    "step_up | ln | amount to the last debit to the same payee (0 if none remembered)",
    "probe | ln | amount to the smallest debit of the last hour (0 if none)",
    "alike_out | n | of the last debits within 24 h those of about the same amount (2 %)",
)

CREDIT_COLUMNS: Final = _columns(
    "payee_in_n_10m | n | credits of the payee, 10 min",
    "payee_in_n_1h | n | credits of the payee, 1 h",
    "payee_in_n_24h | n | credits of the payee, 24 h",
    "payee_in_n_7d | n | credits of the payee, 7 d",
    "payee_in_1h | yuan | received by the payee, 1 h",
    "payee_in_24h | yuan | received by the payee, 24 h",
    "payee_in_7d | yuan | received by the payee, 7 d",
    "payee_out_n_1h | n | debits of the payee, 1 h",
    "payee_out_n_24h | n | debits of the payee, 24 h",
    "payee_out_n_7d | n | debits of the payee, 7 d",
    "payee_out_1h | yuan | paid by the payee, 1 h",
    "payee_out_24h | yuan | paid by the payee, 24 h",
    "payee_out_7d | yuan | paid by the payee, 7 d",
    "payee_payers_1h | n | distinct payers of the payee, 1 h",
    "payee_payers_24h | n | distinct payers of the payee, 24 h",
    "payee_payers_7d | n | distinct payers of the payee, 7 d",
    "payee_payers_ever | n | distinct payers of the payee, ever",
    "payee_payees_7d | n | distinct accounts the payee paid, 7 d",
    "payee_payees_ever | n | distinct accounts the payee ever paid",
    "payee_new_payers_24h | n | accounts that first paid the payee within 24 h",
    "payee_since_in | s | time since the payee last received money",
    "payee_since_out | s | time since the payee last paid",
    "payee_idle | s | time since the payee's last transfer either way",
    "payee_age | s | since opening, or since first seen",
    "payee_turnover_24h | ln | paid to received by the payee, 24 h (0 if either is nothing)",
    "payee_turnover_7d | ln | paid to received by the payee, 7 d (0 if either is nothing)",
    "payee_quick | share | payee's habit of paying within 10 min of a credit",
    "payee_taint | share | suspected part of what the payee received of late",
    "payee_z | z | amount against what the payee usually receives",
    "payee_over_max | ln | amount to the largest credit before (0 if none)",
    "payee_share_24h | share | this amount in all the payee received within 24 h, with it",
    "payee_bare | share | part of the payee's new balance that this transfer makes up (0 if not known)",
    "alike_in | n | of the last credits within 24 h those of about the same amount (2 %)",
)

DEBIT_FEATURES: Final = tuple(column.name for column in DEBIT_COLUMNS)
CREDIT_FEATURES: Final = tuple(column.name for column in CREDIT_COLUMNS)
FEATURE_NAMES: Final = DEBIT_FEATURES + CREDIT_FEATURES
"""Order of `Assessment.features`."""

FEATURE_SET: Final = "f1"
"""Changes whenever the order or the meaning of a feature changes."""

FEATURE_INDEX: Final = {name: index for index, name in enumerate(FEATURE_NAMES)}
