"""Words for each ground: Chinese first, then English, with the very numbers that fired it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from models.risk.assessment import DetectorScore, Reason, Severity
from models.risk.facts import FACT_INDEX, Facts
from models.risk.rules.common import PAYEE_NEW_PAYERS, is_new

Number = float | int
Evidence = dict[str, float | int | str]


def _whole(name: str, plus: int = 0) -> Callable[[Facts], Number]:
    index = FACT_INDEX[name]
    return lambda f: int(f[index]) + plus


def _yuan(name: str, plus: str = "") -> Callable[[Facts], Number]:
    index, other = FACT_INDEX[name], FACT_INDEX.get(plus)
    return lambda f: round((int(f[index]) + (0 if other is None else int(f[other]))) / 100, 2)


def _share(name: str) -> Callable[[Facts], Number]:
    index = FACT_INDEX[name]
    return lambda f: round(float(f[index]), 3)


def _days(name: str) -> Callable[[Facts], Number]:
    index = FACT_INDEX[name]
    return lambda f: round(f[index] / 86_400, 1)


def _emptied(f: Facts) -> Number:
    fen, after = f[FACT_INDEX["amount_fen"]], f[FACT_INDEX["payer_balance_fen"]]
    return round(fen / (fen + after), 3)


def _idle_days(f: Facts) -> Number:
    told = [f[FACT_INDEX[f"payee_{name}"]] for name in ("since_in_s", "since_out_s", "age_s")]
    return round(min(value for value in told if value >= 0) / 86_400, 1)


def _first_payers(f: Facts) -> Number:
    """Return the accounts that first paid the payee within 24 h; this payer is one of them only if the pair is new."""
    return int(f[PAYEE_NEW_PAYERS]) + is_new(f)


def _hour(f: Facts) -> Number:
    return int(f[FACT_INDEX["day_second"]] // 3_600)


EVIDENCE: Final[dict[str, Callable[[Facts], Number]]] = {
    "amount_yuan": _yuan("amount_fen"),
    "fit": _share("match"),
    "match_s": _whole("match_s"),
    "match_n": _whole("match_n"),
    "in_1h_yuan": _yuan("payer_in_fen_1h"),
    "out_1h_yuan": _yuan("payer_out_fen_1h", "amount_fen"),
    "out_n_1h": _whole("payer_out_n_1h", 1),
    "in_7d_yuan": _yuan("payer_in_fen_7d"),
    "out_7d_yuan": _yuan("payer_out_fen_7d", "amount_fen"),
    "in_n_7d": _whole("payer_in_n_7d"),
    "out_n_7d": _whole("payer_out_n_7d", 1),
    "out_24h_yuan": _yuan("payer_out_fen_24h", "amount_fen"),
    "out_n_24h": _whole("payer_out_n_24h", 1),
    "taint": _share("payer_taint"),
    "payee_taint": _share("payee_taint"),
    "strangers": _first_payers,
    "new_payees": _whole("payer_new_payees_24h", 1),
    "emptied": _emptied,
    "idle_days": _idle_days,
    "age_days": _days("payee_age_s"),
    "payee_quick": _share("payee_quick"),
    "quick": _share("payer_quick"),
    "since_in_s": _whole("payer_since_in_s"),
    "last_in_yuan": _yuan("last_in_fen"),
    "reverse_s": _whole("reverse_s"),
    "alike_out": _whole("alike_out", 1),
    "alike_in": _whole("alike_in", 1),
    "payee_in_yuan": _yuan("payee_in_fen_24h"),
    "payee_out_yuan": _yuan("payee_out_fen_24h"),
    "z": _share("payer_z"),
    "max_yuan": _yuan("payer_max_fen"),
    "hour": _hour,
    "last_yuan": _yuan("last_pair_fen"),
    "least_yuan": _yuan("least_1h_fen"),
    "payee_proven": _whole("payee_proven_received"),
    "payer_proven": _whole("payer_proven_received"),
    "pair_out": _whole("pair_out_5d", 1),
    "pair_in": _whole("pair_in_5d"),
    "payee_24h_yuan": _yuan("payee_in_fen_24h", "amount_fen"),
    "payer_24h_yuan": _yuan("payer_in_fen_24h"),
}
"""How each quoted number is read from the facts."""


class Wording(NamedTuple):
    """Both texts of a ground; the fields in braces are keys of `EVIDENCE`."""

    zh: str
    en: str
    keys: tuple[str, ...]


def _say(zh: str, en: str) -> Wording:
    keys = [part.split("}")[0] for part in zh.split("{")[1:]]
    return Wording(zh, en, tuple(dict.fromkeys(keys)))


TEXTS: Final[dict[str, Wording]] = {
    "M01": _say(
        "快进快出：最近 {match_n} 笔入账在 {match_s} 秒内转出，金额吻合度 {fit}",
        "rapid pass-through: the last {match_n} credits leave within {match_s} s, fit {fit}",
    ),
    "M02": _say(
        "过渡账户：最近 {match_n} 笔入账当日转出（{match_s} 秒），金额吻合度 {fit}",
        "transit account: the last {match_n} credits leave within the day ({match_s} s), fit {fit}",
    ),
    "M03": _say(
        "集中转入后快速拆分：1 小时入账 {in_1h_yuan} 元，分 {out_n_1h} 笔转出 {out_1h_yuan} 元",
        "split within the hour: {in_1h_yuan} yuan came in, {out_1h_yuan} yuan leave in {out_n_1h} parts",
    ),
    "M04": _say(
        "归集转出：当日 {match_n} 笔入账合并转出，金额吻合度 {fit}",
        "pooled: {match_n} credits of the day leave together, fit {fit}",
    ),
    "M05": _say(
        "付款方近期收入中可疑资金占 {taint}，现转出 {amount_yuan} 元",
        "share {taint} of what the payer received of late is suspected; {amount_yuan} yuan move on",
    ),
    "M06": _say(
        "收款方 24 小时内收到 {strangers} 个首次付款方的资金，本笔 {amount_yuan} 元",
        "{strangers} accounts paid the payee for the first time within 24 h, this one {amount_yuan} yuan",
    ),
    "M07": _say(
        "付款方 24 小时内首次向 {new_payees} 个收款方付款，本笔 {amount_yuan} 元",
        "the payer paid {new_payees} payees for the first time within 24 h, this one {amount_yuan} yuan",
    ),
    "M08": _say(
        "不留余额：入账 {since_in_s} 秒后转出，转走余额的比例 {emptied}",
        "no residual balance: {since_in_s} s after a credit, share {emptied} of the balance leaves",
    ),
    "M09": _say(
        "沉睡账户启用：收款账户 {idle_days} 天无交易，新付款方转入 {amount_yuan} 元",
        "dormant account wakes: idle for {idle_days} days, a new payer sends {amount_yuan} yuan",
    ),
    "M10": _say(
        "新账户：收款账户仅 {age_days} 天，新付款方转入 {amount_yuan} 元",
        "young account: {age_days} days old, a new payer sends {amount_yuan} yuan",
    ),
    "M11": _say(
        "付款方常在收款后 10 分钟内付款（比例 {quick}），本次间隔 {since_in_s} 秒",
        "the payer often pays within 10 min of a credit (share {quick}), now after {since_in_s} s",
    ),
    "M12": _say(
        "入账 {since_in_s} 秒后经变现渠道转出 {amount_yuan} 元",
        "{amount_yuan} yuan leave by a cash-like channel {since_in_s} s after a credit",
    ),
    "M13": _say(
        "资金回流：对方 {reverse_s} 秒前曾付款，金额吻合度 {fit}",
        "round trip: the payee paid the payer {reverse_s} s ago, fit {fit}",
    ),
    "M14": _say(
        "24 小时内 {alike_out} 笔金额相近的付款，本笔 {amount_yuan} 元付给新收款方",
        "{alike_out} payments of about the same amount within 24 h, this one of {amount_yuan} yuan to a new payee",
    ),
    "M15": _say(
        "拆分规避限额：24 小时内 {out_n_24h} 笔共 {out_24h_yuan} 元，本笔低于限额",
        "split under the limit: {out_n_24h} debits of {out_24h_yuan} yuan in all within 24 h, this one below the limit",
    ),
    "M16": _say(
        "疑似跑分：24 小时内 {strangers} 个新付款方，{alike_in} 笔金额相近",
        "collecting: {strangers} new payers within 24 h, {alike_in} credits of about the same amount",
    ),
    "M17": _say(
        "收款方当日入账 {payee_in_yuan} 元、已转出 {payee_out_yuan} 元，新付款方再转入 {amount_yuan} 元",
        "the payee received {payee_in_yuan} and passed on {payee_out_yuan} yuan today; a new payer sends {amount_yuan}",
    ),
    "M18": _say(
        "收款方近期收入中可疑资金占 {payee_taint}",
        "share {payee_taint} of what the payee received of late is suspected",
    ),
    "M19": _say(
        "上笔入账 {last_in_yuan} 元，{since_in_s} 秒后即向新收款方付款 {amount_yuan} 元，当日有首次付款方的资金入账",
        "{amount_yuan} yuan go to a new payee {since_in_s} s after {last_in_yuan} came in; a new payer paid in today",
    ),
    "M20": _say(
        "收款方常在收款后 10 分钟内转出（比例 {payee_quick}），本笔 {amount_yuan} 元",
        "the payee often passes money on within 10 min (share {payee_quick}), now gets {amount_yuan} yuan",
    ),
    "V01": _say(
        "首次向该收款方付款 {amount_yuan} 元，高出习惯 {z} 个标准差，此前最大一笔 {max_yuan} 元",
        "first payment to this payee: {amount_yuan} yuan, {z} deviations above habit, largest before {max_yuan} yuan",
    ),
    "V02": _say(
        "付款方通话中首次向该收款方付款 {amount_yuan} 元",
        "in a call while paying this payee for the first time: {amount_yuan} yuan",
    ),
    "V03": _say(
        "夜间（{hour} 时）首次向该收款方付款 {amount_yuan} 元",
        "at night (hour {hour}) a first payment of {amount_yuan} yuan",
    ),
    "V04": _say(
        "向新近收款方逐笔加大：上笔 {last_yuan} 元，本笔 {amount_yuan} 元",
        "growing payments to a recent payee: {last_yuan} yuan before, {amount_yuan} now",
    ),
    "V05": _say(
        "小额试探后大额：1 小时内有一笔 {least_yuan} 元，现向新收款方付 {amount_yuan} 元",
        "probe, then large: {least_yuan} yuan within the hour, now {amount_yuan} to a new payee",
    ),
    "V06": _say(
        "更换设备后首次向该收款方付款 {amount_yuan} 元",
        "another device makes a first payment of {amount_yuan} yuan",
    ),
    "V07": _say(
        "向新收款方转走余额的 {emptied}，共 {amount_yuan} 元",
        "share {emptied} of the balance goes to a new payee: {amount_yuan} yuan",
    ),
    "V08": _say(
        "首次向该收款方大额付款 {amount_yuan} 元",
        "first payment to this payee is large: {amount_yuan} yuan",
    ),
    "3002": _say(
        "涉案记录：收款方曾在 {payee_proven} 笔、付款方曾在 {payer_proven} 笔已确认的诈骗中收款",
        "on record: payee received in {payee_proven} proven frauds, payer in {payer_proven}",
    ),
    "3006": _say(
        "分散转入集中转出：7 天入账 {in_n_7d} 笔 {in_7d_yuan} 元，转出 {out_n_7d} 笔 {out_7d_yuan} 元",
        "scattered in, gathered out: {in_n_7d} credits ({in_7d_yuan} yuan), {out_n_7d} debits ({out_7d_yuan}) in 7 d",
    ),
    "3007": _say(
        "集中转入分散转出：7 天入账 {in_n_7d} 笔 {in_7d_yuan} 元，转出 {out_n_7d} 笔 {out_7d_yuan} 元",
        "gathered in, scattered out: {in_n_7d} credits ({in_7d_yuan} yuan), {out_n_7d} debits ({out_7d_yuan}) in 7 d",
    ),
    "3008": _say(
        "重复交易：5 个工作日内向对方付款 {pair_out} 笔、收款 {pair_in} 笔",
        "repeated: {pair_out} payments to and {pair_in} from one counterparty in 5 working days",
    ),
    "C01": _say(
        "综合双方账户，收款方疑似出租出借账户：24 小时内入账 {payee_24h_yuan} 元（含本笔 {amount_yuan} 元），"
        "首次付款方 {strangers} 个，收款后快速转出比例 {payee_quick}，近期收入中可疑资金占 {payee_taint}",
        "all that is known of both says that the payee is for hire: {payee_24h_yuan} yuan in 24 h (this "
        "one {amount_yuan}), {strangers} first-time payers, quick share {payee_quick}, suspected share {payee_taint}",
    ),
    "C02": _say(
        "付款方疑似出租出借账户，正向商户、取现渠道或自有资金充足的账户转出：24 小时内入账 {payer_24h_yuan} 元，"
        "近期收入中可疑资金占 {taint}，入账 {since_in_s} 秒后转出 {amount_yuan} 元",
        "the payer seems for hire, and money leaves to an acceptor or to who keeps its own: {payer_24h_yuan} yuan came "
        "in within 24 h, suspected share of late {taint}; {amount_yuan} yuan leave {since_in_s} s after a credit",
    ),
}

LISTED: Final[dict[str, tuple[str, str]]] = {
    "3004": ("收款账户在涉案账户名单上", "the payee is on the list of involved accounts"),
    "3005": ("付款账户在涉案账户名单上", "the payer is on the list of involved accounts"),
    "0302": ("账户在白名单上，不予止付", "an account is on the white list and is not stopped"),
    "L002": ("账户在可疑账户名单上", "an account is on the list of suspicious accounts"),
}
"""Grounds that come from lists, by the platform's code where there is one (3004, 3005, and 0302 of the results)."""

