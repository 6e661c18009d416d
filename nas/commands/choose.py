"""`nas choose`: a network of a finished study, by what the user has room for."""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from nas.commands.options import (
    json_option,
    latency_options,
    limits,
    print_json,
    say,
    search_option,
    storage_option,
    study_option,
)
from nas.commands.search import at
from nas.text.formatting import difference_text, metric_text, short, words

if TYPE_CHECKING:
    from nas.fits.choice import Candidate, Choice


@click.command(name="choose")
@study_option("May be left out where the database holds only one.")
@limits
@click.option("--max-latency", metavar="DURATION", help="Longest time for one image, such as 5ms.")
@latency_options
@click.option(
    "--int8",
    is_flag=True,
    help="Choose by the accuracy in 8-bit integers (ONNX Runtime), measured on validation images.",
)
@search_option("data_root")
@storage_option
@json_option
def command(
    study: str | None,
    max_parameters: float | None,
    max_macs: float | None,
    max_latency: str | None,
    int8: bool,
    data_root: str | None,
    storage: str | None,
    as_json: bool,
    **latency: Any,
) -> None:
    """Pick a network of a study by what you have room for: the best one inside the limits, by what the study compares.

    Networks that were retrained come first, and references that `nas compare` trained take part. The runner-up is named with
    what it would cost. Latency is measured on this machine with one thread, or by a command of yours, and kept.

    \b
    nas choose --study photos --max-parameters 100k
    nas choose --max-latency 5ms --latency-runtime onnx
    nas choose --max-latency 20ms --latency-command "./on_phone.sh {file}"
    nas choose --int8 --max-latency 2ms --latency-runtime onnx-int8
    """
    from nas.fits.choice import Limits, candidates, choose, parse_milliseconds, timer
    from nas.network.lookup import study_name
    from nas.searches.options import timing_of
    from nas.store import DEFAULT_URL, Store

    most = parse_milliseconds(max_latency)
    timing = timing_of(**latency)
    with Store.open(storage or DEFAULT_URL) as store:
        row = store.study(study_name(store, study))
        offered = candidates(store, row)
        timed = None if most is None else timer(store, storage or DEFAULT_URL, timing)
        shown = store.shown_url
        quantized = None
        if int8:
            from nas.fits.quantized import quantizer
            from nas.replays.options import TrainingOptions

            training = TrainingOptions(data_root=data_root, storage=storage)
            quantized = quantizer(store, row, storage or DEFAULT_URL, training, partial(say, err=True))
        choice = choose(offered, Limits(max_parameters, max_macs, most), timed, quantized)
    if as_json:
        print_json(_record(choice))
        return
    for line in _lines(choice, at(storage, shown)):
        say(line)
    if most is not None:
        from nas.network.latency import find_device

        say(f"latency    measured {timing.measured_by(find_device(timing.place).type)}")


def _lines(choice: Choice, where: str) -> list[str]:
    """`where`: the option with which further commands find the database."""
    chosen = choice.chosen
    study, _, number = chosen.word.rpartition(":")
    lines = [f"{chosen.word}  {_facts(chosen)}"]
    if chosen.retrained is None:
        lines.append(
            f"  its {words(chosen.metric)} is that of the search's short training: nas retrain --study {shlex.quote(study)} "
            f"--trial {number}{where} makes it ready for use"
        )
    else:
        as_int8 = "" if chosen.int8 is None else " --int8"
        lines.append(f"  take it with: nas export {shlex.quote(chosen.word)} -o network.onnx{as_int8}{where}")
    if choice.runner_up is not None:
        lines.append(
            f"runner-up  {choice.runner_up.word}  {_facts(choice.runner_up)}{_against(choice.runner_up, chosen)}"
        )
    if choice.smaller is not None and choice.smaller is not choice.runner_up:
        lines.append(f"smaller, within one standard error  {choice.smaller.word}  {_facts(choice.smaller)}")
    if choice.promising is not None:
        lines.append(f"better in the search, not retrained  {choice.promising.word}  {_facts(choice.promising)}")
    return lines


def _facts(one: Candidate) -> str:
    value = f"{words(one.metric)} {metric_text(one.metric, one.value, one.error)}"
    kind = "validation" if one.retrained is not None else "in the search"
    if one.int8 is not None:
        after, before = one.int8.both()
        value, kind = f"{words(one.metric)} {after}", f"validation in 8-bit integers, {before} in float32"
    time = "" if one.milliseconds is None else f", {one.milliseconds:.3g} ms"
    caption = f" ({one.caption})" if one.caption else ""
    return f"{value} {kind}{caption}, {one.parameters:,} parameters, {short(one.macs)} MACs{time}"


def _against(other: Candidate, chosen: Candidate) -> str:
    return (
        f": {_apart(other, chosen)} for {other.parameters / chosen.parameters:.2g} times the "
        f"parameters and {other.macs / chosen.macs:.2g} times the MACs"
    )


def _apart(other: Candidate, chosen: Candidate) -> str:
    """How far the metric of both is apart, with its sign."""
    difference = other.sign * (other.worth - chosen.worth)
    return f"{'-' if difference < 0 else '+'}{difference_text(other.metric, abs(difference))}"


def _record(choice: Choice) -> dict[str, Any]:
    from nas.report.verdict import candidate_record

    parts = {
        "chosen": choice.chosen,
        "runner_up": choice.runner_up,
        "smaller": choice.smaller,
        "promising": choice.promising,
    }
    return {name: None if one is None else candidate_record(one, ()) for name, one in parts.items()}
