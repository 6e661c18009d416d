"""When a search must end because workers are lost: all of them, or those of one machine that takes every trial it is given."""

from __future__ import annotations

from nas.errors import SearchError

IN_A_ROW = 5
"""Deaths in a row that may have come from networks: two that crash, each tried twice, and the first attempt at a third."""

EXCESS = 20
"""Deaths more than trials that trained. A broken GPU among good ones fails its trials in seconds, so that it is given most."""


class Deaths:
    """Counts workers that were lost before they had trained an epoch."""

    def __init__(self) -> None:
        self._row = 0
        self._excess = 0
        self._at_once = 0

    def epoch(self, *, first: bool) -> None:
        """A worker has trained an epoch, the `first` of its trial."""
        self._row = 0
        self._excess = max(0, self._excess - first)

    def death(self, reason: str, running: int) -> SearchError | None:
        """A worker was lost by `reason` while `running` trials ran. The error that ends the search, when it was one too many.

        A fault of one GPU ends all processes that share it at once, and those that are started next may be well. So there must
        be more deaths than trials at once.
        """
        self._row += 1
        self._excess += 1
        self._at_once = max(self._at_once, running)
        if self._row >= max(IN_A_ROW, self._at_once + 1):
            lost = f"{self._row} workers in a row were lost before any had trained an epoch"
        elif self._excess >= max(EXCESS, 2 * self._at_once):
            lost = "more workers are lost before they have trained an epoch than train"
        else:
            return None
        return SearchError(f"{lost}; the last one: {reason}; mend that, and run the same command again to resume")
