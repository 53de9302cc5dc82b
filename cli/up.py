"""``sluice up``: everything on this machine, watched, and summed up at the end."""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType
from typing import Any

import httpx
import msgspec
from rich.console import Console
from rich.live import Live

from cli.folders import NoFolder, RunFolder
from cli.guest import NAME_PREFIX, BrokerUnfit, Guest
from cli.keysfile import first_call, write_keys
from cli.latency import LatencyWindow, Pages, grown
from cli.observer import Observer
from cli.plan import PEOPLE, Keys, Plan, ports_for
from cli.progress import Moment, live_view, plain_line, world_time
from cli.readings import Sources, by_label, histogram_quantiles, merge, total
from cli.summary import FalseStops, Latencies, Orders, Summary, TransferCounts, summary_table
from cli.supervisor import NotReady, ProgramDied, Supervisor
from cli.verify import find_breaches, find_untold
from simulators.settings import WorldSettings
from simulators.tempo import derive_clock
from telemetry.clock import format_clock, parse_clock, wall_us

REFRESH_S = 0.5
QUIET_REFRESH_S = 0.25
PLAIN_REFRESH_S = 5.0
SETTLE_TIMEOUT_S = 30.0
SETTLE_AFTER_RESTART_S = 120.0
"""The group has to notice that a worker died, and another to make up for what came meanwhile."""

SETTLE_POLL_S = 0.2
CONFIRMATION_LAG_S = 0.2
"""The api stores that the broker confirmed a transfer some 50 ms late, when it may be assessed already."""

BY_HAND = "not checked: stopped by hand while transfers were under way"
KEYS_FILE_VARIABLE = "SLUICE_API_KEYS_FILE"
"""Names a file of keys for the api; people then have the keys of that file and no others."""

EXIT_DIED = 1
EXIT_NOT_RECONCILED = 3


class UpOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the person asked for."""

    seconds: float | None
    rate_tps: float
    as_json: bool
    broker: str
    workers: int
    customers: int
    seed: int


class Run:
    """One run of everything, from the first program to the summary."""

    def __init__(self, options: UpOptions, console: Console) -> None:
        self._options = options
        self._console = console
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        self._folder = RunFolder(name)
        self._plan = _plan(options, name, self._folder)
        self._clock = parse_clock(self._plan.clock)
        self._supervisor = Supervisor(self._plan.folder, self._tell)
        self._sources = Sources(
            api_url=self._plan.api_url,
            bank_url=self._plan.bank_url,
            world_url=self._plan.world_url,
            operator_key=self._plan.keys.operator,
        )
        self._observer: Observer | None = None
        self._guest: Guest | None = None
        self._live_pages: Pages = {}
        self._by_hand = False

    def execute(self) -> Summary:
        """Run until the end that was asked for, or Ctrl-C; return the summary.

        Raises `BrokerUnfit`, `ProgramDied` or `NotReady`; everything is stopped in any case.
        """
        try:
            observer = self._start()
            try:
                self._watch(observer)
            except KeyboardInterrupt:
                self._console.print("stopping ...")
                self._by_hand = True
            return self._sum_up(observer)
        finally:
            if self._observer is not None:
                self._observer.stop()
            self._supervisor.stop()
            self._sources.close()
            self._folder.close()
            if self._guest is not None and (left := self._guest.move_out()):
                self._tell(left)

    def _tell(self, text: str) -> None:
        """Print a line that stays, above what a live view shows."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _start(self) -> Observer:
        plan, supervisor = self._plan, self._supervisor
        broker = self._options.broker
        if ":" in broker:
            self._guest = Guest(plan.stream_settings(broker), plan.api_group)
            self._guest.move_in()
            self._tell(f"on broker {broker}, with topics that begin with {plan.topic_prefix}")
        else:
            self._say(f"broker ({broker})")
            broker = supervisor.start(plan.broker(broker))
        self._say("workers and trainer")
        supervisor.start_all([*plan.workers(broker), plan.trainer(broker)])
        self._say("api and banks")
        supervisor.start_all([plan.api(broker), plan.bank()])
        self._observer = observer = Observer(broker, topic_prefix=plan.topic_prefix)
        observer.start()
        self._say("world: opens accounts and posts some days of history")
        supervisor.start(plan.world())
        self._live_pages = self._pages()
        observer.live_from_us = wall_us()
        keys = write_keys(plan.folder, plan.keys, api_url=plan.api_url, bank_url=plan.bank_url)
        for name, address in [*self._addresses(), ("keys", str(keys)), ("try", first_call(keys))]:
            self._tell(f"{name}: {address}")
        return observer

    def _say(self, text: str) -> None:
        self._console.print(f"[dim]starting[/] {text}")

    def _watch(self, observer: Observer) -> None:
        """Show the run until the world is done."""
        if self._options.as_json:
            while self._going_on(QUIET_REFRESH_S):
                pass
            return
        window = LatencyWindow(time.monotonic(), self._live_pages)
        if not self._console.is_terminal:
            while self._going_on(PLAIN_REFRESH_S):
                self._tell(plain_line(self._moment(observer, window)))
            return
        addresses = [("API docs", self._docs), ("logs and keys", str(self._plan.folder))]
        with Live(console=self._console, refresh_per_second=4) as live:
            while self._going_on(REFRESH_S):
                live.update(live_view(self._moment(observer, window), addresses))

    def _moment(self, observer: Observer, window: LatencyWindow) -> Moment:
        # Read first, or they could be ahead of what is accepted.
        assessed, bands = observer.assessed, dict(observer.bands)
        pages = self._pages()
        return Moment(
            world=self._sources.world(),
            world_time=world_time(self._clock, wall_us()),
            assessed=assessed,
            bands=bands,
            assess_ms=observer.recent_latency(),
            samples=merge(pages.values()),
            recent=window.note(time.monotonic(), pages),
        )

    def _going_on(self, pause_s: float) -> bool:
        time.sleep(pause_s)
        self._supervisor.check()
        world = self._sources.world()
        return world is None or world.phase != "done"

    def _pages(self) -> Pages:
        """Return what the programs that answer say of themselves."""
        urls = [running.program.metrics_url for running in self._supervisor.running]
        pages = {url: self._sources.samples(url) for url in urls if url}
        return {url: page for url, page in pages.items() if page}

    @property
    def _docs(self) -> str:
        return f"{self._plan.api_url}/docs"

    def _addresses(self) -> list[tuple[str, str]]:
        pages = [("API docs", self._docs)]
        pages += [
            (f"{running.program.name} metrics", running.program.metrics_url)
            for running in self._supervisor.running
            if running.program.metrics_url
        ]
        return [*pages, ("logs", str(self._plan.folder))]

    def _settle(self) -> Any:
        """Wait (bounded) until what was accepted is assessed and every bank has answered; return the statistics."""
        began = time.monotonic()
        while True:
            stats = self._sources.api("/v1/stats")
            patience_s = SETTLE_AFTER_RESTART_S if self._supervisor.restarts else SETTLE_TIMEOUT_S
            if stats["settled"] or time.monotonic() - began > patience_s:
                return stats
            self._supervisor.check()
            time.sleep(SETTLE_POLL_S)

    def _stats_by_hand(self) -> Any:
        """Return the statistics, with what was assessed a moment earlier: never more than was accepted."""
        assessed = self._sources.api("/v1/stats")["transfers"]["assessed"]
        time.sleep(CONFIRMATION_LAG_S)
        stats = self._sources.api("/v1/stats")
        stats["transfers"]["assessed"] = assessed
        return stats

    def _sum_up(self, observer: Observer) -> Summary:
        by_hand = self._by_hand  # nobody who presses Ctrl-C waits until the banks have answered
        stats = self._stats_by_hand() if by_hand else self._settle()
        breaches = [BY_HAND] if by_hand else find_breaches(self._sources) + find_untold(self._sources)
        if stats["outbox_open"] and not by_hand:
            breaches.append(f"{stats['outbox_open']} commands have no answer of their bank")
        world = self._sources.world()
        if world is None:
            raise NotReady("world", 0.0, self._supervisor.find("world").tail())
        pages = self._pages()
        samples, live = merge(pages.values()), grown(self._live_pages, pages)
        return Summary(
            broker=self._options.broker,
            seconds=round(world.live_s, 1),
            transfers=TransferCounts(
                accepted=stats["transfers"]["accepted"],
                assessed=stats["transfers"]["assessed"],
                duplicate=total(samples, "sluice_transfers_duplicate_total"),
                dead=total(samples, "sluice_dead_letters_total"),
                repeated=observer.repeated,
            ),
            rate_tps=world.rate_tps,
            bands=dict(observer.bands),
            stop_band=by_label(samples, "sluice_stop_band_total", "outcome"),
            latency_ms=Latencies(
                accept_to_assess=observer.latency(),
                assess_to_stop_sent=histogram_quantiles(live, "sluice_stop_sent_latency_seconds"),
                assess_to_stop_confirmed=histogram_quantiles(live, "sluice_stop_confirm_latency_seconds"),
            ),
            orders=Orders(**{kind: stats["orders"].get(kind, {}) for kind in Orders.__struct_fields__}),
            money_fen=world.money_fen,
            false_stops=world.false_stops,
            false_stops_by=FalseStops.of(world.stops),
            false_stops_per_10k_day=world.false_stops_per_10k_day,
            customers=world.customers,
            simulated_days=world.simulated_days,
            restarts=self._supervisor.restarts,
            reconciled=not breaches,
            breaches=breaches,
            stopped_by_hand=by_hand,
        )


def _plan(options: UpOptions, name: str, folder: RunFolder) -> Plan:
    settings = WorldSettings(
        seed=options.seed, customers=options.customers, rate_tps=options.rate_tps, seconds=options.seconds
    )
    people = () if os.environ.get(KEYS_FILE_VARIABLE) else PEOPLE
    return Plan(
        folder=folder.path,
        guest_name=f"{NAME_PREFIX}{name}" if ":" in options.broker else "",
        ports=ports_for(options.workers),
        keys=Keys.generate(people),
        clock=format_clock(derive_clock(settings, wall_us())),
        seed=options.seed,
        customers=options.customers,
        rate_tps=options.rate_tps,
        seconds=options.seconds,
    )


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run_up(options: UpOptions) -> int:
    """Run everything and print the summary; return 0 if all of it reconciles."""
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(stderr=options.as_json)
    try:
        summary = Run(options, console).execute()
    except (NoFolder, BrokerUnfit, ProgramDied, NotReady) as error:
        console.print(str(error), style="bold red", markup=False, highlight=False, soft_wrap=True)
        return EXIT_DIED
    except KeyboardInterrupt:
        console.print("stopped")
        return EXIT_DIED
    except httpx.HTTPError as error:
        console.print(f"[bold red]a program did not answer: {error!r}[/]", highlight=False)
        return EXIT_DIED
    if options.as_json:
        sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
    else:
        console.print(summary_table(summary))
    return 0 if summary.reconciled or summary.stopped_by_hand else EXIT_NOT_RECONCILED
