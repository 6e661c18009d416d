"""Image files as a part of a data set: in memory where they are few, else from the cache on disk, else decoded when wanted."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from nas.config.task import Task
from nas.data.image_cache import CachedImages, ImageFiles, NoCache, OtherSizes, Request, make_request
from nas.data.images import Faults, check_images, decode, image_extents
from nas.data.stored import Images, Pixels, Places, StoredImages
from nas.data.task import Part, Progress, Tell, tell_of
from nas.data.task_type import Labels
from nas.errors import DataError
from nas.system.memory import byte_size, free_bytes, total_bytes

CHUNK: Final = 64  # images between two looks at the progress
FEW: Final = 5_000
"""Files from which on they are kept decoded: 5,000 small ones take a second or less."""
SMALL: Final = 64 << 20
"""Bytes of files from which on they are kept decoded, however few they are."""
SHARE: Final = 0.5
"""Share of the machine's memory that images may take, unless the task says how much."""


def read_files(
    paths: Sequence[Path],
    y: Labels,
    names: tuple[str, ...],
    task: Task,
    progress: Progress | None,
    part: str = "train",
) -> Part:
    """The images of these files as bytes (N, 3, H, W), with their labels.

    They are squares of `task.image_size` pixels; where that says nothing all must have one size. With `task.skip_bad` those
    that cannot be read are left out. Raises DataError that names all faults at once.
    """
    size = None if task.image_size is None else (task.image_size, task.image_size)
    faults = Faults(len(paths))
    first, height, width = _first(paths, faults)
    shape = (3, *size) if size else (3, height, width)
    x, faults.unusable, faults.other_sizes = _read(paths, shape, task, (height, width), progress, part)
    bad = dict(faults.unusable)
    if task.skip_bad:
        faults.unusable.clear()
    faults.check(f"{first.name} has {shape[2]}×{shape[1]}", skippable=not task.skip_bad)
    if not bad:
        return Part(x, y, names)
    kept = np.array([path not in bad for path in paths])
    x = x.select(np.flatnonzero(kept)) if isinstance(x, StoredImages) else x[kept]
    return Part(x, y[kept], names, tuple(bad[path] for path in sorted(bad)))


Read = tuple[Pixels, dict[Path, str], dict[Path, str]]
"""Images, and by file why they cannot be read, and what other size they have."""


def _read(
    paths: Sequence[Path],
    shape: tuple[int, ...],
    task: Task,
    extents: tuple[int, int],
    progress: Progress | None,
    part: str,
) -> Read:
    tell = tell_of(progress)
    memory = task.memory or default_memory()
    needed = len(paths) * math.prod(shape)
    free = free_bytes()
    no_room = free is not None and 2 * needed > free  # the split copies them once
    is_large = no_room if task.memory is None else needed > task.memory
    if not is_large and (not task.cached or _are_few(paths)):
        return _in_memory(paths, shape, task, extents, progress)
    files = ImageFiles.of(paths)
    request = make_request(
        f"{task.dataset}, {part}",
        files.names(),
        files,
        shape,
        resized=task.image_size is not None,
        reduced=task.reduced,
    )
    if task.cached:
        try:
            return _from_cache(request, paths, memory, tell, progress)
        except NoCache as problem:
            tell(
                f"images are not kept decoded, and are decoded at each start: {problem}; NAS_CACHE names another folder"
            )
    if not is_large:
        return _in_memory(paths, shape, task, extents, progress)
    room = memory if task.memory is not None or free is None else min(memory, free)
    tell(
        f"{request.data}: {byte_size(needed)} of images have no room in the {byte_size(room)} of memory for them; they are "
        "decoded whenever they are wanted, which is slow"
    )
    return _decoded(request, paths, memory)


def default_memory() -> int:
    """Bytes that images may take of this machine's memory: the same at each start, so that the same order is drawn."""
    total = total_bytes()
    return 1 << 62 if total is None else int(SHARE * total)


def _are_few(paths: Sequence[Path]) -> bool:
    """Whether decoding is so quick that nothing has to be kept."""
    if len(paths) >= FEW:
        return False
    size = 0
    for path in paths:
        try:
            size += path.stat().st_size
        except OSError:  # what is wrong with it is said when it is read
            continue
        if size >= SMALL:
            return False
    return True


