"""Kafka in, assessment out: the rate held by one worker and by two, and by what they are compared with."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any, Final

import msgspec

from bench.findings import Bench, Findings, Length
from bench.kafka_wire import KafkaWire, Route
from bench.machine import rss_bytes, threads_s
from bench.panel import publish
from bench.schedule import Passage
from bench.search import CLOSE, STEP, NothingHeld, highest_held
from bench.stack import BARE, NAIVE, Programs, Say, Stack
from bench.stats import Latency, latency_spread, spread
from bench.traffic import Traffic
from cli.supervisor import Program
from telemetry.clock import wall_us

WARM_RATE: Final = 300.0
WARM_S: Final = 3.0
BURST: Final = 3_000
"""Payments sent at once for a first guess at the rate."""

GUESS: Final = 0.7
"""Share of the burst's rate at which the search begins."""

CALM_TPS: Final = 1_000.0
CALM_TRIALS: Final = 5.0
"""Latency at the calm rate is measured for so many trial lengths, after `CALM_WARM_S`."""

CALM_WARM_S: Final = 5.0
FLOOR_TPS: Final = 3_000.0
"""Rate that one worker is to hold for two minutes (issue 6)."""

SUSTAINED_TRIALS: Final = 30.0
SUSTAINED_SHARE: Final = 0.9
"""Where the floor was not held in a trial, the long run takes this share of what was."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured: programs on a route."""

    name: str
    route: Route
    programs: Callable[[Stack], list[Program]]


SUBJECTS: Final = (
    Subject(name="one_worker", route=Route(), programs=lambda stack: stack.plan(1).workers(stack.address)),
    Subject(name="two_workers", route=Route(), programs=lambda stack: stack.plan(2).workers(stack.address)),
    Subject(name="naive", route=NAIVE, programs=lambda stack: [stack.comparison("naive")]),
    Subject(
        name="naive_lean",
        route=NAIVE,
        programs=lambda stack: [stack.comparison("naive", NAIVE_FEATURES="lean")],
    ),
    Subject(name="bare_loop", route=BARE, programs=lambda stack: [stack.comparison("bare_loop")]),
)

COMPARED: Final = ("naive", "naive_lean", "bare_loop")
"""Subjects that one worker is compared with."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One rate tried for one trial length."""

    rate: float
    held: bool
    backlog_s: float
    latency_ms: Latency
    loader_delay_ms: float
    cpu_us_per_transfer: dict[str, float]


class Calm(msgspec.Struct, frozen=True, kw_only=True):
    """One worker at the calm rate."""

    latency_ms: Latency
    cpu_us_per_transfer: dict[str, float]
    threads_us_per_transfer: dict[str, float]
    worker_mb: float


class Seen(msgspec.Struct, kw_only=True):
    """What the runs gave, by subject."""

    rates: dict[str, list[float]] = msgspec.field(default_factory=lambda: {each.name: [] for each in SUBJECTS})
    trials: dict[str, list[Trial]] = msgspec.field(default_factory=lambda: {each.name: [] for each in SUBJECTS})
    calm: list[Calm] = []
    panel: str = ""
    """Version of the panel of detectors that workers named in their assessments."""
    notes: list[str] = []


def measure(bench: Bench) -> Findings:
    """Measure all subjects in turn, run by run, so that a change of the machine's mood meets all of them."""
    traffic, snapshot = bench.traffic, bench.trained.snapshot
    stack = bench.stack()
    try:
        publish(stack.address, snapshot, key=stack.keys.snapshot.encode(), now_us=wall_us())
        return _Rounds(bench.length, stack, traffic, bench.say).measure()
    finally:
        stack.close()


