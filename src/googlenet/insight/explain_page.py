"""The page of `googlenet explain`: images, each with the maps of where the network looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from googlenet.images.data_url import data_url
from googlenet.insight.explain import View
from googlenet.insight.heat import overlay, shrunk
from googlenet.insight.image_map import Map
from googlenet.runtime.files import write_text
from googlenet.runtime.template import render_template

SIDE = 448  # of a picture on the page, at most
TITLES = {
    "cam": "Class activation map",
    "gradcam": "Grad-CAM",
    "ig": "Integrated gradients",
    "smoothgrad": "SmoothGrad, squared",
    "guided": "Guided backpropagation",
    "occlusion": "Occlusion",
}


@dataclass(frozen=True)
class Picture:
    """One map on the page, as a data URL."""

    title: str
    picture: str


@dataclass(frozen=True)
class Explanation:
    """An image on the page; `error` alone is set for an unreadable one.

    top: names and probabilities, the likeliest first.  question: "tench", "tench and not shark".
    """

    path: str
    error: str | None = None
    picture: str = ""
    top: tuple[tuple[str, float], ...] = ()
    question: str = ""
    maps: tuple[Picture, ...] = ()


def draw(view: View) -> str:
    return data_url(shrunk(view.image, SIDE))


def draw_map(view: View, method: str, upright: Map) -> Picture:
    """A map of the upright image, over it."""
    return Picture(TITLES[method], data_url(overlay(shrunk(view.image, SIDE), upright)))


def write_page(
    path: Path, title: str, explanations: Sequence[Explanation], notes: Sequence[str]
) -> None:
    """Raises WriteError where the page cannot be written."""
    values = {"title": title, "explanations": explanations, "notes": notes}
    write_text(path, render_template("googlenet.insight", "explain.html.jinja", **values))
