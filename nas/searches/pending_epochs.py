"""Points of learning curves that wait to be written: many in one transaction, which costs hardly more than one of them."""

from __future__ import annotations

import time
from collections.abc import Mapping

from nas.store import Store

TICK_SECONDS = 1.0
"""A point waits so long at most. A driver that is killed meanwhile loses it: its trial begins again, where it has no checkpoint."""

Point = Mapping[str, object]


class PendingEpochs:
    """Those of the running trials of one study, by their rows."""

    def __init__(self, store: Store, study: str) -> None:
        self._store, self._study = store, study
        self._curves: dict[int, list[Point]] = {}
        self._since = 0.0

    def add(self, row: int, epoch: Point) -> None:
        """Keeps a point, with the names of `nas_epochs`."""
        if not self._curves:
            self._since = time.monotonic()
        self._curves.setdefault(row, []).append(epoch)

    def take(self, row: int) -> list[Point]:
        """Those of one trial, which are written with what becomes of it."""
        return self._curves.pop(row, [])

    def tick(self, *, now: bool = False) -> None:
        """Writes all when the first has waited long enough, or `now`."""
        if self._curves and (now or time.monotonic() - self._since >= TICK_SECONDS):
            self._store.record_epochs(self._study, self._curves)
            self._curves = {}
