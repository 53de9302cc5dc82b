"""The state machines of orders: what is allowed, what is not, and what an answer of a bank means."""

from __future__ import annotations

import msgspec
import pytest

from models.control.commands import command_of, reason_text
from models.control.feedback import event_of
from models.control.messages import CommandKind, ControlKind
from models.control.orders import COMMANDS_PER_ORDER, add_months, check_new, order_id_of, step
from models.control.records import MACHINE, GuardFailed, Order, WrongState
from models.control.states import OrderEvent, OrderKind, OrderState, Purpose
from models.money.types import us_from_iso
from tests.controlkit import ANN, BANK, BOB, CYD, HOUR, PAPER, T0, act, feedback, order

E, K, S = OrderEvent, OrderKind, OrderState


def answered(subject: Order, result: str = "0000", **changes: object) -> Order:
    told = feedback(subject, result, **changes)
    return step(subject, event_of(subject, told), act(BANK, T0 + 10, feedback=told))


def approved(kind: OrderKind, **changes: object) -> Order:
    draft = order(kind, **changes)
    submitted = step(draft, E.SUBMIT, act(ANN, document=PAPER))
    signed = step(submitted, E.APPROVE, act(BOB, level="county"))
    return step(signed, E.DISPATCH, act())


def in_force(kind: OrderKind = K.PROTECTIVE_STOP) -> Order:
    return answered(order() if kind is K.PROTECTIVE_STOP else approved(kind))


