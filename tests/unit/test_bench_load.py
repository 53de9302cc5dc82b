"""What the bench loads the system with, and what it compares with."""

from __future__ import annotations

import math
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest

from bench.accounts import Strangers, account_key, mature_states, peopled
from bench.growth import Order, measure_size
from bench.naive import Transfer, create_app
from bench.naive_features import SPANS_US, Account, features_of, lean_features_of
from bench.path import Path, batches
from bench.stops import CROOKS, STOP_EVERY, Cast, is_crooks, payments
from bench.traffic import Scored, Traffic, scored_town
from models.money.types import split_account_id
from models.risk.learning.learner import Learner
from models.risk.scorer import Scorer
from models.wire import Topic, decode_assessment, decode_transfer
from stream.tables import AccountState, decode_state
from telemetry.clock import wall_us


@pytest.fixture(scope="module")
def town() -> Scored:
    return scored_town(customers=100, days=4.0, fraud_share=0.01, seed=1, limit=1_500)


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic("t", wall_us(), customers=100, days=1.0)


def test_traffic_goes_on_beyond_its_days_with_new_ids_and_later_times(traffic: Traffic) -> None:
    taken = traffic.take(traffic.lap + 10)
    records = [decode_transfer(payment.value) for payment in taken]
    assert len({record.transfer_id for record in records}) == len(records)
    assert [traffic.number_of(record.transfer_id) for record in records] == list(range(len(records)))
    first, again = records[0], records[traffic.lap]
    assert (again.payer, again.payee, again.amount_fen) == (first.payer, first.payee, first.amount_fen)
    assert again.occurred_us - first.occurred_us == 86_400_000_000
    assert all(record.occurred_us < wall_us() for record in records)
    assert all(payment.key == record.payer.encode() for payment, record in zip(taken, records, strict=True))
    assert traffic.number_of("somebody-5") == -1


def test_path_gives_an_assessment_for_each_transfer(traffic: Traffic) -> None:
    path = Path(Scorer())
    records = path.transfers(traffic.take(150))
    outputs = [output for batch in batches(records, 64) for output in path.run(batch).outputs]
    assert [output.topic for output in outputs] == [Topic.ASSESSMENTS] * 150
    sent = [decode_transfer(record.value or b"").transfer_id for record in records]
    assert Counter(decode_assessment(output.value).transfer.transfer_id for output in outputs) == Counter(sent)
    assert path.states, "profiles are kept"


def test_people_have_states_of_their_own(town: Scored) -> None:
    people = dict(peopled(50, mature_states(town)))
    assert len(people) == 50
    assert len({id(state) for state in people.values()}) == 50
    assert all(decode_state(state).profile.latest_us for state in people.values())
    bank, account = split_account_id(account_key(3).decode())  # type: ignore[arg-type]
    assert bank
    assert account.isdigit()


def test_strangers_pay_only_accounts_that_exist_after_their_past(town: Scored) -> None:
    after_us = town.transfers[-1].occurred_us
    strangers = Strangers("s", 20, after_us=after_us, seed=2)
    known = {account_key(number) for number in range(20)}
    for number, payment in enumerate(strangers.take(200)):
        record = decode_transfer(payment.value)
        assert {record.payer.encode(), record.payee.encode()} <= known
        assert record.payer != record.payee
        assert record.occurred_us > after_us
        assert strangers.number_of(record.transfer_id) == payment.number == number


@pytest.mark.parametrize("decoded", [True, False])
def test_size_is_measured_over_all_accounts(town: Scored, decoded: bool) -> None:
    (snapshot,) = Learner(seed=1).snapshots()
    order = Order(
        accounts=2_000,
        decoded=decoded,
        transfers=256,
        after_us=town.transfers[-1].occurred_us,
        panel=snapshot.payload,
        states=mature_states(town),
    )
    size = measure_size(order, os.getpid())
    assert size.accounts == 2_000
    assert size.us_per_transfer > 0
    assert size.batch_ms_p99 >= size.batch_ms_p50 > 0


def test_every_crook_is_paid_once_and_stops_are_told_from_customers() -> None:
    cast = Cast(run=1, stops=30)
    paid = Counter(each.payee_account for each in payments(cast, 30 * STOP_EVERY))
    crooks = {cast.crook(number)[1] for number in range(30)}
    assert {account: count for account, count in paid.items() if account.startswith(CROOKS)} == dict.fromkeys(crooks, 1)
    opened = {(each.bank, each.account) for each in cast.openings(1)}
    for each in payments(cast, 300):
        assert {(each.payer_bank, each.payer_account), (each.payee_bank, each.payee_account)} <= opened
    command = (
        b'{"ApplicationID":"a","TxCode":"P00101","BankID":"jiangnan","AccountNumber":"%s","ApplicationTimeUs":1,'
        b'"ExpireUs":2,"Reason":"r"}'
    )
    assert is_crooks(command % b"670100000001")
    assert not is_crooks(command % b"660100000001")


def payments_to_two() -> Iterator[Transfer]:
    source = random.Random(1)
    for number in range(5):
        yield Transfer(
            transfer_id=str(number),
            payer_bank="a",
            payer_account="1",
            payee_bank="b",
            payee_account=str(number % 2),
            amount_fen=source.randrange(1, 1_000),
            occurred_us=1 + number * 1_000_000,
        )


def test_naive_features_are_the_56_of_the_reference_and_remember_both_accounts() -> None:
    accounts: dict[str, Account] = defaultdict(Account)
    for number, transfer in enumerate(payments_to_two()):
        row = features_of(accounts, transfer)
        assert len(row) == 56
        assert row["payer_out_n_1h"] == row["payer_out_n_7d"] == number
        assert row["payee_in_n_24h"] == number // 2
        assert row["payer_out_parties_7d"] == min(number, 2)
        assert row["pair_new"] == float(number < 2)
    later = transfer.derive(occurred_us=transfer.occurred_us + SPANS_US["1h"] + 1)
    row = features_of(accounts, later)
    assert (row["payer_out_n_1h"], row["payer_out_n_24h"]) == (0, 5)
    early = transfer.derive(transfer_id="early", occurred_us=1)
    assert all(math.isfinite(value) for value in features_of(accounts, early).values()), "partitions run apart"


def test_lean_features_are_seven_of_the_payer() -> None:
    accounts: dict[str, Account] = defaultdict(Account)
    for number, transfer in enumerate(payments_to_two()):
        row = lean_features_of(accounts, transfer)
        assert len(row) == 7
        assert row["count"] == number
        assert row["new_payee"] == float(number < 2)
        assert row["idle_s"] == (1.0 if number else 0.0)
    assert set(accounts) == {"a/1"}


def test_naive_agent_is_one_agent() -> None:
    assert len(create_app("127.0.0.1:1", features_of).agents) == 1


def test_state_without_a_past_is_no_template() -> None:
    empty = Scored([], [], [], {"a": AccountState().profile})
    with pytest.raises(ValueError, match="past"):
        mature_states(empty)
