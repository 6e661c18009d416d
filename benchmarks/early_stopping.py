"""Full training, stopping and promotion on the same networks: quality of the front against steps, and what the first rung knows.

    python benchmarks/early_stopping.py [--storage sqlite:///early_stopping.db] [--trials 60] [--time 50m] [--json]

First a search trains every network to its end: random ones of a small space (`SPACE`) on digits, by the recipe that
`nas search` takes there, one after the other. It resumes where the same command was ended before. Then each form of
`pareto_asha` is played through on what that search recorded, with one worker: what a network is worth at a rung and at the end, and
what it costs, is known, so that nothing is trained again, and the forms meet the networks in as many orders as wanted. The classes
that decide are those of `nas search`. Quality is 1 - HV/HV_best: the hypervolume of accuracy against parameters that the networks
reach which are trained to the end, against that of all networks in the table, on the scale of `nas.pareto`.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _common import environment_line

from nas.analysis.rank_correlation import rank_correlations
from nas.architecture.cost import Cost
from nas.data import Task, load
from nas.pareto import hypervolume, left_out, pareto
from nas.searches.early_stopping import Promotion, Rungs, rung_epochs

OBJECTIVES = ("accuracy", "parameters")
SPACE = """\
name: small
input: [1, 16, 16]
graph:
  stem: {block: conv, channels: {choose: [4, 8, 16, 24]}, kernel_size: {choose: [3, 5]}}
  first: {block: {choose: [conv, depthwise_separable, identity]}}
  wide: {block: conv, channels: {choose: [8, 16, 32, 48]}, kernel_size: {choose: [3, 5]}, stride: 2}
  attention: {block: {choose: [identity, se, cbam]}}
  last: {block: {choose: [conv, depthwise_separable, identity]}}
  down: {block: {choose: [max_pool, avg_pool]}}
  head: {block: classifier, pool: {choose: [average, flatten]}}