class TestProtectiveStop:
    def test_success_with_stop_point_is_applied_and_starts_the_clock(self) -> None:
        applied = answered(order())
        assert (applied.state, applied.stop_point_us, applied.purpose) == (S.APPLIED, T0 + 5, None)
        assert applied.expire_us == T0 + 5 + 24 * HOUR
        assert applied.applied_application_id == "PS-15447a8f541a252e-01"
        assert (applied.control, applied.executed_fen) == (ControlKind.AMOUNT_HOLD, 500_000)

    def test_a_shorter_term_of_the_bank_counts(self) -> None:
        assert answered(order(), expire_us=T0 + HOUR).expire_us == T0 + HOUR

    def test_success_without_stop_point_is_unconfirmed_and_alarms(self) -> None:
        told = feedback(order(), "0000", start_us=0)
        assert event_of(order(), told) is E.BANK_UNCLEAR
        assert answered(order(), start_us=0).state is S.UNCONFIRMED

    @pytest.mark.parametrize("code", ["7777", "0900", "1499", "1200x", "", "200003"])
    def test_unknown_codes_stay_visible_and_are_never_success(self, code: str) -> None:
        after = answered(order(), code, start_us=T0 + 5, failure_cause="core says E17")
        assert (after.state, after.result, after.cause) == (S.UNCONFIRMED, code, "core says E17")
        assert after.stop_point_us == 0

    @pytest.mark.parametrize("code", ["0300", "0302", "1301", "1302", "1303", "1304", "0600"])
    def test_refusals_decline(self, code: str) -> None:
        after = answered(order(), code)
        assert (after.state, after.result, after.purpose) == (S.DECLINED, code, None)

    def test_a_fault_of_the_bank_is_asked_again_as_a_new_command_then_fails(self) -> None:
        first = order()
        second = answered(first, "1100")
        assert (second.state, second.application_id[-3:], second.purpose) == (S.PROPOSED, "-02", Purpose.APPLY)
        third = answered(second, "1100")
        assert answered(third, "1100").state is S.FAILED

    def test_deficient_is_in_force_and_says_so(self) -> None:
        after = answered(order(), "1200", executed_fen=100)
        assert (after.state, after.deficient, after.executed_fen) == (S.APPLIED, True, 100)

    def test_silence_is_unconfirmed_and_a_late_answer_counts_from_the_banks_stop_point(self) -> None:
        silent = step(order(), E.FEEDBACK_OVERDUE, act(at_us=T0 + 60_000_000))
        assert (silent.state, silent.purpose) == (S.UNCONFIRMED, Purpose.APPLY)
        assert answered(silent).expire_us == T0 + 5 + 24 * HOUR

    def test_answer_to_another_command_or_account_is_refused(self) -> None:
        for wrong in ({"application_id": "PS-x-01"}, {"account_number": "9999"}):
            told = feedback(order(), **wrong)
            with pytest.raises(GuardFailed):
                step(order(), E.BANK_OK, act(BANK, feedback=told))

    def test_a_machine_does_not_release(self) -> None:
        with pytest.raises(GuardFailed, match="only a person"):
            step(in_force(), E.RELEASE, act(MACHINE, reason="because"))
        with pytest.raises(GuardFailed, match="reason"):
            step(in_force(), E.RELEASE, act(ANN))

    def test_release_is_a_command_and_done_only_when_the_bank_says_so(self) -> None:
        releasing = step(in_force(), E.RELEASE, act(ANN, reason="customer verified"))
        assert (releasing.state, releasing.purpose) == (S.RELEASING, Purpose.RELEASE)
        command = command_of(releasing, now_us=T0)
        assert command.kind is CommandKind.PROTECTIVE_RELEASE
        assert command.original_application_id == "PS-15447a8f541a252e-01"
        assert command.reason.startswith("customer verified")
        assert answered(releasing).state is S.RELEASED
        assert answered(releasing, "0400").state is S.RELEASE_FAILED
        assert answered(releasing, "1900").state is S.EXPIRED

    def test_expiry_needs_the_time_and_the_banks_confirmation(self) -> None:
        applied = in_force()
        with pytest.raises(GuardFailed, match="not expired"):
            step(applied, E.EXPIRE, act(at_us=applied.expire_us - 1))
        expiring = step(applied, E.EXPIRE, act(at_us=applied.expire_us))
        assert expiring.state is S.EXPIRING
        assert answered(expiring).state is S.EXPIRED
        assert answered(expiring, "1900").state is S.EXPIRED

    def test_failed_release_can_be_retried_or_found_gone(self) -> None:
        failed = answered(step(in_force(), E.RELEASE, act(ANN, reason="x")), "0400")
        assert step(failed, E.RETRY, act()).purpose is Purpose.RELEASE
        with pytest.raises(GuardFailed):
            step(failed, E.CONTROL_ABSENT, act(BANK))
        assert step(failed, E.CONTROL_ABSENT, act(BANK, control_gone=True)).state is S.RELEASED

    @pytest.mark.parametrize("answers", [["0400"], ["7777"], ["1100", "1100", "1100"]])
    @pytest.mark.parametrize(("why", "way", "end"), [
        (E.RELEASE, S.RELEASING, S.RELEASED), (E.EXPIRE, S.EXPIRING, S.EXPIRED), (E.CONVERT, S.CONVERTING, S.CONVERTED),
    ])  # fmt: skip
    def test_why_a_hold_was_to_go_outlives_a_release_that_failed(
        self, why: OrderEvent, way: OrderState, end: OrderState, answers: list[str]
    ) -> None:
        applied = in_force()
        leaving = step(applied, why, act(ANN, applied.expire_us, reason="x"))
        for results in (answers, ["0400"]):
            for result in results:
                leaving = answered(leaving, result)
            assert leaving.state is S.RELEASE_FAILED
            assert step(leaving, E.CONTROL_ABSENT, act(BANK, control_gone=True)).state is end
            leaving = step(leaving, E.RETRY, act())
            assert (leaving.state, leaving.purpose) == (way, Purpose.RELEASE)
        assert answered(leaving).state is end

    def test_a_release_that_failed_before_its_cause_was_kept_is_a_persons_if_one_signed_it(self) -> None:
        for signed, way in ((E.RELEASE, S.RELEASING), (E.EXPIRE, S.EXPIRING)):
            leaving = step(in_force(), signed, act(ANN, T0 + 30 * HOUR, reason="x"))
            old = msgspec.structs.replace(answered(leaving, "0400"), came_from=None)
            assert step(old, E.RETRY, act()).state is way

    def test_commands_are_limited_by_the_width_of_the_application_id(self) -> None:
        failed = order(state=S.RELEASE_FAILED, command_seq=COMMANDS_PER_ORDER, stop_point_us=T0)
        with pytest.raises(GuardFailed, match="used up"):
            step(failed, E.RETRY, act())
        assert len(f"{order_id_of(K.FREEZE, 't' * 64, 'b/a')}-{COMMANDS_PER_ORDER:02d}") <= 36

    def test_further_credits_are_recorded_on_it(self) -> None:
        amended = step(in_force(), E.AMEND, act(transfer_ids=("t1", "t2")))
        assert (amended.transfer_ids, amended.amount_fen, amended.state) == (("t1", "t2"), 500_000, S.APPLIED)


