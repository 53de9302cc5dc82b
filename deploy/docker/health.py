"""Health check of a container: ``health.py URL [READY_FILE]`` succeeds if the process answers and says it is ready.

It uses nothing but the standard library: it must work when ours does not.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from pathlib import Path

TIMEOUT_S = 3.0


def is_healthy(url: str, ready_file: str = "") -> bool:
    """Return whether ``url`` answers 200 and ``ready_file``, if named, is there and not empty."""
    if ready_file and not (Path(ready_file).is_file() and Path(ready_file).stat().st_size):
        return False
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - an address of this container
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(not is_healthy(*sys.argv[1:]))
