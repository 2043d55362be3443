"""A model as a folder or a repository: `model.safetensors`, `config.json`, `README.md`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from googlenet.hub.card import model_card
from googlenet.inference.backends.base import require
from googlenet.inference.header import ModelHeader
from googlenet.runtime.errors import GoogLeNetError
from googlenet.runtime.files import write_text

MODEL_NAME = "model.safetensors"
CARD_NAME = "README.md"
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)


def write_description(folder: Path, header: ModelHeader) -> None:
    """config.json, which the hub and other programs read, and the model card, if there is none.

    Raises GoogLeNetError if that fails.
    """
    names = {str(n): c.name for n, c in enumerate(header.classes)}
    config = {"architectures": ["GoogLeNet"], "id2label": names, **header.to_json()}
    write_text(folder / "config.json", json.dumps(config, ensure_ascii=False, indent=2) + "\n")
    if not (folder / CARD_NAME).exists():  # the hub's own library keeps what a person wrote, too
        write_text(folder / CARD_NAME, model_card(header))


def find_pretrained(source: str | Path, revision: str | None = None) -> Path | str:
    """The model file in a folder or a repository; any other source as it is.

    Raises GoogLeNetError for a repository that cannot be reached or has no model file.
    """
    path = Path(source)
    if path.is_dir():
        return path / MODEL_NAME if (path / MODEL_NAME).is_file() else path
    if path.exists() or not REPOSITORY.fullmatch(str(source)):
        return source
    return download(str(source), revision)


def download(repository: str, revision: str | None) -> Path:
    """The model file of a repository, from the hub or its cache."""
    require("huggingface_hub")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(hf_hub_download(repository, MODEL_NAME, revision=revision))
    except (
        HfHubHTTPError,
        OSError,
        ValueError,
    ) as error:  # no network: LocalEntryNotFoundError, an OSError
        reason = " ".join(str(error).split())[:200]
        raise GoogLeNetError(
            f"{repository}: is no folder here, and its {MODEL_NAME} cannot be had from the "
            f"Hugging Face Hub ({reason})"
        ) from error
