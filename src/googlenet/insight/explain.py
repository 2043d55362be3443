"""Where a classifier looked: one function per method, each a map of the image's own pixels.

Each takes a classifier that runs in PyTorch, an image (a path, bytes, an array or a Pillow image),
a class by name or index (the predicted one by default), and the class that it is explained
against, if any; each returns (H, W) float32, 0 where the network did not look (image_map.py).
The preprocessing is always the classifier's.  Its network is not touched: what is computed with
shares its weights and is thrown away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from googlenet.images.decode import Source
from googlenet.images.turbo_jpeg import as_pillow, load_image
from googlenet.inference.backends.base import Pixels
from googlenet.inference.backends.torch import TorchBackend
from googlenet.inference.classifier import Classifier
from googlenet.insight import attribution, cam
from googlenet.insight.image_map import Map, as_stored, to_image, turn_of
from googlenet.insight.layers import find_class, find_layer
from googlenet.kernels.optimize import InferenceNetwork
from googlenet.models.registry import Network, build_network
from googlenet.runtime.errors import UsageError

WINDOW = 1 / 7  # of the view's side: the square that occlusion covers
STRIDE = 1 / 14
SEED = 0  # of SmoothGrad's noise


class View(NamedTuple):
    """An image and what the network sees of it.

    image: upright, whole.  turn: what made it upright.  pixels: (size, size, channels) uint8.
    """

    image: Image.Image
    turn: Image.Transpose | None
    pixels: Pixels


@dataclass(frozen=True)
class Question:
    """Why this class, and not that one; by default, why the one that is predicted.

    layer: whose maps Grad-CAM takes.
    """

    target: int
    against: int | None = None
    layer: str | None = None


class Explainer:
    """Explains a head's logits with a network that shares the classifier's weights.

    head: "main", or an auxiliary head, "4a" or "4d".  Raises GoogLeNetError for a classifier that
    another engine runs, UsageError for an exported file and for a head that it does not have.
    """

    def __init__(self, classifier: Classifier, head: str = "main") -> None:
        self.classifier, self.head = classifier, head
        self.network = plain_network(classifier)
        self.last_map = cam.last_map_name(self.network, head)

    def load(self, source: Source) -> View:
        """Raises ImageError, which names the file, for whatever cannot be decoded."""
        image = load_image(source)
        return View(as_pillow(image), turn_of(source), self.classifier.crops(image)[0])

    def question(
        self, target: str | int, against: str | int | None = None, layer: str | None = None
    ) -> Question:
        """Raises UsageError, with the nearest names, for what the model does not have."""
        return Question(
            self.find(target),
            None if against is None else self.find(against),
            layer and find_layer(self.network, layer),
        )

    def find(self, label: str | int) -> int:
        classes = self.classifier.classes
        if isinstance(label, str):
            return find_class(classes, label)
        if not 0 <= label < len(classes):
            raise UsageError(f"class must be an index from 0 to {len(classes) - 1}, got {label}")
        return int(label)

    def why_not(self, method: str) -> str | None:
        """Why a method does not apply to this network and head, in a sentence; None if it does."""
        if method == "cam" and not cam.has_cam(self.network):
            return (
                "cam needs an average pool before the classifier, which "
                f"{self.classifier.variant} does not have: use gradcam"
            )
        if method == "cam" and self.head != "main":
            return (
                f"cam needs an average pool before the classifier, which head {self.head} "
                "does not have: use gradcam"
            )
        return None

    def predicted(self, pixels: Pixels) -> int:
        """The class with the highest logit of the head."""
        with self.gradients(), torch.no_grad():
            return int(self.network.forward_heads(self.input(pixels))[self.head].argmax())

    def map(self, pixels: Pixels, method: str, question: Question) -> Map:
        """The map of a view, (h, w) float32: of its pixels, or of a layer's places."""
        reason = self.why_not(method)
        if reason:
            raise UsageError(reason)
        with self.gradients():
            found = METHODS[method](self, self.input(pixels), question)
        return found.detach().float().cpu().numpy()

    def explain(self, view: View, method: str, question: Question) -> Map:
        """The map of the whole image, upright: (H, W) float32."""
        return to_image(
            self.map(view.pixels, method, question),
            view.image.size,
            self.classifier.preprocessing,
            conserve=method == "ig",
        )

    def cam(self, x: Tensor, target: int) -> Tensor:
        """`cam.cam`, by the fast network where there is one: (N, C, H, W) -> (N, h, w)."""
        backend = self.classifier.backend
        assert isinstance(backend, TorchBackend)
        fast = backend.optimized()
        if not isinstance(fast, InferenceNetwork):
            return cam.cam(self.network, x, target)
        features, _ = fast.features_and_summary(fast.cast(x))
        classes = torch.tensor([[target]], device=x.device).expand(len(x), 1)
        head = self.network.get_submodule("classifier")
        assert isinstance(head, nn.Linear)
        return cam.class_activation_maps(features, head, classes)[:, 0]

    def input(self, pixels: Pixels) -> Tensor:
        """(size, size, channels) uint8 -> (1, channels, size, size) as the network takes it."""
        device = next(self.network.parameters()).device
        images = torch.from_numpy(np.array(pixels)[None]).to(device)
        return self.classifier.preprocessing.normalize(images)

    def score(self, question: Question) -> attribution.Score:
        return attribution.class_score(self.network, question.target, question.against, self.head)

    @staticmethod
    def gradients() -> torch.inference_mode:
        """Within it gradients are computed, whatever mode the caller is in."""
        return torch.inference_mode(mode=False)


