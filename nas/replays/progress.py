"""What a user sees while networks train: a bar that is redrawn in a terminal, a line per epoch elsewhere, or nothing."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from nas.train import Epoch

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar


class Progress:
    """Told what happens; shows nothing. The views below derive from it."""

    def note(self, text: str) -> None:
        """Something the user should know."""

    def begin(self, title: str, seed: int, epochs: int, done: int) -> None:
        """A training of so many epochs starts, of which some were done before."""

    def epoch(self, epoch: Epoch) -> None:
        """An epoch is over."""

    def end(self) -> None:
        """The training is over, or given up."""


class Lines(Progress):
    """One line per epoch on stderr, for logs and pipes."""

    def note(self, text: str) -> None:
        """Prints it."""
        print(text, file=sys.stderr, flush=True)

    def begin(self, title: str, seed: int, epochs: int, done: int) -> None:
        """Says where a training goes on that was begun before."""
        self.title, self.epochs = f"{title} seed {seed}", epochs
        if done:
            self.note(f"{self.title}: goes on after epoch {done} of {epochs}")

    def epoch(self, epoch: Epoch) -> None:
        """Prints its line."""
        self.note(f"{self.title}: epoch {epoch.epoch}/{self.epochs}, {describe(epoch)}")


class LiveView(Progress):
    """A bar with the time that is left."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar: Bar | None = None

    def note(self, text: str) -> None:
        """Prints it above the bar."""
        self.console.print(text, highlight=False, markup=False)

    def begin(self, title: str, seed: int, epochs: int, done: int) -> None:
        """Shows the bar."""
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        if done:
            self.note(f"{title} seed {seed}: goes on after epoch {done} of {epochs}")
        self.bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[latest]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self.task = self.bar.add_task(f"{title} seed {seed}", total=epochs, completed=done, latest="first epoch")
        self.bar.start()

    def epoch(self, epoch: Epoch) -> None:
        """Moves the bar."""
        if self.bar is not None:
            self.bar.update(self.task, completed=epoch.epoch, latest=describe(epoch))

    def end(self) -> None:
        """Takes the bar away."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def describe(epoch: Epoch) -> str:
    """``loss 1.234, training accuracy 56.7 %, 1,234 images/s``, with the validation accuracy where there is one."""
    text = f"loss {epoch.train_loss:.3f}, training accuracy {epoch.train_accuracy:.1%}"
    if math.isfinite(epoch.accuracy):
        text += f", validation {epoch.accuracy:.1%}"
    return f"{text}, {epoch.images_per_second:,.0f} images/s"
