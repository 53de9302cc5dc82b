"""Both forms of scoring are one: same bytes, and never a compiled form of sources that have changed since."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from telemetry.compiled import MANIFEST, PLAIN_VARIABLE, ROOT, Form, running_form, why_plain
from tests.conftest import require

PLAIN_ASKED = bool(os.environ.get(PLAIN_VARIABLE))

ASSESS = """
from hashlib import sha256
from telemetry.compiled import choose_form, running_form
choose_form()
from bench.traffic import scored_town
from models.risk.profile import encode_profile
from models.risk.scorer import Scorer
from models.wire import encode
town = scored_town(customers=400, days=3.0, fraud_share=0.03, seed=11, limit=3_000)
digest = sha256()
for assessment in Scorer().judge(town.drafts):
    digest.update(encode(assessment))
for account in sorted(town.profiles):
    digest.update(encode_profile(town.profiles[account]))
print(running_form(), len(town.drafts), digest.hexdigest())
"""

MARKED = """
from telemetry.compiled import choose_form, running_form
form = choose_form()
from models.risk import facts
assert form is running_form()
print(form, getattr(facts, "MARK", "no mark"), facts.__file__.rpartition(".")[2])
"""


def run(code: str, *, folder: Path = ROOT, **environment: str) -> list[str]:
    env = {**os.environ, "PYTHONPATH": str(folder), **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PLAIN_VARIABLE, raising=False)
    require(not why_plain(), f"the compiled form of scoring ({why_plain()})")


@pytest.fixture
def copy(compiled: None, tmp_path: Path) -> Path:
    """Return a folder with copies of the packages that a scoring module needs, compiled as they are here."""
    for package in ("models", "telemetry"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.usefixtures("compiled")
def test_both_forms_give_the_same_bytes() -> None:
    form, number, digest = run(ASSESS)
    assert (form, int(number) > 2_500) == (Form.COMPILED, True)
    assert run(ASSESS, **{PLAIN_VARIABLE: "1"}) == [Form.PLAIN, number, digest]


@pytest.mark.usefixtures("compiled")
def test_the_tests_run_the_form_that_programs_run() -> None:
    assert running_form() is (Form.PLAIN if PLAIN_ASKED else Form.COMPILED)


@pytest.mark.usefixtures("compiled")
def test_the_build_noted_each_module_that_it_compiled() -> None:
    listed = re.findall(r'^    "(models/.*\.py)",$', (ROOT / "setup.py").read_text(), re.MULTILINE)
    noted = json.loads((ROOT / MANIFEST).read_text())["sources"]
    assert list(noted) == listed
    assert noted == {source: sha256((ROOT / source).read_bytes()).hexdigest() for source in listed}


def test_an_untouched_copy_runs_compiled(copy: Path) -> None:
    assert run(MARKED, folder=copy) == [Form.COMPILED, "no", "mark", "so"]


def test_an_edited_rule_acts_at_once(copy: Path) -> None:
    with (copy / "models" / "risk" / "facts.py").open("a") as source:
        source.write('\nMARK = "edited"\n')
    assert run(MARKED, folder=copy) == [Form.PLAIN, "edited", "py"]
    assert "models/risk/facts.py has changed" in why_plain(copy)


def test_an_edit_of_one_module_makes_all_of_them_plain(copy: Path) -> None:
    with (copy / "models" / "risk" / "rules" / "mule.py").open("a") as source:
        source.write("\n# a word more\n")
    assert run(MARKED, folder=copy) == [Form.PLAIN, "no", "mark", "py"]


def _forget_the_note(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def _take_away_a_module(folder: Path) -> None:
    (folder / "models" / "risk" / "rules" / "book.py").with_suffix(EXTENSION_SUFFIXES[0]).unlink()


def _leave_a_module_of_an_older_build(folder: Path) -> None:
    rules = folder / "models" / "risk" / "rules"
    shutil.copy((rules / "book.py").with_suffix(EXTENSION_SUFFIXES[0]), rules / f"texts{EXTENSION_SUFFIXES[0]}")


def _tear_the_note(folder: Path) -> None:
    (folder / MANIFEST).write_text('{"suffix": ')


def _build_with_another_python(folder: Path) -> None:
    noted = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**noted, "suffix": ".cpython-399-x86_64-linux-gnu.so"}))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_forget_the_note, "nothing was compiled"),
        (_take_away_a_module, "other modules are compiled"),
        (_leave_a_module_of_an_older_build, "other modules are compiled"),
        (_build_with_another_python, "for another Python"),
        (_tear_the_note, "is unreadable"),
    ],
)
def test_what_is_not_known_to_be_current_runs_plain(copy: Path, spoil: Callable[[Path], None], reason: str) -> None:
    spoil(copy)
    assert run(MARKED, folder=copy) == [Form.PLAIN, "no", "mark", "py"]
    assert reason in why_plain(copy)
    assert re.search("make (clean )?setup", why_plain(copy))


SPAWNS = """
import multiprocessing, simulators.refits
from models.risk import facts
if __name__ == "__main__":
    from telemetry.compiled import running_form
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(running_form(), pool.apply(running_form))
"""


def test_processes_that_a_program_spawns_run_the_same_form(copy: Path) -> None:
    for package in ("simulators", "api", "stream"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "models" / "risk" / "facts.py").open("a") as source:
        source.write("\n# a word more\n")
    (copy / "spawns.py").write_text(SPAWNS)
    code = "import runpy, sys; sys.argv = ['spawns.py']; runpy.run_path('spawns.py', run_name='__main__')"
    assert run(code, folder=copy) == [Form.PLAIN, Form.PLAIN]
