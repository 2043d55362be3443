"""GoogLeNet as the classifier of regions (section 8), in two ways.

rcnn: each region is cut out of the image and goes through the whole network, as in the paper.
fast: the image goes through the network up to module 4e once; each region of that map goes through
5a and 5b (Fast R-CNN, Girshick, 2015).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.data.labels import Class
from googlenet.detection.roi_align import MapGeometry, roi_align
from googlenet.insight.receptive_field import receptive_field
from googlenet.models.googlenet import GoogLeNet, MaxPool

SHARED = "inception_4e"  # the last module that an image goes through as a whole
BACKGROUND = 0  # the first of a region's classes
LIKELY = 5.0  # the background's logit before training, about that of a class which is there


class RegionNetwork(nn.Module):
    """Scores of regions: background and each class, and a step to a better box.

    body: a GoogLeNet whose classifier has one class more.  Batch normalization is not trained: a
    batch holds regions of few images.
    """

    def __init__(self, body: GoogLeNet, roi_size: int = 4) -> None:
        super().__init__()
        body.drop_heads()
        self.body, self.roi_size = body, roi_size
        self.box_regression = nn.Linear(body.classifier.in_features * roi_size**2, 4)
        at = body.trunk.index(SHARED) + 1
        self.shared, self.own = body.trunk[:at], body.trunk[at:]
        field = receptive_field(body, SHARED)
        self.geometry = MapGeometry(field.stride, field.offset + field.size / 2)

    def shared_map(self, image: Tensor) -> Tensor:
        """(1, C, H, W), normalized -> the map of 4e, pooled as before 5a but at every place."""
        for name in self.shared:
            image = getattr(self.body, name)(image)
        return F.max_pool2d(image, 3, 1, 1)

    def regions(self, shared: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """The map of one image and boxes (N, 4) in its pixels -> scores and steps of `head`."""
        x = roi_align(shared, self.geometry.to_map(boxes), self.roi_size)
        for module in self.own_modules():
            x = module(x)
        return self.head(x)

    def crops(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W), normalized crops -> scores and steps of `head`."""
        return self.head(self.body.features(images))

    def head(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1024, h, w) -> logits (N, 1 + classes) and steps (N, 4) as of `boxes.encode`.

        Steps come from the map itself: its mean does not tell left from right.
        """
        logits = self.body.classifier(self.body.dropout(self.body.pool(features)))
        places = F.adaptive_avg_pool2d(features, self.roi_size).flatten(1)
        return logits, self.box_regression(places)

    def own_modules(self) -> list[nn.Module]:
        """What each region goes through: 5a and 5b, without the pool that led there."""
        modules = [getattr(self.body, name) for name in self.own]
        return [module for module in modules if not isinstance(module, MaxPool)]

    def trained(self, whole: bool) -> list[tuple[str, nn.Parameter]]:
        """Parameters that training changes, by name: all, or those behind the shared map."""
        fixed = () if whole else tuple(f"body.{name}." for name in self.shared)
        return [(n, p) for n, p in self.named_parameters() if not n.startswith(fixed or "\0")]

    def train(self, mode: bool = True) -> RegionNetwork:
        """Dropout changes its mode, batch normalization does not."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


def from_classifier(
    body: GoogLeNet,
    known: Sequence[Class],
    classes: Sequence[Class],
    roi_size: int,
    generator: torch.Generator,
) -> RegionNetwork:
    """A network for regions of `classes` from a classifier of `known` ones.

    Where both know a class by its id, its weights are kept: the classifier has seen it already.
    Others begin small and random; the background begins likely, as most regions are.
    """
    old = body.classifier
    new = nn.Linear(old.in_features, len(classes) + 1)
    places = {c.id: i for i, c in enumerate(known)}
    with torch.no_grad():
        new.weight.normal_(0, 0.01, generator=generator)
        new.bias.zero_()
        new.bias[BACKGROUND] = LIKELY
        for row, each in enumerate(classes, 1):
            if each.id in places:
                new.weight[row] = old.weight[places[each.id]]
                new.bias[row] = old.bias[places[each.id]]
    body.classifier = new
    network = RegionNetwork(body, roi_size)
    with torch.no_grad():
        network.box_regression.weight.normal_(0, 0.001, generator=generator)
        network.box_regression.bias.zero_()
    return network
