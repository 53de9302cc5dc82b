"""What a freeze asks for: in whatever order credits are recorded and reported, each of them once."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from models.control.orders import step
from models.control.policy import PolicySettings, freeze_draft
from models.control.records import Order
from models.control.states import OrderEvent, OrderState
from tests.controlkit import T0, VICTIM, act, order

HOUSE = PolicySettings()
sums = st.integers(1, 10**11)


@given(
    whole=st.booleans(),
    cause_fen=sums,
    credits_fen=st.dictionaries(st.sampled_from(["t2", "t3", "t4", "t5"]), sums),
    looks=st.lists(st.tuples(st.integers(0, 4), st.sets(st.sampled_from(["t2", "t3", "t4", "t5"]))), min_size=1),
)
def test_each_credit_is_asked_for_once(
    whole: bool, cause_fen: int, credits_fen: dict[str, int], looks: list[tuple[int, set[str]]]
) -> None:
    """At each look, so many credits were recorded on the stop, and of some of them the sums are known."""
    credits = {
        key: msgspec.structs.replace(VICTIM, transfer_id=key, amount_fen=fen) for key, fen in credits_fen.items()
    }
    cause = msgspec.structs.replace(VICTIM, amount_fen=cause_fen)
    asked_fen = 0 if whole else cause_fen
    hold = order(state=OrderState.APPLIED, stop_point_us=T0, amount_fen=asked_fen, whole_reason="r", victim=cause)
    draft: Order | None = None
    for recorded, known in looks:
        hold = msgspec.structs.replace(hold, transfer_ids=("t1", *list(credits)[:recorded]))
        told = {key: credit for key, credit in credits.items() if key in known}
        more = freeze_draft(hold, HOUSE, T0, told, draft.transfer_ids if draft else ())
        if draft is None or more is None:
            draft = draft or more
        else:
            draft = step(draft, OrderEvent.AMEND, act(transfer_ids=more.transfer_ids, amount_fen=more.amount_fen))
        assert draft is not None
        assert set(hold.transfer_ids) & (known | {"t1"}) <= set(draft.transfer_ids)
        assert draft.amount_fen == cause_fen + sum(credits_fen[key] for key in draft.transfer_ids if key != "t1")
