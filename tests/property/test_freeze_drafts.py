"""What a freeze asks for: in whatever order credits are recorded and reported, each of them once."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from models.control.handover import freeze_draft
from models.control.orders import step
from models.control.policy import PolicySettings
from models.control.records import Order
from models.control.states import OrderEvent, OrderState
from tests.controlkit import T0, VICTIM, act, order

HOUSE = PolicySettings()
sums = st.integers(1, 10**11)


@given(
    whole=st.booleans(),
    cause_fen=sums,
    credits_fen=st.dictionaries(st.sampled_from(["t2", "t3", "t4", "t5"]), sums),
    looks=st.lists(st.sampled_from(["", "t1", "t2", "t3", "t4", "t5"]), min_size=1),
)
def test_each_credit_is_asked_for_once(
    whole: bool, cause_fen: int, credits_fen: dict[str, int], looks: list[str]
) -> None:
    """At each look one of the transfers recorded on a stop is reported, or none."""
    fens = {"t1": cause_fen, **credits_fen}
    victims = {key: msgspec.structs.replace(VICTIM, transfer_id=key, amount_fen=fen) for key, fen in fens.items()}
    hold = order(
        state=OrderState.APPLIED,
        stop_point_us=T0,
        amount_fen=0 if whole else cause_fen,
        whole_reason="r",
        victim=victims["t1"],
        transfer_ids=tuple(victims),
    )
    draft: Order | None = None
    for look in looks:
        more = freeze_draft(
            hold, HOUSE, T0, [victims[look]] if look in victims else [], draft.transfer_ids if draft else ()
        )
        if draft is None or more is None:
            draft = draft or more
        else:
            draft = step(draft, OrderEvent.AMEND, act(transfer_ids=more.transfer_ids, amount_fen=more.amount_fen))
    assert draft is not None
    asked = {"t1"} | (set(looks) & set(fens))
    assert set(draft.transfer_ids) == asked
    assert len(draft.transfer_ids) == len(asked)
    assert draft.amount_fen == sum(fens[key] for key in asked)
