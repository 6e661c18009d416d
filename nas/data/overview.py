"""What a folder of images holds, as far as names and headers of files say: classes, counts, sizes, faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from nas.data.folder import Faults, image_extents, list_files, list_validation, skipped_files, test_folder
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
    """Files that are no images by their endings, in words."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of all images; None where they differ."""
        return next(iter(self.sizes)) if len(self.sizes) == 1 else None


def overview(root: Path) -> Overview:
    """Looks at the names and the headers of all images. Raises DataError that names all files that are no images."""
    train, classes = list_files(root, test=False)
    test, _ = list_files(root, test=True)
    validation = list_validation(root)
    paths = sorted({path for path, _ in [*train, *test, *(validation or ())]})
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
    faults.check("")
    return Overview(
        classes,
        _counts(train, len(classes)),
        None if validation is None else _counts(validation, len(classes)),
        _counts(test, len(classes)),
        test_folder(root) is None,
        dict(sizes.most_common()),
        skipped_files(root),
    )


def _counts(files: list[tuple[Path, int]], classes: int) -> tuple[int, ...]:
    counts = Counter(label for _, label in files)
    return tuple(counts[label] for label in range(classes))
