"""``sluice bench``: measure this machine, show progress on stderr, print the result."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import msgspec
from rich.console import Console
from rich.markdown import Markdown

from bench.findings import Length
from bench.report import render
from bench.suite import PARTS, run_parts
from stream.kafka import KafkaUnavailable
from telemetry.garbage import collect_rarely

EXIT_FAILED = 1
EXIT_USAGE = 2


class BenchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the person asked for; no ``parts`` means all of them."""

    parts: tuple[str, ...] = ()
    seconds: float = Length().seconds
    runs: int = Length().runs
    broker: str = "kafka"
    as_json: bool = False


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run_bench(options: BenchOptions) -> int:
    """Measure and print; return 0, 1 if a part failed, 2 if the options make no sense."""
    console = Console(stderr=True, highlight=False)
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        console.print(f"there is no part {', '.join(sorted(unknown))}; parts are {', '.join(PARTS)}")
        return EXIT_USAGE
    signal.signal(signal.SIGTERM, _interrupt)
    collect_rarely()  # a pause of the loader would be taken for one of the system
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.0f} s[/] ", end="")
        console.print(text, markup=False)

    try:
        result = run_parts(
            options.parts or tuple(PARTS),
            length=Length(seconds=options.seconds, runs=options.runs),
            broker=options.broker,
            folder=Path(".run") / f"bench-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}",
            say=say,
        )
    except KafkaUnavailable as error:
        console.print(str(error), markup=False)
        return EXIT_FAILED
    except KeyboardInterrupt:
        console.print("stopped; nothing was printed")
        return EXIT_FAILED
    if options.as_json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    else:
        Console().print(Markdown(render(msgspec.to_builtins(result))))
    return EXIT_FAILED if result.failures else 0
