"""The back-test: files of labelled transfers through the worker's scoring code, judged honestly.

Labels, typologies and cases reach the judge here and, when a delay is given,
the learner that much event time later; never the scorer.
"""

from __future__ import annotations

import gc
import hashlib
import multiprocessing
import os
import platform
import queue
import resource
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import msgspec

from models.risk.columns import FEATURE_SET
from models.risk.evaluation import (
    Calibration,
    Figures,
    Judged,
    TypologyFigures,
    calibration,
    figures,
    typology_figures,
)
from models.risk.learning.learner import Health
from models.risk.rules.book import RuleBook
from models.risk.rules.settings import DEFAULT_RULES, RuleSettings
from simulators.labels import Selection, days_in_words
from simulators.plan import DAY_US
from simulators.replay_engine import Engine, EngineSettings
from simulators.replay_misses import last_from
from simulators.replay_record import Recorder, Story
from simulators.transferfile import LABEL_COLUMN, TransferFile, digest_of_file, read_cases
from telemetry.garbage import collect_rarely

FIRST_SKIPPED: Final = 0.05
PROGRESS_EVERY_S: Final = 0.5
SEED: Final = 7

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGES: Final = ("models", "simulators", "telemetry")
"""All that a back-test may import of ours; whole packages, so that no module can be forgotten."""

LIBRARIES: Final = ("numpy", "scikit-learn", "river", "msgspec")

Progress = Callable[[Path, int, float], None]
"""Told of file, rows so far and the share of the file read; called from the caller's own thread."""


class BacktestOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `run_backtest` is to do.

    ``labels_delay_us`` None: no labels at all. ``cases`` names the ring of each
    fraud row, the same file for all. ``state_dir`` keeps finished files, so that a
    run that was cut short goes on with the next one; ``fresh`` runs them all the same.
    ``processes`` 0: all cores. ``selection`` None: every transfer gets its label.
    """

    labels_delay_us: int | None = DAY_US
    cases: Path | None = None
    state_dir: Path | None = None
    processes: int = 0
    seed: int = SEED
    rules: RuleSettings = DEFAULT_RULES
    selection: Selection | None = None
    use_proven: bool = True
    fresh: bool = False

    def asked(self) -> str:
        """Return all of the options that a result depends on, but for the bytes of ``cases``."""
        return repr(msgspec.structs.replace(self, cases=None, state_dir=None, processes=0, fresh=False))


class BacktestResult(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON of ``sluice backtest --json`` for one file; ``story`` is only for the report.

    A file that is not ``labelled`` is replayed as without labels: it says of no transfer that it is honest.
    """

    set: str
    rows: int
    fraud: int
    labelled: bool
    labels_delay_days: float | None
    selection: Selection | None = None
    last40: Figures
    by_typology: dict[str, TypologyFigures]
    stream: Figures
    calibration: Calibration
    us_per_transfer: dict[str, float]
    learning_us: float
    seconds: float
    memory_mb: float
    feature_set: str
    rule_book: str
    health: Health
    story: Story | None = None

    def public(self) -> BacktestResult:
        """Return the result without the report's material."""
        return msgspec.structs.replace(self, story=None)

    @property
    def warnings(self) -> list[str]:
        """What keeps figures from being judged, in words."""
        if not self.rows:
            return ["no transfers: nothing is judged"]
        if not self.labelled:
            return [
                f"no column {LABEL_COLUMN}: nothing is learned from labels, and figures that need them are left out"
            ]
        none_judged = None in self.last40.recall.values()
        return ["no fraud in the last 40 %: figures that need one are left out"] if none_judged else []

    @property
    def counts(self) -> str:
        """How many transfers and frauds there are, in words."""
        return f"{self.rows:,} transfers, {f'{self.fraud:,} fraud' if self.labelled else 'fraud unknown'}"

    @property
    def labels(self) -> str:
        """Which labels came and when, in words."""
        if self.labels_delay_days is None:
            return "no labels"
        delay, selection = f"labels after {days_in_words(self.labels_delay_days)}", self.selection
        if selection is None:
            return delay
        return f"selective {delay}: {selection.in_words()}"


def run_backtest(
    files: Sequence[Path], options: BacktestOptions, progress: Progress | None = None
) -> list[BacktestResult]:
    """Run each file and return results in the order of ``files``; several files on all cores.

    Raise `TransferFileError` for a file that breaks the CSV contract.
    """
    tell = progress if progress is not None else _silent
    cores = options.processes or os.cpu_count() or 1
    if len(files) == 1:
        return [_run_kept(files[0], options, beside=cores > 1, tell=tell)]
    return _run_beside(files, options, min(cores, len(files)), tell)


