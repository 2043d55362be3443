"""What tells models apart: a hash of the weights and the preprocessing."""

from __future__ import annotations

from hashlib import sha256

import torch

from googlenet.inference.classifier import Classifier


def model_digest(classifier: Classifier) -> str:
    """A hash in hexadecimal, the same wherever the model lies."""
    digest = sha256(repr(classifier.preprocessing).encode())
    for name, tensor in sorted(classifier.network.state_dict().items()):
        values = tensor.cpu().contiguous().flatten().view(torch.uint8).numpy()
        digest.update(name.encode() + values.tobytes())
    return digest.hexdigest()
