"""``sluice simulate``: labelled transfers to a file, or unlabelled ones to a broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kafka.errors import KafkaError, NoBrokersAvailable
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from simulators.csvfile import simulate_csv
from simulators.publisher import PublishFailed, publish
from simulators.settings import SimulateSettings

EXIT_FAILED = 1


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, float], None]]:
    """Show a bar on stderr; yields what is told of rows so far and the share done."""
    columns = (TextColumn(title), BarColumn(), TextColumn("{task.fields[rows]:,} rows"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=1.0, rows=0)
        yield lambda rows, share: progress.update(task, completed=share, rows=rows)


def simulate_to_file(settings: SimulateSettings, out: Path, cases: Path | None) -> int:
    """Write the CSV contract and, if asked, the cases file; return 0, or 1 for a file that cannot be written."""
    try:
        with _bar(f"simulating {settings.days:g} days") as tell:
            rows = simulate_csv(settings, out, cases=cases, progress=tell)
    except OSError as error:
        return _failed(f"{error.filename or out} cannot be written: {error.strerror}")
    _say(f"{rows:,} transfers in {out}")
    return 0


def simulate_to_broker(settings: SimulateSettings, broker: str) -> int:
    """Publish transfers to the topic ``transfers`` at ``settings.rate_tps``; return 0, or 1 if they are not taken."""
    try:
        with _bar(f"publishing to {broker}") as tell:
            published = publish(settings, broker, progress=tell)
    except NoBrokersAvailable:
        return _failed(f"no broker answers at {broker}: start it, or correct --to HOST:PORT")
    except (KafkaError, PublishFailed) as error:
        return _failed(f"the broker at {broker} did not take the transfers (a worker makes the topics): {error}")
    _say(f"{published.sent:,} transfers published to {broker}")
    return 0


def _failed(text: str) -> int:
    _say(text)
    return EXIT_FAILED


def _say(text: str) -> None:
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
