"""OpenCV's contributed modules, which have the published programs for proposals."""

from __future__ import annotations

from typing import Any

from googlenet.runtime.errors import GoogLeNetError


def ximgproc() -> tuple[Any, Any]:
    """The modules cv2 and cv2.ximgproc.

    Raises GoogLeNetError, with the command that installs it, where they are missing.
    """
    try:
        import cv2

        return cv2, cv2.ximgproc
    except (ImportError, AttributeError) as error:
        raise GoogLeNetError(
            "region proposals need OpenCV's contributed modules, which opencv-python lacks: "
            "pip install 'googlenet[detection]'"
        ) from error
