"""What waits for an analyst's look although nothing speaks against it: transfers drawn by lot."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Row

from api.replies import ReviewPage, ReviewTask, answers, reply
from api.routes.common import Staff, parse_cursor, runtime_of
from api.store import samples
from models.wire import VerdictSource, decode_assessment

router = APIRouter(prefix="/v1/reviews", tags=["verdicts"])

LOW: Final = "low"
"""Priority of what was drawn by lot: everything that is in doubt comes first."""


@router.get("", responses=answers(ReviewPage, "Transfers drawn by lot that nobody has judged, the latest first."))
async def list_reviews(
    request: Request,
    _caller: Staff,
    after: Annotated[str, Query(max_length=100, description="`next` of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=samples.MAX_PAGE)] = 100,
) -> Response:
    """List transfers drawn by lot. Answer each by a verdict with the source `sample`."""
    place = parse_cursor(after)
    found = await runtime_of(request).database.read(lambda c: samples.waiting(c, after=place, limit=limit))
    last = found[-1] if len(found) == limit else None
    following = f"{last.drawn_wall_us}:{last.transfer_id}" if last else ""
    return reply(ReviewPage(reviews=[_task(row) for row in found], next=following))


def _task(row: Row[Any]) -> ReviewTask:
    transfer = decode_assessment(row.body).transfer
    return ReviewTask(transfer=transfer, source=VerdictSource.SAMPLE, priority=LOW, drawn_us=row.drawn_wall_us)
