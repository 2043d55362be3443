"""What a detector's file says beside its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from googlenet.data.labels import Class
from googlenet.detection.proposals.sources import source
from googlenet.images.preprocess import Preprocessing
from googlenet.inference.header import FORMAT, ModelHeader, header_errors, parse_metadata
from googlenet.inference.model_file import DETECTOR_KEY, model_text
from googlenet.runtime.errors import UsageError

MODES = ("fast", "rcnn")


@dataclass(frozen=True)
class RegionSettings:
    """How a detector looks at an image.

    mode: "fast" or "rcnn".  side: longer side of the image in pixels, in fast mode.  proposals,
    count: where regions come from, and how many per image.  roi_size: side of a region's map, in
    fast mode.  context: how many times as long as its region's sides a crop's are, in rcnn mode.
    box_regression: whether regions are moved to where the network takes the object to be.
    """

    mode: str = "fast"
    side: int = 320
    proposals: str = "edge-boxes"
    count: int = 300
    roi_size: int = 4
    context: float = 1.2
    box_regression: bool = True

    def __post_init__(self) -> None:
        """Raises UsageError for values that mean nothing."""
        if self.mode not in MODES:
            raise UsageError(f"--mode must be one of {', '.join(MODES)}, got {self.mode!r}")
        source(self.proposals)
        if not 32 <= self.side <= 4096:
            raise UsageError(f"--side must be 32 to 4096 pixels, got {self.side}")
        if not (self.count >= 1 and 1 <= self.roi_size <= 32 and 1 <= self.context <= 4):
            raise UsageError(
                "count, roi_size and context must be at least 1, at most 32 and 4, "
                f"got {self.count}, {self.roi_size}, {self.context}"
            )


@dataclass(frozen=True)
class DetectorHeader:
    """model: the network, its classes and preprocessing.  regions: how it is used."""

    model: ModelHeader
    regions: RegionSettings = field(default_factory=RegionSettings)

    @property
    def classes(self) -> tuple[Class, ...]:
        return self.model.classes

    @property
    def preprocessing(self) -> Preprocessing:
        return self.model.preprocessing

    def with_facts(self, **facts: Any) -> DetectorHeader:
        """The header with other facts for a reader: metrics, provenance."""
        return replace(self, model=replace(self.model, **facts))

    def to_text(self) -> str:
        value = {"format": FORMAT} | self.model.to_json() | {"regions": asdict(self.regions)}
        return json.dumps(value)

    @classmethod
    def from_metadata(cls, path: Path, metadata: Mapping[str, str]) -> DetectorHeader:
        """Raises ModelFileError, which names the file, for another or damaged one."""
        text = model_text(path, metadata, DETECTOR_KEY, "detector")
        value = parse_metadata(path, text, DETECTOR_KEY)
        with header_errors(f"{path}: its header"):
            known = {each.name for each in fields(RegionSettings)}
            given = {k: v for k, v in dict(value["regions"]).items() if k in known}
            return cls(ModelHeader.from_json(value), RegionSettings(**given))
