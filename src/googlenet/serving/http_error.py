"""A request or a photo that gets no answer: its status and one sentence why."""

from __future__ import annotations

from collections.abc import Mapping

from googlenet.runtime.errors import GoogLeNetError


class RefusalError(GoogLeNetError):
    """What the client is told; `status` is of RFC 9110."""

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None):
        super().__init__(sentence)
        self.status, self.sentence = status, sentence
        self.headers = dict(headers or {})


def busy(sentence: str) -> RefusalError:
    """503, with the time after which it is worth asking again."""
    return RefusalError(503, sentence, {"Retry-After": "1"})
