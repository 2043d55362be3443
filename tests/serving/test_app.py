"""The service's answers and refusals, asked over a socket."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from googlenet.data.labels import Class
from googlenet.inference.calibration import Calibration, OODDetector, energy
from googlenet.inference.classifier import Classifier
from googlenet.serving.input_image import read_image_bytes
from googlenet.serving.middleware import SECURITY
from tests.fixtures import encoded, noise, set_header
from tests.serving.conftest import PHOTOS, Running, running, until

BOMB = encoded(Image.new("L", (400, 300)))  # more pixels than the service of these tests takes
TEXT = b"this is no photo"
TRUNCATED = PHOTOS[0][: len(PHOTOS[0]) // 2]


def expected(
    classifier: Classifier, photos: list[bytes], top: int = 5
) -> list[list[dict[str, object]]]:
    """What the classifier itself says, in the form of an answer's `top`."""
    return [
        [{"label": label, "probability": pytest.approx(p, abs=1e-5)} for label, p in result.top]
        for result in classifier.predict(photos, top=top)
    ]


def test_one_image_as_the_classifier_says(serving: Running) -> None:
    answer = serving.predict(PHOTOS[0])
    assert answer.status_code == 200
    (result,) = answer.json()["results"]
    (top,) = expected(serving.service.default.classifier, PHOTOS[:1])
    assert result["top"] == top
    assert (result["label"], result["probability"]) == (top[0]["label"], top[0]["probability"])
    assert (result["width"], result["height"], result["unknown"]) == (60, 40, None)
    assert result["milliseconds"] > 0
    assert "cam" not in result


def test_images_of_a_form_in_their_order(serving: Running) -> None:
    answer = serving.form([PHOTOS[2], TEXT, PHOTOS[0], BOMB], params={"top": 2})
    assert answer.status_code == 200
    results = answer.json()["results"]
    good = expected(serving.service.default.classifier, [PHOTOS[2], PHOTOS[0]], top=2)
    assert [results[0]["top"], results[2]["top"]] == good
    assert results[1] == {"error": "this is not an image of a known format"}
    assert results[3] == {"error": "an image may have 10000 pixels, this has 400×300"}


def test_images_that_ask_together_are_answered_together(serving: Running) -> None:
    """While one batch is in the network the next is gathered, whoever asks."""
    gate = serving.gate
    gate.close()
    gate.batches.clear()
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(serving.predict, PHOTOS[0])
        assert gate.reached.wait(30)
        others = [
            pool.submit(serving.predict, PHOTOS[1], params={"top": 1}),
            pool.submit(serving.form, PHOTOS[2:4], params={"top": 3, "cam": 1}),
            pool.submit(serving.predict, PHOTOS[1], params={"top": 7}),
        ]
        until(lambda: len(serving.service.default.batcher.waiting) == 4)
        gate.open.set()
        answers = [call.result().json()["results"] for call in (first, *others)]
    assert gate.batches == [1, 4]
    classifier = serving.service.default.classifier
    assert answers[0][0]["top"] == expected(classifier, PHOTOS[:1])[0]
    assert answers[1][0]["top"] == expected(classifier, PHOTOS[1:2], top=1)[0]
    assert [result["top"] for result in answers[2]] == expected(classifier, PHOTOS[2:4], top=3)
    assert answers[3][0]["top"] == expected(classifier, PHOTOS[1:2], top=7)[0]
    assert [len(result.get("cam", {}).get("maps", ())) for a in answers for result in a] == [
        *(0, 0), *(3, 3), 0,
    ]  # fmt: skip


def test_unknown_as_the_classifier_says() -> None:
    with running() as serving:
        classifier = serving.service.default.classifier
        scores = [energy(classifier.outputs(crops(classifier, p)), {}).item() for p in PHOTOS]
        threshold = sum(scores) / len(scores)
        set_header(classifier, calibration=Calibration(2.0, OODDetector("energy", threshold, 5.0)))
        results = serving.form(PHOTOS).json()["results"]
        assert [result["unknown"] for result in results] == [score < threshold for score in scores]
        assert [result["top"] for result in results] == expected(classifier, PHOTOS)
        assert serving.client.get("/model").json()["calibration"]["temperature"] == 2.0


def test_images_of_several_labels() -> None:
    with running() as serving:
        classifier = serving.service.default.classifier
        set_header(classifier, multilabel=True, threshold=0.5)
        results = serving.form(PHOTOS, params={"top": 2}).json()["results"]
        for result, own in zip(results, classifier.predict(PHOTOS, top=2), strict=True):
            assert [entry["label"] for entry in result["labels"]] == [
                n for n, _ in own.labels or ()
            ]
            assert all(entry["probability"] > 0.5 for entry in result["labels"])
            assert len(result["top"]) == 2
        assert any(results[0]["labels"] != result["labels"] for result in results)
        answers = serving.client.get("/openapi.json").json()["components"]["schemas"]["Prediction"]
        assert set(results[0]) <= set(answers["properties"])


def crops(classifier: Classifier, photo: bytes) -> NDArray[np.uint8]:
    return read_image_bytes(photo, classifier.preprocessing, 10**6).pixels[None].copy()


def test_classes_of_one_name_have_maps_of_their_own() -> None:
    """ImageNet has two cranes."""
    with running() as serving:
        classifier = serving.service.default.classifier
        (before,) = serving.predict(PHOTOS[0], params={"cam": 1}).json()["results"]
        set_header(classifier, classes=tuple(Class(c.id, "crane") for c in classifier.classes))
        (after,) = serving.predict(PHOTOS[0], params={"cam": 1}).json()["results"]
        assert after["cam"] == before["cam"]
        assert {entry["label"] for entry in after["top"]} == {"crane"}


def test_maps_of_the_first_answers(serving: Running) -> None:
    (result,) = serving.predict(PHOTOS[1], params={"cam": 1, "top": 7}).json()["results"]
    classifier = serving.service.default.classifier
    region, maps = result["cam"]["region"], np.array(result["cam"]["maps"])
    # 60×40 resized to 56×37, of which the middle 32×32 are seen.
    assert region == pytest.approx([12 / 56, 2 / 37, 32 / 56, 32 / 37], abs=1e-5)
    assert maps.shape == (5, 1, 1)  # of seven classes; the map of 32×32 pixels is of one place
    bias = classifier.network.state_dict()["classifier.bias"].numpy()
    names = [c.name for c in classifier.classes]
    logits = maps.mean((1, 2)) + [bias[names.index(a["label"])] for a in result["top"][:5]]
    ratios = np.array([a["probability"] for a in result["top"][:5]])
    np.testing.assert_allclose(np.exp(logits - logits[0]), ratios / ratios[0], rtol=0.01)


def test_model_without_maps_says_so() -> None:
    with running() as serving:
        until(lambda: serving.service.ready)  # which finds out whether there are maps
        serving.service.default.has_cam = False
        answer = serving.predict(PHOTOS[0], params={"cam": 1})
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("this model has no class activation maps")
        assert serving.client.get("/model").json()["cam"] is False
        assert serving.predict(PHOTOS[0]).status_code == 200


