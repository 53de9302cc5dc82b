"""What each group of features, set of rules and learner adds: ``python -m bench.ablation FILE…``.

A file's transfers go through the scorer's two sides once and what they give is
kept; each variant then replays the learning on it, with columns held at 0,
rules left out, or learners off. The variant ``everything`` gives exactly the
risks of ``sluice backtest``. Taint stays as all rules had made it, except where
all rules are left out.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score

from bench.ablation_variants import RULES_LEFT_OUT, Variant, labelled_variants, unlabelled_variants
from models.money.types import AccountId
from models.risk.columns import RULE_RISK
from models.risk.evaluation import alerts
from models.risk.features import FEATURE_INDEX, features_of, matrix_of
from models.risk.learning.learner import DEFAULT_LEARNING, Learner
from models.risk.panel import TrainedPanel, panel_from_state
from models.risk.profile import EMPTY_PROFILE, AccountProfile
from models.risk.rules.book import RuleBook, risk_of
from models.risk.rules.settings import DEFAULT_RULES
from models.risk.scorer import Draft, Scorer
from simulators.labels import Labels, Proven
from simulators.plan import DAY_US
from simulators.refits import Refitter
from simulators.replay import SEED, code_digest
from simulators.replay_engine import CHUNK_ROWS
from simulators.replay_learning import Here, LearningSettings, Scored, Student
from simulators.replay_misses import last_from
from simulators.transferfile import FileRow, TransferFile, digest_of_file

Floats = npt.NDArray[np.float64]

CACHE: Final = Path(".run") / "ablation"
BUDGET: Final = 0.005
MARK: Final = "<!-- ablation -->"
ARRAYS: Final = ("facts", "features", "times", "fraud")


class Kept(msgspec.Struct, frozen=True):
    """What the two sides gave for a file's n transfers: facts (n x f), features (n x c), times, fraud (n)."""

    facts: Any
    features: Any
    times: Any
    fraud: Any


class Finding(msgspec.Struct, frozen=True):
    """Figures of the last 40 % of one file under one variant."""

    set: str
    labels: str
    variant: str
    auc_pr: float
    recall: float


def keep(path: Path, delay_us: int | None) -> Path:
    """Run a file through the scorer's sides unless that was done before; return the folder of the arrays."""
    code = code_digest() + digest_of_file(Path(__file__))
    folder = CACHE / hashlib.sha256(f"{digest_of_file(path)}{delay_us}{code}".encode()).hexdigest()[:24]
    if folder.exists():
        return folder
    partial = folder.with_suffix(".partial")
    partial.mkdir(parents=True, exist_ok=True)
    kept = sides_of(TransferFile(path).rows(), delay_us)
    for array in ARRAYS:
        np.save(partial / f"{array}.npy", getattr(kept, array))
    return partial.rename(folder)


def load(folder: Path) -> Kept:
    """Return the arrays of `keep`, mapped from disk."""
    return Kept(*(np.load(folder / f"{array}.npy", mmap_mode="r") for array in ARRAYS))


class Sides:
    """Both accounts' side of scoring for row after row; gathers what is kept."""

    def __init__(self, delay_us: int | None) -> None:
        self._delay_us = delay_us
        self._scorer, self._proven = Scorer(), Proven()
        self._profiles: dict[AccountId, AccountProfile] = {}
        self._facts: list[Floats] = []
        self._features: list[Floats] = []
        self._times: list[int] = []
        self._fraud: list[bool] = []
        self._now_us = 0

    def take(self, chunk: Sequence[FileRow]) -> None:
        """Take a chunk; its frauds are proven once their labels are due, and not within the chunk."""
        drafts = [draft for row in chunk if (draft := self._draft(row)) is not None]
        self._times += [draft.transfer.occurred_us for draft in drafts]
        facts = matrix_of([draft.packed_facts for draft in drafts])
        self._facts.append(facts)
        self._features.append(features_of(facts, np.array([draft.rule_risk for draft in drafts])))
        for row in chunk:
            if row.fraud and self._delay_us is not None:
                self._proven.put(row.transfer.occurred_us + self._delay_us, row.transfer)

    def kept(self) -> Kept:
        """Return what was gathered."""
        times, fraud = np.array(self._times, np.int64), np.array(self._fraud, bool)
        return Kept(np.concatenate(self._facts), np.concatenate(self._features), times, fraud)

    def _draft(self, row: FileRow) -> Draft | None:
        transfer, scorer, profiles = row.transfer, self._scorer, self._profiles
        self._now_us = max(self._now_us, transfer.occurred_us)
        payer, payee = transfer.payer, transfer.payee
        lists = self._proven.lists(payer, payee, self._now_us)
        debited = scorer.debit(profiles.get(payer, EMPTY_PROFILE), transfer)
        profiles[payer] = debited.profile
        if debited.view is None:
            return None
        credited = scorer.credit(profiles.get(payee, EMPTY_PROFILE), transfer, debited.view, lists)
        profiles[payee] = credited.profile
        self._fraud.append(row.fraud)
        return credited.draft


def sides_of(rows: Iterator[FileRow], delay_us: int | None) -> Kept:
    """Return facts and features of all transfers, in the chunks of a back-test."""
    sides = Sides(delay_us)
    while chunk := list(islice(rows, CHUNK_ROWS)):
        sides.take(chunk)
    return sides.kept()


