"""Features in words: their Chinese names, and their values on a scale that people read."""

from __future__ import annotations

from math import atan2, exp, expm1, hypot, tau
from typing import Final

from models.risk.columns import NEVER, Feature, all_columns

NO_MIDDLE: Final = 0.05
"""Times of day with a mean direction shorter than this are spread over the whole day (ours)."""

_SIDES: Final = {"payer": "付款方", "payee": "收款方"}

_ACCOUNT_ZH: Final = """
in_n_10m 10分钟内入账笔数
in_n_1h 1小时内入账笔数
in_n_24h 24小时内入账笔数
in_n_7d 7天内入账笔数
in_10m 10分钟内入账金额
in_1h 1小时内入账金额
in_24h 24小时内入账金额
in_7d 7天内入账金额
out_n_1m 1分钟内出账笔数
out_n_10m 10分钟内出账笔数
out_n_1h 1小时内出账笔数
out_n_24h 24小时内出账笔数
out_n_7d 7天内出账笔数
out_1h 1小时内出账金额
out_24h 24小时内出账金额
out_7d 7天内出账金额
payers_24h 24小时内不同付款账户数
payers_7d 7天内不同付款账户数
payers_ever 历来不同付款账户数
payees_24h 24小时内不同收款账户数
payees_7d 7天内不同收款账户数
payees_ever 历来不同收款账户数
new_payers_24h 24小时内首次来款账户数
new_payees_24h 24小时内首次去款账户数
since_in 距上次入账时间
since_out 距上次出账时间
idle 距上次任何交易时间
age 账户年龄
opening_told 银行已告知开户时间
seen 距首次出现时间
quick 收款后10分钟内转出的习惯
taint 近期收入中可疑资金占比
proven_paid 作为付款方的已证实诈骗笔数
proven_received 作为收款方的已证实诈骗笔数
z 金额偏离习惯的程度
over_max 金额与历史最大额之比
"""

_OTHER_ZH: Final = """
amount 本笔金额
hour_sin 一天中的时刻
hour_cos 一天中的时刻（余弦）
night 凌晨0-5点
round 整数金额
same_bank 同行转账
cash_channel 变现渠道
in_call 付款时正在通话
stranger_to_bank 付款行未见该付款方向该收款方付过款
device_changed 更换设备
payer_drain_10m 付款方10分钟内支出与收入之比
payer_drain_1h 付款方1小时内支出与收入之比
payer_drain_24h 付款方24小时内支出与收入之比
payer_drain_7d 付款方7天内支出与收入之比
payer_to_last_in 本笔与付款方上笔入账之比
payer_match 转出与近期入账的吻合度
payer_match_n 最吻合的入账笔数
payer_match_s 最吻合入账距今时间
payer_pass 快进快出吻合度
payer_emptied 付款方余额转出比例
pair_new 首次向该收款方付款
pair_age 距首次向该收款方付款时间
reverse_seen 收款方曾向付款方付款
reverse_recent 收款方近期曾向付款方付款
step_up 本笔与上笔同收款方金额之比
probe 本笔与1小时内最小出账之比
alike_out 24小时内相近金额出账笔数
new_pass 首次收款方的快进快出吻合度
new_z 首次收款方的金额偏离程度
new_spree 首次收款方且24小时内首次去款账户数
payee_turnover_24h 收款方24小时内支出与收入之比
payee_turnover_7d 收款方7天内支出与收入之比
payee_share_24h 本笔占收款方24小时收入的比例
payee_bare 本笔占收款方余额的比例
alike_in 收款方24小时内相近金额入账笔数
new_gather 首次付款且收款方24小时内首次来款账户数
rule_risk 规则给出的风险
"""


def _names() -> dict[str, str]:
    plain = dict(line.split(" ", 1) for line in _OTHER_ZH.strip().splitlines())
    for line in _ACCOUNT_ZH.strip().splitlines():
        name, text = line.split(" ", 1)
        plain.update({f"{side}_{name}": f"{who}{text}" for side, who in _SIDES.items()})
    return plain


NAMES_ZH: Final = _names()
COLUMNS: Final = {column.name: column for column in all_columns()}


def in_words(column: Feature, value: float) -> tuple[str, str]:
    """Return a feature's value in Chinese and English, on the scale that people read.

    >>> in_words(COLUMNS["payer_in_n_1h"], 1.0986), in_words(COLUMNS["payer_since_in"], 20.0)
    (('2', '2'), ('从未', 'never'))
    """
    if column.scale in ("flag", "tri"):
        return _told(column.scale, value)
    if column.scale == "s":
        return _duration(value)
    texts = {
        "n": f"{max(expm1(value), 0.0):.3g}",
        "yuan": f"{expm1(value):,.2f}",
        "ln": f"{exp(value):.3g}",
        "share": f"{100 * value:.0f}%",
    }
    text = texts.get(column.scale, f"{value:.2f}")
    zh, en = {"yuan": ("元", " yuan"), "ln": ("倍", " times"), "z": ("个标准差", " deviations")}.get(
        column.scale, ("", "")
    )
    return text + zh, text + en


def time_in_words(sine: float, cosine: float) -> tuple[str, str]:
    """Return the time of day in Asia/Shanghai of its two features, to the minute.

    >>> time_in_words(1.0, 0.0)
    ('06:00', '06:00')
    """
    minutes = round(atan2(sine, cosine) / tau * 1440) % 1440
    text = f"{minutes // 60:02d}:{minutes % 60:02d}"
    return text, text


def usual_time_in_words(sine: float, cosine: float) -> tuple[str, str]:
    """Return the middle of many times of day, given the means of their two features.

    >>> usual_time_in_words(0.0, -0.4), usual_time_in_words(0.01, 0.0)
    (('12:00左右', 'about 12:00'), ('不定', 'at any time'))
    """
    if hypot(sine, cosine) < NO_MIDDLE:
        return "不定", "at any time"
    text, _ = time_in_words(sine, cosine)
    return f"{text}左右", f"about {text}"


def _told(scale: str, value: float) -> tuple[str, str]:
    if scale == "tri" and abs(value) < 0.5:
        return "未告知", "not told"
    return ("是", "yes") if value >= 0.5 else ("否", "no")


def _duration(value: float) -> tuple[str, str]:
    if value >= NEVER - 0.01:
        return "从未", "never"
    seconds = expm1(value)
    for size, zh, en in ((86_400, "天", "d"), (3_600, "小时", "h"), (60, "分钟", "min")):
        if seconds >= size:
            return f"{seconds / size:.1f}{zh}", f"{seconds / size:.1f} {en}"
    return f"{seconds:.0f}秒", f"{seconds:.0f} s"
