"""The runbook speaks of what there is: settings, commands, calls, metrics, panels, services and files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from api.app import create_app
from api.settings import ApiSettings
from cli.main import app
from cli.settings_page import PROGRAMS, variables
from stream.exitcodes import ExitCode
from tests.deploy_files import DASHBOARDS, ROOT, compose, example_env, rules, series_labels

PAGES = [ROOT / "docs" / "runbook.md", ROOT / "docs" / "slo.md", *sorted((ROOT / "docs" / "runbook").glob("*.md"))]
SERVICES = set(compose()["services"])
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
PROSE = {"Partitions", "Site Reliability Workbook", "After a restore"}
"""What stands in italics and begins with a capital, but is no panel."""

OPTIONS_WITH_A_VALUE = {"--tail", "--scale", "-s"}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def code(page: Path) -> Iterator[str]:
    """Yield everything that is set as code: fenced blocks line by line, and words between backticks."""
    text = page.read_text()
    for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def titles() -> set[str]:
    """Return the English names of dashboards, rows and panels; a Chinese one may end in ``p99``."""
    found = {title for path in DASHBOARDS for title in re.findall(r'"title": "([^"]+)"', path.read_text())}
    return {re.sub(r"^[^A-Za-z]+(?:p99 )?(?:Sluice )?", "", title) for title in found}


@pages
def test_settings_exist(page: Path) -> None:
    known = {name for settings in PROGRAMS.values() for name in variables(settings)} | set(example_env())
    known |= {f"SLUICE_{name}" for name in ("OPERATOR_KEY", "API_URL")}
    for name, star in re.findall(r"(SLUICE_[A-Z_]+)(\*?)", page.read_text()):
        assert any(each.startswith(name) for each in known) if star else name in known, name


@pages
def test_metrics_and_recorded_series_exist(page: Path) -> None:
    known = set(series_labels()) | {re.sub(r"_(bucket|count|sum)$", "", name) for name in series_labels()}
    recorded = {rule["record"] for rule in rules("recording.yml")}
    text = page.read_text()
    assert {name for name in re.findall(r"\bsluice_[a-z_]+\b", text) if name != "sluice_kafka"} <= known
    assert set(re.findall(r"\bsluice:\w+:\w+", text)) <= recorded


@pages
def test_commands_of_ours_exist_with_their_options(page: Path) -> None:
    for command in code(page):
        words = command.split()
        if len(words) > 1 and words[0] == "sluice":
            known = {option for each in COMMANDS[words[1]].params for option in each.opts}
            assert {word for word in words[2:] if word.startswith("--")} <= known, command


def test_calls_of_the_api_exist_with_their_parameters(tmp_path: Path) -> None:
    settings = ApiSettings(broker="127.0.0.1:9", database_url=f"sqlite:///{tmp_path}/x.db", bank_url="http://bank")
    paths = create_app(settings).openapi()["paths"]
    seen = 0
    for page in PAGES:
        for verb, path, query in re.findall(r"\b(GET|POST) (/v1/[^`?\s]+)(?:\?([^`\s]+))?", page.read_text()):
            taken = {each["name"] for each in paths[path][verb.lower()].get("parameters", [])}
            assert {pair.split("=")[0] for pair in query.split("&") if pair} <= taken, (page.stem, path)
            seen += 1
        for path in re.findall(r"http://127\.0\.0\.1:8080(/[\w/:.-]+)", page.read_text()):
            assert path in paths, (page.stem, path)
            seen += 1
    assert seen >= 8


@pages
def test_panels_exist(page: Path) -> None:
    known = titles()
    named = set(re.findall(r"(?<!\*)\*([A-Z][^*\n]+)\*(?!\*)", page.read_text())) - PROSE
    for name in named:
        assert name in known, f"{page.stem}: there is no panel {name}"


@pages
def test_services_exist(page: Path) -> None:
    for command in code(page):
        words = command.split()
        if words[:2] != ["docker", "compose"] or len(words) < 3:
            continue
        verb, rest = words[2], words[3:]
        for option in OPTIONS_WITH_A_VALUE & set(rest):
            at = rest.index(option)
            value = rest[at + 1]
            assert option != "--scale" or value.split("=")[0] in SERVICES, command
            del rest[at : at + 2]
        named = [word for word in rest if not word.startswith("-")]
        named = named[:1] if verb in {"exec", "run"} else named
        assert set(named) <= SERVICES | {"NAME"}, command


@pages
def test_links_and_files_exist(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert "://" in target or (page.parent / target).exists(), target
    for path in re.findall(r"`((?:deploy|tests|docs|telemetry|bench)/[\w/.-]+)`", text):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"\.env\.\w+", text):
        assert name in (ROOT / ".env.example").read_text(), name


def test_the_list_of_exit_codes_is_complete() -> None:
    text = (ROOT / "docs" / "runbook" / "SluiceNotScoring.md").read_text()
    told = {int(number) for number in re.findall(r"\b(6\d|7\d)\b", text)}
    assert told == {int(each) for each in ExitCode if each}
