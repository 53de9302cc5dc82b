"""Options of the command line that take a number, and what is checked of any before a command runs.

An option that has a setting of the program behind it names its variable: it would hide it otherwise. Each
check raises ``BadParameter``.
"""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Annotated

import typer

from simulators.bounds import MAX_CUSTOMERS, MAX_DAYS, MAX_FRAUD_SHARE, MAX_SEED, MIN_CUSTOMERS


def finite(number: float | None) -> float | None:
    """Return a number that ends; infinity and what is no number are refused."""
    if number is not None and not isfinite(number):
        raise typer.BadParameter(f"{number}: give a finite number")
    return number


def named_csv(file: Path | None) -> Path | None:
    """Return a file to write; a name that does not say what will be in it is refused."""
    if file is not None and not file.name.endswith((".csv", ".csv.gz")):
        raise typer.BadParameter(f"{file} must end in .csv or .csv.gz")
    return file


def in_a_folder(file: Path | None) -> Path | None:
    """Return a file to write; one whose folder is not there is refused, before minutes of work are done."""
    if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
        raise typer.BadParameter(f"{file} is no file in a folder that exists")
    return file


LiveSeconds = Annotated[
    float | None,
    typer.Option(
        envvar="SLUICE_WORLD_SECONDS", help="End by itself after so many live seconds.", min=1, callback=finite
    ),
]
LiveRate = Annotated[
    float,
    typer.Option(
        envvar="SLUICE_WORLD_RATE_TPS", help="Transfers per second of the live world.", min=1, callback=finite
    ),
]
LiveCustomers = Annotated[
    int,
    typer.Option(
        envvar="SLUICE_WORLD_CUSTOMERS", help="Customers living in the world.", min=MIN_CUSTOMERS, max=MAX_CUSTOMERS
    ),
]
LiveSeed = Annotated[int, typer.Option(envvar="SLUICE_WORLD_SEED", help="Seed of the world.", min=0, max=MAX_SEED)]

SimulatedCustomers = Annotated[
    int,
    typer.Option(
        envvar="SLUICE_SIMULATE_CUSTOMERS", help="Customers of the world.", min=MIN_CUSTOMERS, max=MAX_CUSTOMERS
    ),
]
SimulatedDays = Annotated[
    float,
    typer.Option(envvar="SLUICE_SIMULATE_DAYS", help="Days of the world.", min=0.01, max=MAX_DAYS),
]
FraudShare = Annotated[
    float,
    typer.Option(
        envvar="SLUICE_SIMULATE_FRAUD_SHARE",
        help="Share of rows that are fraud.",
        min=0,
        max=MAX_FRAUD_SHARE,
    ),
]
SimulatedSeed = Annotated[
    int,
    typer.Option(envvar="SLUICE_SIMULATE_SEED", help="The same seed makes the same transfers.", min=0, max=MAX_SEED),
]
PublishedRate = Annotated[
    float,
    typer.Option(envvar="SLUICE_SIMULATE_RATE_TPS", help="With --to: transfers per second.", min=1, callback=finite),
]
LearnersSeed = Annotated[int, typer.Option(help="Seed of the learners.", min=0, max=MAX_SEED)]
