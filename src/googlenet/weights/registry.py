"""The weight files that can be named instead of given: what they are and where they lie.

Facts only; nothing here is imported from, or written into, the network.
"""

from __future__ import annotations

from dataclasses import dataclass

from googlenet.runtime.errors import UsageError


@dataclass(frozen=True)
class KnownFile:
    """A published file that is downloaded once: weights, or what an export needs.

    sha256: of the file, in hexadecimal; the first digits alone where no more are published.
    size: in bytes, None where it is not published.
    fingerprint: of the weights themselves, whatever file they come in (`provenance.fingerprint`).
    published: what its authors say of its accuracy.
    """

    name: str
    title: str
    url: str
    file: str
    sha256: str
    licence: str
    size: int | None = None
    fingerprint: str | None = None
    published: str | None = None


def no_such_file(name: str, source: object) -> UsageError:
    """What a user is told who has named neither a file nor a known one."""
    return UsageError(
        f"{name} must be a model file, a run folder or one of {', '.join(KNOWN)}, "
        f"got {source}: no such file"
    )


KNOWN = {
    known.name: known
    for known in (
        KnownFile(
            name="bvlc",
            title="BVLC GoogLeNet, trained in Caffe by Sergio Guadarrama, 2014-15",
            url="http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel",
            file="bvlc_googlenet.caffemodel",
            size=53_533_754,
            sha256="6f7101e3a2183738a7125a0c5021ba82a1feb4228c5ca0924d991b6daf6f6fad",
            licence="released for unrestricted use",
            fingerprint="d9c3d220de386ea70a140e41b41e77c99a54d93facd43fbae5bb00a2bf3f5732",
            published="31.3 % top-1 and 11.1 % top-5 error, ILSVRC 2012 validation, centre crop",
        ),
        KnownFile(
            name="inception5h",
            title="Google's Inception of 2014 as a TensorFlow graph, 2015",
            url="https://storage.googleapis.com/download.tensorflow.org/models/inception5h.zip",
            file="inception5h.zip",
            sha256="d13569f6a98159de37e92e9c8ec4dae8f674fbf475f69fe6199b514f756d4364",
            licence="Apache-2.0",
        ),
        KnownFile(
            name="torchvision",
            title="torchvision's googlenet, ported from TensorFlow's weights, 2019",
            url="https://download.pytorch.org/models/googlenet-1378be20.pth",
            file="googlenet-1378be20.pth",
            sha256="1378be20",
            licence="BSD-3-Clause",
            published="30.2 % top-1 and 10.5 % top-5 error, ILSVRC 2012 validation, centre crop",
        ),
    )
}

ONNXRUNTIME_WEB = KnownFile(  # the version of export/web/runtime.py
    name="onnxruntime-web",
    title="ONNX Runtime for browsers, from npm",
    url="https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-1.30.0.tgz",
    file="onnxruntime-web-1.30.0.tgz",
    size=33_106_585,
    sha256="d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71",
    licence="MIT",
)
