"""The keys that ``sluice up`` makes for people: roles the api knows, and a file for a shell and its owner alone."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path

import pytest

from api.auth import Role, hash_key, read_keys
from cli.keysfile import first_call, variables, write_keys
from cli.plan import PEOPLE, Keys
from models.control.orders import order_id_of
from models.control.states import OrderKind
from models.money.types import account_id
from tests.unit.test_up_views import run_in

ROOT = Path(__file__).parents[2]
URL = "http://127.0.0.1:12345"
BANK_URL = "http://127.0.0.1:12346"


def test_two_persons_can_draft_and_approve() -> None:
    keys = Keys.generate(PEOPLE)
    roles = {entry.sha256: set(entry.roles) for entry in read_keys(keys.hashed())}
    assert roles[hash_key(keys.people["analyst"])] == {Role.ANALYST}
    assert roles[hash_key(keys.people["approver"])] >= {Role.ANALYST, Role.APPROVER}
    assert roles[hash_key(keys.operator)] == {Role.OPERATOR}


def test_the_file_is_its_owners_and_a_shell_reads_it(tmp_path: Path) -> None:
    keys = Keys.generate(PEOPLE)
    path = write_keys(tmp_path, keys, api_url=URL, bank_url=BANK_URL)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shell = ["bash", "-c", f"source {path} && env"]
    told = dict(
        line.split("=", 1)
        for line in subprocess.run(shell, capture_output=True, text=True, check=True).stdout.splitlines()
        if "=" in line
    )
    assert variables(keys, api_url=URL, bank_url=BANK_URL).items() <= told.items()
    assert told["SLUICE_API_URL"] == URL
    assert keys.banks[told["SLUICE_BANK"]] == told["SLUICE_BANK_KEY"]
    assert len({told[f"SLUICE_{who}_KEY"] for who in ("BANK", "ANALYST", "APPROVER", "OPERATOR")}) == 4
    assert str(path) in first_call(path)


@pytest.mark.parametrize(("file", "people"), [(None, set(PEOPLE)), ("keys.json", set())])
def test_a_file_of_keys_replaces_the_people_of_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str | None, people: set[str]
) -> None:
    monkeypatch.delenv("SLUICE_API_KEYS_FILE", raising=False)
    if file:
        monkeypatch.setenv("SLUICE_API_KEYS_FILE", file)
    keys = run_in(tmp_path, monkeypatch, as_json=True, terminal=False)._plan.keys
    assert keys.people.keys() == people
    assert {entry.name for entry in read_keys(keys.hashed())} >= people


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_order_that_a_page_names_is_the_one_its_draft_makes(page: str) -> None:
    text = (ROOT / page).read_text()
    payee = re.findall(r'"payee_bank": "(\w+)", "payee_account": "(\d+)"', text)
    transfers = set(re.findall(r'"transfer_id": "([\w-]+)"', text))
    assert (len(payee), len(transfers)) == (1, 1)
    order_id = order_id_of(OrderKind.FREEZE, transfers.pop(), account_id(*payee[0]), 1)
    assert set(re.findall(r"orders/([A-Z]{2}-[0-9a-f]{16})", text)) == {order_id}


def test_the_world_pays_from_the_banks_that_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_WORLD_BANKS", "east,west")
    plan = run_in(tmp_path, monkeypatch, as_json=True, terminal=False)._plan
    served = [part.partition("=")[0] for part in plan.bank().env["SLUICE_BANK_BANKS"].split(",")]
    assert plan.world().env["SLUICE_WORLD_BANKS"].split(",") == served
