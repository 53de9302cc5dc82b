"""The state machines as Mermaid diagrams, drawn from the table."""

from __future__ import annotations

from models.control.states import IN_FORCE, OrderEvent, OrderKind, OrderState
from models.control.table import INITIAL, TABLE, terminal_states

TITLES = {
    OrderKind.PROTECTIVE_STOP: "Protective stop (银行自主保护性止付, Art. 18)",
    OrderKind.STOP: "Stop payment (紧急止付)",
    OrderKind.FREEZE: "Freeze (冻结)",
}

MEANINGS = {
    OrderEvent.AMEND: "another transfer, another sum, or who reported it, is noted on the order",
    OrderEvent.SUBMIT: "the first person signs, with the document",
    OrderEvent.APPROVE: "a second person signs; only then the bank is asked",
    OrderEvent.REJECT: "the second person refuses",
    OrderEvent.CANCEL: "a draft is given up",
    OrderEvent.TAKE_REVIEW: "an analyst begins to look at a protective stop",
    OrderEvent.RELEASE: "a person ends a protective stop",
    OrderEvent.REQUEST_LIFT: "a person asks for the end of a police order",
    OrderEvent.APPROVE_LIFT: "a second person agrees to that",
    OrderEvent.REQUEST_EXTENSION: "a person asks for a longer term",
    OrderEvent.APPROVE_EXTENSION: "a second person agrees to that",
    OrderEvent.REJECT_REQUEST: "a second person refuses a lift or an extension",
    OrderEvent.LINK_PAPER: "the paper for what a bank did first has come (no call of the API leads there yet)",
    OrderEvent.RETURN_PART: "a part is returned to its owner (no call of the API leads there yet)",
    OrderEvent.DISPATCH: "the command leaves for the bank",
    OrderEvent.CONVERT: "a police order in force takes the place of a protective stop",
    OrderEvent.SUPERSEDE: "a freeze in force takes the place of a police stop",
    OrderEvent.RETRY: "what failed is tried again",
    OrderEvent.FEEDBACK_OVERDUE: "the bank has not answered in time",
    OrderEvent.PAPER_OVERDUE: "no paper came in time for what a bank did first",
    OrderEvent.REMIND: "people have not looked at it in time",
    OrderEvent.EXPIRE: "its term is over",
    OrderEvent.BANK_OK: "done, with the bank's stop point (0000)",
    OrderEvent.BANK_FULL: "done; the whole account is frozen",
    OrderEvent.BANK_DEFICIENT: "done, but there was less money than the order names (1200)",
    OrderEvent.BANK_QUEUED: "accepted behind another freeze; it begins when that one ends",
    OrderEvent.BANK_REFUSED: "the bank says no, knowing what it was asked",
    OrderEvent.BANK_FAULT: "the bank could not (1100, 1300 ...); asked again",
    OrderEvent.BANK_FAILED: "the bank could not, for the last time",
    OrderEvent.BANK_GONE: "the control had ended before",
    OrderEvent.BANK_UNCLEAR: "an answer that is neither success nor failure",
    OrderEvent.CONTROL_ABSENT: "asked which controls it applies, the bank does not name this one",
}


def mermaid(kind: OrderKind) -> str:
    """Return a ``stateDiagram-v2`` of one kind of order; states in force are filled."""
    edges: dict[tuple[str, str], list[str]] = {}
    for row in TABLE:
        if row.kind is kind:
            edges.setdefault((row.source, row.target or ("done" if row.as_before else "back")), []).append(row.event)
    lines = ["stateDiagram-v2", "    direction LR"]
    lines += [f"    [*] --> {state}" for state in INITIAL[kind]]
    for (source, target), events in edges.items():
        if source != target:
            lines.append(f"    {source} --> {target}: {', '.join(events)}")
    lines += [f"    {state} --> [*]" for state in sorted(terminal_states(kind))]
    in_force = sorted({row.source for row in TABLE if row.kind is kind and row.source in IN_FORCE})
    lines += ["    classDef inforce fill:#cde8d5", f"    class {','.join(in_force)} inforce"]
    return "\n".join(lines)


def table_of(kind: OrderKind) -> str:
    """Return the rows of one kind as a Markdown table."""
    lines = ["| from | event | to | conditions | command |", "|---|---|---|---|---|"]
    for row in TABLE:
        if row.kind is kind:
            conditions = "; ".join((guard.__doc__ or "").splitlines()[0].rstrip(".") for guard in row.guards)
            target = row.target or ("as from the state before" if row.as_before else "the state before")
            lines.append(f"| {row.source} | {row.event} | {target} | {conditions} | {row.purpose or ''} |")
    return "\n".join(lines)


def orders_page() -> str:
    """Return ``docs/orders.md``."""
    names = ", ".join(f"`{state}`" for state in sorted(IN_FORCE & set(OrderState)))
    parts = [
        "# Orders and their states",
        "Drawn from `models/control/table.py` by `models/control/diagram.py`; a test keeps this page up to date.",
        f"An order is *in force* only in {names}, and none of them is reached without the bank's stop point.",
        "`back` is the state before: the one an extension was asked in, or the one in which a release failed; "
        "`done` is where that state leads. Filled states are in force.",
    ]
    meanings = [f"| {event} | {meaning} |" for event, meaning in MEANINGS.items()]
    parts += ["## What can happen", "\n".join(["| event | means |", "|---|---|", *meanings])]
    for kind in OrderKind:
        parts += [f"## {TITLES[kind]}", f"```mermaid\n{mermaid(kind)}\n```", table_of(kind)]
    return "\n\n".join(parts) + "\n"
