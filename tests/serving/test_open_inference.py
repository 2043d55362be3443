"""NVIDIA's client of the Open Inference Protocol, unmodified, against the service."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import jsonschema
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, serialize_byte_tensor

from googlenet.inference.calibration import Calibration, OODDetector
from googlenet.serving.input_image import read_image_bytes
from googlenet.serving.tensors import join_elements
from tests.fixtures import set_header, tiny_classifier
from tests.serving.conftest import PHOTOS, Running, running, until


@pytest.fixture(scope="module")
def client(serving: Running) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(serving.at.removeprefix("http://")) as one:
        yield one


def images(photos: list[bytes], *shape: int) -> triton.InferInput:
    values = np.array(photos, object).reshape(shape or len(photos))
    tensor = triton.InferInput("image", list(values.shape), "BYTES")
    tensor.set_data_from_numpy(values)
    return tensor


def test_server_and_models(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data", "classification"]
    assert client.is_model_ready("four")
    assert not client.is_model_ready("five")
    assert client.get_model_metadata("seven") == {
        "name": "seven",
        "platform": "torch",
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 7]},
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
        ],
    }
    with pytest.raises(InferenceServerException, match="are seven, four, got 'five'"):
        client.get_model_metadata("five")


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_encoded_images(
    shape: tuple[int, ...], client: triton.InferenceServerClient, serving: Running
) -> None:
    """All outputs, in binary, are what the classifier itself says, class by class."""
    result = client.infer("seven", [images(PHOTOS[:3], *shape)], request_id="17")
    classifier = serving.service.default.classifier
    crops = [read_image_bytes(p, classifier.preprocessing, 10**6).pixels for p in PHOTOS[:3]]
    own = classifier.probabilities(np.stack(crops))
    np.testing.assert_allclose(result.as_numpy("probabilities"), own, atol=1e-5)
    labels = [label.decode() for label in result.as_numpy("label")]
    assert labels == [p.label for p in classifier.predict(PHOTOS[:3])]
    assert result.get_response()["id"] == "17"
    assert result.get_response()["model_name"] == "seven"
    until(lambda: serving.count(200, "/v2/models/{model}/infer") >= 1)


@pytest.mark.parametrize("binary", [True, False])
def test_classification(binary: bool, client: triton.InferenceServerClient) -> None:
    wanted = [triton.InferRequestedOutput("probabilities", binary, class_count=2)]
    result = client.infer("four", [images(PHOTOS[:2])], outputs=wanted)
    rows = result.as_numpy("probabilities")
    for row, own in zip(rows, tiny_classifier(4, seed=2).predict(PHOTOS[:2], top=2), strict=True):
        texts = [each.decode() if isinstance(each, bytes) else each for each in row]
        for text, (label, p), index in zip(texts, own.top, own.indices, strict=True):
            value, at, name = text.split(":", 2)
            assert float(value) == pytest.approx(p, abs=1e-5)
            assert (int(at), name) == (index, label)


def test_pixels(client: triton.InferenceServerClient, serving: Running) -> None:
    classifier = serving.service.default.classifier
    crop = read_image_bytes(PHOTOS[1], classifier.preprocessing, 10**6).pixels[None]
    tensor = triton.InferInput("pixels", list(crop.shape), "UINT8")
    tensor.set_data_from_numpy(crop)
    wanted = [triton.InferRequestedOutput("probabilities", binary_data=False)]
    result = client.infer("seven", [tensor], outputs=wanted)
    own = classifier.probabilities(crop)
    np.testing.assert_allclose(result.as_numpy("probabilities"), own, atol=1e-5)


def test_unknown() -> None:
    with running() as serving:
        ood = OODDetector("energy", 1e9, 5.0)  # above every score
        set_header(serving.service.default.classifier, calibration=Calibration(1.0, ood))
        with triton.InferenceServerClient(serving.at.removeprefix("http://")) as client:
            assert client.get_model_metadata("seven")["outputs"][2]["datatype"] == "BOOL"
            result = client.infer("seven", [images(PHOTOS[:2])])
        assert result.as_numpy("unknown").tolist() == [True, True]


def test_token() -> None:
    headers = {"Authorization": "Bearer sesame"}
    with running(token="sesame") as serving:
        at = serving.at.removeprefix("http://")
        with triton.InferenceServerClient(at) as client:
            assert client.is_server_ready()
            assert client.is_model_ready("four", headers=headers)
            assert client.infer("four", [images(PHOTOS[:1])], headers=headers).as_numpy("label")
            with pytest.raises(InferenceServerException, match="a bearer token is required"):
                client.infer("four", [images(PHOTOS[:1])])


def test_image_that_fails(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException) as error:
        client.infer("seven", [images([PHOTOS[0], b"no image"])])
    assert error.value.status() == "415"
    assert error.value.message() == "image 2 of 2: this is not an image of a known format"


def test_elements_are_those_of_the_client() -> None:
    texts = ["", "a", "Größe", "x" * 300]
    own = serialize_byte_tensor(np.array([text.encode() for text in texts], object))
    assert join_elements(texts) == own.item()


B64 = b64encode(PHOTOS[0]).decode()


def test_json_alone(serving: Running) -> None:
    """Without the binary extension, as curl would ask; the answer is as described."""
    tensor = {"name": "image", "datatype": "BYTES", "shape": [2], "data": [B64, B64]}
    answer = serving.client.post("/v2/models/seven/infer", json={"inputs": [tensor]})
    assert answer.status_code == 200, answer.text
    probabilities, label = answer.json()["outputs"]
    assert (probabilities["shape"], label["shape"]) == ([2, 7], [2])
    assert sum(probabilities["data"]) == pytest.approx(2, abs=1e-4)
    components = serving.client.get("/openapi.json").json()["components"]
    schema = {"$ref": "#/components/schemas/InferResponse", "components": components}
    jsonschema.validate(answer.json(), schema)
    for path, name in {
        "/v2": "Server", "/v2/health/live": "Live", "/v2/health/ready": "Ready",
        "/v2/models/four": "ModelMetadata", "/v2/models/four/ready": "ModelReady",
    }.items():  # fmt: skip
        schema = {"$ref": f"#/components/schemas/{name}", "components": components}
        jsonschema.validate(serving.client.get(path).json(), schema)


IMAGE = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [B64]}
PIXELS = {"name": "pixels", "datatype": "UINT8", "shape": [1, 32, 32, 3]}


def inputs(*tensors: Any, **others: Any) -> dict[str, Any]:
    return {"inputs": list(tensors), **others}


@pytest.mark.parametrize(
    ("value", "status", "message"),
    [
        ({}, 400, "inputs must be a list of objects, got null"),
        (inputs(1), 400, "inputs must be a list of objects, got [1]"),
        (inputs(), 400, "inputs must be one tensor, image or pixels, got 0"),
        (inputs(IMAGE, PIXELS), 400, "got 2"),
        (inputs(IMAGE, id=7), 400, "id must be a text, got 7"),
        (inputs(IMAGE | {"name": "x"}), 400, 'inputs must be image or pixels, got "x"'),
        (inputs(IMAGE | {"datatype": "FP32"}), 400,
         'the datatype of image must be BYTES, got "FP32"'),
        (inputs(IMAGE | {"shape": [-1]}), 400, "shape must be a list of whole numbers, got [-1]"),
        (inputs(IMAGE | {"shape": [1, 2]}), 400, "must be [N] or [N, 1], got [1, 2]"),
        (inputs(IMAGE | {"shape": [2]}), 400, "the shape of image is [2], its data has 1"),
        (inputs(IMAGE | {"data": "x"}), 400, 'data must be a list of base64 texts, got "x"'),
        (inputs(IMAGE | {"data": [7]}), 400,
         "each element of data must be an image as base64 text, got 7"),
        (inputs(IMAGE | {"shape": [0], "data": []}), 400, "the request contains no image"),
        (inputs(IMAGE | {"shape": [5], "data": ["YQ=="] * 5}), 413,
         "a request may have 4 images, this has more"),
        (inputs(IMAGE | {"data": [["YQ=="] * 5]}), 413, "a request may have 4 images"),
        (inputs(IMAGE | {"parameters": {"binary_data_size": 9}}), 400,
         "binary_data_size must be at most 0 bytes, got 9"),
        (inputs(PIXELS | {"data": [0]}), 400, "pixels must be sent as binary data"),
        (inputs(PIXELS | {"shape": [1, 3, 32, 32]}), 400,
         "the shape of pixels must be [N, 32, 32, 3], got [1, 3, 32, 32]"),
        (inputs(IMAGE, outputs=[{"name": "x"}]), 400,
         'the outputs are probabilities, label, got "x"'),
        (inputs(IMAGE, outputs=[{"name": "label"}] * 2), 400,
         "the output label must be named only once"),
        (inputs(IMAGE, outputs=[{"name": "label", "parameters": {"classification": 1}}]), 400,
         "classification is of probabilities, got it for label"),
        (inputs(IMAGE, outputs=[{"name": "probabilities", "parameters": {"classification": 8}}]),
         400, "classification must be a whole number from 1 to 7, got 8"),
        (inputs(IMAGE, parameters=[]), 400, "parameters must be an object, got []"),
    ],
)  # fmt: skip
def test_refusals(value: Any, status: int, message: str, serving: Running) -> None:
    answer = serving.client.post("/v2/models/seven/infer", json=value)
    assert answer.status_code == status, answer.text
    assert message in answer.json()["error"]
    assert serving.service.reserved_bytes == serving.service.pending == 0


def binary(tensor: dict[str, Any], data: bytes, said: int | None = None) -> tuple[bytes, int]:
    """A body and the length of its JSON."""
    size = len(data) if said is None else said
    text = json.dumps(inputs(tensor | {"parameters": {"binary_data_size": size}})).encode()
    return text + data, len(text)


NO_DATA = {"name": "image", "datatype": "BYTES", "shape": [1]}


@pytest.mark.parametrize(
    ("tensor", "data", "said", "message"),
    [
        (NO_DATA, b"abc", None, "the binary data of a BYTES tensor ends within an element"),
        (NO_DATA, struct.pack("<I", 9) + b"abc", None, "ends within an element"),
        (NO_DATA, struct.pack("<I", 2**32 - 1) + b"abc", None, "ends within an element"),
        (NO_DATA, bytes(20), None, "a request may have 4 images, this has more"),
        (NO_DATA, b"abc", 2, "the inputs have 2 bytes of binary data, the body 3"),
        (NO_DATA, b"abc", 4, "binary_data_size must be at most 3 bytes, got 4"),
        (PIXELS, b"abc", None, "pixels of that shape has 3072 bytes, this has 3"),
        (PIXELS | {"shape": [5, 32, 32, 3]}, b"", None, "a request may have 4 images"),
    ],
)
def test_binary_data_that_does_not_fit(
    tensor: dict[str, Any], data: bytes, said: int | None, message: str, serving: Running
) -> None:
    body, length = binary(tensor, data, said)
    headers = {"Inference-Header-Content-Length": str(length)}
    answer = serving.client.post("/v2/models/seven/infer", content=body, headers=headers)
    assert answer.status_code in (400, 413)
    assert message in answer.json()["error"]


@pytest.mark.parametrize("length", ["-1", "x", "", "99999", "1" * 4000])
def test_lengths_that_are_none(length: str, serving: Running) -> None:
    headers = {"Inference-Header-Content-Length": length}
    answer = serving.client.post("/v2/models/seven/infer", content=b"{}", headers=headers)
    assert answer.status_code == 400
    assert "Inference-Header-Content-Length must be a number up to" in answer.json()["error"]