class TestStop:
    def test_a_stop_lasts_48_hours_from_the_stop_point(self) -> None:
        effective = answered(approved(K.STOP), expire_us=T0 + 999 * HOUR)
        assert (effective.state, effective.expire_us) == (S.EFFECTIVE, T0 + 5 + 48 * HOUR)

    def test_no_document_no_submission(self) -> None:
        with pytest.raises(GuardFailed, match="legal document"):
            step(order(K.STOP), E.SUBMIT, act(ANN))

    def test_no_victim_no_submission(self) -> None:
        with pytest.raises(GuardFailed, match="victim"):
            step(order(K.STOP, victim=None), E.SUBMIT, act(ANN, document=PAPER))

    def test_machine_bank_and_maker_cannot_be_the_second_person(self) -> None:
        submitted = step(order(K.STOP, maker="ann"), E.SUBMIT, act(ANN, document=PAPER))
        for actor in (ANN, MACHINE, BANK):
            with pytest.raises(GuardFailed):
                step(submitted, E.APPROVE, act(actor))
        raised = msgspec.structs.replace(submitted, reporters=("bob",))
        with pytest.raises(GuardFailed, match="second person"):
            step(raised, E.APPROVE, act(BOB))
        assert step(submitted, E.APPROVE, act(BOB)).state is S.APPROVED

    @pytest.mark.parametrize("kind", [K.STOP, K.FREEZE])
    def test_the_second_signature_stands_under_the_document_of_the_first(self, kind: OrderKind) -> None:
        submitted = step(order(kind), E.SUBMIT, act(ANN, document=PAPER))
        other = msgspec.structs.replace(PAPER, sha256="1" * 64)
        with pytest.raises(GuardFailed, match="another document"):
            step(submitted, E.APPROVE, act(BOB, level="city", document=other))
        for document in (None, PAPER):
            signed = step(submitted, E.APPROVE, act(BOB, level="city", document=document))
            assert (signed.state, signed.document) == (S.APPROVED, PAPER)

    def test_third_stop_is_refused_locally(self) -> None:
        submitted = step(order(K.STOP), E.SUBMIT, act(ANN, document=PAPER))
        assert step(submitted, E.APPROVE, act(BOB, earlier_stops=1)).state is S.APPROVED
        with pytest.raises(GuardFailed, match="1304"):
            step(submitted, E.APPROVE, act(BOB, earlier_stops=2))

    def test_two_persons_stand_on_the_command(self) -> None:
        command = command_of(approved(K.STOP), now_us=T0)
        assert (command.kind, command.operator, command.investigator) == (CommandKind.STOP, "ann", "bob")
        assert (command.legal_document, command.transfer_out and command.transfer_out.amount_fen) == (
            "X-2026-1",
            500_000,
        )

    def test_extension_counts_as_the_second_stop_and_only_before_expiry(self) -> None:
        asked = step(in_force(K.STOP), E.REQUEST_EXTENSION, act(ANN, reason="more tracing"))
        with pytest.raises(GuardFailed, match="other than the requester"):
            step(asked, E.APPROVE_EXTENSION, act(ANN))
        with pytest.raises(GuardFailed, match="1800"):
            step(asked, E.APPROVE_EXTENSION, act(BOB, asked.expire_us))
        with pytest.raises(GuardFailed, match="two are the limit"):
            step(asked, E.APPROVE_EXTENSION, act(BOB, earlier_stops=1))
        extending = step(asked, E.APPROVE_EXTENSION, act(BOB))
        extended = answered(extending)
        assert (extended.state, extended.expire_us) == (S.EFFECTIVE, T0 + 5 + 96 * HOUR)
        again = step(extended, E.REQUEST_EXTENSION, act(ANN, reason="still more"))
        with pytest.raises(GuardFailed, match="two are the limit"):
            step(again, E.APPROVE_EXTENSION, act(BOB))

    def test_refused_extension_goes_back_to_the_state_before(self) -> None:
        deficient = answered(approved(K.STOP), "1200")
        assert deficient.state is S.EFFECTIVE_DEFICIENT
        asked = step(deficient, E.REQUEST_EXTENSION, act(ANN, reason="x"))
        extending = step(asked, E.APPROVE_EXTENSION, act(BOB))
        assert answered(extending, "0801").state is S.EFFECTIVE_DEFICIENT
        assert answered(extending, "1800").state is S.EXPIRED

    def test_lift_needs_two_persons(self) -> None:
        asked = step(in_force(K.STOP), E.REQUEST_LIFT, act(CYD, reason="unrelated"))
        with pytest.raises(GuardFailed):
            step(asked, E.REQUEST_LIFT, act(BOB, reason="me too"))
        with pytest.raises(GuardFailed):
            step(asked, E.APPROVE_LIFT, act(CYD))
        lifting = step(asked, E.APPROVE_LIFT, act(BOB))
        command = command_of(lifting, now_us=T0)
        assert (command.kind, command.operator, command.investigator) == (CommandKind.STOP_LIFT, "cyd", "bob")
        assert answered(lifting).state is S.LIFTED

    def test_only_the_reason_of_a_lift_is_one_for_the_end(self) -> None:
        asked = step(in_force(K.STOP), E.REQUEST_LIFT, act(CYD, reason="wrong person"))
        assert step(asked, E.APPROVE_LIFT, act(BOB)).end_reason == "wrong person"
        rejected = step(asked, E.REJECT_REQUEST, act(BOB, reason="right person"))
        assert (rejected.request, rejected.end_reason) == (None, "")
        longer = step(rejected, E.REQUEST_EXTENSION, act(CYD, reason="more tracing"))
        extended = answered(step(longer, E.APPROVE_EXTENSION, act(BOB)))
        assert extended.end_reason == ""
        assert step(extended, E.EXPIRE, act(at_us=extended.expire_us, control_gone=True)).end_reason == "expire"

    def test_expired_only_when_the_bank_reports_the_control_gone(self) -> None:
        effective = in_force(K.STOP)
        with pytest.raises(GuardFailed, match="still reports"):
            step(effective, E.EXPIRE, act(at_us=effective.expire_us))
        assert step(effective, E.EXPIRE, act(at_us=effective.expire_us, control_gone=True)).state is S.EXPIRED

    def test_cancel_is_for_the_maker(self) -> None:
        with pytest.raises(GuardFailed, match="maker"):
            step(order(K.STOP, maker="ann"), E.CANCEL, act(BOB))
        assert step(order(K.STOP), E.CANCEL, act(BOB)).state is S.CANCELLED

    def test_bank_first_stop_gets_its_paper_without_a_second_execution(self) -> None:
        first = order(K.STOP, S.BANK_FIRST_EFFECTIVE, stop_point_us=T0, expire_us=T0 + 48 * HOUR)
        check_new(first)
        papered = step(first, E.LINK_PAPER, act(ANN, document=PAPER))
        assert (papered.state, papered.stop_point_us, papered.purpose) == (S.EFFECTIVE, T0, None)
        assert step(first, E.PAPER_OVERDUE, act()).state is S.LIFTING


