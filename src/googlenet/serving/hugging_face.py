"""The image-classification task of Hugging Face's inference API, as its clients ask for it.

https://huggingface.co/docs/inference-providers/tasks/image-classification
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from googlenet.serving.answering import Images, all_answered, answer_images
from googlenet.serving.http_error import HTTPError
from googlenet.serving.json_body import image_of, object_in, parse_object, shown, whole_number
from googlenet.serving.predict import Answer, Json
from googlenet.serving.request_body import (
    MAX_TOP,
    RAW_TYPES,
    content_type,
    is_image_type,
    read_body,
    read_images,
)
from googlenet.serving.served_model import ServedModel
from googlenet.serving.service import MemoryReservation, Service

TOP = 5  # as Hugging Face's own pipeline
JSON_TYPE = "application/json"


async def classify(service: Service, request: Request) -> Response:
    """POST / and /models/NAME: one image in, [{"label", "score"}] out, the likeliest first."""
    model = service.model(request.path_params.get("model"))

    async def read(memory: MemoryReservation) -> tuple[Images, int]:
        kind = content_type(request)
        if is_image_type(kind):
            return await read_images(request, service.limits, memory), TOP
        if kind != JSON_TYPE:
            types = f"image/*, {RAW_TYPES[0]} or {JSON_TYPE}"
            raise HTTPError(415, f"the type must be {types}, got {kind[:60]!r}")
        body = await read_body(request, service.limits, memory)
        loop = asyncio.get_running_loop()
        image, top = await loop.run_in_executor(service.decoders, parse, body, model)
        return [image], top

    (answer,) = all_answered(await answer_images(service, request, model, read))
    return JSONResponse(scores(answer))


def parse(body: bytes, model: ServedModel) -> tuple[bytes, int]:
    """The image and the number of classes wanted.  Raises HTTPError (400, 413)."""
    value = parse_object(body)
    parameters = object_in(value, "parameters")
    check_keys(value, "the body", ("inputs", "parameters"))
    check_keys(parameters, "parameters", ("top_k", "function_to_apply"))
    top = parameters.get("top_k")
    function = parameters.get("function_to_apply")
    own = "sigmoid" if model.classifier.multilabel else "softmax"
    if function not in (None, own):
        raise HTTPError(
            400, f"function_to_apply must be {own} for this model, got {shown(function)}"
        )
    image = image_of(value.get("inputs"), "inputs")
    return image, TOP if top is None else whole_number(top, "top_k", MAX_TOP)


def check_keys(value: dict[str, Any], name: str, known: tuple[str, ...]) -> None:
    """Raises HTTPError (400) for a key that would change nothing."""
    for key in value:
        if key not in known:
            raise HTTPError(400, f"{name} may have {' and '.join(known)}, got {shown(key)}")


def scores(answer: Answer) -> list[Json]:
    return [{"label": label, "score": score} for label, score in answer.prediction.top]
