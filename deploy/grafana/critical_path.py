"""Critical path: how fast and how many, from acceptance of a transfer to the confirmed stop."""

from __future__ import annotations

from typing import Final

from board import RB, Board, Panel, Query, R, Row, Text

STAGE = "sluice_stage_latency_seconds"
ASSESSED = f'{STAGE}_bucket{{stage="assessed", {R}}}'


def _quantile(share: float, stage: str) -> str:
    buckets = f'rate({STAGE}_bucket{{stage="{stage}", {R}}}[$__rate_interval])'
    return f"histogram_quantile({share}, sum by (le) ({buckets}))"


NOW = Row(
    Text("当前", "Now"),
    (
        Panel(
            kind="stat",
            title=Text("受理速率", "Accepted"),
            about=Text(
                "银行每秒报送并被受理的转账笔数。长时间为零意味着没有保护。",
                "Transfers taken in per second. Zero for long means that nobody is protected.",
            ),
            queries=(Query(f"sum(rate(sluice_transfers_accepted_total{{{R}}}[$__rate_interval]))"),),
            unit="reqps",
            width=4,
            height=4,
        ),
        Panel(
            kind="stat",
            title=Text("受理到研判 p99", "Accept to assess p99"),
            about=Text(
                "百分之九十九的转账在此时间内完成研判。目标一百毫秒以内。",
                "99 % of transfers are assessed within this time. The objective is 100 ms.",
            ),
            queries=(Query(_quantile(0.99, "assessed")),),
            unit="s",
            width=4,
            height=4,
            steps=((0.05, "yellow"), (0.1, "red")),
        ),
        Panel(
            kind="stat",
            title=Text("百毫秒达标率", "Within 100 ms"),
            about=Text(
                "一百毫秒内完成研判的转账占比（近五分钟）。目标百分之九十九。",
                "Share of transfers assessed within 100 ms over five minutes. The objective is 99 %.",
            ),
            queries=(Query(f"1 - max(sluice:assess_latency_errors:ratio_rate5m{{{R}}})"),),
            unit="percentunit",
            width=4,
            height=4,
        ),
        Panel(
            kind="stat",
            title=Text("剩余误差预算", "Error budget left"),
            about=Text(
                "二十八天误差预算的剩余比例；负值表示已超支，应停止改动、先修时延。",
                "What is left of the error budget of 28 days. Below zero: stop changing things, mend latency first.",
            ),
            queries=(Query(f"min(sluice:assess_latency_budget:ratio{{{R}}})"),),
            unit="percentunit",
            width=4,
            height=4,
        ),
        Panel(
            kind="stat",
            title=Text("积压", "Backlog"),
            about=Text(
                "按当前速率处理完未确认记录所需时间。超过十秒告警。",
                "How long the unacknowledged records take at the present rate. Over ten seconds pages somebody.",
            ),
            queries=(Query(f"max(sluice:backlog:seconds{{{R}}})"),),
            unit="s",
            width=4,
            height=4,
            steps=((2, "yellow"), (10, "red")),
        ),
        Panel(
            kind="stat",
            title=Text("存活进程", "Processes up"),
            about=Text(
                "Prometheus 能抓取到的进程数，按程序分列。",
                "Processes that Prometheus reaches, by program.",
            ),
            queries=(Query(f"sum by (job) (up{{{R}}})", "{{job}}"),),
            width=4,
            height=4,
        ),
    ),
)

