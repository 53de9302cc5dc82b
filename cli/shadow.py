"""``sluice shadow``: what the panels beside the champion would have done, as the trainer last wrote it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import msgspec

from models.money.types import iso_from_us, yuan_from_fen
from models.risk.shadow import Difference
from stream.trainer import REPORT_FILE
from stream.watch import RivalReport, ShadowReport

NO_REPORT: Final = 2
SHOWN: Final = 20
"""Latest differences of each kind that are printed; ``--json`` has all that are kept."""

WORDS: Final = {
    "zh": {
        "champion": "{at} 在用模型 {version}",
        "trial": "有挑战者在试用，在用模型保留自己的树",
        "fallback": "已退回到最后的良好模型，学习结果只做对比",
        "alone": "没有可比的模型",
        "challenger": "挑战者 {version}",
        "last_good": "最后的良好模型 {version}",
        "counts": "  共同评分 {transfers} 笔；应止付：在用 {champion_stops}，对方 {rival_stops}，重合 {overlap}",
        "precision": "  已裁定止付的准确率：在用 {champion}，对方 {rival}",
        "loss": "  新标签 {frauds} 诈骗 {honest} 正常，损失差 {gap:+.5f}±{error:.5f}（负值表示对方更好）",
        "only_rival": "  只有对方会止付：",
        "only_champion": "  只有在用模型会止付：",
        "difference": "    {id} {at} {yuan}元 在用{champion:.3f} 对方{rival:.3f} {label}",
        "fraud": "诈骗",
        "honest": "正常",
        "": "未裁定",
    },
    "en": {
        "champion": "{at} in service: {version}",
        "trial": "a challenger is on trial; the panel in service keeps its own trees",
        "fallback": "fallen back to the last good panel; what is learned is only compared",
        "alone": "nothing to compare with",
        "challenger": "challenger {version}",
        "last_good": "last good panel {version}",
        "counts": "  {transfers} scored by both; would stop: in service {champion_stops}, other {rival_stops}, "
        "overlap {overlap}",
        "precision": "  precision of labelled stops: in service {champion}, other {rival}",
        "loss": "  new labels: {frauds} fraud, {honest} honest; loss gap {gap:+.5f} +- {error:.5f} "
        "(below 0: the other is better)",
        "only_rival": "  only the other would have stopped:",
        "only_champion": "  only the panel in service would have stopped:",
        "difference": "    {id} {at} {yuan} yuan, in service {champion:.3f}, other {rival:.3f}, {label}",
        "fraud": "fraud",
        "honest": "honest",
        "": "not judged yet",
    },
}


def run_shadow(data_dir: Path, *, lang: str, as_json: bool) -> int:
    """Print the trainer's last report; return 0, or `NO_REPORT` if there is none that this release can read."""
    path = data_dir / REPORT_FILE
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        sys.stderr.write(f"there is no {path}: no trainer has published from this folder yet\n")
        return NO_REPORT
    try:
        report = msgspec.json.decode(raw, type=ShadowReport)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        sys.stderr.write(f"{path} is no report of this release: {error}; a trainer of this release writes it anew\n")
        return NO_REPORT
    sys.stdout.write((raw.decode() if as_json else as_text(report, lang)) + "\n")
    return 0


def as_text(report: ShadowReport, lang: str) -> str:
    """Return the report in Chinese (``zh``) or English (``en``)."""
    words = WORDS[lang]
    lines = [words["champion"].format(at=iso_from_us(report.at_us), version=report.champion)]
    lines += [words["trial"]] if report.on_trial else []
    lines += [words["fallback"]] if report.fallback else []
    lines += [] if report.rivals else [words["alone"]]
    for rival in report.rivals:
        lines += _rival(rival, words)
    return "\n".join(lines)


def _rival(rival: RivalReport, words: dict[str, str]) -> list[str]:
    figures = rival.figures
    counts = {
        "transfers": figures.transfers,
        "champion_stops": figures.champion_stops,
        "rival_stops": figures.rival_stops,
        "overlap": _share(figures.overlap),
    }
    lines = [
        words[rival.role.value].format(version=rival.version),
        words["counts"].format_map(counts),
        words["precision"].format(champion=_share(figures.champion_precision), rival=_share(figures.rival_precision)),
        words["loss"].format(
            frauds=rival.labelled_frauds,
            honest=rival.labelled_honest,
            gap=rival.loss_gap,
            error=rival.loss_gap_error,
        ),
    ]
    for name, found in (("only_rival", figures.only_rival), ("only_champion", figures.only_champion)):
        if found:
            lines += [words[name], *(_difference(each, words) for each in found[-SHOWN:])]
    return lines


def _difference(each: Difference, words: dict[str, str]) -> str:
    return words["difference"].format(
        id=each.transfer_id,
        at=iso_from_us(each.occurred_us),
        yuan=yuan_from_fen(each.amount_fen),
        champion=each.champion_risk,
        rival=each.rival_risk,
        label=words[each.label],
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"
