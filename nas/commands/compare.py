"""`nas compare`: plain networks trained on the images of a study, beside what it found."""

from __future__ import annotations

import shlex
from typing import Any

import click

from nas.commands.log_options import log_options
from nas.commands.options import NamesType, json_option, print_json, search_option, storage_option, study_option
from nas.commands.search import progress_view
from nas.fits import FINE_TUNED, REFERENCES


@click.command(name="compare")
@study_option("The study that is compared.", required=True)
@click.option(
    "--references",
    type=NamesType(),
    metavar="NAMES",
    help=f"Of {', '.join(REFERENCES)}, each as wide as the study's limits allow, and {' or '.join(FINE_TUNED)}, fine-tuned as a "
    "whole.  [default: the plain ones, and those whose trained weights are at hand]",
)
@click.option("--seeds", type=int, default=2, show_default=True, help="Trainings with different seeds.")
@click.option("--steps", type=int, help="Steps of the optimizer.  [default: 8 times the search's]")
@search_option("data_root")
@search_option("data_cache")
@search_option("data_memory")
@search_option("device")
@search_option("cpus_per_trial")
@search_option("max_concurrent")
@search_option("ray_address")
@storage_option
@log_options
@json_option
def command(
    study: str,
    references: tuple[str, ...] | None,
    seeds: int,
    steps: int | None,
    data_root: str | None,
    data_cache: bool,
    data_memory: float | None,
    device: str,
    storage: str | None,
    as_json: bool,
    **ray: Any,
) -> int:
    """Train plain networks as the members of the front are retrained, and say whether the search was worth it.

    The references are ResNet-8, ResNet-20 and a small MobileNetV2, each as wide as the limits of the study allow, and published
    networks that are fine-tuned from trained weights, where these are at hand. They have the same images and the same number of
    seeds as `nas retrain`. Run the same command again to resume.

    \b
    nas compare --study attn_cnn-digits
    nas compare --study photos --references resnet8
    """
    from nas.execution.options import RayOptions
    from nas.fits.choice import Limits, candidates, choose
    from nas.fits.fit import train_references
    from nas.fits.references import default_references_of, study_of
    from nas.replays.options import TrainingOptions
    from nas.report.verdict import print_verdict, verdict_record
    from nas.store import DEFAULT_URL, Store
    from nas.text.terminal import Terminal

    console = Terminal()
    progress = progress_view(as_json)
    training = TrainingOptions(
        data_root=data_root,
        data_cache=data_cache,
        data_memory=data_memory,
        seeds=seeds,
        steps=steps,
        device=device,
        storage=storage,
    )
    named = references is not None
    if references is None:
        references = default_references_of(study_of(storage, study))
    rans, remarks = train_references(
        study, references, training, RayOptions(**ray, device=device), progress, named=named
    )
    with Store.open(storage or DEFAULT_URL) as store:
        row = store.study(study)
        offered = [one for one in candidates(store, row) if one.retrained is not None]
    for line in remarks:
        progress.note(line)
    if not offered:
        console.print("no network was trained to its end, so there is none to compare", soft_wrap=True)
        return 1
    limits = Limits.of(row.constraints)
    choice = choose(offered, limits if any(map(limits.hold, offered)) else Limits())
    if as_json:
        class_names = rans[0].plan.dataset.class_names if rans else ()
        print_json(verdict_record(choice, offered, class_names))
    else:
        print_verdict(console, choice, offered)
        if all(one.is_reference for one in offered):
            console.print(
                f"no network of the front is retrained yet: nas retrain --study {shlex.quote(study)} --top 2",
                soft_wrap=True,
            )
    return 0
