"""``sluice explain``: a decision computed again from what was recorded, and told in words."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

import httpx
import msgspec

from api.replies import TransferView
from cli.refusals import reason_of, refusal
from models.money.types import yuan_from_fen
from models.risk.assessment import Assessment, Reason, gravest_first
from models.risk.explain import Explanation, UnexplainableError, explain, panel_named
from models.risk.panel import PANEL, TrainedPanel, panel_from_snapshot
from models.risk.rules.texts import SEVERITY_NAMES
from models.risk.scorer import Scorer
from models.risk.snapshot import SnapshotError
from models.signing import SignatureError, check_content, verify_snapshot
from models.wire import ModelSnapshot, Topic, archive_key, decode_assessment, decode_snapshot
from stream.lookup import NotRead, find_record
from stream.rulebook import RulesUnreadable, read_rules

API_TIMEOUT_S: Final = 30.0
BROKER_TIMEOUT_S: Final = 600.0

AGREES: Final = 0
DIFFERS: Final = 1
NOT_EXPLAINED: Final = 2


class ExplainOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the person asked for; ``broker`` takes the place of the api, ``rules`` is the workers' file of rules."""

    transfer_id: str
    api_url: str
    key: str
    broker: str
    topic_prefix: str = ""
    snapshot_key: str
    lang: str
    as_json: bool
    rules: Path | None = None


class NotFound(Exception):
    """There is no such transfer, no assessment of it yet, or its snapshot is kept nowhere."""


class Refused(Exception):
    """The api does not answer, or refuses the question."""


class Source(Protocol):
    """Where assessments and snapshots are looked up; both raise `NotFound`."""

    def assessment(self, transfer_id: str) -> Assessment:
        """Return the assessment of a transfer."""
        ...

    def snapshot(self, version: str) -> ModelSnapshot:
        """Return the panel's snapshot of a version."""
        ...


class ApiSource:
    """Looks into the database, through the api; raises `Refused` if it does not answer or refuses."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def assessment(self, transfer_id: str) -> Assessment:
        """Return the assessment of a transfer."""
        view = msgspec.json.decode(
            self._get(f"/v1/transfers/{quote(transfer_id, safe='')}", f"there is no transfer {transfer_id}"),
            type=TransferView,
        )
        if view.assessment is None:
            raise NotFound(f"transfer {transfer_id} is {view.status}, but not assessed yet")
        return view.assessment

    def snapshot(self, version: str) -> ModelSnapshot:
        """Return the panel's snapshot of a version."""
        return decode_snapshot(self._get(f"/v1/snapshots/{PANEL}/{version}", _gone(version, "the archive")))

    def _get(self, path: str, missing: str) -> bytes:
        try:
            answer = self._client.get(path)
        except httpx.HTTPError as error:
            raise Refused(reason_of(error)) from error
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise NotFound(missing)
        if not answer.is_success:
            raise Refused(refusal(str(self._client.base_url).rstrip("/"), answer))
        return answer.content


class BrokerSource:
    """Reads the topics behind ``topic_prefix`` from their beginnings; raises `NotRead` if that fails."""

    def __init__(self, broker: str, topic_prefix: str = "") -> None:
        self._broker = broker
        self._assessments = topic_prefix + Topic.ASSESSMENTS
        self._snapshots = topic_prefix + Topic.SNAPSHOTS

    def assessment(self, transfer_id: str) -> Assessment:
        """Return the assessment of a transfer."""
        named = b'"transfer_id":' + msgspec.json.encode(transfer_id)
        record = find_record(
            self._broker,
            self._assessments,
            lambda each: named in (each.value or b"") and _is_of(each.value or b"", transfer_id),
            timeout_s=BROKER_TIMEOUT_S,
        )
        if record is None:
            raise NotFound(f"topic {self._assessments} holds no assessment of transfer {transfer_id}")
        return decode_assessment(record.value or b"")

    def snapshot(self, version: str) -> ModelSnapshot:
        """Return the panel's snapshot of a version."""
        key = archive_key(PANEL, version).encode()
        record = find_record(self._broker, self._snapshots, lambda each: each.key == key, timeout_s=BROKER_TIMEOUT_S)
        if record is None:
            raise NotFound(_gone(version, f"topic {self._snapshots}"))
        return decode_snapshot(record.value or b"")


