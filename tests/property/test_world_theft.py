"""Following the stolen money: exact, conserving, and equal to a naive queue of single fen."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from simulators.plan import Intent, Label
from simulators.theft import TheftBook

VICTIM, MULE, SECOND, OUTSIDE = range(4)
ACCOUNTS = (VICTIM, MULE, SECOND, OUTSIDE)

moves = st.lists(
    st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from(ACCOUNTS), st.integers(1, 40), st.booleans()), max_size=40
)
holds = st.dictionaries(st.sampled_from((MULE, SECOND)), st.integers(0, 200), max_size=2)


def intent(payer: int, payee: int, amount_fen: int, label: Label | None = None) -> Intent:
    return Intent(at_us=1, payer=payer, payee=payee, amount_fen=amount_fen, channel="mobile", label=label)


def stolen_label(case_id: str = "C1") -> Label:
    return Label(typology="x", case_id=case_id, from_victim=True)


class FenByFen:
    """The same account as a queue of single fen, each stolen or clean."""

    def __init__(self, openings: dict[int, int]) -> None:
        self.fen = {account: deque([False] * opening) for account, opening in openings.items()}
        self.stolen = self.gone = 0

    def move(self, payer: int, payee: int, amount_fen: int, stolen: bool) -> None:
        if payer in self.fen:
            moved = [self.fen[payer].popleft() for _ in range(amount_fen)]
        else:
            moved = [stolen] * amount_fen
            self.stolen += amount_fen * stolen
        if payee in self.fen:
            self.fen[payee].extend(moved)
        else:
            self.gone += sum(moved)


@given(moves, holds, st.integers(0, 50))
def test_lots_equal_single_fen_and_nothing_is_lost(
    steps: list[tuple[int, int, int, bool]], held: dict[int, int], opening: int
) -> None:
    book, naive = TheftBook(), FenByFen({MULE: opening, SECOND: 0})
    book.recruit(MULE, opening)
    book.recruit(SECOND, 0)
    balances = {VICTIM: 10**6, MULE: opening, SECOND: 0, OUTSIDE: 10**6}
    for payer, payee, amount_fen, stolen in steps:
        if payer == payee or amount_fen > balances[payer]:
            continue
        robbed = stolen and payer == VICTIM
        book.observe(intent(payer, payee, amount_fen, stolen_label() if robbed else None))
        naive.move(payer, payee, amount_fen, robbed)
        balances[payer] -= amount_fen
        balances[payee] += amount_fen
        for account in (MULE, SECOND):
            assert book.tainted_fen(account) == sum(naive.fen[account])
    money = book.count(held)
    assert (money.stolen, money.cashed_out) == (naive.stolen, naive.gone)
    assert money.stolen == money.stopped + money.cashed_out + money.in_flight
    assert money.stopped == sum(min(book.tainted_fen(account), sum_) for account, sum_ in held.items())
    assert money.in_flight >= 0


def test_what_a_mule_owned_goes_first() -> None:
    book = TheftBook()
    book.recruit(MULE, 100)
    book.observe(intent(VICTIM, MULE, 50, stolen_label()))
    book.observe(intent(MULE, OUTSIDE, 100))
    assert book.count({}).cashed_out == 0
    book.observe(intent(MULE, OUTSIDE, 30))
    assert book.count({}).cashed_out == 30


def test_bait_gives_stolen_money_back() -> None:
    book = TheftBook()
    book.recruit(MULE, 0)
    book.observe(intent(VICTIM, MULE, 50, stolen_label()))
    book.observe(intent(MULE, VICTIM, 20, Label(typology="x", case_id="C1", fraud=False, to_victim=True)))
    money = book.count({})
    assert (money.stolen, money.cashed_out, money.in_flight) == (30, 0, 30)


def test_a_hold_counts_only_for_stolen_money_that_is_there() -> None:
    book = TheftBook()
    book.recruit(MULE, 500)
    book.observe(intent(VICTIM, MULE, 50, stolen_label()))
    assert book.count({MULE: 550}).stopped == 50
    assert book.count({MULE: 20}).stopped == 20
    assert book.count({OUTSIDE: 999}).stopped == 0
