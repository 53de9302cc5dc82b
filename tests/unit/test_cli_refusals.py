"""A program that does not answer or refuses is named, with its own words and the option that would help."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from typer.testing import CliRunner

import cli.explain
import cli.verify
from api.errors import PROBLEM, Forbidden, Unauthenticated
from cli.explain import NOT_EXPLAINED, ExplainOptions
from cli.main import app

DETAIL = "this key is not known here"


class Refusing(BaseHTTPRequestHandler):
    """Refuses like the api; below ``/gateway`` like a proxy before it that knows no problems."""

    def do_GET(self) -> None:
        error = Forbidden("role_required", "this needs a person") if "KEY" in self.headers["X-Api-Key"] else None
        problem = (error or Unauthenticated("unknown_key", DETAIL)).response()
        if self.path.startswith("/gateway"):
            problem.status_code, problem.body = 502, b"<html>Bad Gateway</html>"
        self.send_response(problem.status_code)
        self.send_header("Content-Type", PROBLEM)
        self.send_header("Content-Length", str(len(problem.body)))
        self.end_headers()
        self.wfile.write(problem.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output clean."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, arguments, env={"SLUICE_API_URL": None, "SLUICE_OPERATOR_KEY": None})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stderr


commands = pytest.mark.parametrize("command", [("verify",), ("explain", "t-1")], ids=lambda command: command[0])


@commands
def test_a_refusal_is_told_in_the_apis_own_words_with_the_option_that_helps(
    address: str, command: tuple[str, ...]
) -> None:
    code, said = run(*command, "--api-url", address)
    assert code == NOT_EXPLAINED == 2
    assert f"{address} answers 401: {DETAIL}; give the key of a person with --key" in said
    code, said = run(*command, "--api-url", address, "--key", "A-KEY")
    assert (code, f"{address} answers 403: this needs a person; give" in said) == (2, True)
    assert "developer.mozilla.org" not in said
    assert "{" not in said


@commands
def test_an_answer_that_is_no_problem_is_told_by_its_status(address: str, command: tuple[str, ...]) -> None:
    code, said = run(*command, "--api-url", f"{address}/gateway")
    assert (code, "--key" in said) == (2, False)
    assert " answers 502: Bad Gateway" in said


@commands
@pytest.mark.parametrize("nowhere", ["http://127.0.0.1:1", "127.0.0.1:1"])
def test_an_address_where_nobody_answers_is_named(command: tuple[str, ...], nowhere: str) -> None:
    code, said = run(*command, "--api-url", nowhere)
    assert code == 2
    assert "127.0.0.1:1" in said
    assert "does not answer" in said


@commands
@pytest.mark.parametrize("wrong", ["http://127.0.0.1:80x", "http://[::1", "http://127.0.0.1:99999", "http://a\x07b"])
def test_what_is_no_address_is_refused_with_its_option(command: tuple[str, ...], wrong: str) -> None:
    code, said = run(*command, "--api-url", wrong)
    assert code == 2
    assert "--api-url" in said
    assert "is no address such as" in " ".join(said.replace("\u2502", " ").split())


def test_the_banks_address_is_looked_at_too(address: str) -> None:
    code, said = run("verify", "--api-url", address, "--bank-url", "http://127.0.0.1:80x")
    assert (code, "--bank-url" in said) == (2, True)


def test_a_transfer_whose_name_no_path_can_hold_is_asked_for_as_it_is(address: str) -> None:
    code, said = run("explain", "a\x07?b", "--api-url", address)
    assert code == 2
    assert f"{address} answers 401" in said


@commands
def test_both_take_the_address_and_the_key_by_the_same_names(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def explain(options: ExplainOptions) -> int:
        asked.append((options.api_url, options.key))
        return 0

    def verify(*, api_url: str, key: str, **_more: object) -> int:
        asked.append((api_url, key))
        return 0

    monkeypatch.setattr(cli.explain, "run_explain", explain)
    monkeypatch.setattr(cli.verify, "run_verify", verify)
    assert run(*command, "--api-url", "http://a", "--key", "k")[0] == 0
    assert asked == [("http://a", "k")]
    shown = CliRunner().invoke(app, [command[0], "--help"], env={"COLUMNS": "200"}).stdout
    assert "--api-url" in shown
    assert "--api " not in shown


def test_what_explain_called_the_address_before_still_works(address: str) -> None:
    assert f"{address} answers 401" in run("explain", "t-1", "--api", address)[1]
