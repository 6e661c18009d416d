"""Image folders: `PATH/train/<class>/*`, and `PATH/test/<class>/*` or `PATH/val/<class>/*` for the test set.

Where both are there, `PATH/val` holds the images that a search measures on. Class folders may lie directly under PATH too.
Without a test folder a fifth of each class is the test set, always the same one. How files become pixels stands in
`nas.data.images`.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np

from nas.data.images import ENDINGS, HEIC
from nas.data.listing import Labelled, Listing, set_aside
from nas.data.task import one_line
from nas.errors import DataError, nearest

TEST_FOLDERS = ("test", "val", "valid", "validation")
SETTLED_SECONDS = 2
"""A folder that was changed so lately may change again without another time: file systems count in steps."""


def list_folder(root: Path) -> Listing:
    """The images under `root`, with labels in alphabetical order of the class folders. Raises DataError."""
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "no such folder"
        raise DataError(f"imagefolder:{root}: {what}; it must hold train/<class>/<image files>")
    try:
        state = _state(root)
        still = time.time_ns() - max(changed for _, changed in state) > SETTLED_SECONDS * 10**9
        return _listed(root.absolute(), root, state) if still else _list(root)
    except OSError as problem:
        raise DataError(f"imagefolder:{root}: cannot be read ({one_line(problem)})") from None


def _state(root: Path) -> tuple[tuple[str, int], ...]:
    """When each folder was last changed: no file comes or goes without that."""
    found = []
    for folder in (root, *(root / name for name in ("train", *TEST_FOLDERS))):
        if folder.is_dir():
            entries = [entry for entry in os.scandir(folder) if entry.is_dir()]
            found += [(str(folder), folder.stat().st_mtime_ns)]
            found += [(entry.path, entry.stat().st_mtime_ns) for entry in entries]
    return tuple(sorted(found))


@lru_cache(
    maxsize=2
)  # a search asks four times: for the images of each part, for what is no image, and how many there are
def _listed(place: Path, root: Path, state: tuple[tuple[str, int], ...]) -> Listing:
    return _list(root)


def _list(root: Path) -> Listing:
    there = [root / name for name in TEST_FOLDERS if (root / name).is_dir()]
    train = _training_folder(root, bool(there))
    names = tuple(sorted(path.name for path in train.iterdir() if path.is_dir() and not path.name.startswith(".")))
    if not names:
        raise DataError(f"{train}: no class folders; it must hold <class>/<image files>")
    files = _members(train, names)
    if there:
        validation = _members(there[1], names) if len(there) > 1 else None
        return Listing(names, files, _members(there[0], names), False, validation, skipped_files(root))
    rest, tested = set_aside(files, files.y, names, f"{train} (no folder of test images)")
    return Listing(names, rest, tested, True, left_out=skipped_files(root))


def _training_folder(root: Path, tested: bool) -> Path:
    """`root/train`, or `root` itself where class folders lie directly in it."""
    train = root / "train"
    if train.is_dir():
        return train
    if not tested and any(
        path.suffix.lower() in ENDINGS for folder in root.iterdir() if folder.is_dir() for path in folder.iterdir()
    ):
        return root
    raise DataError(
        f"{root}: no folder 'train' in it; it must hold train/<class>/<image files>, or <class>/<image files>"
    )


def _members(folder: Path, names: tuple[str, ...]) -> Labelled:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name not in names and not path.name.startswith("."):
            raise DataError(f"{path}: the training folder has no class '{path.name}'{nearest(path.name, names)}")
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        if not (folder / name).is_dir():
            raise DataError(f"{folder}: no folder for class '{name}', which the training folder has")
        # By name, without a path for each: of 100,000 files this takes 0.3 s instead of 1.5.
        members = sorted(file for file in os.listdir(folder / name) if os.path.splitext(file)[1].lower() in ENDINGS)  # noqa: PTH122, PTH208
        if not members:
            raise DataError(f"{folder / name}: no image files ({', '.join(ENDINGS)}); add some or remove the folder")
        paths += [folder / name / file for file in members]
        labels += [label] * len(members)
    return Labelled(tuple(paths), np.array(labels, dtype=np.int64))


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
