"""Whether cost stays flat: stages over ever more accounts, and over accounts with ten times the history.

Each number of accounts is measured in a process of its own, so that memory is
counted from nothing and given back (``python -m bench.growth`` is that process).
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from bench.accounts import Strangers, latest_us, mature_states, peopled
from bench.findings import Bench, Findings
from bench.machine import memory_available_bytes, rss_bytes
from bench.panel import Trained
from bench.path import Path, Record, batches
from bench.traffic import Traffic
from models.risk.panel import panel_from_snapshot
from models.risk.scorer import Scorer
from stream.tables import decode_state
from telemetry.clock import wall_us
from telemetry.garbage import collect_rarely

ACCOUNTS: Final = (10_000, 100_000, 1_000_000, 5_000_000)
FEW, MANY = "10000", "1000000"
"""What the ratios compare."""

JUST_RECOVERED: Final = (1_000_000, 5_000_000)
"""Accounts whose states are still the bytes of the changelog, as after a restart; each is decoded when it is met."""

TRANSFERS_PER_S: Final = 2_500
WARM_SHARE: Final = 0.2
MEMORY_SHARE: Final = 0.6
"""Share of the free memory that one measurement may take."""

CHILD_TIMEOUT_S: Final = 300.0
SEED: Final = 3

HISTORY_CUSTOMERS: Final = 300
HISTORY_DAYS: Final = 3.0
HISTORY_FACTOR: Final = 10


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What one child process is to measure."""

    accounts: int
    decoded: bool
    transfers: int
    after_us: int
    panel: bytes
    states: list[bytes]


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """What it found."""

    accounts: int
    us_per_transfer: float
    batch_ms_p50: float
    batch_ms_p99: float
    """Wall time of both stages over one batch of 64 transfers."""
    memory_bytes_per_account: float
    filled_s: float


def measure(bench: Bench) -> Findings:
    """Measure all sizes and both histories."""
    found, notes = Findings(), list[str]()
    sizes = {"decoded": _sizes(bench, ACCOUNTS, True, notes), "encoded": _sizes(bench, JUST_RECOVERED, False, notes)}
    found.growth.update({"accounts": sizes, "history": _history(bench)})
    steady = sizes["decoded"]
    if FEW in steady and MANY in steady:
        few, many = steady[FEW], steady[MANY]
        found.growth["us_1m_vs_10k"] = round(many.us_per_transfer / few.us_per_transfer, 2)
        found.growth["batch_p99_1m_vs_10k"] = round(many.batch_ms_p99 / few.batch_ms_p99, 2)
    found.memory["bytes_per_account"] = {
        form: {accounts: size.memory_bytes_per_account for accounts, size in rows.items()}
        for form, rows in sizes.items()
    }
    states = mature_states(bench.trained.town)
    found.memory["state_bytes"] = {"mean": round(float(np.mean([*map(len, states)]))), "max": max(map(len, states))}
    found.notes.extend(notes)
    return found


def _sizes(bench: Bench, sizes: Sequence[int], decoded: bool, notes: list[str]) -> dict[str, Size]:
    """Measure sizes in rising order; leave out what would not fit into memory, and say so."""
    found: dict[str, Size] = {}
    form = "decoded" if decoded else "encoded"
    for accounts in sizes:
        each = max((size.memory_bytes_per_account for size in found.values()), default=0.0)
        room = memory_available_bytes() * MEMORY_SHARE
        if each * accounts > room:
            text = f"{accounts:,} {form} accounts left out: they need {each * accounts / 1e9:.1f} GB"
            notes.append(f"{text}, and {room / 1e9:.1f} GB may be taken")
            continue
        found[str(accounts)] = size = _in_child(_order(bench, accounts, decoded))
        cost = f"{size.us_per_transfer:.1f} us, {size.memory_bytes_per_account:,.0f} bytes an account"
        bench.say(f"  {accounts:,} {form}: {cost}")
    return found


