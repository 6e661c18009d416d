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
    search_option,
    space_option,
    storage_option,
    whole,
)
from nas.errors import BenchError, nearest
from nas.searches.options import WEIGHINGS

if TYPE_CHECKING:
    from nas.bench.runs import Source


AFTER = {"trials": "finished trials", "steps": "whole trainings' steps", "hours": "simulated hours"}
"""What regret is shown against, as a title says it."""


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
@search_option("scheduler", help="Of `nas search`, separated by commas; others than none need --curve, or a study.")
@search_option("min_epochs")
@search_option("reduction_factor")
@click.option(
    "--trials", type=click.IntRange(1), default=200, show_default=True, help="Of each search; see --against too."
)
@click.option(
    "--against",
    type=click.Choice(tuple(AFTER)),
    default="trials",
    show_default=True,
    help="Regret against networks; or each search has the steps, or the hours, of as many whole trainings as --trials says.",
)
@click.option("--seeds", type=click.IntRange(1), default=20, show_default=True, help="Searches of each sampler.")
@click.option("--workers", default="1", show_default=True, help="Trainings at once, such as 1,8,64.")
@objectives_option
@click.option(
    "--mapping", type=click.Path(path_type=Path), metavar="FILE", help="How the table spells keys and metrics (YAML)."
)
@click.option(
    "--metric", "metrics", multiple=True, metavar="NAME=COLUMN", help="Column of accuracy, parameters, seconds …"
)
@click.option(
    "--curve", metavar="PATTERN", help="Columns of accuracy after each epoch: 'epoch_{epoch}', 'epoch_{epoch}_{seed}'."
)
@click.option("--incomplete", is_flag=True, help="The table lacks networks or values: only what it has is proposed.")
@click.option(
    "--budget-scale",
    default="linear",
    show_default=True,
    metavar="|".join(WEIGHINGS),
    help="How budgets are weighed, by regret and by the sampler pareto.",
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
    scheduler: str,
    min_epochs: int | None,
    reduction_factor: float,
    against: str,
    trials: int,
    seeds: int,
    workers: str,
    objectives: str,
    jobs: int,
    budget_scale: str,
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
    nas bench --space attn_cnn --table attn_cnn-cifar10 --scheduler none,pareto_asha --against steps --trials 25
    """
    from nas.bench.report import draw, regret_table, summary
    from nas.bench.runs import run_all
    from nas.bench.simulation import Setting
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
    if budget_scale not in WEIGHINGS:
        raise BenchError(
            f"budget_scale: must be one of {', '.join(WEIGHINGS)}, not '{budget_scale}'{nearest(budget_scale, WEIGHINGS)}"
        )
    # refuses what a search refuses
    schedulers = _words(scheduler, "--scheduler")
    for word in schedulers:
        SearchOptions(
            source["space"],
            objectives=goals,
            budget_scale=budget_scale,
            scheduler=word,
            min_epochs=min_epochs,
            reduction_factor=reduction_factor,
        )
    counts = _counts(workers)
    where = _source(**source)
    table = where.load()
    table.losses(goals)  # refuses what the table does not say
    setting = Setting(goals, trials, against, budget_scale, min_epochs, reduction_factor, counts[0])
    for word in schedulers:
        setting.rungs(table, word)
    hours = setting.hours(table) if against == "hours" or table.seconds is not None else None
    console = Terminal(stderr=True)
    with console.status("") as status:
        runs = run_all(
            where,
            table,
            names,
            setting,
            seeds=seeds,
            workers=counts,
            schedulers=schedulers,
            jobs=min(jobs, len(names) * len(schedulers) * len(counts) * seeds),
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
        "against": against,
        "seeds": seeds,
        **summary(runs, trials, hours),
    }
    searches = "one seed" if seeds == 1 else f"mean of {seeds} seeds"
    subtitle = f"{where.table.name}: {table.rows:,} rows, {len(table.networks):,} networks; {searches}"
    if output is not None:
        title = f"{' against '.join(goals)} on {table.space.name}"
        draw(runs, trials, output, title, subtitle, against, hours or 0.0)
    if as_json:
        print_json(data)
        return
    shown = Terminal()
    shown.print(regret_table(data, f"Hypervolume regret on {table.space.name} after … {AFTER[against]}", against))
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
    curve: str | None,
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
    mapped = replace(spelled, metrics=given, curve=curve or spelled.curve)
    return Source(space, table, mapped, input_shape, classes, max_parameters, max_macs, incomplete, storage)
