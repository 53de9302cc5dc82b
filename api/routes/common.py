"""What all routes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from api.auth import Principal, Role, require_role
from api.errors import ApiError, BadQuery, Conflict, Forbidden, NotFound, Unprocessable
from api.runtime import Runtime
from api.service.desk import Desk
from api.service.reports import NotAssessed
from api.store.orders import StaleOrder
from models.control.records import GuardFailed, OrderError, WrongState
from models.money.types import iso_from_us

T = TypeVar("T")

STAFF = tuple(Role)
FORBIDDEN_GUARDS = frozenset({"same_person", "person_required", "not_maker"})
UNFIT_GUARDS = frozenset({"above_transfer"})


def runtime_of(request: Request) -> Runtime:
    """Return the running program behind a request."""
    runtime: Runtime = request.app.state.runtime
    return runtime


def world_time(runtime: Runtime) -> dict[str, int | str]:
    """Return the time by which transfers are judged, as ISO-8601 and in microseconds."""
    now_us = runtime.clock.now_us()
    return {"world_time": iso_from_us(now_us), "world_time_us": now_us}


def principal_of(request: Request) -> Principal:
    """Return who is calling; raise `Unauthenticated`."""
    return runtime_of(request).gatekeeper.recognise(request)


def staff(*roles: Role) -> Callable[[Request], Principal]:
    """Return a dependency that lets only persons with one of ``roles`` pass."""

    def check(request: Request) -> Principal:
        return require_role(principal_of(request), *roles)

    return check


Caller = Annotated[Principal, Depends(principal_of)]
Staff = Annotated[Principal, Depends(staff(*STAFF))]
Analyst = Annotated[Principal, Depends(staff(Role.ANALYST))]
Approver = Annotated[Principal, Depends(staff(Role.APPROVER))]
Operator = Annotated[Principal, Depends(staff(Role.OPERATOR, Role.ADMIN))]


def as_api_error(error: OrderError) -> ApiError:
    """Return what the caller is told when an order does not allow something."""
    if isinstance(error, WrongState):
        return Conflict(error.code, str(error))
    if isinstance(error, GuardFailed) and error.code in FORBIDDEN_GUARDS:
        return Forbidden(error.code, str(error))
    if error.code.endswith("_required") or error.code in UNFIT_GUARDS:
        return Unprocessable(error.code, str(error))
    return Conflict(error.code, str(error))


def parse_cursor(after: str) -> tuple[int, str] | None:
    """Return time and id from the ``next`` of a page, ``None`` for the first page; raise `BadQuery`."""
    if not after:
        return None
    time_us, colon, last_id = after.partition(":")
    if not colon or not time_us.isdecimal() or len(time_us) > 18 or not last_id.isprintable():
        raise BadQuery("bad_cursor", "`after` must be the `next` of a page")
    return int(time_us), last_id


async def transact(request: Request, work: Callable[[Desk], T]) -> T:
    """Run a use case as one transaction; raise `ApiError` for what the caller can be told."""
    try:
        return await runtime_of(request).transactor.run(work)
    except OrderError as error:
        raise as_api_error(error) from error
    except StaleOrder as error:
        raise Conflict("changed_meanwhile", "somebody else changed the order meanwhile; look again") from error
    except NotAssessed as error:
        detail = f"transfer {error.transfer_id} has no assessment (yet)"
        raise NotFound("not_assessed", detail) from error
    except KeyError as error:
        raise NotFound("unknown_order", f"there is no order {error.args[0]}") from error
