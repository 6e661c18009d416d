"""The environment variable that says whether steps of a training are recorded as CUDA graphs."""

from __future__ import annotations

import os
from typing import Final

from nas.errors import NasError

SWITCH: Final = "NAS_CUDA_GRAPH"
VALUES: Final = ("0", "auto", "1")
"""Never, which is the default until it has been measured on a GPU; where it pays; whenever it can be done."""


def cuda_graph_switch() -> str:
    """One of `VALUES`; 0 where the variable is not set. Raises NasError for anything else."""
    value = os.environ.get(SWITCH) or VALUES[0]
    if value not in VALUES:
        raise NasError(f"{SWITCH}: must be {', '.join(VALUES[:-1])} or {VALUES[-1]}, not '{value}'")
    return value
