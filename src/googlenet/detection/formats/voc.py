"""Pascal VOC: an XML file per image; also ImageNet's, and those of labeling programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from googlenet.detection.formats.raw import ImageFinder, RawBox, RawData, RawImage, split_named

SETS = Path("ImageSets/Main")
SIDES = ("xmin", "ymin", "xmax", "ymax")


def xml_files(root: Path) -> list[Path]:
    """The annotations below a folder."""
    return sorted(path for path in root.rglob("*.xml") if not path.name.startswith("."))


def is_voc(root: Path) -> bool:
    """Whether a folder holds XML files of this kind, by the first of them."""
    first = next(iter(xml_files(root)), None)
    if first is None:
        return False
    with first.open("rb") as file:
        start = file.read(2048)
    return b"<annotation" in start and b"<annotations" not in start


def read_voc(root: Path) -> RawData:
    """The annotations of a folder: boxes count pixels from 1 and include the last.

    Where any box begins at 0 the data set counts from 0, as some programs write it.
    """
    finder, splits = ImageFinder(root), read_sets(root)
    data = RawData("Pascal VOC", [])
    for path in xml_files(root):
        try:
            data.images.append(read_image(path, root, finder, splits, data))
        except (ElementTree.ParseError, ValueError, TypeError) as error:
            data.problems.append((str(path), "bad-annotation", f"cannot be read ({error})"))
    corners = [box.box for image in data.images for box in image.boxes]
    start = 1.0
    if any(x1 <= 0 or y1 <= 0 for x1, y1, *_ in corners):
        start = 0.0
        detail = "a box begins at pixel 0, so all are taken to count from 0, not from 1"
        data.problems.append((str(root), "zero-based", detail))
    data.images = [from_one(image, start) for image in data.images]
    return data


def read_image(
    path: Path, root: Path, finder: ImageFinder, splits: dict[str, str], data: RawData
) -> RawImage:
    """The image of a file; objects that cannot be read are named in the data's problems.

    Raises ValueError, TypeError or ParseError for a file that is no annotation.
    """
    tree = ElementTree.parse(path).getroot()
    if tree.tag != "annotation":
        raise ValueError(f"its root must be annotation, is {tree.tag}")
    name = text(tree, "filename") or path.stem
    bases = (path.parent, path.parent.parent / "JPEGImages", path.parent.parent / "images")
    image = finder.find(name, *bases) or finder.find(path.stem, *bases)
    width, height = (number(tree, f"size/{side}") for side in ("width", "height"))
    folders = path.relative_to(root).parts[:-1]
    split = splits.get(path.stem) or next(filter(None, map(split_named, folders)), "")
    boxes = []
    for place, element in enumerate(tree.iter("object"), 1):
        try:
            boxes.append(read_object(element))
        except ValueError as error:
            detail = f"its object {place} cannot be read ({error})"
            data.problems.append((str(path), "bad-annotation", detail))
    size = (int(width), int(height)) if width and height else None
    return RawImage(name, image, tuple(boxes), size, split)


def read_object(element: ElementTree.Element) -> RawBox:
    label = text(element, "name")
    sides = [text(element, f"bndbox/{side}") for side in SIDES]
    if not all(sides):
        raise ValueError(f"the box of {label!r} must have {', '.join(SIDES)}")
    x1, y1, x2, y2 = map(float, sides)
    return RawBox(label, (x1, y1, x2, y2), difficult=text(element, "difficult") == "1")


def from_one(image: RawImage, start: float) -> RawImage:
    """The image with boxes from the left edge of the first pixel."""

    def moved(box: RawBox) -> RawBox:
        x1, y1, x2, y2 = box.box
        return replace(box, box=(x1 - start, y1 - start, x2 + 1 - start, y2 + 1 - start))

    return replace(image, boxes=tuple(map(moved, image.boxes)))


def text(element: ElementTree.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def number(element: ElementTree.Element, path: str) -> float:
    return float(text(element, path) or 0)


def read_sets(root: Path) -> dict[str, str]:
    """The split of each image by its stem, from ImageSets/Main; trainval is for training."""
    folder = next((path for path in sorted(root.rglob(str(SETS))) if path.is_dir()), None)
    found: dict[str, str] = {}
    for name, split in (("trainval", "train"), ("test", "test"), ("val", "val"),
                        ("train", "train")):  # fmt: skip
        file = folder / f"{name}.txt" if folder else None
        if file and file.is_file():
            lines = file.read_text(encoding="utf-8").split("\n")
            found |= {line.split()[0]: split for line in lines if line.split()}
    return found


def voc_xml(
    name: str, size: tuple[int, int], boxes: Iterable[tuple[str, Sequence[float], bool]]
) -> str:
    """The XML of an image: (class, box, whether it is difficult) of each box."""
    root = ElementTree.Element("annotation")
    add(root, "filename", name)
    shape = ElementTree.SubElement(root, "size")
    for side, pixels in zip(("width", "height", "depth"), (*size, 3), strict=True):
        add(shape, side, str(pixels))
    for label, (x1, y1, x2, y2), difficult in boxes:
        element = ElementTree.SubElement(root, "object")
        add(element, "name", label)
        add(element, "difficult", str(int(difficult)))
        corners = ElementTree.SubElement(element, "bndbox")
        for side, value in zip(SIDES, (x1 + 1, y1 + 1, x2, y2), strict=True):
            add(corners, side, f"{value:.10g}")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def add(parent: ElementTree.Element, tag: str, value: str) -> None:
    ElementTree.SubElement(parent, tag).text = value
