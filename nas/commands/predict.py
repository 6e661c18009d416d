"""`nas predict`: what a trained network says about images, and where it looked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nas.commands.network_argument import network_options, which
from nas.commands.options import json_option, print_json, say, try_to_write
from nas.errors import NasError

if TYPE_CHECKING:
    from nas.network.predict import Prediction


@click.command(name="predict")
@network_options
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE...")
@click.option("--weights", type=click.Path(path_type=Path), metavar="FILE", help="A .safetensors file of its weights.")
@click.option("--top", type=click.IntRange(1, 1000), default=5, show_default=True, help="How many classes to list.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="DIR",
    help="Folder of the overlays.  [default: this one]",
)
@click.option("--overlay/--no-overlay", default=True, show_default=True, help="Draw where the network looked.")
@json_option
def command(
    images: tuple[Path, ...],
    weights: Path | None,
    top: int,
    output: Path,
    overlay: bool,
    as_json: bool,
    **named: object,
) -> None:
    """Classify IMAGEs by a TRIAL of a study, or a published network by NAME, with trained weights.

    Says what is on each, which of several labels have a probability above a half, lists the most likely classes with
    theirs, and writes IMAGE-gradcam.png: the image as the network saw it, and beside it in red what spoke for the likeliest
    class (Grad-CAM of the last feature map). Images are resized to what the network takes.

    \b
    nas predict 23 photo.jpg --study attn_cnn-digits
    nas predict kong_aim_cam *.png --weights kong.safetensors --top 3 --no-overlay
    """
    from nas.data.images import check_readable

    check_readable(images)
    if not output.is_dir():
        raise NasError(f"{output}: no such folder")
    if overlay:
        try_to_write(output / f".nas-{os.getpid()}.png")
    network = which(**named)  # type: ignore[arg-type]
    from nas.network.load import build
    from nas.network.predict import predict, ready

    storage = named["storage"]
    trained = build(network, weights=weights, storage=storage if isinstance(storage, str) else None)
    found = predict(ready(network, trained), images, top=top, pictures=overlay)
    pictures = [_save(one, output) for one in found]
    if as_json:
        print_json(
            [
                {
                    "image": str(one.image),
                    "classes": [{"class": name, "probability": share} for name, share in one.classes],
                    "said": list(one.said),
                    "overlay": None if picture is None else str(picture),
                }
                for one, picture in zip(found, pictures, strict=True)
            ]
        )
        return
    from rich.table import Table

    from nas.text.terminal import Terminal

    console, several = Terminal(), None if trained.type is None else trained.type.bound
    for one, picture in zip(found, pictures, strict=True):
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(overflow="fold")
        for name, share in one.classes:
            table.add_row(f"{share:.1%}", name)
        said = "" if several is None else f"  {', '.join(one.said) or f'none above {several:.0%}'}"
        console.print(f"{one.image}{said}", markup=False, style="bold", soft_wrap=True)
        console.print(table)
        if picture is not None:
            console.print(str(picture), markup=False, soft_wrap=True)
    say(trained.note)


def _save(one: Prediction, folder: Path) -> Path | None:
    if one.picture is None:
        return None
    from PIL import Image

    path = folder / f"{one.image.stem}-gradcam.png"
    try:
        Image.fromarray(one.picture).save(path)
    except OSError as problem:
        raise NasError(f"{path}: cannot be written: {problem.strerror or problem}") from None
    return path
