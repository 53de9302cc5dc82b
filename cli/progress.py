"""The live view of ``sluice up`` in the terminal."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import msgspec
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.latency import WINDOW_S
from cli.quantiles import Quantiles
from cli.readings import Samples, WorldReading, by_label, histogram_quantiles, total
from models.money.types import yuan_from_fen
from telemetry.clock import ScaledClock

WAITING_STATES = ("proposed", "unconfirmed")
TURNED_DOWN_STATES = ("declined", "failed")
SHANGHAI = timezone(timedelta(hours=8))


def _ms(latency: Quantiles) -> str:
    if latency.p50 is None or latency.p99 is None:
        return "-"
    return f"p50 {latency.p50:6.1f} ms   p99 {latency.p99:6.1f} ms"


def _money(fen: int, stolen: int) -> str:
    share = f"{100 * fen / stolen:3.0f} %" if stolen else ""
    return f"{yuan_from_fen(fen):>16} {share}"


def _by(samples: Samples, name: str, label: str, **labels: str) -> str:
    return "  ".join(f"{key} {count:,}" for key, count in by_label(samples, name, label, **labels).items()) or "-"


def _grid(rows: list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, style="dim"), value)
    return table


def world_time(clock: ScaledClock, now_us: int) -> str:
    """Return the world's date, time and speed at a wall time.

    >>> world_time(ScaledClock(speed=60.0), 1_773_707_400_000_000 // 60)
    '2026-03-17 08:30 (Shanghai), 60 x real time'
    """
    local = datetime.fromtimestamp(clock.world_us(now_us) // 1_000_000, SHANGHAI)
    return f"{local:%Y-%m-%d %H:%M} (Shanghai), {clock.speed:.0f} x real time"


class StopTally(msgspec.Struct, frozen=True, kw_only=True):
    """Protective stops: ordered, of these confirmed by their bank, and of these still waiting for its answer."""

    ordered: int
    confirmed: int
    waiting: int

    @classmethod
    def of(cls, samples: Samples) -> StopTally:
        """Return the tally of what the api says of its orders."""
        states = by_label(samples, "sluice_orders", "state", kind="protective_stop")
        waiting = sum(states.get(state, 0) for state in WAITING_STATES)
        turned_down = sum(states.get(state, 0) for state in TURNED_DOWN_STATES)
        ordered = sum(states.values())
        return cls(ordered=ordered, confirmed=ordered - waiting - turned_down, waiting=waiting)


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown of one moment.

    ``samples`` are counted since the programs began, ``recent`` by `cli.latency.LatencyWindow`; ``assess_ms`` are of
    the same window.
    """

    world: WorldReading | None
    world_time: str
    assessed: int
    bands: dict[str, int]
    assess_ms: Quantiles
    samples: Samples
    recent: Samples


def live_view(moment: Moment, addresses: list[tuple[str, str]]) -> RenderableType:
    """Return the view of one moment, for 24 lines of 80 signs: flow, latencies, orders, money, addresses."""
    world, samples = moment.world, moment.samples
    stops, accepted = StopTally.of(samples), total(samples, "sluice_transfers_accepted_total")
    flow = [
        ("phase", f"{world.phase}, {world.rate_tps:,.0f} transfers/s" if world else "starting"),
        ("world time", moment.world_time),
        ("accepted / assessed", f"{accepted:,} / {moment.assessed:,}"),
        ("bands of risk", "  ".join(f"{band} {count:,}" for band, count in sorted(moment.bands.items())) or "-"),
        *latency_rows(moment.recent, moment.assess_ms),
        ("stops ordered / confirmed", f"{stops.ordered:,} / {stops.confirmed:,} by the bank{braked(samples)}"),
        ("  waiting for the bank", f"{stops.waiting:,}"),
        ("freezes", _by(samples, "sluice_orders", "state", kind="freeze")),
        *(_money_rows(world) if world else []),
    ]
    return Group(Panel(_grid(flow), title="Sluice 水闸", border_style="cyan"), _grid(addresses))


def _money_rows(world: WorldReading) -> list[tuple[str, str]]:
    money = world.money_fen
    return [
        ("victims' money stolen", f"{_money(money.stolen, 0)} yuan, {world.cases} cases"),
        ("  stopped", f"[green]{_money(money.stopped, money.stolen)}[/]"),
        ("  cashed out", f"[red]{_money(money.cashed_out, money.stolen)}[/]"),
        ("  still moving", _money(money.in_flight, money.stolen)),
        ("false stops", f"{world.false_stops} ({world.stops.in_history} of them in the history)"),
        ("  per 10,000 people and day", f"{world.false_stops_per_10k_day:.1f}, live phase only"),
    ]


def braked(samples: Samples) -> str:
    """Return a note while the brake withholds stops: their number stands still then, and not for want of crooks."""
    return ", BRAKE TRIPPED" if total(samples, "sluice_brake_tripped") else ""


def latency_rows(recent: Samples, assessed: Quantiles) -> list[tuple[str, str]]:
    """Return a row for each stage; all are of the transfers and stops of the same `WINDOW_S` of the live phase."""
    return [
        ("latency", f"of the last {WINDOW_S:.0f} s, live phase only"),
        ("  accepted -> debited", _ms(histogram_quantiles(recent, "sluice_stage_latency_seconds", stage="debited"))),
        ("  accepted -> assessed", _ms(assessed)),
        ("  assessed -> stop sent", _ms(histogram_quantiles(recent, "sluice_stop_sent_latency_seconds"))),
        ("  assessed -> stop confirmed", _ms(histogram_quantiles(recent, "sluice_stop_confirm_latency_seconds"))),
    ]


def plain_line(moment: Moment) -> str:
    """Return one line of progress for an output that is no terminal."""
    world = moment.world
    if world is None:
        return "waiting for the world"
    money, stops = world.money_fen, StopTally.of(moment.samples)
    confirmed = histogram_quantiles(moment.recent, "sluice_stop_confirm_latency_seconds")
    return (
        f"{world.live_s:5.0f} s  {moment.world_time}  {world.rate_tps:6.0f} transfers/s  assessed {moment.assessed:,} "
        f"in {_ms(moment.assess_ms)}  stop band {moment.bands.get('stop', 0):,}  "
        f"stops ordered {stops.ordered:,}, confirmed by the bank {stops.confirmed:,} in {_ms(confirmed)}"
        f"{braked(moment.samples)}  yuan stolen {yuan_from_fen(money.stolen)}, stopped {yuan_from_fen(money.stopped)}, "
        f"cashed out {yuan_from_fen(money.cashed_out)}"
    )
