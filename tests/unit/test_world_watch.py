"""Which stops are false: those that took effect on accounts that no crook controls, whoever else's they are."""

from __future__ import annotations

import msgspec
import pytest

from models.control.messages import CommandKind, ControlKind
from models.money.types import us_from_iso
from simulators.controls import JournalEntry
from simulators.engine import Engine
from simulators.plan import DAY_US, SECOND_US
from simulators.population import build_population
from simulators.watch import ControlWatch, StopCounts

LIVE_US = us_from_iso("2026-03-17T00:30:00Z")
FIELDS = ("right", "false", "third_party", "in_history")


@pytest.fixture
def engine() -> Engine:
    population = build_population(seed=1, customers=100, banks=("xihe",), start_us=LIVE_US - DAY_US)
    return Engine(population, seed=1, start_us=LIVE_US, cases_per_day=0.0, rings=1, prefix="t")


@pytest.fixture
def watch(engine: Engine) -> ControlWatch:
    watch = ControlWatch(engine)
    watch.live_us = LIVE_US
    return watch


def stop(
    engine: Engine, place: int, start_us: int = LIVE_US, kind: CommandKind = CommandKind.PROTECTIVE_STOP
) -> JournalEntry:
    return JournalEntry(
        seq=0,
        account=engine.population.accounts[place].key,
        application_id=f"a-{place}-{start_us}",
        kind=kind,
        control=ControlKind.FULL_BLOCK,
        start_us=start_us,
        expire_us=LIVE_US + DAY_US,
    )


def counts(stops: StopCounts) -> dict[str, int]:
    return {name: getattr(stops, name) for name in FIELDS if getattr(stops, name)}


def test_a_crooks_account_is_rightly_stopped(engine: Engine, watch: ControlWatch) -> None:
    engine.book.recruit(engine.population.customers[0].main, 0)
    watch.read([stop(engine, engine.population.customers[0].main)], 1)
    assert counts(watch.stops) == {"right": 1}


def test_people_firms_and_dealers_are_falsely_stopped(engine: Engine, watch: ControlWatch) -> None:
    people = engine.population
    watch.read([stop(engine, place) for place in (people.customers[0].main, people.firms[0], people.otc[0])], 3)
    assert counts(watch.stops) == {"false": 3, "third_party": 1}
    assert watch.stops.false_by == {str(people.customers[0].kind): 1, "firm": 1, "otc": 1}


def test_a_stop_in_the_history_counts_apart_and_its_account_only_once(engine: Engine, watch: ControlWatch) -> None:
    place = engine.population.otc[0]
    watch.read([stop(engine, place, LIVE_US - SECOND_US), stop(engine, place, LIVE_US + SECOND_US)], 2)
    assert counts(watch.stops) == {"in_history": 1}


def test_what_is_not_in_force_or_no_protective_stop_does_not_count(engine: Engine, watch: ControlWatch) -> None:
    place = engine.population.firms[0]
    elsewhere = msgspec.structs.replace(stop(engine, place), account="xihe:nobody")
    watch.read([stop(engine, place, 0), stop(engine, place, kind=CommandKind.FREEZE), elsewhere], 3)
    assert counts(watch.stops) == {}
