"""Whatever a file of the repository cites is in the repository: pages, their entries and headings, decisions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
FOLDERS: Final = ("models", "stream", "api", "simulators", "telemetry", "cli", "tests", "bench", "deploy", "docs")
KINDS: Final = {".py", ".md", ".toml", ".yml", ".yaml", ".json", ".conf", ".ini", ".example"}
PAGES: Final = {
    path.relative_to(ROOT).as_posix(): path
    for path in [*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))]
}
FILES: Final = sorted(
    [
        *(path for path in ROOT.iterdir() if path.is_file() and (path.suffix in KINDS or path.name == "Makefile")),
        *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in KINDS),
    ]
)

MENTION: Final = re.compile(r"(?<![\w/.}*-])((?:[\w.-]+/|\.\./)*[\w-]+\.md)(?:#([\w-]+))?")
DECISION: Final = re.compile(r"\bdecisions/(\d{4})\b")
LINK: Final = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#[^)\s]*)?\)")
BY_NUMBER: Final = re.compile(r"\b(?:architecture|domain)(?:\.md)?[`,]+ (?:section |decision )?\d", re.IGNORECASE)
WRITTEN_BY_TESTS: Final = {"page.md"}


def page_of(name: str, cited_in: Path) -> Path | None:
    """Return the page that a name means where it is cited: beside the file, from the root, or among the docs."""
    for start in (cited_in.parent, ROOT, ROOT / "docs", ROOT / "docs/runbook"):
        found = (start / name).resolve()
        if found.is_file() and found.is_relative_to(ROOT):
            return found
    return None


def places_in(page: Path) -> set[str]:
    """Return what may follow ``#``: anchors, and headings as a forge names them."""
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([\w-]+)">', text))


def wrong_citations(text: str, cited_in: Path) -> list[str]:
    """Return the citations in a text that lead nowhere."""
    wrong = [found[0] for found in BY_NUMBER.finditer(text)]
    for name, place in MENTION.findall(text):
        page = page_of(name, cited_in)
        if page is None and name not in WRITTEN_BY_TESTS:
            wrong.append(name)
        elif page is not None and place and place not in places_in(page):
            wrong.append(f"{name}#{place}")
    wrong += [number for number in DECISION.findall(text) if not list((ROOT / "docs/decisions").glob(f"{number}-*.md"))]
    return wrong


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_file_cites_is_there(path: Path) -> None:
    if path == Path(__file__):
        return
    assert wrong_citations(path.read_text(encoding="utf-8"), path) == []


@pytest.mark.parametrize("name", sorted(PAGES))
def test_links_of_a_page_lead_somewhere(name: str) -> None:
    page = PAGES[name]
    linked = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if target]
    assert [target for target in linked if not (page.parent / target).exists()] == []


@pytest.mark.parametrize(
    "text",
    [
        "the law (``elsewhere.md`` 2.1)",
        "as `domain.md` 6.2 says",
        "see (architecture, section 7)",
        "cured (architecture, decision 3)",
        "docs/sources.md#no-such-law",
        "[so](docs/decisions/0011-another-name.md)",
        "as decided (docs/decisions/9999)",
    ],
)
def test_a_citation_of_what_is_not_there_is_seen(text: str) -> None:
    assert wrong_citations(text, ROOT / "models" / "wire.py")


def test_code_that_the_sources_name_is_there() -> None:
    sources = PAGES["docs/sources.md"].read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)+[\w.]+\.py)`", sources))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []
