"""Money: what was at risk, what is held, what went wrong, and the simulated world's own account."""

from __future__ import annotations

from typing import Final

from board import RB, Board, Panel, Query, R, Row, Text

CONFIRM = "sluice_stop_confirm_latency_seconds"


STOPS = 'kind="protective_stop", '
"""Matcher of one kind of order: the freeze that follows a stop is about the same money, and would count it twice."""

GONE = 'state!~"converted|superseded", '
"""Matcher of controls that ended without another one taking over."""


def _yuan(metric: str, span: str, *, which: str = STOPS, by: str = "") -> str:
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (increase({metric}{{{which}{RB}}}[{span}])) / 100"


def _in_time(span: str) -> str:
    """Return the share of stops that banks confirmed within the objective, for the chosen banks alone."""
    within = f'sum(rate({CONFIRM}_bucket{{le="0.5", {RB}}}[{span}]))'
    return f"{within} / sum(rate({CONFIRM}_count{{{RB}}}[{span}]))"


HELD = Row(
    Text("止住的钱（所选时段）", "Money held (chosen time)"),
    (
        Panel(
            kind="stat",
            title=Text("涉险金额", "At risk"),
            about=Text(
                "被下达自动止付的转账金额之和；随后的冻结针对同一笔钱，不重复计算。",
                "Amounts of transfers for which a protective stop was ordered. The freeze after it is the same money.",
            ),
            queries=(Query(_yuan("sluice_money_at_risk_fen_total", "$__range"), now=True),),
            unit="currencyCNY",
            width=4,
            height=4,
        ),
        Panel(
            kind="stat",
            title=Text("已止住", "Held"),
            about=Text(
                "银行反馈确认由自动止付实际管控的金额，不是我们申请的金额。",
                "Money that banks confirmed to be covered by protective stops; never what we asked for.",
            ),
            queries=(Query(_yuan("sluice_money_held_fen_total", "$__range"), now=True),),
            unit="currencyCNY",
            width=4,
            height=4,
        ),
        Panel(
            kind="stat",
            title=Text("止住比例", "Held share"),
            about=Text(
                "已止住占涉险的比例。偏低说明止付到达时资金已转走。",
                "Held over at risk. Low means that the money had moved on when the stop arrived.",
            ),
            queries=(
                Query(
                    _yuan("sluice_money_held_fen_total", "$__range")
                    + " / ("
                    + _yuan("sluice_money_at_risk_fen_total", "$__range")
                    + ")",
                    now=True,
                ),
            ),
            unit="percentunit",
            width=4,
            height=4,
        ),
        Panel(
            kind="stat",
            title=Text("已解除", "Let go"),
            about=Text(
                "管控解除或到期后不再覆盖的金额；转为冻结的不算。",
                "Money that no control covers any more: released, lifted or expired, not converted to a freeze.",
            ),
            queries=(Query(_yuan("sluice_money_released_fen_total", "$__range", which=GONE), now=True),),
            unit="currencyCNY",
            width=4,
            height=4,
        ),
        Panel(
            kind="stat",
            title=Text("已返还被害人", "Returned to victims"),
            about=Text(
                "从冻结资金中返还被害人的金额。资金返还尚未建成，恒为零。",
                "Money returned to victims out of frozen sums. Return of funds is not built yet: it stays at nothing.",
            ),
            queries=(Query(_yuan("sluice_money_returned_fen_total", "$__range"), now=True),),
            unit="currencyCNY",
            width=4,
            height=4,
        ),
        Panel(
            kind="stat",
            title=Text("误止付", "False stops"),
            about=Text(
                "经人工或核实认定为正常转账的自动止付次数。",
                "Protective stops whose transfer a person then found honest.",
            ),
            queries=(Query(f"sum(increase(sluice_false_stops_total{{{RB}}}[$__range]))", now=True),),
            width=4,
            height=4,
            steps=((1, "orange"),),
        ),
        Panel(
            title=Text("每小时涉险与止住", "At risk and held, per hour"),
            about=Text(
                "两线之差即未能止住的金额。",
                "The gap between the lines is what was not held in time.",
            ),
            queries=(
                Query(_yuan("sluice_money_at_risk_fen_total", "1h"), "涉险 at risk"),
                Query(_yuan("sluice_money_held_fen_total", "1h"), "止住 held"),
                Query(_yuan("sluice_money_released_fen_total", "1h", which=GONE), "解除 let go"),
            ),
            unit="currencyCNY",
        ),
        Panel(
            title=Text("每小时止住，按银行", "Held per hour, by bank"),
            about=Text(
                "各银行确认自动止付的金额。",
                "Money that each bank confirmed to be held by protective stops.",
            ),
            queries=(Query(_yuan("sluice_money_held_fen_total", "1h", by="bank"), "{{bank}}"),),
            unit="currencyCNY",
            stacked=True,
            link="sluice-orders-banks",
        ),
        Panel(
            title=Text("每小时止住，按措施", "Held per hour, by measure"),
            about=Text(
                "自动止付、公安止付与冻结各管控的金额。转为冻结的钱在两条线上各出现一次，不可相加。",
                "Money under protective stops, police stops and freezes. What is converted shows in both: do not add.",
            ),
            queries=(Query(_yuan("sluice_money_held_fen_total", "1h", which="", by="kind"), "{{kind}}"),),
            unit="currencyCNY",
        ),
    ),
)

