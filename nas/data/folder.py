"""Image folders: `PATH/train/<class>/*`, and `PATH/test/<class>/*` or `PATH/val/<class>/*` for the test set.

Where both are there, `PATH/val` holds the images that a search measures on. Class folders may lie directly under PATH too.
Without a test folder a fifth of each class is the test set, always the same one. Images become RGB and upright, as their EXIF
data say; what is transparent in them becomes white. Those that must change their size become squares: what of a longer side is
too much is cut off at both ends, and nothing is squashed.
"""

from __future__ import annotations

import math
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from nas.data.task import Images, Progress, held_out, one_line
from nas.data.task_type import Labels
from nas.errors import DataError, nearest
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
TEST_FOLDERS = ("test", "val", "valid", "validation")
TEST_SHARE = 0.2
NAMED = 8  # faults that an error names; the others it counts
CHUNK = 64  # images between two looks at the progress


def read_folder(
    root: Path, test: bool, size: int | None, progress: Progress | None = None
) -> tuple[Images, Labels, tuple[str, ...]]:
    """All images under `root` as bytes (N, 3, H, W), with labels in alphabetical order of the class folders.

    Images are squares of `size` pixels; without a size all must have one size. Raises DataError.
    """
    files, names = list_files(root, test)
    return _decode(files, size, progress), np.array([label for _, label in files], dtype=np.int64), names


def read_validation(
    root: Path, size: int | None, progress: Progress | None = None
) -> tuple[Images, Labels, tuple[str, ...]] | None:
    """The images of the validation folder as `read_folder` gives them; None where there is none beside a test folder."""
    files = list_validation(root)
    if files is None:
        return None
    names = _list(root, True)[1]
    return _decode(files, size, progress), np.array([label for _, label in files], dtype=np.int64), names


def list_files(root: Path, test: bool) -> tuple[list[tuple[Path, int]], tuple[str, ...]]:
    """Image files with their labels, and the names of the classes in alphabetical order. Raises DataError."""
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "no such folder"
        raise DataError(f"imagefolder:{root}: {what}; it must hold train/<class>/<image files>")
    try:
        return _list(root, test)
    except OSError as problem:
        raise DataError(f"imagefolder:{root}: cannot be read ({one_line(problem)})") from None


def list_validation(root: Path) -> list[tuple[Path, int]] | None:
    """Files of the validation folder with their labels; None where there is none beside a test folder."""
    folder = validation_folder(root)
    return None if folder is None else _members(folder, _list(root, True)[1])


def count_test(root: Path) -> tuple[int, ...] | None:
    """Files of each class in the folder of test images, in the order of `read_folder`; None when there is no such folder.

    What is in the files is not looked at.
    """
    folder = test_folder(root)
    if folder is None:
        return None
    files, names = _list(root, True)
    return tuple(np.bincount([label for _, label in files], minlength=len(names)).tolist())


def test_folder(root: Path) -> Path | None:
    """Where the test images lie; None where they are a part of the training folder."""
    return next((root / name for name in TEST_FOLDERS if (root / name).is_dir()), None)


def validation_folder(root: Path) -> Path | None:
    """Where the images to measure on lie, beside those of the test; None where they are a part of the training images."""
    there = [root / name for name in TEST_FOLDERS if (root / name).is_dir()]
    return there[1] if len(there) > 1 else None


def _list(root: Path, test: bool) -> tuple[list[tuple[Path, int]], tuple[str, ...]]:
    """Files with their labels, and the names of the classes."""
    train = _training_folder(root)
    names = tuple(sorted(path.name for path in train.iterdir() if path.is_dir() and not path.name.startswith(".")))
    if not names:
        raise DataError(f"{train}: no class folders; it must hold <class>/<image files>")
    folder = test_folder(root)
    if folder is None:
        files = _members(train, names)
        labels = np.array([label for _, label in files])
        # The seed is fixed: whatever split a search trains on, its test images are these.
        rest, tested = held_out(labels, names, TEST_SHARE, seed=0, keep=2, what=f"{train} (no folder of test images)")
        return [files[place] for place in (tested if test else rest)], names
    return _members(folder if test else train, names), names


def _training_folder(root: Path) -> Path:
    """`root/train`, or `root` itself where class folders lie directly in it."""
    train = root / "train"
    if train.is_dir():
        return train
    if test_folder(root) is None and any(
        path.suffix.lower() in ENDINGS for folder in root.iterdir() if folder.is_dir() for path in folder.iterdir()
    ):
        return root
    raise DataError(
        f"{root}: no folder 'train' in it; it must hold train/<class>/<image files>, or <class>/<image files>"
    )


def _members(folder: Path, names: tuple[str, ...]) -> list[tuple[Path, int]]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name not in names and not path.name.startswith("."):
            raise DataError(f"{path}: the training folder has no class '{path.name}'{nearest(path.name, names)}")
    files: list[tuple[Path, int]] = []
    for label, name in enumerate(names):
        if not (folder / name).is_dir():
            raise DataError(f"{folder}: no folder for class '{name}', which the training folder has")
        members = sorted(path for path in (folder / name).iterdir() if path.suffix.lower() in ENDINGS)
        if not members:
            raise DataError(f"{folder / name}: no image files ({', '.join(ENDINGS)}); add some or remove the folder")
        files.extend((path, label) for path in members)
    return files


