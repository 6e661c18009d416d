"""Options and arguments that several commands share."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nas.commands import shell_completion
from nas.errors import AssignmentError, NasError, nearest
from nas.execution.options import DEVICES
from nas.limits import MAX_CLASSES, MAX_EXTENT
from nas.searches.options import RANDOM, SEED_POINTS, SearchOptions, help_of
from nas.text.log import LOG
from nas.text.sanitize import expanded, read_json, visible

if TYPE_CHECKING:
    from nas.space.space import Assignment, Space

F = TypeVar("F", bound=Callable[..., Any])


def whole(text: str, most: int) -> bool:
    """Whether `text` is a whole number from 1 to `most`."""
    digits = text.strip()
    return digits.isdecimal() and len(digits) < 20 and 1 <= int(digits) <= most


class ShapeType(click.ParamType[tuple[int, ...]]):
    """``3,32,32``: channels, height, width."""

    name = "C,H,W"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Three whole positive numbers."""
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        if len(parts) != 3 or not all(whole(part, MAX_EXTENT) for part in parts):
            self.fail(f"must be channels,height,width up to {MAX_EXTENT:,}, such as 3,32,32, not '{value}'", param, ctx)
        return tuple(int(part) for part in parts)


class CountType(click.ParamType[float]):
    """``1000000``, ``1e6`` or ``1.5M``."""

    name = "NUMBER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """A number, with k, M or G behind it."""
        if isinstance(value, int | float):
            return float(value)
        factor = {"k": 1e3, "M": 1e6, "G": 1e9}.get(value[-1:], 1.0)
        try:
            number = float(value[:-1] if factor != 1.0 else value) * factor
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf:
            self.fail(f"must be a number above 0 such as 500000, 1e6 or 1.5M, not '{value}'", param, ctx)
        return number


class GpusType(click.ParamType[float | str]):
    """A number, or ``auto``."""

    name = "NUMBER|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """Not below 0: that is looked at later."""
        if value == "auto":
            return "auto"
        try:
            return float(value)
        except ValueError:
            self.fail(f"must be a number such as 0.25, or auto, not '{value}'{nearest(value, ['auto'])}", param, ctx)


class NamesType(click.ParamType[tuple[str, ...]]):
    """``accuracy,macs``: names with commas between them."""

    name = "NAMES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The names; what they may be is looked at later."""
        return value if isinstance(value, tuple) else tuple(name.strip() for name in value.split(",") if name.strip())


