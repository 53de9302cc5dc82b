"""``sluice``: one command for everything. Programs are imported when their command runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="sluice",
    help="Sluice (水闸): scores transfers as they happen and stops stolen money at the bank.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

SETTINGS_NOTE = "Settings come from SLUICE_* variables; docs/settings.md lists them."


@app.command()
def up(
    seconds: Annotated[float | None, typer.Option(help="End by itself after so many live seconds.", min=1)] = None,
    rate: Annotated[float, typer.Option(help="Transfers per second of the live world.", min=1)] = 150.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end, nothing else.")] = False,
    broker: Annotated[str, typer.Option(help="embedded, kafka (Java 17), or HOST:PORT of one that runs.")] = "embedded",
    workers: Annotated[int, typer.Option(help="Scoring workers.", min=1, max=16)] = 1,
    customers: Annotated[int, typer.Option(help="Customers living in the world.", min=100)] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of the world.")] = 1,
) -> None:
    """Run everything on this machine: broker, workers, trainer, api, fake banks, closed-loop world."""
    from cli.up import UpOptions, run_up

    options = UpOptions(
        seconds=seconds,
        rate_tps=rate,
        as_json=as_json,
        broker=broker,
        workers=workers,
        customers=customers,
        seed=seed,
    )
    sys.exit(run_up(options))


@app.command(epilog=SETTINGS_NOTE)
def worker() -> None:
    """Run one scoring worker (both stages)."""
    from stream.app import run_worker
    from stream.settings import WorkerSettings

    sys.exit(run_worker(WorkerSettings()))


@app.command(epilog=SETTINGS_NOTE)
def trainer() -> None:
    """Run the trainer: it learns from verdicts and publishes model snapshots."""
    from stream.settings import TrainerSettings
    from stream.trainer import run_trainer

    sys.exit(run_trainer(TrainerSettings()))


@app.command(epilog=SETTINGS_NOTE)
def api() -> None:
    """Run the bank and analyst API with feed and dispatcher."""
    from api.app import run_api
    from api.settings import ApiSettings

    sys.exit(run_api(ApiSettings()))


@app.command(epilog=SETTINGS_NOTE)
def bank() -> None:
    """Run the fake banks."""
    from simulators.bank import run_bank
    from simulators.settings import BankSettings

    sys.exit(run_bank(BankSettings()))


@app.command(epilog=SETTINGS_NOTE)
def world() -> None:
    """Run the closed-loop world of customers and crooks against the fake banks."""
    from simulators.settings import WorldSettings
    from simulators.world import run_world

    sys.exit(run_world(WorldSettings()))


@app.command()
def broker(
    kind: Annotated[str, typer.Option(help="embedded (in memory) or kafka (Java 17).")] = "embedded",
    port: Annotated[int, typer.Option(help="Port on loopback; 0 takes a free one.", min=0)] = 0,
    ready_file: Annotated[
        Path | None, typer.Option(envvar="SLUICE_READY_FILE", help="Gets the address once the broker answers.")
    ] = None,
) -> None:
    """Run a broker on loopback until it is stopped."""
    from stream.broker import run_broker

    sys.exit(run_broker(kind=kind, port=port, ready_file=ready_file))


def main() -> None:
    """Entry point of the ``sluice`` script."""
    app()


if __name__ == "__main__":
    main()
