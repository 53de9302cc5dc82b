"""The report: one page that holds everything it shows and fetches nothing."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from html import escape
from html.parser import HTMLParser

import pytest

from simulators.replay import BacktestOptions, BacktestResult, run_backtest
from simulators.report_html import report_html
from simulators.svg import Axis, Line, bar_chart, line_chart

HEADER = "tx_id,ts,payer_account,payer_bank,payee_account,payee_bank,amount,currency,channel,is_fraud,typology"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> list[BacktestResult]:
    path = tmp_path_factory.mktemp("report") / "tiny.csv"
    lines = [
        f"t{n},2024-01-{1 + n // 100:02d}T{n // 10 % 24:02d}:{n % 60:02d}:00Z,A{n % 23},b,C{n % 17},b,{50 + n}.00,CNY,,"
        f"{int(n % 50 == 7)},{'<script>alert(1)</script>' if n % 50 == 7 else ''}"
        for n in range(900)
    ]
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return run_backtest([path], BacktestOptions(processes=1))


@pytest.fixture(scope="module")
def page(found) -> str:
    return report_html(found)


def test_the_page_is_well_formed_and_fetches_nothing(page):
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    names = {name for name, _ in tags.seen}
    assert not names & {"script", "link", "img", "iframe", "object"}
    assert not any(key in attrs for _, attrs in tags.seen for key in ("src", "href", "onload", "onclick"))
    assert "url(" not in page
    assert "@import" not in page


def test_every_part_is_there_and_names_from_the_file_are_escaped(page):
    parts = ("Precision and recall", "Recall by budget", "by typology", "Calibration", "Recall over time")
    for part in (*parts, "Fraud and risk over time", "Most used reasons", "Worst misses"):
        assert part in page
    assert "&lt;script&gt;" in page
    assert "tiny: 900 transfers, 18 fraud, labels after 1 day</h2>" in page


def test_the_worst_misses_have_their_story(found):
    story = found[0].story
    assert story.misses
    assert [miss.risk for miss in story.misses] == sorted(miss.risk for miss in story.misses)
    told = [reason for miss in story.misses for reason in miss.reasons]
    assert told, "nothing was stopped here, so no decision holds a reason, and the story must"
    page = report_html(found)
    for miss in story.misses:
        assert f"{miss.risk:.4f}, {miss.rank:,}" in page
        assert all(escape(line) in page for line in (*miss.reasons, *miss.contributions))
        assert miss.contributions


def test_charts_are_valid_xml_and_points_stay_inside():
    wild = line_chart(
        "a < b", Axis("x"), Axis("y"), [Line("one", [(-5.0, 2.0), (9.0, -3.0)]), Line("two", [(0.5, 0.5)])]
    )
    root = ET.fromstring(wild)
    for line in root.iter("polyline"):
        for point in line.get("points", "").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 460
            assert 0 <= y <= 260
    assert len(list(ET.fromstring(bar_chart("b", ["<x>", "y"], [0.1, 3.0], Axis("z"))).iter("rect"))) == 2
