"""A process that decodes image files into a file of the cache; `nas.data.decoding` starts and feeds it.

Pillow lets go of the interpreter's lock only while it decodes: between images threads fight for it, processes do not.
It reads a line of JSON for each block of images from standard input, and answers with one.
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from nas.data.images import decode
from nas.errors import DataError


def decode_block(file: int, order: dict[str, Any], block: dict[str, Any]) -> dict[str, Any]:
    """Decodes the images of a block and writes them to their place in the file. Returns what is told of it."""
    shape = tuple(order["shape"])
    x = np.zeros((len(block["paths"]), *shape), dtype=np.uint8)
    unusable: dict[str, str] = {}
    other_sizes: dict[str, str] = {}
    size = shape[:0:-1] if order["resized"] else None
    for place, name in enumerate(block["paths"]):
        try:
            image = decode(Path(name), "RGB", size, reduced=order["reduced"])
        except DataError as problem:
            unusable[name] = str(problem)
            continue
        if image.shape == shape:
            x[place] = image
        else:
            other_sizes[name] = f"{image.shape[2]}×{image.shape[1]}"
    write(file, x.reshape(-1).data, block["start"] * x[0].nbytes)
    return {"crc": zlib.crc32(x.data), "unusable": unusable, "other_sizes": other_sizes}


def write(file: int, data: memoryview, offset: int) -> None:
    """Writes all of `data`. Raises OSError."""
    while len(data):
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written


def main() -> None:
    """Decodes block after block until there is no further line."""
    order = json.loads(sys.stdin.readline())
    file = os.open(order["file"], os.O_WRONLY)
    for line in sys.stdin:
        try:
            answer = decode_block(file, order, json.loads(line))
        except OSError as problem:  # the disk is full
            answer = {"problem": problem.strerror or str(problem)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
