"""How fast the world's clock must run so that its people make a wanted number of transfers a second."""

from __future__ import annotations

from typing import Final

from models.money.types import us_from_iso
from simulators.habits import TRANSFERS_PER_CUSTOMER_DAY
from simulators.plan import DAY_US, HOUR_US, SECOND_US, SHANGHAI_US
from simulators.settings import WorldSettings
from simulators.town import NIGHT_PART, SLOT_US, slot_at
from telemetry.clock import ScaledClock, wall_us

ROWS_PER_CASE_LIVE: Final = 5.0
"""Mean transfers of a crime within the first hours of its course, measured; later hops fall outside a short run."""

MAX_SPEED: Final = 100_000.0
BISECTIONS: Final = 60
MAX_PACE: Final = 3.0
"""A larger correction of people's habits would make them other people."""


def share_of_day(start_us: int, span_us: float) -> float:
    """Return the share of a day's activity within a span; whole days count 1 each.

    >>> round(share_of_day(0, 86_400_000_000), 6)
    1.0
    """
    days, rest = divmod(span_us, DAY_US)
    total, at_us, end_us = float(days), float(start_us), start_us + rest
    while at_us < end_us:
        slot_start = int(at_us) // SLOT_US * SLOT_US
        step = min(slot_start + SLOT_US, end_us) - at_us
        slot = slot_at(slot_start)
        total += ((1 - NIGHT_PART) * slot.day_share + NIGHT_PART * slot.night_share) * step / SLOT_US
        at_us += step
    return total


def transfers_per_day(settings: WorldSettings) -> float:
    """Return the transfers of the whole world in a mean day, those of crimes included."""
    honest = settings.customers * TRANSFERS_PER_CUSTOMER_DAY
    return honest + settings.cases_per_10k_day * settings.customers / 10_000 * ROWS_PER_CASE_LIVE


def derive_clock(settings: WorldSettings, started_us: int | None = None, lead_s: float = 15.0) -> ScaledClock:
    """Return the clock on which the live phase makes ``rate_tps`` transfers a second on the average.

    The speed follows from the number of customers, their habits and the hours of the
    day the live phase covers; without ``seconds`` a whole day is taken. World time is
    ``settings.start`` once ``lead_s`` seconds have passed since wall time ``started_us``
    (now, if not given): time for the programs to start and for the history to be posted.
    """
    per_day, start_us = transfers_per_day(settings), us_from_iso(settings.start)
    seconds = settings.seconds or per_day / settings.rate_tps
    low, high = 0.0, MAX_SPEED
    for _ in range(BISECTIONS):
        speed = (low + high) / 2
        made = per_day * share_of_day(start_us, speed * seconds * SECOND_US)
        low, high = (speed, high) if made < settings.rate_tps * seconds else (low, speed)
    speed = round((low + high) / 2, 6)
    return ScaledClock(
        wall_origin_us=wall_us() if started_us is None else started_us,
        world_origin_us=start_us - int(lead_s * speed * SECOND_US),
        speed=speed,
    )


def pace(settings: WorldSettings, live_us: int, speed: float) -> float:
    """Return the factor on people's habits that meets ``rate_tps`` from the time the live phase really begins.

    The programs' start takes longer or shorter than foreseen, and the hour of the day matters. A clock that
    was not made for this rate at all (the wall's, say) is left alone: people then live at their own pace.
    """
    span_us = settings.seconds * speed * SECOND_US if settings.seconds else float(DAY_US)
    wanted = settings.rate_tps * span_us / speed / SECOND_US
    factor = wanted / (transfers_per_day(settings) * share_of_day(live_us, span_us))
    return factor if 1 / MAX_PACE <= factor <= MAX_PACE else 1.0


def local_time(at_us: int) -> str:
    """Return the hour and minute in Shanghai.

    >>> local_time(0)
    '08:00'
    """
    minute = (at_us + SHANGHAI_US) % DAY_US // (HOUR_US // 60)
    return f"{minute // 60:02d}:{minute % 60:02d}"
