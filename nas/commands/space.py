"""`nas space`: check, show, count, sample, cost and draw a space."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from nas.commands import shell_completion
from nas.commands.groups import ListedGroup
from nas.commands.options import (
    blocks_option,
    classes_option,
    input_option,
    json_option,
    limits,
    output_path,
    print_json,
    read_assignment,
    say,
)
from nas.errors import Infeasible, SearchError

if TYPE_CHECKING:
    from nas.architecture.cost import Built
    from nas.space.space import Assignment, Space

PRINTABLE = 10**4_000  # Python turns no number with more than 4,300 digits into text
Shape = tuple[int, ...]


@click.group(name="space", cls=ListedGroup)
def command() -> None:
    """Look into a space: FILE is a path, or the name of a shipped space."""


def _load(
    file: str, max_parameters: float | None = None, max_macs: float | None = None, *, shapes: bool = True
) -> Space:
    from nas.space.space import Space

    return Space.load(file, shapes=shapes).limit(parameters=max_parameters, macs=max_macs)


@command.command()
@click.argument("file", shell_complete=shell_completion.spaces)
@blocks_option
def check(file: str) -> None:
    """Check a space file completely.

    \b
    nas space check my_space.yaml
    """
    space = _load(file)
    if space.pretrained is not None:
        from nas.space.published import whole_of

        whole_of(space)
    say(f"{space.path}: space '{space.name}' is well-formed; {_number(space.size)} assignments")


@command.command()
@click.argument("file", shell_complete=shell_completion.spaces)
@blocks_option
def show(file: str) -> None:
    """Show a space as a tree with its choices.

    \b
    nas space show attn_cnn
    """
    from nas.commands.space_tree import space_tree
    from nas.text.terminal import Terminal

    Terminal().print(space_tree(_load(file, shapes=False)))


@command.command()
@click.argument("file", shell_complete=shell_completion.spaces)
@blocks_option
@input_option
@classes_option
@limits
@click.option("--samples", type=click.IntRange(10, 1_000_000), default=1_000, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@json_option
def count(
    file: str,
    input_shape: Shape | None,
    classes: int,
    max_parameters: float | None,
    max_macs: float | None,
    samples: int,
    seed: int,
    as_json: bool,
) -> None:
    """Count a space exactly, and the share of it inside the constraints.

    The share is exact for spaces of up to 20,000 assignments, otherwise estimated with its 95 % confidence interval.
    Where it is exact, the distinct networks are counted too: assignments that build the same graph are one.

    \b
    nas space count attn_cnn
    nas space count nas_bench_macro --max-parameters 1M --json
    """
    from nas.space.feasibility import feasible_share

    space = _load(file, max_parameters, max_macs)
    if not as_json:
        click.echo(f"{_number(space.size)} assignments")  # at once: the share takes up to half a minute
    share = feasible_share(space, input_shape or space.input, classes, samples=samples, seed=seed)
    if as_json:
        print_json(
            {
                "size": space.size if space.size < PRINTABLE else None,
                "log10_size": math.log10(space.size),
                "exact": share.exact,
                "feasible_share": share.value,
                "interval": list(share.interval),
                "networks": share.networks,
            }
        )
        return
    if share.exact:
        click.echo(f"{share.value:.2%} of them fit the input and the constraints (all were built)")
        click.echo(f"{share.networks:,} distinct networks")
    else:
        low, high = share.interval
        click.echo(
            f"{share.value:.1%} of them fit the input and the constraints "
            f"(95 % interval {low:.1%} to {high:.1%}, from {samples:,} drawn evenly)"
        )


@command.command()
@click.argument("file", shell_complete=shell_completion.spaces)
@blocks_option
@click.option("-n", "--number", type=click.IntRange(1, 1_000_000), default=1, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@input_option
@classes_option
@limits
@json_option
def sample(
    file: str,
    number: int,
    seed: int,
    input_shape: Shape | None,
    classes: int,
    max_parameters: float | None,
    max_macs: float | None,
    as_json: bool,
) -> None:
    """Draw random architectures that fit the constraints: each choice evenly from its options.

    \b
    nas space sample attn_cnn -n 3 --seed 1
    nas space sample attn_cnn -n 100 --json > architectures.jsonl
    """
    space = _load(file, max_parameters, max_macs)
    rng = random.Random(seed)
    for _ in range(number):
        assignment, built = _draw(space, rng, input_shape, classes)
        digest, price = built.architecture.hash, built.cost
        if as_json:
            line = {
                "assignment": assignment,
                "hash": digest,
                "parameters": price.parameters,
                "macs": price.macs,
            }
            click.echo(json.dumps(line))
        else:
            click.echo(f"{digest}  {price.parameters:,} parameters  {price.macs:,} MACs")
            for name, value in assignment.items():
                say(f"    {name}: {_plain(value)}")


@command.command()
@click.argument("file", shell_complete=shell_completion.spaces)
@blocks_option
@click.option("--assignment", metavar="FILE|JSON|NAME", required=True, help="JSON, a file, or a published config.")
@input_option
@classes_option
@json_option
def cost(file: str, assignment: str, input_shape: Shape | None, classes: int, as_json: bool) -> None:
    """Parameters, multiply-accumulates and peak activation bytes of one architecture, without building it.

    \b
    nas space cost attn_cnn --assignment kong_aim_cam
    nas space cost my_space.yaml --assignment architecture.json --input 1,28,28 --classes 10
    """
    space = _load(file)
    price = _build(space, read_assignment(assignment, space), input_shape, classes).cost
    if as_json:
        print_json(price.to_dict())
        return
    click.echo(f"parameters        {price.parameters:>15,}  {price.parameters * 4 / 2**20:,.2f} MiB as float32")
    click.echo(f"MACs              {price.macs:>15,}  multiply-accumulates for one image")
    click.echo(f"activation bytes  {price.activation_bytes:>15,}  most held at once, one image, float32")
    if broken := space.violation(price):
        say(f"outside the constraints of {space.name}: {broken}")


@command.command()
@click.argument("file", shell_complete=shell_completion.spaces)
@blocks_option
@click.option("--assignment", metavar="FILE|JSON|NAME", help="JSON, a file, or a published config; default: random.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the random architecture.")
@input_option
@classes_option
@click.option("--shade", type=click.Choice(["parameters", "macs"]), default="parameters", show_default=True)
@click.option("--whole", is_flag=True, help="Draw equal parts in a row one by one.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("architecture.svg"), show_default=True)
def draw(
    file: str,
    assignment: str | None,
    seed: int,
    input_shape: Shape | None,
    classes: int,
    shade: Literal["parameters", "macs"],
    whole: bool,
    output: Path,
) -> None:
    """Draw one architecture as a graph to SVG or PNG; darker blocks cost more.

    \b
    nas space draw attn_cnn --assignment kong_aim_cam -o kong.svg
    nas space draw attn_cnn --seed 7 -o random.png
    """
    output_path(output, (".svg", ".png"))
    from nas.drawing.draw import draw as draw_architecture

    space = _load(file)
    if assignment is not None:
        architecture = _build(space, read_assignment(assignment, space), input_shape, classes).architecture
        title = assignment if not assignment.lstrip().startswith("{") else architecture.hash
    else:
        architecture = _draw(space, random.Random(seed), input_shape, classes)[1].architecture
        title = f"{space.name}, seed {seed}"
    shape = input_shape or space.input
    draw_architecture(architecture, shape, classes, output, title, measure=shade, fold=not whole)
    say(str(output))


def _build(space: Space, assignment: Assignment, input_shape: Shape | None, classes: int) -> Built:
    try:
        return space.resolve(space.plan(assignment), input_shape, classes)
    except Infeasible as problem:
        raise SearchError(f"{space.name}: this architecture cannot be built for the input: {problem}") from None


def _draw(space: Space, rng: random.Random, input_shape: Shape | None, classes: int) -> tuple[Assignment, Built]:
    from nas.space.feasibility import draw_feasible

    return draw_feasible(space, rng, input_shape or space.input, classes, lambda text: say(text, err=True))


def _number(value: int) -> str:
    """All digits while a person can read them."""
    return (
        f"{value:,}" if value < 10**15 else f"{value:,} (about {value:.2e})" if value < 10**40 else f"about {_e(value)}"
    )


def _e(value: int) -> str:
    exponent = int(math.log10(value))
    return f"{10 ** (math.log10(value) - exponent):.2f}e+{exponent}"


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
