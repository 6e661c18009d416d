"""Measurements of the study database as replays see them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nas.analysis.replicates import Summary, summaries
from nas.store import DEFAULT_URL, Store

if TYPE_CHECKING:
    import pandas as pd

    from nas.replays.plan import Plan

RESULTS = ("complete", "diverged")
"""States that a second training would end in again: the same seed gives the same network."""


def past_replays(storage: str | None) -> dict[str, list[Summary]]:
    """Replays of published networks so far, by the name of the network: those that differ in the seed alone together.

    Empty when there is no database yet and none was named. Where there are none, pandas is not imported for them.
    """
    if storage is None and not Path(DEFAULT_URL.removeprefix("sqlite:///")).exists():
        return {}
    with Store.open(storage or DEFAULT_URL) as store:
        if not store.has_measurements():
            return {}
        measured = store.measurements()
    replays = measured[measured["kind"] == "replay"]
    return {str(name): summaries(of_name) for name, of_name in replays.groupby("published", sort=False)}


def has_metric(measured: pd.DataFrame, metric: str) -> pd.Series[bool]:
    """Which rows tell this metric, or were not measured at all; those of an older version may lack it."""
    import pandas as pd

    scores = [row.get("test") for row in measured["scores"]]
    return pd.Series([one is None or metric in one.metrics for one in scores], index=measured.index, dtype=bool)


def of_plan(store: Store, plan: Plan) -> pd.DataFrame:
    """The measurements of a plan, whatever their seed."""
    found = store.measurements()
    return found[found["key"] == plan.key]
