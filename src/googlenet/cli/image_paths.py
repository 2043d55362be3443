"""The images that a command line names: files, folders, shards."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from googlenet import parallel
from googlenet.runtime.errors import UsageError

if TYPE_CHECKING:
    from googlenet.images.archived import ArchivedImage


def image_paths(paths: Iterable[str]) -> list[Path | ArchivedImage]:
    """`expand` as a list; says on stderr which files of folders are left out, by kind."""
    from googlenet.data.account import Account, count_unread

    unread: Counter[str] = Counter()
    found = list(expand(paths, unread))
    if parallel.rank() == 0:
        for line in Account(unread=count_unread(unread)).lines():
            print(line, file=sys.stderr)
    return found


def expand(paths: Iterable[str], unread: Counter[str]) -> Iterator[Path | ArchivedImage]:
    """Files as they are, folders as the images below them, shards as the images in them.

    unread: counts the files in folders that are not images, by kind.
    Raises UsageError for a folder without images.
    """
    from googlenet.data.folder import list_images
    from googlenet.data.shards.index import holds_shards, is_packed, shard_images

    for path in map(Path, paths):
        if is_packed(path) or holds_shards(path):
            yield from shard_images(path)
        elif path.is_dir():
            # A folder that cannot be listed becomes an unreadable image.
            errors: list[OSError] = []
            images = list_images(path, errors.append, unread)
            images += [Path(str(error.filename)) for error in errors]
            if not images:
                raise UsageError(f"PATH must contain images, got {path}, which contains none")
            yield from sorted(images)
        else:
            yield path
