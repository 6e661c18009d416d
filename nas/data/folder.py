"""Image folders: `PATH/train/<class>/*`, and `PATH/test/<class>/*` or `PATH/val/<class>/*` for the test set."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from nas.data.task import Images, Labels
from nas.errors import DataError

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
MAX_PIXELS = 64_000_000  # a header can claim any size; this bounds what one file makes us allocate


def read_folder(root: Path, test: bool, size: int | None) -> tuple[Images, Labels, tuple[str, ...]]:
    """All images under `root` as bytes (N, 3, H, W), with labels in alphabetical order of the class folders.

    Images are squares of `size` pixels; without a size all must have one size. Raises DataError.
    """
    if not root.is_dir():
        raise DataError(f"imagefolder:{root}: no such folder; it must hold train/<class>/<image files>")
    folder = _part(root, test)
    names = tuple(sorted(path.name for path in (root / "train").iterdir() if path.is_dir()))
    files: list[tuple[Path, int]] = []
    for label, name in enumerate(names):
        if not (folder / name).is_dir():
            raise DataError(f"{folder}: no folder for class '{name}', which {root / 'train'} has")
        members = sorted(path for path in (folder / name).iterdir() if path.suffix.lower() in ENDINGS)
        if not members:
            raise DataError(f"{folder / name}: no image files ({', '.join(ENDINGS)}); add some or remove the folder")
        files.extend((path, label) for path in members)
    if not files:
        raise DataError(f"{folder}: no class folders; it must hold <class>/<image files>")
    shape = _read(files[0][0], size).shape
    x = np.empty((len(files), *shape), dtype=np.uint8)

    def fill(place: int) -> None:
        image = _read(files[place][0], size)
        if image.shape != shape:
            raise DataError(
                f"{files[place][0]}: {image.shape[2]}×{image.shape[1]} pixels, but {files[0][0].name} has "
                f"{shape[2]}×{shape[1]}; give one size with --image-size"
            )
        x[place] = image

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases the interpreter lock
        list(pool.map(fill, range(len(files)), chunksize=64))
    return x, np.array([label for _, label in files], dtype=np.int64), names


def _part(root: Path, test: bool) -> Path:
    if not (root / "train").is_dir():
        raise DataError(f"{root}: no folder 'train' in it; it must hold train/<class>/<image files>")
    if not test:
        return root / "train"
    for name in ("test", "val", "valid", "validation"):
        if (root / name).is_dir():
            return root / name
    raise DataError(f"{root}: no folder 'test' or 'val' in it; testing needs one")


def _read(path: Path, size: int | None) -> Images:
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"{path}: {image.width}×{image.height} pixels; more than {MAX_PIXELS:,} are refused")
            rgb = image.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as problem:
        reason = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        raise DataError(f"{path}: not a readable image ({reason}); repair or remove it") from None
    if size is not None and rgb.size != (size, size):
        rgb = rgb.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(rgb, dtype=np.uint8).transpose(2, 0, 1)
