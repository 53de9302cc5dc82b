"""``sluice shadow`` prints what the trainer wrote, in both languages."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from cli.shadow import NO_REPORT, WORDS, run_shadow
from models.risk.contest import Role
from models.risk.shadow import Seen, Shadow
from stream.trainer import REPORT_FILE
from stream.watch import RivalReport, ShadowReport


def seen(transfer_id: str, champion: float, rival: float) -> Seen:
    return Seen(
        transfer_id=transfer_id,
        occurred_us=1_700_000_000_000_000,
        amount_fen=123_456,
        champion_risk=champion,
        rival_risk=rival,
        champion_stops=champion >= 0.8,
        rival_stops=rival >= 0.8,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shadow = Shadow()
    shadow.observe([seen("t-both", 0.9, 0.9), seen("t-rival", 0.2, 0.95), seen("t-champion", 0.85, 0.1)])
    shadow.learn("t-rival", fraud=True)
    shadow.learn("t-champion", fraud=False)
    rival = RivalReport(
        role=Role.CHALLENGER,
        version="p-2",
        labelled_frauds=3,
        labelled_honest=7,
        loss_gap=-0.01,
        loss_gap_error=0.002,
        figures=shadow.figures(),
    )
    report = ShadowReport(at_us=1_700_000_000_000_000, champion="p-1", on_trial=True, fallback=True, rivals=(rival,))
    (tmp_path / REPORT_FILE).write_bytes(msgspec.json.encode(report))
    return tmp_path


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        (
            "zh",
            (
                "在用模型 p-1",
                "挑战者 p-2",
                "重合 33.3%",
                "只有对方会止付",
                "t-rival",
                "1234.56元",
                "诈骗",
                "试用",
                "退回",
            ),
        ),
        (
            "en",
            ("in service: p-1", "challenger p-2", "overlap 33.3%", "only the other", "t-champion", "honest", "-0.01"),
        ),
    ],
)
def test_the_report_in_words(
    folder: Path, capsys: pytest.CaptureFixture[str], lang: str, words: tuple[str, ...]
) -> None:
    assert run_shadow(folder, lang=lang, as_json=False) == 0
    printed = capsys.readouterr().out
    assert [word for word in words if word not in printed] == []


def test_the_report_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_shadow(folder, lang="zh", as_json=True) == 0
    found = msgspec.json.decode(capsys.readouterr().out, type=ShadowReport)
    assert [each.transfer_id for each in found.rivals[0].figures.only_rival] == ["t-rival"]


def test_without_a_trainer_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_shadow(tmp_path, lang="zh", as_json=False) == NO_REPORT
    assert "no trainer" in capsys.readouterr().err


@pytest.mark.parametrize("raw", [b'{"at_us":1,"champion":"p-1"}', b'{"at_us":', b"", b"\xff", b'{"at_us":"\xff"}'])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_report_of_another_release_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], raw: bytes, as_json: bool
) -> None:
    (folder / REPORT_FILE).write_bytes(raw)
    assert run_shadow(folder, lang="zh", as_json=as_json) == NO_REPORT
    told = capsys.readouterr()
    assert told.out == ""
    assert f"{folder / REPORT_FILE} is no report of this release: " in told.err


def test_both_languages_have_the_same_sentences() -> None:
    assert WORDS["zh"].keys() == WORDS["en"].keys()