class TestFreeze:
    @pytest.mark.parametrize(
        ("changes", "state"),
        [
            ({"control": ControlKind.FULL_BLOCK}, S.EFFECTIVE_FULL),
            ({"control": ControlKind.DEBIT_BLOCK}, S.EFFECTIVE_FULL),
            ({"control": ControlKind.AMOUNT_HOLD}, S.EFFECTIVE_LIMITED),
            ({"start_us": 0, "executed_fen": 0, "prior_freeze_fen": 7}, S.QUEUED),
            ({"start_us": 0, "executed_fen": 0}, S.UNCONFIRMED),
        ],
    )
    def test_what_the_bank_did_decides_the_state(self, changes: dict[str, object], state: OrderState) -> None:
        assert answered(approved(K.FREEZE), **changes).state is state

    def test_queued_freeze_takes_effect_later(self) -> None:
        queued = answered(approved(K.FREEZE), start_us=0, executed_fen=0, prior_freeze_fen=7)
        assert answered(queued, start_us=T0 + 9).state is S.EFFECTIVE_LIMITED

    def test_a_queued_freeze_is_not_gone_because_no_bank_lists_it(self) -> None:
        queued = answered(approved(K.FREEZE), start_us=0, executed_fen=0, prior_freeze_fen=7)
        asked = step(queued, E.REQUEST_LIFT, act(CYD, reason="unrelated"))
        lifting = step(asked, E.APPROVE_LIFT, act(BOB))
        failed = answered(lifting, "0400")
        for subject in (lifting, failed):
            with pytest.raises(GuardFailed, match="queue"):
                step(subject, E.CONTROL_ABSENT, act(BANK, control_gone=True))
        assert answered(step(failed, E.RETRY, act())).state is S.LIFTED

    def test_the_lift_of_a_queued_freeze_can_be_refused(self) -> None:
        queued = answered(approved(K.FREEZE), start_us=0, executed_fen=0, prior_freeze_fen=7)
        asked = step(queued, E.REQUEST_LIFT, act(CYD, reason="unrelated"))
        with pytest.raises(GuardFailed):
            step(asked, E.REJECT_REQUEST, act(CYD, reason="no"))
        refused = step(asked, E.REJECT_REQUEST, act(BOB, reason="no"))
        assert (refused.state, refused.request, refused.purpose) == (S.QUEUED, None, Purpose.APPLY)

    def test_six_months_in_beijings_calendar(self) -> None:
        start = us_from_iso("2026-08-30T17:00:00Z")  # 31 August, 01:00 in Beijing
        frozen = answered(approved(K.FREEZE), start_us=start)
        assert frozen.expire_us == us_from_iso("2027-02-27T17:00:00Z")  # 28 February, 01:00 in Beijing

    def test_more_than_six_months_needs_the_city(self) -> None:
        reviewed = step(order(K.FREEZE, months=12), E.SUBMIT, act(ANN, document=PAPER))
        with pytest.raises(GuardFailed, match="city"):
            step(reviewed, E.APPROVE, act(BOB, level="county"))
        with pytest.raises(GuardFailed, match="level"):
            step(reviewed, E.APPROVE, act(BOB))
        assert step(reviewed, E.APPROVE, act(BOB, level="city")).state is S.APPROVED

    def test_first_signer_cannot_sign_twice(self) -> None:
        reviewed = step(order(K.FREEZE), E.SUBMIT, act(ANN, document=PAPER))
        with pytest.raises(GuardFailed, match="second person"):
            step(reviewed, E.APPROVE, act(ANN, level="county"))

    def test_draft_takes_further_transfers(self) -> None:
        amended = step(order(K.FREEZE), E.AMEND, act(transfer_ids=("t2",), amount_fen=100))
        assert (amended.transfer_ids, amended.amount_fen) == (("t1", "t2"), 500_100)

    def test_what_was_signed_takes_only_who_reported_it(self) -> None:
        reviewed = step(order(K.FREEZE), E.SUBMIT, act(ANN, document=PAPER))
        for changes in ({"transfer_ids": ("t2",)}, {"amount_fen": 100}):
            with pytest.raises(GuardFailed, match="not changed"):
                step(reviewed, E.AMEND, act(**changes, reporters=("cyd",)))
        raised = step(step(reviewed, E.AMEND, act(CYD, reporters=("cyd",))), E.AMEND, act(reporters=("cyd", "dan")))
        assert (raised.reporters, raised.amount_fen, raised.state) == (("cyd", "dan"), 500_000, S.REVIEWED)
        with pytest.raises(GuardFailed, match="second person"):
            step(raised, E.APPROVE, act(CYD, level="county"))
        assert step(raised, E.APPROVE, act(BOB, level="county")).state is S.APPROVED


