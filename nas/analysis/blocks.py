"""What each block did in a study: how often it was tried, stands on the front, ended badly, and what it is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.analysis.equal_cost import at_equal_cost
from nas.analysis.evidence import Evidence
from nas.states import BAD


@dataclass(frozen=True)
class BlockRecord:
    """One block over all networks of a study."""

    block: str
    trials: int
    """Judged trials with it."""
    share: float
    """Share of the complete networks that have it."""
    front_share: float
    """Share of the networks on the front that have it."""
    bad: int
    """Trials with it that ended badly."""
    worth: float | None
    """How much better networks with it are at equal cost than those without, on average; shares in percentage points."""
    half: float | None
    """Half the width of the 95 % confidence interval of `worth`."""


def block_records(evidence: Evidence) -> list[BlockRecord]:
    """Every block that some network has, those first that the front has more often than all networks have."""
    complete, front, judged = evidence.complete, evidence.front, evidence.judged
    parts = evidence.parts
    names = sorted({name for digest in judged["hash"].unique() for name in parts.get(digest, ()) if " " not in name})
    cost = at_equal_cost(complete, evidence.costs, evidence.metric)
    bad = judged["state"].isin(BAD).to_numpy()
    records = []
    for name in names:
        among = np.array([name in parts.get(digest, ()) for digest in complete["hash"]], dtype=bool)
        on_front = [name in parts.get(digest, ()) for digest in front["hash"]]
        tried = np.array([name in parts.get(digest, ()) for digest in judged["hash"]], dtype=bool)
        worth = half = None
        if cost is not None and min(int(among.sum()), int((~among).sum())) >= 3:
            with_it, without = cost.residual[among], cost.residual[~among]
            worth = float(with_it.mean() - without.mean())
            half = 1.96 * float(np.sqrt(with_it.var(ddof=1) / len(with_it) + without.var(ddof=1) / len(without)))
        records.append(
            BlockRecord(
                name,
                int(tried.sum()),
                float(among.mean()) if len(among) else 0.0,
                float(np.mean(on_front)) if on_front else 0.0,
                int((bad & tried).sum()),
                worth,
                half,
            )
        )
    return sorted(records, key=lambda record: (record.share - record.front_share, record.block))
