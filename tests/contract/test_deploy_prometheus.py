"""Rules and scrape targets: valid, tested, explained, and about metrics that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import require
from tests.deploy_files import PROMETHEUS, ROOT, rules, selected, series_labels

ALERTS = rules("alerts.yml")
RECORDED = rules("recording.yml")
NAMES = [rule["alert"] for rule in ALERTS]
TARGET_LABELS = {"job", "instance", "region"}
"""Labels that Prometheus puts on every series of a scrape target."""

WANTED = {
    "latency SLO burn rate": "SluiceAssessLatencyBurn",
    "lag": "SluiceBacklog",
    "dead-letter share": "SluiceDeadLetterBurn",
    "hold near expiry": "SluiceHoldNearExpiry",
    "unconfirmed orders": "SluiceOrdersUnconfirmed",
    "silent bank": "SluiceBankSilent",
    "audit chain": "SluiceAuditChainBroken",
    "brake tripped": "SluiceBrakeTripped",
    "no transfers": "SluiceNoTransfers",
    "worker down": "SluiceWorkerDown",
}


def promtool(*args: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    require(program is not None, "promtool")
    return subprocess.run([str(program), *args], capture_output=True, text=True, check=False, cwd=PROMETHEUS)


@pytest.mark.prometheus
def test_configuration_and_rules_are_valid() -> None:
    done = promtool("check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stderr


@pytest.mark.prometheus
@pytest.mark.parametrize("path", sorted((PROMETHEUS / "tests").glob("*.yml")), ids=lambda path: path.stem)
def test_rules_do_what_their_tests_say(path: Path) -> None:
    done = promtool("test", "rules", f"tests/{path.name}")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.prometheus
def test_a_wrong_expectation_fails(tmp_path: Path) -> None:
    """The check above would be worth nothing if promtool passed everything."""
    text = (PROMETHEUS / "tests" / "banks.yml").read_text()
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(text.replace("../", f"{PROMETHEUS}/").replace("bank: icbc", "bank: nobody"))
    assert promtool("test", "rules", str(wrong)).returncode != 0


def test_every_alert_fires_and_stays_quiet_in_a_test() -> None:
    fires: set[str] = set()
    quiet: set[str] = set()
    for path in (PROMETHEUS / "tests").glob("*.yml"):
        for case in yaml.safe_load(path.read_text())["tests"]:
            for check in case["alert_rule_test"]:
                (fires if check["exp_alerts"] else quiet).add(check["alertname"])
    assert set(NAMES) - fires == set()
    one_sided = {"SluiceNoTransfers", "SluiceNotScoring", "SluiceStopLatencyBurn", "SluiceDeadLetterBurn"} | {
        "SluiceBankRefusing",
        "SluiceFalseStopsHigh",
    }
    assert set(NAMES) - quiet - one_sided == set(), "one-sided tests hold a second, quiet region or bank instead"


@pytest.mark.parametrize("name", sorted(WANTED))
def test_what_must_alert_does(name: str) -> None:
    assert WANTED[name] in NAMES


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_an_alert_says_what_it_is_in_both_languages_and_where_to_read(rule: dict[str, dict[str, str]]) -> None:
    notes = rule["annotations"]
    chinese, _, english = notes["summary"].partition(" / ")
    assert re.search(r"[\u4e00-\u9fff]", chinese)
    assert re.search(r"[a-z]", english)
    assert len(notes["description"]) > 20
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert notes["runbook_url"] == f"docs/runbook/{rule['alert']}.md"
    page = (ROOT / notes["runbook_url"]).read_text()
    assert page.startswith(f"# {rule['alert']}\n")
    for heading in ("## Meaning", "## Look at", "## Do", "## Escalate"):
        assert heading in page, f"{rule['alert']} has no {heading}"
    assert f"deploy/grafana/dashboards{notes['dashboard'].removeprefix('/d')}.json" in {
        str(path.relative_to(ROOT)) for path in (ROOT / "deploy" / "grafana" / "dashboards").iterdir()
    }


def test_runbook_has_no_page_for_an_alert_that_is_gone() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "runbook").glob("Sluice*.md")}
    assert pages == set(NAMES)
    index = (ROOT / "docs" / "runbook.md").read_text()
    assert [name for name in NAMES if f"](runbook/{name}.md)" not in index] == []


@pytest.mark.parametrize("rule", [*RECORDED, *ALERTS], ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_read_declared_metrics_and_their_labels(rule: dict[str, str]) -> None:
    known = series_labels()
    recorded = {recorded["record"] for recorded in RECORDED}
    for selector in selected(rule["expr"]):
        if selector.name in recorded:
            continue
        assert selector.name in known, f"telemetry/metrics.py does not declare {selector.name}"
        used = {matcher.name for matcher in selector.matchers.matchers}
        assert used <= known[selector.name] | TARGET_LABELS


def test_every_recorded_series_is_read_somewhere() -> None:
    text = (PROMETHEUS / "alerts.yml").read_text() + (PROMETHEUS / "recording.yml").read_text()
    text += "".join(path.read_text() for path in (ROOT / "deploy" / "grafana").glob("*.py"))
    unread = [rule["record"] for rule in RECORDED if len(re.findall(re.escape(rule["record"]) + r"\b", text)) < 2]
    assert unread == []


def test_slos_are_written_down() -> None:
    text = (ROOT / "docs" / "slo.md").read_text()
    alerts = (PROMETHEUS / "alerts.yml").read_text()
    for objective, budget in (("99 %", "0.01"), ("99.99 %", "0.0001")):
        assert objective in text
        assert f"* {budget}" in alerts
    for bound, bucket in (("100 ms", 'le="0.1"'), ("500 ms", 'le="0.5"')):
        assert bound in text
        assert bucket in (PROMETHEUS / "recording.yml").read_text()