TIME_TO_STOP = Row(
    Text("止付用时", "Time to stop"),
    (
        Panel(
            kind="heatmap",
            title=Text("研判到银行确认", "Assessment to the bank's confirmation"),
            about=Text(
                "止付用时分布。被盗资金一成在十二秒内再次转出，每一秒都算数。",
                "Distribution of the time to stop. A tenth of stolen money moves on within 12 s: every second counts.",
            ),
            queries=(Query(f"sum by (le) (increase({CONFIRM}_bucket{{{RB}}}[$__rate_interval]))", "{{le}}"),),
            unit="s",
            width=12,
        ),
        Panel(
            title=Text("各银行 p99", "p99 by bank"),
            about=Text(
                "各银行五分钟内确认止付的 p99。目标五百毫秒以内。",
                "p99 of each bank's confirmations over five minutes. The objective is 500 ms.",
            ),
            queries=(
                Query(
                    f"histogram_quantile(0.99, sum by (le, bank) (rate({CONFIRM}_bucket{{{RB}}}[5m])))",
                    "{{bank}}",
                ),
            ),
            unit="s",
            width=12,
            steps=((0.5, "red"),),
            link="sluice-orders-banks",
        ),
        Panel(
            kind="bargauge",
            title=Text("各银行中位用时（所选时段）", "Median time to stop by bank (chosen time)"),
            about=Text(
                "所选时段内各银行确认止付的中位用时。",
                "Median time to stop of each bank over the chosen time.",
            ),
            queries=(
                Query(
                    f"histogram_quantile(0.5, sum by (le, bank) (increase({CONFIRM}_bucket{{{RB}}}[$__range])))",
                    "{{bank}}",
                ),
            ),
            unit="s",
            width=12,
        ),
        Panel(
            title=Text("止付目标达标率", "Stops confirmed within 500 ms"),
            about=Text(
                "五百毫秒内获银行确认的止付占比，目标百分之九十九。",
                "Share of stops confirmed within 500 ms. The objective is 99 %.",
            ),
            queries=(
                Query(_in_time("5m"), "5m"),
                Query(_in_time("1h"), "1h"),
            ),
            unit="percentunit",
            width=12,
            share=True,
        ),
    ),
)

FALSE_STOPS = Row(
    Text("误止付", "False stops"),
    (
        Panel(
            title=Text("误止付，按银行", "False stops by bank"),
            about=Text(
                "一小时内被认定为误的自动止付，按银行。每一次都影响一位无辜客户。",
                "Protective stops found wrong within an hour, by bank. Each one is an innocent customer.",
            ),
            queries=(Query(f"sum by (bank) (increase(sluice_false_stops_total{{{RB}}}[1h]))", "{{bank}}"),),
            width=12,
            link="sluice-detection",
        ),
        Panel(
            title=Text("误止付占比", "Share of stops found wrong"),
            about=Text(
                "一天内误止付占已执行自动止付的比例。超过一半告警。",
                "False stops over protective stops applied within a day. More than half raises a ticket.",
            ),
            queries=(
                Query(
                    f"sum(increase(sluice_false_stops_total{{{RB}}}[1d])) / sum(increase("
                    f'sluice_order_events_total{{kind="protective_stop", state="applied", {RB}}}[1d]))',
                    "占比 share",
                ),
            ),
            unit="percentunit",
            width=12,
            steps=((0.5, "red"),),
        ),
    ),
)

WORLD = Row(
    Text("模拟世界（仅演示与测试）", "Simulated world (demo and tests only)"),
    (
        Panel(
            title=Text("被害人资金", "Victims' money"),
            about=Text(
                "模拟世界中被骗、止住、取现与在途的资金，仅模拟时有数据。",
                "Stolen, stopped, cashed out and in flight. Only a simulated world knows this; empty in production.",
            ),
            queries=(Query(f"sum by (state) (sluice_world_money_fen{{{R}}}) / 100", "{{state}}"),),
            unit="currencyCNY",
            width=12,
        ),
        Panel(
            title=Text("止住占被骗", "Stopped share of stolen"),
            about=Text(
                "模拟世界中止住金额占被骗金额的比例。目标百分之八十。",
                "Money stopped over money stolen in the simulated world. The aim is 80 %.",
            ),
            queries=(
                Query(
                    f'sum(sluice_world_money_fen{{state="stopped", {R}}})'
                    f' / sum(sluice_world_money_fen{{state="stolen", {R}}})',
                    "占比 share",
                ),
            ),
            unit="percentunit",
            width=12,
            share=True,
        ),
        Panel(
            title=Text("每万客户每日误止付", "False stops per 10,000 customers a day"),
            about=Text(
                "模拟世界的误止付，按客户数与模拟天数折算。上限十，目标一。",
                "False stops of the simulated world per customers and simulated days. At most 10, aim 1.",
            ),
            queries=(
                Query(
                    f"max(sluice_world_false_stops{{{R}}}) / max(sluice_world_customers{{{R}}}) * 10000"
                    f" / max(sluice_world_days{{{R}}})",
                    "误止付 false stops",
                ),
            ),
            width=12,
            steps=((10, "red"),),
        ),
        Panel(
            title=Text("模拟银行执行的转账", "Transfers the world's banks executed"),
            about=Text(
                "模拟世界每秒执行的转账，按行为类别。",
                "Transfers per second executed in the simulated world, by kind of behaviour.",
            ),
            queries=(
                Query(f"sum by (kind) (rate(sluice_world_transfers_total{{{R}}}[$__rate_interval]))", "{{kind}}"),
            ),
            unit="reqps",
            width=12,
            stacked=True,
        ),
    ),
)

BOARD: Final = Board(
    uid="sluice-money",
    title=Text("水闸 资金", "Sluice Money"),
    about=Text(
        "涉险、止住、解除与返还的资金，止付用时与误止付。",
        "Money at risk, held, let go and returned; time to stop; false stops.",
    ),
    rows=(HELD, TIME_TO_STOP, FALSE_STOPS, WORLD),
)
