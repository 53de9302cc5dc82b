"""The back-test's report: one self-contained HTML page with our own SVG, nothing fetched, no script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from models.money.types import iso_from_us, yuan_from_fen
from models.risk.evaluation import BUDGETS, MONEY_BUDGET, Figures
from simulators.replay import BacktestResult
from simulators.replay_record import Story, Tale
from simulators.svg import Axis, Line, bar_chart, line_chart

STYLE: Final = """
body{font:15px/1.5 system-ui,"Noto Sans CJK SC",sans-serif;max-width:1040px;margin:2em auto;padding:0 1em;color:#222}
h1,h2{line-height:1.2} table{border-collapse:collapse;margin:.6em 0} td,th{border:1px solid #ccc;padding:.25em .6em;
text-align:left;vertical-align:top;white-space:pre-line} td.n{text-align:right;font-variant-numeric:tabular-nums}
svg{width:460px;max-width:100%;font-size:11px} .row{display:flex;flex-wrap:wrap;gap:1em} .note{color:#555}
"""
NUMBER: Final = "n"


def report_html(results: Sequence[BacktestResult]) -> str:
    """Return the page for results that still hold their ``story``."""
    parts = "".join(_section(result) for result in results)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sluice back-test</title>'
        f"<style>{STYLE}</style></head><body><h1>Sluice back-test 水闸回测</h1>"
        '<p class="note">Progressive: each transfer was scored before anything was learned from it, and its label was '
        "learned only after the delay. Figures are of the last 40 % of the rows unless said otherwise. The share of "
        "fraud in test sets is far above life's: rankings carry over, precision does not.</p>"
        f"{parts}</body></html>"
    )


def _section(result: BacktestResult) -> str:
    head = f"<h2>{escape(result.set)}: {result.counts}, {escape(result.labels)}</h2>"
    body = "".join(f"<p>{escape(warning)}</p>" for warning in result.warnings) + _figures(result) + _costs(result)
    return head + body + (_story(result, result.story) if result.story is not None else "")


def _figures(result: BacktestResult) -> str:
    rows = [_figure_row("last 40 %", result.last40), _figure_row("all after the first 5 %", result.stream)]
    budgets = [f"recall at {name}" for name in BUDGETS]
    head = ("part", "AUC-PR", "95 % (cases resampled)", "ROC-AUC", *budgets, "cases at 0.5%", "money at 0.5%")
    return _table(head, rows)


def _figure_row(name: str, figures: Figures) -> tuple[str, ...]:
    low, high = figures.auc_pr_ci95 or (None, None)
    return (
        name,
        _number(figures.auc_pr),
        f"{_number(low)} - {_number(high)}",
        _number(figures.roc_auc),
        *(_percent(figures.recall.get(budget)) for budget in BUDGETS),
        _percent(figures.case_recall.get("0.5%")),
        _percent(figures.money_recall.get("0.5%")),
    )


def _costs(result: BacktestResult) -> str:
    parts = ", ".join(f"{name} {us:.0f}" for name, us in result.us_per_transfer.items())
    blend = ", ".join(f"{name} {weight:.2f}" for name, weight in result.health.blend.items())
    alarms = ", ".join(name for name, on in result.health.alarms.items() if on) or "none"
    learned = ", ".join(f"{kind} {rows:,}" for kind, rows in result.health.learned.items())
    return (
        f"<p>CPU per transfer, us: {escape(parts)}; learning {result.learning_us:.0f}. {result.seconds:.0f} s, "
        f"{result.memory_mb:.0f} MB. Labels learned: {learned}. Refits of the trees {result.health.refits}, fall-backs "
        f"{result.health.fallbacks}. Weights of the blend at the end: {escape(blend)}. Drift alarms at the end: "
        f"{escape(alarms)}. Brier score {_exact(result.calibration.brier)}, expected calibration error "
        f"{_exact(result.calibration.ece)}.</p>"
    )


def _story(result: BacktestResult, story: Story) -> str:
    charts = _over_time(story)
    if result.fraud:
        charts = [_precision_recall(story), _budgets(story), _typologies(result), _calibration(story), *charts]
    return f'<div class="row">{"".join(charts)}</div>' + _reasons(story) + _misses(story.misses)


def _precision_recall(story: Story) -> str:
    return line_chart("Precision and recall", Axis("recall"), Axis("precision"), [Line("", story.precision_recall)])


def _budgets(story: Story) -> str:
    most = story.recall_by_budget[-1][0] if story.recall_by_budget else 0.05
    return line_chart(
        "Recall by budget", Axis("share alerted", high=most), Axis("recall"), [Line("", story.recall_by_budget)]
    )


def _typologies(result: BacktestResult) -> str:
    kinds = result.by_typology
    names = [f"{name} ({part.rows})" for name, part in kinds.items()]
    values = [part.recall.get("0.5%") or 0.0 for part in kinds.values()]
    return bar_chart("Recall at 0.5 % by typology", names, values, Axis("recall at 0.5 % by typology (rows)"))


def _calibration(story: Story) -> str:
    points = [(risk, rate) for risk, rate, _ in story.bins]
    lines = [Line("measured", points), Line("perfect", [(0.0, 0.0), (1.0, 1.0)], dashed=True)]
    return line_chart("Calibration", Axis("mean risk"), Axis("share of fraud"), lines)


def _over_time(story: Story) -> list[str]:
    slices = story.slices
    at = Axis("slice of the stream", high=max(len(slices) - 1, 1), percent=False)
    recall = [(float(place), part.recall) for place, part in enumerate(slices)]
    shares = [(float(place), part.fraud / max(part.rows, 1)) for place, part in enumerate(slices)]
    means = [(float(place), part.mean_risk) for place, part in enumerate(slices)]
    top = max([value for _, value in shares + means], default=0.01) or 0.01
    return [
        line_chart("Recall over time", at, Axis("recall at 0.5 %"), [Line("", recall)]),
        line_chart(
            "Fraud and risk over time",
            at,
            Axis("share", high=top),
            [Line("share of fraud", shares), Line("mean risk", means)],
        ),
    ]


def _reasons(story: Story) -> str:
    rows = [(code, text, f"{seen:,}", f"{true:,}") for code, text, seen, true in story.reasons]
    head = ("code", "for example", "alerts with it", "fraud among them")
    return "<h3>Most used reasons among the highest risks</h3>" + _table(head, rows)


def _misses(misses: Iterable[Tale]) -> str:
    rows = [_tale(tale) for tale in misses]
    head = ("transfer", "case, typology", "risk, rank", "from, to", "yuan", "rules that fired", "what made the risk")
    return "<h3>Worst misses, one for each case</h3>" + _table(head, rows)


def _tale(tale: Tale) -> tuple[str, ...]:
    scores = ", ".join(f"{name} {score:.3f}" for name, score in tale.scores.items())
    found = f"{tale.case_found} of {tale.case_rows} rows of it found at {MONEY_BUDGET}" if tale.case_rows else ""
    return (
        f"{tale.transfer_id} at {iso_from_us(tale.occurred_us)}",
        _lines(f"{tale.case} {tale.typology}".strip(), found),
        f"{tale.risk:.4f}, {tale.rank:,}",
        f"{tale.payer} to {tale.payee}",
        yuan_from_fen(tale.amount_fen),
        _lines(*tale.reasons) or "none",
        _lines(*tale.contributions, scores),
    )


def _lines(*texts: str) -> str:
    return "\n".join(text for text in texts if text)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(_cell(text) for text in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str) -> str:
    kind = f' class="{NUMBER}"' if text[:1].isdigit() and " to " not in text else ""
    return f"<td{kind}>{escape(text)}</td>"


def _exact(value: float | None) -> str:
    return "-" if value is None else str(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
