"""What victims are told to do: one script per kind of scam.

A script yields the victim's payments; each that goes through starts the money
on its way (`simulators.typologies.pass_on`). At its end the victim, later or
never, reports.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from typing import Final

from msgspec.structs import replace

from simulators.books import Outcome, Refusal
from simulators.plan import HOUR_US, MINUTE_US, SECOND_US, Intent, yuan
from simulators.population import Customer
from simulators.rings import Case, Loot, Mule, Script, Underworld, Wait
from simulators.town import rounded, spread
from simulators.typologies import SMALLEST_FEN, pass_on, to_next_tier

REPORTS_SHARE: Final = 0.8
"""How many victims report at all (ours)."""

VICTIM_CHANNELS: Final = (*["mobile"] * 16, *["web"] * 3, "counter")

MAX_ACCOUNTS_TRIED: Final = 3
"""How many accounts a victim lets itself be told one after the other for one payment."""

Paying = Generator[Intent | Wait, Outcome | None, int]


def pay(
    world: Underworld, case: Case, payer: int, amount_fen: int, at_us: int, *, in_call: bool | None, device: str = ""
) -> Paying:
    """Have a victim pay the case's current account; return what was paid, in fen.

    A blocked account is replaced by another, a sum that is too large by a smaller one.
    """
    for _ in range(MAX_ACCOUNTS_TRIED):
        mule = current_mule(world, case, at_us, payer)
        outcome = yield Intent(
            at_us=at_us,
            payer=payer,
            payee=mule.account,
            amount_fen=max(100, amount_fen),
            channel=world.dice.choice(VICTIM_CHANNELS),
            label=case.label(from_victim=True),
            in_call=in_call,
            device=device,
        )
        assert outcome is not None
        at_us = world.now_us
        if outcome.executed:
            case.paid.append(outcome.transfer_id)
            case.paid_fen += amount_fen
            loot = Loot(case=case, mule=mule, amount_fen=max(100, amount_fen), tier=1, at_us=at_us)
            world.spawn(pass_on(world, loot))
            return amount_fen
        if outcome.refusal == Refusal.CREDIT_BLOCKED:
            mule.burned = True
        elif outcome.available_fen >= SMALLEST_FEN:
            amount_fen = min(amount_fen, outcome.available_fen) * 9 // 10
        else:
            return 0
        at_us += world.dice.randrange(40, 600) * SECOND_US
    return 0


def current_mule(world: Underworld, case: Case, at_us: int, payer: int) -> Mule:
    """Return the first-tier account victims are told now; a ring changes it often and drops a burned one."""
    mule = case.tier1
    if mule is None or mule.burned or world.dice.random() < 0.3:
        mule = case.tier1 = world.mule(case, 1, at_us, other_than=payer)
    return mule


def ends(world: Underworld, case: Case, at_us: int) -> None:
    """Let the victim see the truth: minutes to a day later most report it."""
    if case.paid and world.dice.random() < REPORTS_SHARE:
        delay_s = min(world.dice.lognormvariate(8.5, 1.5), 3 * 86_400)
        world.report(at_us + int(delay_s * SECOND_US), case)


def on_the_phone(dice: random.Random, share: float) -> bool | None:
    """Return whether the bank sees the victim in a call; it often cannot tell."""
    return None if dice.random() < 0.25 else dice.random() < share


def safe_account(world: Underworld, case: Case, at_us: int) -> Script:
    """ "Your account is involved in a crime": frightened, on the phone, the victim empties its accounts."""
    dice, town = world.dice, world.town
    victim = world.victim(yuan(15_000))
    call = on_the_phone(dice, 0.85)
    if victim.second >= 0:
        gathered = int(town.balances[victim.second] * dice.uniform(0.7, 0.95))
        if gathered >= SMALLEST_FEN:
            yield Intent(at_us=at_us, payer=victim.second, payee=victim.main, amount_fen=gathered, channel="mobile",
                         in_call=call)  # fmt: skip
            at_us = world.now_us + dice.randrange(60, 900) * SECOND_US
    for _ in range(dice.randint(1, 4)):
        amount = rounded(dice, int(town.balances[victim.main] * dice.uniform(0.4, 0.97)))
        if amount < yuan(500) or not (yield from pay(world, case, victim.main, amount, at_us, in_call=call)):
            break
        at_us = world.now_us + int(dice.lognormvariate(6.3, 0.9) * SECOND_US)
    ends(world, case, at_us)


def order_grabbing(world: Underworld, case: Case, at_us: int) -> Script:
    """Small tasks are paid back with a gain, then larger ones never are (刷单)."""
    dice = world.dice
    victim = world.victim(yuan(6_000))
    amount = dice.choice((9_900, 10_000, 12_800, 20_000, 29_800))
    for step in range(dice.randint(3, 6)):
        paid = yield from pay(world, case, victim.main, amount, at_us, in_call=on_the_phone(dice, 0.05))
        if not paid:
            break
        if step < 2 and case.tier1 is not None and dice.random() < 0.8:
            at_us = world.now_us + dice.randrange(120, 1_500) * SECOND_US
            yield bait(world, case, case.tier1, victim, amount_fen=int(paid * dice.uniform(1.05, 1.3)), at_us=at_us)
        at_us = world.now_us + int(dice.lognormvariate(7.0, 0.9) * SECOND_US)
        amount = rounded(dice, int(amount * dice.uniform(2.0, 5.0)))
    ends(world, case, at_us)


def investment(world: Underworld, case: Case, at_us: int) -> Script:
    """A friend found online knows a platform: 1,000, then 5,000, then everything, over hours and days."""
    dice = world.dice
    victim = world.victim(yuan(30_000))
    amount = rounded(dice, spread(dice, 1_200, 0.5))
    for step in range(dice.randint(3, 6)):
        paid = yield from pay(world, case, victim.main, amount, at_us, in_call=on_the_phone(dice, 0.05))
        if not paid:
            break
        if step == 0 and case.tier1 is not None and dice.random() < 0.6:
            back = int(paid * dice.uniform(0.1, 0.4))
            yield bait(world, case, case.tier1, victim, amount_fen=back, at_us=at_us + 2 * HOUR_US)
        at_us = world.now_us + int(dice.lognormvariate(9.5, 1.0) * SECOND_US)
        amount = rounded(dice, int(amount * dice.uniform(2.0, 5.0)))
    ends(world, case, at_us)


def bait(world: Underworld, case: Case, mule: Mule, victim: Customer, *, amount_fen: int, at_us: int) -> Intent:
    """Return a payment back to the victim that makes it trust."""
    label = case.label(to_victim=True)
    return world.intent(at_us, mule, victim.main, amount_fen, channel="mobile", label=label)


def fake_leader(world: Underworld, case: Case, at_us: int) -> Script:
    """ "I am your director": an accountant or a subordinate pays one or two large sums at once."""
    dice, town = world.dice, world.town
    if dice.random() < 0.3:
        payer = dice.choice(town.population.firms)
        amount = rounded(dice, min(spread(dice, 60_000, 0.6), town.balances[payer] // 3))
    else:
        payer = world.victim(yuan(20_000)).main
        amount = rounded(dice, int(town.balances[payer] * dice.uniform(0.5, 0.95)))
    for _ in range(dice.choice((1, 1, 2))):
        if amount < yuan(500) or not (
            yield from pay(world, case, payer, amount, at_us, in_call=on_the_phone(dice, 0.3))
        ):
            break
        at_us = world.now_us + dice.randrange(5, 50) * MINUTE_US
        amount = min(amount, int(town.balances[payer] * 0.9))
    ends(world, case, at_us)


def loan_fee(world: Underworld, case: Case, at_us: int) -> Script:
    """A loan that first costs a fee, a deposit, an "unfreezing": several middling sums from somebody with little."""
    dice = world.dice
    victim = world.victim(yuan(3_000))
    for _ in range(dice.randint(2, 5)):
        amount = rounded(dice, spread(dice, 2_800, 0.6))
        if not (yield from pay(world, case, victim.main, amount, at_us, in_call=on_the_phone(dice, 0.25))):
            break
        at_us = world.now_us + int(dice.lognormvariate(7.8, 0.9) * SECOND_US)
    ends(world, case, at_us)


def takeover(world: Underworld, case: Case, at_us: int) -> Script:
    """Remote control of the victim's phone: a few probes, then all there is, often at night, on a new device."""
    dice, town = world.dice, world.town
    victim = world.victim(yuan(10_000))
    device = dice.choice(case.ring.devices) if dice.random() < 0.6 else ""
    for _ in range(dice.randint(1, 4)):
        probe = dice.choice((1, 10, 100, 1_000, 9_900, 20_000, dice.randrange(100, 50_000)))
        if not (yield from pay(world, case, victim.main, probe, at_us, in_call=False, device=device)):
            break
        at_us = world.now_us + dice.randrange(15, 700) * SECOND_US
    for _ in range(dice.randint(1, 3)):
        amount = int(town.balances[victim.main] * dice.uniform(0.5, 0.98))
        if amount < yuan(300) or not (
            yield from pay(world, case, victim.main, amount, at_us, in_call=False, device=device)
        ):
            break
        at_us = world.now_us + dice.randrange(10, 400) * SECOND_US
    ends(world, case, at_us)


