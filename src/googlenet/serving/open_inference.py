"""The Open Inference Protocol v2 of KServe and Triton, as their clients ask for it.

https://github.com/kserve/open-inference-protocol, with the extensions for binary tensor data and
classification.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from googlenet import __version__
from googlenet.serving.answering import Images, all_answered, answer_images
from googlenet.serving.infer_request import (
    IMAGE,
    LABEL,
    PROBABILITIES,
    UNKNOWN,
    InferRequest,
    Output,
    output_names,
    parse,
)
from googlenet.serving.predict import Answer, Json
from googlenet.serving.request_body import read_body
from googlenet.serving.served_model import ServedModel
from googlenet.serving.service import MemoryReservation, Service
from googlenet.serving.tensors import LENGTH_HEADER, pack

EXTENSIONS = ["binary_tensor_data", "classification"]


def server_metadata() -> Json:
    """GET /v2."""
    return {"name": "googlenet", "version": __version__, "extensions": EXTENSIONS}


def model_metadata(model: ServedModel) -> Json:
    """GET /v2/models/NAME."""
    classes = len(model.classifier.classes)
    tensors = {
        PROBABILITIES: {"datatype": "FP32", "shape": [-1, classes]},
        LABEL: {"datatype": "BYTES", "shape": [-1]},
        UNKNOWN: {"datatype": "BOOL", "shape": [-1]},
    }
    return {
        "name": model.name,
        "platform": model.classifier.backend.name,
        "inputs": [{"name": IMAGE, "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": name, **tensors[name]} for name in output_names(model)],
    }


async def infer(service: Service, request: Request) -> Response:
    """POST /v2/models/NAME/infer.  An image without a prediction fails the whole request."""
    model = service.model(request.path_params["model"])
    asked: InferRequest | None = None

    async def read(memory: MemoryReservation) -> tuple[Images, int]:
        nonlocal asked
        body = await read_body(request, service.limits, memory)
        length = request.headers.get(LENGTH_HEADER)
        loop = asyncio.get_running_loop()
        asked = await loop.run_in_executor(
            service.decoders, parse, body, length, model, service.limits
        )
        return asked.images, classes_wanted(asked.outputs, model)

    answers = all_answered(await answer_images(service, request, model, read))
    assert asked is not None
    return response(asked, model, answers)


def classes_wanted(outputs: Sequence[Output], model: ServedModel) -> int:
    """Classes per image; the values themselves are of all classes."""
    if any(each.name == PROBABILITIES and not each.classes for each in outputs):
        return len(model.classifier.classes)
    return max(each.classes or 1 for each in outputs)


def response(asked: InferRequest, model: ServedModel, answers: Sequence[Answer]) -> Response:
    values = [(each.name, values_of(each, model, answers), each.binary) for each in asked.outputs]
    own = {} if asked.id is None else {"id": asked.id}
    body, header_length = pack(values, {"model_name": model.name, **own})
    if header_length is None:
        return Response(body, media_type="application/json")
    headers = {LENGTH_HEADER: str(header_length)}
    return Response(body, headers=headers, media_type="application/octet-stream")


def values_of(output: Output, model: ServedModel, answers: Sequence[Answer]) -> NDArray[Any]:
    """The values of an output: a row per answer, or an element."""
    found = [answer.prediction for answer in answers]
    if output.name == LABEL:
        return np.array([each.label for each in found], object)
    if output.name == UNKNOWN:
        return np.array([bool(each.unknown) for each in found], np.bool_)
    if output.classes:
        rows = [
            [
                f"{p:f}:{index}:{label}"
                for index, (label, p) in zip(each.indices, each.top, strict=True)
            ][: output.classes]
            for each in found
        ]
        return np.array(rows, object)
    values = np.zeros((len(found), len(model.classifier.classes)), np.float32)
    for row, each in zip(values, found, strict=True):
        row[list(each.indices)] = [p for _, p in each.top]
    return values
