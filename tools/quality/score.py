"""Prints the SSIMULACRA2 score of pairs of pictures.

Input, one pair a line: REFERENCE<TAB>DISTORTED. Output, one JSON object a line:
{"score": 93.4, "bytes": 2822, "seconds": 0.21}. The bytes are those of the second file.

A picture with transparency is scored on white and on black, and the lower score counts. A picture with a side
below 256 pixels is mirrored up to 256: with fewer than six scales, SSIMULACRA2 takes the wrong weights.
"""

import io
import json
import os
import sys
import time

import numpy as np
from PIL import Image
from ssimulacra2 import compute_ssimulacra2

MIN_SIDE = 256


def on_ground(image, ground):
    """The picture on one colour, at least MIN_SIDE pixels wide and high, as a PNG in memory."""
    canvas = Image.new("RGBA", image.size, ground)
    pixels = np.asarray(Image.alpha_composite(canvas, image).convert("RGB"))
    missing = [max(0, MIN_SIDE - side) for side in pixels.shape[:2]]
    pixels = np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=0)
    file.seek(0)
    return file


def score(reference, distorted):
    with Image.open(reference) as first, Image.open(distorted) as second:
        first, second = first.convert("RGBA"), second.convert("RGBA")
    if first.size != second.size:
        raise SystemExit(f"{distorted} is {second.size}, but {reference} is {first.size}")
    transparent = any(image.getextrema()[3][0] < 255 for image in (first, second))
    grounds = ("white", "black") if transparent else ("white",)
    return min(compute_ssimulacra2(on_ground(first, g), on_ground(second, g)) for g in grounds)


for line in sys.stdin:
    reference, distorted = line.rstrip("\n").split("\t")
    start = time.monotonic()
    result = {
        "score": round(score(reference, distorted), 2),
        "bytes": os.path.getsize(distorted),
        "seconds": round(time.monotonic() - start, 3),
    }
    print(json.dumps(result), flush=True)
