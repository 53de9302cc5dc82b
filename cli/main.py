"""``sluice``: one command for everything. Programs are imported when their command runs."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from cli.folders import KEPT_RUNS
from cli.options import (
    FraudShare,
    LearnersSeed,
    LiveCustomers,
    LiveRate,
    LiveSeconds,
    LiveSeed,
    PublishedRate,
    SimulatedCustomers,
    SimulatedDays,
    SimulatedSeed,
    in_a_folder,
    named_csv,
)
from telemetry.compiled import running_form, why_plain

app = typer.Typer(
    name="sluice",
    help="Sluice (水闸): scores transfers as they happen and stops stolen money at the bank.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

SETTINGS_NOTE = "Settings come from SLUICE_* variables; docs/settings.md lists them."


def _print_version(wanted: bool) -> None:
    if wanted:
        reason = why_plain()
        form = f"{running_form()} ({reason})" if reason else running_form()
        typer.echo(f"sluice {version('sluice')}, scoring {form}")
        raise typer.Exit


@app.callback()
def sluice(
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version, and whether scoring is compiled.",
            is_eager=True,
            callback=_print_version,
        ),
    ] = False,
) -> None:
    """Take what stands before the command."""


@app.command(
    epilog=f"Its folder in .run holds logs, the database, and keys of a bank and of people to try the api with "
    f"(keys.env; where SLUICE_API_KEYS_FILE names a file of keys, people have those). The newest {KEPT_RUNS} folders "
    "are kept, older ones are removed unless their run goes on."
)
def up(
    seconds: LiveSeconds = None,
    rate: LiveRate = 150.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end, nothing else.")] = False,
    broker: Annotated[str, typer.Option(help="embedded, kafka (Java 17), or HOST:PORT of one that runs.")] = "embedded",
    workers: Annotated[int, typer.Option(help="Scoring workers.", min=1, max=16)] = 1,
    customers: LiveCustomers = 10_000,
    seed: LiveSeed = 1,
) -> None:
    """Run everything on this machine: broker, workers, trainer, api, fake banks, closed-loop world."""
    from cli.up import UpOptions, run_up

    if broker not in ("embedded", "kafka") and ":" not in broker:
        raise typer.BadParameter("--broker is embedded, kafka or HOST:PORT")

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
def simulate(
    out: Annotated[Path | None, typer.Option(help="File to write, .csv or .csv.gz.", callback=named_csv)] = None,
    to: Annotated[str | None, typer.Option(help="HOST:PORT of a broker to publish to.")] = None,
    cases: Annotated[Path | None, typer.Option(help="File that gets tx_id, case_id of the fraud rows.")] = None,
    customers: SimulatedCustomers = 10_000,
    days: SimulatedDays = 14.0,
    fraud_share: FraudShare = 0.003,
    seed: SimulatedSeed = 1,
    rate: PublishedRate = 300.0,
) -> None:
    """Make labelled transfers: to a file of the CSV contract (--out) or, unlabelled, to a broker (--to)."""
    from cli.simulate import simulate_to_broker, simulate_to_file
    from simulators.settings import SimulateSettings

    if (out is None) == (to is None):
        raise typer.BadParameter("give either --out FILE or --to HOST:PORT")
    if cases is not None and to is not None:
        raise typer.BadParameter("--cases goes with --out: a broker gets transfers without labels")
    settings = SimulateSettings(customers=customers, days=days, fraud_share=fraud_share, seed=seed, rate_tps=rate)
    if out is not None:
        sys.exit(simulate_to_file(settings, out, cases))
    if to is not None:
        sys.exit(simulate_to_broker(settings, to))


@app.command()
def backtest(
    files: Annotated[list[Path], typer.Argument(help="Files of the CSV contract, .csv or .csv.gz.", exists=True)],
    labels_delay: Annotated[str, typer.Option(help="When a label becomes known: 1d, 36h, 30m.")] = "1d",
    no_labels: Annotated[bool, typer.Option("--no-labels", help="Cold start: nothing is ever labelled.")] = False,
    cases: Annotated[Path | None, typer.Option(help="File with tx_id, case_id of the fraud rows.", exists=True)] = None,
    seed: LearnersSeed = 7,
    rules: Annotated[
        Path | None,
        typer.Option(envvar="SLUICE_RULES_FILE", help="File of what differs from the rule book (docs/rules.md)."),
    ] = None,
    selective: Annotated[
        bool, typer.Option("--selective", help="Label only what people look at, and what victims report.")
    ] = False,
    alert_budget: Annotated[
        float, typer.Option(help="With --selective: share of the riskiest that is looked at.", min=0, max=1)
    ] = 0.005,
    sampled: Annotated[
        float, typer.Option(help="With --selective: share of the rest that is looked at by lot.", min=0, max=1)
    ] = 0.01,
    reported: Annotated[
        float, typer.Option(help="With --selective: chance that a victim reports a missed fraud.", min=0, max=1)
    ] = 0.7,
    report_delay: Annotated[str, typer.Option(help="With --selective: when a victim reports: 3d, 36h, 30m.")] = "3d",
    fresh: Annotated[bool, typer.Option("--fresh", help="Run files anew that are finished and kept.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: an object, or a list for several files.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="HTML page of charts and misses.", callback=in_a_folder)] = None,
) -> None:
    """Replay files through the workers' scoring code in arrival order, labels late, and judge the risks.

    Finished files are kept in .run/backtest: a run that was cut short goes on with the next file. A file that was cut
    short begins anew, since half-way it would have to keep as much as it has in memory.
    """
    from cli.backtest import backtest_files, span_us
    from simulators.labels import Selection

    if selective and no_labels:
        raise typer.BadParameter("give either --selective or --no-labels")
    try:
        span_us(labels_delay)
        told_us = span_us(report_delay)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    selection = Selection(alerted_budget=alert_budget, sampled=sampled, reported=reported, reported_after_us=told_us)
    sys.exit(
        backtest_files(
            files,
            labels_delay=labels_delay,
            no_labels=no_labels,
            cases=cases,
            seed=seed,
            rules=rules,
            as_json=as_json,
            report=report,
            selection=selection if selective else None,
            fresh=fresh,
        )
    )


def _base_url(text: str) -> str:
    """Return a program's address; raise ``BadParameter`` for what can be none."""
    from cli.refusals import wrong_with_address

    if wrong := wrong_with_address(text):
        raise typer.BadParameter(wrong)
    return text


