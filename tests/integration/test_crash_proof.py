"""The crash proof once, in CI; ``python -m tests.integration.crash_proof --times 10`` for the long run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.crash_proof import prove
from tests.streamkit import require_kafka


@pytest.mark.kafka
@pytest.mark.slow
def test_nothing_is_lost_or_counted_twice_whoever_dies(tmp_path: Path) -> None:
    require_kafka()
    outcome = prove(tmp_path)
    print(outcome)
    assert outcome.accepted == outcome.assessed == 20_000
    assert outcome.missing == 0
    assert outcome.wrong_profiles == 0
    assert outcome.profiles > 4_000
