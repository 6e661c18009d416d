"""What a folder or a table of images holds, as far as names and headers of files say: classes, counts, sizes, faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.data.folder import list_folder
from nas.data.images import Faults, image_extents, left_out_line
from nas.data.listing import Labelled, Listing
from nas.errors import DataError


@dataclass(frozen=True)
class Overview:
    """Images of a folder. Those of the test and of the validation are counted where they lie in folders of their own."""

    classes: tuple[str, ...]
    train: tuple[int, ...]
    """Images of each class to train and to measure on."""
    validation: tuple[int, ...] | None
    """None: the images to measure on are drawn from those of the training."""
    test: tuple[int, ...]
    """Test images of each class; a fifth of the images where there is no folder of them."""
    test_is_drawn: bool
    sizes: Mapping[tuple[int, int], int]
    """How many images have this width and height, the commonest first."""
    skipped: str | None
    """Files that are no images by their endings, and those that are skipped, in words."""
    kind: str = "folder"
    """What the images lie in, or are listed by."""
    images: tuple[int, int, int] | None = None
    """Images to train on, to validate and to test where an image may have several labels, or none; None where each has one."""

    @property
    def parts(self) -> tuple[int, int, int]:
        """Images to train on, images to measure on that lie in a part of their own, and images to test."""
        return self.images or (sum(self.train), sum(self.validation or ()), sum(self.test))

    @property
    def labels(self) -> float | None:
        """Labels an image on average; None where each has one."""
        if self.images is None:
            return None
        said = sum(self.train) + sum(self.validation or ()) + sum(self.test)
        return said / max(1, sum(self.images))

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of all images; None where they differ."""
        return next(iter(self.sizes)) if len(self.sizes) == 1 else None


def overview(root: Path) -> Overview:
    """Looks at the names and the headers of all images of a folder. Raises DataError that names all that are no images."""
    return overview_of(list_folder(root))


def overview_of(listing: Listing, *, skip_bad: bool = False) -> Overview:
    """Looks at the headers of all images. Raises DataError that names all that are no images, unless these are skipped."""
    train, test, validation = listing.train, listing.test, listing.validation
    paths = sorted({*train.paths, *test.paths, *(validation.paths if validation else ())})
    faults = Faults(len(paths))
    sizes: Counter[tuple[int, int]] = Counter()

    def look(path: Path) -> tuple[Path, tuple[int, int] | str]:
        try:
            height, width = image_extents(path)
        except DataError as problem:
            return path, str(problem)
        return path, (width, height)

    with ThreadPoolExecutor(4) as pool:
        for path, found in pool.map(look, paths):
            if isinstance(found, str):
                faults.unusable[path] = found
            else:
                sizes[found] += 1
    if not skip_bad or not sizes:
        faults.check("", skippable=not skip_bad and bool(sizes))
    lines = [listing.left_out] if listing.left_out else []
    if faults.unusable:
        lines.append(left_out_line(list(faults.unusable.values()), len(paths)))
    classes = len(listing.classes)
    several = train.y.ndim > 1
    images = [
        0 if part is None else sum(path not in faults.unusable for path in part.paths)
        for part in (train, validation, test)
    ]
    return Overview(
        listing.classes,
        _counts(train, classes, faults.unusable),
        None if validation is None else _counts(validation, classes, faults.unusable),
        _counts(test, classes, faults.unusable),
        listing.test_is_drawn,
        dict(sizes.most_common()),
        "; ".join(lines) or None,
        listing.kind,
        (images[0], images[1], images[2]) if several else None,
    )


def _counts(files: Labelled, classes: int, unusable: Mapping[Path, str]) -> tuple[int, ...]:
    y = files.y[[path not in unusable for path in files.paths]]
    counted = y.sum(0) if y.ndim > 1 else np.bincount(y, minlength=classes)
    return tuple(counted.tolist())