def score_running(world: Underworld, case: Case, at_us: int) -> Script:
    """Rented payment codes take small sums of many players, and the runner hands them over less a share (跑分)."""
    dice = world.dice
    runner = world.mule(case, 1, at_us)
    players, turn_fen = dice.randint(8, 22), 0
    collect_every = dice.randint(3, 7)
    for place in range(players):
        player = world.victim(yuan(300))
        amount = min(dice.choice((10_000, 20_000, 50_000, 100_000, 300_000, spread(dice, 400, 0.9))),
                     int(world.town.balances[player.main] * 0.8))  # fmt: skip
        outcome = yield Intent(
            at_us=at_us, payer=player.main, payee=runner.account, amount_fen=max(1_000, amount), channel="qr",
            label=case.label(from_victim=True), in_call=on_the_phone(dice, 0.02),
        )  # fmt: skip
        if outcome is not None and outcome.executed:
            case.paid.append(outcome.transfer_id)
            turn_fen += max(1_000, amount)
        elif outcome is not None and outcome.refusal == Refusal.CREDIT_BLOCKED:
            break
        if (place + 1) % collect_every == 0 or place == players - 1:
            pot = Loot(case=case, mule=runner, amount_fen=int(turn_fen * 0.985), tier=1, at_us=at_us)
            world.spawn(hand_over(world, pot))
            turn_fen = 0
        at_us += int(dice.expovariate(1 / 240) * SECOND_US) + SECOND_US
    if dice.random() < 0.6:
        ends(world, case, at_us)


def hand_over(world: Underworld, pot: Loot) -> Script:
    """The runner passes a pot on to the ring's collector."""
    at_us = pot.at_us + world.dice.randrange(20, 900) * SECOND_US
    yield Wait(at_us)
    if pot.amount_fen >= SMALLEST_FEN:
        yield from to_next_tier(world, replace(pot, at_us=at_us), "score_running")


Scam = Callable[[Underworld, Case, int], Script]

SCAMS: Final[dict[str, tuple[Scam, float]]] = {
    "safe_account": (safe_account, 0.18),
    "order_grabbing": (order_grabbing, 0.24),
    "investment": (investment, 0.14),
    "fake_leader": (fake_leader, 0.08),
    "loan_fee": (loan_fee, 0.16),
    "takeover": (takeover, 0.10),
    "score_running": (score_running, 0.10),
}
"""Every scam by name with its share of cases (ours; order grabbing is the commonest in police reports)."""


def begin(world: Underworld, at_us: int) -> Script:
    """Return the script of a new case of a random kind."""
    names = list(SCAMS)
    name = world.dice.choices(names, weights=[share for _, share in SCAMS.values()])[0]
    return SCAMS[name][0](world, world.open_case(name, at_us), at_us)
