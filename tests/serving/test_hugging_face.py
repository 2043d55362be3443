"""Hugging Face's own client, unmodified, against the service."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from googlenet.inference.classifier import Classifier
from tests.fixtures import set_header, tiny_classifier
from tests.serving.conftest import PHOTOS, Running, running, until


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    (tmp_path / "photo.jpg").write_bytes(PHOTOS[0])
    return tmp_path / "photo.jpg"


def said(client: InferenceClient, image: Any, **options: Any) -> list[tuple[str, float]]:
    return [(each.label, each.score) for each in client.image_classification(image, **options)]


def expected(classifier: Classifier, top: int = 5) -> list[tuple[str, Any]]:
    (prediction,) = classifier.predict([PHOTOS[0]], top=top)
    return [(label, pytest.approx(p, abs=1e-5)) for label, p in prediction.top]


def test_client_with_the_address(serving: Running, photo: Path) -> None:
    classifier = serving.service.default.classifier
    for client in (InferenceClient(model=serving.at), InferenceClient(base_url=serving.at)):
        assert said(client, str(photo)) == expected(classifier)
        assert said(client, PHOTOS[0]) == expected(classifier)
        assert said(client, photo, top_k=2) == expected(classifier, 2)
        assert said(client, photo, function_to_apply="softmax", top_k=7) == expected(classifier, 7)


def test_client_with_a_model_of_several(serving: Running, photo: Path) -> None:
    client = InferenceClient(f"{serving.at}/models/four")
    assert said(client, photo) == expected(tiny_classifier(classes=4, seed=2))
    with pytest.raises(HfHubHTTPError) as error:
        InferenceClient(f"{serving.at}/models/five").image_classification(photo)
    assert error.value.response.status_code == 404
    until(lambda: serving.count(404, "/models/{model}") == 1)
    assert serving.count(200, "/models/{model}") >= 1


def test_client_with_a_token(photo: Path) -> None:
    with running(token="sesame") as serving:
        right = InferenceClient(serving.at, token="sesame")
        assert said(right, photo) == expected(serving.service.default.classifier)
        with pytest.raises(HfHubHTTPError, match="401"):
            InferenceClient(serving.at, token="wrong").image_classification(photo)


def test_function_of_a_multilabel_model(photo: Path) -> None:
    with running() as serving:
        set_header(serving.service.default.classifier, multilabel=True, threshold=0.5)
        client = InferenceClient(serving.at)
        own = said(client, photo, function_to_apply="sigmoid")
        assert own == expected(serving.service.default.classifier)
        with pytest.raises(HfHubHTTPError, match="must be sigmoid for this model"):
            client.image_classification(photo, function_to_apply="softmax")


GOOD = b64encode(PHOTOS[0]).decode()


@pytest.mark.parametrize(
    ("value", "status", "message"),
    [
        ([], 400, "the body must be a JSON object, got []"),
        ({}, 400, "inputs must be an image as base64 text, got null"),
        ({"inputs": "!"}, 400, 'inputs must be an image as base64 text, got "!"'),
        ({"inputs": "ä"}, 400, "inputs must be an image as base64 text"),
        ({"inputs": GOOD[:100]}, 422, "the image is damaged or incomplete"),
        ({"inputs": "YWJj"}, 415, "this is not an image of a known format"),
        ({"inputs": ""}, 422, "cannot be read as an image (it is empty)"),
        ({"inputs": GOOD, "parameters": 3}, 400, "parameters must be an object, got 3"),
        ({"inputs": GOOD, "parameters": {"top_k": 0}}, 400, "from 1 to 1000, got 0"),
        ({"inputs": GOOD, "parameters": {"top_k": True}}, 400, "from 1 to 1000, got true"),
        ({"inputs": GOOD, "parameters": {"top_k": 10**99}}, 400, "from 1 to 1000, got 1000"),
        ({"inputs": GOOD, "parameters": {"topk": 1}}, 400,
         'parameters may have top_k and function_to_apply, got "topk"'),
        ({"inputs": GOOD, "options": {}}, 400,
         'the body may have inputs and parameters, got "options"'),
        ({"inputs": GOOD, "parameters": {"function_to_apply": "none"}}, 400,
         'function_to_apply must be softmax for this model, got "none"'),
        ({"inputs": [0] * 10_001}, 413, "a JSON body may have 10000 values, this has more"),
    ],
)  # fmt: skip
def test_refusals(value: object, status: int, message: str, serving: Running) -> None:
    answer = serving.client.post("/", json=value)
    check_refusal(answer.status_code, answer.json(), status, message)
    assert serving.service.reserved_bytes == serving.service.pending == 0


@pytest.mark.parametrize(
    ("body", "kind", "status", "message"),
    [
        (b"{", "application/json", 400, "the body is not valid JSON"),
        (b"", "application/json", 400, "the body is not valid JSON"),
        (b"\xff", "application/json", 400, "the body is not valid JSON"),
        (b"[" * 9000, "application/json", 400, "the body is not valid JSON"),
        (b"1" * 9000, "application/json", 400, "the body is not valid JSON"),
        (b"", "image/jpeg", 400, "the request contains no image"),
        (b"x", "text/plain", 415,
         "the type must be image/*, application/octet-stream or application/json"),
        (bytes(200_001), "application/json", 413, "a request body may have 200000 bytes"),
    ],
)  # fmt: skip
def test_bodies_that_are_none(
    body: bytes, kind: str, status: int, message: str, serving: Running
) -> None:
    answer = serving.client.post("/", content=body, headers={"content-type": kind})
    check_refusal(answer.status_code, answer.json(), status, message)


def check_refusal(got: int, body: dict[str, str], status: int, message: str) -> None:
    assert got == status, body
    assert set(body) == {"error"}
    assert message in body["error"]
    assert len(body["error"]) < 200


def test_answers_are_as_described(serving: Running) -> None:
    document = serving.client.get("/openapi.json").json()
    components = {"components": document["components"]}
    scores = serving.client.post("/models/four", content=PHOTOS[0]).json()
    jsonschema.validate(scores, {"$ref": "#/components/schemas/Scores"} | components)
    refused = serving.client.post("/models/five", content=PHOTOS[0]).json()
    jsonschema.validate(refused, {"$ref": "#/components/schemas/Error"} | components)
