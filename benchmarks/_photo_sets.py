"""Folders of photos to search on: CIFAR-10 images, drawn by seed out of an archive with train/<class>/* and test/<class>/*."""

from __future__ import annotations

import hashlib
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class PhotoSet:
    """So many training images of each class, and as many test images of every class."""

    name: str
    classes: tuple[str, ...]
    images: tuple[int, ...]
    """Training images of each class."""
    test: int = 500
    """Test images of every class."""

    def __post_init__(self) -> None:
        """Raises ValueError for a set that cannot be drawn from any archive."""
        if len(self.classes) != len(self.images) or len(set(self.classes)) != len(self.classes):
            raise ValueError(
                f"{self.name}: {len(self.classes)} classes, which must differ, and {len(self.images)} counts"
            )
        if len(self.classes) < 2 or min(*self.images, self.test) < 1:
            raise ValueError(f"{self.name}: two classes or more, and at least one image of each")

    @property
    def balance(self) -> str:
        """``even``, or the images of each class."""
        return "even" if len(set(self.images)) == 1 else "/".join(map(str, sorted(self.images, reverse=True)))

    def key(self, seed: int) -> str:
        """Equal for sets with the same images."""
        pairs = sorted(zip(self.classes, self.images, strict=True))
        return " ".join([*(f"{name}:{count}" for name, count in pairs), f"test:{self.test}", f"seed:{seed}"])

    def folder(self, cache: Path, seed: int) -> Path:
        """Where `draw` puts it."""
        return cache / f"{self.name}-{seed}-{hashlib.sha256(self.key(seed).encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Case:
    """One set of photos with its seed: what all parts are done on."""

    photos: PhotoSet
    seed: int
    folder: Path

    @property
    def key(self) -> str:
        """Names the images."""
        return self.photos.key(self.seed)

    @property
    def title(self) -> str:
        """For a person."""
        return f"{self.photos.name}, seed {self.seed}"


def even(name: str, classes: tuple[str, ...], images: int) -> PhotoSet:
    """A set with as many images of each class."""
    return PhotoSet(name, classes, (images,) * len(classes))


SETS = {
    photos.name: photos
    for photos in (
        even("four-240", ("frog", "horse", "ship", "truck"), 60),
        PhotoSet("four-830-uneven", ("airplane", "cat", "ship", "dog"), (300, 300, 150, 80)),
        even("four-1000", ("airplane", "automobile", "bird", "cat"), 250),
        PhotoSet(
            "six-1600-uneven", ("automobile", "bird", "deer", "frog", "horse", "truck"), (600, 400, 300, 150, 100, 50)
        ),
        even("ten-2000", CLASSES, 200),
        even("ten-5000", CLASSES, 500),
    )
}


def draw(photos: PhotoSet, seed: int, archive: Path, cache: Path) -> Path:
    """The folder with the images of a set, extracted unless it is there. Raises ValueError for what the archive lacks.

    Images of a class do not depend on the other classes, and fewer of them are the first of more.
    """
    folder = photos.folder(cache, seed)
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="drawing-", dir=cache) as scratch:
        _extract(photos, seed, archive, Path(scratch) / "images")
        (Path(scratch) / "images").rename(folder)  # a kill leaves no half of a set under its name
    return folder


def _extract(photos: PhotoSet, seed: int, archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as images:
        members: dict[str, list[str]] = defaultdict(list)
        for name in sorted(images.namelist()):
            members[name.rpartition("/")[0]].append(name)
        for part, counts in (("train", photos.images), ("test", (photos.test,) * len(photos.classes))):
            for name, count in zip(photos.classes, counts, strict=True):
                chosen = _choose(members[f"{part}/{name}"], count, f"{seed} {part} {name}", photos.name)
                (folder / part / name).mkdir(parents=True)
                for member in chosen:
                    (folder / member).write_bytes(images.read(member))


def _choose(members: list[str], count: int, seed: str, what: str) -> list[str]:
    if len(members) < count:
        raise ValueError(f"{what}: {count} images wanted of '{seed}', but the archive has {len(members)}")
    digest = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8])
    return [members[place] for place in np.random.default_rng(digest).permutation(len(members))[:count]]