class _Rounds:
    """The runs of this part."""

    def __init__(self, length: Length, stack: Stack, traffic: Traffic, say: Say) -> None:
        self._length = length
        self._stack = stack
        self._traffic = traffic
        self._say = say
        self._seen = Seen()

    def measure(self) -> Findings:
        """Run everything."""
        for number in range(self._length.runs):
            for subject in SUBJECTS:
                self._say(f"run {number + 1}: {subject.name}")
                self._run(subject)
        seconds = SUSTAINED_TRIALS * self._length.seconds
        return findings_of(self._seen, self._sustained(seconds), seconds)

    def _run(self, subject: Subject) -> None:
        with self._stack.running(*subject.programs(self._stack)) as programs:
            wire = KafkaWire(self._stack.address, subject.route, self._traffic)
            wire.run(rate=WARM_RATE, count=int(WARM_RATE * WARM_S))
            self._seen.rates[subject.name].append(self._search(subject, wire, programs))
            if subject.name == "one_worker":
                self._seen.calm.append(self._measure_calm(wire, programs))
                self._seen.panel = wire.panel_version
            wire.close()
            if programs.restarts:
                self._seen.notes.append(f"{subject.name}: a worker ended itself and was started again")

    def _search(self, subject: Subject, wire: KafkaWire, programs: Programs) -> float:
        """Return the highest rate held in one run; 0 if none was."""
        known = self._seen.rates[subject.name]
        burst = _burst(wire)  # in every run, since it also warms the subject up
        guess, step = (known[-1], CLOSE) if known and known[-1] else (GUESS * burst, STEP)

        def holds(rate: float) -> bool:
            trial = self._try(wire, programs, rate)
            self._seen.trials[subject.name].append(trial)
            self._say(f"  {rate:6.0f}/s {'held' if trial.held else 'not held'}, p99 {trial.latency_ms.p99:.0f} ms")
            return trial.held

        try:
            return round(highest_held(holds, guess or WARM_RATE, step=step), 1)
        except NothingHeld as error:
            self._seen.notes.append(f"{subject.name}: {error}")
            return 0.0

    def _try(self, wire: KafkaWire, programs: Programs, rate: float) -> Trial:
        programs.check()
        meter = programs.meter(subject=programs.pids(""))
        passage = wire.run(rate=rate, count=int(rate * self._length.seconds))
        return _trial(passage, meter.us_per(len(passage.due_us)))

    def _measure_calm(self, wire: KafkaWire, programs: Programs) -> Calm:
        """Measure latency and CPU at the calm rate; the warm-up counts for CPU only."""
        count = int(CALM_TPS * (CALM_WARM_S + CALM_TRIALS * self._length.seconds))
        (pid,) = programs.pids("worker")
        before, meter = threads_s(pid), programs.meter(subject=[pid])
        passage = wire.run(rate=CALM_TPS, count=count)
        after = threads_s(pid)
        calm = Calm(
            latency_ms=passage.latency(CALM_WARM_S),
            cpu_us_per_transfer=meter.us_per(count),
            threads_us_per_transfer={
                kind: (used - before.get(kind, 0.0)) / count * 1e6 for kind, used in after.items()
            },
            worker_mb=rss_bytes(pid) / 1024**2,
        )
        self._say(f"  at {CALM_TPS:.0f}/s: p50 {calm.latency_ms.p50:.1f} ms, p99 {calm.latency_ms.p99:.1f} ms")
        return calm

    def _sustained(self, seconds: float) -> Trial:
        """Hold one rate with one worker for long."""
        found = statistics.median(self._seen.rates["one_worker"])
        rate = FLOOR_TPS if found >= FLOOR_TPS else max(SUSTAINED_SHARE * found, WARM_RATE)
        self._say(f"one worker, {rate:.0f}/s for {seconds:.0f} s")
        (worker,) = self._stack.plan(1).workers(self._stack.address)
        with self._stack.running(worker) as programs:
            wire = KafkaWire(self._stack.address, Route(), self._traffic)
            wire.run(rate=WARM_RATE, count=int(WARM_RATE * WARM_S))
            meter = programs.meter(subject=programs.pids("worker"))
            passage = wire.run(rate=rate, count=int(rate * seconds))
            wire.close()
            return _trial(passage, meter.us_per(len(passage.due_us)))


def findings_of(seen: Seen, sustained: Trial, sustained_s: float) -> Findings:
    """Return what the runs say."""
    medians = {name: statistics.median(rates) for name, rates in seen.rates.items()}
    ours = seen.rates["one_worker"]
    ratios = {
        f"throughput_vs_{name}": [one / other for one, other in zip(ours, seen.rates[name], strict=True) if other]
        for name in COMPARED
    }
    no_panel = ["workers scored with the rules alone: no detector was named in their assessments"]
    return Findings(
        throughput={
            **{f"{name}_tps": tps for name, tps in medians.items()},
            "spread": {f"{name}_tps": spread(rates, 1) for name, rates in seen.rates.items()},
            "sustained": {"seconds": sustained_s, "trial": sustained},
            "trials": seen.trials,
            "panel": seen.panel,
        },
        ratios={
            **{name: round(statistics.median(found), 3) if found else None for name, found in ratios.items()},
            "spread": {name: spread(found, 3) if found else None for name, found in ratios.items()},
        },
        latency_ms={"at_1000": latency_spread([calm.latency_ms for calm in seen.calm], CALM_TPS)},
        us_per_transfer=_cpu(seen),
        memory={"worker_mb": spread([calm.worker_mb for calm in seen.calm], 1)},
        notes=seen.notes + ([] if seen.panel else no_panel),
    )


def _cpu(seen: Seen) -> dict[str, Any]:
    """Return CPU per transfer at the calm rate, and at the highest rate each subject held."""
    best = {
        name: max(held, key=lambda trial: trial.rate)
        for name, trials in seen.trials.items()
        if (held := [trial for trial in trials if trial.held])
    }
    return {
        "worker_at_1000": _over(seen.calm, "subject"),
        "broker_at_1000": _over(seen.calm, "broker"),
        "worker_threads_at_1000": {
            kind: spread([calm.threads_us_per_transfer.get(kind, 0.0) for calm in seen.calm], 1)
            for kind in ("main", "other", "librdkafka")
        },
        "at_highest_rate": {name: trial.cpu_us_per_transfer for name, trial in best.items()},
    }


def _over(calm: list[Calm], group: str) -> Any:
    return spread([each.cpu_us_per_transfer[group] for each in calm], 1)


def _burst(wire: KafkaWire) -> float:
    """Return the rate at which payments come out that were all due at once."""
    passage = wire.run(rate=float(BURST * 1_000), count=BURST)
    return (BURST - passage.missing) / passage.seconds


def _trial(passage: Passage, cpu_us: dict[str, float]) -> Trial:
    return Trial(
        rate=round(passage.rate, 1),
        held=passage.held,
        backlog_s=round(passage.backlog_s, 3),
        latency_ms=passage.latency(),
        loader_delay_ms=round(passage.worst_delay_us / 1000, 1),
        cpu_us_per_transfer={group: round(us, 1) for group, us in cpu_us.items()},
    )
