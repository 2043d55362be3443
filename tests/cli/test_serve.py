"""`googlenet serve`: its options, its refusals, and the process with its signals."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from googlenet import Classifier
from googlenet.cli import serve
from googlenet.serving import server
from googlenet.serving.limits import Limits
from tests.cli.conftest import Trained, command
from tests.fixtures import encoded, tinted, tiny_classifier

IMAGE = encoded(tinted("red", 99), "PNG")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tiny_classifier().save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command would serve, which here ends at once."""
    seen: dict[str, Any] = {}

    def run(self: server.Server, sockets: list[socket.socket]) -> None:
        models = {name: len(m.classifier.classes) for name, m in self.service.models.items()}
        seen.update(limits=self.service.limits, at=server.address(sockets[0]), models=models)

    monkeypatch.setattr(server.Server, "run", run)
    monkeypatch.delenv(serve.TOKEN_VARIABLE, raising=False)
    return seen


def test_options_become_limits(model: Path, served: dict[str, Any]) -> None:
    options = "--port 0 --workers 3 --batch 7 --batch-wait 0.5 --max-body 3 --max-memory 11"
    options += " --max-pixels 1000 --max-images 5 --max-queue 9 --max-connections 13"
    answer = command("serve", model, *options.split(), "--timeout", "17", "--read-timeout", "19")
    assert answer.code == 0, answer.err
    assert served["limits"] == Limits(
        max_body=3 * 2**20, max_memory=11 * 2**20, max_pixels=1000, max_images=5, max_queue=9,
        max_connections=13, timeout=17.0, read_timeout=19.0, batch=7, batch_wait=0.5, workers=3,
    )  # fmt: skip
    assert served["at"].startswith("http://127.0.0.1:")


def test_former_names_of_options(model: Path, served: dict[str, Any]) -> None:
    options = "--port 0 --decoders 3 --max-held 40 --max-photos 5"
    answer = command("serve", model, *options.split())
    assert served["limits"] == Limits(workers=3, max_memory=40 * 2**20, max_images=5)
    assert "googlenet serve: --decoders is now called --workers\n" in answer.err


def test_defaults_are_those_of_the_limits(model: Path, served: dict[str, Any]) -> None:
    assert command("serve", model, "--port", "0").code == 0
    assert served["limits"] == Limits()


def test_models_by_their_names(
    model: Path, served: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    other = model.parent / "a=b" / "my run.safetensors"  # a path, not a name
    other.parent.mkdir()
    tiny_classifier(classes=5).save(other)
    answer = command("serve", model, f"five={other}", other, "--port", "0")
    assert answer.code == 0, answer.err
    assert served["models"] == {"model": 3, "five": 5, "my-run": 5}
    assert "serving model, five, my-run on http" in caplog.text


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["", ""], "models must have different names, got model for "),
        (["a=", "a="], "models must have different names, got a for "),
        (["a b="], "a model's name must be letters, digits, '.', '_' and '-', got 'a b'"),
        (["="], "got ''"),
        (["..="], "got '..'"),
    ],
)
def test_names_that_cannot_be(
    names: list[str], message: str, model: Path, served: dict[str, Any]
) -> None:
    answer = command("serve", *(f"{name}{model}" for name in names), "--port", "0")
    assert (answer.code, answer.err.count("\n")) == (2, 1), answer.err
    assert message in answer.err
    assert not served


