"""``sluice backtest``: the workers' own scoring code over files, labels late."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryFile

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from models.risk.evaluation import Figures
from simulators.labels import Selection
from simulators.replay import BacktestOptions, BacktestResult, run_backtest
from simulators.report_html import report_html
from simulators.transferfile import TransferFileError
from stream.rulebook import RulesUnreadable, read_rules

UNITS_US = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
STATE_DIR = Path(".run") / "backtest"
EXIT_BAD_FILE = 2


def span_us(text: str) -> int:
    """Return microseconds of a span such as ``1d``, ``36h`` or ``30m``; raise `ValueError` otherwise.

    >>> span_us("1d")
    86400000000
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", text)
    if match is None:
        raise ValueError(f"not a span such as 1d, 36h or 30m: {text!r}")
    return int(float(match[1]) * UNITS_US[match[2]])


class CannotWrite(Exception):
    """A place where a result is to be left cannot be written; the message says what to do."""


@contextmanager
def _writing(place: object, advice: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"{place} cannot be written ({error.strerror}): {advice}") from error


def _writing_report(report: Path) -> AbstractContextManager[None]:
    return _writing(report, "give --report a file in a folder that you may write to")


def _try_to_write(report: Path | None) -> None:
    """Raise `CannotWrite`, before minutes of work, if the report or finished files cannot be left in their places.

    Leaves a report that was there as it was, and none where none was.
    """
    if report is not None:
        with _writing_report(report):
            was_there = report.exists()
            report.open("ab").close()
            if not was_there:
                report.unlink()
    with _writing(STATE_DIR, "go to a folder that you may write to; finished files are kept there"):
        STATE_DIR.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=STATE_DIR).close()


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _area(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _figure_rows(figures: Figures) -> list[tuple[str, str]]:
    low, high = figures.auc_pr_ci95 or (None, None)
    interval = "" if low is None or high is None else f"  (95 %: {low:.3f} to {high:.3f})"
    rows = [("AUC-PR", f"{_area(figures.auc_pr)}{interval}"), ("ROC-AUC", _area(figures.roc_auc))]
    for name in ("recall", "precision", "case_recall", "money_recall"):
        by_budget: dict[str, float | None] = getattr(figures, name) or {}
        rows.append((name.replace("_", " "), "  ".join(f"{at}: {_percent(v)}" for at, v in by_budget.items())))
    return rows


def result_table(result: BacktestResult) -> Table:
    """Return one file's result as a table for the terminal."""
    title = f"{result.set}: {result.counts}, {result.labels}; last 40 %"
    table = Table(title=title, show_header=False)
    for name, value in _figure_rows(result.last40):
        table.add_row(name, value)
    table.add_row("us per transfer", "  ".join(f"{part}: {us:.0f}" for part, us in result.us_per_transfer.items()))
    table.add_row("learning, us per transfer", f"{result.learning_us:.0f}")
    table.add_row("learned from", "  ".join(f"{kind}: {rows:,}" for kind, rows in result.health.learned.items()))
    table.add_row("time, memory", f"{result.seconds:.0f} s, {result.memory_mb:.0f} MB")
    return table


def _run(files: list[Path], options: BacktestOptions) -> list[BacktestResult]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rows]:,}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[Path, TaskID] = {path: progress.add_task(path.name, total=1.0, rows=0) for path in files}

        def tell(path: Path, rows: int, share: float) -> None:
            progress.update(tasks[path], completed=share, rows=rows)

        return run_backtest(files, options, tell)


def backtest_files(
    files: list[Path],
    *,
    labels_delay: str,
    no_labels: bool,
    cases: Path | None,
    seed: int,
    rules: Path | None,
    as_json: bool,
    report: Path | None,
    selection: Selection | None = None,
    fresh: bool = False,
) -> int:
    """Back-test files, print results, write the report if asked; return 0, or 2 for a file that cannot be used."""
    try:
        options = BacktestOptions(
            labels_delay_us=None if no_labels else span_us(labels_delay),
            cases=cases,
            state_dir=STATE_DIR,
            seed=seed,
            rules=read_rules(rules),
            selection=selection,
            fresh=fresh,
        )
        _try_to_write(report)
        results = _run(files, options)
    except (TransferFileError, RulesUnreadable, CannotWrite, OSError) as error:
        return _refused(error)
    _show(results, as_json=as_json)
    try:
        if report is not None:
            page = report_html(results)
            with _writing_report(report):
                report.write_text(page, encoding="utf-8")
    except CannotWrite as error:
        return _refused(error)
    return 0


def _refused(error: Exception) -> int:
    sys.stderr.write(f"{error}\n")
    return EXIT_BAD_FILE


def _show(results: list[BacktestResult], *, as_json: bool) -> None:
    for result in results:
        sys.stderr.writelines(f"{result.set}: {warning}\n" for warning in result.warnings)
    if as_json:
        shown = [result.public() for result in results]
        sys.stdout.write(msgspec.json.encode(shown[0] if len(shown) == 1 else shown).decode() + "\n")
        return
    for result in results:
        Console().print(result_table(result))