UNRULED: Final = {
    "3004": Severity.CRITICAL,
    "3005": Severity.CRITICAL,
    "0302": Severity.NOTICE,
    "9999": Severity.ELEVATED,
}
"""Severity of the grounds that have no section in the settings."""

SEVERITY_NAMES: Final = {
    Severity.NOTICE: ("提示", "notice"),
    Severity.ELEVATED: ("关注", "elevated"),
    Severity.SERIOUS: ("严重", "serious"),
    Severity.CRITICAL: ("紧急", "critical"),
}
"""Chinese first, then English."""

SEVERITY_MEANINGS: Final = {
    Severity.NOTICE: "A circumstance that honest life shows every day; it says something beside others only.",
    Severity.ELEVATED: "A pattern of laundering or of a victim; nothing says that minutes count.",
    Severity.SERIOUS: "Suspected money is on the move, or a person may be talked into paying just now: minutes count.",
    Severity.CRITICAL: "An account is for hire, or named by a list, a victim or a verdict: hold the money at once.",
}


def reason_of(code: str, weight: float, facts: Facts, severity: Severity) -> Reason:
    """Return the reason for a rule that fired."""
    wording = TEXTS[code]
    evidence: Evidence = {key: EVIDENCE[key](facts) for key in wording.keys}
    return Reason(
        code=code,
        weight=weight,
        zh=wording.zh.format_map(evidence),
        en=wording.en.format_map(evidence),
        evidence=evidence,
        severity=severity,
    )


def listed_reason(code: str, weight: float, severity: Severity | None = None) -> Reason:
    """Return the reason for a list entry; ``severity`` if the rule book sets it, or that of `UNRULED`."""
    zh, en = LISTED[code]
    return Reason(code=code, weight=weight, zh=zh, en=en, severity=severity or UNRULED[code])


def panel_reason(weight: float, scores: tuple[DetectorScore, ...]) -> Reason:
    """Return the platform's code 9999 (other, free text) for risk that detectors add to the rules'."""
    evidence: Evidence = {score.name: round(score.score, 4) for score in scores}
    return Reason(
        code="9999",
        weight=weight,
        zh="检测器评分偏高：" + "、".join(f"{name} {value}" for name, value in evidence.items()),
        en="detectors score high: " + ", ".join(f"{name} {value}" for name, value in evidence.items()),
        evidence=evidence,
        severity=UNRULED["9999"],
    )
