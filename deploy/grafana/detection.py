"""Detection: bands, rules, model versions, drift, verdicts and the brake."""

from __future__ import annotations

from typing import Final

from board import RB, Board, Panel, Query, R, Row, Text

ALARM = (("0", "正常 calm", "green"), ("1", "报警 alarm", "red"))
CONTEST = (("0", "否 no", "green"), ("1", "是 yes", "orange"))
BRAKE = (("0", "自动止付 armed", "green"), ("1", "仅建议 advise only", "red"))

DECISIONS = Row(
    Text("判定", "Decisions"),
    (
        Panel(
            kind="stat",
            title=Text("自动止付熔断", "Brake"),
            about=Text(
                "熔断后不再自动止付，只给建议，须人工恢复。",
                "Once tripped, Sluice only advises and a person must re-arm it.",
            ),
            queries=(Query(f"max(sluice_brake_tripped{{{R}}})"),),
            names=BRAKE,
            steps=((1, "red"),),
            width=6,
            height=4,
        ),
        Panel(
            kind="stat",
            title=Text("止付比例", "Stop share"),
            about=Text(
                "五分钟内被判止付的转账比例。",
                "Share of transfers in the stop band over five minutes.",
            ),
            queries=(
                Query(
                    f'sum(rate(sluice_transfers_assessed_total{{band="stop", {R}}}[5m]))'
                    f" / sum(rate(sluice_transfers_assessed_total{{{R}}}[5m]))"
                ),
            ),
            unit="percentunit",
            width=6,
            height=4,
        ),
        Panel(
            kind="stat",
            title=Text("漂移报警", "Drift alarms"),
            about=Text(
                "处于报警状态的漂移信号数。",
                "Drift signals in alarm.",
            ),
            queries=(Query(f"sum(sluice_drift_alarm{{{R}}})"),),
            width=6,
            height=4,
            steps=((1, "orange"),),
        ),
        Panel(
            kind="stat",
            title=Text("裁定数（所选时段）", "Verdicts (chosen time)"),
            about=Text(
                "收到的裁定数。没有裁定，模型无从学习。",
                "Verdicts received. Without them the detectors learn nothing.",
            ),
            queries=(Query(f"sum(increase(sluice_verdicts_total{{{R}}}[$__range]))", now=True),),
            width=6,
            height=4,
        ),
        Panel(
            title=Text("各档占比", "Bands"),
            about=Text(
                "放行、关注、止付各占多少。突变多因数据或模型变化。",
                "Shares of allow, watch and stop. A sudden change comes from data or from a new model.",
            ),
            queries=(
                Query(
                    f"sum by (band) (rate(sluice_transfers_assessed_total{{{R}}}[$__rate_interval]))"
                    f" / on () group_left () sum(rate(sluice_transfers_assessed_total{{{R}}}[$__rate_interval]))",
                    "{{band}}",
                ),
            ),
            unit="percentunit",
            width=12,
        ),
        Panel(
            title=Text("规则命中，前十五", "Rule hits, top 15"),
            about=Text(
                "每秒命中次数最多的规则。某条规则骤增，先查数据再改阈值。",
                "Rules that fire most, per second. If one jumps, look at the data before its threshold.",
            ),
            queries=(
                Query(f"topk(15, sum by (rule) (rate(sluice_rule_hits_total{{{R}}}[$__rate_interval])))", "{{rule}}"),
            ),
            unit="reqps",
            width=12,
        ),
        Panel(
            kind="bargauge",
            title=Text("规则命中（所选时段）", "Rule hits (chosen time)"),
            about=Text(
                "所选时段内各规则命中次数。长期为零的规则可考虑停用。",
                "Hits of each rule over the chosen time. One that never fires may be retired.",
            ),
            queries=(
                Query(f"sort_desc(sum by (rule) (increase(sluice_rule_hits_total{{{R}}}[$__range])))", "{{rule}}"),
            ),
            width=12,
        ),
        Panel(
            title=Text("熔断拦下的止付", "Stops the brake withheld"),
            about=Text(
                "因达到上限而未发出的自动止付，按上限类别。",
                "Automatic stops withheld because a cap was reached, by cap.",
            ),
            queries=(Query(f"sum by (cap) (increase(sluice_brake_withheld_total{{{R}}}[5m]))", "{{cap}}"),),
            width=12,
        ),
        Panel(
            title=Text("止付档的去向", "What became of the stop band"),
            about=Text(
                "五分钟内判为止付档的转账：发出止付、并入已有止付，或未止付的原因（如证据不足以认定账户）。",
                "Transfers in the stop band over five minutes: a stop of their own, attached to one there is,"
                " or why there was none (no ground that convicts an account, say).",
            ),
            queries=(Query(f"sum by (outcome) (increase(sluice_stop_band_total{{{R}}}[5m]))", "{{outcome}}"),),
            width=24,
        ),
    ),
)

