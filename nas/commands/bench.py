"""`nas bench`: compare samplers on a table of trained networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.commands.options import (
    classes_option,
    input_option,
    json_option,
    limits,
    objectives_option,
    output_path,
    print_json,
    space_option,
    storage_option,
    whole,
)
from nas.errors import BenchError
from nas.searches.options import BUDGET_SCALES

if TYPE_CHECKING:
    from nas.bench.runs import Source


@click.command(name="bench")
@space_option
@click.option(
    "--table",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE|STUDY",
    help="Trained networks: CSV, Parquet or JSON, or a study over the space.",
)
@storage_option
@click.option(
    "--samplers", default="pareto,tpe,nsga2,random", show_default=True, help="Of `nas search`, separated by commas."
)
@click.option("--trials", type=click.IntRange(1), default=200, show_default=True, help="Of each search.")
@click.option("--seeds", type=click.IntRange(1), default=20, show_default=True, help="Searches of each sampler.")
@click.option("--workers", default="1", show_default=True, help="Trainings at once, such as 1,8,64.")
@objectives_option
@click.option(
    "--mapping", type=click.Path(path_type=Path), metavar="FILE", help="How the table spells keys and metrics (YAML)."
)
@click.option(
    "--metric", "metrics", multiple=True, metavar="NAME=COLUMN", help="Column of accuracy, parameters, seconds …"
)
@click.option("--incomplete", is_flag=True, help="The table lacks networks or values: only what it has is proposed.")
@click.option(
    "--budget-scale",
    metavar="|".join(BUDGET_SCALES),
    help="How budgets are weighed, by regret and by the sampler pareto.  [default: linear by regret, the sampler's own]",
)
@limits
@input_option
@classes_option
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Picture of the regret: .png, .svg."
)
@json_option
def command(
    samplers: str,
    trials: int,
    seeds: int,
    workers: str,
    objectives: str,
    jobs: int,
    budget_scale: str | None,
    output: Path | None,
    as_json: bool,
    **source: Any,
) -> None:
    """Compare samplers on a table of trained networks, which stands in for training.

    Regret is 1 - HV/HV_max of error and cost, scaled by their range over the table, up to (1, 1). A worker trains as
    long as the table's seconds say, or as long as the network's MACs.

    \b
    nas bench --space nas_bench_macro --table nas_bench_macro_cifar10.json --seeds 5
    nas bench --space cells.yaml --table cells.csv --metric accuracy=val_acc --workers 1,8,64 -o regret.png
    nas bench --space transnas_macro --table macro.csv --mapping macro.yaml --incomplete --samplers pareto,evolution
    nas bench --space attn_cnn --table attn_cnn-cifar10 --trials 100
    """
    from nas.bench.report import draw, regret_table, summary
    from nas.bench.runs import run_all
    from nas.searches.options import SearchOptions
    from nas.searches.samplers import SAMPLERS
    from nas.text.terminal import Terminal

    if output is not None:
        output_path(output, (".png", ".svg", ".pdf"))
    names = _words(samplers, "--samplers")
    for name in names:
        SAMPLERS.find(name)
    words = _words(objectives, "--objectives")
    goals = tuple("accuracy" if word == "error" else word for word in words)  # the same, seen from the other side
    # refuses what a search refuses
    SearchOptions(source["space"], objectives=goals, budget_scale=budget_scale or SearchOptions.budget_scale)
    counts = _counts(workers)
    where = _source(**source)
    table = where.load()
    table.losses(goals)  # refuses what the table does not say
    console = Terminal(stderr=True)
    with console.status("") as status:
        runs = run_all(
            where,
            table,
            names,
            goals,
            trials=trials,
            seeds=seeds,
            workers=counts,
            jobs=min(jobs, len(names) * len(counts) * seeds),
            budget_scale=budget_scale,
            done=lambda finished, of: status.update(f"{finished} of {of} searches"),
        )
    data = {
        "space": table.space.name,
        "table": str(where.table),
        "rows": table.rows,
        "networks": len(table.networks),
        "columns": table.columns,
        "objectives": list(goals),
        "trials": trials,
        "seeds": seeds,
        **summary(runs, trials),
    }
    searches = "one seed" if seeds == 1 else f"mean of {seeds} seeds"
    subtitle = f"{where.table.name}: {table.rows:,} rows, {len(table.networks):,} networks; {searches}"
    if output is not None:
        draw(runs, trials, output, f"{' against '.join(goals)} on {table.space.name}", subtitle)
    if as_json:
        print_json(data)
        return
    shown = Terminal()
    shown.print(regret_table(data, f"Hypervolume regret on {table.space.name} after … finished trials"))
    shown.print(f"{subtitle}; {', '.join(goals)}", soft_wrap=True)
    if output is not None:
        shown.print(f"picture  {output}", soft_wrap=True)


def _words(text: str, option: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not words:
        raise BenchError(f"{option}: at least one is needed")
    return words


def _counts(text: str) -> tuple[int, ...]:
    words = _words(text, "--workers")
    if not all(whole(word, 100_000) for word in words):
        raise BenchError(f"--workers: must be whole numbers such as 1,8,64, not '{text}'")
    return tuple(int(word) for word in words)


def _source(
    *,
    space: str,
    table: Path,
    mapping: Path | None,
    metrics: tuple[str, ...],
    max_parameters: float | None,
    max_macs: float | None,
    input_shape: tuple[int, ...] | None,
    classes: int,
    incomplete: bool,
    storage: str | None,
) -> Source:
    from dataclasses import replace

    from nas.bench.runs import Source
    from nas.bench.table_files import Mapping

    spelled = Mapping() if mapping is None else Mapping.load(mapping)
    given = dict(spelled.metrics)
    for metric in metrics:
        name, equals, column = metric.partition("=")
        if not equals:
            raise BenchError(f"--metric: must be NAME=COLUMN such as accuracy=test_acc, not '{metric}'")
        given[name.strip()] = column.strip()
    mapped = replace(spelled, metrics=given)
    return Source(space, table, mapped, input_shape, classes, max_parameters, max_macs, incomplete, storage)