def rule_risks(kept: Kept, left_out: frozenset[str]) -> Floats:
    """Return the rules' risks (n) without the rules of some sections."""
    if not left_out:
        return np.asarray(kept.features[:, RULE_RISK])
    if left_out == RULES_LEFT_OUT["all"]:
        return np.zeros(len(kept.fraud))
    sections = {name: msgspec.structs.replace(getattr(DEFAULT_RULES, name), weight=0.0) for name in left_out}
    settings = msgspec.structs.replace(DEFAULT_RULES, **sections)
    book = RuleBook(settings)
    return np.array([risk_of(book.hits(tuple(row)), settings.base) for row in kept.facts.tolist()])


def risks_of(kept: Kept, variant: Variant, delay_us: int | None) -> Floats:
    """Return the risks (n) of a variant, learning as a back-test does."""
    if variant.rules_alone:
        return rule_risks(kept, variant.rules_out)
    learning = msgspec.structs.replace(DEFAULT_LEARNING, **variant.learning)
    settings = LearningSettings(seed=SEED, labelled=delay_us is not None, learning=learning)
    taught = Here(Student(settings, Refitter(beside=False)))
    panel: TrainedPanel = panel_from_state(Learner(seed=SEED, settings=learning).state())
    by_rules = rule_risks(kept, variant.rules_out)
    held = [FEATURE_INDEX[name] for name in variant.held]
    risks, now_us = np.empty(len(kept.fraud)), 0
    for start in range(0, len(risks), CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        panel = taught.panel() or panel
        rows = np.array(kept.features[part])
        rows[:, RULE_RISK] = np.round(by_rules[part], 4)
        rows[:, held] = 0.0
        risks[part] = panel.score(rows, rows[:, RULE_RISK]).risks
        now_us = max(now_us, int(kept.times[part].max()))
        taught.take(Scored(len(rows), now_us, rows, _labels(kept, part, rows, delay_us)))
    return risks


def _labels(kept: Kept, part: slice, rows: Floats, delay_us: int | None) -> Labels | None:
    if delay_us is None:
        return None
    return Labels(kept.times[part] + delay_us, rows, np.array(kept.fraud[part]), np.ones(len(rows)))


def find(path: Path, folder: Path, variant: Variant, delay_us: int | None) -> Finding:
    """Return the figures of one variant."""
    kept = load(folder)
    risks = risks_of(kept, variant, delay_us)
    last = last_from(len(risks))
    fraud, risks = np.array(kept.fraud[last:]), risks[last:]
    return Finding(
        set=path.name.partition(".")[0],
        labels="none" if delay_us is None else f"{delay_us / DAY_US:g} d",
        variant=variant.name,
        auc_pr=round(float(average_precision_score(fraud, risks)), 4),
        recall=round(float(fraud[alerts(risks, BUDGET)].sum() / max(fraud.sum(), 1)), 4),
    )


def table(findings: Sequence[Finding]) -> str:
    """Return findings as a Markdown table: a line for each variant, two columns for each set."""
    sets = list(dict.fromkeys(finding.set for finding in findings))
    lines = ["| variant | labels | " + " | ".join(f"{name}: AUC-PR | recall at 0.5 %" for name in sets) + " |"]
    lines.append("|---|---|" + "---|---|" * len(sets))
    for labels, variant in dict.fromkeys((finding.labels, finding.variant) for finding in findings):
        line = [f"| {variant} | {labels} |"]
        for name in sets:
            found = next(
                (one for one in findings if (one.set, one.labels, one.variant) == (name, labels, variant)), None
            )
            line.append(" | |" if found is None else f" {found.auc_pr:.3f} | {100 * found.recall:.1f} % |")
        lines.append("".join(line))
    return "\n".join(lines)


def put_into(page: Path, text: str) -> None:
    """Replace what is between the two `MARK` lines of a page; raise ``ValueError`` without two."""
    before, _, after = page.read_text(encoding="utf-8").split(MARK)
    page.write_text(f"{before}{MARK}\n{text}\n{MARK}{after}", encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Run all variants of all files, print findings as they come and the table at the end."""
    parser = argparse.ArgumentParser(prog="python -m bench.ablation", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--days", type=float, default=1.0, help="labels come after so many days")
    parser.add_argument("--into", type=Path, help="page whose table, between two marks, is replaced")
    options = parser.parse_args(arguments)
    delay_us = int(options.days * DAY_US)
    with ProcessPoolExecutor(options.processes) as pool:
        plans = [(path, delay) for path in options.files for delay in (None, delay_us)]
        folders = list(pool.map(keep, *zip(*plans, strict=True)))
        running = [
            pool.submit(find, path, folder, variant, delay)
            for (path, delay), folder in zip(plans, folders, strict=True)
            for variant in (unlabelled_variants() if delay is None else labelled_variants())
        ]
        findings = []
        for future in running:
            findings.append(future.result())
            sys.stdout.write(msgspec.json.encode(findings[-1]).decode() + "\n")
            sys.stdout.flush()
    sys.stdout.write("\n" + table(findings) + "\n")
    if options.into is not None:
        put_into(options.into, table(findings))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
