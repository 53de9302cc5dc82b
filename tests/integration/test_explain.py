"""Any decision is computed again from what was recorded: worker and api as programs, a trainer stepped by hand."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from pydantic import SecretStr

from cli.explain import AGREES, DIFFERS, NOT_EXPLAINED, ExplainOptions, run_explain
from cli.plan import Keys, Plan, ports_for
from cli.supervisor import Supervisor
from models.risk.assessment import Assessment
from models.risk.explain import panel_named
from models.risk.learning.boosting import grow
from models.risk.learning.learner import Learner
from models.wire import Topic, Verdict, VerdictLabel, decode_assessment, encode
from stream.broker import EmbeddedBroker
from stream.settings import TrainerSettings
from stream.topics import ensure_topics
from stream.trainer import Trainer
from telemetry.clock import ManualClock
from tests.learnkit import SMALL, made_up
from tests.streamkit import START_US, WAIT_S, Eye, assessments, post, transfer
from tests.trainerkit import NEVER, send

RULES_ONLY_ID = "t-0"


class Lab:
    """A worker and an api as programs, and a trainer whose publications the test decides."""

    def __init__(self, folder: Path, broker: str) -> None:
        self.broker = broker
        self.plan = Plan(
            folder=folder,
            ports=ports_for(1),
            keys=Keys.generate(),
            clock="",
            seed=1,
            customers=100,
            rate_tps=1.0,
            seconds=None,
        )
        self.supervisor = Supervisor(folder, lambda _: None)
        settings = TrainerSettings(
            broker=broker, data_dir=folder, snapshot_key=SecretStr(self.plan.keys.snapshot), publish_every_s=3_600
        )
        self.trainer = Trainer(settings, clock=ManualClock(START_US))
        self.trainer.learner = Learner(seed=1, settings=msgspec.structs.replace(SMALL, use_forest=False))
        self._sent = 0
        self._eye: Eye | None = None

    def start(self) -> None:
        self.supervisor.start_all([*self.plan.workers(self.broker), self.plan.api(self.broker)])
        self._eye = assessments(self.broker)
        self.trainer.begin(NEVER)

    def stop(self) -> None:
        if self._eye is not None:
            self._eye.close()
        self.trainer.close()
        self.supervisor.stop()

    @property
    def database(self) -> Path:
        return self.plan.folder / "sluice.db"

    def assess(self, count: int) -> list[Assessment]:
        """Send transfers between some twenty accounts and return their assessments."""
        numbers = range(self._sent, self._sent + count)
        post(
            self.broker,
            [transfer(n, payer=f"A{n % 19}", payee=f"B{n % 23}", amount_fen=5_000 + 977 * (n % 41)) for n in numbers],
        )
        self._sent += count
        assert self._eye is not None
        return self._eye.until(lambda seen: len(seen) >= self._sent)[-count:]

    def teach(self) -> None:
        """Let the trainer read all assessments there are, and a verdict on every tenth."""
        found = [self.read(n) for n in range(0, self._sent, 10)]
        verdicts = [
            Verdict(
                transfer_id=one.transfer.transfer_id,
                label=VerdictLabel.FRAUD if place % 2 else VerdictLabel.HONEST,
                source="analyst",
                decided_us=START_US,
                features=one.features,
                feature_set=one.feature_set,
            )
            for place, one in enumerate(found)
        ]
        send(self.broker, Topic.VERDICTS, [(each.transfer_id, encode(each)) for each in verdicts])
        deadline = time.monotonic() + WAIT_S
        positions = self.trainer._positions
        while sum(positions.get(Topic.ASSESSMENTS, {}).values()) < self._sent:
            self.trainer.step()
            assert time.monotonic() < deadline
        while self.trainer.learner.health().learned["fraud"] < len(verdicts) // 2:
            self.trainer.step()
            assert time.monotonic() < deadline

    def read(self, number: int) -> Assessment:
        assert self._eye is not None
        return next(one for one in self._eye.seen if one.transfer.transfer_id == f"t-{number}")

    def publish(self) -> str:
        """Put what was learned into service; return the id of a transfer that was assessed with it."""
        self.trainer.publish()
        self.trainer._producer.flush(WAIT_S)
        version = self.trainer.watch.contest.champion.version
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            (one,) = self.assess(1)
            if panel_named(one) == version:
                return one.transfer.transfer_id
        pytest.fail(f"no worker scores with {version}")

    def options(self, transfer_id: str, **changes: Any) -> ExplainOptions:
        plain = {
            "transfer_id": transfer_id,
            "api_url": self.plan.api_url,
            "key": self.plan.keys.operator,
            "broker": "",
            "snapshot_key": self.plan.keys.snapshot,
            "lang": "zh",
            "as_json": True,
        }
        return ExplainOptions(**(plain | changes))

    def change(self, statement: str, *values: Any) -> None:
        with sqlite3.connect(self.database, timeout=30) as connection:
            assert connection.execute(statement, values).rowcount > 0

    def look(self, query: str, *values: Any) -> Any:
        with sqlite3.connect(self.database, timeout=30) as connection:
            return connection.execute(query, values).fetchall()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    broker = EmbeddedBroker()
    ensure_topics(broker.bootstrap, 4)
    made = Lab(tmp_path_factory.mktemp("lab"), broker.bootstrap)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        broker.close()


@pytest.fixture(scope="module")
def decided(lab: Lab) -> tuple[str, str]:
    """Return two transfers that were decided by two snapshots, the second of which has replaced the first."""
    lab.assess(600)
    lab.teach()
    first = lab.publish()
    lab.assess(100)
    lab.teach()
    rows, fraud = made_up(2_000, seed=1)
    lab.trainer.adopt(grow(rows, fraud, np.ones(len(rows)), seed=1, settings=SMALL.boosting))
    return first, lab.publish()


def told(capsys: pytest.CaptureFixture[str], options: ExplainOptions, code: int = AGREES) -> dict[str, Any]:
    """Return what is printed, as soon as the api has stored all it needs."""
    deadline = time.monotonic() + WAIT_S
    while run_explain(options) != code:
        printed = capsys.readouterr()
        assert time.monotonic() < deadline, printed
        time.sleep(0.1)
    out: dict[str, Any] = msgspec.json.decode(capsys.readouterr().out)
    return out


def refused(capsys: pytest.CaptureFixture[str], options: ExplainOptions, code: int) -> str:
    capsys.readouterr()
    assert run_explain(options) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


@pytest.mark.parametrize("place", ["api", "broker"])
def test_decisions_of_both_snapshots_are_computed_again(
    lab: Lab, decided: tuple[str, str], capsys: pytest.CaptureFixture[str], place: str
) -> None:
    where = {"broker": lab.broker} if place == "broker" else {}
    found = [told(capsys, lab.options(each, **where)) for each in decided]
    assert found[0]["panel"] != found[1]["panel"]
    assert "forest" in {check["name"] for check in found[1]["checks"]}
    for each in found:
        assert (each["agrees"], each["complete"], each["signature"]) == (True, True, "valid")
        assert {"panel", "novelty", "linear", "risk"} <= {check["name"] for check in each["checks"]}
        assert all(check["version"] for check in each["checks"])
        assert all(check["recorded"] == check["recomputed"] for check in each["checks"])
        assert each["checks"][-1]["recorded"] == each["risk"]
        assert each["contributions"]


def test_a_decision_by_rules_alone_needs_no_snapshot(lab: Lab, decided: object, capsys: Any) -> None:
    found = told(capsys, lab.options(RULES_ONLY_ID))
    assert (found["panel"], found["signature"], found["agrees"]) == ("rules-only", "none", True)


def test_the_command_speaks_chinese_first_and_english(lab: Lab, decided: tuple[str, str]) -> None:
    command = [sys.executable, "-m", "cli.main", "explain", decided[0], "--api", lab.plan.api_url]
    command += ["--key", lab.plan.keys.operator, "--snapshot-key", lab.plan.keys.snapshot]
    for more, words in (
        ([], ("重算一致", "签名有效", "风险")),
        (["--lang", "en"], ("exactly the same risk", "usually")),
    ):
        done = subprocess.run(command + more, capture_output=True, text=True, check=False)
        assert done.returncode == AGREES, done.stderr
        for word in words:
            assert word in done.stdout


def test_what_cannot_be_explained_is_said(lab: Lab, decided: tuple[str, str], capsys: Any) -> None:
    assert "there is no transfer nope" in refused(capsys, lab.options("nope"), NOT_EXPLAINED)
    assert "no assessment of transfer nope" in refused(capsys, lab.options("nope", broker=lab.broker), NOT_EXPLAINED)
    elsewhere = lab.options("nope", broker=lab.broker, topic_prefix="north.")
    assert f"north.{Topic.ASSESSMENTS}" in refused(capsys, elsewhere, NOT_EXPLAINED)
    assert "is not signed" in refused(capsys, lab.options(decided[0], snapshot_key="another"), DIFFERS)
    assert "127.0.0.1:1" in refused(capsys, lab.options(decided[0], api_url="http://127.0.0.1:1"), NOT_EXPLAINED)
    assert "401" in refused(capsys, lab.options(decided[0], key="nobody"), NOT_EXPLAINED)
    bank = next(iter(lab.plan.keys.banks.values()))
    answer = httpx.get(f"{lab.plan.api_url}/v1/snapshots/panel/p-1", headers={"X-Api-Key": bank})
    assert answer.json()["code"] == "role_required", "how detectors work is nothing for banks' keys"
    assert told(capsys, lab.options(decided[0], snapshot_key=""))["signature"] == "unchecked"


def test_a_record_that_was_changed_does_not_agree(lab: Lab, decided: tuple[str, str], capsys: Any) -> None:
    ((body,),) = lab.look("SELECT body FROM assessments WHERE transfer_id = ?", decided[1])
    one = decode_assessment(body)
    features = (one.features[0] + 1.0, *one.features[1:])
    for forged in (
        msgspec.structs.replace(one, risk=one.risk / 2),
        msgspec.structs.replace(one, features=features),
    ):
        lab.change("UPDATE assessments SET body = ? WHERE transfer_id = ?", encode(forged), decided[1])
        found = told(capsys, lab.options(decided[1]), DIFFERS)
        assert not found["agrees"]
        assert [check for check in found["checks"] if not check["agrees"]]
    lab.change("UPDATE assessments SET body = ? WHERE transfer_id = ?", body, decided[1])
    told(capsys, lab.options(decided[1]))


def test_a_snapshot_that_was_changed_or_lost_explains_nothing(lab: Lab, decided: tuple[str, str], capsys: Any) -> None:
    version = told(capsys, lab.options(decided[0]))["panel"]
    ((digest, body),) = lab.look("SELECT digest, body FROM snapshot_parts ORDER BY length(body) DESC LIMIT 1")
    plain = bytearray(zlib.decompress(body))
    plain[-3] ^= 1
    lab.change("UPDATE snapshot_parts SET body = ? WHERE digest = ?", zlib.compress(bytes(plain)), digest)
    codes = {run_explain(lab.options(each)) for each in decided}
    assert DIFFERS in codes
    assert "does not hold what its version names" in capsys.readouterr().err
    lab.change("DELETE FROM snapshot_parts WHERE digest = ?", digest)
    assert NOT_EXPLAINED in {run_explain(lab.options(each)) for each in decided}
    assert "cannot be computed again" in capsys.readouterr().err
    lab.change("INSERT INTO snapshot_parts (digest, body) VALUES (?, ?)", digest, body)
    told(capsys, lab.options(decided[0]))
    lab.change("DELETE FROM snapshots WHERE version = ?", version)
    assert f"snapshot {version}" in refused(capsys, lab.options(decided[0]), NOT_EXPLAINED)
    told(capsys, lab.options(decided[1]))