LATENCY = Row(
    Text("时延", "Latency"),
    (
        Panel(
            kind="heatmap",
            title=Text("研判时延分布", "Accept to assess, distribution"),
            about=Text(
                "颜色越深，落在该时延区间的转账越多。出现第二条亮带说明有一部分分区或批次变慢。",
                "The darker, the more transfers took that long. A second band means that some partitions are slower.",
            ),
            queries=(Query(f"sum by (le) (increase({ASSESSED}[$__rate_interval]))", "{{le}}"),),
            unit="s",
            width=12,
            height=9,
        ),
        Panel(
            title=Text("研判时延分位", "Accept to assess, quantiles"),
            about=Text(
                "中位数、p99 与 p99.9。只看平均值会掩盖被盗资金恰好落入的长尾。",
                "Median, p99 and p99.9. An average would hide the tail in which stolen money may sit.",
            ),
            queries=(
                Query(_quantile(0.5, "assessed"), "p50"),
                Query(_quantile(0.99, "assessed"), "p99"),
                Query(_quantile(0.999, "assessed"), "p99.9"),
            ),
            unit="s",
            width=12,
            height=9,
            steps=((0.1, "red"),),
        ),
        Panel(
            title=Text("各阶段 p99", "p99 by stage"),
            about=Text(
                "自受理起累计：付方侧完成、研判完成、止付发出、银行确认。相邻两线之差即该阶段耗时。",
                "Counted from acceptance: payer side done, assessed, stop sent, bank confirmed. The gap is the stage.",
            ),
            queries=(
                Query(_quantile(0.99, "debited"), "付方侧 debited"),
                Query(_quantile(0.99, "assessed"), "研判 assessed"),
                Query(_quantile(0.99, "stop_sent"), "止付发出 stop sent"),
                Query(_quantile(0.99, "stop_confirmed"), "银行确认 stop confirmed"),
            ),
            unit="s",
            link="sluice-money",
        ),
        Panel(
            title=Text("提交耗时", "Commit time"),
            about=Text(
                "一批输出与变更日志被 Kafka 确认所需时间；超过四秒进程会主动退出重启。",
                "Time until Kafka has confirmed a batch's outputs and changelog. Beyond 4 s a worker gives up.",
            ),
            queries=(
                Query(
                    "histogram_quantile(0.99, sum by (le)"
                    f" (rate(sluice_commit_latency_seconds_bucket{{{R}}}[$__rate_interval])))",
                    "p99",
                ),
                Query(
                    "histogram_quantile(0.5, sum by (le)"
                    f" (rate(sluice_commit_latency_seconds_bucket{{{R}}}[$__rate_interval])))",
                    "p50",
                ),
            ),
            unit="s",
        ),
        Panel(
            title=Text("误差预算消耗速度", "Burn rate"),
            about=Text(
                "一表示二十八天恰好用完预算；一小时窗口超过 14.4 立即告警。",
                "1 spends the budget in exactly 28 days; 14.4 over an hour pages somebody.",
            ),
            queries=(
                Query(f"max(sluice:assess_latency_errors:ratio_rate5m{{{R}}}) / 0.01", "5m"),
                Query(f"max(sluice:assess_latency_errors:ratio_rate1h{{{R}}}) / 0.01", "1h"),
                Query(f"max(sluice:assess_latency_errors:ratio_rate6h{{{R}}}) / 0.01", "6h"),
            ),
            steps=((14.4, "red"),),
        ),
    ),
)

RATE = Row(
    Text("流量", "Rate"),
    (
        Panel(
            title=Text("各银行受理", "Accepted by bank"),
            about=Text(
                "每家银行每秒被受理的转账。某家归零而其余正常，多为该行接口故障。",
                "Transfers accepted per second by bank. One at zero while others go on is that bank's interface.",
            ),
            queries=(
                Query(f"sum by (bank) (rate(sluice_transfers_accepted_total{{{RB}}}[$__rate_interval]))", "{{bank}}"),
            ),
            unit="reqps",
            stacked=True,
            link="sluice-orders-banks",
        ),
        Panel(
            title=Text("研判结果", "Assessed by band"),
            about=Text(
                "每秒研判的转账，按放行、关注、止付分列。应与受理速率相等。",
                "Transfers assessed per second by band. In total it should equal what is accepted.",
            ),
            queries=(
                Query(f"sum by (band) (rate(sluice_transfers_assessed_total{{{R}}}[$__rate_interval]))", "{{band}}"),
            ),
            unit="reqps",
            stacked=True,
            link="sluice-detection",
        ),
        Panel(
            title=Text("拒收、重复与迟到", "Refused, repeated, late"),
            about=Text(
                "入口拒收（按原因）、重复报送或重投递、超出乱序容忍的迟到转账。",
                "Refused at the edge by reason, recognised as seen before, and older than the windows tolerate.",
            ),
            queries=(
                Query(
                    f"sum by (reason) (rate(sluice_transfers_refused_total{{{R}}}[$__rate_interval]))",
                    "拒收 refused {{reason}}",
                ),
                Query(
                    f"sum by (kind) (rate(sluice_transfers_duplicate_total{{{R}}}[$__rate_interval]))",
                    "重复 duplicate {{kind}}",
                ),
                Query(f"sum(rate(sluice_transfers_late_total{{{R}}}[$__rate_interval]))", "迟到 late"),
            ),
            unit="reqps",
        ),
    ),
)

LAG = Row(
    Text("积压与丢失", "Lag and loss"),
    (
        Panel(
            title=Text("未确认记录", "Records not acknowledged"),
            about=Text(
                "各主题尚未确认的记录数。持续上升说明处理能力不足。",
                "Records not yet acknowledged, by topic. A steady rise means that workers cannot keep up.",
            ),
            queries=(Query(f"sum by (topic) (sluice_consumer_lag_records{{{R}}})", "{{topic}}"),),
        ),
        Panel(
            title=Text("死信", "Dead letters"),
            about=Text(
                "一小时内被隔离的记录，按主题与原因。被隔离的转账没有被研判。",
                "Records quarantined within an hour, by topic and reason. A quarantined transfer was not scored.",
            ),
            queries=(
                Query(
                    f"sum by (topic, reason) (increase(sluice_dead_letters_total{{{R}}}[1h]))",
                    "{{topic}} {{reason}}",
                ),
            ),
            steps=((1, "orange"),),
        ),
        Panel(
            title=Text("位移缺口", "Offset gaps"),
            about=Text(
                "主题位移不连续的次数，应始终为零；出现即意味着可能丢失记录。",
                "Breaks in the contiguous offsets of a topic. Must be zero: a gap may be a lost record.",
            ),
            queries=(Query(f"sum by (topic) (sluice_offset_gaps_total{{{R}}})", "{{topic}}"),),
            steps=((1, "red"),),
        ),
    ),
)

