"""Whatever happens to an order in whatever sequence, the law's rules hold."""

from __future__ import annotations

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from models.control.commands import command_of
from models.control.deadlines import Clocks, next_due
from models.control.feedback import event_of
from models.control.messages import BankFeedback, ControlKind
from models.control.orders import step
from models.control.records import Act, Actor, LegalDocument, Order, OrderError
from models.control.states import AWAITING_BANK, IN_FORCE, ActorKind, OrderEvent, OrderKind, OrderState, Purpose
from models.control.table import ROWS, TABLE, terminal_states
from tests.controlkit import BANK, HOUR, PAPER, SIGNED, T0, order

PERSONS = [Actor(name) for name in ("ann", "bob", "cyd")]
OTHER_PAPER = msgspec.structs.replace(PAPER, sha256="1" * 64)
ACTORS = [*PERSONS, BANK, Actor("sluice", ActorKind.MACHINE)]
CODES = ["0000", "0000", "0000", "1200", "0300", "0400", "1100", "1300", "1301", "1800", "1900", "0900", "7777", ""]

CONTROLS = st.sampled_from(list(ControlKind))
NOT_BANK = [event for event in OrderEvent if not event.startswith("bank_")]


class Life(RuleBasedStateMachine):
    """One order through anything that people, clocks and banks may do, sensible or not."""

    def __init__(self) -> None:
        super().__init__()
        self.order: Order = order()
        self.before: Order | None = None
        self.happened: set[OrderEvent] = set()
        self.now = T0

    @initialize(
        kind=st.sampled_from(list(OrderKind)), maker=st.sampled_from(["sluice", "ann"]), control=st.none() | CONTROLS
    )
    def begin(self, kind: OrderKind, maker: str, control: ControlKind | None) -> None:
        """Begin as a draft, or (with a ``control``) as signed by two and confirmed by the bank."""
        self.order = order(kind, maker=maker, months=6 if kind is OrderKind.FREEZE else 0)
        if control is not None:
            for event, actor in zip(SIGNED, (PERSONS[1], PERSONS[2], BANK), strict=True):
                self._step(event, Act(actor=actor, at_us=self.now, document=PAPER, level="city"))
            self.bank_agrees(control)

    def _step(self, event: OrderEvent, act: Act) -> None:
        before = self.order
        encoded = msgspec.json.encode(before)
        try:
            after = step(before, event, act)
        except OrderError:
            assert msgspec.json.encode(self.order) == encoded
            return
        assert before.state not in terminal_states(before.kind)
        assert after.version == before.version + 1
        self._check_signatures(before, after, event, act)
        assert msgspec.json.decode(msgspec.json.encode(after), type=Order) == after
        self.before, self.order = before, after
        self.happened.add(event)

    def _check_signatures(self, before: Order, after: Order, event: OrderEvent, act: Act) -> None:
        if after.state is OrderState.APPROVED:
            assert len({signature.name for signature in after.signatures}) >= 2
            assert act.actor.name not in (after.maker, *after.reporters)
        waited = before.state in (OrderState.SUBMITTED, OrderState.REVIEWED)
        if waited and after.state in (before.state, OrderState.APPROVED):
            signed = [(each.document, each.transfer_ids, each.amount_fen) for each in (before, after)]
            assert signed[0] == signed[1], "both sign for the same"
        if event in (OrderEvent.APPROVE_LIFT, OrderEvent.APPROVE_EXTENSION):
            assert before.request is not None
            assert before.request.maker != act.actor.name
        if after.kind is not OrderKind.PROTECTIVE_STOP and after.purpose is Purpose.APPLY:
            assert before.state is OrderState.APPROVED or before.purpose is Purpose.APPLY

    @rule(
        event=st.sampled_from(NOT_BANK),
        actor=st.sampled_from(ACTORS),
        reason=st.sampled_from(["", "because"]),
        paper=st.sampled_from([None, PAPER, OTHER_PAPER]),
        gone=st.booleans(),
        stops=st.integers(0, 3),
        level=st.sampled_from(["", "county", "city"]),
        raiser=st.sampled_from([(), ("bob",), ("cyd",)]),
    )
    def happen(  # noqa: PLR0917 - Hypothesis passes them by name
        self,
        event: OrderEvent,
        actor: Actor,
        reason: str,
        paper: LegalDocument | None,
        gone: bool,
        stops: int,
        level: str,
        raiser: tuple[str, ...],
    ) -> None:
        act = Act(
            actor=actor,
            at_us=self.now,
            reason=reason,
            document=paper,
            control_gone=gone,
            earlier_stops=stops,
            level=level,
            transfer_ids=("t9",),
            amount_fen=10,
            reporters=raiser,
        )
        self._step(event, act)

    @rule(data=st.data(), person=st.sampled_from(PERSONS), paper=st.sampled_from([PAPER, OTHER_PAPER]))
    def proceed(self, data: st.DataObject, person: Actor, paper: LegalDocument) -> None:
        """Something the table allows here, with papers in order, so that late states are reached."""
        events = [r.event for r in TABLE if r.kind is self.order.kind and r.source is self.order.state]
        events = [event for event in events if event in NOT_BANK]
        if events:
            event = data.draw(st.sampled_from(sorted(events)))
            act = Act(actor=person, at_us=self.now, reason="r", document=paper, level="city", control_gone=True)
            raised = msgspec.structs.replace(act, reporters=(person.name,))
            self._step(event, raised if event is OrderEvent.AMEND else act)

    @precondition(lambda self: self.order.state in IN_FORCE)
    @rule(lift=st.booleans(), maker=st.sampled_from(PERSONS), checker=st.sampled_from(PERSONS), stops=st.integers(0, 2))
    def ask_for_change(self, lift: bool, maker: Actor, checker: Actor, stops: int) -> None:
        asked = OrderEvent.REQUEST_LIFT if lift else OrderEvent.REQUEST_EXTENSION
        approved = OrderEvent.APPROVE_LIFT if lift else OrderEvent.APPROVE_EXTENSION
        self._step(asked, Act(actor=maker, at_us=self.now, reason="r"))
        self._step(approved, Act(actor=checker, at_us=self.now, level="city", earlier_stops=stops))

    @precondition(lambda self: self.order.purpose is not None)
    @rule(control=CONTROLS)
    def bank_agrees(self, control: ControlKind) -> None:
        told = BankFeedback(
            application_id=self.order.application_id,
            result="0000",
            feedback_time_us=self.now,
            account_number=self.order.account,
            control=control,
            start_us=self.now,
            executed_fen=1,
        )
        self._step(event_of(self.order, told), Act(actor=BANK, at_us=self.now, feedback=told))

    @precondition(lambda self: self.order.command_seq > 0)
    @rule(
        code=st.sampled_from(CODES),
        started=st.booleans(),
        control=st.sampled_from([None, *ControlKind]),
        prior=st.sampled_from([None, 5]),
        stale=st.integers(0, 9).map(lambda draw: draw == 0),
        as_event=st.one_of(st.none(), st.sampled_from([e for e in OrderEvent if e.startswith("bank_")])),
    )
    def bank_says(  # noqa: PLR0917 - Hypothesis passes them by name
        self,
        code: str,
        started: bool,
        control: ControlKind | None,
        prior: int | None,
        stale: bool,
        as_event: OrderEvent | None,
    ) -> None:
        feedback = BankFeedback(
            application_id="PS-0000000000000000-01" if stale else self.order.application_id,
            result=code,
            feedback_time_us=self.now,
            account_number=self.order.account,
            control=control,
            start_us=self.now if started else 0,
            prior_freeze_fen=prior,
            executed_fen=3,
        )
        event = event_of(self.order, feedback) if as_event is None else as_event
        self._step(event, Act(actor=BANK, at_us=self.now, feedback=feedback))

    @rule(hours=st.sampled_from([0, 0, 1, 30, 24 * 200]))
    def time_passes(self, hours: int) -> None:
        self.now += hours * HOUR + 1

    @invariant()
    def nothing_is_in_force_without_the_banks_stop_point(self) -> None:
        if self.order.state in IN_FORCE:
            assert self.order.stop_point_us > 0
            assert self.order.expire_us > self.order.stop_point_us
            assert self.order.applied_application_id

    @invariant()
    def an_open_command_can_always_be_sent_and_an_ended_order_has_none(self) -> None:
        if self.order.purpose is not None:
            command = command_of(self.order, now_us=self.now)
            assert len(command.application_id) <= 36
            assert command.reason
        if self.order.state in terminal_states(self.order.kind):
            assert self.order.purpose is None
        if self.order.state in AWAITING_BANK:
            assert self.order.purpose is Purpose.APPLY

    @invariant()
    def whoever_waits_for_a_bank_or_a_clock_has_one(self) -> None:
        due = next_due(self.order, Clocks(), self.now)
        if self.order.purpose is not None or self.order.state in IN_FORCE:
            assert due is not None
        if self.order.state in terminal_states(self.order.kind):
            assert due is None

    @invariant()
    def a_hold_is_released_only_by_a_person_and_converted_only_for_a_police_order(self) -> None:
        if self.order.state in (OrderState.RELEASED, OrderState.RELEASING):
            assert OrderEvent.RELEASE in self.happened
        if self.order.state in (OrderState.CONVERTED, OrderState.CONVERTING):
            assert OrderEvent.CONVERT in self.happened

    @invariant()
    def what_never_took_effect_is_lifted_only_by_the_banks_answer(self) -> None:
        if self.order.state is OrderState.LIFTED and not self.order.stop_point_us:
            assert self.order.result == "0000"

    @invariant()
    def a_request_that_waits_can_be_refused(self) -> None:
        if self.order.request is not None and self.order.state not in terminal_states(self.order.kind):
            assert (self.order.kind, self.order.state, OrderEvent.REJECT_REQUEST) in ROWS

    @invariant()
    def a_stop_never_lasts_longer_than_96_hours(self) -> None:
        if self.order.kind is OrderKind.STOP and self.order.stop_point_us:
            assert self.order.expire_us - self.order.stop_point_us <= 96 * HOUR


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
