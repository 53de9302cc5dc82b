"""The ablation replays learning exactly as the back-test does, and what it leaves out is left out."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from bench.ablation import MARK, Finding, Kept, keep, load, put_into, risks_of, sides_of, table
from bench.ablation_variants import GROUPS, Variant, group_of, labelled_variants, members, unlabelled_variants
from models.risk.cold import READ_FEATURES
from models.risk.features import FEATURE_INDEX, FEATURE_NAMES
from models.risk.learning.novelty import WATCHED
from models.risk.rules.book import RULES
from simulators.csvfile import simulate_csv
from simulators.replay import SEED
from simulators.replay_engine import Engine, EngineSettings
from simulators.settings import SimulateSettings
from simulators.transferfile import TransferFile

ROWS = 3_000
HOUR_US = 3_600_000_000
EVERYTHING = Variant("everything")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    out = tmp_path_factory.mktemp("world") / "small.csv"
    simulate_csv(SimulateSettings(seed=6, customers=500, days=5.0, fraud_share=0.05, limit=ROWS), out)
    return out


@pytest.fixture(scope="module")
def kept(world) -> Kept:
    return sides_of(TransferFile(world).rows(), HOUR_US)


@pytest.mark.parametrize("delay_us", [None, HOUR_US])
def test_with_everything_the_risks_are_the_back_tests(world, delay_us):
    wanted: list[float] = []
    engine = Engine(EngineSettings(labels_delay_us=delay_us, seed=SEED))
    engine.run(
        TransferFile(world).rows(),
        lambda chunk: wanted.extend(one.risk for one in chunk.assessments if one is not None),
    )
    kept = sides_of(TransferFile(world).rows(), delay_us)
    assert risks_of(kept, EVERYTHING, delay_us).tolist() == wanted


def test_what_is_kept_comes_back_from_disk(world, kept, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = keep(world, HOUR_US)
    assert keep(world, HOUR_US) == folder != keep(world, None)
    for name in ("facts", "features", "times", "fraud"):
        assert np.array_equal(getattr(load(folder), name), getattr(kept, name))


def test_each_feature_is_in_one_group_and_each_group_has_some():
    assert Counter(group_of(name) for name in FEATURE_NAMES).keys() == GROUPS.keys()
    assert sum(len(members(group)) for group in GROUPS) == len(FEATURE_NAMES)
    named = {name for variant in labelled_variants() + unlabelled_variants() for name in variant.held}
    assert named == set(FEATURE_NAMES)


def test_a_column_held_does_not_speak(kept):
    held = ("payer_pass", "new_pass", "payer_match")
    garbled = kept.features.copy()
    garbled[:, [FEATURE_INDEX[name] for name in held]] = np.random.default_rng(1).random((len(garbled), len(held)))
    other = Kept(kept.facts, garbled, kept.times, kept.fraud)
    variant = Variant("without", held=held)
    assert np.array_equal(risks_of(kept, variant, HOUR_US), risks_of(other, variant, HOUR_US))
    assert not np.array_equal(risks_of(kept, EVERYTHING, HOUR_US), risks_of(other, EVERYTHING, HOUR_US))


def test_rules_left_out_do_not_fire(kept):
    alone = {variant.name: variant for variant in unlabelled_variants()}["rules alone"]
    without = Variant("w", rules_out=frozenset({"first_large", "large_first", "pass_through"}), rules_alone=True)
    every, fewer = risks_of(kept, alone, None), risks_of(kept, without, None)
    assert (fewer <= every + 1e-4).all()
    assert (fewer < every - 0.01).any()


WAYS = {None: unlabelled_variants(), HOUR_US: labelled_variants()}
CHANGES = [(delay_us, variant) for delay_us, variants in WAYS.items() for variant in variants if variant != EVERYTHING]
WITHOUT_TREES = Variant("without trees", learning={"use_forest": False})


@pytest.fixture(scope="module")
def everything(world) -> dict[int | None, tuple[Kept, np.ndarray]]:
    kept = {delay_us: sides_of(TransferFile(world).rows(), delay_us) for delay_us in WAYS}
    return {delay_us: (each, risks_of(each, EVERYTHING, delay_us)) for delay_us, each in kept.items()}


@pytest.mark.parametrize(
    ("delay_us", "variant"),
    [pair for pair in CHANGES if pair[1] != WITHOUT_TREES],
    ids=lambda part: getattr(part, "name", str(part)),
)
def test_each_variant_changes_something(everything, delay_us, variant):
    kept, risks = everything[delay_us]
    assert not np.array_equal(risks_of(kept, variant, delay_us), risks)


def test_without_trees_changes_something_once_there_are_any(kept):
    """They come into service thousands of rows after enough frauds are known, so the stream goes round three times."""
    assert (HOUR_US, WITHOUT_TREES) in CHANGES
    span_us = int(kept.times[-1] - kept.times[0])
    times = np.concatenate([kept.times + lap * span_us for lap in range(3)])
    longer = Kept(*(np.concatenate([part] * 3) for part in (kept.facts, kept.features)), times, np.tile(kept.fraud, 3))
    risks, without = (risks_of(longer, variant, HOUR_US) for variant in (EVERYTHING, WITHOUT_TREES))
    assert np.array_equal(without[:ROWS], risks[:ROWS])
    assert not np.array_equal(without, risks)


def test_each_set_of_rules_is_left_out_with_labels_and_without():
    left_out = [{rule for variant in variants for rule in variant.rules_out} for variants in WAYS.values()]
    assert left_out == [{rule.section for rule in RULES}] * 2
    conclusive = {rule.section for rule in RULES if rule.code.startswith("C")}
    assert all(conclusive in [variant.rules_out for variant in variants] for variants in WAYS.values())


def test_without_labels_each_group_that_the_label_free_score_reads_is_held_once():
    groups = {group_of(name) for name in (*WATCHED, *READ_FEATURES)} - {"risk by rules"}
    assert {f"without {group}" for group in groups} < {variant.name for variant in WAYS[None]}


def test_the_table_has_a_line_for_each_variant_and_columns_for_each_set():
    found = [Finding("a", "none", "everything", 0.5, 0.25), Finding("b", "1 d", "everything", 0.75, 0.5)]
    assert table(found).splitlines()[2:] == [
        "| everything | none | 0.500 | 25.0 % | | |",
        "| everything | 1 d | | | 0.750 | 50.0 % |",
    ]


def test_a_new_table_takes_the_place_of_the_old_one(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{MARK}\nold\n{MARK}\nafter\n")
    for text in ("| a |", "| b |"):
        put_into(page, text)
    assert page.read_text() == f"before\n{MARK}\n| b |\n{MARK}\nafter\n"
