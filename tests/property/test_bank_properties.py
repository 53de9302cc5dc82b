"""Whatever is paid and ordered, in any sequence: the books balance, controls hold, repeats do nothing.

A naive auditor keeps its own plain account of balances and controls and must agree after every step.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from models.control.messages import CommandKind, ControlKind, ResultCode
from models.money.types import AccountId
from simulators.books import BankBooks
from tests.bankkit import HOUR_US, STYLES, T0, command, freeze, opening, protective, stop, transfer

ACCOUNTS = [f"{bank}/{number}" for bank in STYLES for number in ("A", "B")]
accounts = st.sampled_from(ACCOUNTS)
amounts = st.integers(1, 60_000)
MADE = {"protective": protective, "stop": stop, "freeze": freeze}
LIFT = {
    "protective": CommandKind.PROTECTIVE_RELEASE,
    "stop": CommandKind.STOP_LIFT,
    "freeze": CommandKind.UNFREEZE,
}


@dataclass(frozen=True)
class Held:
    """The auditor's note of one control that a bank said it applied."""

    account: str
    kind: str
    control: ControlKind
    start_us: int
    end_us: int
    amount_fen: int


class BankMachine(RuleBasedStateMachine):
    @initialize(balances=st.lists(st.integers(0, 100_000), min_size=len(ACCOUNTS), max_size=len(ACCOUNTS)))
    def open(self, balances: list[int]) -> None:
        self.books = BankBooks(STYLES)
        self.balances = dict(zip(ACCOUNTS, balances, strict=True))
        for name, balance in self.balances.items():
            bank, account = name.split("/")
            self.books.open([opening(bank, account, balance)])
        self.now_us, self.issued = T0, 0
        self.held: dict[str, Held] = {}
        self.paid: list[tuple[object, object]] = []
        self.ordered: list[tuple[object, object]] = []

    def new_id(self) -> str:
        self.issued += 1
        return f"id{self.issued}"

    def live(self, account: str) -> list[Held]:
        return [held for held in self.held.values() if held.account == account and self.now_us < held.end_us]

    def may_pay(self, account: str) -> int:
        live = self.live(account)
        if any(held.control is not ControlKind.AMOUNT_HOLD for held in live):
            return 0
        return max(0, self.balances[account] - sum(held.amount_fen for held in live))

    @rule(hours=st.integers(1, 60))
    def wait(self, hours: int) -> None:
        self.now_us += hours * HOUR_US

    @rule(payer=accounts, payee=accounts, amount_fen=amounts)
    def pay(self, payer: str, payee: str, amount_fen: int) -> None:
        wish = transfer(payer, payee, amount_fen, transfer_id=self.new_id(), occurred_us=self.now_us)
        expected = (
            payer != payee
            and amount_fen <= self.may_pay(payer)
            and not any(held.control is ControlKind.FULL_BLOCK for held in self.live(payee))
        )
        outcome, told = self.books.execute(wish, self.now_us)
        assert outcome.executed == expected
        assert (told is not None) == expected
        if expected:
            self.balances[payer] -= amount_fen
            self.balances[payee] += amount_fen
        self.paid.append((wish, outcome))

    @rule(account=accounts, kind=st.sampled_from(sorted(MADE)), amount_fen=st.integers(0, 60_000))
    def order(self, account: str, kind: str, amount_fen: int) -> None:
        if kind == "freeze" and any(held.kind == "freeze" for held in self.live(account)):
            return  # it would be queued, which the auditor does not model; a unit test does
        new = self.new_id()
        wish = MADE[kind](new, target=account, amount_fen=amount_fen, expire_us=self.now_us + 24 * HOUR_US)
        feedback = self.books.command(wish, self.now_us)
        self.ordered.append((wish, feedback))
        applied = feedback.result in (ResultCode.OK, ResultCode.DEFICIENT)
        assert applied == (feedback.control is not None) == (feedback.start_us == self.now_us)
        if feedback.control is not None:
            self.held[new] = Held(account, kind, feedback.control, self.now_us, feedback.expire_us, amount_fen)

    @rule(data=st.data())
    def lift(self, data: st.DataObject) -> None:
        if not self.held:
            return
        original = data.draw(st.sampled_from(sorted(self.held)))
        held = self.held.pop(original)
        wish = command(LIFT[held.kind], self.new_id(), target=held.account, original_application_id=original)
        feedback = self.books.command(wish, self.now_us)
        assert feedback.result == (ResultCode.LIFT_EXPIRED if self.now_us >= held.end_us else ResultCode.OK)

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """A client that got no answer asks again: same answer, nothing moves."""
        if self.paid:
            wish, outcome = data.draw(st.sampled_from(self.paid))
            assert self.books.execute(wish, self.now_us) == (outcome, None)  # type: ignore[arg-type]
        if self.ordered:
            wish, feedback = data.draw(st.sampled_from(self.ordered))
            assert self.books.command(wish, self.now_us) == feedback  # type: ignore[arg-type]

    @invariant()
    def books_balance(self) -> None:
        check = self.books.check()
        assert check.balanced, check.faults
        assert sum(bank.customers_fen for bank in check.banks.values()) == sum(self.balances.values())
        for name, balance in self.balances.items():
            assert self.books.ledger.account(AccountId(name)).balance_fen == balance

    @invariant()
    def available_is_what_the_auditor_allows(self) -> None:
        for account in ACCOUNTS:
            assert self.books.available_fen(AccountId(account), self.now_us) == self.may_pay(account)


TestBankBooks = BankMachine.TestCase
TestBankBooks.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