"""
"""Networks of 200 to 100,000 parameters that a core trains in seconds."""
FORMS: dict[str, type[Rungs] | None] = {"full training": None, "stopping": Rungs, "promotion": Promotion}
SHARES = (0.25, 0.5, 1.0)
"""Of the steps that a third of the networks take in full: where the forms are compared."""


@dataclass(frozen=True)
class Table:
    """Networks that were trained to the end."""

    trials: pd.DataFrame
    accuracy: pd.DataFrame
    """[hash, epoch], as far as it was measured."""
    epochs: int
    steps: int
    """Of one training."""
    best: float
    """Hypervolume of all."""

    def steps_of(self, epochs: int) -> float:
        """Of so many epochs of one network."""
        return epochs * self.steps / self.epochs


class Play:
    """One form, one worker, one order of the networks: what it has trained, and what its front is worth."""

    def __init__(self, table: Table, rungs: Rungs | None) -> None:
        self.table, self.rungs = table, rungs
        self.steps = 0.0
        self.reached: dict[str, int] = {}
        """Epochs of each network that was begun."""
        self.curve: list[tuple[float, float]] = [(0.0, 0.0)]
        """Steps, and the hypervolume that was reached with them."""

    def run(self, order: Sequence[str]) -> None:
        """Plays it through, the networks that would be on the front at the end included."""
        new = list(order)
        while (network := self._next(new)) is not None:
            self._train(network)
        while not (waiting := left_out(self._frame(), OBJECTIVES)).empty:
            network = waiting.iloc[0]["hash"]
            start = self.reached[network] if isinstance(self.rungs, Promotion) else 0  # stopped ones begin again
            self._to(network, start, self.table.epochs)

    def at(self, steps: float) -> float:
        """Hypervolume after so many steps."""
        return max(volume for done, volume in self.curve if done <= steps)

    def _next(self, new: list[str]) -> str | None:
        if isinstance(self.rungs, Promotion):
            paused = {network: epoch for network, epoch in self.reached.items() if epoch < self.table.epochs}
            promoted = self.rungs.promote(paused)
            if promoted is not None:
                return promoted
        return new.pop(0) if new else None

    def _train(self, network: str) -> None:
        """To the end, or to the rung where it stays."""
        for rung in self.rungs.epochs if self.rungs is not None else ():
            if rung <= self.reached.get(network, 0):
                continue
            self._to(network, self.reached.get(network, 0), rung)
            cost = int(self.table.trials.loc[network, "parameters"])
            assert self.rungs is not None
            place = self.rungs.enter(network, rung, self.table.accuracy.loc[network, rung], Cost(cost, 1, 1))
            if isinstance(self.rungs, Promotion) or (place is not None and not place.goes_on):
                return
        self._to(network, self.reached.get(network, 0), self.table.epochs)

    def _to(self, network: str, start: int, end: int) -> None:
        self.steps += self.table.steps_of(end - start)
        self.reached[network] = end
        if end == self.table.epochs:
            self.curve.append((self.steps, hypervolume(self._frame(), OBJECTIVES)))

    def _frame(self) -> pd.DataFrame:
        """The networks as a study has them."""
        rows = self.table.trials.loc[list(self.reached)].copy()
        early = np.array([epoch < self.table.epochs for epoch in self.reached.values()])
        rows.loc[early, "state"] = "stopped_early"
        known = [self.table.accuracy.loc[network, epoch] for network, epoch in self.reached.items()]
        rows.loc[early, "accuracy"] = np.array(known, dtype=float)[early]
        return rows.reset_index()


def measure(storage: str, trials: int, time: str | None) -> Table:
    """Trains what is not trained yet."""
    import nas
    from nas.space.space import Space
    from nas.store import Store

    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(SPACE)
        file.flush()
        space = Space.load(file.name)
    nas.search(
        space,
        data="digits",
        trials=trials,
        time=time,
        objectives=OBJECTIVES,
        sampler="random",
        seed_points="none",
        storage=storage,
        study="table",
        max_concurrent=1,
    )
    with Store.open(storage) as store:
        study = store.study("table")
        frame, curves = store.trials("table"), store.epochs("table")
    frame = frame[frame["state"].isin(["complete", "untrained"])].set_index("hash")
    curves = curves[curves["hash"].isin(frame.index)]
    accuracy = curves.pivot_table(index="hash", columns="epoch", values="accuracy", aggfunc="last")
    recipe = study.recipe
    steps = recipe.epochs * recipe.steps_per_epoch(load(Task("digits", validation=None)).trained_images)
    return Table(frame, accuracy, recipe.epochs, steps, hypervolume(frame.reset_index(), OBJECTIVES))


def play(table: Table, kind: type[Rungs] | None, factor: float, order: int) -> Play:
    """One form through all networks."""
    networks = sorted(table.trials.index)
    random.Random(order).shuffle(networks)
    played = Play(table, None if kind is None else kind(OBJECTIVES, table.epochs, None, factor))
    played.run(networks)
    return played


def summarize(table: Table, factor: float, orders: int) -> dict[str, Any]:
    """What `main` prints of one reduction factor."""
    budget = len(table.trials) / 3 * table.steps
    forms: dict[str, Any] = {}
    for name, kind in FORMS.items():
        played = [play(table, kind, factor, order) for order in range(orders)]
        regrets = {f"{share:g}": [1 - one.at(share * budget) / table.best for one in played] for share in SHARES}
        forms[name] = {
            "regret": {share: statistics.mean(values) for share, values in regrets.items()},
            "error": {share: statistics.stdev(values) / len(values) ** 0.5 for share, values in regrets.items()},
            "begun": statistics.mean(len(one.reached) for one in played),
            "steps": statistics.mean(one.steps for one in played),
            "last": statistics.mean(1 - one.curve[-1][1] / table.best for one in played),
            "worst": max(1 - one.curve[-1][1] / table.best for one in played),
        }
    return {
        "reduction_factor": factor,
        "rungs": rung_epochs(table.epochs, None, factor),
        "budget": budget,
        "forms": forms,
    }


def show(table: Table, summaries: Sequence[dict[str, Any]], tau: Sequence[dict[str, Any]]) -> None:
    """The tables."""
    front = pareto(table.trials.reset_index(), OBJECTIVES)
    print(
        f"{len(table.trials)} networks, {table.steps} steps ({table.epochs} epochs) each, {len(front)} of them on the front"
    )
    for pair in tau:
        if pair["tau"] is not None:
            print(f"  Kendall's tau between epochs {pair['epoch']} and {pair['later']}: {pair['tau']:.2f}")
    for summary in summaries:
        print(
            f"reduction factor {summary['reduction_factor']:g}, rungs after {', '.join(map(str, summary['rungs']))} epochs"
        )
        for name, found in summary["forms"].items():
            cells = "  ".join(
                f"{float(share) * summary['budget']:7,.0f} steps {value:.4f} ± {found['error'][share]:.4f}"
                for share, value in found["regret"].items()
            )
            print(
                f"  {name:<14} {cells}  all networks: {found['steps']:8,.0f} steps, {found['last']:.4f} (worst "
                f"{found['worst']:.4f})"
            )


def main() -> None:
    """Trains the networks, plays the forms through and prints what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", default="sqlite:///early_stopping.db")
    parser.add_argument("--trials", type=int, default=60, help="networks of the table")
    parser.add_argument("--time", help="train no longer than this")
    parser.add_argument("--factors", type=float, nargs="+", default=[3.0, 2.0])
    parser.add_argument("--orders", type=int, default=50)
    parser.add_argument("--json", action="store_true", dest="as_json")
    arguments = parser.parse_args()
    table = measure(arguments.storage, arguments.trials, arguments.time)
    summaries = [summarize(table, factor, arguments.orders) for factor in arguments.factors]
    epochs = sorted({*(rung for summary in summaries for rung in summary["rungs"]), table.epochs})
    curves = table.accuracy.rename_axis(columns="epoch").stack().rename("accuracy").reset_index()
    tau = rank_correlations(curves.rename(columns={"hash": "trial"}), epochs)
    if arguments.as_json:
        print(
            json.dumps(
                {
                    "networks": len(table.trials),
                    "steps": table.steps,
                    "tau": [dict(pair) for pair in tau],
                    "forms": summaries,
                }
            )
        )
        return
    show(table, summaries, tau)
    print(environment_line())


if __name__ == "__main__":
    main()
