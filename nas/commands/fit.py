"""`nas fit`: from a folder of photos to a model to use."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.commands.log_options import Loudness, log_options, loudness
from nas.commands.options import (
    NamesType,
    json_option,
    latency_options,
    no_pretrained_option,
    print_json,
    say,
    search_option,
    start_word,
)
from nas.commands.search import at, progress_view, with_blocks
from nas.fits import FINE_TUNED, REFERENCES

if TYPE_CHECKING:
    from nas.fits.fit import Fitted
    from nas.report.fit_result import FitResult


@click.command(name="fit")
@click.argument("photos", type=click.Path(path_type=Path))
@search_option(
    "max_parameters",
    help="Most parameters, such as 100k or 2M.  [default: 500k; of networks with trained weights the space's]",
)
@search_option("max_macs")
@click.option(
    "--max-latency",
    metavar="DURATION",
    help="Longest time for one image, such as 5ms, measured as the next options say.",
)
@latency_options
@search_option(
    "time", help="Stop searching after this long, such as 30m; what is found is then retrained, which takes its time."
)
@search_option("trials", default=None, help="Finished trials in all.  [default: 32, or as many as --time allows]")
@search_option("steps")
@search_option("skip_bad")
@search_option("data_cache")
@search_option("data_memory")
@search_option("image_size", help="Make squares of the images, with sides of so many pixels.  [default: see above]")
@click.option(
    "--references",
    type=NamesType(),
    metavar="NAMES",
    help=f"Networks that are trained beside: {', '.join(REFERENCES)} as large as the limits allow, {' or '.join(FINE_TUNED)} "
    "fine-tuned as a whole; none: nothing to compare with.  [default: the plain ones, and those whose trained weights are at hand; "
    "beside networks with trained weights the whole one that they are parts of]",
)
@click.option(
    "--int8",
    is_flag=True,
    help="Write the chosen network in 8-bit integers too (ONNX), and say what it is worth so on the test images.",
)
@search_option("space", required=False, default="attn_cnn", show_default=True)
@search_option("pretrained")
@no_pretrained_option
@search_option("recipe")
@search_option(
    "metric",
    help="Choose networks by it; several: the first, and measure the others too (nas search --help lists them).  [default: "
    "accuracy; of several labels an image mean_average_precision]",
)
@search_option("teacher")
@search_option("blocks")
@search_option("seed")
@search_option("study", help="Name of the study.  [default: that of the folder]")
@search_option("storage")
@search_option("cpus_per_trial")
@search_option("gpus_per_trial")
@search_option("device")
@search_option("max_concurrent")
@search_option("ray_address")
@search_option("track")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Folder to write.  [default: STUDY-fit]"
)
@log_options
@json_option
def command(
    photos: Path,
    max_latency: str | None,
    references: tuple[str, ...] | None,
    output: Path | None,
    int8: bool,
    as_json: bool,
    no_pretrained: bool,
    **values: Any,
) -> int:
    """From a folder of photos to a model to use, with the proof that it was worth it.

    PHOTOS holds train/<class>/<images> and test/<class>/<images>, or <class>/<images> alone; then a fifth is set aside to test.
    Or it is a table, such as photos.csv, with the columns path and label.
    Images of one size up to 96 pixels are taken as they are, others become squares of 64 pixels (128 with a GPU); where networks
    start from trained weights, all become squares of 96 (128).

    Searches within the limits, retrains the two best, trains plain networks beside on the same images, and chooses by images
    that nothing was trained on. What is chosen is written as plain PyTorch and ONNX, with a page that says how it compares. If
    a plain network is better, that is what is chosen, and the page says so. Run the same command again to resume.

    \b
    nas fit photos
    nas fit photos --max-parameters 100k --max-macs 20M --time 30m
    nas fit photos --space pretrained_mobile --max-macs 36M
    nas fit photos --max-latency 5ms --latency-runtime onnx --int8
    """
    from nas.fits.fit import fit, see
    from nas.fits.options import fit_options
    from nas.report.fit_result import finished

    values["pretrained"] = start_word(values["pretrained"], no_pretrained)
    options = fit_options(photos, max_latency=max_latency, references=references, int8=int8, output=output, **values)
    seen = see(options)
    if not as_json and loudness() != Loudness.QUIET:
        _show_seen(seen)
    fitted = fit(options, seen, progress_view(as_json))
    result = finished(fitted, options)
    if as_json:
        print_json(result.record())
    else:
        _show(fitted, result, at(options.search.storage, fitted.storage) + with_blocks(options.search.blocks))
    return 130 if result.ended == "interrupted" else 0


def _show_seen(seen: Any) -> None:
    from nas.report.verdict import seen_lines

    for line in seen_lines(seen):
        say(line)


def _show(fitted: Fitted, result: FitResult, where: str) -> None:
    """`where`: the options with which further commands find the network again."""
    from nas.report.accuracy_tables import print_worth
    from nas.report.verdict import print_verdict
    from nas.text.terminal import Terminal

    console = Terminal()
    if fitted.choice is None or fitted.result.final is None:
        console.print(result.verdict[0], soft_wrap=True)
        return
    print_verdict(console, fitted.choice, fitted.offered)
    chosen = fitted.choice.chosen
    if chosen.retrained is not None:
        print_worth(console, chosen.retrained, fitted.result.final.ran.plan.dataset)
    for line in fitted.remarks:
        console.print(f"note         {line}", soft_wrap=True)
    for file in fitted.files:
        console.print(f"written      {file}", soft_wrap=True)
    console.print(f"model card   {result.card}", soft_wrap=True)
    console.print(f"verdict      {result.page}", soft_wrap=True)
    console.print(f"predict      nas predict {shlex.quote(chosen.word)} photo.jpg{where}", soft_wrap=True)
