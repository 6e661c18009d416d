"""Invented trials, as `Store.trials` gives them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


def invented(
    count: int,
    published: Sequence[str] = (),
    *,
    seed: int = 0,
    decades: float = 2.0,
    states: Sequence[str] | None = None,
) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    parameters = (10 ** rng.uniform(5.0, 5.0 + decades, count)).astype(np.int64)
    accuracy = 0.8 + 0.05 * np.log10(parameters / 1e5) - np.abs(rng.normal(0, 0.03, count))
    states = list(states or ["complete"] * count)
    names = [*published, *[None] * count][:count]
    return pd.DataFrame(
        {
            "trial": np.arange(count),
            "hash": [f"{number:032x}" for number in range(count)],
            "state": states,
            "reason": pd.array([None if state == "complete" else "because" for state in states], dtype="string"),
            "accuracy": [
                value if state in ("complete", "stopped_early") else np.nan
                for value, state in zip(accuracy, states, strict=True)
            ],
            "parameters": parameters,
            "macs": parameters * 37,
            "activation_bytes": parameters // 7,
            "seconds": np.full(count, 1.5),
            "device": pd.array(["cpu"] * count, dtype="string"),
            "published": pd.array(names, dtype="string"),
            "source": pd.array([None] * count, dtype="Int64"),
            "assignment": [{"stem.channels": 32, "cells.0.block": "aim", "cells.1.block": "aim"}] * count,
        }
    )
