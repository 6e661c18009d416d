"""How well `--latency-model` foresees what it has not measured: rank correlation, error and coverage after 10, 25 and 50 networks.

    python benchmarks/latency_model.py --space nas_bench_201 --table seeds.parquet --column cifar10_latency_s
    python benchmarks/latency_model.py --space attn_cnn --runtime onnx

Networks are drawn by chance. With a table the values are its column; else each network is timed here, with one thread.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from scipy.stats import kendalltau

from nas.architecture.cost import Built
from nas.bench.table_files import Mapping, read_assignments, read_records
from nas.device.timing import Timing
from nas.errors import Infeasible
from nas.network.latency import find_device
from nas.network.probe import take
from nas.sampler.foresight import SURE, Foresight
from nas.space.grammar import Bounds
from nas.space.space import Space

MEASURED = (10, 25, 50)
NAME = "latency"


def of_table(space: Space, table: Path, column: str) -> Callable[[random.Random], tuple[Built, float]]:
    """Draws a network of a table, with its value."""
    records = read_records(table)
    rows = list(zip(read_assignments(table, records, space, Mapping()), records, strict=True))

    def draw(rng: random.Random) -> tuple[Built, float]:
        while True:
            assignment, record = rng.choice(rows)
            try:
                return space.resolve(space.plan(assignment), space.input, 10), float(record[column])
            except Infeasible:
                continue

    return draw


def of_device(space: Space, runtime: str | None, most: float | None) -> Callable[[random.Random], tuple[Built, float]]:
    """Draws a network of the space, and times it here."""
    timing = Timing("cpu", runtime, None)
    limited = space if most is None else space.limit(macs=most)

    def draw(rng: random.Random) -> tuple[Built, float]:
        while True:
            try:
                built = limited.resolve(limited.plan(limited.sample(rng)), space.input, 10)
            except Infeasible:
                continue
            if limited.violation(built.cost) is None:
                break
        reading = take(timing.probe(), built.architecture, space.input, 10, find_device("cpu"))
        return built, reading.value

    return draw


@click.command()
@click.option("--space", required=True)
@click.option("--table", type=click.Path(path_type=Path))
@click.option("--column", default="latency")
@click.option("--runtime")
@click.option("--max-macs", type=float)
@click.option("--test", default=200, show_default=True, help="Networks that are not learned from.")
@click.option("--seeds", default=5, show_default=True, help="With a device: 1.")
def main(
    space: str, table: Path | None, column: str, runtime: str | None, max_macs: float | None, test: int, seeds: int
) -> None:
    """Prints one line for each number of measurements."""
    found = Space.load(space)
    draw = of_device(found, runtime, max_macs) if table is None else of_table(found, table, column)
    click.echo("measured  Kendall  of MACs  median error  inside  of the slower three quarters")
    results: dict[int, list[tuple[float, ...]]] = {count: [] for count in MEASURED}
    for seed in range(seeds):
        rng = random.Random(seed)
        networks = [draw(rng) for _ in range(max(MEASURED) + test)]
        held_out = networks[max(MEASURED) :]
        truth = np.array([value for _, value in held_out])
        macs = np.array([built.cost.macs for built, _ in held_out])
        limit = float(np.quantile(truth, 0.25))
        for count in MEASURED:
            foresight = Foresight({NAME: Bounds(max=limit)})
            for built, value in networks[:count]:
                foresight.learn(built, {NAME: value})
            told = np.array([foresight.expects(NAME, built) for built, _ in held_out])
            middle, low, high = told.T
            slow = truth > limit
            wrong = (low > limit) & ~slow
            results[count].append(
                (
                    kendalltau(middle, truth).statistic,
                    kendalltau(macs, truth).statistic,
                    float(np.median(np.abs(middle / truth - 1))),
                    float(((truth >= low) & (truth <= high)).mean()),
                    float((low > limit)[slow].mean()),
                    float(wrong[~slow].mean()),
                )
            )
    for count, rows in results.items():
        tau, plain, error, covered, spared, lost = np.mean(rows, axis=0)
        click.echo(
            f"{count:8}  {tau:7.2f}  {plain:7.2f}  {error:12.1%}  {covered:6.0%}  {spared:6.0%} left out unmeasured, "
            f"{lost:.1%} of the fast ones too"
        )
    click.echo(f"'sure' is {SURE:g} standard deviations; limit: the fastest quarter; mean of {seeds} seeds")


if __name__ == "__main__":
    main()
