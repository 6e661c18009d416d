"""`nas export`: write one network as plain PyTorch, ONNX, torch.export or weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from nas.commands.network_argument import network_options, which
from nas.commands.options import json_option, output_path, print_json, say
from nas.export.formats import EXPORTERS
from nas.export.preprocessing import FORMS


class _Command(click.Command):
    """Its help lists the formats that there are."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The text, then the formats."""
        super().format_help_text(ctx, formatter)
        with formatter.section("Formats"):
            formatter.write_dl([(name, one.about) for name, one in EXPORTERS.items()])


@click.command(name="export", cls=_Command)
@network_options
@click.option("--format", metavar="NAME", help="What to write.  [default: what the ending of FILE says, else python]")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="File to write.  [default: by its name]"
)
@click.option("--weights", type=click.Path(path_type=Path), metavar="FILE", help="A .safetensors file of its weights.")
@click.option(
    "--int8",
    is_flag=True,
    help="ONNX in 8-bit integers, calibrated with training images of the study, and measured on its test images.",
)
@click.option(
    "--features",
    is_flag=True,
    help="Python: a class Features too, which returns the last map of each resolution, for detectors and segmenters.",
)
@click.option(
    "--preprocess",
    type=click.Choice(list(FORMS)),
    help="Let the ONNX graph take images as bytes, (B, H, W, C): fixed, of the network's size; any, resized in the graph.",
)
@json_option
def command(
    format: str | None,
    output: Path | None,
    weights: Path | None,
    int8: bool,
    features: bool,
    preprocess: str | None,
    as_json: bool,
    **named: object,
) -> None:
    """Write one network to take away: a TRIAL of a study, or a published network by NAME.

    What was written is run and compared before it counts. Weights are those of --weights, else of the latest
    retraining or replay of this network, else random; the output says which.

    \b
    nas export 23 --study attn_cnn-digits
    nas export kong_aim_cam -o kong.py
    nas export 23 -o network.onnx --weights best.safetensors
    nas export kong_aim_cam -o backbone.py --features
    nas export photos:best -o network.onnx --int8 --preprocess any
    nas export attn_cnn --assignment architecture.json --input 3,64,64 --classes 5
    """
    if format is None and output is not None:
        names = {exporter.ending: name for name, exporter in EXPORTERS.items()}
        output_path(output, tuple(names))
        format = names[output.suffix.lower()]
    format = format or ("onnx" if int8 or preprocess else "python")
    EXPORTERS.find(format)
    for flag, given in (("--int8", int8), ("--preprocess", preprocess)):
        if given and format != "onnx":
            raise click.UsageError(f"{flag}: is a form of --format onnx, not of {format}")
    if features and format != "python":
        raise click.UsageError(f"--features: is a form of --format python, not of {format}")
    network = which(**named)  # type: ignore[arg-type]
    from nas.export import export
    from nas.export.int8 import export_int8, keep
    from nas.export.preprocessing import add_preprocessing
    from nas.network.load import build

    storage = named["storage"] if isinstance(named["storage"], str) else None
    trained = build(network, weights=weights, storage=storage)
    quantized = None
    if int8:
        done, quantized = export_int8(network, trained, output or Path(f"{network.stem}-int8.onnx"))
        keep(quantized, network, trained, storage)
    else:
        done = export(network, trained, format, output, features=features)
    checks = [done.check]
    if preprocess:
        checks.append(add_preprocessing(done.files[0], trained.card, preprocess))
    if as_json:
        print_json(
            {
                "network": network.title,
                "hash": network.architecture.hash,
                "format": format,
                "files": [str(path) for path in done.files],
                "weights": None if trained.weights is None else str(trained.weights),
                "note": trained.note,
                "check": "; ".join(checks),
                **({} if quantized is None else {"int8": asdict(quantized)}),
            }
        )
        return
    for path in done.files:
        say(f"{path}  {path.stat().st_size:,} bytes")
    for check in checks:
        say(f"checked: {check}")
    if quantized is not None:
        say(quantized.sentence())
    say(trained.note)
