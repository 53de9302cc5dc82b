"""The state machines as Mermaid diagrams, drawn from the table."""

from __future__ import annotations

from models.control.states import IN_FORCE, OrderKind, OrderState
from models.control.table import INITIAL, TABLE, terminal_states

TITLES = {
    OrderKind.PROTECTIVE_STOP: "Protective stop (银行自主保护性止付, Art. 18)",
    OrderKind.STOP: "Stop payment (紧急止付)",
    OrderKind.FREEZE: "Freeze (冻结)",
}


def mermaid(kind: OrderKind) -> str:
    """Return a ``stateDiagram-v2`` of one kind of order; states in force are filled."""
    edges: dict[tuple[str, str], list[str]] = {}
    for row in TABLE:
        if row.kind is kind:
            edges.setdefault((row.source, row.target or "back"), []).append(row.event)
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
            target = row.target or "the state before"
            lines.append(f"| {row.source} | {row.event} | {target} | {conditions} | {row.purpose or ''} |")
    return "\n".join(lines)


def orders_page() -> str:
    """Return ``docs/orders.md``."""
    names = ", ".join(f"`{state}`" for state in sorted(IN_FORCE & set(OrderState)))
    parts = [
        "# Orders and their states",
        "Drawn from `models/control/table.py` by `models/control/diagram.py`; a test keeps this page up to date.",
        f"An order is *in force* only in {names}, and none of them is reached without the bank's stop point.",
        "`back` is the state an extension was asked in. Filled states are in force.",
    ]
    for kind in OrderKind:
        parts += [f"## {TITLES[kind]}", f"```mermaid\n{mermaid(kind)}\n```", table_of(kind)]
    return "\n\n".join(parts) + "\n"
