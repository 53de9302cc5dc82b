"""Write the provisioned dashboards: ``python deploy/grafana/build.py``; ``--check`` only compares."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

import critical_path
import detection
import money
import orders_banks
from board import dashboard_json

FOLDER: Final = Path(__file__).parent / "dashboards"
BOARDS: Final = (critical_path.BOARD, money.BOARD, orders_banks.BOARD, detection.BOARD)


def main(check: bool) -> int:
    """Write every dashboard, or return 1 and name those whose file says something else."""
    stale = []
    for board in BOARDS:
        path = FOLDER / f"{board.uid}.json"
        text = json.dumps(dashboard_json(board), ensure_ascii=False, indent=1) + "\n"
        if not check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(path.name)
    if stale:
        sys.stderr.write(f"not as built: {', '.join(stale)}; run python deploy/grafana/build.py\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
