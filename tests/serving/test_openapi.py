"""The description is valid OpenAPI, and what the service says agrees with it."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import validate
from starlette.routing import Route

from googlenet.serving.app import PAGE_FILES, build_app
from googlenet.serving.limits import Limits
from googlenet.serving.openapi import description
from googlenet.serving.predict import MAX_CAMS
from googlenet.serving.request_body import MAX_TOP
from googlenet.serving.service import Service
from tests.fixtures import tiny_classifier
from tests.serving.conftest import PHOTOS, Running

Json = dict[str, Any]
GUARDED = {
    *("get /model", "get /metrics", "get /v2/models/{model}", "get /v2/models/{model}/ready"),
    *("post /predict", "post /", "post /models/{model}", "post /v2/models/{model}/infer"),
}


@pytest.mark.parametrize("token", [True, False])
def test_valid(token: bool) -> None:
    validate(description(Limits(), token))


def test_every_route_is_described() -> None:
    app = build_app(Service({"model": tiny_classifier()}))
    routes: dict[str, set[str]] = {}
    for route in app.routes:
        assert isinstance(route, Route)
        routes.setdefault(route.path, set()).update(route.methods or ())
    described = description(Limits(), True)["paths"]
    resources = PAGE_FILES.keys() - {"/"}
    assert set(described) == routes.keys() - resources - {"/openapi.json"}
    for path, item in described.items():
        assert {method.upper() for method in item} == routes[path] - {"HEAD"}


def test_token_is_described_where_there_is_one() -> None:
    for token in (True, False):
        operations = description(Limits(), token)["paths"]
        asking = {
            f"{method} {path}"
            for path, item in operations.items()
            for method, operation in item.items()
            if "security" in operation
        }
        assert asking == (GUARDED if token else set())
        assert ("401" in operations["/predict"]["post"]["responses"]) == token


@pytest.mark.parametrize(
    ("method", "path", "body", "kind"),
    [
        ("post", "/predict", PHOTOS[0], "image/jpeg"),
        ("post", "/predict?cam=1&top=3", PHOTOS[0], ""),
        ("post", "/predict", b"nothing", "image/jpeg"),
        ("post", "/predict", PHOTOS[0][:300], "image/jpeg"),
        ("post", "/predict", b"nothing", "text/plain"),
        ("post", "/predict", bytes(200_001), "image/png"),
        ("post", "/predict?top=x", PHOTOS[0], "image/jpeg"),
        ("get", "/model", None, ""),
        ("get", "/health", None, ""),
        ("get", "/ready", None, ""),
    ],
)
def test_answers_are_as_described(
    method: str, path: str, body: bytes | None, kind: str, serving: Running
) -> None:
    document = serving.client.get("/openapi.json").json()
    headers = {"content-type": kind} if kind else {}
    answer = serving.client.request(method, path, content=body, headers=headers)
    operation = document["paths"][path.partition("?")[0]][method]
    response = operation["responses"][str(answer.status_code)]
    if answer.status_code >= 400:
        assert response == {"$ref": f"#/components/responses/{answer.status_code}"}
        response = document["components"]["responses"][str(answer.status_code)]
    schema = response["content"]["application/json"]["schema"] | {
        "components": document["components"]
    }
    jsonschema.validate(answer.json(), schema)
    with pytest.raises(jsonschema.ValidationError):  # the schema can tell
        jsonschema.validate({"something": "else"}, schema)


def test_form_answers_are_as_described(serving: Running) -> None:
    document = serving.client.get("/openapi.json").json()
    for photos, schema in (([PHOTOS[0], b"x"], "Results"), ([b"x", b"y"], "Error")):
        whole = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
        jsonschema.validate(serving.form(photos).json(), whole)


def test_limits_are_this_services() -> None:
    text = description(Limits(max_body=12345, max_images=17), False)["paths"]["/predict"]["post"]
    assert "12345 bytes and 17 images" in text["description"]


def test_numbers_are_those_of_the_code() -> None:
    document = description(Limits(), False)
    top, *_ = document["paths"]["/predict"]["post"]["parameters"]
    top_k = document["components"]["schemas"]["ImageInput"]["properties"]["parameters"]
    assert top["schema"]["maximum"] == MAX_TOP
    assert top_k["properties"]["top_k"]["maximum"] == MAX_TOP
    assert document["components"]["schemas"]["Cam"]["properties"]["maps"]["maxItems"] == MAX_CAMS


def test_refusals_are_statuses_of_errors() -> None:
    responses = description(Limits(), True)["components"]["responses"]
    assert all(400 <= int(status) < 600 for status in responses)