def test_rotated_image_is_upright_in_answer_and_map(serving: Running) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(noise(40, 60, 9).transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    upright = encoded(noise(40, 60, 9), "PNG")
    answers = [
        serving.predict(p, params={"cam": 1}).json()["results"][0] for p in (turned, upright)
    ]
    for answer in answers:
        del answer["milliseconds"]
    assert answers[0] == answers[1]
    assert (answers[0]["width"], answers[0]["height"]) == (40, 60)


JPEG = {"content-type": "image/jpeg"}
FORM = {"content-type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n'


@pytest.mark.parametrize(
    ("path", "headers", "body", "status", "message"),
    [
        ("?top=0", JPEG, PHOTOS[0], 400, "top must be a whole number from 1 to 1000, got '0'"),
        ("?top=1e3", JPEG, PHOTOS[0], 400, "got '1e3'"),
        ("?top=%D9%A3", JPEG, PHOTOS[0], 400, "got '٣'"),
        ("?top=" + "9" * 5000, JPEG, PHOTOS[0], 400, f"got '{'9' * 40}'"),
        ("?cam=yes", JPEG, PHOTOS[0], 400, "cam must be 0 or 1, got 'yes'"),
        ("?top=1&top=2", JPEG, PHOTOS[0], 400, "top must be given only once"),
        ("?topk=3", JPEG, PHOTOS[0], 400, "the parameters are top, cam and model, got 'topk'"),
        ("?model=five", JPEG, PHOTOS[0], 404,
         "the models of this service are seven, four, got 'five'"),
        ("", JPEG, b"", 400, "the request contains no image"),
        ("", FORM, b"", 400, "its last boundary is missing"),
        ("", FORM, b"nonsense", 400, "the body is not valid multipart/form-data"),
        ("", FORM, b"--x--\r\n", 400, "the request contains no image"),
        ("", FORM, PART + PHOTOS[0], 400, "its last boundary is missing"),
        ("", FORM, b"--x\r\n\r\nabc\r\n--x--\r\n", 400, "must be a file"),
        ("", {"content-type": "multipart/form-data"}, PHOTOS[0], 400, "must name its boundary"),
        ("", FORM, PART.replace(b'; filename="b"', b"") + b"hello\r\n--x--\r\n", 400,
         "each part of the form must be a file, with a file name"),
        ("", FORM, b"--x\r\n" + b"A: b\r\n" * 20_000 + b"\r\n--x--\r\n", 400, "the body is not"),
        ("", FORM, (PART + b"hello\r\n") * 5 + b"--x--\r\n", 413,
         "a request may have 4 images, this has more"),
        ("", JPEG, bytes(200_001), 413, "a request body may have 200000 bytes, this has 200001"),
        ("", JPEG, BOMB, 413, "an image may have 10000 pixels, this has 400×300"),
        ("", {"content-type": "text/plain"}, TEXT, 415, "must be image/*"),
        ("", {"content-type": "application/json"}, b"{}", 415, "got 'application/json'"),
        ("", JPEG | {"content-encoding": "gzip"}, PHOTOS[0], 415, "are compressed already"),
        ("", JPEG, TEXT, 415, "this is not an image of a known format"),
        ("", {}, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "not an image"),
        ("", JPEG, TRUNCATED, 422, "the image is damaged or incomplete"),
        ("", JPEG, encoded(Image.new("F", (9, 9)), "TIFF"), 422,
         "floating-point images are not supported, 8 and 16 bits are"),
    ],
)  # fmt: skip
def test_refusals(
    path: str, headers: dict[str, str], body: bytes, status: int, message: str, serving: Running
) -> None:
    answer = serving.client.post(f"/predict{path}", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert message in error
    assert "\n" not in error
    assert len(error) < 200
    assert serving.service.reserved_bytes == 0
    assert serving.predict(PHOTOS[0]).status_code == 200  # the service goes on


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/predict", 405), ("POST", "/model", 405), ("GET", "/nothing", 404),
        ("GET", "/health/", 404), ("GET", "/../secrets", 404), ("GET", "/%2e%2e/page.css", 404),
        ("OPTIONS", "/predict", 405),
    ],
)  # fmt: skip
def test_addresses_that_do_not_exist(method: str, path: str, status: int, serving: Running) -> None:
    answer = serving.client.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert "access-control-allow-origin" not in answer.headers


def test_all_refused_has_the_status_of_the_first(serving: Running) -> None:
    answer = serving.form([BOMB, TEXT])
    assert answer.status_code == 413
    first, second = answer.json()["results"]
    assert answer.json()["error"] == first["error"]
    assert second == {"error": "this is not an image of a known format"}


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js", "/health", "/x", "/openapi.json"])
def test_every_answer_has_the_security_headers(path: str, serving: Running) -> None:
    headers = serving.client.get(path).headers
    for name in SECURITY.keys() - {"cache-control"}:
        assert headers[name] == SECURITY[name]
    assert headers["cache-control"] in ("no-store", "no-cache")
    assert "server" not in headers


def test_nothing_of_the_machine_or_the_image_is_told(
    serving: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither addresses of objects and paths in answers, nor names of images in the log."""
    with caplog.at_level(logging.INFO, "googlenet.serving"):
        answers = [serving.form([photo]) for photo in (PHOTOS[0], TEXT, TRUNCATED, BOMB)]
        serving.client.get("/secret-folder/secret-1.jpg")
        until(lambda: len(caplog.records) == 5)
    for answer in answers:
        for leak in ("0x", "/", "BytesIO", "Traceback", "photo of", "secret"):
            assert leak not in answer.text
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(" ")[1:4] for line in lines] == [
        *(["POST", "/predict", status] for status in ("200", "415", "422", "413")),
        ["GET", "other", "404"],
    ]
    assert "secret" not in caplog.text


def test_model_is_the_header(serving: Running) -> None:
    facts = serving.client.get("/model").json()
    assert facts.pop("cam") is True
    assert (facts.pop("name"), facts.pop("models")) == ("seven", ["seven", "four"])
    assert facts.pop("limits") == {"body": 200_000, "pixels": 10_000, "photos": 4}
    header = serving.service.default.classifier.header.to_json()
    header["preprocessing"] |= {
        name: list(header["preprocessing"][name]) for name in ("mean", "scale")
    }
    assert facts == header


def test_metrics_are_prometheus_text() -> None:
    with running() as serving:
        serving.form([PHOTOS[0], TEXT, PHOTOS[1]])
        serving.predict(TEXT)
        until(lambda: serving.count(415) == 1)
        text = serving.client.get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}

    def samples(name: str) -> dict[tuple[str, ...], float]:
        return {
            (sample.name, *sample.labels.values()): sample.value
            for sample in families[name].samples
        }

    requests = samples("googlenet_requests")
    assert requests["googlenet_requests_total", "/predict", "200"] == 1
    assert requests["googlenet_requests_total", "/predict", "415"] == 1
    photos = samples("googlenet_photos")
    assert photos["googlenet_photos_total", "seven", "answered"] == 2
    assert photos["googlenet_photos_total", "seven", "refused"] == 2
    assert samples("googlenet_batch_photos")["googlenet_batch_photos_sum", "seven"] == 2
    latency = samples("googlenet_request_seconds")
    assert latency["googlenet_request_seconds_count", "/predict"] == 2
    assert samples("googlenet_queue_photos") == {("googlenet_queue_photos",): 0}
    assert samples("googlenet_held_bytes") == {("googlenet_held_bytes",): 0}


def test_queue_that_is_full(serving: Running) -> None:
    serving.gate.close()
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(serving.form, PHOTOS) for _ in range(2)]
        until(lambda: serving.service.pending == 8)
        refused = serving.predict(PHOTOS[0])
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert refused.json() == {"error": "the queue is full: 8 of at most 8 images are waiting"}
        assert serving.client.get("/health").json() == {"status": "alive"}
        assert serving.client.get("/ready").json() == {"status": "ready"}
        serving.gate.open.set()
        assert [call.result().status_code for call in calls] == [200, 200]
    assert serving.predict(PHOTOS[0]).status_code == 200


def test_answer_that_takes_too_long() -> None:
    with running(timeout=0.2) as serving:
        serving.gate.close()
        answer = serving.predict(PHOTOS[0])
        assert answer.status_code == 504
        assert answer.json() == {"error": "timed out after 0.2 seconds"}
        serving.gate.open.set()
        assert serving.service.pending == 0


def test_memory_set_apart_for_requests_is_full() -> None:
    """Two requests of which each is small enough, while the first waits for its answer."""
    photo = encoded(noise(100, 100), "BMP")
    with running(max_body=40_000, max_memory=40_000) as serving, ThreadPoolExecutor(1) as pool:
        serving.gate.close()
        first = pool.submit(serving.predict, photo)
        assert serving.gate.reached.wait(30)
        refused = serving.predict(photo)
        assert refused.status_code == 503
        assert "memory for request bodies is full" in refused.json()["error"]
        serving.gate.open.set()
        assert first.result().status_code == 200
        assert serving.service.reserved_bytes == 0
        assert serving.predict(photo).status_code == 200


def test_nobody_waits_for_who_has_gone(serving: Running) -> None:
    """Images of a client that hung up leave the queue unanswered."""
    gate = serving.gate
    gate.close()
    gate.batches.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(serving.predict, PHOTOS[0])
        assert gate.reached.wait(30)
        before = serving.count(499)
        with serving.dial() as leaving:
            head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(PHOTOS[1])}\r\n\r\n"
            leaving.sendall(head.encode() + PHOTOS[1])
            until(lambda: len(serving.service.default.batcher.waiting) == 1)
        until(lambda: serving.count(499) == before + 1)
        gate.open.set()
        assert first.result().status_code == 200
    assert serving.predict(PHOTOS[2]).status_code == 200
    assert gate.batches == [1, 1]


def test_a_fault_of_ours_is_500_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with running() as serving:
        classifier = serving.service.default.classifier
        working = classifier.outputs

        def fail(_: object) -> None:
            raise RuntimeError("out of luck")

        classifier.outputs = fail  # type: ignore[method-assign,assignment]
        answer = serving.predict(PHOTOS[0])
        assert answer.status_code == 500
        assert answer.json() == {"error": "internal error, see the service's log"}
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "out of luck" in caplog.text
        classifier.outputs = working  # type: ignore[method-assign]
        assert serving.predict(PHOTOS[0]).status_code == 200
        assert (serving.count(500), serving.count(200)) == (1, 1)


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (None, 401), ("Bearer wrong", 401), ("Bearer", 401), ("Basic sesame", 401),
        ("sesame", 401), ("Bearer sésame", 401), ("Bearer sesame", 200), ("bearer  sesame", 200),
    ],
)  # fmt: skip
def test_token(given: str | None, status: int, guarded: Running) -> None:
    headers = httpx.Headers([] if given is None else [(b"authorization", given.encode())])
    for method, path in (("POST", "/predict"), ("GET", "/model"), ("GET", "/metrics")):
        content = PHOTOS[0] if method == "POST" else None
        answer = guarded.client.request(method, path, content=content, headers=headers)
        assert answer.status_code == status
        assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
    for path in ("/health", "/ready", "/openapi.json", "/", "/page.js"):
        assert guarded.client.get(path).status_code == 200


@pytest.fixture(scope="module")
def guarded() -> Iterator[Running]:
    with running(token="sesame") as serving:
        yield serving


def test_stopping_answers_what_was_accepted_and_nothing_else() -> None:
    with running() as serving, ThreadPoolExecutor(1) as pool:
        serving.gate.close()
        accepted = pool.submit(serving.predict, PHOTOS[0])
        assert serving.gate.reached.wait(30)
        serving.service.stopping = True  # as the signal's handler does first
        with httpx.Client(base_url=serving.at, trust_env=False) as other:
            for answer in (other.get("/ready"), other.post("/predict", content=PHOTOS[0])):
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                assert answer.json() == {"error": "the service is stopping"}
        serving.server.handle_exit(15, None)
        until(lambda: not serving.server.servers[0].is_serving())
        with pytest.raises(OSError, match="refused"):
            serving.dial()
        assert not accepted.done()
        serving.gate.open.set()
        assert accepted.result().status_code == 200


def test_page_has_no_outside_resource(serving: Running) -> None:
    for path in ("/", "/page.css", "/page.js"):
        text = serving.client.get(path).text
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text
        assert "//" not in text.replace("://", "").replace(" // ", "") or path == "/page.js"


def test_formats(serving: Running) -> None:
    """Each of those that the decoder is for, found by content and not by the type that is told."""
    photo = noise(50, 40, 5)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"):
        answer = serving.predict(encoded(photo, kind), "application/octet-stream")
        assert answer.status_code == 200, kind
    stream = io.BytesIO()
    photo.save(stream, "MPO", save_all=True, append_images=[photo])
    assert serving.predict(stream.getvalue()).status_code == 200
