"""The keys of one run of ``sluice up`` as a file that a shell reads, so that a person can use the demo's api."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from cli.plan import Keys

FILE_NAME: Final = "keys.env"
HEAD: Final = """\
# Keys of this run, good for its api on this machine and worth nothing once it has ended. In a shell: source {path}
# Sluice itself knows only their digests. SLUICE_OPERATOR_KEY reads everything: sluice verify and sluice explain use it.
"""


def write_keys(folder: Path, keys: Keys, *, api_url: str, bank_url: str) -> Path:
    """Write the file, readable by its owner alone; return its path."""
    path = folder / FILE_NAME
    lines = [f"export {name}={value}\n" for name, value in variables(keys, api_url=api_url, bank_url=bank_url).items()]
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(HEAD.format(path=path) + "".join(lines))
    return path


def variables(keys: Keys, *, api_url: str, bank_url: str) -> dict[str, str]:
    """Return what the file sets: where api and banks are, and a key for each role that there is."""
    bank, bank_key = next(iter(keys.banks.items()))
    return {
        "SLUICE_API_URL": api_url,
        "SLUICE_BANK_URL": bank_url,
        "SLUICE_OPERATOR_KEY": keys.operator,
        "SLUICE_BANK": bank,
        "SLUICE_BANK_KEY": bank_key,
        **{f"SLUICE_{name.upper()}_KEY": key for name, key in keys.people.items()},
        "SLUICE_SNAPSHOT_KEY": keys.snapshot,
    }


def first_call(path: Path) -> str:
    """Return a line for a shell that asks the api for its counts."""
    return f'source {path} && curl -sSw "\\n" -H "X-Api-Key: $SLUICE_OPERATOR_KEY" "$SLUICE_API_URL/v1/stats"'