class NamesInHelp(click.Option):
    """An option of `SearchOptions` whose help is asked for when it is shown: names that it lists may be added from outside."""

    def __init__(self, *arguments: Any, option: Field[Any], **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.option = option

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The flag, and what it does."""
        self.help = self.help or help_of(self.option)
        return super().get_help_record(ctx)


class LimitsType(click.ParamType[dict[str, float]]):
    """``activation_bytes=2M,latency=5``: numbers by name."""

    name = "NAME=MAX,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, float]:
        """The numbers; what the names may be is looked at later."""
        if isinstance(value, dict):
            return value
        found = {}
        for part in value.split(","):
            name, equals, number = part.partition("=")
            if not equals or not name.strip():
                self.fail(f"must be like activation_bytes=2M, not '{part}'", param, ctx)
            found[name.strip()] = float(CountType().convert(number.strip(), param, ctx))
        return found


HOW: dict[str, dict[str, Any]] = {
    "space": {"required": True, "metavar": "FILE|NAME", "shell_complete": shell_completion.spaces},
    "pretrained": {"metavar": "WEIGHTS"},
    "data": {"metavar": "NAME", "shell_complete": shell_completion.datasets},
    "data_root": {"metavar": "DIR"},
    "data_memory": {"type": CountType()},
    "image_size": {"metavar": "PIXELS"},
    "time": {"metavar": "DURATION"},
    "retrain": {"metavar": "K"},
    "teacher": {"metavar": "NETWORK|FILE"},
    "objectives": {"type": NamesType()},
    "metric": {"metavar": "NAME"},
    "loss": {"metavar": "NAME"},
    "probe_device": {"type": click.Choice(["cpu", "cuda"]), "also": ("--latency-device",)},
    "latency_runtime": {"metavar": "NAME"},
    "latency_command": {"metavar": "COMMAND"},
    "latency_format": {"metavar": "NAME"},
    "latency_timeout": {"metavar": "DURATION"},
    "max_parameters": {"type": CountType()},
    "max_macs": {"type": CountType()},
    "limits": {"type": LimitsType()},
    "features": {"type": NamesType(), "default": "", "show_default": False},
    "prior": {
        "metavar": "STUDY|FILE",
        "multiple": True,
        "type": str,
        "default": (),
        "show_default": False,
        "shell_complete": shell_completion.studies,
    },
    "seed": {"type": click.IntRange(0, 2**31 - 1)},
    "blocks": {"metavar": "FILE", "multiple": True, "type": str, "default": ()},
    "study": {"metavar": "NAME", "shell_complete": shell_completion.studies},
    "storage": {"metavar": "URL", "default": lambda: os.environ.get("NAS_STORAGE"), "show_default": False},
    "gpus_per_trial": {"type": GpusType()},
    "device": {"metavar": "|".join(DEVICES)},
    "ray_address": {"metavar": "ADDRESS"},
    "recipe": {"metavar": "NAME|FILE"},
    "seed_points": {"type": str, "is_flag": False, "flag_value": "auto", "metavar": "|".join(sorted(SEED_POINTS))},
    "trial_timeout": {"metavar": "DURATION"},
    "track": {"type": NamesType(), "default": "", "show_default": False},
}
"""What the command line adds to a field of `SearchOptions`: how a value is written and what a shell completes."""


def search_option(name: str, **changes: Any) -> Callable[[F], F]:
    """The command-line option of one field of `SearchOptions`, with its default and its help, unless `changes` say otherwise."""
    option = next(option for option in fields(SearchOptions) if option.name == name)
    flag = "--" + name.replace("_", "-")
    settings: dict[str, Any] = {"cls": NamesInHelp, "option": option, **HOW.get(name, {}), **changes}
    default = None if option.default is MISSING else option.default
    if isinstance(default, bool):
        flag += f"/--no-{name.replace('_', '-')}"
    elif isinstance(default, tuple):
        default = ",".join(default)
    if "default" not in settings and default is not None:
        settings |= {"default": default, "show_default": True}
    if "type" not in settings and not isinstance(default, bool):
        words = str(option.type).split(" | ")  # annotations are text in that file
        settings["type"] = next((kind for kind in (int, float) if kind.__name__ in words and "str" not in words), str)
    return click.option(flag, *settings.pop("also", ()), name, **settings)


def search_options(command: F) -> F:
    """Adds an option for every field of `SearchOptions`, in their order."""
    for option in reversed(fields(SearchOptions)):
        command = search_option(option.name)(command)
    return command


no_pretrained_option = click.option(
    "--no-pretrained", is_flag=True, help="Start from random weights, whatever the space names: --pretrained none."
)


def start_word(pretrained: str | None, no_pretrained: bool) -> str | None:
    """What `--pretrained` and `--no-pretrained` come to together."""
    if no_pretrained and pretrained not in (None, RANDOM):
        raise click.UsageError("--pretrained and --no-pretrained: one or the other")
    return RANDOM if no_pretrained else pretrained


space_option = search_option("space")
objectives_option = search_option("objectives", type=str)
input_option = click.option("--input", "input_shape", type=ShapeType(), help="Image shape; default: the space's.")
classes_option = click.option("--classes", type=click.IntRange(2, MAX_CLASSES), default=10, show_default=True)
json_option = click.option("--json", "as_json", is_flag=True, help="Machine-readable output on stdout.")
storage_option = search_option("storage")
ray_address_option = search_option("ray_address")


def _load(ctx: click.Context, param: click.Parameter, files: tuple[str, ...]) -> None:
    from nas.config.block_files import load_blocks

    load_blocks(*files)


blocks_option = search_option("blocks", callback=_load, expose_value=False, is_eager=True)
"""Adds ``--blocks``; the files are run before anything else is looked at."""


def study_option(help: str, *, required: bool = False) -> Callable[[F], F]:
    """Adds ``--study``, whose name the shell completes."""
    return click.option(
        "--study", required=required, metavar="NAME", shell_complete=shell_completion.studies, help=help
    )


def limits(command: F) -> F:
    """Adds ``--max-parameters`` and ``--max-macs``."""
    return search_option("max_parameters")(search_option("max_macs")(command))


def latency_options(command: F) -> F:
    """Adds ``--probe-device``, ``--latency-runtime`` and the like: how latency is measured."""
    command = search_option("latency_timeout")(command)
    command = search_option("latency_format")(command)
    command = search_option("latency_command")(command)
    command = search_option("latency_runtime")(command)
    return search_option("probe_device", help="Where latency is measured: cpu or cuda.  [default: cuda, if any]")(
        command
    )


def read_assignment(text: str, space: Space) -> Assignment:
    """An assignment from JSON, from a JSON or YAML file, or of the published config of that name."""
    from nas.config.shipped_files import every
    from nas.config.yaml_document import Document
    from nas.space.published import PublishedConfig

    if text.lstrip().startswith("{"):
        try:
            data = read_json(text)
        except ValueError as problem:
            raise AssignmentError(f"--assignment: not valid JSON: {problem}") from None
        return _scalars(data, "--assignment")
    path = expanded(text)
    if not path.is_file() and text in {file.stem for file in every("studies")}:
        config = PublishedConfig.load(text)
        config.require_network()
        return dict(config.assignment)
    if not path.is_file():
        raise AssignmentError(
            f"--assignment: '{text}' is neither JSON, nor a file, nor a published config; "
            f"`nas space sample {space.name} --json` prints assignments"
        )
    data = Document.load(path, AssignmentError).data
    if isinstance(data, dict) and isinstance(data.get("assignment"), dict):
        data = data["assignment"]  # a published config, or a line of `nas space sample --json`
    return _scalars(data, str(path))


def _scalars(data: Any, place: str) -> Assignment:
    if not isinstance(data, dict) or not all(isinstance(value, str | int | float) for value in data.values()):
        raise AssignmentError(f"{place}: an assignment maps names of choices to words or numbers")
    return data


def print_json(data: Any) -> None:
    """One JSON document on stdout; numbers that are not finite become null."""
    text = json.dumps(data, indent=2, allow_nan=False)
    click.echo(text)
    LOG.info("%s", text)


def say(text: object, *, err: bool = False) -> None:
    """Prints text that others may have written: no character of it controls the terminal."""
    click.echo(visible(text), err=err)
    LOG.info("%s", text)


def output_path(path: Path, endings: tuple[str, ...]) -> Path:
    """`path`, when its ending is one of `endings` and it can be written."""
    if path.suffix.lower() not in endings:
        raise NasError(f"{path}: must end with {' or '.join(endings)}")
    if not path.absolute().parent.is_dir():
        raise NasError(f"{path}: the folder {path.absolute().parent} does not exist")
    try_to_write(path)
    return path


def try_to_write(path: Path) -> None:
    """Raises NasError where no file can be written at `path`; leaves what is there as it is.

    Permissions do not tell: of a folder such as /proc they say that its owner may write.
    """
    existed = path.exists()
    if existed and not path.is_file():
        raise NasError(f"{path}: cannot be written: it is no file")
    try:
        with path.open("ab"):
            pass
        if not existed:
            path.unlink()
    except OSError as problem:
        raise NasError(f"{path}: cannot be written: {problem.strerror or problem}") from None