def _from_cache(request: Request, paths: Sequence[Path], memory: int, tell: Tell, progress: Progress | None) -> Read:
    cached = CachedImages(request)
    try:
        cached.open(tell, progress)
    except OtherSizes as found:
        faults = found.faults
        own = dict(zip(map(Path, request.files.names()), paths, strict=True))
        return (
            np.empty((0, *request.shape), dtype=np.uint8),
            {own[path]: why for path, why in faults.unusable.items()},
            {own[path]: size for path, size in faults.other_sizes.items()},
        )
    x = StoredImages((cached,), np.arange(len(paths)), memory)
    return x, {paths[row]: why for row, why in cached.unusable.items()}, {}


def _in_memory(
    paths: Sequence[Path], shape: tuple[int, ...], task: Task, extents: tuple[int, int], progress: Progress | None
) -> Read:
    check_images(len(paths), shape)
    x = np.empty((len(paths), *shape), dtype=np.uint8)
    size = None if task.image_size is None else (task.image_size, task.image_size)
    unusable: dict[Path, str] = {}
    other_sizes: dict[Path, str] = {}

    def fill(start: int) -> int:
        for place in range(start, min(start + CHUNK, len(paths))):
            path = paths[place]
            try:
                image = decode(path, "RGB", size, reduced=task.reduced)
            except DataError as problem:
                unusable[path] = str(problem)
                continue
            if image.shape == shape:
                x[place] = image
            else:
                other_sizes[path] = f"{image.shape[2]}×{image.shape[1]}"
        return min(start + CHUNK, len(paths))

    with ThreadPoolExecutor(_threads(*extents)) as pool:
        for done in pool.map(fill, range(0, len(paths), CHUNK)):
            if progress is not None:
                progress(done, len(paths))
    return x, unusable, other_sizes


def _first(paths: Sequence[Path], faults: Faults) -> tuple[Path, int, int]:
    """The first file that is an image, its height and its width."""
    for path in paths:
        try:
            return (path, *image_extents(path))
        except DataError as problem:
            faults.unusable[path] = str(problem)
    faults.check("")
    raise AssertionError("no files")


def _threads(height: int, width: int) -> int:
    # Threads fight for the interpreter's lock between images. One, two and four threads decode, in images a second:
    # 32×32 12,500 / 7,200 / 4,800; 128×128 4,200 / 7,600 / 4,300; 500×500 730 / 1,640 / 2,090.
    return min(os.cpu_count() or 1, 1 + math.isqrt(height * width) // 80)


# Decoded when they are wanted -----------------------------------------------------------------------------------------------


@dataclass(eq=False)
class DecodedImages:
    """Images of files that are decoded each time they are wanted: there is no room for them in memory, and none on the disk."""

    request: Request
    threads: int
    block: int = 1
    mapped: None = None

    @cached_property
    def names(self) -> list[str]:
        """The paths."""
        return self.request.files.names()

    def __getstate__(self) -> dict[str, Any]:
        """Without what is unpacked again."""
        return {name: value for name, value in self.__dict__.items() if name != "names"}

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)"""
        return (self.request.files.count, *self.request.shape)

    @property
    def key(self) -> str:
        """Equal where every byte is."""
        return self.request.key

    def read(self, rows: Places, out: Images) -> None:
        """Decodes the images of these rows to `out` (n, C, H, W). Raises DataError for one that has become unreadable."""
        _, height, width = self.request.shape
        size = (width, height) if self.request.resized else None

        def fill(place: int) -> None:
            path = Path(self.names[int(rows[place])])
            image = decode(path, "RGB", size, reduced=self.request.reduced)
            if image.shape != self.request.shape:
                raise DataError(f"{path}: has changed its size since the training began")
            out[place] = image

        with ThreadPoolExecutor(self.threads) as pool:
            for _ in pool.map(fill, range(len(rows))):
                pass


def _decoded(request: Request, paths: Sequence[Path], memory: int) -> Read:
    """Images to be decoded when they are wanted; what headers say of the files is looked at now."""
    unusable: dict[Path, str] = {}
    other_sizes: dict[Path, str] = {}

    def look(path: Path) -> None:
        try:
            height, width = image_extents(path)
        except DataError as problem:
            unusable[path] = str(problem)
        else:
            if not request.resized and (height, width) != request.shape[1:]:
                other_sizes[path] = f"{width}×{height}"

    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(look, paths):
            pass
    source = DecodedImages(request, max(1, os.cpu_count() or 1))
    return StoredImages((source,), np.arange(len(paths)), memory), unusable, other_sizes
