"""Features that the payee's profile adds, made before the transfer is counted."""

from __future__ import annotations

from models.money.types import Transfer
from models.risk.payer_side import age, alike, last_s, ln_ratio, n, since, taint_share, yuan, z_score
from models.risk.peers import distinct_since, new_since
from models.risk.profile import AccountProfile
from models.risk.windows import DAY_S, HOUR_S, WEEK_S, window_totals


def credit_features(profile: AccountProfile, transfer: Transfer) -> tuple[float, ...]:
    """Return the payee's half of the features, in the order of `CREDIT_FEATURES`."""
    at_us = transfer.occurred_us
    now_s = max(at_us, profile.latest_us) // 1_000_000
    fen = transfer.amount_fen
    inflow = window_totals(profile.inflow, now_s)
    outflow = window_totals(profile.outflow, now_s)
    return (
        *_volume_part(inflow, outflow),
        *_people_part(profile, now_s),
        *_time_part(profile, transfer, now_s),
        ln_ratio(outflow[7], inflow[7]),
        ln_ratio(outflow[9], inflow[9]),
        profile.quick,
        taint_share(profile, now_s, inflow[7]),
        z_score(profile.received, profile.inflow.count, fen),
        ln_ratio(fen, profile.received.max_fen),
        fen / (inflow[7] + fen),
        _bare(profile, transfer),
        n(alike(profile.credits, fen, now_s - DAY_S)),
    )


def _volume_part(inflow: tuple[int, ...], outflow: tuple[int, ...]) -> tuple[float, ...]:
    return (
        n(inflow[2]),
        n(inflow[4]),
        n(inflow[6]),
        n(inflow[8]),
        yuan(inflow[5]),
        yuan(inflow[7]),
        yuan(inflow[9]),
        n(outflow[4]),
        n(outflow[6]),
        n(outflow[8]),
        yuan(outflow[5]),
        yuan(outflow[7]),
        yuan(outflow[9]),
    )


def _people_part(profile: AccountProfile, now_s: int) -> tuple[float, ...]:
    payers, payees = profile.payers, profile.payees
    return (
        n(distinct_since(payers, now_s - HOUR_S)),
        n(distinct_since(payers, now_s - DAY_S)),
        n(distinct_since(payers, now_s - WEEK_S)),
        n(payers.ever),
        n(distinct_since(payees, now_s - WEEK_S)),
        n(payees.ever),
        n(new_since(payers, now_s - DAY_S)),
    )


def _time_part(profile: AccountProfile, transfer: Transfer, now_s: int) -> tuple[float, ...]:
    in_s, out_s = last_s(profile.credits), last_s(profile.debits)
    return (
        since(now_s, in_s),
        since(now_s, out_s),
        since(now_s, max(in_s, out_s)),
        age(profile, transfer.payee_opened_us or 0, transfer.occurred_us),
    )


def _bare(profile: AccountProfile, transfer: Transfer) -> float:
    """Return which part of the payee's balance is this money: 1 for an account that was empty."""
    fen, after = transfer.amount_fen, transfer.payee_balance_after_fen
    if after is None:
        if profile.balance_fen is None:
            return 0.0
        after = profile.balance_fen + fen
    return fen / max(after, fen)
