"""Measurements of the study database as replays see them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from nas.store import DEFAULT_URL, Store
from nas.store.measurements import COLUMNS

if TYPE_CHECKING:
    from nas.replays.plan import Plan

RESULTS = ("complete", "diverged")
"""States that a second training would end in again: the same seed gives the same network."""


def past_measurements(storage: str | None) -> pd.DataFrame:
    """What was measured so far; empty when there is no database yet and none was named."""
    if storage is None and not Path(DEFAULT_URL.removeprefix("sqlite:///")).exists():
        return pd.DataFrame(columns=list(COLUMNS))
    with Store.open(storage or DEFAULT_URL) as store:
        return store.measurements()


def of_plan(store: Store, plan: Plan) -> pd.DataFrame:
    """The measurements of a plan, whatever their seed."""
    found = store.measurements()
    return found[found["key"] == plan.key]
