"""`nas dashboard`: a study in Optuna Dashboard."""

from __future__ import annotations

import signal
import warnings
from types import FrameType

import click

from nas.commands.options import blocks_option, say, storage_option, study_option


@click.command(name="dashboard")
@study_option("Shown first.  [default: the only one, or the list]")
@storage_option
@blocks_option
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0: any that is free.")
def command(study: str | None, storage: str | None, port: int) -> None:
    """Open a study database in Optuna Dashboard, on this machine only, until Ctrl-C.

    The note of each trial has its drawing, costs, learning curve and what to do next; that of the study has the front,
    published networks and the space. It may run beside a search: what is new appears by itself. Nothing is written
    unless you write a note yourself.

    \b
    nas dashboard
    nas dashboard --study attn_cnn-cifar10 --storage sqlite:///nas.db --port 8081
    """
    from nas.dashboard import Dashboard
    from nas.network.lookup import study_name
    from nas.store import DEFAULT_URL, Store

    # Dozens of lines at each look: with few trials an option was taken once.
    warnings.filterwarnings("ignore", module=r"optuna\.importance")
    with Store.open(storage or DEFAULT_URL) as store:
        if study is not None or len(store.studies()) == 1:
            study = study_name(store, study)
        dashboard = Dashboard(store, study, port)
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            say(f"{dashboard.url}   (Ctrl-C ends it)")
            dashboard.serve()
        except KeyboardInterrupt:  # the usual end
            click.echo("", err=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