LEARNING = Row(
    Text("学习", "Learning"),
    (
        Panel(
            kind="table",
            title=Text("使用中的模型版本", "Model versions in use"),
            about=Text(
                "各研判进程正在使用的检测器版本；应一致。",
                "Detector versions by number of workers that score with them. There should be one each.",
            ),
            queries=(Query(f'count by (detector, version) (sluice_detector_version_info{{job="worker", {R}}} == 1)'),),
        ),
        Panel(
            title=Text("已学习样本", "Examples learned"),
            about=Text(
                "训练进程每分钟学习的样本，按检测器与标签。",
                "Examples the trainer learned from per minute, by detector and label.",
            ),
            queries=(
                Query(
                    f"sum by (detector, label) (rate(sluice_trainer_learned_total{{{R}}}[$__rate_interval])) * 60",
                    "{{detector}} {{label}}",
                ),
            ),
        ),
        Panel(
            title=Text("快照发布", "Snapshots published"),
            about=Text(
                "一小时内发布的模型快照。长期为零说明训练停滞。",
                "Model snapshots published within an hour. Zero for long means that training stands still.",
            ),
            queries=(
                Query(f"sum by (detector) (increase(sluice_snapshots_published_total{{{R}}}[1h]))", "{{detector}}"),
            ),
        ),
        Panel(
            kind="state-timeline",
            title=Text("漂移", "Drift"),
            about=Text(
                "各信号是否偏离训练时的分布。",
                "Whether each signal has moved away from what was learned.",
            ),
            queries=(Query(f"max by (signal) (sluice_drift_alarm{{{R}}})", "{{signal}}"),),
            names=ALARM,
            width=12,
        ),
        Panel(
            title=Text("迟到转账", "Late transfers"),
            about=Text(
                "早于窗口容忍的转账，每秒。它们只计迟到，不计窗口。",
                "Transfers older than the windows tolerate, per second. They are counted as late only.",
            ),
            queries=(Query(f"sum(rate(sluice_transfers_late_total{{{R}}}[$__rate_interval]))", "迟到 late"),),
            unit="reqps",
            width=12,
        ),
    ),
)

