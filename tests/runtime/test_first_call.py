"""First calls are alone, and what threads ask for at once is computed once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from queue import SimpleQueue
from threading import Barrier, Event, Lock
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from googlenet.inference.backends.base import Backend
from googlenet.inference.backends.onnxruntime import OnnxRuntimeBackend
from googlenet.inference.backends.openvino import OpenVINOBackend
from googlenet.runtime.compiled import CompiledLibrary
from googlenet.runtime.first_call import first_call_alone, locked_cache
from tests.fixtures import tiny_classifier

THREADS = 3
WAIT = 0.2  # seconds in which somebody would come, if anybody could
PHOTOS = np.zeros((1, 3, 8, 8), np.float32)


class Probe:
    """Work of which the first call waits for company, which must not come."""

    def __init__(self) -> None:
        self.calls, self.lock = 0, Lock()
        self.company = Event()
        self.alone = False

    def __call__(self) -> None:
        with self.lock:
            self.calls += 1
            first = self.calls == 1
        if first:
            self.alone = not self.company.wait(WAIT)
        self.company.set()


class Thing:
    def __init__(self, work: Callable[[], object]) -> None:
        self.work = work

    @first_call_alone
    def run(self) -> object:
        return self.work()


def in_threads(work: Callable[[], object], count: int = THREADS) -> list[object]:
    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(work) for _ in range(count)]]


def test_first_call_is_alone_and_later_ones_are_side_by_side() -> None:
    probe = Probe()
    thing = Thing(probe)
    in_threads(thing.run)
    assert (probe.alone, probe.calls) == (True, THREADS)
    everybody = Barrier(THREADS)
    thing.work = lambda: everybody.wait(30)
    in_threads(thing.run)


def test_first_calls_of_two_objects_are_apart() -> None:
    """What a library sets up once, it sets up for all of them."""
    probe = Probe()
    things = [Thing(probe) for _ in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(Thing.run, things))
    assert (probe.alone, probe.calls) == (True, THREADS)


def test_a_first_call_that_fails_is_followed_by_another() -> None:
    def fails() -> None:
        raise ValueError("not yet")

    thing = Thing(fails)
    with pytest.raises(ValueError, match="not yet"):
        thing.run()
    probe = Probe()
    thing.work = probe
    in_threads(thing.run)
    assert probe.alone


def test_a_first_call_may_make_another_one() -> None:
    inner = Thing(lambda: "done")
    assert Thing(inner.run).run() == "done"
    assert copy(inner).run() == "done"


def onnxruntime_engine(probe: Probe) -> Backend:
    engine = OnnxRuntimeBackend.__new__(OnnxRuntimeBackend)

    def run(*_: object) -> list[Any]:
        probe()
        return [PHOTOS]

    engine.session, engine.wanted, engine.input = SimpleNamespace(run=run), ["logits"], "photos"
    return engine


def openvino_engine(probe: Probe) -> Backend:
    engine = OpenVINOBackend.__new__(OpenVINOBackend)
    output = SimpleNamespace(get_names=lambda: {"logits"})
    engine.compiled, engine.idle = SimpleNamespace(outputs=[output]), SimpleQueue()
    for _ in range(THREADS):
        engine.idle.put(
            SimpleNamespace(
                infer=lambda *_, **__: probe(), get_tensor=lambda _: SimpleNamespace(data=PHOTOS)
            )
        )
    return engine


@pytest.mark.parametrize("start", [onnxruntime_engine, openvino_engine])
def test_engines_compute_their_first_call_alone(start: Callable[[Probe], Backend]) -> None:
    probe = Probe()
    engine = start(probe)
    in_threads(lambda: engine.run(PHOTOS))
    assert (probe.alone, probe.calls) == (True, THREADS)


def test_a_classifier_of_several_threads_computes_its_first_call_alone() -> None:
    classifier, probe = tiny_classifier(), Probe()
    classifier.network.get_submodule("conv1").register_forward_pre_hook(lambda *_: probe())
    size = classifier.preprocessing.size
    pixels = np.zeros((2, size, size, 3), np.uint8)
    in_threads(lambda: classifier.outputs(pixels))
    assert (probe.alone, probe.calls) == (True, THREADS)


def test_a_value_is_computed_once_and_its_threads_wait() -> None:
    probe = Probe()

    @locked_cache
    def value(name: str) -> object:
        probe()
        return object()

    found = in_threads(lambda: value("a"))
    assert (len(set(found)), probe.calls, probe.alone) == (1, 1, True)
    assert value("b") is not found[0]
    value.cache_clear()
    assert value("a") is not found[0]


def test_values_of_other_keys_do_not_wait() -> None:
    together = Barrier(2)
    value = locked_cache(lambda name: together.wait(30))
    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(value, "ab")) == [0, 1]


def test_a_value_that_fails_is_computed_again() -> None:
    answers: list[Exception | int] = [ValueError("not yet"), 1]

    @locked_cache
    def value() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(ValueError, match="not yet"):
        value()
    assert (value(), value()) == (1, 1)


def test_a_compiled_library_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Probe()
    library = CompiledLibrary("probe", (), {})
    monkeypatch.setattr(library, "build", lambda folder: folder)
    monkeypatch.setattr(library, "open", lambda path: probe())
    monkeypatch.delenv("GOOGLENET_NATIVE", raising=False)
    in_threads(library.load)
    assert (probe.alone, probe.calls) == (True, 1)
