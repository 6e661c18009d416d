"""`nas study`: list studies; show, plot, export, recount, rename and delete one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nas.commands import shell_completion
from nas.commands.groups import ListedGroup
from nas.commands.options import blocks_option, json_option, output_path, print_json, say, storage_option
from nas.errors import NasError, StorageError
from nas.text.sanitize import visible

if TYPE_CHECKING:
    from nas.store import Store, StudyRow

SILENT_SECONDS = 3.0
study_argument = click.argument("name", required=False, shell_complete=shell_completion.studies)


@click.group(name="study", cls=ListedGroup)
def command() -> None:
    """Look at studies. NAME may be left out where a database holds only one."""


def _open(storage: str | None) -> Store:
    from nas.store import DEFAULT_URL, Store

    return Store.open(storage or DEFAULT_URL)


def _name(store: Store, name: str | None) -> str:
    if name is not None:
        return store.study(name).name
    names = [study["study"] for study in store.studies()]
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise StorageError(f"{store.shown_url}: name a study; there are: {found}")
    return str(names[0])


def _say_whether_outdated(study: StudyRow) -> None:
    if study.outdated_costs:
        say(f"Note: {study.outdated_costs}", err=True)


@command.command(name="list")
@storage_option
@json_option
def list_studies(storage: str | None, as_json: bool) -> None:
    """List the studies of a database.

    \b
    nas study list --storage postgresql://nas@db.example/nas
    """
    from nas.report.tables import studies_table, study_records

    with _open(storage) as store:
        studies = store.studies()
    if as_json:
        print_json(study_records(studies))
        return
    from nas.text.terminal import Terminal

    Terminal().print(studies_table(studies))


@command.command()
@study_argument
@storage_option
@json_option
def show(name: str | None, storage: str | None, as_json: bool) -> None:
    """Summarize one study: what it searches, how its trials ended, its front.

    \b
    nas study show attn_cnn-digits
    """
    from nas.analysis.rank_correlation import rank_correlations
    from nas.front.view import front_view
    from nas.objectives import metric_of
    from nas.report.tables import print_summary, summary_record
    from nas.searches.early_stopping import rung_epochs

    with _open(storage) as store:
        study = store.study(_name(store, name))
        trials = store.trials(study.name)
        environments = list(store.environments(study.name).values())
        driver = store.driver(study.name)
        paused = len(store.paused(study.name))
        full = study.recipe.epochs
        stops = trials.loc[trials["state"] == "stopped_early", "epochs"].unique().tolist()
        epochs = sorted({*rung_epochs(full), *stops, full})
        correlations = rank_correlations(store.accuracies(study.name, epochs), epochs, metric_of(study.objectives))
        view = front_view(study, trials, store.measurements(), published=False)
    _say_whether_outdated(study)
    if as_json:
        print_json(summary_record(study, trials, view, environments, correlations))
        return
    from nas.text.terminal import Terminal

    print_summary(Terminal(), study, trials, view, environments, driver, correlations, paused)


@command.command()
@study_argument
@storage_option
@click.option("-o", "--output", type=click.Path(path_type=Path), multiple=True, help="Also plot to .png or .html.")
@json_option
def pareto(name: str | None, storage: str | None, output: tuple[Path, ...], as_json: bool) -> None:
    """Show the Pareto front of a study as a table, and plot it.

    Members that `nas retrain` measured on the test set have their test accuracy with its standard deviation, and say
    when they are tied with a cheaper one: Welch's t-test does not tell them apart (p at least 0.05).

    \b
    nas study pareto
    nas study pareto attn_cnn-digits -o front.png -o front.html
    nas study pareto --json
    """
    from nas.front.table import front_records, front_table
    from nas.front.view import front_view
    from nas.report.front_file import write_front

    for path in output:
        output_path(path, (".png", ".html"))
    with _open(storage) as store:
        study = store.study(_name(store, name))
        view = front_view(study, store.trials(study.name), store.measurements(), published=bool(output))
        _say_whether_outdated(study)
        if as_json:
            print_json(front_records(view))
        elif not view.members:
            say(f"study {study.name} has no complete trial yet")
        else:
            from nas.text.terminal import Terminal

            Terminal().print(front_table(view, f"Pareto front of {study.name}"))
            if view.states.get("untrained"):
                say("what untrained networks share: nas why")
        for path in output:
            write_front(store, view, path)
            say(str(path), err=as_json)


@command.command()
@study_argument
@storage_option
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="A .csv or .parquet file.")
def export(name: str | None, storage: str | None, output: Path) -> None:
    """Write all trials of a study to CSV or Parquet, one column a choice.

    \b
    nas study export -o trials.csv
    """
    from nas.store.export import write

    output_path(output, (".csv", ".parquet"))
    with _open(storage) as store:
        study = store.study(_name(store, name))
        trials = store.trials(study.name)
    _say_whether_outdated(study)
    write(trials.assign(validation_images=study.validation_images), output)
    say(f"{len(trials)} trials in {output}")


@command.command()
@study_argument
@storage_option
@blocks_option
@json_option
def recount(name: str | None, storage: str | None, as_json: bool) -> None:
    """Count parameters, MACs and memory of all trials again.

    For a study whose costs came from other counting rules than those of this nas, or of before they were recorded: in
    our tables, in Optuna's and for its retrainings; and for all replays of published networks in the database. Nothing
    is trained; accuracies stay what they are.

    \b
    nas study recount attn_cnn-digits
    """
    from blocks.counting import COUNTING_RULES
    from nas.store import DEFAULT_URL, Store

    with Store.open(storage or DEFAULT_URL, create=True) as store:
        study = found = None
        if name is not None or store.studies() or not store.has_measurements():
            study = store.study(_name(store, name)).name
            with store.claim(study):
                found = store.recount(study, _counting())
        replays = store.recount_replays()
    if as_json:
        record = {} if found is None else asdict(found)
        print_json({"study": study, "counting_rules": COUNTING_RULES, **record, "replays": asdict(replays)})
        return
    by = f"have other costs by version {COUNTING_RULES} of the rules"
    if found is not None:
        say(f"study {study}: {len(found.changed)} of {found.trials} trials {by}")
    if replays.measured:
        say(f"{replays.changed} of {replays.measured} replays {by}")
    if replays.uncounted:
        say(f"networks that this nas cannot count, left as they are: {_some([hash[:8] for hash in replays.uncounted])}")
    if found is not None and found.outside:
        say(f"{len(found.outside)} complete trials break a constraint of the study now: {_some(found.outside)}")


def _some(numbers: Sequence[int | str]) -> str:
    shown = ", ".join(map(str, numbers[:8]))
    return shown if len(numbers) <= 8 else f"{shown} and {len(numbers) - 8} more"


def _counting() -> Callable[[int, int], None]:
    """Says every few seconds how far the counting is."""
    told = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told > SILENT_SECONDS:
            told = time.monotonic()
            say(f"counted {done:,} of {total:,} networks", err=True)

    return progress


@command.command()
@click.argument("name", shell_complete=shell_completion.studies)
@click.argument("new")
@storage_option
def rename(name: str, new: str, storage: str | None) -> None:
    """Give a study another name. Optuna's copy is renamed too.

    \b
    nas study rename attn_cnn-photos flowers
    """
    with _open_to_write(storage) as store:
        store.rename_study(store.study(name).name, new)
    say(f"study {name} is called {new} now")


@command.command()
@click.argument("name", shell_complete=shell_completion.studies)
@storage_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(name: str, storage: str | None, yes: bool) -> None:
    """Delete a study with all its trials, for ever. Optuna's copy goes too.

    Networks that were retrained keep their test accuracies and weights, and trials of other studies that took over a
    result keep it.

    \b
    nas study delete first-try
    """
    with _open_to_write(storage) as store:
        trials = len(store.trials(store.study(name).name, assignments=False))
        if not yes:
            if not sys.stdin.isatty():
                raise NasError(f"study {name} has {trials} trials; say --yes to delete it")
            click.confirm(visible(f"delete study {name} with its {trials} trials?"), abort=True)
        store.delete_study(name)
    say(f"study {name} is deleted ({trials} trials)")


def _open_to_write(storage: str | None) -> Store:
    from nas.store import DEFAULT_URL, Store

    _open(storage).close()  # what is not there is not made
    return Store.open(storage or DEFAULT_URL, create=True)
