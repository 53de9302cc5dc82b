"""What docs/api.md shows to try works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import msgspec
import pytest

from models.money.types import Transfer
from models.risk.assessment import Band
from stream.broker import EmbeddedBroker
from telemetry.clock import wall_us
from tests.apikit import Api, assessed, key_of, running, settings_for, until

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
WHO = {"BANK": "house", "ANALYST": "ann", "APPROVER": "bob"}
CALL = re.compile(r"""^curl -s "\$A([^"]+)" -H "X-Api-Key: \$(\w+)"(?: -d '(\{.*?\})')?$""", re.MULTILINE | re.DOTALL)


class Reader:
    """Somebody who types the examples one by one."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known = {"NOW": str(wall_us())}

    async def type(self, path: str, who: str, body: str) -> httpx.Response:
        headers = key_of(WHO[who]) | {"Content-Type": "application/x-www-form-urlencoded"}
        content = self._filled(body.replace("'$NOW'", "$NOW")).encode() or None
        answer = await self._api.client.request(
            "POST" if body else "GET", self._filled(path), content=content, headers=headers
        )
        self._known["ORDER"] = answer.json().get("order_id", self._known.get("ORDER", ""))
        return answer

    def _filled(self, text: str) -> str:
        return re.sub(r"\$(\w+)", lambda match: self._known[match[1]], text)


async def known(api: Api, transfer_id: str) -> None:
    async def look() -> bool:
        view = await api.get(f"/v1/transfers/{transfer_id}")
        return isinstance(view, dict) and view["status"] == "assessed"

    await until(look)


async def test_the_examples_lead_from_a_transfer_to_a_freeze_signed_by_two(tmp_path: Path) -> None:
    calls = CALL.findall(PAGE.read_text())
    assert len(calls) == PAGE.read_text().count('-H "X-Api-Key: $')
    broker = EmbeddedBroker()
    settings = settings_for(broker.bootstrap, tmp_path, banks={"jiangnan": "", "donghai": ""})
    states = []
    async with running(settings) as api:
        reader = Reader(api)
        for path, who, body in calls:
            answer = await reader.type(path.replace("wait_ms=2000", "wait_ms=0"), who, body)
            assert answer.is_success, answer.text
            states.append(answer.json().get("state"))
            if "wait_ms" in path:
                posted = msgspec.json.decode(body.replace("'$NOW'", str(wall_us())), type=Transfer)
                api.topics.assess(assessed(posted, Band.WATCH))
                await known(api, posted.transfer_id)
    assert [state for state in states if state][:3] == ["draft", "reviewed", "dispatched"]


@pytest.mark.parametrize("name", ["SLUICE_API_KEYS_FILE", "make_env.py", "keys.env", "sha256sum"])
def test_the_page_says_where_keys_come_from(name: str) -> None:
    assert name in PAGE.read_text()
