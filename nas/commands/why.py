"""`nas why`: what makes trials fail."""

from __future__ import annotations

import click

from nas.commands.options import json_option, print_json, storage_option, study_option
from nas.errors import NasError, nearest


@click.command(name="why")
@study_option("May be left out where the database holds only one.")
@storage_option
@click.option("--state", "states", multiple=True, metavar="STATE", help="Count only this end as bad, such as diverged.")
@click.option(
    "--by", type=click.Choice(["block", "hyperparameter", "choice"]), multiple=True, help="Only these properties."
)
@click.option("--all", "everything", is_flag=True, help="Also what is no different beyond chance.")
@json_option
def command(
    study: str | None,
    storage: str | None,
    states: tuple[str, ...],
    by: tuple[str, ...],
    everything: bool,
    as_json: bool,
) -> None:
    """Show how trials ended, and which blocks and choices go together with a bad end.

    Bad are untrained (trained to the end, and no better than a guess), diverged, out_of_memory, timed_out and failed. Rates
    have Wilson's 95 % interval; q is the p-value of Fisher's exact test against the trials without the property, corrected
    for the number of tests (Benjamini and Hochberg).

    \b
    nas why
    nas why --study attn_cnn-cifar10 --state diverged --by choice
    nas why --all --json
    """
    from nas.analysis.causes import causes
    from nas.analysis.evidence import Evidence
    from nas.network.lookup import study_name
    from nas.report.failures import print_why, why_record
    from nas.states import BAD, FINISHED
    from nas.store import DEFAULT_URL, Store

    for state in states:
        if state not in FINISHED:
            raise NasError(f"--state: no state '{state}'; there are {', '.join(FINISHED)}{nearest(state, FINISHED)}")
    with Store.open(storage or DEFAULT_URL) as store:
        evidence = Evidence.read(store, study_name(store, study))
    found = [cause for cause in causes(evidence, states or BAD) if not by or cause.kind in by]
    if as_json:
        print_json(why_record(evidence, found))
        return
    from nas.text.terminal import Terminal

    print_why(Terminal(), evidence, found, everything=everything)
