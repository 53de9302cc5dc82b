"""Orders and banks: states, clocks, refusals, silence, the outbox and its breakers."""

from __future__ import annotations

from typing import Final

from board import RB, Board, Panel, Query, R, Row, Text

IN_FORCE = (
    "applied|under_review|bank_first_effective|effective|effective_full|effective_limited|effective_deficient"
    "|partly_returned|extending"
)
"""States in which a bank has confirmed its control; the test compares it with `models.control.states.IN_FORCE`."""

WAITING = "draft|submitted|reviewed|applied|under_review"

ORDERS = "max by (region, kind, state, bank)"
LAPSING = "max by (region, kind, within, bank)"
OUTBOX = "max by (region, bank)"
"""What the api reads from its database every replica shows alike: a sum over replicas would count it twice."""

BROKEN = (("0", "断裂 broken", "red"), ("1", "完整 intact", "green"))
AWAY = (("0", "正常 there", "green"), ("1", "不可用 away", "red"))
OPEN = (("0", "闭合 closed", "green"), ("1", "打开 open", "red"))

NOW = Row(
    Text("当前", "Now"),
    (
        Panel(
            kind="stat",
            title=Text("生效中的管控", "Controls in force"),
            about=Text(
                "银行已确认止付时点的管控数量。",
                "Controls whose stop point a bank has confirmed.",
            ),
            queries=(Query(f'sum({ORDERS} (sluice_orders{{state=~"{IN_FORCE}", {RB}}}))'),),
            width=4,
            height=4,
        ),
        Panel(
            kind="stat",
            title=Text("未反馈", "Unconfirmed"),
            about=Text(
                "银行未反馈、可能已生效也可能未生效的指令。须向银行查询。",
                "Orders without an answer: they may or may not be in force. The bank must be asked.",
            ),
            queries=(Query(f'sum({ORDERS} (sluice_orders{{state="unconfirmed", {RB}}}))'),),
            width=4,
            height=4,
            steps=((1, "red"),),
        ),
        Panel(
            kind="stat",
            title=Text("待人工", "Waiting for a person"),
            about=Text(
                "等待复核、审批或第二人签字的指令。",
                "Orders that wait for a review, an approval or the second signature.",
            ),
            queries=(Query(f'sum({ORDERS} (sluice_orders{{state=~"{WAITING}", {RB}}}))'),),
            width=4,
            height=4,
        ),
        Panel(
            kind="stat",
            title=Text("一小时内到期", "Lapsing within an hour"),
            about=Text(
                "一小时内到期的管控。须续期、转冻结或解除。",
                "Controls that lapse within an hour: extend, convert to a freeze, or let go.",
            ),
            queries=(Query(f'sum({LAPSING} (sluice_orders_lapsing{{within="1h", {RB}}}))'),),
            width=4,
            height=4,
            steps=((1, "red"),),
        ),
        Panel(
            kind="stat",
            title=Text("发件箱", "Outbox"),
            about=Text(
                "已提交、银行尚未应答的指令数。",
                "Commands committed and not yet answered by a bank.",
            ),
            queries=(Query(f"sum({OUTBOX} (sluice_outbox_pending{{{RB}}}))"),),
            width=4,
            height=4,
        ),
        Panel(
            kind="stat",
            title=Text("审计链", "Audit chain"),
            about=Text(
                "最近一次校验的结果。断裂即事故，先保全数据库。",
                "Result of the last check. A break is an incident: preserve the database first.",
            ),
            queries=(Query(f'min(sluice_audit_chain_intact{{job="api", {R}}})'),),
            names=BROKEN,
            steps=(),
            width=4,
            height=4,
        ),
    ),
)

STATES = Row(
    Text("状态与时钟", "States and clocks"),
    (
        Panel(
            title=Text("指令，按状态", "Orders by state"),
            about=Text(
                "各类指令当前所处状态。",
                "Where orders stand, by kind and state.",
            ),
            queries=(Query(f"sum by (kind, state) ({ORDERS} (sluice_orders{{{RB}}})) > 0", "{{kind}} {{state}}"),),
            width=12,
            stacked=True,
        ),
        Panel(
            title=Text("状态变化", "State changes"),
            about=Text(
                "每分钟进入各状态的指令数。",
                "Orders entering each state per minute.",
            ),
            queries=(
                Query(
                    f"sum by (kind, state) (rate(sluice_order_events_total{{{RB}}}[$__rate_interval])) * 60",
                    "{{kind}} {{state}}",
                ),
            ),
            width=12,
        ),
        Panel(
            title=Text("即将到期", "Lapsing soon"),
            about=Text(
                "一、六、二十四小时内到期的管控。时钟以银行的止付时点为准。",
                "Controls that lapse within 1, 6 and 24 hours. The clocks start at the bank's own stop point.",
            ),
            queries=(
                Query(f"sum by (kind, within) ({LAPSING} (sluice_orders_lapsing{{{RB}}}))", "{{kind}} {{within}}"),
            ),
            width=12,
        ),
        Panel(
            kind="table",
            title=Text("等待最久", "Waiting longest"),
            about=Text(
                "每种等待状态中最老的指令已等待多久（世界时间，秒）。",
                "How long the oldest order has waited in each waiting state (world time).",
            ),
            queries=(Query(f"max by (kind, state, bank) (sluice_order_oldest_seconds{{{RB}}}) > 0"),),
            unit="s",
            width=12,
        ),
        Panel(
            kind="state-timeline",
            title=Text("数据库", "Database"),
            about=Text(
                "不可读写期间不下达止付，银行报送被拒（503）；恢复后补下，会迟到。",
                "While it is away banks get 503 and no stop is ordered; once it is back, stops come late.",
            ),
            queries=(Query(f"max by (work) (sluice_database_away{{{R}}})", "{{work}}"),),
            names=AWAY,
            width=8,
        ),
        Panel(
            kind="state-timeline",
            title=Text("消息代理", "Broker"),
            about=Text(
                "Kafka 不应答期间无法受理转账（银行得到 503），没有研判，也没有新的止付。",
                "While Kafka does not answer, banks get 503, nothing is scored and no new stop is ordered.",
            ),
            queries=(Query(f"max(sluice_broker_away{{{R}}})", "Kafka"),),
            names=AWAY,
            width=8,
        ),
        Panel(
            title=Text("待发布最老记录", "Oldest record that waits for its topic"),
            about=Text(
                "最老的、已提交而 Kafka 尚未确认的名单、管控或裁定记录的年龄；研判进程尚不知其内容。超过三十秒告警。",
                "Age of the oldest list entry, control or verdict that is committed and not yet on its topic:"
                " until then no worker knows of it. Over 30 seconds pages somebody.",
            ),
            queries=(Query(f"max(sluice_unpublished_oldest_seconds{{{R}}})", "最老 oldest"),),
            unit="s",
            width=8,
            steps=((30, "red"),),
        ),
    ),
)