SATURATION = Row(
    Text("饱和度", "Saturation"),
    (
        Panel(
            title=Text("处理器", "CPU"),
            about=Text(
                "各进程占用的核数。研判进程只用一个核，超过零点九即将积压，应扩容。",
                "Cores used by each process. A worker has one core: above 0.9 the next peak queues, so add a worker.",
            ),
            queries=(Query(f"rate(process_cpu_seconds_total{{{R}}}[$__rate_interval])", "{{job}} {{instance}}"),),
            steps=((0.9, "red"),),
        ),
        Panel(
            title=Text("内存", "Memory"),
            about=Text(
                "各进程常驻内存。研判进程随账户数增长而非随转账数增长。",
                "Resident memory. A worker's grows with accounts, not with transfers.",
            ),
            queries=(Query(f"process_resident_memory_bytes{{{R}}}", "{{job}} {{instance}}"),),
            unit="bytes",
        ),
        Panel(
            title=Text("批大小", "Batch size"),
            about=Text(
                "每批记录数的均值与 p99。批越大，负载越接近上限。",
                "Records per batch, mean and p99. The larger the batches, the nearer the limit.",
            ),
            queries=(
                Query(
                    f"sum by (stage) (rate(sluice_batch_records_sum{{{R}}}[$__rate_interval]))"
                    f" / sum by (stage) (rate(sluice_batch_records_count{{{R}}}[$__rate_interval]))",
                    "{{stage}} 均值 mean",
                ),
                Query(
                    "histogram_quantile(0.99, sum by (le, stage)"
                    f" (rate(sluice_batch_records_bucket{{{R}}}[$__rate_interval])))",
                    "{{stage}} p99",
                ),
            ),
        ),
        Panel(
            title=Text("账户画像数", "Profiles held"),
            about=Text(
                "每个研判进程持有的账户画像。扩容后应大致均分。",
                "Account profiles held by each worker. After scaling out they should be spread about evenly.",
            ),
            queries=(Query(f'sluice_profiles{{job="worker", {R}}}', "{{instance}}"),),
        ),
        Panel(
            title=Text("重启", "Restarts"),
            about=Text(
                "一小时内各进程重启次数。研判进程遇险即退出重启，偶发正常，频繁则告警。",
                "Restarts within an hour. Workers are crash-only, so now and then is normal and often is not.",
            ),
            queries=(Query(f"changes(process_start_time_seconds{{{R}}}[1h])", "{{job}} {{instance}}"),),
        ),
        Panel(
            title=Text("自行退出原因", "Ends by reason"),
            about=Text(
                "一小时内进程自行退出的次数，按原因。offset_gap 与 brake 须查明。",
                "Ends of programs by their own exit code within an hour. offset_gap and brake need an explanation.",
            ),
            queries=(Query(f"sum by (reason) (increase(sluice_program_exits_total{{{R}}}[1h]))", "{{reason}}"),),
            steps=((1, "orange"),),
        ),
        Panel(
            title=Text("文件句柄", "Open files"),
            about=Text(
                "已用文件与连接占上限的比例。",
                "Open files and sockets as a share of what the process may open.",
            ),
            queries=(Query(f"process_open_fds{{{R}}} / process_max_fds{{{R}}}", "{{job}} {{instance}}"),),
            unit="percentunit",
            share=True,
        ),
        Panel(
            kind="table",
            title=Text("程序版本", "Versions running"),
            about=Text(
                "正在运行的程序、版本与评分模块的形式（compiled 为已编译）；滚动升级期间可见两个版本。",
                "Programs, versions and the form of the scoring modules (plain is slower). "
                "Two versions of one program are normal during a rolling upgrade only.",
            ),
            queries=(Query(f"count by (program, version, scoring) (sluice_build_info{{{R}}})"),),
            width=12,
            height=6,
        ),
        Panel(
            kind="table",
            title=Text("当前告警", "Alerts firing"),
            about=Text(
                "正在触发的告警。空表即一切正常。处置见 docs/runbook。",
                "Alerts that fire now. Empty is good. What to do is in docs/runbook.",
            ),
            # Also those without a region: that there is no worker at all is no region's own.
            queries=(Query('sum by (alertname, severity, bank) (ALERTS{alertstate="firing", region=~"$region|"})'),),
            width=12,
            height=6,
        ),
    ),
)

BOARD: Final = Board(
    uid="sluice-critical-path",
    title=Text("水闸 关键路径", "Sluice Critical path"),
    about=Text(
        "从受理到银行确认止付：时延、流量、积压、饱和度。",
        "From acceptance to the confirmed stop: latency, rate, lag, saturation.",
    ),
    rows=(NOW, LATENCY, RATE, LAG, SATURATION),
)
