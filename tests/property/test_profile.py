"""Profiles under any sequence of transfers: bounded, exact on the wire, never back in time."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.money.types import LATEST_US, MAX_AMOUNT_FEN, Transfer
from models.risk.peers import CONTACT, PEERS_KEPT, Peers
from models.risk.profile import (
    BATCH_IDS_KEPT,
    EMPTY_PROFILE,
    ID_BYTES,
    IDS_KEPT,
    LATE_TOLERANCE_S,
    MAX_PROFILE_BYTES,
    AccountProfile,
    Habit,
    decode_profile,
    encode_profile,
    id_digest,
)
from models.risk.recent import EVENT, RECENT_KEPT, Recent
from models.risk.windows import COMPACT_AT, ENTRY, HOUR_S, SUM_LIMIT_FEN, Flow
from tests.transfers import NOON_US, any_transfers, check_valid, pay

HOUR_US = HOUR_S * 1_000_000

sequences = st.lists(st.tuples(any_transfers, st.booleans(), st.floats(0, 1)), min_size=1, max_size=60)


def play(moves: list[tuple[Transfer, bool, float]]) -> list[AccountProfile]:
    """Return the profile after each move of one account, whose transfers may come in any order."""
    profile, states = EMPTY_PROFILE, []
    for transfer, is_debit, suspicion in moves:
        check_valid(transfer)
        profile = profile.observe_debit(transfer) if is_debit else profile.observe_credit(transfer, suspicion)
        states.append(profile)
    return states


@given(sequences)
@settings(max_examples=70, deadline=None)
def test_it_survives_its_own_bytes_and_stays_small(moves: list[tuple[Transfer, bool, float]]) -> None:
    for profile in play(moves):
        raw = encode_profile(profile)
        assert len(raw) <= MAX_PROFILE_BYTES
        assert decode_profile(raw) == profile
        assert encode_profile(decode_profile(raw)) == raw


def latest_contacts(profile: AccountProfile) -> list[int]:
    """Return the seconds of the latest contacts with the payers kept, in their order."""
    return [last_s for _, _, last_s in profile.payers.rows()]


@given(sequences)
@settings(max_examples=50, deadline=None)
def test_time_never_goes_back(moves: list[tuple[Transfer, bool, float]]) -> None:
    clock_us = 0
    for profile in play(moves):
        assert profile.latest_us >= clock_us
        clock_us = profile.latest_us
        for times in (profile.credits.columns()[0], profile.debits.columns()[0], latest_contacts(profile)):
            assert list(times) == sorted(times)


@given(sequences)
@settings(max_examples=50, deadline=None)
def test_shares_are_shares(moves: list[tuple[Transfer, bool, float]]) -> None:
    for profile in play(moves):
        assert 0.0 <= profile.taint <= 1.0 + 1e-9
        assert 0.0 <= profile.quick <= 1.0
        assert profile.paid.variance >= 0.0
        assert profile.received.variance >= 0.0


@given(st.permutations(range(12)))
@settings(max_examples=60, deadline=None)
def test_within_the_tolerance_order_does_not_matter_to_what_is_counted(order: list[int]) -> None:
    """Only the moving averages, which know no order but arrival, may differ."""
    first = pay("x", "y", 5, at_us=NOON_US)
    spread_us = LATE_TOLERANCE_S * 1_000_000 // 12
    transfers = [pay(f"p{n % 5}", "me", 10 + n, at_us=NOON_US + n * spread_us) for n in range(12)]

    def after(places: list[int]) -> AccountProfile:
        profile = EMPTY_PROFILE.observe_credit(first)
        for place in places:
            profile = profile.observe_credit(transfers[place])
        return profile

    shuffled, sorted_ = after(list(order)), after(list(range(12)))
    assert shuffled.inflow == sorted_.inflow
    assert shuffled.credits == sorted_.credits
    assert shuffled.latest_us == sorted_.latest_us
    assert sorted((peer, last_s) for peer, _, last_s in shuffled.payers.rows()) == sorted(
        (peer, last_s) for peer, _, last_s in sorted_.payers.rows()
    )


def test_a_merchant_with_very_many_payers_does_not_grow() -> None:
    profile, sizes = EMPTY_PROFILE, []
    for number in range(20_000):
        profile = profile.observe_credit(pay(f"p{number}", "shop", 30, at_us=NOON_US + number * 700_000))
        if number % 5_000 == 4_999:
            sizes.append(len(encode_profile(profile)))
    assert max(sizes) < MAX_PROFILE_BYTES // 2
    assert profile.inflow.count == 20_000
    assert profile.payers.ever > 15_000


def test_the_fullest_profile_imaginable_is_within_the_limit() -> None:
    second, amount = LATEST_US // 1_000_000, MAX_AMOUNT_FEN
    count = 2**32 - 1
    flow = Flow(count, SUM_LIMIT_FEN, ENTRY.pack(second, count, SUM_LIMIT_FEN) * (COMPACT_AT - 1), count)
    contacts = CONTACT.pack(count, second, second) * PEERS_KEPT
    peers = Peers(count, contacts, b"x" * 64, b"x" * 64, 99, b"x" * 56)
    recent = Recent(EVENT.pack(second, count, amount) * RECENT_KEPT)
    habit = Habit(30.0, 900.0, amount)
    ids = b"x" * BATCH_IDS_KEPT * ID_BYTES
    head = (LATEST_US, LATEST_US, LATEST_US, flow, flow, peers, peers, recent, recent, habit, habit, ids)
    profile = AccountProfile(*head, 1e15, 1e15, second, 0.5, -SUM_LIMIT_FEN, count, second, count)
    assert MAX_PROFILE_BYTES - 1_024 < len(encode_profile(profile)) <= MAX_PROFILE_BYTES
    quiet = msgspec.structs.replace(profile, debit_ids=ids[: IDS_KEPT * ID_BYTES])
    assert len(encode_profile(quiet)) <= MAX_PROFILE_BYTES // 3


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_foreign_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_profile(b"\xc1" + raw)


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=120, unique=True))
@settings(max_examples=50, deadline=None)
def test_the_last_ids_are_known_however_long_ago_they_came(numbers: list[int]) -> None:
    profile = EMPTY_PROFILE
    for place, number in enumerate(numbers):
        profile = profile.observe_debit(pay("me", "you", 1, name=f"id{number}", at_us=NOON_US + place * HOUR_US))
    kept = numbers[-IDS_KEPT:]
    assert all(profile.has_debit(id_digest(f"id{number}")) for number in kept)
    assert not any(profile.has_debit(id_digest(f"id{number}")) for number in range(1_001) if number not in kept)


@given(st.lists(st.integers(0, 360), min_size=1, max_size=400), st.integers(1, 7 * 24))
@settings(max_examples=50, deadline=None)
def test_the_ids_of_an_hour_are_known_and_forgotten_when_their_time_is_over(steps: list[int], hours: int) -> None:
    profile, at_s, times = EMPTY_PROFILE, NOON_US // 1_000_000, []
    for step in steps:
        at_s += step
        times.append(at_s)
        profile = profile.observe_debit(pay("me", "you", 1, name=f"id{len(times)}", at_us=at_s * 1_000_000))
    recent = [number for number, then in enumerate(times, 1) if then > at_s - HOUR_S]
    assert all(profile.has_debit(id_digest(f"id{number}")) for number in recent[-BATCH_IDS_KEPT:])
    for hour in (hours, hours + 1):
        profile = profile.observe_debit(
            pay("me", "you", 1, name=f"late{hour}", at_us=(at_s * 1_000_000) + hour * HOUR_US)
        )
    assert len(profile.debit_ids) <= (IDS_KEPT + 1) * ID_BYTES


def test_a_payroll_of_a_thousand_is_recognised_when_it_is_posted_again() -> None:
    profile = EMPTY_PROFILE
    for number in range(1_000):
        profile = profile.observe_debit(pay("firm", f"worker{number}", 900_000, name=f"w{number}", at_us=NOON_US))
    assert all(profile.has_debit(id_digest(f"w{number}")) for number in range(1_000))