def _order(bench: Bench, accounts: int, decoded: bool) -> Order:
    trained: Trained = bench.trained
    return Order(
        accounts=accounts,
        decoded=decoded,
        transfers=int(TRANSFERS_PER_S * bench.length.seconds),
        after_us=latest_us(trained.town),
        panel=trained.snapshot.payload,
        states=mature_states(trained.town),
    )


def _in_child(order: Order) -> Size:
    """Measure in a process of its own; raise `subprocess.CalledProcessError` or `TimeoutExpired`."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.growth"],
        input=msgspec.msgpack.encode(order),
        stdout=subprocess.PIPE,
        timeout=CHILD_TIMEOUT_S,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=Size)


def measure_size(order: Order, pid: int) -> Size:
    """Fill a store with accounts, then run transfers through it; measure this process."""
    path = Path(Scorer(panel=panel_from_snapshot(order.panel)))
    gc.collect()
    before, began = rss_bytes(pid), time.monotonic()
    for key, state in peopled(order.accounts, order.states):
        path.put(key, decode_state(state) if order.decoded else state)
    filled_s, grown = time.monotonic() - began, rss_bytes(pid) - before
    collect_rarely()
    strangers = Strangers("growth", order.accounts, after_us=order.after_us, seed=SEED)
    warm = batches(path.transfers(strangers.take(int(order.transfers * WARM_SHARE))))
    measured = batches(path.transfers(strangers.take(order.transfers)))
    run(path, warm)
    cpu_us, walls_ms = run(path, measured)
    return Size(
        accounts=order.accounts,
        us_per_transfer=round(cpu_us / order.transfers, 1),
        batch_ms_p50=round(float(np.quantile(walls_ms, 0.5)), 2),
        batch_ms_p99=round(float(np.quantile(walls_ms, 0.99, method="higher")), 2),
        memory_bytes_per_account=round(grown / order.accounts),
        filled_s=round(filled_s, 1),
    )


def run(path: Path, work: Sequence[Sequence[Record]]) -> tuple[float, list[float]]:
    """Take batches through; return CPU microseconds of all and wall milliseconds of each."""
    walls_ms = []
    began = time.process_time()
    for batch in work:
        before = time.perf_counter()
        path.run(batch)
        walls_ms.append((time.perf_counter() - before) * 1000)
    return (time.process_time() - began) * 1e6, walls_ms


def _history(bench: Bench) -> dict[str, Any]:
    """Measure the same town young and after `HISTORY_FACTOR` times as many days."""
    days = HISTORY_DAYS * (HISTORY_FACTOR + 1)
    traffic = Traffic("history", wall_us(), customers=HISTORY_CUSTOMERS, days=days)
    path = Path(Scorer(panel=bench.trained.panel))
    work = batches(path.transfers(traffic.take(traffic.lap)))
    share = len(work) // (HISTORY_FACTOR + 1)
    run(path, work[:share])
    young_us, _ = run(path, work[share : 2 * share])
    run(path, work[2 * share : -share])
    old_us, _ = run(path, work[-share:])
    each = sum(map(len, work[:share]))
    sizes = [len(state.encode()) for state in path.states.values() if not isinstance(state, bytes)]
    found = {
        "transfers_per_account": {
            "1x": round(each / len(sizes), 1),
            "10x": round(each * HISTORY_FACTOR / len(sizes), 1),
        },
        "us_per_transfer": {"1x": round(young_us / each, 1), "10x": round(old_us / each, 1)},
        "ratio": round(old_us / young_us, 2),
        "largest_state_bytes": max(sizes),
    }
    bench.say(f"  ten times the history: {found['ratio']} times the cost")
    return found


def main() -> None:
    """Measure one size for the parent process."""
    order = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Order)
    sys.stdout.write(msgspec.json.encode(measure_size(order, os.getpid())).decode())


if __name__ == "__main__":
    main()
