"""``sluice verify``: audit chain, orders against banks, accepted against assessed, ledgers."""

from __future__ import annotations

import sys

import httpx
import msgspec

from cli.readings import Sources
from cli.refusals import reason_of

TIMEOUT_S = 120.0


def find_breaches(sources: Sources, *, settle_s: float = 0.0) -> list[str]:
    """Return what does not hold, in words; empty if everything reconciles.

    ``settle_s`` is how long ago (wall) a transfer must have been accepted for a
    missing assessment to be a breach. Raises `httpx.HTTPError` where a program does not answer.
    """
    verdict = sources.api(f"/v1/verify?settle_s={settle_s:g}", timeout_s=TIMEOUT_S)
    breaches = [f"{breach['kind']} {breach['subject']}: {breach['detail']}" for breach in verdict["breaches"]]
    breaches += [f"bank {bank} does not answer" for bank in verdict["silent_banks"]]
    if sources.bank_url and not sources.bank("/ledger/check")["balanced"]:
        breaches.append("the banks' ledgers do not balance")
    return breaches


def find_untold(sources: Sources) -> list[str]:
    """Return what the fake banks executed and Sluice does not have, in words; raises `httpx.HTTPError`."""
    stats = sources.bank("/stats")
    left = {"their banks have not posted yet": stats["pending"], "Sluice refused": stats["post_refused"]}
    return [f"{count:,} executed transfers {why}" for why, count in left.items() if count]


def run_verify(*, api_url: str, bank_url: str, key: str, settle_s: float, as_json: bool) -> int:
    """Check and print; return 0 if all holds, 1 on a breach, 2 if a program does not answer."""
    sources = Sources(api_url=api_url, bank_url=bank_url, world_url="", operator_key=key)
    try:
        breaches = find_breaches(sources, settle_s=settle_s)
    except httpx.HTTPError as error:
        sys.stderr.write(f"cannot verify: {reason_of(error)}\n")
        return 2
    finally:
        sources.close()
    if as_json:
        sys.stdout.write(msgspec.json.encode({"reconciled": not breaches, "breaches": breaches}).decode() + "\n")
    else:
        sys.stdout.write("\n".join(breaches or ["everything reconciles"]) + "\n")
    return 1 if breaches else 0
