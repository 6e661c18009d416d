"""The command line. Nothing heavy is imported until a command runs: `nas --help` answers at once."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import Any, NoReturn

import click

from nas.commands.groups import ListedGroup
from nas.errors import NasError
from nas.text.log import LOG, close_log
from nas.text.sanitize import beginning, one_line, visible
from nas.version import __version__

COMMANDS = {
    "fit": "From a folder of photos to a model to use, compared with plain networks.",
    "search": "Search a space for networks, or continue a study.",
    "space": "Check, show, count, sample, cost and draw a space.",
    "study": "List studies; show, plot, export, recount, rename and delete one.",
    "replay": "Check published networks against their papers, or train them again.",
    "retrain": "Train members of a front again and measure them on the test set.",
    "compare": "Train plain networks beside a study, and say whether it was worth it.",
    "choose": "Pick a network of a study by what you have room for.",
    "bench": "Compare samplers on a table of trained networks.",
    "predict": "Classify images by a trained network, and show where it looked.",
    "export": "Write a network as plain PyTorch, ONNX, torch.export or weights.",
    "push": "Upload what `nas fit` has written to the Hugging Face Hub.",
    "dashboard": "Open a study database in Optuna Dashboard.",
    "report": "Write a study as one HTML page.",
    "diff": "Compare two networks, in text and as a drawing.",
    "why": "Which blocks and choices make trials fail.",
    "latency": "Measure how long networks take on this machine.",
    "cache": "List what is kept of data sets on this machine, and remove it.",
    "blocks": "List the blocks with their hyperparameters.",
    "completion": "Let your shell complete commands and names.",
}
"""Each is `nas.commands.<name>.command`, imported when it is called."""


class LazyGroup(ListedGroup):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of a user's day."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"nas.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="nas")
def cli() -> None:
    """Neural architecture search over convolution-attention image classifiers.

    \b
    nas search --space search_spaces/attn_cnn.yaml     search on embedded data
    nas study pareto                                   the front it found
    nas space draw attn_cnn --seed 1 -o network.svg    what a network looks like

    Exit codes: 0 done, 1 a fault of nas, 2 something you can mend, 130 interrupted.
    """


def main(argv: list[str] | None = None) -> NoReturn:
    """Runs the command line and exits."""
    # Threads of PyTorch that wait for each other shall sleep: on a machine that is busy with something else they spin
    # away each other's time (0.6 against 9.8 steps a second, 4 threads on 4 cores with a load of 17).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        code: Any = cli.main(args=argv, prog_name="nas", standalone_mode=False)
    except NasError as problem:
        _complain(f"nas: error: {one_line(problem)}")
        code = 2
    except click.ClickException as problem:
        command = problem.ctx.command_path if isinstance(problem, click.UsageError) and problem.ctx else "nas"
        _complain(f"{command}: error: {visible(' '.join(problem.format_message().split()))}")
        code = 2
    except (click.Abort, KeyboardInterrupt):
        _complain("interrupted")
        code = 130
    except BrokenPipeError:  # `nas … | head`
        sys.stderr.close()
        code = 0
    except OSError as problem:
        if problem.errno != errno.ENAMETOOLONG:  # that is always the user's
            raise
        _complain(f"nas: error: {one_line(beginning(str(problem.filename)))}: {problem.strerror}")
        code = 2
    except Exception:
        LOG.info("a fault of nas:", exc_info=True)
        raise
    finally:
        close_log()
    sys.exit(code if isinstance(code, int) else 0)


def _complain(line: str) -> None:
    click.echo(line, err=True)
    LOG.info("%s", line)


if __name__ == "__main__":
    main()
