"""Statistics of a network's map, streamed over images: the same bits for any number of cores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from googlenet.data.dataset import Samples
from googlenet.images.decode import ImageError
from googlenet.images.preprocess import Preprocessing
from googlenet.images.view import load_view, to_nchw
from googlenet.models.googlenet import GoogLeNet
from googlenet.runtime.device import one_thread
from googlenet.runtime.errors import GoogLeNetError
from googlenet.runtime.watchdog import beat
from googlenet.topology.statistics import Accumulator, Correlations

CHUNK = 4  # images per product: fixed, so that sums round alike everywhere
MIN_IMAGES = 2 * CHUNK


def gather(
    features: Callable[[Tensor], Tensor],
    samples: Samples,
    preprocessing: Preprocessing,
    progress: Callable[[int], object] = lambda images: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Correlations | None:
    """Correlations of the map that `features` makes of (N, C, H, W) images; None if `stopped`.

    Chunks of four images go to the two halves in turn, each half in a thread of its own.
    Unreadable images are left out.  Raises GoogLeNetError where fewer than eight are left.
    """
    chunks = [range(i, min(i + CHUNK, len(samples))) for i in range(0, len(samples), CHUNK)]
    failed = Event()

    def half(own: Sequence[range]) -> Accumulator | None:
        torch.set_num_threads(1)
        sums = None
        for chunk in own:
            if stopped() or failed.is_set():
                return sums
            try:
                maps = maps_of(features, samples, chunk, preprocessing)
                if maps is not None:
                    sums = sums or Accumulator(*maps.shape[1:])
                    sums.add(maps)
            except BaseException:
                failed.set()
                raise
            progress(len(chunk))
            beat()
        return sums

    with one_thread(), ThreadPoolExecutor(2) as pool:
        halves = [*pool.map(half, (chunks[::2], chunks[1::2]))]
    if stopped():
        return None
    first, second = halves
    if first is None or second is None:
        raise GoogLeNetError(f"statistics need at least {MIN_IMAGES} readable images")
    r = first.correlations(), second.correlations()
    whole = merged(first, second)
    return Correlations(*r, whole.pool_residual(), whole.images)


def maps_of(
    features: Callable[[Tensor], Tensor], samples: Samples, chunk: range, p: Preprocessing
) -> Tensor | None:
    """The map of some images; None if none of them can be read."""
    views: list[NDArray[np.uint8]] = []
    for index in chunk:
        try:
            views.append(load_view(samples.sources[index], p))
        except ImageError:
            continue
    if not views:
        return None
    with torch.inference_mode():
        images = torch.from_numpy(to_nchw(views, p))
        return features(images.contiguous(memory_format=torch.channels_last)).float().contiguous()


def merged(first: Accumulator, second: Accumulator) -> Accumulator:
    """The sums of both; takes the place of the first."""
    first.images += second.images
    for name in ("products", "sums", "squares", "pooled", "pooled_sums"):
        getattr(first, name).add_(getattr(second, name))
    return first


def features_before(network: GoogLeNet, row: str) -> Callable[[Tensor], Tensor]:
    """What goes into a module: the network up to it."""
    names = network.trunk
    module = f"inception_{row}"
    layers = names[: names.index(module)] if module in names else names

    def features(x: Tensor) -> Tensor:
        for name in layers:
            x = getattr(network, name)(x)
        return x

    return features
