"""Compose cannot be started here, so all it names is checked: schema, files, variables, ports, commands."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml
from pydantic_settings import BaseSettings

from api.app import create_app
from api.settings import ApiSettings
from cli.main import app
from simulators.bank import create_bank_app
from simulators.settings import BankSettings, WorldSettings
from simulators.world import create_world_app
from stream.settings import TrainerSettings, WorkerSettings
from tests.deploy_files import COMPOSE, DEPLOY, ROOT, VARIABLE, compose, example_env, interpolated, schema

SETTINGS: dict[str, type[BaseSettings]] = {
    "api": ApiSettings,
    "worker": WorkerSettings,
    "trainer": TrainerSettings,
    "bank": BankSettings,
    "world": WorldSettings,
}
SERVICES: dict[str, dict[str, Any]] = compose()["services"]
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|KEYS?$")
PORTS = {"kafka": 9092, "postgres": 5432, "prometheus": 9090, "grafana": 3000}
"""Ports on which the images of others listen by themselves or by our settings."""

programs = pytest.mark.parametrize("name", sorted(SETTINGS))


def made_env(*args: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, str(DEPLOY / "docker" / "make_env.py"), *args], capture_output=True, text=True, check=True
    )
    pairs = (line.split("=", 1) for line in done.stdout.splitlines() if re.match(r"[A-Z]", line))
    return {name: value.strip("'") for name, value in pairs}


@pytest.fixture(scope="module")
def demo_env() -> dict[str, str]:
    return made_env("--demo")


def environment(name: str, values: dict[str, str]) -> dict[str, str]:
    return {key: interpolated(str(value), values) for key, value in SERVICES[name]["environment"].items()}


def variable_names(settings: type[BaseSettings]) -> set[str]:
    """Return the environment variables a settings class reads."""
    names: set[str] = set()
    for field, info in settings.model_fields.items():
        if isinstance(info.validation_alias, str):
            names.add(info.validation_alias)
        else:
            names.add(f"{settings.model_config['env_prefix']}{field}".upper())
    return names


def served_port(name: str, values: dict[str, str]) -> int:
    """Return the port on which a service answers HTTP or its protocol."""
    if name in PORTS:
        return PORTS[name]
    found = environment(name, values)
    (port,) = (int(found[key]) for key in found if key.endswith("_PORT"))
    return port


def test_it_is_valid_by_the_compose_specification() -> None:
    jsonschema.Draft7Validator(schema("compose-spec")).validate(compose())


def test_the_schema_would_refuse_nonsense() -> None:
    broken = compose()
    broken["services"]["api"]["prots"] = ["1:1"]
    assert list(jsonschema.Draft7Validator(schema("compose-spec")).iter_errors(broken))


def test_every_program_of_the_architecture_is_there() -> None:
    assert set(SERVICES) == {*SETTINGS, "kafka", "postgres", "prometheus", "grafana"}
    assert [name for name in SERVICES if SERVICES[name].get("profiles")] == ["bank", "world"]
    assert all(SERVICES[name]["profiles"] == ["demo"] for name in ("bank", "world"))


# --- variables --------------------------------------------------------------


def test_variables_are_written_in_a_form_we_can_read() -> None:
    text = "\n".join(line for line in COMPOSE.read_text().splitlines() if not line.lstrip().startswith("#"))
    assert text.count("$") == len(VARIABLE.findall(text))


def test_example_and_compose_name_the_same_variables() -> None:
    used = {match["name"] for match in VARIABLE.finditer(COMPOSE.read_text())}
    assert used == set(example_env())


def test_no_secret_is_written_down() -> None:
    assert {name for name, value in example_env().items() if SECRET.search(name) and value} == set()
    for match in VARIABLE.finditer(COMPOSE.read_text()):
        if SECRET.search(match["name"]):
            assert match["how"] == "?" or not match["rest"], match.group()
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if SECRET.search(key):
                assert VARIABLE.fullmatch(str(value)), key
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {".env", ".env.*"} <= set(ignored)


def test_the_example_alone_does_not_start() -> None:
    with pytest.raises(KeyError, match="set it in"):
        environment("api", example_env())


@programs
def test_a_program_gets_only_variables_it_reads(name: str) -> None:
    given = set(SERVICES[name]["environment"])
    assert given <= variable_names(SETTINGS[name])


@pytest.mark.parametrize("name", ["api", "worker", "trainer"])
def test_every_other_setting_of_a_program_has_a_file_it_may_stand_in(name: str) -> None:
    """The runbook has people change settings that the compose file does not name."""
    assert SERVICES[name]["env_file"] == [{"path": f".env.{name}", "required": False}]
    assert f".env.{name}" in (ROOT / ".env.example").read_text()


@programs
def test_a_programs_settings_accept_what_they_get(
    name: str, demo_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in environment(name, demo_env).items():
        monkeypatch.setenv(key, value)
    settings = SETTINGS[name]()
    for field in ("broker", "sluice_url", "bank_url"):
        address = getattr(settings, field, None)
        if address:
            target = urlsplit(address if "//" in address else f"//{address}")
            assert target.port == served_port(str(target.hostname), demo_env), address


def test_all_programs_run_on_one_clock(demo_env: dict[str, str]) -> None:
    clocks = {environment(name, demo_env)["SLUICE_CLOCK"] for name in SETTINGS}
    assert clocks == {demo_env["SLUICE_CLOCK"]}


# --- commands, files, ports ----------------------------------------------------


@programs
def test_a_program_runs_a_command_that_exists(name: str) -> None:
    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert SERVICES[name]["command"] == [name]
    assert name in known


def _mounts() -> Iterator[tuple[str, str, str]]:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source, _, target = volume.partition(":")
            yield name, source, target


def test_every_file_that_is_mounted_exists_and_every_volume_is_declared() -> None:
    named = set()
    for name, source, target in _mounts():
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
            assert target.endswith(":ro"), f"{name} could change {source}"
        elif target:
            named.add(source)
    assert named == set(compose()["volumes"])


def test_all_who_score_or_learn_have_the_same_file_of_rules() -> None:
    (name, source), *others = compose()["configs"].items()
    assert not others
    assert (ROOT / source["file"]).is_file()
    for program in ("worker", "trainer"):
        (given,) = SERVICES[program]["configs"]
        assert given == {"source": name, "target": SERVICES[program]["environment"]["SLUICE_RULES_FILE"]}


def test_a_worker_can_be_scaled() -> None:
    worker = SERVICES["worker"]
    assert not {"container_name", "ports", "hostname"} & set(worker)
    shared = [volume for volume in worker["volumes"] if ":" in volume]
    assert shared == [], "a volume with a name would be shared by the replicas"
    assert worker["restart"] == "unless-stopped", "workers are crash-only"


def test_published_ports_are_on_loopback_and_lead_to_what_is_served(demo_env: dict[str, str]) -> None:
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            host, _, inner = interpolated(port, demo_env).rpartition(":")
            assert host.startswith("127.0.0.1:")
            assert int(inner) == served_port(name, demo_env)


def test_prometheus_scrapes_every_program_where_it_serves(demo_env: dict[str, str]) -> None:
    jobs = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    scraped = {job["job_name"]: job["dns_sd_configs"][0] for job in jobs}
    assert set(scraped) == set(SETTINGS)
    for name, target in scraped.items():
        assert target["names"] == [name]
        assert target["port"] == served_port(name, demo_env)
        assert target["type"] == "A"
    assert all(job["relabel_configs"][0]["target_label"] == "region" for job in jobs)


# --- health and order ----------------------------------------------------------


def test_every_service_has_a_health_check_and_comes_back() -> None:
    for name, service in SERVICES.items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["restart"] == "unless-stopped", name


@programs
def test_a_health_check_asks_where_the_program_answers(name: str, demo_env: dict[str, str]) -> None:
    check = SERVICES[name]["healthcheck"]["test"]
    assert check[1:3] == ["python", "/opt/sluice/health.py"]
    assert "deploy/docker/health.py /opt/sluice/health.py" in (ROOT / "Dockerfile").read_text()
    asked = urlsplit(check[3])
    assert asked.port == served_port(name, demo_env)
    assert asked.path in {"/metrics", "/healthz", "/readyz"}
    if len(check) > 4:
        assert environment(name, demo_env)["SLUICE_READY_FILE"] == check[4]
    assert SERVICES[name]["tmpfs"] == ["/tmp"], "a ready file must not outlive its process"


def test_the_health_and_metrics_pages_exist(tmp_path: Path) -> None:
    settings = ApiSettings(broker="127.0.0.1:9", database_url=f"sqlite:///{tmp_path}/x.db", bank_url="http://bank")
    apps = {
        "api": create_app(settings),
        "bank": create_bank_app(BankSettings()),
        "world": create_world_app(WorldSettings()),
    }
    for name, built in apps.items():
        paths = set(built.openapi()["paths"])
        asked = urlsplit(SERVICES[name]["healthcheck"]["test"][3]).path
        assert {asked, "/metrics"} <= paths, name


def test_nothing_waits_for_what_cannot_become_healthy() -> None:
    for name, service in SERVICES.items():
        for other, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[other]
            assert SERVICES[other].get("profiles", []) in ([], service.get("profiles")), f"{name} needs {other}"


def test_programs_run_with_few_rights() -> None:
    for name in SETTINGS:
        service = SERVICES[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service


# --- Kafka -------------------------------------------------------------------------


def properties() -> dict[str, str]:
    lines = (DEPLOY / "kafka/server.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_kafka_runs_with_the_settings_of_the_tests() -> None:
    """The image reads our file and appends its variables, which then win: they may change addresses only."""
    given = SERVICES["kafka"]["environment"]
    overridden = {key.removeprefix("KAFKA_").lower().replace("_", ".") for key in given if key != "KAFKA_HEAP_OPTS"}
    with_addresses = {key for key, value in properties().items() if "$" in value}
    assert overridden == with_addresses
    assert "./deploy/kafka/server.properties:/mnt/shared/config/server.properties:ro" in SERVICES["kafka"]["volumes"]
    assert properties()["auto.create.topics.enable"] == "false"
    assert properties()["group.initial.rebalance.delay.ms"] == "0"
    assert given["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://kafka:9092"


def test_kafka_is_the_version_of_the_tests() -> None:
    pom = Path(DEPLOY / "kafka/pom.xml").read_text()
    version = SERVICES["kafka"]["image"].partition(":")[2]
    assert re.search(rf"<artifactId>kafka_2\.13</artifactId>\s*<version>{re.escape(version)}</version>", pom) or (
        f"<kafka.version>{version}</kafka.version>" in pom
    )


@pytest.mark.parametrize("service", ["kafka", "postgres", "prometheus", "grafana"])
def test_images_of_others_are_pinned(service: str) -> None:
    _, _, tag = SERVICES[service]["image"].partition(":")
    assert re.match(r"v?\d+", tag)
