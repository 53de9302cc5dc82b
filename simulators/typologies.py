"""How stolen money moves on: forwarded, split, pooled, run through rented codes, cashed out.

Each function is a script: it yields what a mule does next, with the truth
about it, and is told what the bank made of it. Crooks adapt: a smaller sum
when part is held, another account when the payee is blocked, another channel
and a later try when their own account is.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from typing import Final

import msgspec
from msgspec.structs import replace

from simulators.books import Outcome, Refusal
from simulators.plan import HOUR_US, MINUTE_US, SECOND_US, Intent, yuan
from simulators.rings import Loot, Mule, Script, Underworld, Wait, dwell_us

FORWARD_SHARE: Final = 0.52
SPLIT_SHARE: Final = 0.26
"""With pooling as the rest, about 44 % of all hops carry about what came in last (``docs/sources.md#real-hops``)."""

SMALLEST_FEN: Final = yuan(100)
"""Crooks do not bother with less."""

SPLIT_FROM_FEN: Final = yuan(3_000)
MAX_TRIES: Final = 4
MAX_PARTS: Final = 4
RETRY_LATER_US: Final = 25 * HOUR_US
"""The last try comes after a bank's own hold of a day would have lapsed."""

LEAVES_SHARE: Final = (0.93, 1.0)
"""The share of a sum that leaves at the end of a chain; the rest is somebody's wage."""

STOPPED: Final = frozenset({Refusal.DEBIT_BLOCKED, Refusal.HELD})
"""Refusals that tell a crook its account is known."""

CHANNELS: Final = (*["mobile"] * 34, *["web"] * 15, "counter")


class Push(msgspec.Struct, frozen=True, gc=False):
    """What a try to pay came to: 0 fen if nothing moved."""

    paid_fen: int
    at_us: int
    payee: int


Actions = Generator[Intent | Wait, Outcome | None, Push]


def push(world: Underworld, loot: Loot, payee: Callable[[int], int], *, typology: str, channel: str = "") -> Actions:
    """Try to move loot from its mule until it moves or hope is gone.

    ``payee`` names an account for a time; it is asked again after each refusal.
    """
    dice, amount_fen, at_us = world.dice, loot.amount_fen, loot.at_us
    target, label = payee(at_us), loot.case.label(typology)
    for turn in range(MAX_TRIES):
        how = channel or dice.choice(CHANNELS)
        outcome = yield world.intent(at_us, loot.mule, target, amount_fen, channel=how, label=label)
        assert outcome is not None
        at_us = world.now_us
        if outcome.executed:
            return Push(amount_fen, at_us, target)
        loot.mule.burned = loot.mule.burned or outcome.refusal in STOPPED
        if outcome.refusal == Refusal.CREDIT_BLOCKED:
            at_us += dice.randrange(20, 300) * SECOND_US
        elif outcome.available_fen >= SMALLEST_FEN:
            amount_fen = min(amount_fen, outcome.available_fen)
            at_us += dice.randrange(5, 120) * SECOND_US
        else:
            at_us += RETRY_LATER_US if turn == MAX_TRIES - 2 else dice.randrange(3, 40) * MINUTE_US
        target = payee(at_us)
    return Push(0, at_us, target)


def pass_on(world: Underworld, loot: Loot) -> Script:
    """One inflow's way on: out of the chain at its last tier, else forwarded, split or pooled."""
    due_us = loot.at_us + dwell_us(world.dice.random())
    yield Wait(due_us)
    way = world.dice.random()
    if loot.tier >= loot.case.depth:
        all_of_it = loot.amount_fen + take_pool(loot.mule)
        yield from cash_out(world, replace(loot, at_us=due_us, amount_fen=all_of_it))
    elif way < FORWARD_SHARE:
        yield from forward(world, replace(loot, at_us=due_us))
    elif way < FORWARD_SHARE + SPLIT_SHARE:
        yield from split(world, replace(loot, at_us=due_us))
    else:
        yield from pool(world, replace(loot, at_us=due_us))


def forward(world: Underworld, loot: Loot) -> Script:
    """Pass about the same sum to one account of the next tier (rapid pass-through)."""
    amount = blur(world.dice, loot.amount_fen, 0.9, 1.0)
    yield from to_next_tier(world, replace(loot, amount_fen=amount), "pass_through")


def split(world: Underworld, loot: Loot) -> Script:
    """Break a sum into parts for several accounts, seconds to minutes apart (fan-out)."""
    dice, at_us = world.dice, loot.at_us
    parts = dice.randint(2, MAX_PARTS) if loot.amount_fen >= SPLIT_FROM_FEN else 1
    cuts = sorted(dice.uniform(0.1, 0.9) for _ in range(parts - 1))
    total = loot.amount_fen * dice.uniform(0.9, 1.0)
    for low, high in zip([0.0, *cuts], [*cuts, 1.0], strict=True):
        part = blur(dice, int(total * (high - low)), 0.97, 1.0)
        if part >= SMALLEST_FEN:
            yield from to_next_tier(world, replace(loot, amount_fen=part, at_us=at_us), "split")
        at_us = max(at_us, world.now_us) + dice.randrange(2, 90) * SECOND_US


def pool(world: Underworld, loot: Loot) -> Script:
    """Leave a sum to be joined by others and pass all of it on later (fan-in, concentrate out)."""
    loot.mule.pooled_fen += loot.amount_fen
    later_us = loot.at_us + dwell_us(world.dice.random())
    yield Wait(later_us)
    total = take_pool(loot.mule)
    if total >= SMALLEST_FEN:
        amount = blur(world.dice, total, 0.92, 1.0)
        yield from to_next_tier(world, replace(loot, amount_fen=amount, at_us=later_us), "pool")


def to_next_tier(world: Underworld, loot: Loot, typology: str) -> Script:
    """Move loot to an account of the next tier, which goes on with it."""
    chosen: dict[int, Mule] = {}

    def payee(now_us: int) -> int:
        following = world.mule(loot.case, loot.tier + 1, now_us, other_than=loot.mule.account)
        chosen[following.account] = following
        return following.account

    moved = yield from push(world, loot, payee, typology=typology)
    if moved.paid_fen:
        arrived = Loot(
            case=loot.case,
            mule=chosen[moved.payee],
            amount_fen=moved.paid_fen,
            tier=loot.tier + 1,
            at_us=moved.at_us,
        )
        world.spawn(pass_on(world, arrived))


def cash_out(world: Underworld, loot: Loot) -> Script:
    """Leave the banks: machines for small sums, shops and dealers for larger ones."""
    if loot.amount_fen < SMALLEST_FEN:
        return
    if loot.amount_fen <= yuan(20_000) and world.dice.random() < 0.5:
        yield from at_machines(world, loot)
    elif world.dice.random() < 0.45:
        yield from in_shops(world, loot)
    else:
        yield from at_dealers(world, loot)


def at_machines(world: Underworld, loot: Loot) -> Script:
    """A courier draws cash, one withdrawal after the other, until the account is nearly empty."""
    dice, left, at_us = world.dice, loot.amount_fen, loot.at_us
    machine = dice.choice(world.town.population.atms)
    while left >= SMALLEST_FEN:
        part = min(dice.choice((250_000, 500_000, 500_000, 1_000_000)), left // 10_000 * 10_000)
        drawn = replace(loot, amount_fen=part, at_us=at_us)
        moved = yield from push(world, drawn, lambda _at: machine, typology="cash_out_atm", channel="atm")
        if not moved.paid_fen:
            return
        left -= moved.paid_fen
        at_us = moved.at_us + dice.randrange(35, 120) * SECOND_US


def in_shops(world: Underworld, loot: Loot) -> Script:
    """Gold, telephones, cigarettes: goods that are sold again the same day."""
    dice, at_us = world.dice, loot.at_us
    left = int(loot.amount_fen * dice.uniform(*LEAVES_SHARE))
    for _ in range(dice.randint(1, 4)):
        part = left if dice.random() < 0.4 else int(left * dice.uniform(0.3, 0.8))
        if part < SMALLEST_FEN:
            return
        bought = replace(loot, amount_fen=part, at_us=at_us)
        channel = dice.choice(("qr", "pos", "web"))
        moved = yield from push(
            world, bought, lambda _at: world.town.merchant(), typology="cash_out_goods", channel=channel
        )
        if not moved.paid_fen:
            return
        left -= moved.paid_fen
        at_us = moved.at_us + dice.randrange(60, 2_400) * SECOND_US


def at_dealers(world: Underworld, loot: Loot) -> Script:
    """Coins bought over the counter from dealers who also serve honest people."""
    dice, at_us = world.dice, loot.at_us
    left = int(loot.amount_fen * dice.uniform(*LEAVES_SHARE))
    dealers = world.town.population.otc
    while left >= SMALLEST_FEN:
        part = left if left < yuan(50_000) else blur(dice, yuan(50_000), 0.6, 1.0)
        bought = replace(loot, amount_fen=part, at_us=at_us)
        moved = yield from push(world, bought, lambda _at: dice.choice(dealers), typology="cash_out_otc")
        if not moved.paid_fen:
            return
        left -= moved.paid_fen
        at_us = moved.at_us + dice.randrange(30, 900) * SECOND_US


def take_pool(mule: Mule) -> int:
    """Take what was left to be pooled on an account."""
    total, mule.pooled_fen = mule.pooled_fen, 0
    return total


def blur(dice: random.Random, amount_fen: int, low: float, high: float) -> int:
    """Return a share of a sum, half the time rounded down to tens or hundreds of yuan."""
    amount = int(amount_fen * dice.uniform(low, high))
    step = dice.choice((1, 1, 1_000, 10_000))
    return max(amount // step * step, min(amount, SMALLEST_FEN))
