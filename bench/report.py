"""Turns the JSON of ``sluice bench`` into the tables of docs/performance.md.

sluice bench --json > result.json
python -m bench.report result.json                           prints the tables
python -m bench.report result.json --into docs/performance.md
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

BEGIN: Final = "<!-- bench: begin -->"
END: Final = "<!-- bench: end -->"

Json = Mapping[str, Any]
Row = tuple[object, ...]

RATES: Final = (
    ("one_worker_tps", "one worker: Kafka in, assessment out"),
    ("two_workers_tps", "two workers on the same cores"),
    ("naive_tps", "`bench/naive.py`: plain Faust and River, the reference's 56 features"),
    ("naive_lean_tps", "the same with 7 features of the payer alone"),
    ("bare_loop_tps", "`bench/bare_loop.py`: one hop, no work"),
)
LATENCIES: Final = (
    ("at_1000", "accepted -> assessed"),
    ("screening", "synchronous screening"),
    ("stop_confirmed", "assessed -> stop confirmed by the bank"),
    ("stop_confirmed_from_acceptance", "accepted -> stop confirmed by the bank"),
)


class NoPlace(Exception):
    """The page has no marked place for the tables."""


def render(result: Json) -> str:
    """Return all tables for which there are figures, as Markdown."""
    parts = (_machine, _throughput, _latency, _scorer, _path, _profile, _worker, _growth, _recovery, _memory, _notes)
    return "\n\n".join(text for part in parts if (text := part(result)))


def page_block(result: Json) -> str:
    """Return the tables, and below them the JSON they were made from."""
    return f"{render(result)}\n\n{printed(result)}"


def printed(result: Json) -> str:
    """Return the JSON as printed, folded, a line for each figure or group of figures; single trials are left out."""
    kept = dict(result) | {"throughput": {k: v for k, v in result["throughput"].items() if k != "trials"}}
    lines = ",\n".join(f"{json.dumps(name)}: {_object(value)}" for name, value in kept.items())
    summary = "The same as <code>sluice bench --json</code> printed it, without the single trials"
    return f"<details><summary>{summary}</summary>\n\n```json\n{{\n{lines}\n}}\n```\n</details>"


def _object(value: Any) -> str:
    if not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False)
    lines = (f"  {json.dumps(name)}: {json.dumps(inner, ensure_ascii=False)}" for name, inner in value.items())
    return "{\n" + ",\n".join(lines) + "\n}"


def table(title: str, head: Row, rows: Iterable[Row]) -> str:
    """Return a Markdown table, or nothing without rows.

    >>> print(table("T", ("a", "b"), [("x", 1234.5)]))
    **T**
    <BLANKLINE>
    | a | b |
    |---|---:|
    | x | 1,234.5 |
    """
    body = [_line(row) for row in rows]
    if not body:
        return ""
    rule = "|---|" + "---:|" * (len(head) - 1)
    return "\n".join([f"**{title}**", "", _line(head), rule, *body])


def _line(cells: Row) -> str:
    return "| " + " | ".join(cell if isinstance(cell, str) else number(cell) for cell in cells) + " |"


def number(value: Any) -> str:
    """Return a figure in the least digits that say it.

    >>> [number(value) for value in (None, 5234.4, 61.25, 0.031)]
    ['-', '5,234', '61.2', '0.03']
    """
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    return f"{value:,.0f}" if size >= 2_000 else f"{value:,.1f}" if size >= 10 else f"{value:.2f}"


def _three(spread: Json | None) -> Row:
    return (None, None, None) if spread is None else (spread["min"], spread["median"], spread["max"])


def _machine(result: Json) -> str:
    machine = result["machine"]
    busy = "" if result["quiet"] else f" **The machine was busy (load {machine['load_before']}): take care.**"
    length = result["length"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["libraries"].items())
    return (
        f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gb']} GB, {machine['system']}, Python "
        f"{machine['python']}, scoring {machine['scoring']}; {machine['broker']}; {versions}. {length['runs']} runs, "
        f"trials of {length['seconds']:g} s, {result['seconds'] / 60:.0f} minutes in all.{busy}"
    )


def _throughput(result: Json) -> str:
    found = result["throughput"]
    spread = found.get("spread", {})
    rows = [(text, *_three(spread[name])) for name, text in RATES if name in spread]
    if "screening_rps" in found:
        rows.append(("synchronous screening, p99 within 50 ms", *_three(found["screening_rps"])))
    ratios = result["ratios"].get("spread", {})
    for name, text in (
        ("throughput_vs_naive", "one worker / naive"),
        ("throughput_vs_naive_lean", "one worker / naive, lean"),
        ("throughput_vs_bare_loop", "one worker / bare loop"),
    ):
        if name in ratios:
            rows.append((text, *_three(ratios[name])))
    if "scorer_tps" in found:
        rows.append(("scorer alone, one core", None, found["scorer_tps"], None))
    text = table("Highest rate held, per second", ("what", "min", "median", "max"), rows)
    if "sustained" in found:
        text += "\n\n" + _sustained(found["sustained"])
    return text


def _sustained(found: Json) -> str:
    trial, verdict = found["trial"], "held" if found["trial"]["held"] else "**not held**"
    latency = trial["latency_ms"]
    return (
        f"One worker at {number(trial['rate'])}/s for {found['seconds']:.0f} s: {verdict}, "
        f"p50 {number(latency['p50'])} ms, p99 {number(latency['p99'])} ms, worst {number(latency['worst'])} ms, "
        f"backlog at the end {number(trial['backlog_s'])} s."
    )


def _latency(result: Json) -> str:
    rows = []
    for name, text in LATENCIES:
        found = result["latency_ms"].get(name)
        if found:
            medians = [
                f"{number(found[key]['median'])} ({number(found[key]['max'])})" for key in ("p50", "p99", "p999")
            ]
            rows.append((f"{text}, {found['rate']:g}/s", *medians, found["count"]))
    return table(
        "Latency from due time, ms: median of the runs (worst run)",
        ("what", "p50", "p99", "p99.9", "samples a run"),
        rows,
    )


def _scorer(result: Json) -> str:
    found = result["us_per_transfer"].get("scorer", {})
    return table("Scorer alone, CPU us per transfer", ("step", "min", "median", "max"), _spreads(found))


def _path(result: Json) -> str:
    found = result["us_per_transfer"].get("path", {})
    times = {name: spread for name, spread in found.items() if not name.endswith("_bytes")}
    text = table(
        "Both stages in one process, without Kafka, CPU us per transfer",
        ("step", "min", "median", "max"),
        _spreads(times),
    )
    sizes = [
        f"{name.removesuffix('_bytes')} {number(spread['median'])}"
        for name, spread in found.items()
        if name not in times
    ]
    return text + (f"\n\nMean bytes of a record: {', '.join(sizes)}." if sizes else "")


def _profile(result: Json) -> str:
    found = result["us_per_transfer"].get("profile", {})
    title = "The same as plain Python, which a profiler can see: cProfile's shares of own time by module"
    return table(
        title, ("module", "us"), [("all", result["us_per_transfer"]["plain_stages"]), *found.items()] if found else []
    )


def _spreads(found: Json) -> list[Row]:
    return [(name.replace("_", " "), *_three(spread)) for name, spread in found.items()]


def _worker(result: Json) -> str:
    found = result["us_per_transfer"]
    if "worker_at_1000" not in found:
        return ""
    rows: list[Row] = [("worker process at 1,000/s", found["worker_at_1000"]["median"])]
    rows += [(f"- thread: {kind}", spread["median"]) for kind, spread in found["worker_threads_at_1000"].items()]
    rows.append(("broker at 1,000/s", found["broker_at_1000"]["median"]))
    for name, groups in found["at_highest_rate"].items():
        rows.append((f"{name.replace('_', ' ')} at its highest rate", groups["subject"]))
        rows.append(("- broker meanwhile", groups["broker"]))
    for name, us in found.get("screening_at_300", {}).items():
        rows.append((f"screening at 300/s: {name}", us))
    return table("CPU of running processes, us per transfer", ("process", "us"), rows)


def _growth(result: Json) -> str:
    found = result["growth"]
    rows = [
        (
            f"{size['accounts']:,} {form}",
            size["us_per_transfer"],
            size["batch_ms_p50"],
            size["batch_ms_p99"],
            size["memory_bytes_per_account"],
        )
        for form, sizes in found.get("accounts", {}).items()
        for size in sizes.values()
    ]
    head = ("accounts", "us per transfer", "batch of 64 p50, ms", "p99, ms", "bytes an account")
    text = table("Cost by number of accounts, both stages in one process", head, rows)
    history = found.get("history")
    if history:
        each, events = history["us_per_transfer"], history["transfers_per_account"]
        text += (
            f"\n\nHistory: {number(each['1x'])} us at {number(events['1x'])} transfers an account, "
            f"{number(each['10x'])} us at {number(events['10x'])} ({number(history['ratio'])} times); "
            f"no state larger than {history['largest_state_bytes']:,} bytes."
        )
    return text


def _recovery(result: Json) -> str:
    rows = []
    for accounts, stores in result["growth"].get("worker", {}).items():
        for store, start in stores.items():
            told = start["latency_ms"] or {"p50": None, "p99": None}
            name = f"{int(accounts):,} {store.replace('_', ', ')}"
            rows.append(
                (name, start["ready_s"], told["p50"], told["p99"], start["us_per_transfer"], start["worker_mb"])
            )
    head = ("accounts, store", "scoring after, s", "p50 at 1,000/s, ms", "p99, ms", "us per transfer", "memory, MB")
    return table("A worker started with these accounts", head, rows)


def _memory(result: Json) -> str:
    found = result["memory"]
    told = []
    if "state_bytes" in found:
        state = found["state_bytes"]
        sizes = f"{state['mean']:,} bytes in the mean, {state['max']:,} at most"
        told.append(f"State of an account with a past, in changelog and RocksDB: {sizes}.")
    if "worker_mb" in found:
        told.append(f"Worker after the throughput trials: {number(found['worker_mb']['median'])} MB.")
    return " ".join(told)


def _notes(result: Json) -> str:
    failed = [f"* **{part} failed:** {text.splitlines()[0]}" for part, text in result["failures"].items()]
    return "\n".join([*failed, *(f"* {note}" for note in result["notes"])])


def put_into(page: str, tables: str) -> str:
    """Return the page with the tables between their marks; raise `NoPlace` without marks."""
    place = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    if not place.search(page):
        raise NoPlace(f"no place between {BEGIN} and {END}")
    return place.sub(lambda _: f"{BEGIN}\n{tables}\n{END}", page, count=1)


def main() -> None:
    """Print the tables, or put them and the JSON into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path, help="what sluice bench --json printed")
    parser.add_argument("--into", type=Path, help="page with marks to write the tables into")
    options = parser.parse_args()
    result = json.loads(options.result.read_text())
    if options.into is None:
        print(render(result))
    else:
        options.into.write_text(put_into(options.into.read_text(), page_block(result)))


if __name__ == "__main__":
    main()