def plain_network(classifier: Classifier) -> Network:
    """A plain network in evaluation mode that shares the classifier's weights.

    The classifier's own may be training, frozen, tapped, or optimized by kernels, and stays so.
    """
    network, header = classifier.network, classifier.header
    if header.export is not None:
        raise UsageError(
            "MODEL must be a model file, got an exported one, which has no gradients: "
            "use the file that it came from"
        )
    with torch.inference_mode(mode=False):
        plain = build_network(
            network.name,
            network.classes,
            size=header.preprocessing.size,
            in_channels=network.in_channels,
            width=network.width,
            with_aux_heads=bool(network.aux_heads),
            initialization=None,
        )
        weights = {
            name: tensor.clone() if tensor.is_inference() else tensor.detach()
            for name, tensor in network.state_dict().items()
        }
        plain.load_state_dict(weights, assign=True)
        return plain.requires_grad_(requires_grad=False).eval()


def by_cam(explainer: Explainer, x: Tensor, question: Question) -> Tensor:
    return cam.cam(explainer.network, x, question.target, question.against)[0]


def by_grad_cam(explainer: Explainer, x: Tensor, question: Question) -> Tensor:
    layer = question.layer or explainer.last_map
    return attribution.grad_cam(explainer.network, explainer.score(question), x, layer)[0]


def by_integrated_gradients(explainer: Explainer, x: Tensor, question: Question) -> Tensor:
    return attribution.integrated_gradients(explainer.score(question), x)[0].sum(0)


def by_smooth_grad(explainer: Explainer, x: Tensor, question: Question) -> Tensor:
    generator = torch.Generator().manual_seed(SEED)
    return attribution.smooth_grad(explainer.score(question), x, generator)[0].sum(0)


def by_guided_backprop(explainer: Explainer, x: Tensor, question: Question) -> Tensor:
    score = explainer.score(question)
    return attribution.guided_backprop(explainer.network, score, x)[0].abs().amax(0)


def by_occlusion(explainer: Explainer, x: Tensor, question: Question) -> Tensor:
    window, stride = (max(1, round(part * x.shape[-1])) for part in (WINDOW, STRIDE))
    return attribution.occlusion(explainer.score(question), x, window, stride)


METHODS: dict[str, Callable[[Explainer, Tensor, Question], Tensor]] = {
    "cam": by_cam,
    "gradcam": by_grad_cam,
    "ig": by_integrated_gradients,
    "smoothgrad": by_smooth_grad,
    "guided": by_guided_backprop,
    "occlusion": by_occlusion,
}


def image_map(
    classifier: Classifier,
    image: Source,
    method: str,
    target: str | int | None,
    against: str | int | None,
    layer: str | None = None,
    head: str = "main",
) -> Map:
    explainer = Explainer(classifier, head)
    view = explainer.load(image)
    question = explainer.question(
        explainer.predicted(view.pixels) if target is None else target, against, layer
    )
    return as_stored(explainer.explain(view, method, question), view.turn)


def class_activation_map(
    classifier: Classifier,
    image: Source,
    target: str | int | None = None,
    against: str | int | None = None,
) -> Map:
    """(H, W): each place's part of the logit (Zhou et al. 2016, arXiv 1512.04150).

    Raises UsageError for a network without an average pool before its classifier.
    """
    return image_map(classifier, image, "cam", target, against)


def grad_cam(
    classifier: Classifier,
    image: Source,
    target: str | int | None = None,
    against: str | int | None = None,
    layer: str | None = None,
    head: str = "main",
) -> Map:
    """(H, W), none below 0: Grad-CAM of a layer, by default the last map (arXiv 1610.02391).

    Earlier layers mark what is common to many classes, borders and corners among it.
    """
    return image_map(classifier, image, "gradcam", target, against, layer, head)


def integrated_gradients(
    classifier: Classifier,
    image: Source,
    target: str | int | None = None,
    against: str | int | None = None,
    head: str = "main",
) -> Map:
    """(H, W), whose sum is the logit less that of an image of the mean color, to within 1 %.

    Source: Sundararajan et al. 2017, arXiv 1703.01365.
    """
    return image_map(classifier, image, "ig", target, against, head=head)


def smooth_grad(
    classifier: Classifier,
    image: Source,
    target: str | int | None = None,
    against: str | int | None = None,
    head: str = "main",
) -> Map:
    """(H, W), none below 0: the mean squared gradient of 32 noisy copies (arXiv 1706.03825)."""
    return image_map(classifier, image, "smoothgrad", target, against, head=head)


def guided_backprop(
    classifier: Classifier,
    image: Source,
    target: str | int | None = None,
    against: str | int | None = None,
    head: str = "main",
) -> Map:
    """(H, W), none below 0: the largest of the channels' guided gradients (arXiv 1412.6806).

    It shows edges more than it shows the class: maps of other classes look alike.
    """
    return image_map(classifier, image, "guided", target, against, head=head)


def occlusion(
    classifier: Classifier,
    image: Source,
    target: str | int | None = None,
    against: str | int | None = None,
    head: str = "main",
) -> Map:
    """(H, W): by how much the logit falls where a square is covered (arXiv 1311.2901)."""
    return image_map(classifier, image, "occlusion", target, against, head=head)
