"""Print a ``.env`` with fresh secrets: ``python3 deploy/docker/make_env.py [--bank CODE=URL]... [--demo] > .env``.

Needs nothing but Python. A file it writes to is then its owner's alone. Keys
of people and banks are shown once, on stderr; the file holds their digests.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

EXAMPLE: Final = Path(__file__).parents[2] / ".env.example"
PEOPLE: Final = {"analyst": "analyst", "approver": "approver", "operator": "operator", "admin": "admin"}
"""Name and role of the first person of each kind."""

DEMO_BANKS: Final = ("jiangnan", "donghai", "beishan", "xihe")
DEMO_BANK_URL: Final = "http://bank:8200"
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


def make(addresses: Mapping[str, str], demo: bool, now_us: int) -> tuple[dict[str, str], dict[str, str]]:
    """Return the variables and, apart, the keys of people and of the banks with these addresses."""
    people = {name: secrets.token_urlsafe(24) for name in PEOPLE}
    real = {name: secrets.token_urlsafe(24) for name in addresses}
    fake = {name: secrets.token_urlsafe(24) for name in DEMO_BANKS} if demo else {}
    reporter = secrets.token_urlsafe(24) if demo else ""
    values = {
        "POSTGRES_PASSWORD": secrets.token_hex(24),
        "GRAFANA_PASSWORD": secrets.token_urlsafe(24),
        "SLUICE_SNAPSHOT_KEY": secrets.token_urlsafe(32),
        "SLUICE_REVIEW_SAMPLE_SALT": secrets.token_urlsafe(32),
        "SLUICE_API_KEYS": f"'{api_keys(real | fake, people, reporter)}'",
        "SLUICE_BANKS": f"'{json.dumps(dict(addresses))}'",
    }
    if demo:
        values |= {
            "SLUICE_BANK_BANKS": ",".join(f"{name}={key}" for name, key in fake.items()),
            "SLUICE_BANK_URL": DEMO_BANK_URL,
            "SLUICE_WORLD_REPORT_KEY": reporter,
            "SLUICE_CLOCK": f"{now_us}:{now_us}:{DEMO_SPEED}",
        }
    return values, people | {f"bank {name}": key for name, key in real.items()}


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


def bank(text: str) -> tuple[str, str]:
    """Return code and address of ``CODE=URL``; raise `argparse.ArgumentTypeError` for another text."""
    code, _, url = text.partition("=")
    if not re.fullmatch(r"[0-9A-Za-z_-]{1,12}", code):
        raise argparse.ArgumentTypeError(f"{code!r} is no bank code: 1 to 12 digits, Latin letters, `_` and `-`")
    if not re.match(r"https?://[^\s'\"]+$", url):
        raise argparse.ArgumentTypeError(f"{url!r} is no address: give it as in icbc=https://gateway.example")
    return code, url


def main(arguments: Sequence[str]) -> None:
    """Write the file to stdout and the keys to stderr."""
    parser = argparse.ArgumentParser(description="Print a .env with fresh secrets, made from .env.example.")
    parser.add_argument(
        "--bank", action="append", default=[], type=bank, metavar="CODE=URL", help="a bank and its address; repeatable"
    )
    parser.add_argument("--demo", action="store_true", help="also keys for the fake banks, and a clock that runs fast")
    asked = parser.parse_args(arguments)
    values, shown = make(dict(asked.bank), asked.demo, time.time_ns() // 1000)
    if stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode):
        os.fchmod(sys.stdout.fileno(), 0o600)
    sys.stdout.write(filled(EXAMPLE.read_text(), values))
    for name, key in shown.items():
        sys.stderr.write(f"key of {name}: {key}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
