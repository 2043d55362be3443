"""Boxes from lists and from XML, as fractions of the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from googlenet.data.boxes import load_boxes
from googlenet.data.labels import DataError

XML = """<annotation><size><width>200</width><height>100</height></size>
<object><name>dog</name><bndbox><xmin>1</xmin><ymin>11</ymin><xmax>100</xmax><ymax>50</ymax>
</bndbox></object>{more}</annotation>"""


def lists(folder: Path, boxes: str, sizes: str = "val/a.JPEG,200,100\n") -> Path:
    (folder / "localization.txt").write_text(boxes)
    (folder / "image_sizes.txt").write_text(sizes)
    return folder


def test_lists_and_xml_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "xml").mkdir()
    (tmp_path / "xml" / "a.xml").write_text(XML.format(more=""))
    listed = lists(tmp_path / "lists", "val/a.JPEG,0,10,100,50\nval/a.JPEG,20,20,20,60\n")
    for folder in (listed, tmp_path / "xml"):
        (name, boxes), = load_boxes(folder).items()  # fmt: skip
        assert name == "a"
        np.testing.assert_allclose(boxes, [[0, 0.1, 0.5, 0.5]])  # the one without area is dropped


@pytest.mark.parametrize(
    ("boxes", "sizes", "said"),
    [
        ("a,1,2,3\n", "a,9,9\n", "localization.txt, line 1: must be a path and 4 numbers"),
        ("a,1,2,3,nan\n", "a,9,9\n", "got 'a,1,2,3,nan'"),
        ("b,1,2,3,4\n", "a,9,9\n", "must have the size of b"),
        ("a,1,2,3,4\n", "a,0,9\n", "image_sizes.txt, line 1"),
    ],
)
def test_lists_that_are_wrong(tmp_path: Path, boxes: str, sizes: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        load_boxes(lists(tmp_path, boxes, sizes))


@pytest.mark.parametrize(
    "text",
    ["", "<annotation/>", "<annotation>", XML.format(more="").replace("200", "0"),
     XML.format(more="").replace(">11<", ">x<"), '<!DOCTYPE a [<!ENTITY b "c">]>' + XML],
)  # fmt: skip
def test_xml_that_is_wrong_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(DataError, match=r"a\.xml: "):
        load_boxes(tmp_path)


def test_neither(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must be a folder with localization\.txt"):
        load_boxes(tmp_path)


@pytest.mark.parametrize("layout", ["pascalvoc_format", "imagenet_format"])
def test_real_annotations(shared_data: Path, layout: str) -> None:
    found = load_boxes(shared_data / "voc2012-100/data/database/gts" / layout)
    assert len(found) == 100
    assert sum(map(len, found.values())) == 273
    assert all(((boxes >= 0) & (boxes <= 1)).all() for boxes in found.values())
