"""The scorer alone, and the stages around it: CPU per transfer, step by step, on one core."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np

from bench.findings import Bench, Findings
from bench.path import BATCH, Path, batches
from bench.plain import measure_plain
from bench.profiling import scaled_us
from bench.stats import Spread, spread
from bench.traffic import NOBODY, Payment, Scored
from models.risk.facts import payee_facts, payer_facts
from models.risk.features import features_of, matrix_of
from models.risk.panel import TrainedPanel
from models.risk.peers import peer_hash
from models.risk.profile import EMPTY_PROFILE, AccountProfile
from models.risk.rules.book import RuleBook
from models.risk.rules.settings import DEFAULT_RULES
from models.risk.scorer import Scorer
from models.wire import Topic, decode_assessment, decode_credit, decode_transfer, encode, encode_credit
from stream.stages import Outcome
from stream.tables import AccountState

LEAST_US: Final = 0.5
"""Modules of less are put together in the profile."""

TRANSFERS_PER_S: Final = 2_500
"""Transfers scored per second of trial length."""

Figures = dict[str, float]


def measure(bench: Bench) -> Findings:
    """Measure scorer and stages."""
    count = int(TRANSFERS_PER_S * bench.length.seconds)
    scorer_runs, step_runs, path_runs = [], [], []
    for number in range(bench.length.runs):
        bench.say(f"run {number + 1}: scorer and stages, {count:,} transfers")
        scorer_runs.append(time_scorer(bench.trained.town, bench.trained.panel, count))
        step_runs.append(time_steps(bench.trained.town, bench.trained.panel, count))
        path_runs.append(time_path(bench.traffic.take(2 * count), bench.trained.panel))
    scorer, path = over(scorer_runs) | over(step_runs), over(path_runs)
    total_us, stages_us = scorer["total"].median, path["stages"].median
    bench.say(f"  scorer {total_us:.1f} us, stages {stages_us:.1f} us")
    plain = measure_plain(bench.traffic.take(3 * count), bench.trained.snapshot.payload)
    bench.say(f"  stages as plain Python {plain.stages_us:.1f} us")
    return Findings(
        throughput={"scorer_tps": round(1e6 / total_us)},
        us_per_transfer={
            "scorer": scorer,
            "path": path,
            "plain_stages": round(plain.stages_us, 1),
            "profile": scaled_us(plain.profile_s, plain.stages_us, LEAST_US),
        },
    )


def over(runs: Sequence[Figures]) -> dict[str, Spread]:
    """Return the spread of each figure over the runs."""
    return {name: spread([run[name] for run in runs]) for name in runs[0]}


def timed_us(work: Callable[[], object], count: int) -> float:
    """Return CPU microseconds of a call per one of ``count`` things."""
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1e6 / count


def time_scorer(town: Scored, panel: TrainedPanel, count: int) -> Figures:
    """Return CPU of a whole pass by call: both sides one by one, judgement by the batch."""
    scorer, profiles = Scorer(panel=panel), dict[str, AccountProfile]()
    transfers = town.transfers[:count]
    spent = {"debit": 0.0, "credit": 0.0, "judge": 0.0}
    clock = time.process_time
    for start in range(0, len(transfers), BATCH):
        batch, views, drafts = transfers[start : start + BATCH], [], []
        began = clock()
        for transfer in batch:
            debited = scorer.debit(profiles.get(transfer.payer, EMPTY_PROFILE), transfer)
            profiles[transfer.payer] = debited.profile
            views.append(debited.view)
        after_debit = clock()
        for transfer, view in zip(batch, views, strict=True):
            assert view is not None
            credited = scorer.credit(profiles.get(transfer.payee, EMPTY_PROFILE), transfer, view, NOBODY)
            profiles[transfer.payee] = credited.profile
            drafts.append(credited.draft)
        after_credit = clock()
        scorer.judge(drafts)
        spent["judge"] += clock() - after_credit
        spent["credit"] += after_credit - after_debit
        spent["debit"] += after_debit - began
    figures = {name: seconds * 1e6 / len(transfers) for name, seconds in spent.items()}
    return {**figures, "total": sum(figures.values())}


def time_steps(town: Scored, panel: TrainedPanel, count: int) -> Figures:
    """Return CPU of what the calls are made of: features, rules, detectors."""
    transfers, drafts, profiles = town.transfers[-count:], town.drafts[-count:], town.profiles
    hits, known = RuleBook(DEFAULT_RULES).hits, [draft.facts for draft in drafts]
    groups = [drafts[start : start + BATCH] for start in range(0, len(drafts), BATCH)]
    matrices = [features_of(_facts(group), _risks(group)) for group in groups]

    def facts() -> None:
        for transfer in transfers:
            payer_facts(profiles[transfer.payer], transfer, peer_hash(transfer.payee_bank, transfer.payee_account))
            payee_facts(profiles[transfer.payee], transfer, NOBODY)

    def features() -> None:
        for group in groups:
            features_of(_facts(group), _risks(group))

    def rules() -> None:
        for facts in known:
            hits(facts)

    def detectors() -> None:
        for rows in matrices:
            panel.score(rows, rows[:, -1])

    return {
        "features": timed_us(facts, len(drafts)) + timed_us(features, len(drafts)),
        "rules": timed_us(rules, len(drafts)),
        "detectors": timed_us(detectors, len(drafts)),
    }


def _facts(drafts: Sequence[Any]) -> Any:
    return matrix_of([draft.packed_facts for draft in drafts])


def _risks(drafts: Sequence[Any]) -> Any:
    return np.array([draft.rule_risk for draft in drafts], dtype=np.float64)


def time_path(payments: Sequence[Payment], panel: TrainedPanel) -> Figures:
    """Return CPU of both stages, and of the bytes they read and write; the first half only warms profiles."""
    path = Path(Scorer(panel=panel))
    records = path.transfers(payments)
    half = len(records) // 2
    for batch in batches(records[:half]):
        path.run(batch)
    debits = batches(records[half:])
    debited: list[Outcome] = []
    outcomes: list[Outcome] = []
    count = len(records) - half

    def debit() -> None:
        debited.extend(path.debit.run(batch) for batch in debits)

    debit_us = timed_us(debit, count)
    credits_ = [path.credits(outcome) for outcome in debited]

    def credit() -> None:
        outcomes.extend(path.credit.run(batch) for batch in credits_)

    credit_us = timed_us(credit, count)
    credit_values = [record.value or b"" for batch in credits_ for record in batch]
    transfer_values = [record.value or b"" for record in records[half:]]
    assessment_values = [
        output.value for outcome in outcomes for output in outcome.outputs if output.topic == Topic.ASSESSMENTS
    ]
    states = [state for state in path.states.values() if isinstance(state, AccountState)]
    return {
        "stages": debit_us + credit_us,
        "debit_stage": debit_us,
        "credit_stage": credit_us,
        **_bytes_us(transfer_values, credit_values, assessment_values),
        "changelog_value": timed_us(lambda: [state.encode() for state in states], len(states)),
        "transfer_bytes": _mean(map(len, transfer_values)),
        "credit_bytes": _mean(map(len, credit_values)),
        "assessment_bytes": _mean(map(len, assessment_values)),
        "state_bytes": _mean(len(state.encode()) for state in states),
    }


def _bytes_us(transfers: Sequence[bytes], credits_: Sequence[bytes], assessments: Sequence[bytes]) -> Figures:
    """Return CPU of decoding and encoding the three records of a transfer."""
    credit_records = [decode_credit(value) for value in credits_]
    assessed = [decode_assessment(value) for value in assessments]
    return {
        "decode_transfer": timed_us(lambda: [decode_transfer(value) for value in transfers], len(transfers)),
        "encode_credit": timed_us(lambda: [encode_credit(record) for record in credit_records], len(credits_)),
        "decode_credit": timed_us(lambda: [decode_credit(value) for value in credits_], len(credits_)),
        "encode_assessment": timed_us(lambda: [encode(record) for record in assessed], len(assessments)),
    }


def _mean(numbers: Iterable[int]) -> float:
    return float(np.mean(list(numbers)))
