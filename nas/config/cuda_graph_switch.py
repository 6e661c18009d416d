"""The environment variable that says whether steps of a training are recorded as CUDA graphs."""

from __future__ import annotations

import os
from typing import Final

from nas.errors import NasError

SWITCH: Final = "NAS_CUDA_GRAPH"
VALUES: Final = ("auto", "0", "1")
"""Where it pays; never; whenever it can be done."""


def cuda_graph_switch() -> str:
    """One of `VALUES`; auto where the variable is not set. Raises NasError for anything else."""
    value = os.environ.get(SWITCH) or VALUES[0]
    if value not in VALUES:
        raise NasError(f"{SWITCH}: must be {', '.join(VALUES[:-1])} or {VALUES[-1]}, not '{value}'")
    return value
