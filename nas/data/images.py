"""Image files: upright as their EXIF data say, white where they are transparent, RGB or grey in 8 bits a channel.

Those that must change their size become squares, or whatever shape is asked for: what of a longer side is too much is cut off at
both ends, and nothing is squashed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from nas.data.task import Images, one_line
from nas.errors import DataError
from nas.system.memory import check_memory

# `MAX_PIXELS` is stricter; Pillow's warnings are pages with paths of a package in them.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # of damaged EXIF data, of odd palettes
HEIC = (".heic", ".heif")
try:
    from pillow_heif import register_heif_opener
except ImportError:  # an extra
    HEIC_READ = False
else:
    register_heif_opener()
    HEIC_READ = True
ENDINGS = (
    ".jpg",
    ".jpeg",
    ".png",
    ".bmp",
    ".webp",
    ".tif",
    ".tiff",
    ".gif",
    ".ppm",
    ".pgm",
    *(HEIC if HEIC_READ else ()),
)
MAX_PIXELS = 64_000_000  # a header can claim any size; this bounds what one file makes us allocate
NAMED = 8  # faults that an error names; the others it counts
SPARE = 2
"""Times the side that is wanted which a reduced decoding keeps at least, so that the filter still has something to average."""


def check_images(number: int, shape: tuple[int, ...]) -> None:
    """Raises DataError when so many images (C, H, W) as bytes are more than there is memory for."""
    needed = 2 * number * math.prod(shape)  # the split copies them once
    what = f"{number:,} images of {shape[2]}×{shape[1]} pixels, while they are read,"
    check_memory(needed, what, "give a smaller --image-size", DataError)


class Faults:
    """What is wrong with the files of a folder: a user who mends them one by one, and starts anew each time, gives up."""

    def __init__(self, files: int) -> None:
        self._files = files
        self.unusable: dict[Path, str] = {}
        """Why, by file."""
        self.other_sizes: dict[Path, str] = {}

    def check(self, first: str, *, skippable: bool = False) -> None:
        """Raises DataError that counts all of them and names some; `first` says the size that all should have.

        Where they are `skippable` it names the option that leaves out what cannot be read.
        """
        parts = []
        if self.unusable:
            named = [self.unusable[path] for path in sorted(self.unusable)[:NAMED]]
            count = (
                f"{len(self.unusable)} of {self._files:,} image files cannot be used: "
                if len(self.unusable) > 1
                else ""
            )
            more = [f"and {len(self.unusable) - NAMED} more"] if len(self.unusable) > NAMED else []
            way_out = ["--skip-bad leaves out what cannot be read"] if skippable else []
            parts.append(count + "; ".join([*named, *more, *way_out]))
        if self.other_sizes:
            path = min(self.other_sizes)
            others = f" and {len(self.other_sizes) - 1} more with another size" if len(self.other_sizes) > 1 else ""
            parts.append(
                f"{path}: {self.other_sizes[path]} pixels, but {first}{others}; give one size with --image-size"
            )
        if parts:
            raise DataError("; ".join(parts))


def left_out_line(reasons: Sequence[str], files: int) -> str:
    """One line on images that were skipped, of so many files."""
    more = f" (and {len(reasons) - 1:,} more)" if len(reasons) > 1 else ""
    return f"{len(reasons):,} of {files:,} image files are left out because they cannot be read: {min(reasons)}{more}"


def _open(path: Path) -> Image.Image:
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if not path.is_file():  # a named pipe would be waited for
        raise DataError(f"{path}: no regular file; remove it")
    image = Image.open(path)
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise DataError(f"{path}: {image.width}×{image.height} pixels; more than {MAX_PIXELS:,} are refused")
    if image.mode in ("I", "F"):  # Pillow would cut every value above 255, and leave a white image
        image.close()
        raise DataError(
            f"{path}: 32 bits a channel (mode {image.mode}), whose white is unknown; convert it to 8 or 16 bits"
        )
    return image


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by its orientation in EXIF (CIPA DC-008, section 4.6.5.1, tag 274)."""
LYING = (5, 6, 7, 8)
"""Orientations that exchange width and height."""
UNREADABLE = (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def image_extents(path: Path) -> tuple[int, int]:
    """Height and width of an upright image, as its header says. Raises DataError."""
    try:
        with _open(path) as image:
            lies = _orientation(image) in LYING
            return (image.width, image.height) if lies else (image.height, image.width)
    except UNREADABLE as problem:
        raise _unreadable(path, problem) from None


def read_image(path: Path, shape: tuple[int, ...]) -> Images:
    """One image as bytes (C, H, W) of `shape`, grey where C is 1; resized as the images of a folder are.

    Raises DataError.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        raise DataError(f"{path}: the network takes {channels} channels; an image has 1 or 3")
    if not path.is_file():
        raise DataError(f"{path}: no such image")
    return decode(path, "L" if channels == 1 else "RGB", (width, height), reduced=True)


def check_readable(paths: Sequence[Path]) -> None:
    """Raises DataError that names all of these files that are no images, as far as their headers say."""
    faults = Faults(len(paths))
    for path in paths:
        try:
            if not path.exists():
                raise DataError(f"{path}: no such image")
            image_extents(path)
        except DataError as problem:
            faults.unusable[path] = str(problem)
    faults.check("")


def decode(path: Path, mode: str, size: tuple[int, int] | None, *, reduced: bool) -> Images:
    """One image as bytes (C, H, W), of `size` (width, height) where that is given; `reduced`: see `Task.reduced`."""
    try:
        with _open(path) as image:
            orientation = _orientation(image)
            if reduced and size is not None:
                wanted = size[::-1] if orientation in LYING else size
                # Only JPEG does anything: it decodes a half, a quarter or an eighth of the side, at least what is asked for.
                image.draft(None, (SPARE * wanted[0], SPARE * wanted[1]))
            return pixels_of(image, mode, size, orientation)
    except UNREADABLE as problem:
        raise _unreadable(path, problem) from None


def pixels_of(image: Image.Image, mode: str, size: tuple[int, int] | None, orientation: int | None = None) -> Images:
    """An image that is open as bytes (C, H, W); None: it says itself how the camera was held."""
    turn = TURNS.get(_orientation(image) if orientation is None else orientation)
    pixels = _opaque(image, mode)
    if turn is not None:
        pixels = pixels.transpose(turn)
    if size is not None and pixels.size != size:
        pixels = ImageOps.fit(pixels, size, Image.Resampling.BILINEAR)
    x = np.asarray(pixels, dtype=np.uint8)
    return x[None] if mode == "L" else x.transpose(2, 0, 1)


def _opaque(image: Image.Image, mode: str) -> Image.Image:
    """In `mode`, 8 bits a channel, on white where it is transparent."""
    if image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.float32) * (255 / 65_535)
        return Image.fromarray(grey.round().astype(np.uint8)).convert(mode)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def _orientation(image: Image.Image) -> int:
    """How a camera was held, as EXIF numbers it; 1, upright, where nothing that can be read says otherwise."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # whatever damaged metadata make of Pillow's reader: the pixels are still there
        return 1


def _unreadable(path: Path, problem: BaseException) -> DataError:
    return DataError(f"{path}: not a readable image ({one_line(problem)}); repair or remove it")
