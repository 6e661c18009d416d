"""`nas retrain`: front members trained again for long enough to be used, and measured on the test set."""

from __future__ import annotations

from typing import Any

import click

from nas.commands.log_options import log_options
from nas.commands.options import blocks_option, json_option, search_option, storage_option, study_option
from nas.commands.training_options import run_and_show, training_options
from nas.errors import NasError


@click.command(name="retrain")
@study_option("The study whose networks are retrained.", required=True)
@click.option("--top", type=int, metavar="K", help="The K best of the front.  [default: the whole front]")
@click.option("--trial", "trials", type=int, multiple=True, metavar="N", help="This trial; may be given several times.")
@click.option(
    "--validation",
    type=float,
    help="Share of all training images to choose among seeds by, from what the search measured on; 0 trains on all.  "
    "[default: 0.1, or the search's share]",
)
@search_option("teacher")
@training_options(seeds=2, share="all that are not held out", steps="8 times the search's", precision="the study's")
@storage_option
@blocks_option
@log_options
@json_option
def command(
    study: str, top: int | None, trials: tuple[int, ...], storage: str | None, as_json: bool, **values: Any
) -> int:
    """Train members of a study's front again, longer than the search, and measure them on the test set.

    Each is trained with several seeds; the one that does best on validation images is kept, which `nas export` and `nas
    predict` take. Validation and test accuracy of the same weights stand beside each other, class by class.

    With --teacher each learns what a larger trained network answers too, beside the labels.

    Afterwards `nas study pareto` shows test accuracy with its standard deviation, and marks members of the front that
    are statistically tied with a cheaper one (Welch's t-test, p at least 0.05). One network is trained in this process;
    several, or one with an option of Ray, are trained side by side on Ray.

    \b
    nas retrain --study attn_cnn-cifar10 --top 5 --steps 20000
    nas retrain --study attn_cnn-digits --trial 23 --trial 30 --seeds 5
    nas retrain --study photos --trial 23 --teacher photos:efficientnet_lite0
    """
    from nas.replays.in_process import retrain_plans

    if top is not None and trials:
        raise NasError("--top and --trial: one or the other")
    return run_and_show(
        lambda options, tell: retrain_plans(study, options, tell, trials=trials, top=top),
        storage=storage,
        as_json=as_json,
        **values,
    )
