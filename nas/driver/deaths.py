"""When a search must end because no worker can train anything: on no machine, whatever the network."""

from __future__ import annotations

from nas.errors import SearchError

MOST = 5
"""Deaths in a row that may have come from networks: two that crash, each tried twice, and the first attempt at a third."""


class Deaths:
    """Counts workers that were lost before they had trained an epoch; an epoch of any of them begins anew."""

    def __init__(self) -> None:
        self._number = 0
        self._at_once = 0

    def epoch(self) -> None:
        """A worker has trained."""
        self._number = 0

    def death(self, reason: str, running: int) -> SearchError | None:
        """A worker was lost by `reason` while `running` trials ran. The error that ends the search, when it was one too many.

        A fault of one GPU ends all processes that share it at once, and those that are started next may be well. So there must
        be more deaths than trials at once.
        """
        self._number += 1
        self._at_once = max(self._at_once, running)
        if self._number < max(MOST, self._at_once + 1):
            return None
        return SearchError(
            f"{self._number} workers in a row were lost before any had trained an epoch; the last one: {reason}; when that is "
            "mended, the same command goes on"
        )