@app.command()
def verify(
    api_url: Annotated[
        str, typer.Option(envvar="SLUICE_API_URL", help="Base URL of the api.", callback=_base_url)
    ] = "http://127.0.0.1:8080",
    key: Annotated[str, typer.Option(envvar="SLUICE_OPERATOR_KEY", help="API key of a person.")] = "",
    bank_url: Annotated[
        str, typer.Option(envvar="SLUICE_BANK_URL", help="Fake banks whose ledgers to check.", callback=_base_url)
    ] = "",
    settle_s: Annotated[float, typer.Option(help="Age from which a missing assessment is a breach.", min=0)] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check audit chain, orders against banks, accepted against assessed; non-zero on any breach."""
    from cli.verify import run_verify

    sys.exit(run_verify(api_url=api_url, bank_url=bank_url, key=key, settle_s=settle_s, as_json=as_json))


@app.command()
def explain(
    transfer_id: Annotated[str, typer.Argument(help="Transfer whose decision to explain.")],
    api_url: Annotated[
        str, typer.Option(envvar="SLUICE_API_URL", help="Base URL of the api: all decisions.", callback=_base_url)
    ] = "http://127.0.0.1:8080",
    former_api_url: Annotated[str, typer.Option("--api", hidden=True, callback=_base_url)] = "",
    key: Annotated[str, typer.Option(envvar="SLUICE_OPERATOR_KEY", help="API key of a person.")] = "",
    broker: Annotated[
        str, typer.Option(help="HOST:PORT of a broker to read instead of the api: the last seven days.")
    ] = "",
    topic_prefix: Annotated[
        str, typer.Option(envvar="SLUICE_TOPIC_PREFIX", help="With --broker: what stands before every topic's name.")
    ] = "",
    snapshot_key: Annotated[
        str,
        typer.Option(envvar="SLUICE_SNAPSHOT_KEY", help="Key that signed the snapshots; without it none is checked."),
    ] = "",
    rules: Annotated[
        Path | None, typer.Option(envvar="SLUICE_RULES_FILE", help="File of rules that the workers have.")
    ] = None,
    lang: Annotated[str, typer.Option(help="zh or en.")] = "zh",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compute a decision again from its recorded features and the named snapshot, and say why.

    Exits with 0 if it gives the recorded risk, 1 if not or if the signature is wrong, 2 if it cannot be computed.
    """
    from cli.explain import ExplainOptions, run_explain

    if lang not in ("zh", "en"):
        raise typer.BadParameter("--lang is zh or en")
    options = ExplainOptions(
        transfer_id=transfer_id,
        api_url=former_api_url or api_url,
        key=key,
        broker=broker,
        topic_prefix=topic_prefix,
        snapshot_key=snapshot_key,
        rules=rules,
        lang=lang,
        as_json=as_json,
    )
    sys.exit(run_explain(options))


@app.command()
def shadow(
    data_dir: Annotated[
        Path, typer.Option(envvar="SLUICE_DATA_DIR", help="The trainer's folder.", exists=True, file_okay=False)
    ] = Path(".run/stream"),
    lang: Annotated[str, typer.Option(help="zh or en.")] = "zh",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as the trainer wrote it.")] = False,
) -> None:
    """Compare the panel in service with its rivals on live traffic: overlap, precision, who would have been stopped.

    Reads what the trainer last wrote (every SLUICE_PUBLISH_EVERY_S), so it runs where the trainer's folder is.
    """
    from cli.shadow import run_shadow

    if lang not in ("zh", "en"):
        raise typer.BadParameter("--lang is zh or en")
    sys.exit(run_shadow(data_dir, lang=lang, as_json=as_json))


@app.command(
    epilog="Parts: scorer (features, rules, detectors alone), throughput (Kafka in to assessment out: one worker, two, "
    "a plain Faust agent, a bare loop; latency at 1,000/s; two minutes at the floor), screening (POST and wait for the "
    "decision), stops (assessment to the bank's confirmation), growth (10 k to 5 M accounts, 10x history), recovery "
    "(workers over a million accounts). The page docs/performance.md explains the figures."
)
def bench(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object; progress goes to stderr.")] = False,
    parts: Annotated[str, typer.Option(help="Only these parts, with commas: scorer,throughput,screening,...")] = "",
    seconds: Annotated[
        float, typer.Option(help="Length of one throughput trial; all other lengths follow.", min=0.5, max=60)
    ] = 4.0,
    runs: Annotated[int, typer.Option(help="Runs of each measurement.", min=1, max=9)] = 3,
    broker: Annotated[
        str, typer.Option(help="kafka (Java 17), embedded, or HOST:PORT of one with nothing else on it.")
    ] = "kafka",
) -> None:
    """Measure this machine in an open loop: throughput, latency, CPU, growth, and the same beside simpler programs.

    All of it takes some twenty minutes; nothing else should run. A quick look, some four minutes: --parts throughput
    --seconds 2 --runs 1.
    """
    from cli.bench import BenchOptions, run_bench

    chosen = tuple(filter(None, parts.split(",")))
    sys.exit(run_bench(BenchOptions(parts=chosen, seconds=seconds, runs=runs, broker=broker, as_json=as_json)))


@app.command()
def settings() -> None:
    """Print every SLUICE_* variable of every program as Markdown."""
    from cli.settings_page import settings_page

    typer.echo(settings_page(), nl=False)


@app.command()
def broker(
    kind: Annotated[str, typer.Option(help="embedded (in memory) or kafka (Java 17).")] = "embedded",
    port: Annotated[
        int,
        typer.Option(
            help="With --kind kafka: port on loopback; 0 takes a free one, as the embedded one always does.", min=0
        ),
    ] = 0,
    ready_file: Annotated[
        Path | None, typer.Option(envvar="SLUICE_READY_FILE", help="Gets the address once the broker answers.")
    ] = None,
) -> None:
    """Run a broker on loopback until it is stopped."""
    from stream.broker import run_broker

    if port and kind == "embedded":
        raise typer.BadParameter("--port goes with --kind kafka: the embedded broker takes a free port")
    sys.exit(run_broker(kind=kind, port=port, ready_file=ready_file))


def main() -> None:
    """Entry point of the ``sluice`` script: wrong settings are told in words, any other error shows as it is."""
    try:
        app()
    except Exception as error:
        from cli.trouble import told
        from stream.exitcodes import ExitCode

        text = told(error)
        if text is None:
            raise
        sys.stderr.write(f"{text}\n")
        sys.exit(ExitCode.MISCONFIGURED)


if __name__ == "__main__":
    main()
