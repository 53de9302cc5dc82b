"""The profile by module: nothing is lost, built-in calls count for whoever made them."""

from __future__ import annotations

import msgspec

from bench.profiling import BYTES, OTHERS, ROOT, areas, profile, scaled_us
from models.money.types import fen_from_yuan

FACTS = (str(ROOT / "models" / "risk" / "facts.py"), 7, "facts")
PEERS = (str(ROOT / "models" / "risk" / "peers.py"), 9, "meet")
SITE = (str(ROOT / ".venv" / "lib" / "site-packages" / "numpy" / "x.py"), 1, "f")


def test_own_time_is_added_up_by_module_and_nothing_is_lost() -> None:
    stats = {
        FACTS: (1, 1, 2.0, 9.0, {}),
        (FACTS[0], 30, "more"): (1, 1, 1.0, 1.0, {}),
        PEERS: (1, 1, 0.5, 1.0, {}),
        SITE: (1, 1, 0.25, 0.25, {}),
        ("~", 0, "<built-in method builtins.max>"): (
            5,
            5,
            0.75,
            0.75,
            {FACTS: (3, 3, 0.5, 0.5), PEERS: (2, 2, 0.25, 0.25)},
        ),
        ("~", 0, "<method 'decode' of 'msgspec.json.Decoder' objects>"): (1, 1, 4.0, 4.0, {FACTS: (1, 1, 4.0, 4.0)}),
    }
    found = areas(stats)
    assert found == {BYTES: 4.0, "models/risk/facts": 3.5, "models/risk/peers": 0.75, OTHERS: 0.25}
    assert sum(found.values()) == sum(row[2] for row in stats.values())


def test_scaled_profile_sums_to_the_time_without_the_profiler() -> None:
    found = scaled_us({"a": 6.0, "b": 3.0, OTHERS: 0.5, "c": 0.5}, 90.0, 5.0)
    assert found == {"a": 54.0, "b": 27.0, OTHERS: 9.0}


def test_real_work_shows_up_under_its_module() -> None:
    def work() -> None:
        for _ in range(2_000):
            msgspec.json.encode([fen_from_yuan("680.23")])

    found = profile(work)
    assert found["models/money/types"] > 0
    assert found[BYTES] > 0
