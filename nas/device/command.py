"""A command of the user's that takes the file of a network and prints how many milliseconds it takes: a phone, a board.

No shell reads it: it is parted into arguments as a shell would part it, and ``{file}`` in one of them becomes the path.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blocks.base import Scalar, Shape
from nas.architecture.architecture import Architecture
from nas.errors import NasError, Unmeasured
from nas.export.formats import EXPORTERS
from nas.network.probe import Probe, Spread
from nas.objectives import LATENCY
from nas.plugins.packages import require
from nas.text.formatting import shorten
from nas.text.sanitize import one_line

if TYPE_CHECKING:
    import torch

FILE: Final = "{file}"
PAUSES: Final = (1.0, 5.0)
"""Seconds before a command that failed is run again: a cable, a network, a board that is busy."""
_NUMBER: Final = re.compile(r"(\d{1,12}(?:\.\d{1,20})?(?:[eE][+-]?\d{1,2})?) ?(?:ms)?", re.ASCII)
_SAID: Final = 300
"""So much of what a command says stands in an error."""


@dataclass(frozen=True)
class Command:
    """What measures: its words, the format of the file that it takes, and how many seconds it may take."""

    text: str
    format: str = "onnx"
    timeout: float = 300.0

    def __post_init__(self) -> None:
        """Raises NasError for a command that cannot be run."""
        object.__setattr__(self, "text", self.text.strip())
        arguments = self.arguments(Path("network"))
        if not any(FILE in argument for argument in self._parts()):
            raise NasError(f"latency_command: must have {FILE} where the file of a network stands, not '{self.shown}'")
        if shutil.which(arguments[0]) is None:
            raise NasError(f"latency_command: there is no program '{one_line(arguments[0])}' that can be run here")
        exporter = EXPORTERS.find(self.format)
        require(f"latency_format {self.format}", exporter.packages, exporter.extra)

    @property
    def shown(self) -> str:
        """The command in a message."""
        return one_line(self.text)

    def _parts(self) -> list[str]:
        try:
            parts = shlex.split(self.text)
        except ValueError as problem:
            raise NasError(f"latency_command: cannot be parted into arguments: {problem}: '{self.shown}'") from None
        if not parts:
            raise NasError("latency_command: must not be empty")
        return parts

    def arguments(self, file: Path) -> list[str]:
        """What is run for this file."""
        return [part.replace(FILE, str(file)) for part in self._parts()]

    def milliseconds(self, file: Path) -> list[float]:
        """What it prints for this file. A failure is tried again. Raises Unmeasured with what the command said."""
        for pause in (*PAUSES, None):
            ended = self._run(file)
            if ended.returncode == 0:
                return self._read(ended.stdout)
            if pause is not None:
                time.sleep(pause)
        said = _last_line(ended.stderr) or _last_line(ended.stdout) or "it said nothing"
        raise Unmeasured(
            f"latency_command '{self.shown}' ended with {_ending(ended.returncode)}, {len(PAUSES) + 1} times: {said}"
        )

    def _run(self, file: Path) -> subprocess.CompletedProcess[str]:
        try:
            # Its own group: Ctrl-C ends the search in good order, and what it waits for goes on to its end.
            process = subprocess.Popen(
                self.arguments(file),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as problem:
            raise NasError(f"latency_command '{self.shown}': {problem.strerror or problem}") from None
        try:
            out, err = process.communicate(timeout=self.timeout)
        except subprocess.TimeoutExpired:
            raise Unmeasured(
                f"latency_command '{self.shown}' gave no answer in {self.timeout:g} s; --latency-timeout allows it more"
            ) from None
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def _read(self, out: str) -> list[float]:
        line = _last_line(out, 100_000)
        words = re.sub(r"(?<=\d) ms\b", "ms", line).replace(",", " ").split()
        found = [_NUMBER.fullmatch(word) for word in words]
        values = [float(match[1]) for match in found if match is not None]
        if not values or len(values) < len(words) or not all(0 < value < math.inf for value in values):
            raise Unmeasured(
                f"latency_command '{self.shown}': the last line that it prints must be milliseconds, such as 4.2, or those "
                f"of several runs, not {shorten(line) if line else 'nothing'}"
            )
        return values


class CommandLatency(Probe):
    """Milliseconds for one image, as a command says them."""

    objective = LATENCY

    def __init__(self, command: Command) -> None:
        self.command = command

    def settings(self, device: torch.device) -> Mapping[str, Scalar]:
        """The words of the command, and the format: other words may measure something else."""
        return {"batch": 1, "command": self.command.text, "format": self.command.format}

    def measure(self, architecture: Architecture, input: Shape, classes: int, device: torch.device) -> Spread:
        """Writes the network with random weights, and runs the command. Raises Unmeasured with what the command said."""
        from nas.architecture.compile import compile_model
        from nas.export.python import Notes
        from nas.network.weights import Card
        from nas.system.temporary_folders import scratch_folder

        exporter = EXPORTERS.find(self.command.format)
        model = compile_model(architecture, input, classes).eval()
        with scratch_folder("device") as folder:
            file = folder / f"{architecture.hash}{exporter.ending}"
            notes = Notes(f"Network {architecture.hash}.")
            exporter.write(model, Card(architecture, input, classes), notes, file, trained=False)
            return spread_of(self.command.milliseconds(file))


def spread_of(values: Sequence[float]) -> Spread:
    """Median and quartiles of what a command printed."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return Spread(median, low, high, len(values))


def _last_line(text: str, most: int = _SAID) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = one_line(lines[-1]) if lines else ""
    return last if len(last) <= most else f"{last[:most]}…"


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"