def _is_of(value: bytes, transfer_id: str) -> bool:
    """Return whether a value is the assessment of a transfer; what cannot be read is nobody's."""
    try:
        return decode_assessment(value).transfer.transfer_id == transfer_id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def _gone(version: str, place: str) -> str:
    return f"snapshot {version}, which the decision names, is not in {place}: the decision cannot be computed again"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An explained decision; ``signature`` is ``valid``, ``unchecked`` (no key was given) or ``none`` (rules alone)."""

    assessment: Assessment
    explanation: Explanation
    signature: str


def explained(source: Source, transfer_id: str, key: str, scorer: Scorer) -> Told:
    """Return the explanation of a decision, its band by the rule book of ``scorer``.

    Raise `NotFound`, `SignatureError`, `SnapshotError`, `UnexplainableError`, or what the source raises.
    """
    assessment = source.assessment(transfer_id)
    version = panel_named(assessment)
    if version is None:
        return Told(assessment=assessment, explanation=explain(assessment, None, scorer=scorer), signature="none")
    record = source.snapshot(version)
    panel = trusted(record, key)
    signature = "valid" if key else "unchecked"
    return Told(assessment=assessment, explanation=explain(assessment, panel, scorer=scorer), signature=signature)


def trusted(record: ModelSnapshot, key: str) -> TrainedPanel:
    """Return the panel of a snapshot; raise `SignatureError` if it is not what its version or its signature says."""
    check_content(record)
    if key:
        verify_snapshot(record, key=key.encode())
    return panel_from_snapshot(record.payload)


def run_explain(options: ExplainOptions) -> int:
    """Explain and print; return `AGREES`, `DIFFERS` (also for a wrong signature) or `NOT_EXPLAINED`."""
    try:
        scorer = Scorer(rules=read_rules(options.rules))
        told = _with_source(
            options, lambda source: explained(source, options.transfer_id, options.snapshot_key, scorer)
        )
    except (SignatureError, NotFound, SnapshotError, UnexplainableError, NotRead, Refused, RulesUnreadable) as error:
        sys.stderr.write(f"{error}\n")
        return DIFFERS if isinstance(error, SignatureError) else NOT_EXPLAINED
    text = msgspec.json.encode(as_object(told)).decode() if options.as_json else as_text(told, options.lang)
    sys.stdout.write(text + "\n")
    if not told.explanation.checks:
        return NOT_EXPLAINED
    return AGREES if told.explanation.agrees else DIFFERS


def _with_source(options: ExplainOptions, work: Callable[[Source], Told]) -> Told:
    if options.broker:
        return work(BrokerSource(options.broker, options.topic_prefix))
    headers = {"X-Api-Key": options.key}
    with httpx.Client(base_url=options.api_url, timeout=API_TIMEOUT_S, headers=headers) as client:
        return work(ApiSource(client))


def as_object(told: Told) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    found = told.explanation
    return {
        "transfer_id": told.assessment.transfer.transfer_id,
        "risk": told.assessment.risk,
        "band": found.band,
        "panel": found.panel,
        "rule_book": told.assessment.rule_book,
        "signature": told.signature,
        "agrees": found.agrees,
        "complete": found.complete,
        "checks": [msgspec.structs.asdict(check) | {"agrees": check.agrees} for check in found.checks],
        "contributions": found.contributions,
        "reasons": found.reasons,
    }


WORDS: Final = {
    "zh": {
        "head": "转账 {id}：{yuan} 元，风险 {risk:.4f}，判定 {band}",
        "made": "模型 {panel}（签名{signature}），规则 {book}",
        "valid": "有效",
        "unchecked": "未核对，缺少密钥",
        "none": "不适用，仅规则",
        "same": "重算一致：记录的特征与该快照给出完全相同的风险",
        "other": "重算不一致：",
        "nothing": "无可重算：规则版本不同，且风险由名单决定",
        "partly": "档位与名单的作用未重算：规则版本不同",
        "reasons": "理由：",
        "carries": "{text}（风险中占 {weight:.3f}）",
        "why": "各特征的作用（从强到弱）：",
        "check": "  {name}：记录 {recorded}，重算 {recomputed}",
    },
    "en": {
        "head": "transfer {id}: {yuan} yuan, risk {risk:.4f}, band {band}",
        "made": "panel {panel} (signature {signature}), rules {book}",
        "valid": "valid",
        "unchecked": "unchecked, no key was given",
        "none": "none, rules alone",
        "same": "computed again: the recorded features and that snapshot give exactly the same risk",
        "other": "computed again, it DIFFERS:",
        "nothing": "nothing could be computed again: the rule book is another, and lists have made this risk",
        "partly": "the band and what lists do were not computed again: the rule book is another",
        "reasons": "reasons:",
        "carries": "{text} ({weight:.3f} of the risk)",
        "why": "what each feature does, strongest first:",
        "check": "  {name}: recorded {recorded}, now {recomputed}",
    },
}


def as_text(told: Told, lang: str) -> str:
    """Return the decision in sentences, in Chinese (``zh``) or English (``en``)."""
    words, found, assessment = WORDS[lang], told.explanation, told.assessment
    transfer = assessment.transfer
    lines = [
        words["head"].format(
            id=transfer.transfer_id, yuan=yuan_from_fen(transfer.amount_fen), risk=assessment.risk, band=found.band
        ),
        words["made"].format(panel=found.panel, signature=words[told.signature], book=assessment.rule_book),
        words["same" if found.agrees else "other" if found.checks else "nothing"],
    ]
    for check in found.checks:
        if not check.agrees:
            lines.append(words["check"].format_map(msgspec.structs.asdict(check)))
    if found.recomputed_band not in (None, found.band):
        values = {"name": "band", "recorded": found.band, "recomputed": found.recomputed_band}
        lines.append(words["check"].format_map(values))
    if not found.complete:
        lines.append(words["partly"])
    lines += _listed(words["reasons"], [_marked(reason, lang) for reason in gravest_first(found.reasons)])
    lines += _listed(words["why"], [getattr(part, lang) for part in found.contributions])
    return "\n".join(lines)


def _marked(reason: Reason, lang: str) -> str:
    """Return a reason's text after its severity, if one was recorded, and before its part of the risk."""
    text = WORDS[lang]["carries"].format(text=reason.zh if lang == "zh" else reason.en, weight=reason.weight)
    if reason.severity is None:
        return text
    zh, en = SEVERITY_NAMES[reason.severity]
    return f"【{zh}】{text}" if lang == "zh" else f"[{en}] {text}"


def _listed(head: str, items: list[str]) -> list[str]:
    return [head, *(f"  - {item}" for item in items)] if items else []
