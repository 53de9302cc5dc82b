"""``sluice simulate``: labelled transfers to a file, or unlabelled ones to a broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from simulators.csvfile import simulate_csv
from simulators.publisher import publish
from simulators.settings import SimulateSettings


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, float], None]]:
    """Show a bar on stderr; yields what is told of rows so far and the share done."""
    columns = (TextColumn(title), BarColumn(), TextColumn("{task.fields[rows]:,} rows"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=1.0, rows=0)
        yield lambda rows, share: progress.update(task, completed=share, rows=rows)


def simulate_to_file(settings: SimulateSettings, out: Path, cases: Path | None) -> None:
    """Write the CSV contract and, if asked, the cases file."""
    with _bar(f"simulating {settings.days:g} days") as tell:
        rows = simulate_csv(settings, out, cases=cases, progress=tell)
    Console(stderr=True).print(f"{rows:,} transfers in {out}")


def simulate_to_broker(settings: SimulateSettings, broker: str) -> None:
    """Publish transfers to the topic ``transfers`` at ``settings.rate_tps``."""
    with _bar(f"publishing to {broker}") as tell:
        published = publish(settings, broker, progress=tell)
    Console(stderr=True).print(f"{published.sent:,} transfers published to {broker}")
