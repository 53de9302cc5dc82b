"""Time the scorer alone: features and rules in pure Python, on synthetic transfers, one core.

    python bench/scorer.py [--transfers 40000]

Prints one JSON object. Times are CPU microseconds per transfer; ``total`` is a
whole pass (both sides, rules, assessments of micro-batches), ``features`` and
``rules`` are the same calls timed on their own.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator

from models.money.types import Transfer
from models.risk.assessment import AccountLists
from models.risk.facts import payee_facts, payer_facts
from models.risk.peers import peer_hash
from models.risk.profile import EMPTY_PROFILE, AccountProfile
from models.risk.rules.book import RuleBook
from models.risk.rules.settings import DEFAULT_RULES
from models.risk.scorer import Draft, Scorer

NOBODY = AccountLists()
BATCH = 64


def synthetic(count: int, seed: int) -> Iterator[Transfer]:
    """Yield everyday transfers: 950 customers with regular payees, 100 merchants, a tenth to somebody new."""
    source, at_us = random.Random(seed), 1_700_000_000_000_000
    circles = [
        [source.randrange(100) for _ in range(5)] + [source.randrange(100, 1_050) for _ in range(2)]
        for _ in range(1_050)
    ]
    for number in range(count):
        at_us += source.randrange(20_000_000)
        payer = source.randrange(1_050)
        payee = source.choice(circles[payer]) if source.random() < 0.9 else source.randrange(1_050)
        if payer == payee:
            payee = (payee + 1) % 1_050
        yield Transfer(
            transfer_id=f"t{number}",
            payer_bank=f"b{payer % 4}",
            payer_account=f"6222{payer:012d}",
            payee_bank=f"b{payee % 4}",
            payee_account=f"6222{payee:012d}",
            amount_fen=int(source.lognormvariate(9, 1.2)) + 1,
            occurred_us=at_us,
            channel="MOBILE",
        )


def run(scorer: Scorer, transfers: list[Transfer]) -> tuple[float, dict[str, AccountProfile], list[Draft]]:
    """Score all; return CPU seconds, the profiles and the drafts."""
    profiles: dict[str, AccountProfile] = {}
    drafts: list[Draft] = []
    began = time.process_time()
    for transfer in transfers:
        debited = scorer.debit(profiles.get(transfer.payer, EMPTY_PROFILE), transfer)
        profiles[transfer.payer] = debited.profile
        assert debited.view is not None
        credited = scorer.credit(profiles.get(transfer.payee, EMPTY_PROFILE), transfer, debited.view, NOBODY)
        profiles[transfer.payee] = credited.profile
        drafts.append(credited.draft)
    for start in range(0, len(drafts), BATCH):
        scorer.judge(drafts[start : start + BATCH])
    return time.process_time() - began, profiles, drafts


def timed(call: Callable[[], object]) -> float:
    """Return CPU seconds of a call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transfers", type=int, default=40_000)
    count = parser.parse_args().transfers
    transfers = list(synthetic(count, seed=1))
    total_s, profiles, drafts = run(Scorer(), transfers)

    def features() -> None:
        for transfer in transfers:
            payer_facts(profiles[transfer.payer], transfer, peer_hash(transfer.payee_bank, transfer.payee_account))
            payee_facts(profiles[transfer.payee], transfer)

    def rules() -> None:
        hits = RuleBook(DEFAULT_RULES).hits
        for draft in drafts:
            hits(draft.facts)

    per_us = 1e6 / count
    figures = {"features": timed(features), "rules": timed(rules), "total": total_s}
    print(json.dumps({"transfers": count, "us_per_transfer": {k: round(v * per_us, 2) for k, v in figures.items()}}))


if __name__ == "__main__":
    main()
