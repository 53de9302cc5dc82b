"""Synchronous screening: a bank posts a transfer and waits for the decision (api, worker, Kafka, database)."""

from __future__ import annotations

from typing import Final

import aiohttp
import uvloop

from bench.findings import Bench, Findings
from bench.http_load import Answers, ask_all
from bench.search import CLOSE, STEP, NothingHeld, highest_held
from bench.stack import Programs, Stack
from bench.stats import Latency, latency_spread, spread
from bench.traffic import Payment
from cli.plan import Plan
from telemetry.clock import wall_us

WAIT_MS: Final = 2_000
TIMEOUT_S: Final = 5.0
CONNECTIONS: Final = 128
CALM_RPS: Final = 300.0
"""The floor of issue 6."""

CALM_TRIALS: Final = 4.0
WARM_S: Final = 8.0
HELD_P99_MS: Final = 50.0
"""A rate is held if every request got its decision and 99 % within this time."""


class Screen:
    """Asks one api."""

    def __init__(self, plan: Plan) -> None:
        self._url = f"{plan.api_url}/v1/transfers?wait_ms={WAIT_MS}"
        self._keys = plan.keys.banks

    def run(self, payments: list[Payment], rate: float) -> Answers:
        """Post payments at a rate and wait for all decisions."""
        return uvloop.run(self._run(payments, rate))

    async def _run(self, payments: list[Payment], rate: float) -> Answers:
        connector, timeout = aiohttp.TCPConnector(limit=CONNECTIONS), aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

            async def ask(number: int) -> bool:
                payment = payments[number]
                headers = {"X-Api-Key": self._keys[payment.bank], "Content-Type": "application/json"}
                try:
                    async with session.post(self._url, data=payment.value, headers=headers) as answer:
                        return b'"decision":{' in await answer.read()
                except (aiohttp.ClientError, TimeoutError):
                    return False

            return await ask_all(ask, rate=rate, count=len(payments), now_us=wall_us)


def measure(bench: Bench) -> Findings:
    """Measure latency at the calm rate, and the highest rate held."""
    stack = bench.stack()
    try:
        return _measure(bench, stack)
    finally:
        stack.close()


def _measure(bench: Bench, stack: Stack) -> Findings:
    calm: list[Latency] = []
    rates: list[float] = []
    notes: list[str] = []
    cpu: dict[str, float] = {}
    for number in range(bench.length.runs):
        bench.say(f"run {number + 1}: screening")
        plan = stack.plan(1)
        programs = (*plan.workers(stack.address), plan.api(stack.address), plan.bank())
        with stack.running(*programs) as running:
            screen = Screen(plan)
            screen.run(bench.traffic.take(int(CALM_RPS * WARM_S)), CALM_RPS)
            answers, cpu = _calm(bench, screen, running)
            calm.append(answers.latency(WARM_S))
            if answers.unwanted:
                notes.append(f"screening: {answers.unwanted} of {len(answers.due_us)} requests got no decision")
            bench.say(f"  at {CALM_RPS:.0f}/s: p50 {calm[-1].p50:.1f} ms, p99 {calm[-1].p99:.1f} ms")
            rates.append(_search(bench, screen, rates, notes))
    return findings_of(calm, rates, cpu, notes)


def findings_of(calm: list[Latency], rates: list[float], cpu: dict[str, float], notes: list[str]) -> Findings:
    """Return what the runs say."""
    return Findings(
        throughput={"screening_rps": spread(rates, 1)},
        latency_ms={"screening": latency_spread(calm, CALM_RPS)},
        us_per_transfer={"screening_at_300": {name: round(us, 1) for name, us in cpu.items()}},
        notes=notes,
    )


def _calm(bench: Bench, screen: Screen, running: Programs) -> tuple[Answers, dict[str, float]]:
    payments = bench.traffic.take(int(CALM_RPS * (WARM_S + CALM_TRIALS * bench.length.seconds)))
    meter = running.meter(api=running.pids("api"), worker=running.pids("worker"))
    answers = screen.run(payments, CALM_RPS)
    return answers, meter.us_per(len(payments))


def _search(bench: Bench, screen: Screen, known: list[float], notes: list[str]) -> float:
    def holds(rate: float) -> bool:
        answers = screen.run(bench.traffic.take(int(rate * bench.length.seconds)), rate)
        p99 = answers.latency().p99
        bench.say(f"  {rate:6.0f}/s p99 {p99:.0f} ms, {answers.unwanted} without a decision")
        return not answers.unwanted and p99 <= HELD_P99_MS

    guess, step = (known[-1], CLOSE) if known and known[-1] else (CALM_RPS, STEP)
    try:
        return round(highest_held(holds, guess, step=step), 1)
    except NothingHeld as error:
        notes.append(f"screening: {error}")
        return 0.0
