"""Print a ``.env`` with fresh secrets: ``python3 deploy/docker/make_env.py [--demo] > .env``.

Needs nothing but Python. A file it writes to is then its owner's alone. Keys
of people are shown once, on stderr; the file holds their digests. With
``--demo`` it also makes keys for the fake banks and a clock that runs faster
than the wall.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

EXAMPLE: Final = Path(__file__).parents[2] / ".env.example"
PEOPLE: Final = {"analyst": "analyst", "approver": "approver", "operator": "operator", "admin": "admin"}
"""Name and role of the first person of each kind."""

DEMO_BANKS: Final = ("jiangnan", "donghai", "beishan", "xihe")
DEMO_SPEED: Final = 200.0
"""World seconds per second of the wall: some 100 transfers/s with 10,000 customers."""


def api_keys(banks: Mapping[str, str], people: Mapping[str, str], reporter: str) -> str:
    """Return the JSON list of keys that the api reads: names, digests and what each may do."""
    entries: list[dict[str, object]] = [
        {"name": name, "sha256": _digest(key), "banks": [name]} for name, key in banks.items()
    ]
    entries += [{"name": name, "sha256": _digest(key), "roles": [PEOPLE[name]]} for name, key in people.items()]
    if reporter:
        entries.append({"name": "hotline", "sha256": _digest(reporter), "roles": ["analyst"]})
    return json.dumps(entries)


def make(demo: bool, now_us: int) -> tuple[dict[str, str], dict[str, str]]:
    """Return the variables and, apart, the keys of people."""
    people = {name: secrets.token_urlsafe(24) for name in PEOPLE}
    banks = {name: secrets.token_urlsafe(24) for name in DEMO_BANKS} if demo else {}
    reporter = secrets.token_urlsafe(24) if demo else ""
    values = {
        "POSTGRES_PASSWORD": secrets.token_hex(24),
        "GRAFANA_PASSWORD": secrets.token_urlsafe(24),
        "SLUICE_SNAPSHOT_KEY": secrets.token_urlsafe(32),
        "SLUICE_REVIEW_SAMPLE_SALT": secrets.token_urlsafe(32),
        "SLUICE_API_KEYS": f"'{api_keys(banks, people, reporter)}'",
    }
    if demo:
        values |= {
            "SLUICE_BANK_BANKS": ",".join(f"{name}={key}" for name, key in banks.items()),
            "SLUICE_WORLD_REPORT_KEY": reporter,
            "SLUICE_CLOCK": f"{now_us}:{now_us}:{DEMO_SPEED}",
        }
    return values, people


def filled(example: str, values: Mapping[str, str]) -> str:
    """Return the example with these variables set; every one of them must be in it."""
    left = dict(values)
    lines = []
    for line in example.splitlines():
        name = line.partition("=")[0]
        lines.append(f"{name}={left.pop(name)}" if name in left else line)
    if left:
        raise KeyError(f"not in .env.example: {sorted(left)}")
    return "\n".join(lines) + "\n"


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def main(demo: bool) -> None:
    """Write the file to stdout and people's keys to stderr."""
    values, people = make(demo, time.time_ns() // 1000)
    if stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode):
        os.fchmod(sys.stdout.fileno(), 0o600)
    sys.stdout.write(filled(EXAMPLE.read_text(), values))
    for name, key in people.items():
        sys.stderr.write(f"key of {name}: {key}\n")


if __name__ == "__main__":
    main(demo="--demo" in sys.argv[1:])