def check_images(number: int, shape: tuple[int, ...]) -> None:
    """Raises DataError when so many images (C, H, W) as bytes are more than there is memory for."""
    needed = 2 * number * math.prod(shape)  # the split copies them once
    what = f"{number:,} images of {shape[2]}×{shape[1]} pixels, while they are read,"
    check_memory(needed, what, "give a smaller --image-size", DataError)


def _decode(files: list[tuple[Path, int]], size: int | None, progress: Progress | None) -> Images:
    faults = Faults(len(files))
    first, height, width = _first(files, faults)
    shape = (3, size, size) if size else (3, height, width)
    check_images(len(files), shape)
    x = np.empty((len(files), *shape), dtype=np.uint8)

    def fill(start: int) -> int:
        for place in range(start, min(start + CHUNK, len(files))):
            path = files[place][0]
            try:
                image = _read(path, size)
            except DataError as problem:
                faults.unusable[path] = str(problem)
                continue
            if image.shape == shape:
                x[place] = image
            else:
                faults.other_sizes[path] = f"{image.shape[2]}×{image.shape[1]}"
        return min(start + CHUNK, len(files))

    with ThreadPoolExecutor(_threads(height, width)) as pool:
        for done in pool.map(fill, range(0, len(files), CHUNK)):
            if progress is not None:
                progress(done, len(files))
    faults.check(f"{first.name} has {shape[2]}×{shape[1]}")
    return x


def _first(files: list[tuple[Path, int]], faults: Faults) -> tuple[Path, int, int]:
    """The first file that is an image, its height and its width."""
    for path, _ in files:
        try:
            return (path, *image_extents(path))
        except DataError as problem:
            faults.unusable[path] = str(problem)
    faults.check("")
    raise AssertionError("no files")


class Faults:
    """What is wrong with the files of a folder: a user who mends them one by one, and starts anew each time, gives up."""

    def __init__(self, files: int) -> None:
        self._files = files
        self.unusable: dict[Path, str] = {}
        """Why, by file."""
        self.other_sizes: dict[Path, str] = {}

    def check(self, first: str) -> None:
        """Raises DataError that counts all of them and names some; `first` says the size that all should have."""
        parts = []
        if self.unusable:
            named = [self.unusable[path] for path in sorted(self.unusable)[:NAMED]]
            count = (
                f"{len(self.unusable)} of {self._files:,} image files cannot be used: "
                if len(self.unusable) > 1
                else ""
            )
            more = [f"and {len(self.unusable) - NAMED} more"] if len(self.unusable) > NAMED else []
            parts.append(count + "; ".join([*named, *more]))
        if self.other_sizes:
            path = min(self.other_sizes)
            others = f" and {len(self.other_sizes) - 1} more with another size" if len(self.other_sizes) > 1 else ""
            parts.append(
                f"{path}: {self.other_sizes[path]} pixels, but {first}{others}; give one size with --image-size"
            )
        if parts:
            raise DataError("; ".join(parts))


def skipped_files(root: Path) -> str | None:
    """How many files of an image folder are no images by their endings, in words; None where all are."""
    counts: Counter[str] = Counter()
    try:
        for path in root.glob("*/*/*" if (root / "train").is_dir() else "*/*"):
            if path.suffix.lower() not in ENDINGS and not path.name.startswith("."):
                counts[path.suffix.lower() or "no ending"] += 1
    except OSError:
        return None
    if not counts:
        return None
    kinds = ", ".join(f"{number} {ending}" for ending, number in counts.most_common(5))
    how = "; pip install pillow-heif, and .heic is read" if any(ending in counts for ending in HEIC) else ""
    return f"{root}: {counts.total():,} files are left out, which have no ending of an image ({kinds}){how}"


def _threads(height: int, width: int) -> int:
    # Threads fight for the interpreter's lock between images. One, two and four threads decode, in images a second:
    # 32×32 12,500 / 7,200 / 4,800; 128×128 4,200 / 7,600 / 4,300; 500×500 730 / 1,640 / 2,090.
    return min(os.cpu_count() or 1, 1 + math.isqrt(height * width) // 80)


def _open(path: Path) -> Image.Image:
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


def _read(path: Path, size: int | None) -> Images:
    return _pixels(path, "RGB", None if size is None else (size, size))


def read_image(path: Path, shape: tuple[int, ...]) -> Images:
    """One image as bytes (C, H, W) of `shape`, grey where C is 1; resized as the images of a folder are.

    Raises DataError.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        raise DataError(f"{path}: the network takes {channels} channels; an image has 1 or 3")
    if not path.is_file():
        raise DataError(f"{path}: no such image")
    return _pixels(path, "L" if channels == 1 else "RGB", (width, height))


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


def _pixels(path: Path, mode: str, size: tuple[int, int] | None) -> Images:
    try:
        with _open(path) as image:
            pixels = _opaque(image, mode)
            turn = TURNS.get(_orientation(image))
    except UNREADABLE as problem:
        raise _unreadable(path, problem) from None
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
