"""What Ray and the processes that it has started say: kept back, or told to the log of a run line by line."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nas.text.log import LOG, is_detailed


@contextmanager
def ray_messages() -> Iterator[None]:
    """In the block Ray prints nothing. Where the log wants details, it has what Ray and the workers say.

    Ray prints a paragraph for every worker that dies, on standard output, where `--json` writes. A reason says it in a line.
    """
    from ray._private import worker

    detailed = is_detailed()
    ours = logging.getLogger("ray")
    before = list(ours.handlers)
    if detailed:
        ours.handlers[:] = LOG.handlers
    ours.setLevel(logging.INFO if detailed else logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # it misses files that it was told not to write
    printed = getattr(
        worker, "print_to_stdstream", None
    )  # Ray has no setting for it, and may call it otherwise one day
    if printed is not None:
        worker.print_to_stdstream = _tell if detailed else lambda *data, **options: None
    try:
        yield
    finally:
        if printed is not None:
            worker.print_to_stdstream = printed
        ours.handlers[:] = before
        ours.setLevel(logging.ERROR)


def _tell(data: Mapping[str, Any], *others: object, **options: object) -> None:
    """Tells what a process has printed, as Ray brings it; the autoscaler counts the same machines every five seconds."""
    if data.get("pid") == "autoscaler":
        return
    for line in data.get("lines", ()):
        LOG.debug("process %s: %s", data.get("pid"), line)