SHADOW = Row(
    Text("影子对比", "Shadow"),
    (
        Panel(
            title=Text("谁会被止付", "Who would have been stopped"),
            about=Text(
                "每小时双方共同评分的转账中，只有在用模型、只有对方、双方都会止付的笔数。对方：试用中的挑战者，或最后的良好模型。"
                "逐笔清单见 sluice shadow。",
                "Transfers an hour that only the panel in service, only its rival, or both would have stopped."
                " The rival is a challenger on trial or the last good panel. Transfer by transfer: sluice shadow.",
            ),
            queries=(
                Query(
                    f"sum by (rival, who) (increase(sluice_shadow_stops_total{{{R}}}[1h]))",
                    "{{rival}} {{who}}",
                ),
            ),
        ),
        Panel(
            title=Text("双方止付的标签", "Labels of both sides' stops"),
            about=Text(
                "一天内得到标签的止付（含未执行的），按在用模型与对方、诈骗与正常；诈骗所占比例即准确率。标签滞后。",
                "Stops, real or not, that got a label within a day, of the panel in service and of its rival."
                " The share of fraud is the precision. Labels come late.",
            ),
            queries=(
                Query(
                    f"sum by (rival, panel, label) (increase(sluice_shadow_labelled_stops_total{{{R}}}[1d]))",
                    "{{rival}}: {{panel}} {{label}}",
                ),
            ),
        ),
        Panel(
            title=Text("损失差", "Loss gap"),
            about=Text(
                "新标签上对方与在用模型的对数损失之差；低于零表示对方更好。满二十个诈骗标签后裁决：更好则启用，在用明显变差则退回。",
                "Log loss on new labels of the rival less that of the panel in service; below 0 the rival is better."
                " Judged at 20 frauds: a better challenger is promoted, a champion that is clearly worse falls back.",
            ),
            queries=(Query(f"max by (rival) (sluice_shadow_loss_gap{{{R}}})", "{{rival}}"),),
        ),
        Panel(
            kind="state-timeline",
            title=Text("试用与退回", "On trial, fallen back"),
            about=Text(
                "是否有挑战者在试用；是否已退回最后的良好模型（告警）。",
                "Whether a challenger is on trial, and whether the last good panel serves for the learner's (alarm).",
            ),
            queries=(
                Query(f"max(sluice_shadow_on_trial{{{R}}})", "试用 on trial"),
                Query(f'max(sluice_drift_alarm{{signal="fallback", {R}}})', "退回 fallback"),
            ),
            names=CONTEST,
            width=12,
        ),
        Panel(
            title=Text("裁决", "Judgements"),
            about=Text(
                "一天内的启用、拒绝与退回次数。",
                "Promotions, rejections and fall-backs within a day.",
            ),
            queries=(Query(f"sum by (outcome) (increase(sluice_contests_total{{{R}}}[1d]))", "{{outcome}}"),),
            width=12,
        ),
    ),
)

VERDICTS = Row(
    Text("裁定", "Verdicts"),
    (
        Panel(
            title=Text("裁定，按来源", "Verdicts by label and source"),
            about=Text(
                "每小时收到的裁定，按标签与来源（被害人报案、研判员、银行、抽样）。",
                "Verdicts per hour by label and source (victim's report, analyst, bank, sample).",
            ),
            queries=(
                Query(f"sum by (label, source) (increase(sluice_verdicts_total{{{R}}}[1h]))", "{{label}} {{source}}"),
            ),
        ),
        Panel(
            kind="heatmap",
            title=Text("裁定延迟分布", "Verdict delay, distribution"),
            about=Text(
                "从转账到裁定的世界时间分布。延迟越长，模型越滞后。",
                "World time from a transfer to its verdict. The longer it is, the older is what a model knows.",
            ),
            queries=(Query(f"sum by (le) (increase(sluice_verdict_delay_seconds_bucket{{{R}}}[1h]))", "{{le}}"),),
            unit="s",
        ),
        Panel(
            title=Text("裁定延迟中位", "Median verdict delay"),
            about=Text(
                "一天内裁定延迟的中位数，按来源。",
                "Median delay of a day's verdicts by source.",
            ),
            queries=(
                Query(
                    "histogram_quantile(0.5, sum by (le, source)"
                    f" (increase(sluice_verdict_delay_seconds_bucket{{{R}}}[1d])))",
                    "{{source}}",
                ),
            ),
            unit="s",
        ),
        Panel(
            title=Text("误止付，按银行", "False stops by bank"),
            about=Text(
                "一小时内被认定为误的自动止付。",
                "Protective stops found wrong within an hour.",
            ),
            queries=(Query(f"sum by (bank) (increase(sluice_false_stops_total{{{RB}}}[1h]))", "{{bank}}"),),
            width=24,
            link="sluice-money",
        ),
    ),
)

BOARD: Final = Board(
    uid="sluice-detection",
    title=Text("水闸 检测", "Sluice Detection"),
    about=Text(
        "判定档位、规则命中、模型版本、漂移、裁定延迟与熔断。",
        "Bands, rules, model versions, drift, verdict delay, brake.",
    ),
    rows=(DECISIONS, LEARNING, SHADOW, VERDICTS),
)