def _run_beside(
    files: Sequence[Path], options: BacktestOptions, processes: int, tell: Progress
) -> list[BacktestResult]:
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        news: queue.Queue[tuple[Path, int, float]] = manager.Queue()
        with ProcessPoolExecutor(processes, context) as pool:
            running: list[Future[BacktestResult]] = [pool.submit(_run_telling, path, options, news) for path in files]
            left = set(running)
            while left:
                _, left = wait(left, timeout=PROGRESS_EVERY_S, return_when=FIRST_COMPLETED)
                while not news.empty():
                    tell(*news.get())
            return [future.result() for future in running]


def _run_telling(path: Path, options: BacktestOptions, news: Any) -> BacktestResult:
    return _run_kept(path, options, beside=False, tell=lambda *what: news.put(what))


def _silent(path: Path, rows: int, share: float) -> None:
    """Tell nobody."""


def _run_kept(path: Path, options: BacktestOptions, *, beside: bool, tell: Progress) -> BacktestResult:
    """Return the kept result of this file, code and options, or run and keep it."""
    if options.state_dir is None:
        return run_file(path, options, beside=beside, tell=tell)
    kept = options.state_dir / f"{_key(path, options)}.msgpack"
    if kept.exists() and not options.fresh:
        result = msgspec.msgpack.decode(kept.read_bytes(), type=BacktestResult)
        tell(path, result.rows, 1.0)
        return result
    result = run_file(path, options, beside=beside, tell=tell)
    options.state_dir.mkdir(parents=True, exist_ok=True)
    partial = kept.with_suffix(".partial")
    partial.write_bytes(msgspec.msgpack.encode(result))
    partial.replace(kept)
    return result


def _key(path: Path, options: BacktestOptions) -> str:
    """Return a name for everything a result depends on: bytes of the inputs, options, code."""
    parts = [digest_of_file(path), path.name, FEATURE_SET, RuleBook(options.rules).version, code_digest()]
    parts += [options.asked()]
    parts += [digest_of_file(options.cases)] if options.cases is not None else []
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def code_digest(root: Path = ROOT) -> str:
    """Return the SHA-256 of all that makes and judges scores: sources, and versions of Python and `LIBRARIES`."""
    digest = hashlib.sha256(platform.python_version().encode())
    for name in LIBRARIES:
        digest.update(f"\0{name} {version(name)}".encode())
    for source in sources(root):
        digest.update(f"\0{source.relative_to(root).as_posix()}\0".encode() + source.read_bytes())
    return digest.hexdigest()


def sources(root: Path = ROOT) -> list[Path]:
    """Return every source file that a back-test may run, in a fixed order."""
    return sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))


def run_file(path: Path, options: BacktestOptions, *, beside: bool, tell: Progress = _silent) -> BacktestResult:
    """Replay one file; ``beside`` learns in a second process and refits in a third (same risks)."""
    began = perf_counter()
    cases = read_cases(options.cases) if options.cases is not None else {}
    source = TransferFile(path)
    labelled = source.labelled()
    if not labelled:
        options = msgspec.structs.replace(options, labels_delay_us=None, selection=None)
    recorder = Recorder(cases, lambda rows: tell(path, rows, source.share))
    settings = EngineSettings(
        labels_delay_us=options.labels_delay_us,
        seed=options.seed,
        rules=options.rules,
        selection=options.selection,
        use_proven=options.use_proven,
    )
    engine = Engine(settings, beside=beside)
    with _rare_collections():
        engine.run(source.rows(), recorder.tell)
    result = _judge(path, options, recorder, engine, labelled=labelled, seconds=perf_counter() - began)
    tell(path, result.rows, 1.0)
    return result


@contextmanager
def _rare_collections() -> Iterator[None]:
    before = gc.get_threshold()
    collect_rarely()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _judge(
    path: Path, options: BacktestOptions, recorder: Recorder, engine: Engine, *, labelled: bool, seconds: float
) -> BacktestResult:
    judged = recorder.judged()
    rows = len(judged.risks)
    last = judged.part(last_from(rows))
    delay_us = options.labels_delay_us
    return BacktestResult(
        set=path.name.removesuffix(".gz").removesuffix(".csv"),
        rows=rows,
        fraud=int(judged.fraud.sum()),
        labelled=labelled,
        labels_delay_days=None if delay_us is None else delay_us / DAY_US,
        selection=options.selection,
        last40=figures(last, seed=options.seed),
        by_typology=typology_figures(last),
        stream=figures(judged.part(int(rows * FIRST_SKIPPED)), seed=options.seed),
        calibration=calibration(last) if labelled else Calibration(brier=None, ece=None),
        us_per_transfer=engine.us_per_transfer(rows),
        learning_us=engine.learning_us(rows),
        seconds=round(seconds, 2),
        memory_mb=round(_peak_mb(), 1),
        feature_set=FEATURE_SET,
        rule_book=RuleBook(options.rules).version,
        health=engine.health,
        story=recorder.story(last_from(rows)),
    )


def _peak_mb() -> float:
    """Return the peak memory of this process and its largest ended child (ru_maxrss is in KiB on Linux)."""
    return sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024


__all__ = ["DAY_US", "BacktestOptions", "BacktestResult", "Judged", "run_backtest", "run_file"]