BANKS = Row(
    Text("银行", "Banks"),
    (
        Panel(
            title=Text("调用结果", "Calls by outcome"),
            about=Text(
                "每秒对银行的指令与查询，按结果：成功、拒绝、超时、错误、断路未发。",
                "Commands and inquiries per second by outcome: ok, refused, timeout, error, not sent (open breaker).",
            ),
            queries=(
                Query(
                    f"sum by (bank, call, outcome) (rate(sluice_bank_calls_total{{{RB}}}[$__rate_interval]))",
                    "{{bank}} {{call}} {{outcome}}",
                ),
            ),
            unit="reqps",
        ),
        Panel(
            title=Text("拒绝原因", "Refusals by result code"),
            about=Text(
                "一小时内银行拒绝指令的业务应答码。0301 户名不符，0302 白名单，1304 次数超限。",
                "Result codes of refusals within an hour. 0301 name differs, 0302 white list, 1304 too many stops.",
            ),
            queries=(
                Query(
                    f"sum by (bank, result) (increase(sluice_bank_refusals_total{{{RB}}}[1h]))", "{{bank}} {{result}}"
                ),
            ),
        ),
        Panel(
            title=Text("不应答比例", "Share without an answer"),
            about=Text(
                "五分钟内无应答指令的比例（查询不计）。为一即该行完全不应答。",
                "Share of commands without an answer over five minutes, inquiries left out. At 1 the bank is silent.",
            ),
            queries=(
                Query(
                    f'sum by (bank) (rate(sluice_bank_calls_total{{call="command", outcome!~"ok|refused", {RB}}}[5m]))'
                    f' / sum by (bank) (rate(sluice_bank_calls_total{{call="command", {RB}}}[5m]))',
                    "{{bank}}",
                ),
            ),
            unit="percentunit",
            share=True,
        ),
        Panel(
            kind="state-timeline",
            title=Text("断路器", "Circuit breakers"),
            about=Text(
                "断路器打开期间，该行的指令或查询暂停发送；指令留在发件箱，不会丢失。",
                "While a breaker is open, commands or inquiries wait; commands stay in the outbox, none is lost.",
            ),
            queries=(Query(f"max by (bank) (sluice_bank_breaker_open{{{RB}}})", "{{bank}}"),),
            names=OPEN,
        ),
        Panel(
            title=Text("发件箱最老指令", "Oldest command in the outbox"),
            about=Text(
                "最老未应答指令的年龄。超过一分钟告警。",
                "Age of the oldest unanswered command. Over a minute pages somebody.",
            ),
            queries=(Query(f"max by (bank) (sluice_outbox_oldest_seconds{{{RB}}})", "{{bank}}"),),
            unit="s",
            steps=((60, "red"),),
        ),
        Panel(
            title=Text("发件箱，按银行", "Outbox by bank"),
            about=Text(
                "各银行未应答的指令数。",
                "Commands not yet answered, by bank.",
            ),
            queries=(Query(f"sum by (bank) ({OUTBOX} (sluice_outbox_pending{{{RB}}}))", "{{bank}}"),),
            stacked=True,
        ),
        Panel(
            title=Text("各银行报送", "Transfers posted by bank"),
            about=Text(
                "十分钟内各银行报送的转账。归零即沉默。",
                "Transfers each bank posted in ten minutes. Zero is silence.",
            ),
            queries=(Query(f"sum by (bank) (increase(sluice_transfers_accepted_total{{{RB}}}[10m]))", "{{bank}}"),),
            width=12,
            link="sluice-critical-path",
        ),
        Panel(
            title=Text("各银行确认止付 p99", "Stop confirmed, p99 by bank"),
            about=Text(
                "研判到银行确认的 p99，近五分钟。",
                "p99 from assessment to the bank's confirmation over five minutes.",
            ),
            queries=(
                Query(
                    "histogram_quantile(0.99, sum by (le, bank)"
                    f" (rate(sluice_stop_confirm_latency_seconds_bucket{{{RB}}}[5m])))",
                    "{{bank}}",
                ),
            ),
            unit="s",
            width=12,
            link="sluice-money",
        ),
    ),
)

BOARD: Final = Board(
    uid="sluice-orders-banks",
    title=Text("水闸 指令与银行", "Sluice Orders and banks"),
    about=Text(
        "指令状态、时钟、拒绝、沉默的银行、发件箱与断路器。",
        "States, clocks, refusals, silent banks, outbox and breakers.",
    ),
    rows=(NOW, STATES, BANKS),
)
