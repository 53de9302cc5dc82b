"""A worker of stock Faust that counts, and stands still over record `FREEZES_AT` until it is woken: ADDRESS FOLDER.

It is through with that record when it has heard that the group has given it up.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.enginekit import POLL_S, SHORT_SESSION, count, counts_table, stock_app, working

FREEZES_AT = 2


async def main(address: str, folder: str) -> None:
    """Count for ever."""
    app = stock_app(address, Path(folder), **SHORT_SESSION)
    table = counts_table(app)

    async def agent(stream: Any) -> None:
        async for event in stream.events():
            if event.message.offset == FREEZES_AT:
                os.kill(os.getpid(), signal.SIGSTOP)
                while not app.rebalancing:  # noqa: ASYNC110 - Faust has no event of it
                    await asyncio.sleep(POLL_S)
            count(table, event.message.offset)

    async with working(app, agent):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
