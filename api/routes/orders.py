"""Analysts and approvers work on orders; each action is one event of the state machine."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.auth import Principal
from api.errors import NotFound
from api.replies import OrderPage, answers, reply
from api.routes.common import Analyst, Approver, Staff, parse_cursor, runtime_of, transact
from api.schemas import ApproveBody, DocumentBody, DraftBody, OrderPath, ReasonBody, SubmitBody
from api.service.desk import Desk
from api.service.drafting import DraftWish, draft
from api.store import audit, orders
from models.control.records import LegalDocument, Order
from models.control.states import OrderEvent, OrderKind, OrderState

router = APIRouter(prefix="/v1/orders", tags=["orders"])

ONE = answers(Order, "The order after the action.")


@router.get("", responses=answers(OrderPage, "Orders, the newest first."))
async def list_orders(  # noqa: PLR0917 - FastAPI passes query parameters by name
    request: Request,
    _caller: Staff,
    kind: OrderKind | None = None,
    state: OrderState | None = None,
    bank: Annotated[str, Query(max_length=12, pattern=r"^[0-9A-Za-z_\-]*$")] = "",
    account: Annotated[str, Query(max_length=36, pattern=r"^[0-9A-Za-z_.\-]*$")] = "",
    after: Annotated[str, Query(max_length=64, description="`next` of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=orders.MAX_PAGE)] = 100,
) -> Response:
    """List orders by kind, state, bank and account."""
    wanted = orders.Filter(
        kind=kind or "", state=state or "", bank=bank, account=account, after=parse_cursor(after), limit=limit
    )
    found = await runtime_of(request).database.read(lambda connection: orders.search(connection, wanted))
    last = found[-1] if len(found) == limit else None
    return reply(OrderPage(orders=found, next=f"{last.created_us}:{last.order_id}" if last else ""))


@router.get("/{order_id}", responses=answers(Order, "The order."))
async def get_order(request: Request, order_id: OrderPath, _caller: Staff) -> Response:
    """Return one order."""
    order = await runtime_of(request).database.read(lambda connection: orders.get(connection, order_id))
    if order is None:
        raise NotFound("unknown_order", f"there is no order {order_id}")
    return reply(order)


@router.get("/{order_id}/history")
async def get_history(request: Request, order_id: OrderPath, _caller: Staff) -> Response:
    """Return the audit entries of one order, oldest first."""
    entries = await runtime_of(request).database.read(lambda connection: audit.read(connection, subject=order_id))
    return reply({"entries": entries})


@router.post("", status_code=201, responses=answers(Order, "The draft.", 201))
async def draft_order(request: Request, body: DraftBody, caller: Analyst) -> Response:
    """Draft a police stop or a freeze for an assessed transfer. It leaves only after two persons have signed."""
    return reply(await transact(request, lambda desk: draft(desk, DraftWish(**body.model_dump()), caller.actor)), 201)


async def _act(request: Request, order_id: str, event: OrderEvent, caller: Principal, **details: Any) -> Response:
    return reply(await transact(request, lambda desk: desk.change(order_id, event, caller.actor, **details)))


def _document(body: DocumentBody | None) -> LegalDocument | None:
    return LegalDocument(number=body.number, kind=body.kind, sha256=body.sha256) if body else None


@router.post("/{order_id}/submit", responses=ONE)
async def submit(request: Request, order_id: OrderPath, body: SubmitBody, caller: Analyst) -> Response:
    """First signature: the draft is complete and rests on a legal document."""
    return await _act(
        request, order_id, OrderEvent.SUBMIT, caller, document=_document(body.document), reason=body.reason
    )


@router.post("/{order_id}/approve", responses=ONE)
async def approve(request: Request, order_id: OrderPath, body: ApproveBody, caller: Approver) -> Response:
    """Sign. On a draft this is the first of two signatures, on a submitted order the second, by another person."""

    def sign(desk: Desk) -> Order:
        order = orders.get(desk.connection, order_id)
        event = OrderEvent.SUBMIT if order and order.state is OrderState.DRAFT else OrderEvent.APPROVE
        document = _document(body.document)
        return desk.change(order_id, event, caller.actor, document=document, level=body.level, reason=body.reason)

    return reply(await transact(request, sign))


@router.post("/{order_id}/reject", responses=ONE)
async def reject(request: Request, order_id: OrderPath, body: ReasonBody, caller: Approver) -> Response:
    """Refuse a submitted order."""
    return await _act(request, order_id, OrderEvent.REJECT, caller, reason=body.reason)


@router.post("/{order_id}/cancel", responses=ONE)
async def cancel(request: Request, order_id: OrderPath, body: ReasonBody, caller: Analyst) -> Response:
    """Withdraw an order that has not left."""
    return await _act(request, order_id, OrderEvent.CANCEL, caller, reason=body.reason)


@router.post("/{order_id}/review", responses=ONE)
async def review(request: Request, order_id: OrderPath, caller: Analyst) -> Response:
    """Take a protective stop into review."""
    return await _act(request, order_id, OrderEvent.TAKE_REVIEW, caller)


@router.post("/{order_id}/release", responses=ONE)
async def release(request: Request, order_id: OrderPath, body: ReasonBody, caller: Analyst) -> Response:
    """Release a protective stop: the customer was verified, or an appeal was granted."""
    return await _act(request, order_id, OrderEvent.RELEASE, caller, reason=body.reason)


@router.post("/{order_id}/lift", responses=ONE)
async def request_lift(request: Request, order_id: OrderPath, body: ReasonBody, caller: Analyst) -> Response:
    """Ask for the lift of a stop or freeze; another person must approve it."""
    return await _act(request, order_id, OrderEvent.REQUEST_LIFT, caller, reason=body.reason)


@router.post("/{order_id}/lift/approve", responses=ONE)
async def approve_lift(request: Request, order_id: OrderPath, caller: Approver) -> Response:
    """Approve the lift that was asked for."""
    return await _act(request, order_id, OrderEvent.APPROVE_LIFT, caller)


@router.post("/{order_id}/extend", responses=ONE)
async def request_extension(request: Request, order_id: OrderPath, body: ReasonBody, caller: Analyst) -> Response:
    """Ask for an extension before expiry; another person must approve it."""
    return await _act(request, order_id, OrderEvent.REQUEST_EXTENSION, caller, reason=body.reason)


@router.post("/{order_id}/extend/approve", responses=ONE)
async def approve_extension(request: Request, order_id: OrderPath, body: ApproveBody, caller: Approver) -> Response:
    """Approve the extension that was asked for, on the document it rests on if that is a new one."""
    details = {"document": _document(body.document), "level": body.level, "reason": body.reason}
    return await _act(request, order_id, OrderEvent.APPROVE_EXTENSION, caller, **details)


@router.post("/{order_id}/request/reject", responses=ONE)
async def reject_request(request: Request, order_id: OrderPath, body: ReasonBody, caller: Approver) -> Response:
    """Refuse the lift or extension that was asked for."""
    return await _act(request, order_id, OrderEvent.REJECT_REQUEST, caller, reason=body.reason)