def test_warns_where_anyone_may_ask(
    model: Path, served: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert command("serve", model, "--host", "0.0.0.0", "--port", "0").code == 0
    assert "anyone who can reach http://0.0.0.0:" in caplog.text
    caplog.clear()
    assert command("serve", model, "--host", "0.0.0.0", "--port", "0", "--token", "x").code == 0
    assert command("serve", model, "--port", "0").code == 0
    assert "anyone" not in caplog.text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--max-images", "9", "--max-queue", "8"], 2, "must be at least --max-images"),
        (["--max-body", "300"], 2, "must be at least --max-body"),
        (["--token", "a", "--token-file", "b"], 2, "--token and --token-file exclude each other"),
        (["--token", ""], 2, "a token must be one or more printable ASCII characters"),
        (["--token", "é"], 2, "a token must be one or more printable ASCII characters"),
        (["--token-file", "/nowhere/token"], 2, "--token-file must be a text file"),
        (["--host", "256.1.1.1"], 1, "cannot listen on 256.1.1.1 port "),
        (["--host", "a..b"], 1, "cannot listen on a..b port "),
    ],
)
def test_refusals_are_one_sentence(
    arguments: list[str], code: int, message: str, model: Path, served: dict[str, Any]
) -> None:
    answer = command("serve", model, *arguments)
    assert (answer.code, answer.out, answer.err.count("\n")) == (code, "", 1), answer.err
    assert answer.err.startswith("googlenet serve: ")
    assert message in answer.err
    assert not served


def test_port_that_is_taken(model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        answer = command("serve", model, "--port", port)
    assert (answer.code, answer.err.count("\n")) == (1, 1)
    assert f"cannot listen on 127.0.0.1 port {port} (" in answer.err


@pytest.mark.parametrize("value", ["-1", "65536", "http", "１"])
def test_ports_that_do_not_exist(value: str, model: Path) -> None:
    answer = command("serve", model, f"--port={value}")
    assert answer.code == 2
    assert f"must be a whole number up to 65535, got {value!r}" in answer.err


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "soon", "1e9"])
def test_times_that_are_none(value: str, model: Path) -> None:
    answer = command("serve", model, f"--timeout={value}")
    assert answer.code == 2
    assert f"must be seconds from 0 to 86400, got {value!r}" in answer.err


def test_no_time_at_all(model: Path) -> None:
    answer = command("serve", model, "--timeout=0")
    assert answer.code == 2
    assert "--timeout must be more than 0, got 0" in answer.err


def test_missing_package_is_one_sentence(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "googlenet.serving.app", raising=False)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    answer = command("serve", model)
    assert answer.code == 1
    assert answer.err == (
        "googlenet serve: serve needs the package starlette.applications, which is not installed: "
        "pip install 'googlenet[serve]'\n"
    )


def test_token_of_option_file_and_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(serve.TOKEN_VARIABLE, "from-variable")
    (tmp_path / "token").write_text("from-file\n")
    assert serve.find_token(None, None) == "from-variable"
    assert serve.find_token("from-option", None) == "from-option"
    assert serve.find_token(None, tmp_path / "token") == "from-file"
    monkeypatch.delenv(serve.TOKEN_VARIABLE)
    assert serve.find_token(None, None) is None


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_process_answers_and_stops(sign: signal.Signals, trained: Trained) -> None:
    """The real thing: it says where it listens, answers, and ends with 0 at a signal."""
    arguments = ["-W", "error", "-m", "googlenet", "serve", str(trained.run), "--port", "0"]
    environment = os.environ | {serve.TOKEN_VARIABLE: "sesame"}
    with subprocess.Popen(
        [sys.executable, *arguments], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr
        line = process.stderr.readline()
        found = re.search(r"serving run on (http://127\.0\.0\.1:\d+)$", line)
        assert found, line
        with client_of(found[1]) as client, ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: client.post("/predict", content=IMAGE), range(32)))
            assert client.get("/model", headers={"authorization": "no"}).status_code == 401
        process.send_signal(sign)
        rest = process.stderr.read()
    assert process.returncode == 0
    assert {answer.status_code for answer in answers} == {200}
    (expected,) = Classifier.load(trained.run).predict([IMAGE])
    assert {answer.json()["results"][0]["label"] for answer in answers} == {expected.label}
    assert rest.count("POST /predict 200") == 32
    assert rest.endswith("stopped\n")
    assert "Traceback" not in rest


def client_of(url: str) -> httpx.Client:
    headers = {"authorization": "Bearer sesame"}
    return httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False)
