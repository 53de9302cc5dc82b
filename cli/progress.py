"""The live view of ``sluice up`` in the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.latency import WINDOW_S
from cli.observer import Observer
from cli.quantiles import Quantiles
from cli.readings import Samples, WorldReading, by_label, histogram_quantiles, total
from models.money.types import yuan_from_fen

WAITING_STATES = ("proposed", "unconfirmed")


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


def live_view(
    *,
    world: WorldReading | None,
    observer: Observer,
    samples: Samples,
    recent: Samples,
    addresses: list[tuple[str, str]],
    notes: list[str],
) -> RenderableType:
    """Return the view of one moment: flow, latencies, orders, money, addresses.

    ``samples`` are counted since the programs began, ``recent`` by `cli.latency.LatencyWindow`.
    """
    money = world.money_fen if world else None
    waiting = sum(total(samples, "sluice_orders", kind="protective_stop", state=state) for state in WAITING_STATES)
    flow = [
        ("phase", f"{world.phase}, {world.local_time} in Shanghai" if world else "starting"),
        ("transfers/s", f"{world.rate_tps:,.0f}" if world else "-"),
        ("accepted / assessed", f"{total(samples, 'sluice_transfers_accepted_total'):,} / {observer.assessed:,}"),
        ("decisions", "  ".join(f"{band} {count:,}" for band, count in sorted(observer.bands.items())) or "-"),
        *latency_rows(recent, observer.recent_latency()),
        ("stops", _by(samples, "sluice_orders", "state", kind="protective_stop")),
        ("  waiting for the bank", f"{waiting:,}"),
        ("freezes", _by(samples, "sluice_orders", "state", kind="freeze")),
    ]
    if world and money:
        flow += [
            ("victims' money stolen", f"{_money(money.stolen, 0)} yuan, {world.cases} cases"),
            ("  stopped", f"[green]{_money(money.stopped, money.stolen)}[/]"),
            ("  cashed out", f"[red]{_money(money.cashed_out, money.stolen)}[/]"),
            ("  still moving", _money(money.in_flight, money.stolen)),
            ("false stops", f"{world.false_stops} ({world.stops.in_history} of them in the history)"),
            ("  live, per 10,000 customers and day", f"{world.false_stops_per_10k_day:.1f}"),
        ]
    parts: list[RenderableType] = [Panel(_grid(flow), title="Sluice 水闸", border_style="cyan"), _grid(addresses)]
    parts += [Text(note, style="yellow") for note in notes[-5:]]
    return Group(*parts)


def latency_rows(recent: Samples, assessed: Quantiles) -> list[tuple[str, str]]:
    """Return a row for each stage; all are of the transfers and stops of the same `WINDOW_S` of the live phase."""
    return [
        ("latency", f"of the last {WINDOW_S:.0f} s, live phase only"),
        ("  accepted -> debited", _ms(histogram_quantiles(recent, "sluice_stage_latency_seconds", stage="debited"))),
        ("  accepted -> assessed", _ms(assessed)),
        ("  assessed -> stop sent", _ms(histogram_quantiles(recent, "sluice_stop_sent_latency_seconds"))),
        ("  assessed -> stop confirmed", _ms(histogram_quantiles(recent, "sluice_stop_confirm_latency_seconds"))),
    ]


def plain_line(world: WorldReading | None, observer: Observer) -> str:
    """Return one line of progress for an output that is no terminal."""
    if world is None:
        return "waiting for the world"
    latency, money = observer.recent_latency(), world.money_fen
    return (
        f"{world.live_s:5.0f} s  {world.rate_tps:6.0f} transfers/s  assessed {observer.assessed:,}  "
        f"stop {observer.bands['stop']:,}  {_ms(latency)}  stolen {yuan_from_fen(money.stolen)}  "
        f"stopped {yuan_from_fen(money.stopped)}  cashed out {yuan_from_fen(money.cashed_out)} yuan"
    )