class TestIdentity:
    def test_same_cause_same_order(self) -> None:
        assert order_id_of(K.STOP, "t1", "a/b") == order_id_of(K.STOP, "t1", "a/b")
        ids = {order_id_of(k, t, a, r) for k in K for t in ("t1", "t2") for a in ("a/b", "a/c") for r in (1, 2)}
        assert len(ids) == 24

    def test_whole_account_needs_a_reason(self) -> None:
        with pytest.raises(GuardFailed, match="stated reason"):
            check_new(order(amount_fen=0))
        assert reason_text(order(amount_fen=0, whole_reason="第六笔")).startswith("第六笔")

    def test_wrong_beginning_and_unknown_event(self) -> None:
        with pytest.raises(GuardFailed):
            check_new(order(K.STOP, S.EFFECTIVE, stop_point_us=T0))
        with pytest.raises(GuardFailed, match="stop point"):
            check_new(order(K.STOP, S.BANK_FIRST_EFFECTIVE))
        with pytest.raises(WrongState):
            step(order(), E.SUBMIT, act(ANN))

    def test_no_command_without_a_purpose(self) -> None:
        with pytest.raises(ValueError, match="no open command"):
            command_of(in_force(), now_us=T0)

    def test_months(self) -> None:
        assert add_months(us_from_iso("2026-12-31T15:59:59Z"), 2) == us_from_iso("2027-02-28T15:59:59Z")
