"""Images that do not lie in memory: rows of files of the cache, or of image files that are decoded when they are wanted.

They have what the rest asks of an array (N, C, H, W) of bytes: a shape, a length, items. `select`, `joined` and `parts` are for
both.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

PART_BYTES: Final = 1 << 26
"""Bytes of images that are looked at together, where all are."""
WINDOW_BYTES: Final = 1 << 30
"""Bytes that are held of images which have no room in memory, unless less is allowed."""


class ImageSource(Protocol):
    """Images of one shape in an order of their own, wherever they lie."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)"""

    @property
    def key(self) -> str:
        """Equal where every byte is."""

    @property
    def block(self) -> int:
        """Images that lie side by side and are best read together."""

    @property
    def mapped(self) -> Images | None:
        """All of them as an array that takes no memory of its own; None where they are decoded."""

    def read(self, rows: Places, out: Images) -> None:
        """Copies the images of these rows (n,), which ascend, to `out` (n, C, H, W)."""


@dataclass(frozen=True, eq=False)
class StoredImages:
    """Images (N, C, H, W) as bytes: some of those of `sources`, in any order."""

    sources: tuple[ImageSource, ...]
    rows: Places
    """(N,), counted through all sources."""
    memory: int
    """Bytes that images may take: more are read window by window."""

    dtype = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)"""
        return (len(self.rows), *self.sources[0].shape[1:])

    @property
    def nbytes(self) -> int:
        """Bytes of all of them."""
        return math.prod(self.shape)

    @property
    def block(self) -> int:
        """Images that are best read together."""
        return max(source.block for source in self.sources)

    @property
    def streamed(self) -> bool:
        """Whether they are read window by window: they are larger than memory, or have to be decoded."""
        return self.nbytes > self.memory or any(source.mapped is None for source in self.sources)

    @property
    def window(self) -> int:
        """Images that are held at a time where they are streamed."""
        return max(1, min(WINDOW_BYTES, self.memory) // max(1, math.prod(self.shape[1:])))

    @cached_property
    def identity(self) -> str:
        """Equal where every byte is."""
        digest = hashlib.sha256(" ".join(source.key for source in self.sources).encode())
        digest.update(self.rows.data)
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, places: Any) -> Images:
        """As an array has it: one image, a slice of them, or those at an array of places."""
        wanted = np.atleast_1d(np.arange(len(self))[places])
        found = self.take(wanted)
        return found[0] if isinstance(places, int | np.integer) else found

    def select(self, places: Places) -> StoredImages:
        """Those at these places, none of which is read."""
        return replace(self, rows=np.ascontiguousarray(self.rows[places]))

    def take(self, places: Places) -> Images:
        """Copies of the images at these places (n, C, H, W)."""
        rows = self.rows[places]
        mapped = self.sources[0].mapped if len(self.sources) == 1 and not self.streamed else None
        if mapped is not None:
            return np.take(mapped, rows, axis=0)
        out = np.empty((len(rows), *self.shape[1:]), dtype=np.uint8)
        order = np.argsort(rows, kind="stable")
        sorted_out = np.empty_like(out)
        self.read_sorted(rows[order], sorted_out)
        out[order] = sorted_out
        return out

    def read_sorted(self, rows: Places, out: Images) -> None:
        """Copies the images of these rows, which ascend, to `out` (n, C, H, W)."""
        start = first = 0
        for source in self.sources:
            last = first + source.shape[0]
            end = int(np.searchsorted(rows, last))
            if end > start:
                source.read(rows[start:end] - first, out[start:end])
            start, first = end, last


Pixels = Images | StoredImages


def select(x: Pixels, places: Places) -> Pixels:
    """The images at these places; of an array a copy."""
    return x.select(places) if isinstance(x, StoredImages) else np.ascontiguousarray(x[places])


def joined(x: Pixels, y: Pixels) -> Pixels:
    """The images of both, one after the other."""
    if not isinstance(x, StoredImages) or not isinstance(y, StoredImages):
        return np.concatenate([x[:], y[:]])
    if [source.key for source in x.sources] == [source.key for source in y.sources]:
        return replace(x, rows=np.concatenate([x.rows, y.rows]))
    behind = sum(source.shape[0] for source in x.sources)
    return replace(x, sources=(*x.sources, *y.sources), rows=np.concatenate([x.rows, y.rows + behind]))


def parts(x: Pixels) -> Iterator[Images]:
    """All images in their order, some at a time."""
    if not isinstance(x, StoredImages):
        yield x
        return
    at_once = max(1, min(PART_BYTES, x.memory // 4) // max(1, math.prod(x.shape[1:])))
    for start in range(0, len(x), at_once):
        yield x[start : start + at_once]


def runs(rows: Places) -> Sequence[tuple[int, int]]:
    """First and behind the last place of each run of rows that follow one another, of rows that ascend."""
    if not len(rows):
        return ()
    cuts = np.flatnonzero(np.diff(rows) != 1) + 1
    edges = [0, *cuts.tolist(), len(rows)]
    return list(pairwise(edges))
