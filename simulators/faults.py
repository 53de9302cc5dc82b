"""Faults a bank shows on demand, drawn from a seed so that a run can be repeated."""

from __future__ import annotations

import random
from typing import Annotated, Final

import msgspec

MAX_DELAY_MS: Final = 600_000
MAX_TIMES: Final = 1_000_000

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
DelayMs = Annotated[int, msgspec.Meta(ge=0, le=MAX_DELAY_MS)]


class FaultPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What goes wrong at one bank: each field is the share of commands it strikes, 0-1.

    ``delay_ms`` is waited before every answer in addition to the bank's usual
    delay. ``refuse`` answers ``refuse_code`` without acting; ``error_500``
    fails without acting; ``lose_answer`` acts and then says nothing;
    ``stale_answer`` acts and sends the previous feedback once more in place of
    the right one; ``no_start_time`` acts and leaves the stop point out;
    ``short_balance`` covers at most half of the sum; ``duplicate_posts`` (share
    of batches) posts executed transfers to Sluice twice. ``times`` ends the
    plan after so many struck commands.
    """

    bank: str
    seed: int = 0
    times: Annotated[int, msgspec.Meta(ge=1, le=MAX_TIMES)] = MAX_TIMES
    delay_ms: DelayMs = 0
    refuse: Share = 0.0
    refuse_code: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}$")] = "1100"
    error_500: Share = 0.0
    lose_answer: Share = 0.0
    stale_answer: Share = 0.0
    no_start_time: Share = 0.0
    short_balance: Share = 0.0
    duplicate_posts: Share = 0.0


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What strikes one command."""

    delay_ms: int = 0
    refuse_code: str = ""
    error_500: bool = False
    lose_answer: bool = False
    stale_answer: bool = False
    no_start_time: bool = False
    short_balance: bool = False

    @property
    def strikes(self) -> bool:
        """Return whether anything beside a delay happens."""
        return bool(
            self.refuse_code
            or self.error_500
            or self.lose_answer
            or self.stale_answer
            or self.no_start_time
            or self.short_balance
        )


NO_FAULT: Final = Fault()


class FaultBook:
    """The fault plans in force, one per bank."""

    def __init__(self) -> None:
        self._plans: dict[str, FaultPlan] = {}
        self._dice: dict[str, random.Random] = {}
        self._struck: dict[str, int] = {}

    def set(self, plan: FaultPlan) -> None:
        """Put a plan in force in place of the bank's earlier one; its dice start anew from the seed."""
        self._plans[plan.bank] = plan
        self._dice[plan.bank] = random.Random(f"{plan.seed}/{plan.bank}")
        self._struck[plan.bank] = 0

    def clear(self, bank: str | None = None) -> None:
        """End the plan of one bank, or all plans."""
        for name in [bank] if bank is not None else list(self._plans):
            self._plans.pop(name, None)

    def plans(self) -> list[FaultPlan]:
        """Return the plans in force."""
        return list(self._plans.values())

    def draw(self, bank: str) -> Fault:
        """Return what strikes the next command of a bank."""
        plan = self._plans.get(bank)
        if plan is None:
            return NO_FAULT
        dice = self._dice[bank].random
        fault = Fault(
            delay_ms=plan.delay_ms,
            refuse_code=plan.refuse_code if dice() < plan.refuse else "",
            error_500=dice() < plan.error_500,
            lose_answer=dice() < plan.lose_answer,
            stale_answer=dice() < plan.stale_answer,
            no_start_time=dice() < plan.no_start_time,
            short_balance=dice() < plan.short_balance,
        )
        if fault.strikes:
            self._struck[bank] += 1
            if self._struck[bank] >= plan.times:
                self.clear(bank)
        return fault

    def draw_duplicate_post(self, bank: str) -> bool:
        """Return whether the next batch of a bank is posted twice."""
        plan = self._plans.get(bank)
        return plan is not None and self._dice[bank].random() < plan.duplicate_posts
