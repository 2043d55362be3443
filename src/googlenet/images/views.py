"""The views of an image over which probabilities are averaged: 1, 10 or 144 crops.

Source: section 7 of the paper for 144, Krizhevsky et al. 2012 for 10.  The paper's numbers are
for crops of 224; at another size S every one of them is multiplied by S/224.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from PIL import Image, ImageOps

from googlenet.images.preprocess import Preprocessing, resize_shorter, resize_size

SCALES = (256, 288, 320, 352)  # of the shorter side, for crops of 224

View = Callable[[Image.Image, Preprocessing], Iterator[Image.Image]]


def center(image: Image.Image, p: Preprocessing) -> Iterator[Image.Image]:
    """One view: the center crop of the resized image."""
    yield center_crop(p.resize(image, p.resize_size), p.size)


def ten(image: Image.Image, p: Preprocessing) -> Iterator[Image.Image]:
    """Ten views: four corners and the center of the central square, each with its mirror.

    The square is 256 for crops of 224, whatever the center view is cut from: a smaller one
    would make the ten alike.
    """
    side = resize_size(p.size)
    square = center_crop(p.resize(image, side), side)
    yield from mirrored(five(square, p.size), p)


def paper144(image: Image.Image, p: Preprocessing) -> Iterator[Image.Image]:
    """144 views: 4 scales × 3 squares × (5 crops and the square itself) × 2 mirrors.

    The image's aspect ratio is kept, as in the paper, whatever the mode of `p`.
    """
    for scale in SCALES:
        side = round(scale * p.size / 224)
        for square in squares(resize_shorter(image, side, p.interpolation)):
            yield from mirrored(six(square, p), p)


def five(square: Image.Image, size: int) -> Iterator[Image.Image]:
    """The four corners and the center of a square: top left, top right, bottom left, …"""
    far = square.width - size
    for left, top in ((0, 0), (far, 0), (0, far), (far, far), (far // 2, far // 2)):
        yield square.crop((left, top, left + size, top + size))


def six(square: Image.Image, p: Preprocessing) -> Iterator[Image.Image]:
    """`five`, and the whole square resized to a crop."""
    yield from five(square, p.size)
    yield p.resize(square, p.size)


def squares(image: Image.Image) -> Iterator[Image.Image]:
    """The left, center and right squares of a landscape image; top, center, bottom of others."""
    width, height = image.size
    side, spare = min(width, height), abs(width - height)
    for offset in (0, spare // 2, spare):
        left, top = (offset, 0) if width > height else (0, offset)
        yield image.crop((left, top, left + side, top + side))


def mirrored(crops: Iterator[Image.Image], p: Preprocessing) -> Iterator[Image.Image]:
    """Each crop and its mirror image; only the crop where mirroring changes the class."""
    for crop in crops:
        yield crop
        if p.hflip:
            yield ImageOps.mirror(crop)


def center_region(size: tuple[int, int], p: Preprocessing) -> tuple[float, float, float, float]:
    """What of an image `center` shows: (left, top, width, height) as fractions of the image's.

    size: the image's width and height.  With "letterbox" the part may reach beyond the image.
    """
    inner = p.resized_size(size, p.resize_size)
    padded = (p.resize_size, p.resize_size) if p.mode == "letterbox" else inner
    left, top = (
        (whole - p.size) // 2 - (whole - side) // 2
        for whole, side in zip(padded, inner, strict=True)
    )
    return (left / inner[0], top / inner[1], p.size / inner[0], p.size / inner[1])


def center_crop(image: Image.Image, size: int) -> Image.Image:
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


VIEWS: dict[int, View] = {1: center, 10: ten, 144: paper144}


def view_count(views: int, p: Preprocessing) -> int:
    """How many crops the scheme makes of an image: half where it must not be mirrored."""
    return views if p.hflip or views == 1 else views // 2
