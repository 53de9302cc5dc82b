"""Honest life as habits: how often each happens and what it pays.

Many of them look like crime on purpose: pots collected and passed on within
minutes, first payments of large sums to strangers, fans of wages, accounts
that wake up after years. A detector has to tell these apart.
Rates are ours; no public figure was found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from simulators.plan import DAY_US, HOUR_US, MINUTE_US, SECOND_US, Intent
from simulators.population import Customer
from simulators.town import HANDY, LUCKY, Slot, Town, rounded, spread

KEEP_AT_MOST: Final = 0.94
"""The largest share of one's money that goes into one big purchase."""


def shops(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """Daily shopping at the counter, mostly in the same few shops."""
    dice = town.dice
    for person, at_us in zip(town.people(count, slot), town.moments(count, slot), strict=True):
        shop = dice.choice(person.shops) if dice.random() < 0.75 else town.merchant()
        amount = spread(dice, 26, 0.95)
        if town.can_pay(person.main, amount):
            yield town.intent(at_us, person.main, shop, amount, "qr" if dice.random() < 0.8 else "pos")


def online(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """Shopping online, from any merchant."""
    for person, at_us in zip(town.people(count, slot), town.moments(count, slot), strict=True):
        amount = spread(town.dice, 110, 1.0)
        if town.can_pay(person.main, amount):
            yield town.intent(at_us, person.main, town.merchant(), amount, "web")


def friends(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """Money between friends: shared bills, small debts, now and then a large loan."""
    dice = town.dice
    for person, at_us in zip(town.people(count, slot), town.moments(count, slot), strict=True):
        amount = dice.choice(HANDY) if dice.random() < 0.45 else spread(dice, 120, 1.1)
        if dice.random() < 0.02:
            amount = rounded(dice, spread(dice, 9_000, 0.9))
        if town.can_pay(person.main, amount):
            yield town.intent(at_us, person.main, dice.choice(person.friends), amount)


def family(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """Support for parents, pocket money, the household's purse."""
    dice = town.dice
    for person, at_us in zip(town.people(count, slot), town.moments(count, slot), strict=True):
        amount = rounded(dice, spread(dice, 900, 0.9))
        if town.can_pay(person.main, amount):
            yield town.intent(at_us, person.main, dice.choice(person.family), amount)


def own_moves(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """Money moved between one's own accounts, often right before a large payment."""
    dice = town.dice
    for person, at_us in zip(town.people(count, slot), town.moments(count, slot), strict=True):
        if person.second < 0:
            continue
        source, target = (person.second, person.main) if dice.random() < 0.7 else (person.main, person.second)
        amount = rounded(dice, int(town.balances[source] * dice.uniform(0.1, 0.9)))
        if amount < 10_000:
            continue
        yield town.intent(at_us, source, target, amount)
        if target == person.main and amount > 200_000 and dice.random() < 0.4:
            payee = town.firm() if dice.random() < 0.5 else town.stranger(slot).main
            if payee != target:
                later = at_us + int(dice.lognormvariate(5.2, 1.3) * SECOND_US)
                yield town.intent(later, target, payee, int(amount * dice.uniform(0.8, 1.0)))


def cash(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """Cash from a machine: whole hundreds, a few thousand at most, sometimes twice in a row."""
    dice = town.dice
    for person, at_us in zip(town.people(count, slot), town.moments(count, slot), strict=True):
        amount = dice.choice((20_000, 50_000, 50_000, 100_000, 100_000, 200_000, 200_000, 250_000, 500_000))
        machine = dice.choice(town.population.atms)
        for turn in range(2 if dice.random() < 0.12 else 1):
            if town.can_pay(person.main, amount):
                yield town.intent(at_us + turn * 50 * SECOND_US, person.main, machine, amount, "atm")


def supplies(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """Firms and merchants pay suppliers, some as soon as a customer has paid them."""
    dice = town.dice
    for at_us in town.moments(count, slot):
        buyer = town.firm() if dice.random() < 0.75 else town.merchant()
        supplier = town.firm() if dice.random() < 0.7 else town.merchant()
        amount = rounded(dice, spread(dice, 16_000, 1.3))
        if buyer == supplier or not town.can_pay(buyer, amount):
            continue
        yield town.intent(at_us, buyer, supplier, amount, "web")
        if dice.random() < 0.3:
            later = at_us + int(dice.lognormvariate(6.5, 1.4) * SECOND_US)
            onward = town.firm()
            if onward != supplier:
                yield town.intent(later, supplier, onward, int(amount * dice.uniform(0.6, 1.0)), "web")


def refunds(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """A merchant gives money back."""
    for person, at_us in zip(town.people(count, slot), town.moments(count, slot), strict=True):
        shop, amount = town.dice.choice(person.shops), spread(town.dice, 60, 1.0)
        if town.can_pay(shop, amount):
            yield town.intent(at_us, shop, person.main, amount, "web")


def sweeps(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """A merchant empties the till into a firm's or its owner's account: pooled in, one sum out."""
    dice, merchants = town.dice, town.population.merchants
    for at_us in town.moments(count, slot):
        place = dice.randrange(len(merchants))
        amount = int(town.balances[merchants[place]] * dice.uniform(0.5, 0.93))
        owner = town.population.customers[place * 7 % len(town.population.customers)]
        if amount > 10_000:
            yield town.intent(at_us, merchants[place], owner.main, amount, "web")


def payouts(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """A platform pays riders, sellers and claims: from one firm to many people it may never have paid."""
    dice = town.dice
    platform = town.firm()
    people = town.people(count, slot)
    start = slot.start_us + dice.randrange(MINUTE_US * 10)
    for place, person in enumerate(people):
        amount = spread(dice, 260, 0.9)
        if town.can_pay(platform, amount):
            yield town.intent(start + place * dice.randrange(50_000, 900_000), platform, person.main, amount, "batch")


def savings(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """Into a fund and out of it: large, usually to a known firm, and back again one day."""
    dice = town.dice
    for person, at_us in zip(town.people(count, slot), town.moments(count, slot), strict=True):
        fund = town.population.firms[person.main % min(6, len(town.population.firms))]
        amount = rounded(dice, spread(dice, 4_000, 1.1))
        payer, payee = (person.main, fund) if dice.random() < 0.6 else (fund, person.main)
        if town.can_pay(payer, amount):
            yield town.intent(at_us, payer, payee, amount, "web")


def big_buys(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """A car, a kitchen, a year's tuition, a deposit: most of one's money to somebody never paid before."""
    dice = town.dice
    for person, at_us in zip(town.people(count, slot), town.moments(count, slot), strict=True):
        wish = spread(dice, 11_000, 1.0)
        have = town.balances[person.main]
        amount = rounded(dice, min(wish, int(have * dice.uniform(0.3, KEEP_AT_MOST))))
        payee = town.firm() if dice.random() < 0.6 else town.stranger(slot).main
        if amount >= 100_000 and payee != person.main:
            moment = at_us
            if dice.random() < 0.3:
                yield town.intent(at_us, person.main, payee, dice.choice((100, 1_000, 10_000)))
                moment += int(dice.lognormvariate(5.0, 0.8) * SECOND_US)
            yield town.intent(moment, person.main, payee, amount, "mobile" if dice.random() < 0.7 else "counter")


def second_hand(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """Something used, sold by one stranger to another."""
    dice = town.dice
    for person, at_us in zip(town.people(count, slot), town.moments(count, slot), strict=True):
        amount, seller = rounded(dice, spread(dice, 420, 1.3)), town.stranger(slot)
        if seller.main != person.main and town.can_pay(person.main, amount):
            yield town.intent(at_us, person.main, seller.main, amount)


def dinners(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """One pays the table, the others send their share within the hour; or first they send, then one pays."""
    dice = town.dice
    for person, at_us in zip(town.people(count, slot), town.moments(count, slot), strict=True):
        share = spread(dice, 95, 0.5)
        guests = person.friends[: dice.randint(2, 8)]
        bill, first = share * (len(guests) + 1), dice.random() < 0.35
        paid_us = at_us + (40 * MINUTE_US if first else 0)
        if first or town.can_pay(person.main, bill):
            yield town.intent(paid_us, person.main, town.merchant(), bill, "qr")
        for guest in guests:
            if town.can_pay(guest, share):
                delay_s = dice.lognormvariate(6.0, 1.2)
                yield town.intent(at_us + min(int(delay_s * SECOND_US), DAY_US), guest, person.main, share)


def gifts(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """A wedding: many guests send lucky sums within a day, much of it goes to the hotel that night."""
    dice = town.dice
    for person, at_us in zip(town.people(count, slot), town.moments(count, slot), strict=True):
        total = 0
        for guest in town.people(dice.randint(8, 24), slot):
            amount = dice.choice(LUCKY)
            if guest.main != person.main and town.can_pay(guest.main, amount):
                total += amount
                yield town.intent(at_us + dice.randrange(9 * HOUR_US), guest.main, person.main, amount)
        if total:
            yield town.intent(at_us + 10 * HOUR_US, person.main, town.firm(), int(total * dice.uniform(0.6, 1.0)))


def collections(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """A class fee or a group order: many pay the same sum to one, who passes all of it on at once."""
    dice = town.dice
    for person, at_us in zip(town.people(count, slot), town.moments(count, slot), strict=True):
        each, last, total = spread(dice, 180, 0.7), at_us, 0
        for member in town.people(dice.randint(8, 26), slot):
            if member.main != person.main and town.can_pay(member.main, each):
                moment = at_us + int(min(dice.lognormvariate(7.5, 1.2), 40_000) * SECOND_US)
                last, total = max(last, moment), total + each
                yield town.intent(moment, member.main, person.main, each)
        if total:
            on_us = last + int(dice.lognormvariate(6.0, 1.5) * SECOND_US)
            yield town.intent(on_us, person.main, town.firm(), int(total * dice.uniform(0.9, 1.0)))


def agents(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """Buying agents and small traders: buyers they do not know pay in, suppliers are paid minutes later."""
    dice = town.dice
    for at_us in town.moments(count if town.agents else 0, slot):
        agent, total = dice.choice(town.agents), 0
        for buyer in town.people(dice.randint(1, 5), slot):
            amount = spread(dice, 380, 0.9)
            if buyer.main != agent.main and town.can_pay(buyer.main, amount):
                total += amount
                yield town.intent(at_us + dice.randrange(HOUR_US), buyer.main, agent.main, amount)
        if total:
            later = at_us + HOUR_US + int(dice.lognormvariate(5.5, 1.6) * SECOND_US)
            supplier = dice.choice(agent.shops) if dice.random() < 0.5 else town.firm()
            yield town.intent(later, agent.main, supplier, int(total * dice.uniform(0.75, 0.98)))


def favours(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """ "Pay this for me": a friend's money is passed on whole within seconds or minutes."""
    dice = town.dice
    for person, at_us in zip(town.people(count, slot), town.moments(count, slot), strict=True):
        friend, amount = dice.choice(person.friends), rounded(dice, spread(dice, 1_500, 1.2))
        payee = town.firm() if dice.random() < 0.4 else town.stranger(slot).main
        if town.can_pay(friend, amount) and payee not in (person.main, friend):
            yield town.intent(at_us, friend, person.main, amount)
            later = at_us + int(dice.lognormvariate(5.3, 1.5) * SECOND_US)
            yield town.intent(later, person.main, payee, amount)


def red_packets(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """A game among friends: small sums around the circle, seconds apart."""
    dice = town.dice
    for person, at_us in zip(town.people(count, slot), town.moments(count, slot), strict=True):
        circle, moment = (person.main, *person.friends), at_us
        for _ in range(dice.randint(4, 10)):
            payer, payee = dice.sample(circle, 2)
            moment += int(dice.expovariate(1 / 14) * SECOND_US) + 1
            amount = spread(dice, 12, 0.9)
            if town.can_pay(payer, amount):
                yield town.intent(moment, payer, payee, amount)


def coin_trades(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """Honest people, too, buy coins from over-the-counter dealers and sell to them."""
    dice = town.dice
    for person, at_us in zip(town.people(count, slot), town.moments(count, slot), strict=True):
        dealer, amount = dice.choice(town.population.otc), spread(dice, 2_500, 1.2)
        payer, payee = (person.main, dealer) if dice.random() < 0.65 else (dealer, person.main)
        if town.can_pay(payer, amount):
            yield town.intent(at_us, payer, payee, amount)


def new_hands(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """A new account is filled by its owner's family and used at once."""
    dice = town.dice
    for at_us in town.moments(count if town.young else 0, slot):
        person = dice.choice(town.young)
        sponsor, amount = dice.choice(person.family), rounded(dice, spread(dice, 2_200, 1.0))
        if town.can_pay(sponsor, amount):
            yield town.intent(at_us, sponsor, person.main, amount)
            yield from _spend(town, person, amount, at_us, slot)


def revivals(town: Town, count: int, slot: Slot) -> Iterator[Intent]:
    """An account asleep for years gets a sum (an inheritance, a sale) and most of it is soon passed on."""
    dice = town.dice
    for at_us in town.moments(count if town.dormant else 0, slot):
        person, giver = dice.choice(town.dormant), town.stranger(slot)
        payer = town.firm() if dice.random() < 0.5 else giver.main
        amount = rounded(dice, spread(dice, 6_000, 1.2))
        if payer != person.main and town.can_pay(payer, amount):
            yield town.intent(at_us, payer, person.main, amount)
            yield from _spend(town, person, amount, at_us, slot)


def _spend(town: Town, person: Customer, amount_fen: int, at_us: int, slot: Slot) -> Iterator[Intent]:
    """Spend most of a sum in a few payments over the next minutes to hours."""
    dice, moment = town.dice, at_us
    for _ in range(dice.randint(1, 3)):
        moment += int(min(dice.lognormvariate(7.0, 1.6), 80_000) * SECOND_US)
        payee = dice.choice((town.firm(), town.merchant(), town.stranger(slot).main, dice.choice(person.family)))
        part = int(amount_fen * dice.uniform(0.15, 0.5))
        if payee != person.main and part:
            yield town.intent(moment, person.main, payee, part)
