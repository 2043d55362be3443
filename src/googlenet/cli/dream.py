"""make stronger what a layer sees in an image: DeepDream"""

from __future__ import annotations

import argparse
from io import BytesIO
from pathlib import Path

from googlenet.cli.options import WEIGHTS, check_out, natural, positive
from googlenet.runtime.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help=WEIGHTS)
    add("image", metavar="IMAGE", type=Path, help="the image to begin with")
    add("--out", required=True, metavar="FILE", type=Path, help="a .png or .jpg file")
    add("--layer", default="inception_4c", help="what it sees is raised (default: inception_4c)")
    octaves = "sizes, from small to the image's own, each 1.4 times the last (default: 4)"
    add("--octaves", type=positive, default=4, metavar="N", help=octaves)
    add("--steps", type=positive, default=10, metavar="N", help="steps per octave (default: 10)")
    size = "largest side; larger images are shrunk (default: 1024)"
    add("--size", type=positive, default=1024, metavar="PIXELS", help=size)
    add("--seed", type=natural, default=0, metavar="N", help="random seed (default: 0)")


def run(args: argparse.Namespace) -> int:
    import numpy as np
    from PIL import Image

    from googlenet.images.decode import decode
    from googlenet.insight.render import DreamSettings, dream
    from googlenet.load import load_classifier, require_weights
    from googlenet.runtime.files import write_bytes

    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
    if args.out.suffix.lower() not in formats:
        raise UsageError(f"--out must end in .png or .jpg, got {args.out}")
    check_out(args.out, args.image, "IMAGE")
    require_weights(args.model, "MODEL")
    image = decode(args.image)
    image.thumbnail((args.size, args.size), Image.Resampling.LANCZOS)
    settings = DreamSettings(
        layer=args.layer, octaves=args.octaves, steps=args.steps, seed=args.seed
    )
    dreamed = dream(load_classifier(args.model), np.asarray(image), settings)
    stream = BytesIO()
    Image.fromarray(dreamed).save(stream, formats[args.out.suffix.lower()], quality=92)
    write_bytes(args.out, stream.getvalue())
    print(f"written to {args.out}")
    return 0
