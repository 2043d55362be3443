"""The OpenAPI 3.1 description of the service, served at /openapi.json."""

from __future__ import annotations

from typing import Any

from googlenet import __version__
from googlenet.serving.answers import MAPS
from googlenet.serving.limits import Limits
from googlenet.serving.request_body import MAX_TOP

Json = dict[str, Any]

# Every status but 200, with what it means here.
REFUSALS = {
    400: "A parameter outside its rule, a body that is no complete form, or no photo at all.",
    401: "The service asks for a bearer token; this request has none or another.",
    408: "The request came too slowly.",
    413: "A request of too many bytes or photos, or a photo of too many pixels.",
    415: "A body, or a photo, of a type that is not supported.",
    422: "No photo could be decoded; the body says why of each.",
    500: "The service failed; its log says how.",
    503: "The queue is full, or the service is stopping; Retry-After says when to ask again.",
    504: "No answer within the time limit.",
}
HEADERS: dict[int, Json] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    503: {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}},
}


def description(limits: Limits, token: bool) -> Json:
    """The document, with this service's limits in it."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "googlenet serve",
            "version": __version__,
            "summary": "Says what is in photos.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/predict": {"post": predict(limits, token)},
            "/model": {
                "get": operation("model", "The model's header.", "Model", token, 401),
            },
            "/metrics": {
                "get": {
                    "operationId": "metrics",
                    "summary": "Counts and latencies in Prometheus's text format.",
                    **security(token),
                    "responses": {
                        "200": {"description": "Done.", "content": text("text/plain")},
                        **refusals(401, token=token),
                    },
                }
            },
            "/health": {"get": operation("health", "Whether the process lives.", "Status", False)},
            "/ready": {
                "get": operation(
                    "ready", "Whether it takes photos: 503 where it stops.", "Status", False, 503
                )
            },
            "/": {
                "get": {
                    "operationId": "page",
                    "summary": "A page for people.",
                    "responses": {"200": {"description": "Done.", "content": text("text/html")}},
                }
            },
        },
        "components": {
            "schemas": schemas(),
            **(
                {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
                if token
                else {}
            ),
        },
    }


def predict(limits: Limits, token: bool) -> Json:
    photo = {"schema": {"type": "string", "format": "binary"}}
    form = {
        "schema": {
            "type": "object",
            "additionalProperties": {"type": "string", "format": "binary"},
            "minProperties": 1,
        }
    }
    return {
        "operationId": "predict",
        "summary": "What is in one photo, or in several.",
        "description": (
            f"A request may have {limits.body} bytes and {limits.photos} photos, a photo "
            f"{limits.pixels} pixels. Where at least one photo has an answer the status is 200 "
            "and each result is an answer or an error; else it is the first photo's."
        ),
        "parameters": [
            {
                "name": "top",
                "in": "query",
                "description": "Answers a photo, at most as many as there are classes.",
                "schema": {"type": "integer", "minimum": 1, "maximum": MAX_TOP, "default": 5},
            },
            {
                "name": "cam",
                "in": "query",
                "description": "1 asks where the network looked for the first answers.",
                "schema": {"type": "integer", "enum": [0, 1], "default": 0},
            },
        ],
        "requestBody": {
            "required": True,
            "content": {
                "image/*": photo,
                "application/octet-stream": photo,
                "multipart/form-data": form,
            },
        },
        **security(token),
        "responses": {
            "200": {"description": "Answers, in the photos' order.", "content": json("Answers")},
            **refusals(400, 401, 408, 413, 415, 422, 500, 503, 504, token=token),
        },
    }


def operation(name: str, summary: str, schema: str, token: bool, *statuses: int) -> Json:
    return {
        "operationId": name,
        "summary": summary,
        **security(token),
        "responses": {
            "200": {"description": "Done.", "content": json(schema)},
            **refusals(*statuses, token=token),
        },
    }


def security(token: bool) -> Json:
    return {"security": [{"token": []}]} if token else {}


def refusals(*statuses: int, token: bool) -> Json:
    return {
        str(status): {
            "description": REFUSALS[status],
            "content": json("Error"),
            **({"headers": HEADERS[status]} if status in HEADERS else {}),
        }
        for status in statuses
        if status != 401 or token
    }


def json(schema: str) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def text(kind: str) -> Json:
    return {kind: {"schema": {"type": "string"}}}


def schemas() -> Json:
    label = {"type": "string", "description": "The name of a class."}
    probability = {"type": "number", "minimum": 0, "maximum": 1}
    entry = record({"label": label, "probability": probability})
    pixels = {"type": "integer", "minimum": 1, "description": "Of the upright photo."}
    grid = {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}
    error = {"type": "string", "description": "One sentence."}
    results = {
        "type": "array",
        "minItems": 1,
        "items": {"oneOf": [reference("Answer"), reference("PhotoError")]},
    }
    return {
        "Answers": record({"results": results}),
        "Answer": record(
            {
                "label": label,
                "probability": probability,
                "top": {
                    "type": "array",
                    "minItems": 1,
                    "description": "The likeliest first.",
                    "items": entry,
                },
                "labels": {
                    "type": "array",
                    "description": "Of a model whose photos can have several labels, all above "
                    "its threshold.",
                    "items": entry,
                },
                "unknown": {
                    "type": ["boolean", "null"],
                    "description": "Whether this is too uncertain to be an answer; null of a "
                    "model that stores no threshold.",
                },
                "width": pixels,
                "height": pixels,
                "milliseconds": {
                    "type": "number",
                    "minimum": 0,
                    "description": "From the complete request to this answer.",
                },
                "cam": reference("Cam"),
            },
            optional=("cam", "labels"),
        ),
        "Cam": record(
            {
                "region": {
                    "type": "array",
                    "minItems": 4,
                    "maxItems": 4,
                    "items": {"type": "number"},
                    "description": "What the network saw of the upright photo: left, top, width "
                    "and height as shares of its width and height.",
                },
                "maps": {
                    "type": "array",
                    "maxItems": MAPS,
                    "items": grid,
                    "description": "A grid of rows for each of the first answers, over the "
                    "region: each place's share of the logit.",
                },
            }
        ),
        "PhotoError": record({"error": error}),
        "Error": record({"error": error, "results": results}, optional=("results",)),
        "Status": record({"status": {"type": "string", "enum": ["alive", "ready"]}}),
        "Model": model(),
    }


def model() -> Json:
    anything: Json = {"type": "object"}
    return record(
        {
            "variant": {"type": "string"},
            "width": {"type": "number"},
            "heads": {"type": "array", "items": {"type": "string"}},
            "labels": {"type": "string", "enum": ["single", "multi"]},
            "threshold": {"type": ["number", "null"]},
            "classes": {
                "type": "array",
                "items": record({"id": {"type": "string"}, "name": {"type": "string"}}),
            },
            "preprocessing": anything,
            "calibration": {"type": ["object", "null"]},
            "metrics": anything,
            "provenance": anything,
            "licence": {"type": ["string", "null"]},
            "cam": {"type": "boolean", "description": "Whether `cam=1` brings maps."},
            "limits": record({name: {"type": "integer"} for name in ("body", "pixels", "photos")}),
        },
        open=True,
    )


def record(properties: Json, optional: tuple[str, ...] = (), open: bool = False) -> Json:
    """An object of these properties; others only where it is open."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        **({} if open else {"additionalProperties": False}),
    }


def reference(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}
