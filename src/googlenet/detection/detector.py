"""A detector: from an image to boxes, classes and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from googlenet.detection import boxes as box
from googlenet.detection.detections import Detections
from googlenet.detection.detector_header import DetectorHeader
from googlenet.detection.proposals.cache import ProposalCache
from googlenet.detection.region_network import RegionNetwork
from googlenet.images.decode import Source
from googlenet.images.preprocess import INTERPOLATIONS, Preprocessing
from googlenet.images.turbo_jpeg import load_image
from googlenet.inference.header import header_errors
from googlenet.inference.model_file import (
    DETECTOR_KEY,
    model_path,
    read_safetensors,
    write_tensors,
)
from googlenet.inference.network import load_tensors
from googlenet.kernels.optimize import optimize
from googlenet.models.googlenet import GoogLeNet
from googlenet.models.registry import build_network
from googlenet.runtime.errors import ModelFileError, UsageError

NMS_THRESHOLD = 0.4  # IoU with a better box of its class from which on a box goes
LEAST_SCORE = 0.01  # of a detection
MOST = 100  # detections per image
STEP_SCALE = np.array([10, 10, 5, 5], np.float32)  # steps are learned in these units
CROPS_AT_ONCE = 32


class Detector:
    """Finds objects.  header: classes and how images are looked at; network: on the CPU."""

    def __init__(self, header: DetectorHeader, network: RegionNetwork) -> None:
        self.header, self.network = header, network
        optimize(network.eval())

    @classmethod
    def load(cls, path: str | Path) -> Detector:
        """The detector in a file, or the last one of a run folder.

        Raises UsageError where there is none, ModelFileError for a damaged file.
        """
        path = model_path(path)
        if not path.is_file():
            raise UsageError(f"DETECTOR must be a file of `googlenet detect train`, got {path}")
        tensors, metadata = read_safetensors(path)
        header = DetectorHeader.from_metadata(path, metadata)
        with header_errors(f"{path}: its header"):
            network = build_region_network(header)
        load_tensors(network, tensors, path)  # type: ignore[arg-type]
        return cls(header, network)

    def save(self, path: Path) -> None:
        """Write the detector's file atomically."""
        text = self.header.to_text()
        write_tensors(path, self.network.state_dict(), {DETECTOR_KEY: text})

    def without_box_regression(self) -> None:
        """Keep regions where they are, as the paper did."""
        regions = replace(self.header.regions, box_regression=False)
        self.header = replace(self.header, regions=regions)

    def proposals(self, folder: Path | None = None) -> ProposalCache:
        """Where this detector's regions come from; with a folder, they are kept there."""
        settings = self.header.regions
        return ProposalCache(settings.proposals, settings.count, folder)

    @torch.inference_mode()
    def score(
        self, image: NDArray[np.uint8], regions: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(H, W, 3) RGB and regions (N, 4) -> probabilities (N, 1 + classes) and boxes (N, 4).

        The first class is the background.
        """
        settings = self.header.regions
        if settings.mode == "fast":
            pixels, scale = network_input(image, settings.side, self.header.preprocessing)
            shared = self.network.shared_map(pixels)
            logits, steps = self.network.regions(shared, torch.from_numpy(regions * scale))
        else:
            logits, steps = self.score_crops(image, regions)
        found = regions
        if settings.box_regression:
            found = box.decode(steps.numpy() / STEP_SCALE, regions)
        height, width = image.shape[:2]
        inside = box.clip(found, width, height).astype(np.float32)
        return logits.float().softmax(1).numpy(), inside

    def score_crops(
        self, image: NDArray[np.uint8], regions: NDArray[np.float32]
    ) -> tuple[Tensor, Tensor]:
        """Each region through the whole network: logits and steps."""
        parts = [
            self.network.crops(
                crop_regions(image, part, self.header.regions.context, self.header.preprocessing)
            )
            for part in np.split(regions, range(CROPS_AT_ONCE, len(regions), CROPS_AT_ONCE))
        ]
        logits, steps = zip(*parts, strict=True)
        return torch.cat(logits), torch.cat(steps)

    def detect(self, source: Source) -> Detections:
        """The objects in a path, bytes, an array or an image, best first.

        Raises ImageError, which names the file, for whatever cannot be decoded.
        """
        image = np.asarray(load_image(source))
        return detect([self], image, self.proposals().boxes(image))


def detect(
    detectors: Sequence[Detector],
    image: NDArray[np.uint8],
    regions: NDArray[np.float32],
    soft: bool = False,
) -> Detections:
    """The objects in an image by one detector or several, whose scores and boxes are averaged.

    soft: soft-NMS in place of NMS.
    """
    if not len(regions):
        return Detections.none()
    scored = [detector.score(image, regions) for detector in detectors]
    probabilities = np.asarray(np.mean([p for p, _ in scored], 0, dtype=np.float32))
    found = np.asarray(np.mean([b for _, b in scored], 0, dtype=np.float32))
    return suppress(probabilities, found, soft)


def suppress(
    probabilities: NDArray[np.float32], found: NDArray[np.float32], soft: bool = False
) -> Detections:
    """(N, 1 + classes) and (N, 4) -> what is left of each class by NMS, best first."""
    kept: list[tuple[NDArray[np.float32], NDArray[np.float32], int]] = []
    for label in range(probabilities.shape[1] - 1):
        scores = probabilities[:, label + 1]
        likely = np.flatnonzero(scores >= LEAST_SCORE)
        if soft:
            at, left = box.soft_nms(found[likely], scores[likely], least=LEAST_SCORE)
            kept.append((found[likely][at], left, label))
        else:
            at = box.nms(found[likely], scores[likely], NMS_THRESHOLD)
            kept.append((found[likely][at], scores[likely][at], label))
    if not kept:
        return Detections.none()
    labels = np.concatenate([np.full(len(b), label, np.int64) for b, _, label in kept])
    scores = np.concatenate([s for _, s, _ in kept])
    order = np.argsort(-scores, kind="stable")[:MOST]
    return Detections(np.concatenate([b for b, _, _ in kept])[order], labels[order], scores[order])


def build_region_network(header: DetectorHeader) -> RegionNetwork:
    """The network that a header describes, its weights yet to be loaded."""
    model = header.model
    body = build_network(
        model.variant,
        len(model.classes) + 1,
        size=model.preprocessing.size,
        in_channels=model.preprocessing.channels,
        width=model.width,
        with_aux_heads=False,
        initialization=None,
    )
    if not isinstance(body, GoogLeNet):
        raise ModelFileError(f"a detector must be a GoogLeNet, is {model.variant}")
    return RegionNetwork(body, header.regions.roi_size)


def network_input(
    image: NDArray[np.uint8], side: int, p: Preprocessing, mirrored: bool = False
) -> tuple[Tensor, NDArray[np.float32]]:
    """The image with its longer side at `side` pixels, (1, C, H, W), and what boxes (4,) are
    multiplied by.
    """
    height, width = image.shape[:2]
    factor = side / max(height, width)
    size = max(32, round(width * factor)), max(32, round(height * factor))
    scale = np.array([size[0] / width, size[1] / height] * 2, np.float32)
    resized = np.asarray(Image.fromarray(image).resize(size, INTERPOLATIONS[p.interpolation]))
    pixels = p.pixels(resized[:, ::-1] if mirrored else resized)
    return p.normalize(torch.from_numpy(pixels.copy())[None]), scale


def crop_regions(
    image: NDArray[np.uint8],
    regions: NDArray[np.float32],
    context: float,
    p: Preprocessing,
    mirrored: bool = False,
) -> Tensor:
    """Each region with its surroundings, stretched to the network's square: (N, C, S, S).

    R-CNN warps alike (Girshick et al., 2014, appendix A); outside the image is the mean color.
    """
    picture = Image.fromarray(image)
    crops = []
    for region in regions:
        center, half = (region[:2] + region[2:]) / 2, (region[2:] - region[:2]) / 2 * context
        x1, y1 = np.floor(center - half).astype(int)
        x2, y2 = np.maximum(np.ceil(center + half).astype(int), [x1 + 1, y1 + 1])
        crop = Image.new("RGB", (x2 - x1, y2 - y1), p.padding_color())
        crop.paste(picture, (-x1, -y1))
        crop = crop.resize((p.size, p.size), INTERPOLATIONS[p.interpolation])
        pixels = p.pixels(crop)
        crops.append(pixels[:, ::-1] if mirrored else pixels)
    return p.normalize(torch.from_numpy(np.stack(crops)))
